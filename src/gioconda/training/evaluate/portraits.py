"""Frames as portraits, and held-out moments as shots on them: what engines are given."""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from gioconda import composite
from gioconda.engines import Engine
from gioconda.engines.fewshot import crop
from gioconda.face import PersonMasker
from gioconda.motion.pose import fit_pose, fit_poses
from gioconda.sources import person_around
from gioconda.types import Face, Image, Portrait, Shot

if TYPE_CHECKING:
    from gioconda.training.evaluate.protocol import Stretch

SHARP = 2.0  # pixels of a portrait for one of the compared square; more would be lost again
ROOM = 1.1  # sides of the head's square that the portrait's picture holds, if need be by its edge repeated


def as_portrait(image: Image, one: Face, size: int, masker: PersonMasker, name: str) -> Portrait:
    """The frame (H, W, 3) as a portrait: shrunk where its head is large, widened until the head's square fits."""
    height, width = image.shape[:2]
    shrink = SHARP * size / crop.head_square(one.landmarks).side
    if shrink < 1:
        small = (max(2, round(shrink * width)), max(2, round(shrink * height)))
        image = composite.resize(image, small)
        one = composite.move_face(one, (0, 0), (small[0] / width, small[1] / height))
        width, height = small
    square = crop.head_square(one.landmarks).enlarged(ROOM)
    right, bottom = square.left + square.side - width, square.top + square.side - height
    left, top, right, bottom = (max(0, ceil(v)) for v in (-square.left, -square.top, right, bottom))
    if left or top or right or bottom:
        image = np.asarray(
            cv2.copyMakeBorder(image, top, bottom, left, right, cv2.BORDER_REPLICATE), np.uint8
        )
        one = composite.move_face(one, (-left, -top), (1, 1))
    return Portrait(image, one, name, person=person_around(masker, image, one))


def shots_of(stretch: Stretch, portrait: Portrait, size: int) -> Iterator[Shot]:
    """The held-out frames laid on the portrait: square upon square, since the same person drives."""
    matrix = crop.head_square(portrait.face.landmarks).matrix(size)
    points = stretch.points.copy()
    points[..., :2] -= matrix[:, 2]
    points /= matrix[0, 0]
    rest = fit_pose(portrait.face.landmarks, stretch.neutral)
    rotations, scales, origins = fit_poses(points, stretch.neutral)
    points[..., 2] += (rest.origin[2] - origins[:, 2])[:, None]  # depth has no origin of its own
    origins[:, 2] = rest.origin[2]
    for k, time in enumerate(stretch.times):
        turn = rotations[k] @ rest.rotation.T
        grow = float(scales[k]) / rest.scale
        shift = origins[k] - grow * rest.origin @ turn.T
        yield Shot(time, points[k], turn, grow, shift.astype(np.float32), stretch.expression[k])


def rendered(engine: Engine, who: Any, stretch: Stretch, portrait: Portrait, size: int) -> Iterator[Image]:
    """What the engine makes of the held-out frames: the portrait's square, (size, size, 3) uint8 each.

    who: what the engine's `prepare` made of the portrait.
    """
    square = crop.head_square(portrait.face.landmarks)
    for patch in engine.render(who, shots_of(stretch, portrait, size)):
        yield crop.cut(composite.compose(portrait.image, [patch]), square, size)


def copied(portrait: Portrait, size: int) -> Image:
    """The portrait's square unchanged, (size, size, 3) uint8."""
    return crop.cut(portrait.image, crop.head_square(portrait.face.landmarks), size)
