"""The square around a head, and the picture of its landmarks: the same in training, adaptation and use."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from gioconda.engines import affine
from gioconda.types import FloatArray, Image

SIDE = 2.7  # of the square, in inter-ocular distances (depth included, so that a turn changes nothing)
RAISED = 0.1  # the square lies this much higher than the face's middle, for the hair
MARGIN = 1.15  # by which training keeps more than the square, for shifts and other scales
SUBPIXEL = 4  # fractional bits of drawn points

# Runs of landmarks, each with its colour; contours of Face Mesh in the roles of the 68 points of other trackers.
GREEN, ORANGE, YELLOW, CYAN, BLUE, RED, MAGENTA, WHITE = (
    (0, 255, 0),
    (255, 128, 0),
    (255, 255, 0),
    (0, 255, 255),
    (0, 96, 255),
    (255, 0, 0),
    (255, 0, 255),
    (255, 255, 255),
)
JAW = (
    *[127, 234, 93, 132, 58, 172, 136, 150, 149, 176, 148, 152, 377, 400, 378],
    *[379, 365, 397, 288, 361, 323, 454, 356],
)
RIGHT_EYE = (33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246, 33)
LEFT_EYE = (263, 249, 390, 373, 374, 380, 381, 382, 362, 398, 384, 385, 386, 387, 388, 466, 263)
OUTER_LIPS = (
    *[61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291],
    *[409, 270, 269, 267, 0, 37, 39, 40, 185, 61],
)
INNER_LIPS = (
    *[78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308],
    *[415, 310, 311, 312, 13, 82, 81, 80, 191, 78],
)
LINES: tuple[tuple[tuple[int, ...], tuple[int, int, int]], ...] = (
    (JAW, GREEN),
    ((70, 63, 105, 66, 107), ORANGE),
    ((300, 293, 334, 296, 336), ORANGE),
    ((168, 6, 197, 195, 5, 4), BLUE),
    ((98, 97, 2, 326, 327), CYAN),
    (RIGHT_EYE, RED),
    (LEFT_EYE, RED),
    (OUTER_LIPS, MAGENTA),
    (INNER_LIPS, YELLOW),
)
IRISES = ((468, 469), (473, 474))  # centre, and a point of the rim


@dataclass(frozen=True)
class Square:
    """A square of a picture: left and top edge, side; pixels, not whole ones."""

    left: float
    top: float
    side: float

    def enlarged(self, factor: float) -> Square:
        """The square about the same middle with `factor` times the side."""
        grown = self.side * factor
        shift = (grown - self.side) / 2
        return Square(self.left - shift, self.top - shift, grown)

    def matrix(self, size: int) -> FloatArray:
        """The map (2, 3) from the picture's pixel centres to those of the square at `size` pixels."""
        scale = size / self.side
        x, y = (scale * (0.5 - edge) - 0.5 for edge in (self.left, self.top))
        return np.array([[scale, 0, x], [0, scale, y]], np.float32)


def head_square(landmarks: FloatArray) -> Square:
    """The square around a head; landmarks (478, 3) of one picture, or (T, 478, 3) of a clip, whose median counts."""
    tracks = landmarks if landmarks.ndim == 3 else landmarks[None]
    unit = float(np.median(np.linalg.norm(tracks[:, 263] - tracks[:, 33], axis=1)))
    low, high = tracks[..., :2].min(1), tracks[..., :2].max(1)
    x, y = np.median((low + high) / 2, axis=0)
    side = SIDE * max(unit, 1.0)
    return Square(float(x) - side / 2, float(y) - (0.5 + RAISED / SIDE) * side, side)


def cut(image: Image, square: Square, size: int) -> Image:
    """The square of a picture at (size, size, 3); its edge is repeated outside."""
    return affine.cut(image, square.matrix(size), (size, size))


def into(landmarks: FloatArray, square: Square, size: int) -> FloatArray:
    """Landmarks (..., 2 or 3) of the picture in the square's pixels, the same shape; depth is scaled alike."""
    matrix = square.matrix(size)
    moved = landmarks * matrix[0, 0]
    moved[..., :2] += matrix[:, 2]
    return np.asarray(moved, np.float32)


def draw(landmarks: FloatArray, size: int) -> Image:
    """The landmark picture (size, size, 3) uint8 RGB of landmarks (478, 2 or more) in its pixels."""
    canvas = np.zeros((size, size, 3), np.uint8)
    points = np.rint(np.clip(landmarks[:, :2], -4 * size, 5 * size) * (1 << SUBPIXEL)).astype(np.int32)
    thick = max(1, round(size / 96))
    for run, colour in LINES:
        cv2.polylines(canvas, [points[list(run)]], False, colour, thick, cv2.LINE_AA, SUBPIXEL)
    for centre, rim in IRISES:
        radius = float(np.linalg.norm(landmarks[rim, :2] - landmarks[centre, :2]))
        at = (int(points[centre, 0]), int(points[centre, 1]))
        cv2.circle(canvas, at, max(1, round(radius * (1 << SUBPIXEL))), WHITE, thick, cv2.LINE_AA, SUBPIXEL)
    return canvas


def planes(image: Image) -> npt.NDArray[np.float32]:
    """A picture (H, W, 3) uint8 as a network sees it: (3, H, W) float32 in -1..1."""
    return np.ascontiguousarray(image.transpose(2, 0, 1), np.float32) / np.float32(127.5) - 1


def picture(made: FloatArray) -> Image:
    """What a network drew, (3, H, W) in -1..1, as (H, W, 3) uint8."""
    return np.asarray(np.rint((made.transpose(1, 2, 0) + 1) * 127.5).clip(0, 255), np.uint8)
