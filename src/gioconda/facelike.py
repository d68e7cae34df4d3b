"""Whether points that a file calls a face can be one: what is laid on them divides by its distances."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from gioconda.types import FloatArray
from gioconda.weights import asset_path

_FARTHEST = 0.45  # root mean square distance from the mean face, in inter-ocular units; a line has 0.5


def is_facelike(points: FloatArray) -> bool:
    """Whether landmarks (478, 2 or 3) lie as a face's do, upright or not, of any size, turned by up to 70 degrees.

    The mean face is brought onto them by the best similarity in the plane.
    """
    seen = points[:, :2].astype(np.float64)
    if not np.isfinite(seen).all() or np.abs(seen).max() > 1e6:
        return False
    mean = _mean_face()
    flat = (seen - seen.mean(0)) @ np.array([1, 1j])
    size = float(np.vdot(mean, mean).real)
    turn = np.vdot(mean, flat) / size
    if abs(turn) < 1e-6:
        return False
    far = np.abs(flat - turn * mean) / abs(turn)
    return bool(np.sqrt((far**2).mean()) < _FARTHEST)


@lru_cache(maxsize=1)
def _mean_face() -> np.ndarray[tuple[int], np.dtype[np.complex128]]:
    """The basis's neutral face in the plane, x + iy about its middle, inter-ocular units."""
    with np.load(asset_path("expression_basis.npz"), allow_pickle=False) as data:
        flat = data["neutral"][:, :2].astype(np.float64)
    return np.asarray((flat - flat.mean(0)) @ np.array([1, 1j]), np.complex128)
