"""Head pose: Euler angles and rotations, and the robust similarity that fits a head to landmarks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from gioconda.motion.leak import without_leak
from gioconda.types import FloatArray

# Points that move little against the skull: eye corners, bridge and sides of the nose, forehead, temples, cheekbones.
RIGID = np.array(
    [
        *[33, 133, 362, 263, 168, 6, 197, 195, 5, 98, 327, 10, 151, 9, 109, 338, 67, 297, 54, 284],
        *[127, 356, 234, 454, 162, 389, 116, 345, 143, 372, 227, 447],
    ]
)
# Viewer's left, viewer's right.
OUTER_EYE_CORNERS = (33, 263)
# Passes of the robust fit; the weights no longer change after them.
ROBUST_PASSES = 4
# Scale of the Geman-McClure weights, in medians of the errors, and its least value in inter-ocular units, which keeps
# a perfect fit from dividing by 0.
ROBUST_SCALE, LEAST_SPREAD = 1.5, 1e-3
# The point about which heads turn, canonical frame: in the neck, below and behind the eyes.
NECK = np.array([0.0, 1.0, 0.9], np.float32)


def rotation_from_euler(yaw: npt.ArrayLike, pitch: npt.ArrayLike, roll: npt.ArrayLike) -> FloatArray:
    """Rotations, canonical head frame to picture axes, from angles of any common shape (...).

    Args:
        yaw: Degrees; positive turns the face to the viewer's right. Applied second.
        pitch: Degrees; positive looks up. Applied first.
        roll: Degrees; positive tilts clockwise for the viewer. Applied last.

    Returns:
        (..., 3, 3) float32.
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
    """Yaw, pitch and roll in degrees, each (...) float32, of rotations (..., 3, 3); inverts `rotation_from_euler`."""
    r = np.asarray(rotation, np.float64)
    yaw = np.arcsin(np.clip(r[..., 2, 0], -1, 1))
    pitch = -np.arctan2(r[..., 2, 1], r[..., 2, 2])
    roll = np.arctan2(r[..., 1, 0], r[..., 0, 0])
    return (_degrees(yaw), _degrees(pitch), _degrees(roll))


def _degrees(radians: npt.NDArray[np.float64]) -> FloatArray:
    """Radians as degrees, float32."""
    return np.degrees(radians).astype(np.float32)


@dataclass(frozen=True)
class Pose:
    """Weak-perspective pose of one head: pixels = scale * (canonical @ rotation.T) + origin.

    Attributes:
        rotation: (3, 3) float32, canonical head frame to picture axes.
        scale: Pixels per inter-ocular distance.
        origin: (3,) float32, pixels.
    """

    rotation: FloatArray
    scale: float
    origin: FloatArray

    def to_picture(self, canonical: FloatArray) -> FloatArray:
        """Canonical points (N, 3) in pixels of the picture, (N, 3) float32."""
        return (self.scale * (canonical @ self.rotation.T) + self.origin).astype(np.float32)

    def to_canonical(self, points: FloatArray) -> FloatArray:
        """Points (N, 3) in pixels, moved to the canonical frame, (N, 3) float32."""
        return ((points - self.origin) @ self.rotation / self.scale).astype(np.float32)


def fit_pose(landmarks: FloatArray, head: FloatArray) -> Pose:
    """The pose that fits the rigid points of `head` (478, 3; canonical) to `landmarks` (478, 3; pixels)."""
    rotation, scale, origin = fit_poses(landmarks[None], head)
    return Pose(rotation[0], float(scale[0]), origin[0])


def fit_poses(landmarks: FloatArray, head: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Fit the rigid points of a head to landmarks.

    Procrustes with iteratively re-weighted points (Geman-McClure), so that a raised brow or a
    wrongly placed temple does not turn the head.

    Args:
        landmarks: (T, 478, 3), pixels.
        head: (478, 3), canonical frame.

    Returns:
        Rotations (T, 3, 3), scales (T,) in pixels per inter-ocular distance, origins (T, 3) in pixels; float32.
    """
    source, target = head[RIGID].astype(np.float64), landmarks[:, RIGID].astype(np.float64)
    weights = np.ones(target.shape[:2])
    for _ in range(ROBUST_PASSES):
        rotation, scale, origin = _procrustes(source, target, weights)
        fitted = scale[:, None, None] * (source @ rotation.transpose(0, 2, 1)) + origin[:, None]
        error = np.linalg.norm(fitted - target, axis=2) / scale[:, None]
        spread = np.maximum(ROBUST_SCALE * np.median(error, axis=1, keepdims=True), LEAST_SPREAD)
        weights = 1 / (1 + (error / spread) ** 2) ** 2
    return rotation.astype(np.float32), scale.astype(np.float32), origin.astype(np.float32)


def fit_own_pose(landmarks: FloatArray, head: FloatArray) -> Pose:
    """As `fit_pose`, corrected for the expression; `head` (478, 3; canonical) is the same person's."""
    rotation, scale, origin = fit_own_poses(landmarks[None], head)
    return Pose(rotation[0], float(scale[0]), origin[0])


def fit_own_poses(landmarks: FloatArray, head: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """As `fit_poses`, corrected for the expression; `head` (478, 3; canonical) is the same person's."""
    return without_leak(landmarks, head, *fit_poses(landmarks, head))


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


def to_unit_head(points: FloatArray) -> FloatArray:
    """A head (478, 3) moved to the canonical frame's origin and scaled to its unit, but not rotated; float32."""
    left, right = (points[i] for i in OUTER_EYE_CORNERS)
    return np.asarray((points - (left + right) / 2) / np.linalg.norm(right - left), np.float32)


def neck_swing(rotation: FloatArray) -> FloatArray:
    """Movement of the canonical origin in the picture when the head turns about the neck.

    Args:
        rotation: (T, 3, 3), canonical head frame to picture axes.

    Returns:
        (T, 2) float32, inter-ocular units.
    """
    swing: FloatArray = -((rotation - np.eye(3, dtype=np.float32)) @ NECK)
    return swing[:, :2]
