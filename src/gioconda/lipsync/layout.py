"""The layout of tracked faces: maps between frames and the face's plane, and the mouth's points in that plane."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gioconda.lipsync.points import JAW, LIPS
from gioconda.motion import smooth
from gioconda.motion.expression import load_basis
from gioconda.motion.pose import euler_from_rotation, fit_poses, to_unit_head
from gioconda.types import FloatArray

# Frames (sigma) over which poses and shapes are smoothed, as for motions.
POSE_SIGMA, SHAPE_SIGMA = 1.0, 0.7
# Weight of the jaw's landmarks against the lips' when the plane is fitted: people look at the lips.
JAW_WEIGHT = 0.2
# Rounds of aligning faces to their median: the second changes little.
MEDIAN_ROUNDS = 2


@dataclass(frozen=True, eq=False)
class FaceLayout:
    """The placement of N tracked faces in their frames. All arrays are float32.

    Attributes:
        matrix: (N, 2, 3), maps from the face's plane to pixels.
        points: (N, P, 2), `POINTS` in the plane, in inter-ocular units.
        pose: (N, 2), yaw and pitch in degrees.
        rotation: (N, 3, 3), from the head to picture axes, as in `motion.pose.Pose`.
        scale: (N,), pixels an inter-ocular unit.
        origin: (N, 2), the head's origin in pixels.
    """

    matrix: FloatArray
    points: FloatArray
    pose: FloatArray
    rotation: FloatArray
    scale: FloatArray
    origin: FloatArray


def face_plane(head: FloatArray) -> FloatArray:
    """Fit the face's plane z = a x + b y + c to lips and jaw of a head (478, 3) at rest; returns (3,), a to c."""
    points = head[np.array([*LIPS, *JAW])].astype(np.float64)
    design = np.column_stack([points[:, :2], np.ones(len(points))])
    # jaw and lips differ in depth: the plane follows the lips
    weights = np.r_[np.ones(len(LIPS)), np.full(len(JAW), JAW_WEIGHT)][:, None]
    solution = np.linalg.lstsq(design * weights, points[:, 2:] * weights, rcond=None)[0]
    return np.asarray(solution[:, 0], np.float32)


def plane_maps(rotation: FloatArray, scale: FloatArray, origin: FloatArray, plane: FloatArray) -> FloatArray:
    """Compute the maps from the face's plane to pixels.

    Args:
        rotation: (N, 3, 3), from the head to picture axes.
        scale: (N,), pixels an inter-ocular unit.
        origin: (N, 2), the head's origin in pixels.
        plane: (3,), of `face_plane`.

    Returns:
        (N, 2, 3) float32.
    """
    depth = rotation[:, :2, 2]
    linear = rotation[:, :2, :2] + depth[:, :, None] * plane[:2]
    shift = depth * plane[2] * scale[:, None] + origin
    maps = np.concatenate([linear * scale[:, None, None], shift[:, :, None]], axis=2)
    return np.asarray(maps, np.float32)


def to_plane(matrix: FloatArray, pixels: FloatArray) -> FloatArray:
    """Map pixels (N, P, 2) to the face's plane, given the maps (N, 2, 3) from it; returns (N, P, 2) float32."""
    back = np.linalg.inv(matrix[:, :, :2].astype(np.float64))
    return np.asarray((pixels - matrix[:, None, :, 2]) @ back.transpose(0, 2, 1), np.float32)


def layout_faces(
    pixels: FloatArray,
    pose: tuple[FloatArray, FloatArray, FloatArray],
    head: FloatArray,
    times: npt.NDArray[np.float64],
) -> FaceLayout:
    """Compute the layout of consecutive faces, smoothed over time.

    Args:
        pixels: (N, P, 2), `POINTS` of each face in pixels.
        pose: Rotation (N, 3, 3), scale (N,) and origin (N, 2) of each head.
        head: (478, 3), the person's head at rest, canonical frame.
        times: (N,), seconds, increasing.
    """
    rotation = smooth.smooth_rotations(pose[0], POSE_SIGMA, times)
    scale = smooth.gaussian(pose[1][:, None], POSE_SIGMA, times)[:, 0]
    origin = smooth.gaussian(pose[2], POSE_SIGMA, times)
    matrix = plane_maps(rotation, scale, origin, face_plane(head))
    points = smooth.gaussian(to_plane(matrix, pixels), SHAPE_SIGMA, times)
    yaw, pitch, _ = euler_from_rotation(rotation)
    return FaceLayout(matrix, points, np.stack([yaw, pitch], 1), rotation, scale, origin)


def median_head(landmarks: FloatArray) -> FloatArray:
    """The median (478, 3), in the canonical frame, of tracked faces (N, 478, 3) in pixels."""
    head = load_basis().neutral
    for _ in range(MEDIAN_ROUNDS):
        rotation, scale, origin = fit_poses(landmarks, head)
        canonical = (landmarks - origin[:, None]) @ rotation / scale[:, None, None]
        head = to_unit_head(np.median(canonical, axis=0).astype(np.float32))
    return head
