"""The input of engines: frames as portraits, and held-out frames as target poses."""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from gioconda import composite
from gioconda.engines import Engine
from gioconda.engines.fewshot import crop
from gioconda.inputs.portrait import person_around
from gioconda.motion.pose import fit_pose, fit_poses
from gioconda.types import Face, Image, Portrait, TargetPose

if TYPE_CHECKING:
    from gioconda.training.evaluate.protocol import Stretch

# Pixels of a portrait per pixel of the compared square; more would be lost in the comparison
SHARP = 2.0
# Side of the portrait's picture in sides of the head's square; the edge is repeated where it is too small
ROOM = 1.1


def as_portrait(image: Image, face: Face, size: int, name: str) -> Portrait:
    """Make a portrait of a frame (H, W, 3): shrink a large head, widen until the head's square fits."""
    height, width = image.shape[:2]
    shrink = SHARP * size / crop.head_square(face.landmarks).side
    if shrink < 1:
        small = (max(2, round(shrink * width)), max(2, round(shrink * height)))
        image = composite.resize(image, small)
        face = composite.move_face(face, (0, 0), (small[0] / width, small[1] / height))
        width, height = small
    square = crop.head_square(face.landmarks).enlarged(ROOM)
    right, bottom = square.left + square.side - width, square.top + square.side - height
    left, top, right, bottom = (max(0, ceil(v)) for v in (-square.left, -square.top, right, bottom))
    if left or top or right or bottom:
        image = np.asarray(
            cv2.copyMakeBorder(image, top, bottom, left, right, cv2.BORDER_REPLICATE), np.uint8
        )
        face = composite.move_face(face, (-left, -top), (1, 1))
    return Portrait(image, face, name, person=person_around(image, face))


def shots_of(stretch: Stretch, portrait: Portrait, size: int) -> Iterator[TargetPose]:
    """Yield the held-out frames as target poses of the portrait, square onto square: the same person drives."""
    matrix = crop.head_square(portrait.face.landmarks).matrix(size)
    points = stretch.points.copy()
    points[..., :2] -= matrix[:, 2]
    points /= matrix[0, 0]
    rest = fit_pose(portrait.face.landmarks, stretch.neutral)
    rotations, scales, origins = fit_poses(points, stretch.neutral)
    # Depth has no origin of its own
    points[..., 2] += (rest.origin[2] - origins[:, 2])[:, None]
    origins[:, 2] = rest.origin[2]
    for k, time in enumerate(stretch.times):
        rotation = rotations[k] @ rest.rotation.T
        scale = float(scales[k]) / rest.scale
        translation = origins[k] - scale * rest.origin @ rotation.T
        yield TargetPose(
            time, points[k], rotation, scale, translation.astype(np.float32), stretch.expression[k]
        )


def rendered(
    engine: Engine, prepared: Any, stretch: Stretch, portrait: Portrait, size: int
) -> Iterator[Image]:
    """Yield the engine's rendering of each held-out frame: the portrait's square, (size, size, 3) uint8.

    prepared: the result of the engine's `prepare` for the portrait.
    """
    square = crop.head_square(portrait.face.landmarks)
    for patch in engine.render(prepared, shots_of(stretch, portrait, size)):
        yield crop.cut_square(composite.compose(portrait.image, [patch]), square, size)


def copied(portrait: Portrait, size: int) -> Image:
    """The portrait's square unchanged, (size, size, 3) uint8."""
    return crop.cut_square(portrait.image, crop.head_square(portrait.face.landmarks), size)
