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
# Frames whose residual is computed together: an hour of offsets would not fit twice into memory.
CHUNK = 512


class Cut(NamedTuple):
    """The beginning of a take of a driver's video.

    Attributes:
        start: Index of the take's first frame.
        person: Number of the person whom the take shows.
    """

    start: int
    person: int


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
    tracked = np.array([face is not None for face in faces])
    if not tracked.any():
        raise ValueError("no frame has a face")
    spans = _spans(tracked, cuts)
    tracks, seconds = _Tracks.empty(len(faces)), np.asarray(times, np.float64)
    first, *later = _track_people(tracks, faces, spans, seconds)
    expression = solve(tracks.offsets)
    return Motion(
        times=seconds,
        rotation=tracks.rotation,
        translation=tracks.origin,
        scale=tracks.scale,
        expression=expression,
        gaze=gaze_from_coefficients(expression),
        confidence=tracked.astype(np.float32),
        residual=_residual(tracks.offsets, expression),
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


class _Tracks(NamedTuple):
    """Pose and shape of T frames: rotations (T, 3, 3), scales (T,), origins (T, 2), offsets (T, 478, 3), float32.

    Scales and origins are in units of the take, offsets are those from the driver's neutral face.
    """

    rotation: FloatArray
    scale: FloatArray
    origin: FloatArray
    offsets: FloatArray

    @classmethod
    def empty(cls, frames: int) -> _Tracks:
        """Tracks to fill."""
        shapes = ((3, 3), (), (2,), (LANDMARKS, 3))
        return cls(*(np.empty((frames, *shape), np.float32) for shape in shapes))


def _track_people(
    tracks: _Tracks, faces: Sequence[Face | None], spans: Sequence[_Span], times: npt.NDArray[np.float64]
) -> list[Take]:
    """Fill in all frames of `tracks`, which are at `times` (T,) in seconds; the takes of the spans."""
    takes: dict[int, Take] = {}
    for person in dict.fromkeys(span.person for span in spans):
        takes |= _track_person(tracks, faces, [span for span in spans if span.person == person], times)
    return [takes[span.start] for span in spans]


def _track_person(
    tracks: _Tracks, faces: Sequence[Face | None], spans: Sequence[_Span], times: npt.NDArray[np.float64]
) -> dict[int, Take]:
    """Fill in the frames of one person's takes.

    Args:
        tracks: Of all frames; changed.
        faces: Of all frames.
        spans: The person's.
        times: (T,), seconds, of all frames.

    Returns:
        The takes by their first frames.
    """
    frames = np.concatenate([np.arange(span.start, span.stop) for span in spans])
    index = np.array([i for i in frames.tolist() if faces[i] is not None])
    seen = np.stack([face.landmarks for i in index.tolist() if (face := faces[i]) is not None])
    rotation, scale, origin, canonical = _split(seen)
    best = int(most_neutral(canonical, np.stack(euler_from_rotation(rotation), -1))[0])
    parts = [(index >= span.start) & (index < span.stop) for span in spans]
    near = np.flatnonzero(next(part for part in parts if part[best]))
    near = near[np.abs(near - best) <= NEUTRAL_REACH]
    neutral = canonical[near].mean(0).astype(np.float32)
    canonical -= neutral
    framing = (scale[parts[0]], origin[parts[0]])
    takes = {}
    for span, part in zip(spans, parts, strict=True):
        tracked = np.zeros(span.stop - span.start, bool)
        tracked[index[part] - span.start] = True
        values = (rotation[part], scale[part], origin[part], canonical[part])
        unit, shift = _framing(framing, scale[part], origin[part])
        moved = _bridged(values, tracked, times[span.start : span.stop])
        here = slice(span.start, span.stop)
        tracks.rotation[here], tracks.offsets[here] = moved[0], moved[3]
        tracks.scale[here], tracks.origin[here] = (
            moved[1] / unit,
            (moved[2] - np.array(shift, np.float32)) / unit,
        )
        takes[span.start] = Take(span.start, int(index[best]), neutral, unit, shift)
    return takes


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


def _split(seen: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Split landmarks (n, 478, 3) in pixels into pose and shape.

    Returns:
        Rotations (n, 3, 3), scales (n, 1), origins (n, 2) in pixels, points (n, 478, 3) in the canonical frame.
    """
    rotation, scale, origin = fit_own_poses(seen, own_head(seen))
    return rotation, scale[:, None], origin[:, :2], _canonical(seen, rotation, scale, origin)


def _bridged(
    tracks: tuple[FloatArray, FloatArray, FloatArray, FloatArray],
    tracked: npt.NDArray[np.bool_],
    times: npt.NDArray[np.float64],
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Values of the n tracked frames, bridged to all T frames and smoothed over time.

    Args:
        tracks: Rotations (n, 3, 3), scales (n, 1), origins (n, 2), points (n, 478, 3).
        tracked: (T,), whether a frame has a face.
        times: (T,), seconds, increasing.

    Returns:
        Rotations (T, 3, 3), scales (T,), origins (T, 2), points (T, 478, 3).
    """
    if not tracked.all():
        full = (_on_all_frames(track, tracked) for track in tracks)
        rotation, scale, origin, points = smooth.bridge(tracked.astype(np.float32), *full)
    else:
        rotation, scale, origin, points = tracks
    return (
        smooth.smooth_rotations(rotation, POSE_SIGMA, times),
        smooth.gaussian(scale, POSE_SIGMA, times)[:, 0],
        smooth.gaussian(origin, POSE_SIGMA, times),
        smooth.gaussian(points, SHAPE_SIGMA, times),
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
