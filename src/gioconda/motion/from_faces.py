"""Tracked faces of a video -> `Motion`: pose, the most neutral frame, expression, residual."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from gioconda.motion import smooth
from gioconda.motion.expression import gaze_from_coefficients, load_basis, offsets, solve
from gioconda.motion.neutral import most_neutral
from gioconda.motion.pose import euler_from_rotation, fit_own_poses, fit_poses, to_unit_head
from gioconda.types import Face, FloatArray, Motion

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


def faces_to_motion(
    faces: Sequence[Face | None],
    times: Sequence[float] | npt.NDArray[np.float64],
    frame_size: tuple[int, int],
    *,
    name: str = "motion",
) -> Motion:
    """Turn the tracked faces of a video into a motion.

    Args:
        faces: One a frame; None for a frame without a face, which is bridged from its neighbours.
        times: Seconds, increasing, one a frame.
        frame_size: (width, height) of the video in pixels.
        name: Of the motion, for people.

    Raises:
        ValueError: No frame has a face.
    """
    tracked = np.array([face is not None for face in faces])
    if not tracked.any():
        raise ValueError("no frame has a face")
    rotation, scale, origin, canonical = _split(np.stack([f.landmarks for f in faces if f is not None]))
    angles = np.stack(euler_from_rotation(rotation), -1)
    best = int(most_neutral(canonical, angles)[0])
    neutral = canonical[max(0, best - NEUTRAL_REACH) : best + NEUTRAL_REACH + 1].mean(0)
    canonical -= neutral
    seconds = np.asarray(times, np.float64)
    rotation, scale, origin, canonical = _bridged((rotation, scale, origin, canonical), tracked, seconds)
    expression = solve(canonical)
    unit = float(np.median(scale[tracked]))
    return Motion(
        times=seconds,
        rotation=rotation,
        translation=(origin / unit).astype(np.float32),
        scale=(scale / unit).astype(np.float32),
        expression=expression,
        gaze=gaze_from_coefficients(expression),
        confidence=tracked.astype(np.float32),
        residual=_residual(canonical, expression),
        neutral=neutral.astype(np.float32),
        unit=unit,
        frame_size=frame_size,
        reference=int(np.flatnonzero(tracked)[best]),
        name=name,
    )


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
