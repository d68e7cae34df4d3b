"""Head pose: Euler angles and rotations, and the robust similarity that fits a head to landmarks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from gioconda.landmarks import fit_similarities
from gioconda.motion.leak import without_leak
from gioconda.types import FloatArray

# Viewer's left, viewer's right.
OUTER_EYE_CORNERS = (33, 263)
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
    """Fit the rigid points of a head to landmarks, as `fit_similarities` does.

    Args:
        landmarks: (T, 478, 3), pixels.
        head: (478, 3), canonical frame.

    Returns:
        Rotations (T, 3, 3), scales (T,) in pixels per inter-ocular distance, origins (T, 3) in pixels; float32.
    """
    return fit_similarities(head, landmarks)


def fit_own_pose(landmarks: FloatArray, head: FloatArray) -> Pose:
    """As `fit_pose`, corrected for the expression; `head` (478, 3; canonical) is the same person's."""
    rotation, scale, origin = fit_own_poses(landmarks[None], head)
    return Pose(rotation[0], float(scale[0]), origin[0])


def fit_own_poses(landmarks: FloatArray, head: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """As `fit_poses`, corrected for the expression; `head` (478, 3; canonical) is the same person's."""
    return without_leak(landmarks, head, *fit_poses(landmarks, head))


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
