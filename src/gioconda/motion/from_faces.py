"""Tracked faces of a video -> `Motion`: pose, the most neutral frame, expression, residual."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from gioconda.motion import smooth
from gioconda.motion.expression import gaze_from_coefficients, load_basis, offsets, solve
from gioconda.motion.framing import SAME_PLACE, SAME_SIZE
from gioconda.motion.neutral import most_neutral
from gioconda.motion.pose import euler_from_rotation, fit_own_poses, fit_poses, to_unit_head
from gioconda.types import LANDMARKS, Face, FloatArray, Motion, Take

# Frames of which the median face is taken: enough for a stable one.
TEMPLATE_FRAMES = 96
# Passes of pose and median face; the second starts from the person's own face and changes little.
TEMPLATE_PASSES = 2
# Frames to either side of the neutral one that are averaged with it, against the tracker's noise.
NEUTRAL_REACH = 2
# Standard deviations of the smoothing over time, in frames. It is zero-phase, so that nothing lags.
POSE_SIGMA, SHAPE_SIGMA = 1.0, 0.7
# Frames whose pose and residual are computed together: an hour of landmarks would not fit twice into memory.
CHUNK = 512
# Share by which room for further frames grows.
GROWTH = 1 / 8


class Cut(NamedTuple):
    """The beginning of a take of a driver's video.

    Attributes:
        start: Index of the take's first frame.
        person: Number of the person whom the take shows.
    """

    start: int
    person: int


class FaceTrack:
    """The landmarks of one face in a video, which are collected frame by frame. Memory grows by 6 KB a frame."""

    def __init__(self) -> None:
        self._landmarks = np.empty((CHUNK, LANDMARKS, 3), np.float32)
        self._tracked: list[bool] = []

    def add(self, face: Face | None) -> None:
        """Append a frame; None if it does not show the face."""
        count = len(self._tracked)
        if count == len(self._landmarks):
            more = max(CHUNK, int(count * GROWTH))
            # Where the system can move pages, nothing is copied.
            self._landmarks.resize((count + more, LANDMARKS, 3), refcheck=False)
        self._landmarks[count] = 0 if face is None else face.landmarks
        self._tracked.append(face is not None)

    def __len__(self) -> int:
        return len(self._tracked)

    @property
    def landmarks(self) -> FloatArray:
        """(T, 478, 3) float32, pixels; 0 in frames without the face."""
        return self._landmarks[: len(self)]

    @property
    def tracked(self) -> npt.NDArray[np.bool_]:
        """(T,), whether a frame shows the face."""
        return np.array(self._tracked, bool)


def faces_to_motion(
    faces: Sequence[Face | None],
    times: Sequence[float] | npt.NDArray[np.float64],
    frame_size: tuple[int, int],
    *,
    name: str = "motion",
    cuts: Sequence[Cut] = (Cut(0, 0),),
) -> Motion:
    """Turn the tracked faces of a video into a motion.

    Nothing is smoothed or bridged across a cut. Each person has a neutral face of their own. Where another framing, as
    after a zoom, shows the same person, place and size go on as in the first one.

    Args:
        faces: One a frame; None for a frame without a face, which is bridged from its neighbours.
        times: Seconds, increasing, one a frame.
        frame_size: (width, height) of the video in pixels.
        name: Of the motion, for people.
        cuts: The beginnings of the takes, in order; the first is at 0.

    Raises:
        ValueError: No frame has a face.
    """
    track = FaceTrack()
    for face in faces:
        track.add(face)
    return track_to_motion(track, times, frame_size, name=name, cuts=cuts)


def track_to_motion(
    track: FaceTrack,
    times: Sequence[float] | npt.NDArray[np.float64],
    frame_size: tuple[int, int],
    *,
    name: str = "motion",
    cuts: Sequence[Cut] = (Cut(0, 0),),
) -> Motion:
    """As `faces_to_motion`, for a track, which is used up: its landmarks are overwritten, so that they exist once."""
    tracked, points = track.tracked, track.landmarks
    if not tracked.any():
        raise ValueError("no frame has a face")
    spans = _spans(tracked, cuts)
    poses, seconds = _Poses.empty(len(track)), np.asarray(times, np.float64)
    first, *later = _track_people(points, poses, tracked, spans, seconds)
    expression = solve(points)
    return Motion(
        times=seconds,
        rotation=poses.rotation,
        translation=poses.origin,
        scale=poses.scale,
        expression=expression,
        gaze=gaze_from_coefficients(expression),
        confidence=tracked.astype(np.float32),
        residual=_residual(points, expression),
        neutral=first.neutral,
        unit=first.unit,
        frame_size=frame_size,
        reference=first.reference,
        name=name,
        takes=tuple(later),
    )


class _Span(NamedTuple):
    """A take's frames, from `start` up to `stop`, and the number of its person."""

    start: int
    stop: int
    person: int


def _spans(tracked: npt.NDArray[np.bool_], cuts: Sequence[Cut]) -> list[_Span]:
    """The takes of T frames. One without a face belongs to the take before it, or after it at the beginning."""
    stops = [*(cut.start for cut in cuts[1:]), len(tracked)]
    spans: list[_Span] = []
    for (start, person), stop in zip(cuts, stops, strict=True):
        if tracked[start:stop].any():
            spans.append(_Span(start if spans else 0, stop, person))
        elif spans:
            spans[-1] = spans[-1]._replace(stop=stop)
    return spans


class _Poses(NamedTuple):
    """Poses of T frames: rotations (T, 3, 3), scales (T,), origins (T, 2), float32, in units of the take."""

    rotation: FloatArray
    scale: FloatArray
    origin: FloatArray

    @classmethod
    def empty(cls, frames: int) -> _Poses:
        """Poses to fill in."""
        return cls(*(np.empty((frames, *shape), np.float32) for shape in ((3, 3), (), (2,))))


def _track_people(
    points: FloatArray,
    poses: _Poses,
    tracked: npt.NDArray[np.bool_],
    spans: Sequence[_Span],
    times: npt.NDArray[np.float64],
) -> list[Take]:
    """Split the landmarks of all frames into pose and shape.

    Args:
        points: (T, 478, 3), landmarks in pixels. They become offsets from the driver's neutral face.
        poses: Of all frames; filled in.
        tracked: (T,), whether a frame has a face; the others are bridged.
        spans: The takes.
        times: (T,), seconds.

    Returns:
        The takes of the spans.
    """
    takes: dict[int, Take] = {}
    for person in dict.fromkeys(span.person for span in spans):
        own = [span for span in spans if span.person == person]
        takes |= _track_person(points, poses, tracked, own, times)
    return [takes[span.start] for span in spans]


def _track_person(
    points: FloatArray,
    poses: _Poses,
    tracked: npt.NDArray[np.bool_],
    spans: Sequence[_Span],
    times: npt.NDArray[np.float64],
) -> dict[int, Take]:
    """As `_track_people`, of one person's spans; the takes by their first frames."""
    frames = np.concatenate([np.arange(span.start, span.stop) for span in spans])
    index = frames[tracked[frames]]
    rotation, scale, origin = _split(points, index)
    canonical = _rows(points, index)
    best = int(most_neutral(canonical, np.stack(euler_from_rotation(rotation), -1))[0])
    parts = [(index >= span.start) & (index < span.stop) for span in spans]
    near = np.flatnonzero(next(part for part in parts if part[best]))
    near = near[np.abs(near - best) <= NEUTRAL_REACH]
    neutral = canonical[near].mean(0).astype(np.float32)
    # It may be a copy.
    del canonical
    framing = (scale[parts[0]], origin[parts[0]])
    takes = {}
    for span, part in zip(spans, parts, strict=True):
        here = slice(span.start, span.stop)
        points[here] -= neutral
        unit, shift = _framing(framing, scale[part], origin[part])
        smooth_pose = _bridged((rotation[part], scale[part], origin[part]), tracked[here], times[here])
        smooth.fill_gaps(tracked[here].astype(np.float32), points[here])
        smooth.gaussian(points[here], SHAPE_SIGMA, times[here], in_place=True)
        poses.rotation[here], poses.scale[here] = smooth_pose[0], smooth_pose[1] / unit
        poses.origin[here] = (smooth_pose[2] - np.array(shift, np.float32)) / unit
        takes[span.start] = Take(span.start, int(index[best]), neutral, unit, shift)
    return takes


def _rows(values: FloatArray, index: npt.NDArray[np.int_]) -> FloatArray:
    """The values (n, ...) of the indices, which increase; not a copy where they are all that lie between."""
    first, last = int(index[0]), int(index[-1])
    return values[first : last + 1] if last + 1 - first == len(index) else values[index]


def _framing(
    first: tuple[FloatArray, FloatArray], scale: FloatArray, origin: FloatArray
) -> tuple[float, tuple[float, float]]:
    """Unit in pixels and shift (x, y) of a take, of which the person's first take has the same median place and size.

    first: scales (n, 1) and origins (n, 2) of the first take, in pixels. scale and origin: likewise, of the take.
    """
    unit, place = float(np.median(first[0])), np.median(first[1], axis=0)
    growth = float(np.median(scale)) / unit
    away = np.median(origin, axis=0) - place
    if abs(np.log(growth)) < SAME_SIZE and np.hypot(*away) < SAME_PLACE * unit:
        return unit, (0.0, 0.0)
    x, y = (away + place * (1 - growth)).tolist()
    return unit * growth, (x, y)


def _split(points: FloatArray, index: npt.NDArray[np.int_]) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Split landmarks into pose and shape.

    Args:
        points: (T, 478, 3), pixels. Those of the indices are moved to the canonical frame.
        index: (n,), increasing.

    Returns:
        Rotations (n, 3, 3), scales (n, 1), origins (n, 2) in pixels.
    """
    sample = np.linspace(0, len(index) - 1, min(len(index), TEMPLATE_FRAMES)).astype(int)
    head = own_head(points[index[sample]])
    poses = []
    for start in range(0, len(index), CHUNK):
        rows = index[start : start + CHUNK]
        seen = points[rows]
        rotation, scale, origin = fit_own_poses(seen, head)
        points[rows] = _canonical(seen, rotation, scale, origin)
        poses.append((rotation, scale[:, None], origin[:, :2]))
    rotations, scales, origins = (np.concatenate(values) for values in zip(*poses, strict=True))
    return rotations, scales, origins


def _bridged(
    poses: tuple[FloatArray, FloatArray, FloatArray],
    tracked: npt.NDArray[np.bool_],
    times: npt.NDArray[np.float64],
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Poses of the n tracked frames, bridged to all T frames and smoothed over time.

    Args:
        poses: Rotations (n, 3, 3), scales (n, 1), origins (n, 2).
        tracked: (T,), whether a frame has a face.
        times: (T,), seconds, increasing.

    Returns:
        Rotations (T, 3, 3), scales (T,), origins (T, 2).
    """
    full = tuple(_on_all_frames(values, tracked) for values in poses)
    smooth.fill_gaps(tracked.astype(np.float32), *full)
    rotation, scale, origin = full
    return (
        smooth.smooth_rotations(rotation, POSE_SIGMA, times),
        smooth.gaussian(scale, POSE_SIGMA, times)[:, 0],
        smooth.gaussian(origin, POSE_SIGMA, times),
    )


def own_head(seen: FloatArray) -> FloatArray:
    """The person's own median face, from up to TEMPLATE_FRAMES frames.

    Args:
        seen: (T, 478, 3), landmarks in pixels.

    Returns:
        (478, 3) float32, canonical frame.
    """
    sample = seen[np.linspace(0, len(seen) - 1, min(len(seen), TEMPLATE_FRAMES)).astype(int)]
    head = load_basis().neutral
    for _ in range(TEMPLATE_PASSES):
        straight = _canonical(sample, *fit_poses(sample, head))
        head = to_unit_head(np.median(straight, axis=0).astype(np.float32))
    return head


def _canonical(seen: FloatArray, rotation: FloatArray, scale: FloatArray, origin: FloatArray) -> FloatArray:
    """Landmarks (n, 478, 3) in the canonical frame: pixels with the pose removed."""
    canonical = np.asarray((seen - origin[:, None]) @ rotation, np.float32)
    canonical /= scale[:, None, None]
    return canonical


def _on_all_frames(values: FloatArray, tracked: npt.NDArray[np.bool_]) -> FloatArray:
    """Values (n, ...) of the tracked frames among all T frames; the others are 0."""
    full = np.zeros((len(tracked), *values.shape[1:]), np.float32)
    full[tracked] = values
    return full


def _residual(canonical: FloatArray, expression: FloatArray) -> npt.NDArray[np.float16]:
    """What coefficients (T, 52) leave unexplained of landmark offsets (T, 478, 3)."""
    residual = np.empty(canonical.shape, np.float16)
    for start in range(0, len(canonical), CHUNK):
        part = slice(start, start + CHUNK)
        residual[part] = canonical[part] - offsets(expression[part])
    return residual
