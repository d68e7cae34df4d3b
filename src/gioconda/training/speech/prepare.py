"""Videos of people who speak -> their sound and tracked faces, one .npz per clip (no pickle).

samples (n,) int16 at 16 kHz; points (T, 478, 3) float16, the landmarks in the canonical head frame; times (T,) seconds.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from urllib.parse import quote

import cv2
import numpy as np
import numpy.typing as npt

from gioconda import media
from gioconda.cluster import each
from gioconda.errors import GiocondaError, InputError
from gioconda.inputs.motion import track_video
from gioconda.motion.expression import load_basis, offsets
from gioconda.speech.features import RATE, energy, log_mel
from gioconda.speech.listen import VOICED
from gioconda.training.sources import SPLITS, Clip, balanced, find_clips
from gioconda.types import FloatArray

INDEX = "index.json"
# Seconds of a clip that are used
MOST_SECONDS = 60.0
# Largest share of frames without a face
LOST_SHARE = 0.2
# Smallest share of a clip with a voice
HEARD_SHARE = 0.1


@dataclass(frozen=True)
class SpeechEntry:
    """One prepared clip: its file, its name, the person and the split."""

    file: str
    clip: str
    identity: str
    split: str


def prepare(
    source: Path,
    out: Path,
    *,
    clips: int = 500,
    workers: int | None = None,
    ray: str | None = None,
    progress: Callable[[str, int, int], None] = lambda *_: None,
) -> tuple[list[SpeechEntry], list[str]]:
    """Track all clips with sound; keep those that are already prepared.

    Args:
        source: The folder of videos.
        out: The folder of prepared clips and their index.
        clips: The most clips of a person.
        workers: Processes; None for one per core.
        ray: Address of a Ray cluster (`cluster.open_executor`).
        progress: Called with the stage, the clips done and the clips in all.

    Returns:
        The entries of the index, and a line for each clip that is left out.

    Raises:
        MissingFileError: `source` is not a folder.
        InputError: No clip can be prepared.
    """
    # Relative paths mean nothing on other machines
    if ray is not None:
        source, out = source.resolve(), out.resolve()
    listed = find_clips(source)
    chosen = [c for split in SPLITS for c in balanced([c for c in listed if c.split == split], clips)]
    out.mkdir(parents=True, exist_ok=True)
    todo = [c for c in chosen if not _file(out, c).is_file()]
    failures = []
    results = each(partial(_prepare_clip, out), todo, workers, ray)
    for done, (clip, error) in enumerate(results, 1):
        progress("prepare", done, len(todo))
        if error:
            failures.append(f"{clip.name}: {error}")
    there = [c for c in chosen if _file(out, c).is_file()]
    if not there:
        raise InputError(
            f"{source}: no clip could be prepared; the first reason is: {(failures or ['nothing'])[0]}"
        )
    entries = [SpeechEntry(_file(out, c).name, c.name, c.identity, c.split) for c in there]
    media.write_whole(out / INDEX, json.dumps([asdict(e) for e in entries], indent=0).encode())
    return entries, failures


def read_index(folder: Path) -> list[SpeechEntry]:
    """Read the index of a prepared folder; InputError if there is none."""
    try:
        return [SpeechEntry(**row) for row in json.loads((folder / INDEX).read_text(encoding="utf-8"))]
    except (OSError, ValueError, TypeError):
        raise InputError(f"{folder} was not prepared with gioconda prepare --for speech") from None


def _file(out: Path, clip: Clip) -> Path:
    return out / f"{quote(clip.name, safe='')}.npz"


def _prepare_clip(out: Path, clip: Clip) -> str:
    """Prepare one clip; return the reason of a failure, else an empty text."""
    cv2.setNumThreads(1)
    try:
        samples = read_voice(clip.path)
        if (energy(log_mel(samples / np.float32(32767))) > VOICED).mean() < HEARD_SHARE:
            return "nobody is heard to speak"
        motion = track_video(clip.path, lambda *_: None)
    except (GiocondaError, ValueError) as error:
        return str(error)
    if motion.takes or motion.bridged > LOST_SHARE * len(motion):
        return "the face is lost in too many frames"
    assert motion.residual is not None
    neutral = load_basis().neutral if motion.neutral is None else motion.neutral
    points = neutral + offsets(motion.expression) + motion.residual
    buffer = io.BytesIO()
    np.savez(buffer, samples=samples, points=points.astype(np.float16), times=motion.times)
    media.write_whole(_file(out, clip), buffer.getvalue())
    return ""


def read_voice(path: Path, seconds: float = MOST_SECONDS) -> npt.NDArray[np.int16]:
    """Read the sound of a file from its first frame on, (n,) int16 at RATE; InputError if it has none."""
    blocks: list[FloatArray] = []
    length = 0
    with media.read_sound(path, RATE) as sound:
        for block in sound:
            blocks.append(block)
            length += len(block)
            if length > seconds * RATE:
                break
    whole = np.concatenate(blocks)[: int(seconds * RATE)]
    return np.asarray(np.rint(np.clip(whole, -1, 1) * 32767), np.int16)
