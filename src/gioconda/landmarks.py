"""The 478 points of the face mesh: names, mirror images, bounds, plausibility."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from gioconda.assets import asset_path
from gioconda.types import FloatArray

# Left and right are the subject's own; in an upright picture, the right eye is on the viewer's left.
RIGHT_EYE_OUTER, LEFT_EYE_OUTER = 33, 263
# Centres of the irises.
RIGHT_IRIS, LEFT_IRIS = 468, 473

# Points that move little against the skull: eye corners, bridge and sides of the nose, forehead, temples, cheekbones.
RIGID = np.array(
    [
        *[33, 133, 362, 263, 168, 6, 197, 195, 5, 98, 327, 10, 151, 9, 109, 338, 67, 297, 54, 284],
        *[127, 356, 234, 454, 162, 389, 116, 345, 143, 372, 227, 447],
    ]
)
# Passes of the robust fit; the weights no longer change after them.
ROBUST_PASSES = 4
# Scale of the Geman-McClure weights, in medians of the errors, and its least value in inter-ocular units, which keeps
# a perfect fit from dividing by 0.
ROBUST_SCALE, LEAST_SPREAD = 1.5, 1e-3
# Root mean square distance of a face from the mean face, in inter-ocular units; points on a line have 0.5.
FARTHEST_FROM_FACE = 0.45
# Pixels; the squares of larger coordinates lose precision.
LARGEST_COORDINATE = 1e6
# Size relative to the mean face in its unit, below which points coincide.
SMALLEST_SIZE = 1e-6


@lru_cache(maxsize=1)
def mirror_table() -> npt.NDArray[np.int64]:
    """For each of the 478 points, the index of its counterpart on the other side of the face, (478,)."""
    with np.load(asset_path("face_mesh.npz"), allow_pickle=False) as data:
        return np.asarray(data["mirrored"], np.int64)


def inter_ocular(landmarks: npt.NDArray[np.floating[Any]]) -> float:
    """Distance between the outer corners of the eyes, in the unit of the landmarks (478, 2 or 3)."""
    return float(np.linalg.norm(landmarks[LEFT_EYE_OUTER] - landmarks[RIGHT_EYE_OUTER]))


def bounds(landmarks: npt.NDArray[np.floating[Any]]) -> tuple[FloatArray, FloatArray]:
    """Smallest and largest x and y of landmarks (N, 2 or more), each (2,) in their unit."""
    return landmarks[:, :2].min(0), landmarks[:, :2].max(0)


def is_facelike(points: FloatArray) -> bool:
    """Whether landmarks have about the shape of a face, at any angle in the picture, of any size.

    The mean face is fitted to them by the best similarity in the plane. Faces turned by up to 70 degrees pass.

    Args:
        points: (478, 2 or 3), in pixels or any other unit.
    """
    plane = points[:, :2].astype(np.float64)
    if not np.isfinite(plane).all() or np.abs(plane).max() > LARGEST_COORDINATE:
        return False
    mean = _mean_face()
    flat = (plane - plane.mean(0)) @ np.array([1, 1j])
    # A complex number that rotates and scales.
    similarity = np.vdot(mean, flat) / float(np.vdot(mean, mean).real)
    if abs(similarity) < SMALLEST_SIZE:
        return False
    distances = np.abs(flat - similarity * mean) / abs(similarity)
    return bool(np.sqrt((distances**2).mean()) < FARTHEST_FROM_FACE)


@lru_cache(maxsize=1)
def _mean_face() -> np.ndarray[tuple[int], np.dtype[np.complex128]]:
    """The basis's neutral face in the plane, (478,) numbers x + iy relative to its mean, inter-ocular units."""
    with np.load(asset_path("expression_basis.npz"), allow_pickle=False) as data:
        flat = data["neutral"][:, :2].astype(np.float64)
    return np.asarray((flat - flat.mean(0)) @ np.array([1, 1j]), np.complex128)


def fit_similarities(points: FloatArray, targets: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """The similarities that take the rigid points of a head to those of other pictures of it.

    Procrustes with iteratively re-weighted points (Geman-McClure), so that a raised brow or a
    wrongly placed temple does not turn the head.

    Args:
        points: (478, 3), the head, in any unit.
        targets: (T, 478, 3), in pixels.

    Returns:
        Rotations (T, 3, 3), scales (T,) in pixels for one unit, shifts (T, 3) in pixels; float32. A point p moves to
        scale * rotation @ p + shift.
    """
    source, target = points[RIGID].astype(np.float64), targets[:, RIGID].astype(np.float64)
    weights = np.ones(target.shape[:2])
    for _ in range(ROBUST_PASSES):
        rotation, scale, origin = _procrustes(source, target, weights)
        fitted = scale[:, None, None] * (source @ rotation.transpose(0, 2, 1)) + origin[:, None]
        error = np.linalg.norm(fitted - target, axis=2) / scale[:, None]
        spread = np.maximum(ROBUST_SCALE * np.median(error, axis=1, keepdims=True), LEAST_SPREAD)
        weights = 1 / (1 + (error / spread) ** 2) ** 2
    return rotation.astype(np.float32), scale.astype(np.float32), origin.astype(np.float32)


def _procrustes(
    source: npt.NDArray[np.float64], target: npt.NDArray[np.float64], weights: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Least-squares similarities from `source` (N, 3) to `target` (T, N, 3), with `weights` (T, N) (Umeyama 1991).

    Returns:
        Rotations (T, 3, 3), scales (T,), translations (T, 3).
    """
    w = (weights / weights.sum(1, keepdims=True))[..., None]
    mean_s, mean_t = (w * source).sum(1), (w * target).sum(1)
    s, t = source - mean_s[:, None], target - mean_t[:, None]
    u, d, vt = np.linalg.svd((w * t).transpose(0, 2, 1) @ s)
    flip = np.ones_like(d)
    flip[:, 2] = np.sign(np.linalg.det(u @ vt))
    rotation = (u * flip[:, None]) @ vt
    scale = (d * flip).sum(1) / (w * s * s).sum((1, 2))
    return rotation, scale, mean_t - scale[:, None] * (rotation @ mean_s[..., None])[..., 0]
