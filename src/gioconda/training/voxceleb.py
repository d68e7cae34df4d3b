"""VoxCeleb1 and 2 as distributed (Nagrani et al. 2017, Chung et al. 2018): folders of utterances, box files.

VoxCeleb2's crops are `[dev|test]/mp4/id00012/VIDEO/00001.mp4`. Box files are `txt/id00012/VIDEO/00001.txt`; their
long videos VIDEO.mp4 may be anywhere below the same folder.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from gioconda.errors import InputError, MissingFileError
from gioconda.training.sources import TABLE, VIDEO_SUFFIXES, Clip, find_clips, held_back
from gioconda.types import FloatArray

# Frames per second of the frame numbers in box files
RATE = 25.0
# Size limit of a box file in bytes: more than two days of rows
MOST_BYTES = 16 * 2**20
_ID = re.compile(r"id\d{5}")
_UTTERANCE = re.compile(r"\d{1,6}")
_TEST = re.compile(r"(.*[_-])?test([_-].*)?")
# Glob patterns of the folders above those of people
_LEVELS = ("", "*/", "*/*/", "*/*/*/")


@dataclass(frozen=True)
class Take:
    """A stretch of video of one person.

    Attributes:
        clip: The video file, its person and its split.
        video: The recording that it belongs to.
        boxes: VoxCeleb's file with the face's position over time; None for the whole video.
        cropped: Whether the picture is already a square around the face.
    """

    clip: Clip
    video: str
    boxes: Path | None = None
    cropped: bool = False


@dataclass(frozen=True)
class Boxes:
    """Positions of a face: times (n,) in seconds, increasing, and boxes (n, 4): left, top, width, height.

    relative: whether boxes are in shares of the picture's width and height; else they are in pixels.
    """

    times: npt.NDArray[np.float64]
    boxes: FloatArray
    relative: bool

    def pixels(self, width: int, height: int) -> FloatArray:
        """The boxes (n, 4) in pixels of a picture with this width and height, the size that they refer to."""
        return self.boxes * np.array([width, height] * 2, np.float32) if self.relative else self.boxes


def find_takes(folder: Path) -> tuple[list[Take], list[tuple[str, str]]]:
    """Find all takes below a folder of videos or of VoxCeleb.

    Returns:
        The takes, and the name and the reason of each file that cannot be used.

    Raises:
        MissingFileError: `folder` is not a folder.
        InputError: It holds no usable video.
    """
    if not folder.is_dir():
        raise MissingFileError(f"{folder} is not a folder; give a folder of videos")
    if not is_voxceleb(folder):
        return [Take(clip, clip.name) for clip in find_clips(folder)], []
    files = sorted(p for p in folder.rglob("*") if p.suffix.lower() in (*VIDEO_SUFFIXES, ".txt"))
    crops, texts, whole = _sorted_out(folder, files)
    takes, failures = _takes(folder, crops, texts, whole)
    if not takes:
        first = f"; the first is {failures[0][0]}: {failures[0][1]}" if failures else ""
        raise InputError(f"{folder} looks like VoxCeleb but holds no utterance with its video{first}")
    return _with_splits(takes), failures


def is_voxceleb(folder: Path) -> bool:
    """Whether there are videos or box files in `idNNNNN/VIDEO/` somewhere below the folder, and no table."""
    if (folder / TABLE).is_file():
        return False
    suffixes = {*VIDEO_SUFFIXES, ".txt"}
    return any(
        path.suffix.lower() in suffixes and _utterance(folder, path) is not None
        for level in _LEVELS
        for path in folder.glob(f"{level}id[0-9][0-9][0-9][0-9][0-9]/*/*")
    )


Key = tuple[str, str, str]  # person, video, utterance


def _utterance(folder: Path, path: Path) -> Key | None:
    """The key of an utterance's file, by its path; None for any other file."""
    parts = path.relative_to(folder).parts
    if len(parts) < 3 or not _ID.fullmatch(parts[-3]) or not _UTTERANCE.fullmatch(path.stem):
        return None
    return parts[-3], parts[-2], path.stem


def _sorted_out(
    folder: Path, files: Iterable[Path]
) -> tuple[dict[Key, Path], dict[Key, Path], dict[str, Path]]:
    """Crops and box files by their keys, and long videos by their stem."""
    crops: dict[Key, Path] = {}
    texts: dict[Key, Path] = {}
    whole: dict[str, Path] = {}
    for path in files:
        key, text = _utterance(folder, path), path.suffix.lower() == ".txt"
        if key is not None:
            (texts if text else crops).setdefault(key, path)
        elif not text:
            whole.setdefault(path.stem, path)
    return crops, texts, whole


def _takes(
    folder: Path, crops: dict[Key, Path], texts: dict[Key, Path], whole: dict[str, Path]
) -> tuple[list[Take], list[tuple[str, str]]]:
    """Takes by person, video and utterance; a box file counts where there is no crop of the same utterance."""
    takes, failures = [], []
    for key in sorted({*crops, *texts}):
        person, video, _ = key
        text = None if key in crops else texts[key]
        file = crops.get(key) or whole.get(video)
        name = (text or crops[key]).relative_to(folder).as_posix()
        if file is None:
            failures.append((name, f"its video {video}{VIDEO_SUFFIXES[0]} is missing"))
            continue
        split = "dev" if _of_test(folder, text or file) else "train"
        takes.append(Take(Clip(file, name, person, split), f"{person}/{video}", text, text is None))
    boxed = {video for _, video, _ in texts}
    for stem, path in whole.items():
        if stem not in boxed:
            failures.append((path.relative_to(folder).as_posix(), "it has no box file"))
    return takes, failures


def _of_test(folder: Path, path: Path) -> bool:
    above = path.relative_to(folder).parts[:-3]
    return any(_TEST.fullmatch(part.lower()) for part in above)


def _with_splits(takes: Sequence[Take]) -> list[Take]:
    """Leave the splits if there is a test set; else make every tenth person dev, and at least one of two."""
    if any(take.clip.split == "dev" for take in takes):
        return list(takes)
    held = held_back(take.clip.identity for take in takes)
    return [
        replace(take, clip=replace(take.clip, split="dev")) if take.clip.identity in held else take
        for take in takes
    ]


def read_boxes(path: Path) -> Boxes:
    """Read a box file of VoxCeleb1 (pixels) or 2 (shares); InputError if it is missing, damaged or empty."""
    try:
        if path.stat().st_size > MOST_BYTES:
            raise InputError(f"{path} is too large for a box file")
        lines = [line.split() for line in path.read_text(encoding="utf-8").splitlines()]
        start = lines.index(["FRAME", "X", "Y", "W", "H"])
        table = np.array([line for line in lines[start + 1 :] if line], np.float64)
    except InputError:
        raise
    except (OSError, ValueError):
        raise InputError(f"{path} is damaged: it has no readable table FRAME X Y W H") from None
    if table.ndim != 2 or table.shape[1] != 5 or not np.isfinite(table).all():
        raise InputError(f"{path} is damaged or truncated: expected rows of five numbers")
    frames, boxes = table[:, 0], table[:, 1:]
    if (np.diff(frames) <= 0).any() or frames[0] < 0 or (boxes[:, 2:] <= 0).any():
        raise InputError(f"{path} is damaged: frames must increase, boxes must have a size")
    # No face is two pixels wide, and none is twice as wide as the picture
    relative = bool(boxes[:, 2:].max() <= 2)
    return Boxes(frames / RATE, boxes.astype(np.float32), relative)
