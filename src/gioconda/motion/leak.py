"""Correct fitted poses for what leaks into them from the expression, so that a smile does not nod the head."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from gioconda.assets import asset_array
from gioconda.types import LANDMARKS, FloatArray

Doubles = npt.NDArray[np.float64]

# The largest correction, in radians, log units and inter-ocular units alike. No expression leaks more, but a hand in
# front of the face, which the training data of the correction lacks, would seem to.
LIMIT = 0.12
# Frames corrected together: an hour of landmarks would not fit twice into memory.
CHUNK = 512
# Radians; keeps the axis of a rotation by nothing finite.
TINY = 1e-12


@lru_cache(maxsize=1)
def load_correction() -> FloatArray:
    """Return the packaged correction, which is read once in a process.

    Returns:
        (7, 478 * 3) float32, read-only. Rows: rotation vector (3) in radians, logarithm of the scale, shift (3) in
        inter-ocular units, per unit of landmark offset in the canonical frame.

    Raises:
        WeightsError: The file is absent or damaged.
    """
    return asset_array("pose_correction.npz", "correction", (7, LANDMARKS * 3))


def without_leak(
    landmarks: FloatArray, head: FloatArray, rotation: FloatArray, scale: FloatArray, origin: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Correct the poses of one person's head for the expression.

    The tracker moves the whole mesh with the mouth and the lids: a smile turns forehead and nose by some two
    degrees, an open jaw enlarges them. A linear map from the landmarks without their pose predicts by how much;
    `scripts/build_pose_correction.py` fits it.

    Args:
        landmarks: (T, 478, 3) pixels.
        head: (478, 3), the same person's face in the canonical frame. With another person's face, the correction
            would mistake shape for expression.
        rotation: (T, 3, 3), canonical frame to picture axes.
        scale: (T,), pixels per inter-ocular distance.
        origin: (T, 3), pixels.

    Returns:
        Rotation, scale and origin, float32, in the shapes of the arguments.
    """
    correction, leak = load_correction().T, np.empty((len(landmarks), 7))
    for start in range(0, len(landmarks), CHUNK):
        part = slice(start, start + CHUNK)
        canonical = (landmarks[part] - origin[part, None]) @ rotation[part] / scale[part, None, None]
        leak[part] = (canonical - head).reshape(len(canonical), -1) @ correction
    leak = LIMIT * np.tanh(leak / LIMIT)
    new_rotation = rotation @ _rotations(-leak[:, :3])
    new_scale = scale * np.exp(-leak[:, 3])
    new_origin = origin - new_scale[:, None] * (new_rotation @ leak[:, 4:, None])[..., 0]
    return new_rotation.astype(np.float32), new_scale.astype(np.float32), new_origin.astype(np.float32)


def _rotations(vectors: Doubles) -> Doubles:
    """Rotations (T, 3, 3) of rotation vectors (T, 3) in radians, by Rodrigues' formula."""
    angle = np.linalg.norm(vectors, axis=1)[:, None, None]
    x, y, z = (vectors / np.maximum(angle[:, 0], TINY)).T
    zero = np.zeros_like(x)
    cross = np.stack([zero, -z, y, z, zero, -x, -y, x, zero], axis=1).reshape(-1, 3, 3)
    rotations: Doubles = np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * (cross @ cross)
    return rotations
