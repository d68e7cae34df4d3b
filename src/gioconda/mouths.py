"""Videos of one person who speaks -> a bank of that person's mouths, kept for the next time."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import platformdirs

from gioconda import face, media
from gioconda.ahead import run_ahead
from gioconda.engines.lipsync import bank as banks
from gioconda.engines.lipsync.bank import Bank, Grid
from gioconda.engines.lipsync.points import JAW, LIPS, POINTS
from gioconda.errors import GiocondaError, InputError, NoFaceError, OutputError, WeightsError
from gioconda.motion import smooth
from gioconda.motion.expression import load_basis
from gioconda.motion.neutral import most_neutral
from gioconda.motion.pose import euler_from_rotation, fit_poses, to_unit_head
from gioconda.sources import PathLike, Progress
from gioconda.types import Face, FloatArray, Frame, Image

PIECE_BYTES, PIECE = 96 * 2**20, (16, 256)  # of frames that are laid out together
POSE_SIGMA, SHAPE_SIGMA = 1.0, 0.7  # frames, as for motions
LEAST_UNIT = 24.0  # pixels between the eyes, below which a mouth has too few to be shown
LARGEST_YAW = 40.0  # degrees; beyond, half of the mouth is hidden
RESTS = 600  # faces among which that at rest is looked for
KEPT_BANKS = 8  # in the cache


@dataclass(frozen=True, eq=False)
class Laid:
    """How N tracked faces lie in their frames.

    matrix: (N, 2, 3), from the face's plane to pixels. points: (N, P, 2), `POINTS` in that plane. pose: (N, 2), yaw and
    pitch in degrees. rotation (N, 3, 3), scale (N,) and origin (N, 2): head to pixels, as `motion.pose.Pose`.
    """

    matrix: FloatArray
    points: FloatArray
    pose: FloatArray
    rotation: FloatArray
    scale: FloatArray
    origin: FloatArray


def face_plane(head: FloatArray) -> FloatArray:
    """(a, b, c) of the plane z = a x + b y + c through the mouth, cheeks and chin of a head (478, 3) at rest."""
    points = head[np.array([*LIPS, *JAW])].astype(np.float64)
    design = np.column_stack([points[:, :2], np.ones(len(points))])
    # jaw and lips lie at different depths: the plane follows the lips, at which people look
    weights = np.r_[np.ones(len(LIPS)), np.full(len(JAW), 0.2)][:, None]
    found = np.linalg.lstsq(design * weights, points[:, 2:] * weights, rcond=None)[0]
    return np.asarray(found[:, 0], np.float32)


def plane_maps(rotation: FloatArray, scale: FloatArray, origin: FloatArray, plane: FloatArray) -> FloatArray:
    """The maps (N, 2, 3) from the face's plane to pixels, of poses (N, 3, 3), (N,) and (N, 2)."""
    depth = rotation[:, :2, 2]
    linear = rotation[:, :2, :2] + depth[:, :, None] * plane[:2]
    shift = depth * plane[2] * scale[:, None] + origin
    maps = np.concatenate([linear * scale[:, None, None], shift[:, :, None]], axis=2)
    return np.asarray(maps, np.float32)


def into_plane(matrix: FloatArray, pixels: FloatArray) -> FloatArray:
    """Pixels (N, P, 2) in the face's plane, under maps (N, 2, 3) from it."""
    back = np.linalg.inv(matrix[:, :, :2].astype(np.float64))
    return np.asarray((pixels - matrix[:, None, :, 2]) @ back.transpose(0, 2, 1), np.float32)


def lay(pixels: FloatArray, pose: tuple[FloatArray, FloatArray, FloatArray], head: FloatArray) -> Laid:
    """Faces in a row, `POINTS` at pixels (N, P, 2), with poses (rotation, scale, origin (N, 2)), smoothed over time."""
    rotation = smooth.smooth_rotations(pose[0], POSE_SIGMA)
    scale = smooth.gaussian(pose[1][:, None], POSE_SIGMA)[:, 0]
    origin = smooth.gaussian(pose[2], POSE_SIGMA)
    matrix = plane_maps(rotation, scale, origin, face_plane(head))
    points = smooth.gaussian(into_plane(matrix, pixels), SHAPE_SIGMA)
    yaw, pitch, _ = euler_from_rotation(rotation)
    return Laid(matrix, points, np.stack([yaw, pitch], 1), rotation, scale, origin)


def own_head(seen: FloatArray) -> FloatArray:
    """The median face (478, 3) of tracked ones (N, 478, 3), canonical frame."""
    head = load_basis().neutral
    for _ in range(2):
        rotation, scale, origin = fit_poses(seen, head)
        canonical = (seen - origin[:, None]) @ rotation / scale[:, None, None]
        head = to_unit_head(np.median(canonical, axis=0).astype(np.float32))
    return head


def videos_of(sources: Sequence[PathLike]) -> list[Path]:
    """The videos among paths, folders standing for what lies in them; InputError where there is none."""
    found: list[Path] = []
    for source in sources:
        path = Path(source)
        if path.is_dir():
            inside = sorted(p for p in path.iterdir() if p.is_file() and not p.name.startswith("."))
            found += [one for one in inside if one.stat().st_size and media.is_video(one)]
        elif media.is_video(path):
            found.append(path)
        else:
            raise InputError(f"{path} is a still picture; the mouths of a person are taken from videos")
    if not found:
        raise InputError(f"{sources[0] if sources else 'nothing'}: no video in it; give videos of one person")
    return found


def build(sources: Sequence[PathLike], report: Progress) -> Bank:
    """The bank of one person's videos, each read once. Raises InputError or NoFaceError.

    Memory is bounded, however long they are.
    """
    paths = videos_of(sources)
    maker = _Maker()
    infos = [media.probe(path) for path in paths]
    total, done = sum(info.frames for info in infos), 0
    names = []
    for number, path in enumerate(paths):
        with closing(_tracked(path)) as pieces:
            for start, frames, faces in pieces:
                maker.add(number, start, frames, faces)
                done += len(frames)
                report("mouths", done, max(total, done))
        names.append({"name": path.name, "sha256": media.sha256_file(path)})
    about = {"engine": "lipsync", "sources": names, "frames": done}
    return maker.finished(about, paths[0])


def _tracked(path: Path) -> Generator[tuple[int, list[Image], list[Face | None]], None, None]:
    """Pieces of a video: number of the first frame, frames, and the followed face of each."""
    info = media.probe(path)
    length = int(np.clip(PIECE_BYTES // (info.width * info.height * 3), *PIECE))
    frames, faces, start = list[Image](), list[Face | None](), 0
    with face.FaceTracker() as tracker, closing(run_ahead(media.read_frames(path))) as reader:
        for frame in reader:
            found = tracker.process(frame.image)
            frames.append(frame.image)
            faces.append(found[0] if found else None)
            if len(frames) == length:
                yield start, frames, faces
                start += len(frames)
                frames, faces = [], []
    if frames:
        yield start, frames, faces


class _Maker:
    """Collects mouths and thins them as they grow too many."""

    def __init__(self) -> None:
        self._head: FloatArray | None = None
        self._grid: Grid | None = None
        self._parts: list[Bank] = []
        self._rests: list[FloatArray] = []
        self._small = False

    def add(self, source: int, start: int, frames: Sequence[Image], faces: Sequence[Face | None]) -> None:
        """The mouths of some frames of a video in a row."""
        there = np.flatnonzero([one is not None for one in faces])
        if not len(there):
            return
        seen = np.stack([one.landmarks for one in faces if one is not None])
        if self._head is None:
            self._head = own_head(seen)
        rotation, scale, origin = fit_poses(seen, self._head)
        laid = lay(seen[:, POINTS, :2], (rotation, scale, origin[:, :2]), self._head)
        if self._grid is None:
            self._grid = Grid.for_unit(float(np.median(scale)))
        good = _usable(seen, laid, frames[0].shape)
        self._small |= bool((laid.scale < LEAST_UNIT).any())
        if not good.any():
            return
        some = np.flatnonzero(good)[:: max(1, int(good.sum()) // 24)]
        self._rests += [(seen[i] - origin[i]) @ rotation[i] / scale[i] for i in some]
        self._parts.append(self._cut(source, start, [frames[i] for i in there[good]], laid, good, there))
        if sum(map(len, self._parts)) > 2 * self._grid.most:
            self._thin()

    def _cut(
        self,
        source: int,
        start: int,
        frames: Sequence[Image],
        laid: Laid,
        good: np.ndarray[tuple[int], np.dtype[np.bool_]],
        there: np.ndarray[tuple[int], np.dtype[np.intp]],
    ) -> Bank:
        assert self._grid is not None
        assert self._head is not None
        grid, points = self._grid, laid.points[good]
        pictures = [grid.cut(image, m) for image, m in zip(frames, laid.matrix[good], strict=True)]
        return Bank(
            crops=np.stack([banks.packed(one) for one in pictures]),
            points=points,
            pose=laid.pose[good],
            colour=np.stack([banks.skin_colour(p, grid, at) for p, at in zip(pictures, points, strict=True)]),
            sharp=np.array(
                [banks.sharpness(p, grid, at) for p, at in zip(pictures, points, strict=True)], np.float32
            ),
            source=np.full(len(points), source, np.int32),
            frame=(start + there[good]).astype(np.int32),
            head=self._head,
            rest=self._head,
            about={},
        )

    def _thin(self) -> None:
        assert self._grid is not None
        whole = banks.joined(self._parts)
        self._parts = [whole.only(banks.thinned(whole.points, whole.pose, self._grid.most))]

    def finished(self, about: dict[str, object], first: Path) -> Bank:
        """The bank with the person's face at rest."""
        if not self._parts:
            if self._small:
                raise NoFaceError(f"{first}: the face is too small; use a video that shows it larger")
            raise NoFaceError(f"{first}: no frame shows a human face from the front; use another video")
        self._thin()
        whole = self._parts[0]
        arrays = {name: getattr(whole, name) for name in banks.FIELDS}
        arrays["rest"] = self._at_rest()
        return Bank(**arrays, about=about)

    def _at_rest(self) -> FloatArray:
        """The face (478, 3) at rest: the mean of the most neutral ones."""
        step = -(-len(self._rests) // RESTS)
        faces = np.stack(self._rests[::step]).astype(np.float32)
        best = most_neutral(faces, np.zeros((len(faces), 3), np.float32))
        return np.asarray(faces[best[: max(1, min(5, len(best) // 4))]].mean(0), np.float32)


def _usable(
    seen: FloatArray, laid: Laid, shape: tuple[int, ...]
) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Which faces (N, 478, 3) show their whole mouth and chin, large and frontal enough, in frames of a shape."""
    lower = seen[:, POINTS, :2]
    inside = ((lower >= 0) & (lower < (shape[1], shape[0]))).all((1, 2))
    good = inside & (laid.scale >= LEAST_UNIT) & (np.abs(laid.pose[:, 0]) <= LARGEST_YAW)
    return np.asarray(good, bool)


def adapt_speech(
    sources: Sequence[PathLike], out: PathLike, report: Progress, *, rights: str | None = None
) -> Bank:
    """Make a bank of one person's videos, and folders of them, and write its file.

    rights: what entitles to the likeness; kept in the file.
    Raises InputError, NoFaceError or OutputError.
    """
    target = media.check_output(out, (banks.SUFFIX,))
    made = build(sources, report)
    if rights is not None:
        made = replace(made, about={**made.about, "rights": rights})
    media.write_whole(target, banks.encode(made))
    return made


def load(path: PathLike) -> Bank:
    """A bank's file as `adapt` writes it; MissingFileError, WeightsError or LimitError."""
    return banks.read(media.check_input(path))


def cached(video: Path, digest: str, report: Progress) -> Bank:
    """The bank of a video itself: found where it was kept the last time, else made and kept.

    digest: the video's SHA-256. A cache that cannot be read is made anew, one that cannot be written is done without.
    """
    folder = _cache()
    file = folder / f"{digest[:40]}-{banks.VERSION}{banks.SUFFIX}"
    if file.is_file():
        with contextlib.suppress(WeightsError, OSError, GiocondaError):
            found = banks.read(file)
            os.utime(file)
            return found
    made = build([video], report)
    with contextlib.suppress(OSError, OutputError):
        folder.mkdir(parents=True, exist_ok=True)
        media.write_whole(file, banks.encode(made))
        _forget_old(folder)
    return made


def _cache() -> Path:
    """Where banks are kept: in GIOCONDA_CACHE, in GIOCONDA_HOME, or the platform's cache folder."""
    home = os.environ.get("GIOCONDA_CACHE") or os.environ.get("GIOCONDA_HOME")
    return Path(home or platformdirs.user_cache_dir("gioconda")) / "mouths"


def _forget_old(folder: Path) -> None:
    """Delete all but the banks used last."""
    kept = sorted(folder.glob(f"*{banks.SUFFIX}"), key=lambda p: p.stat().st_mtime, reverse=True)
    for old in kept[KEPT_BANKS:]:
        old.unlink(missing_ok=True)


def follow(
    path: Path, head: FloatArray, most: int, report: Progress
) -> tuple[Laid, FloatArray, Face, list[float]]:
    """The face of up to `most` frames of a video, laid out by a head: Laid, how surely it was seen (N,) in 0..1,
    the first face, and the frames' times in seconds. NoFaceError where no frame shows one.
    """
    pixels, poses, found, times = (
        list[FloatArray](),
        list[tuple[FloatArray, ...]](),
        list[bool](),
        list[float](),
    )
    first: Face | None = None
    for frame, one in _faces(path, most):
        times.append(frame.time)
        found.append(one is not None)
        if one is not None:
            first = first or one
            pixels.append(one.landmarks[POINTS, :2])
            rotation, scale, origin = fit_poses(one.landmarks[None], head)
            poses.append((rotation[0], scale[:1], origin[0, :2]))
        report("track", len(times), max(most, len(times)))
    if first is None:
        raise NoFaceError(f"{path}: no frame shows a human face that can be tracked; use another video.")
    there = np.array(found)
    spread = []
    for values in (pixels, *zip(*poses, strict=True)):
        stacked = np.stack(values)
        full = np.zeros((len(there), *stacked.shape[1:]), np.float32)
        full[there] = stacked
        spread.append(full)
    points, rotation, scale, origin = smooth.bridge(there.astype(np.float32), *spread)
    laid = lay(points, (rotation, scale[:, 0], origin), head)
    return laid, smooth.gaussian(there.astype(np.float32), 1.5), first, times


def _faces(path: Path, most: int) -> Iterator[tuple[Frame, Face | None]]:
    with face.FaceTracker() as tracker, closing(run_ahead(media.read_frames(path))) as reader:
        for count, frame in enumerate(reader, 1):
            found = tracker.process(frame.image)
            yield frame, found[0] if found else None
            if count >= most:
                return
