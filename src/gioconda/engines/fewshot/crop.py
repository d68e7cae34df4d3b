"""The square crop around a head, and the picture of its landmarks: the same in training, adaptation and inference."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from gioconda.engines import affine
from gioconda.types import FloatArray, Image

# Side of the square in inter-ocular distances. The distance includes depth, so that a turn changes nothing.
SIDE = 2.7
# Inter-ocular distances by which the square is raised above the face's middle, for the hair.
RAISED = 0.1
# Factor by which training keeps more than the square, for shifts and other scales.
MARGIN = 1.15
# Fractional bits of drawn points.
SUBPIXEL = 4
# Pixels of the landmark picture for each pixel of a line's thickness.
THICKNESS = 96
# Sides of the landmark picture by which points may be outside it: farther ones would overflow whole numbers.
OUTSIDE = 4
# Half the range of a channel: networks see -1 to 1 for 0 to 255.
HALF_RANGE = 127.5

# Polylines of landmarks, each with its colour: contours of the face mesh in the roles of the usual 68 points.
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
# The centre of each iris, and a point of its rim.
IRISES = ((468, 469), (473, 474))


@dataclass(frozen=True)
class Square:
    """A square of a picture, in pixels with fractions.

    Attributes:
        left: Its left edge.
        top: Its top edge.
        side: Its side.
    """

    left: float
    top: float
    side: float

    def enlarged(self, factor: float) -> Square:
        """The square with the same middle and `factor` times the side."""
        grown = self.side * factor
        shift = (grown - self.side) / 2
        return Square(self.left - shift, self.top - shift, grown)

    def matrix(self, size: int) -> FloatArray:
        """The map (2, 3) from the picture's pixel centres to those of the square at `size` pixels."""
        scale = size / self.side
        x, y = (scale * (0.5 - edge) - 0.5 for edge in (self.left, self.top))
        return np.array([[scale, 0, x], [0, scale, y]], np.float32)


def head_square(landmarks: FloatArray) -> Square:
    """Find the square around a head.

    Args:
        landmarks: (478, 3) of one picture, or (T, 478, 3) of a clip, whose median counts; in pixels.
    """
    tracks = landmarks if landmarks.ndim == 3 else landmarks[None]
    unit = float(np.median(np.linalg.norm(tracks[:, 263] - tracks[:, 33], axis=1)))
    low, high = tracks[..., :2].min(1), tracks[..., :2].max(1)
    x, y = np.median((low + high) / 2, axis=0)
    side = SIDE * max(unit, 1.0)
    return Square(float(x) - side / 2, float(y) - (0.5 + RAISED / SIDE) * side, side)


def cut_square(image: Image, square: Square, size: int) -> Image:
    """Crop the square of a picture, (size, size, 3) uint8; the picture's edge is repeated outside."""
    return affine.cut(image, square.matrix(size), (size, size))


def to_square(landmarks: FloatArray, square: Square, size: int) -> FloatArray:
    """Map landmarks (..., 2 or 3) of the picture to pixels of the square, the same shape; depth scales alike."""
    matrix = square.matrix(size)
    moved = landmarks * matrix[0, 0]
    moved[..., :2] += matrix[:, 2]
    return np.asarray(moved, np.float32)


def draw(landmarks: FloatArray, size: int) -> Image:
    """Draw the landmark picture, (size, size, 3) uint8 RGB, of landmarks (478, 2 or more) in its pixels."""
    canvas = np.zeros((size, size, 3), np.uint8)
    inside = np.clip(landmarks[:, :2], -OUTSIDE * size, (OUTSIDE + 1) * size)
    points = np.rint(inside * (1 << SUBPIXEL)).astype(np.int32)
    thick = max(1, round(size / THICKNESS))
    for line, colour in LINES:
        cv2.polylines(canvas, [points[list(line)]], False, colour, thick, cv2.LINE_AA, SUBPIXEL)
    for centre, rim in IRISES:
        radius = float(np.linalg.norm(landmarks[rim, :2] - landmarks[centre, :2]))
        at = (int(points[centre, 0]), int(points[centre, 1]))
        cv2.circle(canvas, at, max(1, round(radius * (1 << SUBPIXEL))), WHITE, thick, cv2.LINE_AA, SUBPIXEL)
    return canvas


def planes(image: Image) -> npt.NDArray[np.float32]:
    """Convert a picture (H, W, 3) uint8 to a network's input, (3, H, W) float32, -1 to 1."""
    return np.ascontiguousarray(image.transpose(2, 0, 1), np.float32) / np.float32(HALF_RANGE) - 1


def picture(output: FloatArray) -> Image:
    """Convert a network's output (3, H, W), -1 to 1, to a picture (H, W, 3) uint8."""
    return np.asarray(np.rint((output.transpose(1, 2, 0) + 1) * HALF_RANGE).clip(0, 255), np.uint8)
