"""Videos and photos -> samples for the refiner: the warp of one frame to another, with the true other frame.

A clip, or all photos of a person, becomes a folder of `.npy` files (no pickle): pictures (n, 6, H, W, 3) uint8 in the
order of `pairs.PICTURES`, maps (n, 2, 2, H, W) int8 (stretch and fill of two successive frames), points
(n, 2, 478, 2) float32 in the crop, unit.
"""

from __future__ import annotations

import json
import os
import shutil
import zlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from urllib.parse import quote

import cv2
import numpy as np
import numpy.typing as npt

from gioconda import face, media
from gioconda.cluster import each
from gioconda.errors import GiocondaError, InputError
from gioconda.motion.from_faces import faces_to_motion
from gioconda.training.refiner.pairs import Row, crop_of, sample_row, scaled_down, source_of
from gioconda.training.refiner.photos import photo_rows
from gioconda.training.sources import SPLITS, Clip, balanced, find_clips
from gioconda.types import Face, FloatArray, Image, Motion

# Frames of a clip that are used
MOST_FRAMES = 400
INDEX = "index.json"


@dataclass(frozen=True)
class Plan:
    """How many samples to make.

    Attributes:
        clips: The most clips of a person.
        sources: Source frames per clip; of a person's photos, the most ordered pairs.
        targets: Samples per source frame, or per ordered pair of photos.
        seed: The seed of all draws.
    """

    clips: int = 30
    sources: int = 2
    targets: int = 5
    seed: int = 0


@dataclass(frozen=True)
class Entry:
    """One prepared clip.

    Attributes:
        file: Name of its folder.
        clip: The clip's name.
        identity: The person's name.
        split: train or dev.
        samples: Number of samples.
        unit: Inter-ocular distance in pixels.
        photos: Whether it is made of photos.
    """

    file: str
    clip: str
    identity: str
    split: str
    samples: int
    unit: float
    photos: bool = False


def prepare(
    source: Path,
    out: Path,
    plan: Plan,
    *,
    workers: int | None = None,
    ray: str | None = None,
    progress: Callable[[str, int, int], None] = lambda *_: None,
) -> tuple[list[Entry], list[str]]:
    """Prepare all clips and photos; keep those that are already prepared.

    Args:
        source: The folder of videos and photos.
        out: The folder of prepared clips and their index.
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
    chosen = _chosen(find_clips(source, photos=True), plan.clips)
    if not chosen:
        raise InputError(f"{source}: no clip has the split {' or '.join(SPLITS)}")
    long = {c.name: _scaled_plan(plan, chosen, c) for c in chosen}
    out.mkdir(parents=True, exist_ok=True)
    entries, failures = [], []
    todo = [c for c in chosen if not _file(out, c).is_dir()]
    for clip in (c for c in chosen if _file(out, c).is_dir()):
        entries.append(_entry(_file(out, clip), clip))
    results = each(partial(_prepare_clip, out, long), todo, workers, ray)
    for done, (clip, error) in enumerate(results, 1):
        progress("prepare", done, len(todo))
        if error is None:
            entries.append(_entry(_file(out, clip), clip))
        else:
            failures.append(f"{clip.name}: {error}")
    entries.sort(key=lambda e: e.clip)
    if not entries:
        raise InputError(f"{source}: no clip could be prepared; the first reason is: {failures[0]}")
    media.write_whole(out / INDEX, json.dumps([asdict(e) for e in entries], indent=0).encode())
    return entries, failures


def _chosen(clips: Sequence[Clip], most: int) -> list[Clip]:
    """Choose at most `most` clips of each person and split, and all photos."""
    of_split = [[c for c in clips if c.split == split] for split in SPLITS]
    videos = [c for part in of_split for c in balanced((c for c in part if not c.photos), most)]
    return videos + [c for part in of_split for c in part if c.photos]


def _scaled_plan(plan: Plan, chosen: Sequence[Clip], clip: Clip) -> Plan:
    """A plan with more samples per clip for people with few clips, so that all people have the same weight."""
    own = sum(c.identity == clip.identity and not c.photos for c in chosen)
    times = max(1, min(15, round(plan.clips / max(own, 1))))
    return replace(plan, sources=plan.sources * times, seed=zlib.crc32(clip.name.encode()) ^ plan.seed)


def _file(out: Path, clip: Clip) -> Path:
    return out / quote(clip.name, safe="")


def _entry(file: Path, clip: Clip) -> Entry:
    points = np.load(file / "points.npy", mmap_mode="r", allow_pickle=False)
    unit = np.load(file / "unit.npy", allow_pickle=False)
    return Entry(file.name, clip.name, clip.identity, clip.split, len(points), float(unit), bool(clip.photos))


def load_arrays(file: Path) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int8], FloatArray]:
    """Memory-map the pictures, maps and points of a prepared clip."""
    pictures, maps, points = (
        np.load(file / f"{name}.npy", mmap_mode="r", allow_pickle=False)
        for name in ("pictures", "maps", "points")
    )
    return pictures, maps, points


def _prepare_clip(out: Path, plans: dict[str, Plan], clip: Clip) -> str | None:
    """Prepare one clip; return the reason of a failure, or None."""
    cv2.setNumThreads(1)
    file = _file(out, clip)
    try:
        plan = plans[clip.name]
        samples = album_samples(clip.photos, plan) if clip.photos else clip_samples(clip.path, plan)
    except (GiocondaError, ValueError) as error:
        return str(error)
    temp = file.with_name(f"{file.name}.{os.getpid()}.part")
    shutil.rmtree(temp, ignore_errors=True)
    try:
        temp.mkdir()
        for name, array in samples.items():
            np.save(temp / f"{name}.npy", array, allow_pickle=False)
        temp.replace(file)
    finally:
        shutil.rmtree(temp, ignore_errors=True)
    return None


def clip_samples(path: Path, plan: Plan) -> dict[str, npt.NDArray[np.generic]]:
    """Make the arrays of one clip by name; InputError if the face is lost in most frames."""
    frames = _frames(path)
    faces = _faces(frames)
    if sum(f is not None for f in faces) < max(4, len(faces) // 2):
        raise InputError("no face, or one that is lost in most frames")
    height, width = frames[0].shape[:2]
    motion = faces_to_motion(faces, np.arange(len(frames)) / 25.0, (width, height))
    random = np.random.default_rng(plan.seed)
    usable = np.flatnonzero(motion.confidence > 0)
    rows = []
    for source in random.choice(usable, plan.sources, replace=len(usable) < plan.sources):
        source_face = faces[int(source)]
        assert source_face is not None
        rows += _of_source(frames, motion, faces, int(source), source_face, plan.targets, random)
    return _arrays(rows, motion.unit)


def album_samples(paths: Sequence[Path], plan: Plan) -> dict[str, npt.NDArray[np.generic]]:
    """Make the arrays of one person's photos by name; InputError if no two of them can be a pair."""
    return _arrays(*photo_rows(paths, plan.sources, plan.targets, plan.seed))


def _arrays(rows: Sequence[Row], unit: float) -> dict[str, npt.NDArray[np.generic]]:
    pictures, maps, points = (np.stack(part) for part in zip(*rows, strict=True))
    return {"pictures": pictures, "maps": maps, "points": points, "unit": np.asarray(unit, np.float32)}


def _frames(path: Path) -> list[Image]:
    frames = []
    for frame in media.read_frames(path):
        frames.append(scaled_down(frame.image))
        if len(frames) == MOST_FRAMES:
            break
    return frames


def _faces(frames: Sequence[Image]) -> list[Face | None]:
    with face.FaceTracker() as tracker:
        return [next(iter(tracker.process(image)), None) for image in frames]


def _of_source(
    frames: Sequence[Image],
    motion: Motion,
    faces: Sequence[Face | None],
    index: int,
    source_face: Face,
    count: int,
    random: np.random.Generator,
) -> list[Row]:
    """Samples with one frame of the clip as their source."""
    source = source_of(frames[index], source_face)
    rows = []
    for target in _targets(motion, index, count, random):
        near = _nearest(motion, target, random)
        other = faces[near]
        nearest = source.crop if other is None else crop_of(frames[near], other)
        moments = [(k, frames[k]) for k in (target - 1, target)]
        rows.append(sample_row(source, motion, moments, nearest, random))
    return rows


def _targets(motion: Motion, source: int, count: int, random: np.random.Generator) -> list[int]:
    """Draw frames whose expression is far from the source's, at least three frames away from it."""
    later = np.arange(1, len(motion))
    later = later[(motion.confidence[later] > 0) & (np.abs(later - source) > 2)]
    if not len(later):
        raise InputError("too short")
    shape = np.abs(motion.expression[later] - motion.expression[source]).mean(1)
    weight = 0.25 * shape.mean() + shape + 1e-4
    return [
        int(i) for i in random.choice(later, count, p=weight / weight.sum(), replace=len(later) < count * 2)
    ]


def _nearest(motion: Motion, target: int, random: np.random.Generator) -> int:
    """The frame most like the target in expression among two to eight random ones, none close to it in time."""
    others = np.flatnonzero((np.abs(np.arange(len(motion)) - target) > 3) & (motion.confidence > 0))
    if not len(others):
        return target
    few = random.choice(others, random.integers(2, 9))
    far = np.abs(motion.expression[few] - motion.expression[target]).sum(1)
    return int(few[far.argmin()])
