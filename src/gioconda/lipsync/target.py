"""The target video: its tracked faces, its even moments, and the order in which these are shown."""

from __future__ import annotations

import dataclasses
from collections import deque
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from gioconda import media
from gioconda.errors import NoFaceError
from gioconda.lipsync import retime
from gioconda.lipsync.layout import FaceLayout, layout_faces, to_plane
from gioconda.lipsync.points import POINTS
from gioconda.motion import smooth
from gioconda.motion.pose import fit_poses
from gioconda.runtime.prefetch import run_ahead
from gioconda.tracking import tracked_frames
from gioconda.types import Face, FloatArray, Image, Progress

IntArray = npt.NDArray[np.intp]

# Frames (sigma) over which the new mouth fades out where the face is lost.
CONFIDENCE_SIGMA = 1.5
# Seconds between the target's moments at most, so that lips move smoothly over a film of few frames a second.
LONGEST_STEP = 0.07
# Relative distance from the median within which the time from one frame to the next counts as regular.
REGULAR = 0.5


@dataclass(frozen=True, eq=False)
class TrackedTarget:
    """The tracked face of a target video of N frames.

    Attributes:
        layout: Of its N faces, bridged where a frame shows none.
        confidence: (N,) float32, 0 to 1, how surely each frame shows the face.
        times: (N,) float64, seconds, from 0.
        face: The first face.
        seen: Seconds at which it appears.
    """

    layout: FaceLayout
    confidence: FloatArray
    times: npt.NDArray[np.float64]
    face: Face
    seen: float


def track_target(path: Path, head: FloatArray, seconds: float, progress: Progress) -> TrackedTarget:
    """Track the face of a video.

    Args:
        path: The video.
        head: (478, 3), the person's own head in the canonical frame.
        seconds: How much of the video to track; more, where the face comes later.
        progress: Called with stage, frames done and frames in total.

    Raises:
        NoFaceError: No frame shows a face.
    """
    pixels: list[FloatArray] = []
    poses: list[tuple[FloatArray, ...]] = []
    tracked: list[bool] = []
    takes: list[int] = []
    times: list[float] = []
    first: tuple[Face, float] | None = None
    info = media.probe(path)
    expected = min(info.frames, round(seconds * info.fps))
    with closing(tracked_frames(path, one_person=True)) as frames:
        for frame, face, take, _ in frames:
            if frame.time > seconds and first is not None:
                break
            times.append(frame.time)
            takes.append(take)
            tracked.append(face is not None)
            if face is not None:
                first = first or (face, frame.time)
                pixels.append(face.landmarks[POINTS, :2])
                rotation, scale, origin = fit_poses(face.landmarks[None], head)
                poses.append((rotation[0], scale[:1], origin[0, :2]))
            progress("track", len(times), max(expected, len(times)))
    if first is None:
        raise NoFaceError(f"{path}: no frame shows a human face that can be tracked; use another video.")
    seconds_of = np.array(times, np.float64)
    layout, confidence = _bridged_layout(pixels, poses, np.array(tracked), np.array(takes), head, seconds_of)
    return TrackedTarget(layout, confidence, seconds_of, *first)


def _bridged_layout(
    pixels: list[FloatArray],
    poses: list[tuple[FloatArray, ...]],
    tracked: npt.NDArray[np.bool_],
    takes: IntArray,
    head: FloatArray,
    times: npt.NDArray[np.float64],
) -> tuple[FaceLayout, FloatArray]:
    """The layout of all N frames, those without a face filled from their neighbours, and the confidence (N,).

    Nothing is smoothed across the cuts between `takes` (N,). A take without the face has confidence 0.
    """
    columns = []
    for values in (pixels, *zip(*poses, strict=True)):
        stacked = np.stack(values)
        column = np.zeros((len(tracked), *stacked.shape[1:]), np.float32)
        column[tracked] = stacked
        columns.append(column)
    seen = tracked.astype(np.float32)
    bridged = smooth.bridge(seen, *columns)
    layouts, confidence = [], np.empty(len(seen), np.float32)
    starts = np.flatnonzero(np.diff(takes, prepend=-1))
    for start, stop in zip(starts, [*starts[1:], len(takes)], strict=True):
        take = slice(start, stop)
        # A take without the face keeps what is bridged across it: nothing is drawn there.
        inside = (
            smooth.bridge(seen[take], *(column[take] for column in columns)) if tracked[take].any() else ()
        )
        points, rotation, scale, origin = inside or (values[take] for values in bridged)
        layouts.append(layout_faces(points, (rotation, scale[:, 0], origin), head, times[take]))
        confidence[take] = smooth.gaussian(seen[take], CONFIDENCE_SIGMA, times[take])
    fields = (field.name for field in dataclasses.fields(FaceLayout))
    whole = {name: np.concatenate([getattr(layout, name) for layout in layouts]) for name in fields}
    return FaceLayout(**whole), confidence


def even_moments(times: npt.NDArray[np.float64], fps: float) -> tuple[float, IntArray]:
    """Divide a video into even moments, to each of which the nearest moment's frames of a variable rate are rounded.

    Args:
        times: (N,), the frames' times in seconds, increasing from 0.
        fps: The rate that the file declares, for a video of a single frame.

    Returns:
        The seconds from one moment to the next: the video's regular step, or a whole part of a long one. And (K,), the
        frame that each moment shows.
    """
    gaps = np.diff(times)
    step = 1 / fps
    if len(gaps):
        median = np.median(gaps)
        step = float(gaps[np.abs(gaps - median) <= REGULAR * median].mean())
    step /= np.ceil(step / LONGEST_STEP)
    moments = np.arange(round(times[-1] / step) + 1) * step
    shown = np.searchsorted(times, moments + step / 2, side="right") - 1
    return step, np.asarray(shown, np.intp)


class Target:
    """The target's faces in the order in which they are shown: half-way between two where a moment is shown twice.

    Attributes:
        first: (T,), the target's frame at each output frame.
        second: (T,), the next moment's frame where the first is shown for the second time, else the first.
        repeated: (T,) bool, whether an output frame repeats the moment before.
        held: Frames that must be held to show them in this order.
    """

    def __init__(self, layout: FaceLayout, shown: IntArray, positions: IntArray, tail: int) -> None:
        """Order a layout of N faces.

        Args:
            layout: The target's faces.
            shown: (K,), the frame at each moment, of `even_moments`.
            positions: (T,), positions along these moments, of `retime`.
            tail: The number of last moments over which a short target plays back and forth.
        """
        self.repeated = np.r_[False, positions[1:] == positions[:-1]]
        self.first = shown[retime.to_and_fro(positions, len(shown), tail)]
        second = shown[retime.to_and_fro(positions + 1, len(shown), tail)]
        self.second = np.where(self.repeated, second, self.first)
        both = np.stack([self.first, self.second], 1).ravel()
        self.held = int((np.maximum.accumulate(both) - both).max()) + 1
        self._layout = layout

    def mean(self, name: str, moments: slice | IntArray) -> FloatArray:
        """A field of the layout at t output frames, (t, ...) float32: the mean of first and second frame."""
        values = getattr(self._layout, name)
        return np.asarray((values[self.first[moments]] + values[self.second[moments]]) / 2, np.float32)

    def mouth_points(self, points: FloatArray, moments: slice | IntArray) -> FloatArray:
        """Project points (t, P, 3) of the canonical frame to the face's plane at t output frames, (t, P, 2)."""
        names = ("matrix", "rotation", "scale", "origin")
        return project_to_plane(points, *(self.mean(name, moments) for name in names))


def project_to_plane(
    points: FloatArray, matrix: FloatArray, rotation: FloatArray, scale: FloatArray, origin: FloatArray
) -> FloatArray:
    """Project points of the head to the face's plane, as t frames show them.

    Args:
        points: (t or 1, P, 3), canonical frame.
        matrix: (t, 2, 3), of a `FaceLayout`, as the next three.
        rotation: (t, 3, 3).
        scale: (t,), pixels an inter-ocular unit.
        origin: (t, 2), pixels.

    Returns:
        (t, P, 2) float32, in inter-ocular units of the plane.
    """
    pixels = scale[:, None, None] * (points @ rotation.transpose(0, 2, 1))[..., :2]
    return to_plane(matrix, pixels + origin[:, None])


class Replay:
    """Frames of a video by number: forward as the decoder gives them, and back as far as some are held."""

    def __init__(self, path: Path, held: int) -> None:
        """Open a video, of which the last `held` frames that were read stay in memory."""
        self._frames = run_ahead(media.read_frames(path))
        self._held: deque[Image] = deque(maxlen=held)
        self._last = -1

    def __enter__(self) -> Replay:
        return self

    def __exit__(self, *_: object) -> None:
        self._frames.close()

    def __getitem__(self, index: int) -> Image:
        """Frame `index`, (H, W, 3) uint8; the last one where the video gives fewer frames than before."""
        while self._last < index:
            frame = next(self._frames, None)
            if frame is None:
                break
            self._held.append(frame.image)
            self._last += 1
        back = min(max(self._last - index, 0), len(self._held) - 1)
        return self._held[-1 - back]
