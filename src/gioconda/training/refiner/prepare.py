"""Videos -> samples for the refiner: what the warp engine makes of one frame, beside what another truly shows.

A clip becomes a folder of `.npy` files (no pickle): pictures (n, 6, H, W, 3) uint8 in the order of PICTURES, maps
(n, 2, 2, H, W) int8 (stretch and fill of two successive frames), points (n, 2, 478, 2) float32 in the crop, unit.
"""

from __future__ import annotations

import json
import os
import shutil
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from urllib.parse import quote

import cv2
import numpy as np
import numpy.typing as npt

from gioconda import face, media
from gioconda.cluster import each
from gioconda.engines import affine
from gioconda.engines.warp import aligned
from gioconda.engines.warp.engine import WarpEngine, WarpIdentity, warp_shot
from gioconda.errors import GiocondaError, InputError
from gioconda.motion.from_faces import faces_to_motion
from gioconda.motion.retarget import Retargeter, Style, picture_points
from gioconda.sources import person_around
from gioconda.training.sources import SPLITS, Clip, balanced, find_clips
from gioconda.types import Face, FloatArray, Image, Motion, Mouth, Portrait

PICTURES = ("warped before", "true before", "warped", "true", "source", "nearest")
LONGEST_SIDE = 720  # larger frames are scaled down: the crop shows less than that
MOST_FRAMES = 400  # of one clip
INDEX = "index.json"
FILLS = ("model", "borrowed", "none")
FILL_SHARES = (0.6, 0.25, 0.15)  # a voice has no driver's mouth to borrow, so most samples have none
MAP_SCALE = 127.0


@dataclass(frozen=True)
class Plan:
    """How much to take: clips a person, source frames a clip, target pairs a source; seed."""

    clips: int = 30
    sources: int = 2
    targets: int = 5
    seed: int = 0


@dataclass(frozen=True)
class Entry:
    """One prepared clip: its folder, person, split, samples, inter-ocular distance in pixels."""

    file: str
    clip: str
    identity: str
    split: str
    samples: int
    unit: float


def prepare(
    source: Path,
    out: Path,
    plan: Plan,
    *,
    workers: int | None = None,
    ray: str | None = None,
    report: Callable[[str, int, int], None] = lambda *_: None,
) -> tuple[list[Entry], list[str]]:
    """Prepare all clips below `source` into the folder `out`; what is there already is kept.

    workers: at once; a core each if None. ray: address of a cluster (`cluster.crew`).
    Returns the entries of the index, also written to `out`, and a line for each clip that was left out.
    """
    if ray is not None:  # other machines know no folder of ours to start from
        source, out = source.resolve(), out.resolve()
    chosen = [c for split in SPLITS for c in balanced(_of(find_clips(source), split), plan.clips)]
    if not chosen:
        raise InputError(f"{source}: no clip is of the split {' or '.join(SPLITS)}")
    long = {c.name: _scaled_plan(plan, chosen, c) for c in chosen}
    out.mkdir(parents=True, exist_ok=True)
    entries, failures = [], []
    todo = [c for c in chosen if not _file(out, c).is_dir()]
    for clip in (c for c in chosen if _file(out, c).is_dir()):
        entries.append(_entry(_file(out, clip), clip))
    made = each(partial(_one, out, long), todo, workers, ray)
    for done, (clip, error) in enumerate(made, 1):
        report("prepare", done, len(todo))
        if error is None:
            entries.append(_entry(_file(out, clip), clip))
        else:
            failures.append(f"{clip.name}: {error}")
    entries.sort(key=lambda e: e.clip)
    if not entries:
        raise InputError(f"{source}: no clip could be prepared; the first says: {failures[0]}")
    media.write_whole(out / INDEX, json.dumps([asdict(e) for e in entries], indent=0).encode())
    return entries, failures


def _of(clips: Iterable[Clip], split: str) -> list[Clip]:
    return [c for c in clips if c.split == split]


def _scaled_plan(plan: Plan, chosen: Sequence[Clip], clip: Clip) -> Plan:
    """A person of few clips gives more samples of each, so that people weigh alike."""
    own = sum(c.identity == clip.identity for c in chosen)
    times = max(1, min(15, round(plan.clips / own)))
    return replace(plan, sources=plan.sources * times, seed=zlib.crc32(clip.name.encode()) ^ plan.seed)


def _file(out: Path, clip: Clip) -> Path:
    return out / quote(clip.name, safe="")


def _entry(file: Path, clip: Clip) -> Entry:
    points = np.load(file / "points.npy", mmap_mode="r", allow_pickle=False)
    unit = np.load(file / "unit.npy", allow_pickle=False)
    return Entry(file.name, clip.name, clip.identity, clip.split, len(points), float(unit))


def load_arrays(file: Path) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int8], FloatArray]:
    """Pictures, maps and points of a prepared clip, mapped rather than read."""
    pictures, maps, points = (
        np.load(file / f"{name}.npy", mmap_mode="r", allow_pickle=False)
        for name in ("pictures", "maps", "points")
    )
    return pictures, maps, points


def _one(out: Path, plans: dict[str, Plan], clip: Clip) -> str | None:
    """Prepare one clip; what went wrong, or None."""
    cv2.setNumThreads(1)
    file = _file(out, clip)
    try:
        samples = clip_samples(clip.path, plans[clip.name])
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
    """The arrays of one clip; InputError where too little of a face can be tracked."""
    frames = _frames(path)
    faces = _faces(frames)
    if sum(f is not None for f in faces) < max(4, len(faces) // 2):
        raise InputError("no face, or one that is lost in most frames")
    height, width = frames[0].shape[:2]
    motion = faces_to_motion(faces, np.arange(len(frames)) / 25.0, (width, height))
    random = np.random.default_rng(plan.seed)
    seen = np.flatnonzero(motion.confidence > 0)
    rows = []
    for source in random.choice(seen, plan.sources, replace=len(seen) < plan.sources):
        one = faces[int(source)]
        assert one is not None
        rows += _of_source(frames, motion, faces, int(source), one, plan.targets, random)
    pictures, maps, points = (np.stack(part) for part in zip(*rows, strict=True))
    return {"pictures": pictures, "maps": maps, "points": points, "unit": np.float32(motion.unit)}


def _frames(path: Path) -> list[Image]:
    frames = []
    for frame in media.read_frames(path):
        image = frame.image
        longest = max(image.shape[:2])
        if longest > LONGEST_SIDE:
            scale = LONGEST_SIDE / longest
            small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
            image = np.asarray(small, np.uint8)
        frames.append(image)
        if len(frames) == MOST_FRAMES:
            break
    return frames


def _faces(frames: Sequence[Image]) -> list[Face | None]:
    with face.FaceTracker() as tracker:
        return [next(iter(tracker.process(image)), None) for image in frames]


Row = tuple[npt.NDArray[np.uint8], npt.NDArray[np.int8], FloatArray]


def _of_source(
    frames: Sequence[Image],
    motion: Motion,
    faces: Sequence[Face | None],
    source: int,
    one: Face,
    count: int,
    random: np.random.Generator,
) -> list[Row]:
    """Samples that all start from one frame of the clip."""
    with face.PersonMasker() as masker:
        person = person_around(masker, frames[source], one)
    portrait = Portrait(frames[source], one, person=person)
    laid = Retargeter(motion, portrait, Style(absolute=True))
    who = WarpEngine().prepare(portrait)
    own = aligned.cut(portrait.image, aligned.alignment(one.landmarks))
    rows = []
    for target in _targets(motion, source, count, random):
        near = _nearest(motion, target, random)
        other = faces[near]
        nearest = own if other is None else aligned.cut(frames[near], aligned.alignment(other.landmarks))
        pair = [
            _warped_crop(who, laid, motion, frames, index, kind)
            for kind in [str(random.choice(FILLS, p=FILL_SHARES))]
            for index in (target - 1, target)
        ]
        pictures = np.stack([*pair[0][0], *pair[1][0], own, nearest])
        rows.append((pictures, np.stack([p[1] for p in pair]), np.stack([p[2] for p in pair])))
    return rows


def _targets(motion: Motion, source: int, count: int, random: np.random.Generator) -> list[int]:
    """Frames far from the source: in time where the clip is long, and in expression."""
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
    """Of two to eight frames of the clip, none beside the target, the one most like it in expression."""
    others = np.flatnonzero((np.abs(np.arange(len(motion)) - target) > 3) & (motion.confidence > 0))
    if not len(others):
        return target
    few = random.choice(others, random.integers(2, 9))
    far = np.abs(motion.expression[few] - motion.expression[target]).sum(1)
    return int(few[far.argmin()])


def _warped_crop(
    who: WarpIdentity,
    laid: Retargeter,
    motion: Motion,
    frames: Sequence[Image],
    index: int,
    kind: str,
) -> tuple[tuple[Image, Image], npt.NDArray[np.int8], FloatArray]:
    """Warped and true crop of a frame, its maps (2, H, W), its points (478, 2) in the crop."""
    mouth = (
        _strange_light(frames[index], picture_points(motion, index), index) if kind == "borrowed" else None
    )
    if kind == "none":
        who = replace(who, mouth=replace(who.mouth, area=1e9))
    shot = replace(laid.shot(index, mouth), creases=0.0)
    warped = warp_shot(who, shot)
    matrix = aligned.alignment(shot.landmarks)
    stage = affine.moved(matrix, who.surround.box[:2])
    maps = np.stack(
        [aligned.stretch_of(warped.map_x, warped.map_y, stage), aligned.fill_of(warped.fill, stage)]
    )
    crops = (aligned.cut(warped.image, stage), aligned.cut(frames[index], matrix))
    points = affine.apply(matrix, shot.landmarks)
    return crops, np.rint(maps * MAP_SCALE).astype(np.int8), points


def _strange_light(image: Image, points: FloatArray, seed: int) -> Mouth:
    """The truth's own mouth as from a driver: in other light, a little blurred and displaced."""
    random = np.random.default_rng(seed)
    gain = random.uniform(0.6, 1.4) * random.uniform(0.9, 1.1, 3)
    changed = np.clip(image * gain + random.normal(0, 4, image.shape), 0, 255).astype(np.uint8)
    soft = cv2.GaussianBlur(changed, (0, 0), random.uniform(0.3, 1.5))
    unit = float(np.linalg.norm(points[263, :2] - points[33, :2]))
    shift = np.array([*random.normal(0, 0.015 * unit, 2), 0], np.float32)
    return Mouth(np.asarray(soft, np.uint8), np.asarray(points + shift, np.float32))
