"""The input of engines: frames as portraits, and held-out frames as target poses."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Framing:
    """How a frame becomes a portrait's picture.

    Attributes:
        size: (width, height) in pixels to which the frame shrinks.
        edges: Pixels by which its edge is repeated: left, top, right, bottom.
        scale: Pixels of the small frame for one of the frame.
    """

    size: tuple[int, int]
    edges: tuple[int, int, int, int]
    scale: float = 1.0

    def placed(self, square: crop.Square) -> crop.Square:
        """A square of the frame, in pixels of the portrait's picture."""
        left, top = self.edges[:2]
        return crop.Square(
            self.scale * square.left + left, self.scale * square.top + top, self.scale * square.side
        )


def framing_of(shape: tuple[int, ...], face: Face, size: int) -> Framing:
    """The framing of a frame of shape (H, W, ...) by its face: shrink a large head, widen until its square fits.

    size: side of the compared square, in pixels.
    """
    height, width = shape[:2]
    small, shrink = (width, height), SHARP * size / crop.head_square(face.landmarks).side
    if shrink < 1:
        small = (max(2, round(shrink * width)), max(2, round(shrink * height)))
        face = composite.move_face(face, (0, 0), (small[0] / width, small[1] / height))
    square = crop.head_square(face.landmarks).enlarged(ROOM)
    right, bottom = square.left + square.side - small[0], square.top + square.side - small[1]
    left, top, right, bottom = (max(0, ceil(v)) for v in (-square.left, -square.top, right, bottom))
    return Framing(small, (left, top, right, bottom), small[0] / width)


def as_portrait(image: Image, face: Face, framing: Framing, name: str) -> Portrait:
    """Make a portrait of a frame (H, W, 3) and its face."""
    height, width = image.shape[:2]
    left, top, right, bottom = framing.edges
    small = composite.resize(image, framing.size)
    face = composite.move_face(face, (0, 0), (framing.size[0] / width, framing.size[1] / height))
    if any(framing.edges):
        small = np.asarray(
            cv2.copyMakeBorder(small, top, bottom, left, right, cv2.BORDER_REPLICATE), np.uint8
        )
        face = composite.move_face(face, (-left, -top), (1, 1))
    return Portrait(small, face, name, person=person_around(small, face))


def shots_of(stretch: Stretch, portrait: Portrait, square: crop.Square, size: int) -> Iterator[TargetPose]:
    """Yield the held-out frames as target poses of the portrait: the same person drives.

    Args:
        stretch: The held-out frames.
        portrait: The portrait.
        square: The part of the portrait's picture, in its pixels, that stands for the stretch's square.
        size: Side of the stretch's pictures, in pixels.
    """
    matrix = square.matrix(size)
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
    engine: Engine, prepared: Any, stretch: Stretch, portrait: Portrait, square: crop.Square, size: int
) -> Iterator[Image]:
    """Yield the engine's rendering of each held-out frame, (size, size, 3) uint8.

    Args:
        engine: The engine.
        prepared: What its `prepare` has returned for the portrait.
        stretch: The held-out frames.
        portrait: The portrait.
        square: As for `shots_of`; the part of the picture that is returned.
        size: Side of the pictures, in pixels.
    """
    for patch in engine.render(prepared, shots_of(stretch, portrait, square, size), ahead=True):
        yield crop.cut_square(composite.compose(portrait.image, [patch]), square, size)


def copied(portrait: Portrait, size: int) -> Image:
    """The portrait's square unchanged, (size, size, 3) uint8."""
    return crop.cut_square(portrait.image, crop.head_square(portrait.face.landmarks), size)
