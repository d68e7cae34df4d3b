"""Head pose: angles and rotations, and the robust similarity between landmarks and a head."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from gioconda.types import FloatArray

# Points that bones hold: eye corners, bridge and sides of the nose, forehead, temples, cheekbones.
RIGID = np.array(
    [
        *[33, 133, 362, 263, 168, 6, 197, 195, 5, 98, 327, 10, 151, 9, 109, 338, 67, 297, 54, 284],
        *[127, 356, 234, 454, 162, 389, 116, 345, 143, 372, 227, 447],
    ]
)
OUTER_EYE_CORNERS = (33, 263)  # viewer's left, viewer's right


def rotation_from_euler(yaw: npt.ArrayLike, pitch: npt.ArrayLike, roll: npt.ArrayLike) -> FloatArray:
    """Rotations (..., 3, 3) from degrees, applied pitch first, roll last.

    yaw > 0 turns the face to the viewer's right, pitch > 0 looks up, roll > 0 tilts clockwise for the viewer.
    """
    y, x, z = np.broadcast_arrays(
        *(np.radians(np.asarray(a, np.float64)) for a in (-np.asarray(yaw), -np.asarray(pitch), roll))
    )
    cx, sx, cy, sy, cz, sz = np.cos(x), np.sin(x), np.cos(y), np.sin(y), np.cos(z), np.sin(z)
    rows = [
        [cz * cy, cz * sy * sx - sz * cx, cz * sy * cx + sz * sx],
        [sz * cy, sz * sy * sx + cz * cx, sz * sy * cx - cz * sx],
        [-sy, cy * sx, cy * cx],
    ]
    return np.asarray(np.stack([np.stack(row, -1) for row in rows], -2), np.float32)


def euler_from_rotation(rotation: npt.NDArray[np.floating[Any]]) -> tuple[FloatArray, FloatArray, FloatArray]:
    """(yaw, pitch, roll) in degrees of rotations (..., 3, 3); the inverse of `rotation_from_euler`."""
    r = np.asarray(rotation, np.float64)
    yaw = np.arcsin(np.clip(r[..., 2, 0], -1, 1))
    pitch = -np.arctan2(r[..., 2, 1], r[..., 2, 2])
    roll = np.arctan2(r[..., 1, 0], r[..., 0, 0])
    return (_degrees(yaw), _degrees(pitch), _degrees(roll))


def _degrees(radians: npt.NDArray[np.float64]) -> FloatArray:
    return np.degrees(radians).astype(np.float32)


@dataclass(frozen=True)
class Pose:
    """Weak-perspective pose of one head: pixels = scale * (canonical @ rotation.T) + origin.

    rotation (3, 3); scale in pixels an inter-ocular distance; origin (3,) in pixels.
    """

    rotation: FloatArray
    scale: float
    origin: FloatArray

    def to_picture(self, canonical: FloatArray) -> FloatArray:
        """Canonical points (N, 3) as pixels of the picture, (N, 3)."""
        return (self.scale * (canonical @ self.rotation.T) + self.origin).astype(np.float32)

    def to_canonical(self, points: FloatArray) -> FloatArray:
        """Pixels (N, 3) as canonical points, (N, 3)."""
        return ((points - self.origin) @ self.rotation / self.scale).astype(np.float32)


def fit_pose(landmarks: FloatArray, head: FloatArray) -> Pose:
    """Pose that lays `head` (478, 3; canonical) on `landmarks` (478, 3; pixels), by its rigid points."""
    rotation, scale, origin = fit_poses(landmarks[None], head)
    return Pose(rotation[0], float(scale[0]), origin[0])


def fit_poses(landmarks: FloatArray, head: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Rotations (T, 3, 3), scales (T,) and origins (T, 3) that lay `head` on landmarks (T, 478, 3).

    Procrustes with iteratively re-weighted points (Geman-McClure), so that a raised brow or a
    wrongly placed temple does not turn the head.
    """
    source, target = head[RIGID].astype(np.float64), landmarks[:, RIGID].astype(np.float64)
    weights = np.ones(target.shape[:2])
    for _ in range(4):
        rotation, scale, origin = _procrustes(source, target, weights)
        laid = scale[:, None, None] * (source @ rotation.transpose(0, 2, 1)) + origin[:, None]
        error = np.linalg.norm(laid - target, axis=2) / scale[:, None]
        spread = np.maximum(1.5 * np.median(error, axis=1, keepdims=True), 1e-3)
        weights = 1 / (1 + (error / spread) ** 2) ** 2
    return rotation.astype(np.float32), scale.astype(np.float32), origin.astype(np.float32)


def _procrustes(
    source: npt.NDArray[np.float64], target: npt.NDArray[np.float64], weights: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Least-squares similarities source (N, 3) -> target (T, N, 3) (Umeyama 1991): turn, scale, shift."""
    w = (weights / weights.sum(1, keepdims=True))[..., None]
    mean_s, mean_t = (w * source).sum(1), (w * target).sum(1)
    s, t = source - mean_s[:, None], target - mean_t[:, None]
    u, d, vt = np.linalg.svd((w * t).transpose(0, 2, 1) @ s)
    flip = np.ones_like(d)
    flip[:, 2] = np.sign(np.linalg.det(u @ vt))
    rotation = (u * flip[:, None]) @ vt
    scale = (d * flip).sum(1) / (w * s * s).sum((1, 2))
    return rotation, scale, mean_t - scale[:, None] * (rotation @ mean_s[..., None])[..., 0]


def to_unit_head(points: FloatArray) -> FloatArray:
    """A head's points (478, 3) moved and scaled into the canonical frame's origin and unit; not turned."""
    left, right = (points[i] for i in OUTER_EYE_CORNERS)
    return np.asarray((points - (left + right) / 2) / np.linalg.norm(right - left), np.float32)


NECK = np.array([0.0, 1.0, 0.9], np.float32)  # about which heads turn, canonical frame


def neck_swing(rotation: FloatArray) -> FloatArray:
    """Where turns about the neck (T, 3, 3) carry the canonical origin in the picture, (T, 2), inter-ocular."""
    swing: FloatArray = -((rotation - np.eye(3, dtype=np.float32)) @ NECK)
    return swing[:, :2]
