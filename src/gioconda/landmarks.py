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
