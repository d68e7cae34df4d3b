"""The head around the face: the part of the outline that hair follows, and the hair's depth."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from gioconda.engines.warp.background_warp import (
    CELL,
    DEPTH_MOST,
    DEPTH_SLOPE,
    BackgroundWarp,
    smoothstep,
    within,
)
from gioconda.types import FloatArray, Portrait

# Landmarks of the mesh's border beside the ears. The person's left ear is on the viewer's right.
LEFT_EAR, RIGHT_EAR = 454, 234

# All in inter-ocular units, unless said otherwise.
# Distance from the outline over which hair stops following the nearest point of the outline alone.
NEAREST = (0.02, 0.25)
# Sigma along the outline of the part that hair follows instead, and the sigma's growth with the distance.
WIDTH, WIDENING = (0.11, 0.6)
# Turn of the head, in degrees, from which its far side is rounded, and from which it is wholly.
TURNED = (6.0, 16.0)
# Offset from the outline's middle towards the far side over which the rounding comes in.
HALF = (-0.3, 0.5)
# Depth of the head's middle behind the mean of the outline.
BACK = 0.45
# Pixels an inter-ocular distance at which distances to the person's border are measured.
SCALE = 60
# Share of the person's mask that counts as the person.
PERSON = 0.5
# Width of a box filter that, applied twice, smooths as much as a Gaussian of sigma 1.
BOXES = 2.45
# Sigma by which the field is smoothed: it has corners where the outline has them.
SMOOTH = 0.15


def with_rounded_head(background_warp: BackgroundWarp, portrait: Portrait) -> BackgroundWarp:
    """Tie the portrait's hair smoothly to the outline, and round the hidden side of its head.

    Grid points that follow only the nearest point of the outline tear apart where the outline is concave. Hair at the
    depth of the outline beside it would dent the head's silhouette when the head turns.

    Returns:
        The background warp with other depths and weights of the outline.
    """
    contour, unit = background_warp.contour, background_warp.unit
    flat = background_warp.points[..., :2]
    place = contour[:, :2].astype(np.float32)
    apart = ((flat[..., :1] - place[:, 0]) ** 2 + (flat[..., 1:] - place[:, 1]) ** 2) / np.float32(unit**2)
    inside = within(flat, contour)
    away = np.where(inside, 0, np.sqrt(apart.min(-1))).astype(np.float32)
    near = background_warp.near.reshape(*away.shape, -1)
    near = _widened(near, np.asarray(apart, np.float32), away, contour)
    depth = near @ contour[:, 2] + unit * np.minimum(DEPTH_SLOPE * away, DEPTH_MOST)
    depth = _rounded(depth, background_warp, portrait, away)
    points = np.concatenate([flat, depth[..., None]], -1).astype(np.float32)
    return replace(background_warp, points=points, near=near.reshape(-1, near.shape[-1]))


def smoothed_field(field: FloatArray, unit: float) -> FloatArray:
    """Smooth a field (gh, gw, 2), which has corners where the outline has them; unit: inter-ocular distance, pixels."""
    size = max(1, round(BOXES * SMOOTH * unit / CELL)) | 1
    return np.asarray(cv2.blur(cv2.blur(field, (size, size)), (size, size)), np.float32)


def _widened(near: FloatArray, apart: FloatArray, away: FloatArray, contour: FloatArray) -> FloatArray:
    """Weights (gh, gw, K) of the outline's points: the farther away a grid point is, the more of them it follows.

    apart: (gh, gw, K), squared distances in units to the outline's points.
    """
    variance = ((WIDTH + WIDENING * away) ** 2)[..., None]
    length = np.linalg.norm(np.roll(contour, -1, 0) - np.roll(contour, 1, 0), axis=1).astype(np.float32)
    weights = np.exp((apart.min(-1, keepdims=True) - apart) / (2 * variance)) * length
    weights /= weights.sum(-1, keepdims=True)
    share = smoothstep(*NEAREST, away)[..., None]
    return np.asarray(near + (weights - near) * share, np.float32)


def _rounded(
    depth: FloatArray, background_warp: BackgroundWarp, portrait: Portrait, away: FloatArray
) -> FloatArray:
    """Depth (gh, gw) in pixels: on the hidden side, the head's border is as deep as its middle."""
    landmarks, unit = portrait.face.landmarks, background_warp.unit
    ears = landmarks[LEFT_EAR] - landmarks[RIGHT_EAR]
    yaw = float(np.degrees(np.arctan2(ears[2], ears[0])))
    turned = smoothstep(*TURNED, np.float32(abs(yaw)))
    if portrait.person is None or turned <= 0:
        return depth
    outwards = _to_border(portrait.person, background_warp)
    share = smoothstep(0.0, 1.0, away / np.maximum(away + outwards, 1e-3))
    aside = np.sign(yaw) * (background_warp.points[..., 0] - background_warp.contour[:, 0].mean()) / unit
    middle = background_warp.contour[:, 2].mean() + BACK * unit
    return np.asarray(depth + (middle - depth) * share * smoothstep(*HALF, aside) * turned, np.float32)


def _to_border(person: FloatArray, background_warp: BackgroundWarp) -> FloatArray:
    """Distance (gh, gw) in units from the grid's points to the border of the person, 0 outside."""
    scale = min(1.0, SCALE / background_warp.unit)
    cover = (person > PERSON).astype(np.uint8)
    small = cv2.resize(cover, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    distance = np.asarray(cv2.distanceTransform(small, cv2.DIST_L2, 5), np.float32)
    distance /= np.float32(scale * background_warp.unit)
    at = ((background_warp.points[..., :2] + 0.5) * scale - 0.5).astype(np.float32)
    distances = cv2.remap(distance, at[..., 0], at[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(distances, np.float32)
