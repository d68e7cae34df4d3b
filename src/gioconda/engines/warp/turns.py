"""The limit of a portrait's turn to its hidden side: measured on its own maps, then approached softly."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import cv2
import numpy as np

from gioconda.engines.warp.background_warp import BackgroundWarp
from gioconda.engines.warp.mirror import Mirror, face_outline
from gioconda.engines.warp.reveal import Revealed, shown_share
from gioconda.types import FloatArray, Portrait, TargetPose

# Degrees towards the hidden side at which the maps are measured.
TRIED = (16.0, 24.0, 32.0, 40.0)
# Largest share of the face, and of the ring around it, that may be torn: set by eye, on eleven portraits.
MOST = 0.02
# Factors by which a map squeezes an area, and spreads it, from which the area counts as torn.
FOLDED, STRETCHED = (8.0, 25.0)
# Inter-ocular units: width of the ring around the face.
RING = 0.6
# Pixels between the places that are measured.
STEP = 2
# Share of the mirrored face from which a place no longer shows the portrait's own pixels.
MIRRORED = 0.5
# Share of the limit from which turns are damped.
BEGINS = 0.75

# What the engine's `target_maps` returns.
Maps = tuple[FloatArray, FloatArray, Revealed | None]


def turn_limit(
    portrait: Portrait,
    mirror: Mirror,
    background_warp: BackgroundWarp,
    target_maps: Callable[[TargetPose], Maps],
) -> float:
    """Measure how far a portrait may turn to its hidden side before too much of it tears.

    Args:
        portrait: The portrait at rest.
        mirror: Its mirrored side.
        background_warp: The field around its face.
        target_maps: Maps a target pose as the engine does.

    Returns:
        Degrees, interpolated between those that are tried; infinity where none of them tears the portrait.
    """
    last_degrees, last_share = 0.0, 0.0
    for degrees in TRIED:
        target_pose = rotated_about_neck(portrait, background_warp, -mirror.far * degrees)
        share = max(_torn(mirror, background_warp, target_pose, target_maps(target_pose)))
        if share > MOST:
            way = max(MOST - last_share, 0.0) / max(share - last_share, 1e-6)
            return last_degrees + (degrees - last_degrees) * way
        last_degrees, last_share = degrees, share
    return float("inf")


def rotated_about_neck(portrait: Portrait, background_warp: BackgroundWarp, degrees: float) -> TargetPose:
    """The target pose of a portrait at rest whose head turns about its neck; degrees to the viewer's right."""
    rest = TargetPose(
        time=0.0,
        landmarks=portrait.face.landmarks,
        turn=np.eye(3, dtype=np.float32),
        grow=1.0,
        shift=np.zeros(3, np.float32),
        expression=np.zeros(52, np.float32),
    )
    return _rotated_further(rest, background_warp, degrees)


def limit_rotation(
    target_pose: TargetPose, mirror: Mirror | None, background_warp: BackgroundWarp, limit: float
) -> TargetPose:
    """Keep a target pose's turn towards the hidden side below the limit, in degrees; other turns stay."""
    if mirror is None or not np.isfinite(limit):
        return target_pose
    yaw = float(np.degrees(np.arcsin(np.clip(target_pose.turn[2, 0], -1, 1))))
    begin = BEGINS * limit
    excess = -mirror.far * yaw - begin
    if excess <= 0:
        return target_pose
    room = limit - begin
    back = excess - room * float(np.tanh(excess / room))
    return _rotated_further(target_pose, background_warp, mirror.far * back)


def _rotated_further(target_pose: TargetPose, background_warp: BackgroundWarp, degrees: float) -> TargetPose:
    """The target pose with its head turned further about the neck; degrees to the viewer's right."""
    sine, cosine = np.sin(np.radians(degrees)), np.cos(np.radians(degrees))
    more = np.array([[cosine, 0, -sine], [0, 1, 0], [sine, 0, cosine]], np.float32)
    pivot = (target_pose.grow * background_warp.pivot @ target_pose.turn.T + target_pose.shift).astype(
        np.float32
    )
    return replace(
        target_pose,
        landmarks=((target_pose.landmarks - pivot) @ more.T + pivot).astype(np.float32),
        turn=(more @ target_pose.turn).astype(np.float32),
        shift=((target_pose.shift - pivot) @ more.T + pivot).astype(np.float32),
    )


def _torn(
    mirror: Mirror, background_warp: BackgroundWarp, target_pose: TargetPose, maps: Maps
) -> tuple[float, float]:
    """Share of the face that is torn and not mirrored, and of the ring around it."""
    x, y = (source[::STEP, ::STEP] / STEP for source in maps[:2])
    x_slopes, y_slopes = ([np.diff(v, axis=1)[:-1], np.diff(v, axis=0)[:, :-1]] for v in (x, y))
    area = x_slopes[0] * y_slopes[1] - x_slopes[1] * y_slopes[0]
    torn = (area < 1 / STRETCHED) | (area > FOLDED)
    if maps[2] is not None:
        own = shown_share(mirror, maps[2], maps[0].shape)[::STEP, ::STEP] < MIRRORED
        torn &= own[:-1, :-1]
    face = np.zeros(torn.shape, np.uint8)
    ring = (face_outline(target_pose.landmarks, mirror)[:, :2] - background_warp.box[:2]) / STEP
    cv2.fillPoly(face, [np.rint(ring).astype(np.int32)], (1,))
    away = cv2.distanceTransform(1 - face, cv2.DIST_L2, 3)
    around = (away > 0) & (away < RING * background_warp.unit / STEP)
    of_face, of_ring = (float(torn[part].mean()) if part.any() else 0.0 for part in (face > 0, around))
    return of_face, of_ring
