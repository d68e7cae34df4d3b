"""Videos of people who speak -> what was said and where their faces were, one .npz a clip (no pickle).

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
from gioconda.motion.expression import load_basis, offsets
from gioconda.sources import track_video
from gioconda.speech.features import RATE, energy, log_mel
from gioconda.speech.listen import VOICED
from gioconda.training.sources import SPLITS, Clip, balanced, find_clips
from gioconda.types import FloatArray

INDEX = "index.json"
MOST_SECONDS = 60.0  # of one clip
LOST_SHARE = 0.2  # of the frames that may have no face
HEARD_SHARE = 0.1  # of a clip, in which a voice must be heard


@dataclass(frozen=True)
class Entry:
    """One prepared clip: its file, the person, the split, the folder that it came from."""

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
    report: Callable[[str, int, int], None] = lambda *_: None,
) -> tuple[list[Entry], list[str]]:
    """Track all clips with sound below `source`, at most `clips` of a person; what is there already is kept.

    workers: at once; a core each if None. ray: address of a cluster (`cluster.crew`).
    Returns the entries of the index, also written to `out`, and a line for each clip that was left out.
    """
    if ray is not None:  # other machines know no folder of ours to start from
        source, out = source.resolve(), out.resolve()
    found = find_clips(source)
    chosen = [c for split in SPLITS for c in balanced([c for c in found if c.split == split], clips)]
    out.mkdir(parents=True, exist_ok=True)
    todo = [c for c in chosen if not _file(out, c).is_file()]
    failures = []
    made = each(partial(_one, out), todo, workers, ray)
    for done, (clip, error) in enumerate(made, 1):
        report("prepare", done, len(todo))
        if error:
            failures.append(f"{clip.name}: {error}")
    there = [c for c in chosen if _file(out, c).is_file()]
    if not there:
        raise InputError(
            f"{source}: no clip could be prepared; the first says: {(failures or ['nothing'])[0]}"
        )
    entries = [Entry(_file(out, c).name, c.name, c.identity, c.split) for c in there]
    media.write_whole(out / INDEX, json.dumps([asdict(e) for e in entries], indent=0).encode())
    return entries, failures


def read_index(folder: Path) -> list[Entry]:
    """The entries of a prepared folder; InputError where there are none."""
    try:
        return [Entry(**row) for row in json.loads((folder / INDEX).read_text(encoding="utf-8"))]
    except (OSError, ValueError, TypeError):
        raise InputError(f"{folder} was not made by gioconda prepare --for speech") from None


def _file(out: Path, clip: Clip) -> Path:
    return out / f"{quote(clip.name, safe='')}.npz"


def _one(out: Path, clip: Clip) -> str:
    """Prepare one clip; what went wrong, or nothing."""
    cv2.setNumThreads(1)
    try:
        samples = heard(clip.path)
        if (energy(log_mel(samples / np.float32(32767))) > VOICED).mean() < HEARD_SHARE:
            return "nobody is heard to speak"
        motion = track_video(clip.path, lambda *_: None)
    except (GiocondaError, ValueError) as error:
        return str(error)
    if motion.bridged > LOST_SHARE * len(motion):
        return "the face is lost in too many frames"
    assert motion.residual is not None
    neutral = load_basis().neutral if motion.neutral is None else motion.neutral
    points = neutral + offsets(motion.expression) + motion.residual
    buffer = io.BytesIO()
    np.savez(buffer, samples=samples, points=points.astype(np.float16), times=motion.times)
    media.write_whole(_file(out, clip), buffer.getvalue())
    return ""


def heard(path: Path, seconds: float = MOST_SECONDS) -> npt.NDArray[np.int16]:
    """The sound of a file (n,) int16 at RATE, from its first picture on; InputError where there is none."""
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
