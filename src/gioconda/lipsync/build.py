"""Build the mouth texture database of one person from videos in which the person speaks."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np

from gioconda import media
from gioconda.errors import InputError, NoFaceError
from gioconda.lipsync import database
from gioconda.lipsync.database import Grid, MouthDatabase
from gioconda.lipsync.layout import FaceLayout, layout_faces, median_head
from gioconda.lipsync.points import POINTS
from gioconda.motion.neutral import most_neutral
from gioconda.motion.pose import fit_poses
from gioconda.requests import Adapt, Adapted
from gioconda.runtime.text import readable
from gioconda.tracking import tracked_frames
from gioconda.types import Face, FloatArray, Frame, Image, PathLike, Progress

# Bytes of the frames that are processed together, and how many frames these are at least and at most.
PIECE_BYTES, PIECE = 96 * 2**20, (16, 256)
# Pixels between the outer eye corners, below which a mouth has too few pixels to be shown.
LEAST_UNIT = 24.0
# Degrees. Beyond, half of the mouth is hidden.
LARGEST_YAW = 40.0
# Faces among which the face at rest is sought, at most, and those of a piece that are candidates.
RESTS, PIECE_RESTS = 600, 24
# Neutral faces whose mean is the face at rest: this many, but at most this fraction of the neutral ones.
REST_FACES, REST_FRACTION = 5, 4


def videos_of(sources: Sequence[PathLike]) -> list[Path]:
    """List the videos of paths; a folder stands for the videos in it.

    Raises:
        InputError: A path is a still picture, or there is no video at all.
    """
    videos: list[Path] = []
    for source in sources:
        path = Path(source)
        if path.is_dir():
            inside = sorted(p for p in path.iterdir() if p.is_file() and not p.name.startswith("."))
            videos += [file for file in inside if file.stat().st_size and media.is_video(file)]
        elif media.is_video(path):
            videos.append(path)
        else:
            raise InputError(f"{path} is a still picture; give videos of one person")
    if not videos:
        where = f"{sources[0]} contains no video" if sources else "there is no video"
        raise InputError(f"{where}; give videos of one person")
    return videos


def build_database(sources: Sequence[PathLike], progress: Progress) -> MouthDatabase:
    """Build the mouth texture database of one person's videos. Memory is bounded, however long they are.

    Args:
        sources: Videos, and folders of videos.
        progress: Called with stage, frames done and frames in total.

    Raises:
        InputError: A path is not a video.
        NoFaceError: No frame shows a face from the front that is large enough.
    """
    paths = videos_of(sources)
    builder = _DatabaseBuilder()
    infos = [media.probe(path) for path in paths]
    total, done = sum(info.frames for info in infos), 0
    names = []
    for number, path in enumerate(paths):
        with closing(_tracked(path)) as pieces:
            for start, frames, faces in pieces:
                builder.add(number, start, frames, faces)
                done += len(frames)
                progress("mouths", done, max(total, done))
        names.append({"name": readable(path.name), "sha256": media.sha256_file(path)})
    about = {"engine": "lipsync", "sources": names, "frames": done}
    return builder.finished(about, paths[0])


def _tracked(path: Path) -> Generator[tuple[int, list[Frame], list[Face | None]], None, None]:
    """Pieces of a video: the index of the first frame, the frames, and the tracked face of each."""
    info = media.probe(path)
    length = int(np.clip(PIECE_BYTES // (info.width * info.height * 3), *PIECE))
    frames, faces, start = list[Frame](), list[Face | None](), 0
    with closing(tracked_frames(path, one_person=True)) as tracked:
        for frame, face, *_ in tracked:
            frames.append(frame)
            faces.append(face)
            if len(frames) == length:
                yield start, frames, faces
                start += len(frames)
                frames, faces = [], []
    if frames:
        yield start, frames, faces


class _DatabaseBuilder:
    """Collects mouths, and reduces them to a diverse selection where they grow too many."""

    def __init__(self) -> None:
        self._head: FloatArray | None = None
        self._grid: Grid | None = None
        self._parts: list[MouthDatabase] = []
        self._rests: list[FloatArray] = []
        self._small = False

    def add(self, source: int, start: int, frames: Sequence[Frame], faces: Sequence[Face | None]) -> None:
        """Add the mouths of consecutive frames of video number `source`, the first of which has index `start`."""
        tracked = np.flatnonzero([face is not None for face in faces])
        if not len(tracked):
            return
        seen = np.stack([face.landmarks for face in faces if face is not None])
        if self._head is None:
            self._head = median_head(seen)
        rotation, scale, origin = fit_poses(seen, self._head)
        times = np.array([frames[i].time for i in tracked.tolist()])
        layout = layout_faces(seen[:, POINTS, :2], (rotation, scale, origin[:, :2]), self._head, times)
        if self._grid is None:
            self._grid = Grid.for_unit(float(np.median(scale)))
        usable = _usable(seen, layout, frames[0].image.shape)
        self._small |= bool((layout.scale < LEAST_UNIT).any())
        if not usable.any():
            return
        sample = np.flatnonzero(usable)[:: max(1, int(usable.sum()) // PIECE_RESTS)]
        self._rests += [(seen[i] - origin[i]) @ rotation[i] / scale[i] for i in sample]
        images = [frames[i].image for i in tracked[usable]]
        self._parts.append(self._cropped(source, start, images, layout, usable, tracked))
        if sum(map(len, self._parts)) > 2 * self._grid.capacity:
            self._thin()

    def _cropped(
        self,
        source: int,
        start: int,
        frames: Sequence[Image],
        layout: FaceLayout,
        usable: np.ndarray[tuple[int], np.dtype[np.bool_]],
        tracked: np.ndarray[tuple[int], np.dtype[np.intp]],
    ) -> MouthDatabase:
        """The mouths of usable frames.

        tracked: (n,), indices of all frames with a face. usable: (n,) bool, which of these `frames` are.
        """
        assert self._grid is not None
        assert self._head is not None
        grid, points = self._grid, layout.points[usable]
        pictures = [grid.crop(image, m) for image, m in zip(frames, layout.matrix[usable], strict=True)]
        return MouthDatabase(
            crops=np.stack([database.to_yuv420(picture) for picture in pictures]),
            points=points,
            pose=layout.pose[usable],
            colour=np.stack(
                [database.skin_colour(p, grid, at) for p, at in zip(pictures, points, strict=True)]
            ),
            sharp=np.array(
                [database.sharpness(p, grid, at) for p, at in zip(pictures, points, strict=True)], np.float32
            ),
            source=np.full(len(points), source, np.int32),
            frame=(start + tracked[usable]).astype(np.int32),
            head=self._head,
            rest=self._head,
            about={},
        )

    def _thin(self) -> None:
        """Reduce the mouths to as many as a database keeps."""
        assert self._grid is not None
        whole = database.concatenate(self._parts)
        kept = database.select_diverse(whole.points, whole.pose, self._grid.capacity)
        self._parts = [whole.subset(kept)]

    def finished(self, about: dict[str, object], first: Path) -> MouthDatabase:
        """The database with the person's face at rest; NoFaceError where no mouth was added."""
        if not self._parts:
            if self._small:
                raise NoFaceError(f"{first}: the face is too small; use a video that shows it larger")
            raise NoFaceError(f"{first}: no frame shows a human face from the front; use another video")
        self._thin()
        whole = self._parts[0]
        arrays = {name: getattr(whole, name) for name in database.FIELDS}
        arrays["rest"] = self._at_rest()
        return MouthDatabase(**arrays, about=about)

    def _at_rest(self) -> FloatArray:
        """The face (478, 3) at rest, canonical frame: the mean of the most neutral ones."""
        step = -(-len(self._rests) // RESTS)
        faces = np.stack(self._rests[::step]).astype(np.float32)
        best = most_neutral(faces, np.zeros((len(faces), 3), np.float32))
        count = max(1, min(REST_FACES, len(best) // REST_FRACTION))
        return np.asarray(faces[best[:count]].mean(0), np.float32)


def _usable(
    seen: FloatArray, layout: FaceLayout, shape: tuple[int, ...]
) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Which faces (N, 478, 3) show their whole mouth and chin, large and frontal enough: (N,) bool.

    shape: (H, W, ...) of the frames.
    """
    lower = seen[:, POINTS, :2]
    inside = ((lower >= 0) & (lower < (shape[1], shape[0]))).all((1, 2))
    usable = inside & (layout.scale >= LEAST_UNIT) & (np.abs(layout.pose[:, 0]) <= LARGEST_YAW)
    return np.asarray(usable, bool)


def carry_out(request: Adapt) -> Adapted:
    """Collect the mouths of one person's videos, and write their file.

    Raises:
        InputError, NoFaceError, OutputError: As `adapt_speech` does.
    """
    assert request.out is not None
    bank = adapt_speech(
        request.sources, request.out, request.progress or (lambda *_: None), rights=request.rights
    )
    return Adapted(Path(request.out), f"{len(bank)} mouths of {bank.about['frames']} frames")


def adapt_speech(
    sources: Sequence[PathLike], out: PathLike, progress: Progress, *, rights: str | None = None
) -> MouthDatabase:
    """Build the mouth texture database of one person's videos, and write its file.

    Args:
        sources: Videos, and folders of videos.
        out: The file to write, `.safetensors`.
        progress: Called with stage, frames done and frames in total.
        rights: What entitles the user to the person's likeness; the file keeps it.

    Raises:
        InputError: A path is not a video.
        NoFaceError: No frame shows a face from the front that is large enough.
        OutputError: The file cannot be written.
    """
    target = media.check_output(out, (database.SUFFIX,))
    mouths = build_database(sources, progress)
    if rights is not None:
        mouths = replace(mouths, about={**mouths.about, "rights": rights})
    media.write_whole(target, database.encode(mouths))
    return mouths


def load_database(path: PathLike) -> MouthDatabase:
    """Read a database's file, as `adapt --for speech` writes it.

    Raises:
        MissingFileError: The file does not exist.
        WeightsError: The file is damaged or is not a mouth texture database.
        LimitError: The file is too large.
    """
    return database.read(media.check_input(path))
