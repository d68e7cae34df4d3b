"""Tracked faces of a video -> Motion: pose, the most neutral frame, expression, residual."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from gioconda.motion import smooth
from gioconda.motion.expression import gaze_from_coefficients, load_basis, offsets, solve
from gioconda.motion.neutral import most_neutral
from gioconda.motion.pose import euler_from_rotation, fit_poses, to_unit_head
from gioconda.types import Face, FloatArray, Motion

TEMPLATE_FRAMES = 96  # enough for a stable median face
NEUTRAL_REACH = 2  # frames to either side of the neutral one, averaged against the tracker's noise
POSE_SIGMA, SHAPE_SIGMA = 1.0, 0.7  # frames; zero-phase, so nothing lags


def faces_to_motion(
    faces: Sequence[Face | None],
    times: Sequence[float] | npt.NDArray[np.float64],
    frame_size: tuple[int, int],
    *,
    name: str = "motion",
) -> Motion:
    """Motion of a tracked face, frames without a face (None) bridged from their neighbours.

    times: seconds, increasing, one a face. frame_size: (width, height) in pixels.
    ValueError if no frame has a face.
    """
    found = np.array([face is not None for face in faces])
    if not found.any():
        raise ValueError("no frame has a face")
    seen = np.stack([face.landmarks for face in faces if face is not None])
    head = _own_head(seen)
    rotation, scale, origin, canonical = _unpose(seen, head)
    angles = np.stack(euler_from_rotation(rotation), -1)
    chosen = most_neutral(canonical, angles)
    best = int(chosen[0])
    neutral = canonical[max(0, best - NEUTRAL_REACH) : best + NEUTRAL_REACH + 1].mean(0)
    canonical -= neutral

    index = np.flatnonzero(found)
    confidence = found.astype(np.float32)
    scale, origin = scale[:, None], origin[:, :2]
    del seen  # an hour of landmarks need not be held twice
    if not found.all():
        rotation, scale, origin, canonical = smooth.bridge(
            confidence, *(_spread(a, found) for a in (rotation, scale, origin, canonical))
        )
    rotation = smooth.smooth_rotations(rotation, POSE_SIGMA)
    scale, origin = smooth.gaussian(scale, POSE_SIGMA)[:, 0], smooth.gaussian(origin, POSE_SIGMA)
    canonical = smooth.gaussian(canonical, SHAPE_SIGMA)

    expression = solve(canonical)
    unit = float(np.median(scale[found]))
    return Motion(
        times=np.asarray(times, np.float64),
        rotation=rotation,
        translation=(origin / unit).astype(np.float32),
        scale=(scale / unit).astype(np.float32),
        expression=expression,
        gaze=gaze_from_coefficients(expression),
        confidence=confidence,
        residual=_residual(canonical, expression),
        neutral=neutral.astype(np.float32),
        unit=unit,
        frame_size=frame_size,
        reference=int(index[best]),
        name=name,
    )


def _own_head(seen: FloatArray) -> FloatArray:
    """The mover's own median face in the canonical frame, from up to TEMPLATE_FRAMES frames."""
    sample = seen[np.linspace(0, len(seen) - 1, min(len(seen), TEMPLATE_FRAMES)).astype(int)]
    head = load_basis().neutral
    for _ in range(2):
        head = to_unit_head(np.median(_unpose(sample, head)[3], axis=0).astype(np.float32))
    return head


def _unpose(seen: FloatArray, head: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Rotation (n, 3, 3), scale (n,), origin (n, 3) and canonical points (n, 478, 3) of each frame."""
    rotation, scale, origin = fit_poses(seen, head)
    canonical = (seen - origin[:, None]) @ rotation
    canonical /= scale[:, None, None]
    return rotation, scale, origin, canonical


def _spread(values: FloatArray, found: npt.NDArray[np.bool_]) -> FloatArray:
    """Values of the found frames on the time line of all frames; the others hold zeros."""
    full = np.zeros((len(found), *values.shape[1:]), np.float32)
    full[found] = values
    return full


def _residual(canonical: FloatArray, expression: FloatArray) -> npt.NDArray[np.float16]:
    residual = np.empty(canonical.shape, np.float16)
    for start in range(0, len(canonical), 512):  # chunks: an hour of offsets would not fit twice
        part = slice(start, start + 512)
        residual[part] = canonical[part] - offsets(expression[part])
    return residual
