"""The colours of a face, upright and of one size, by which a video's frames show whether they have the same person."""

from __future__ import annotations

import cv2
import numpy as np

from gioconda.face.region import Region
from gioconda.landmarks import LEFT_EYE_OUTER, RIGHT_EYE_OUTER, inter_ocular
from gioconda.types import Face, FloatArray, Image

# Points at the top of the forehead and at the chin. Their distance stands in for that of the eyes in a turned head.
FOREHEAD, CHIN = 10, 152
# Distance between the outer eye corners of a frontal face, as a share of that from forehead to chin.
EYES_TO_HEIGHT = 0.65
# Size of the region in distances between the eyes, and its centre below them: face, hair and neck.
WIDTH, HEIGHT, BELOW_EYES = 2.4, 3.0, 0.3
# Pixels of the crop's side, and cells of the result's: an expression changes the mean colour of a cell little.
CROP_SIDE, CELLS = 24, 8
# Linear light of each level of sRGB, IEC 61966-2-1.
_LEVELS = np.arange(256) / 255
LINEAR = np.where(_LEVELS <= 0.04045, _LEVELS / 12.92, ((_LEVELS + 0.055) / 1.055) ** 2.4).astype(np.float32)
# From linear R, G and B to CIE X, Y and Z, relative to those of the white point D65.
TO_XYZ = np.array(
    [
        [0.412453 / 0.950456, 0.357580 / 0.950456, 0.180423 / 0.950456],
        [0.212671, 0.715160, 0.072169],
        [0.019334 / 1.088754, 0.119193 / 1.088754, 0.950227 / 1.088754],
    ],
    np.float32,
)
# From the compressed X, Y and Z to L, in 255 levels, and a and b; and what is added to L.
TO_LAB = np.array([[0, 116 * 2.55, 0], [500, -500, 0], [0, 200, -200]], np.float32)
BLACK = np.array([-16 * 2.55, 0, 0], np.float32)
# Relative light below which CIE Lab is linear, its slope there, and what is added.
DARK, DARK_SLOPE, DARK_OFFSET = 0.008856, 7.787, 16 / 116


def appearance(image: Image, face: Face) -> FloatArray:
    """Mean colours of a grid of cells over a face.

    Args:
        image: (H, W, 3) uint8 RGB.
        face: In pixels of the image.

    Returns:
        (CELLS * CELLS, 3) float32, of `lab`; NaN for cells outside the picture.
    """
    points = face.landmarks
    across = points[LEFT_EYE_OUTER, :2] - points[RIGHT_EYE_OUTER, :2]
    eyes = (points[LEFT_EYE_OUTER, :2] + points[RIGHT_EYE_OUTER, :2]) / 2
    height = float(np.linalg.norm(points[CHIN, :2] - points[FOREHEAD, :2]))
    unit = max(inter_ocular(points[:, :2]), EYES_TO_HEIGHT * height, 1.0)
    region = Region(0, 0, WIDTH * unit, HEIGHT * unit, float(np.arctan2(across[1], across[0])))
    x, y = eyes + region.axes[:, 1] * (BELOW_EYES * unit)
    placed = Region(float(x), float(y), region.width, region.height, region.angle)
    crop = placed.crop(image, CROP_SIDE, antialias=True)
    cells = np.asarray(cv2.resize(crop, (CELLS, CELLS), interpolation=cv2.INTER_AREA), np.uint8)
    colours = lab(cells.reshape(-1, 3))
    steps = (np.arange(CELLS, dtype=np.float32) + 0.5) / CELLS
    grid = np.stack(np.meshgrid(steps, steps), axis=-1).reshape(-1, 2)
    centres = placed.points(grid.astype(np.float32))
    colours[((centres < 0) | (centres >= (image.shape[1], image.shape[0]))).any(axis=1)] = np.nan
    return colours


def lab(colours: Image) -> FloatArray:
    """CIE Lab of colours (N, 3) uint8 sRGB: L from 0 to 255, and a and b, 0 for grey; (N, 3) float32.

    OpenCV's own conversion first fills tables, which takes longer than 500 frames here.
    """
    light = LINEAR[colours] @ TO_XYZ.T
    compressed = np.where(light > DARK, np.cbrt(light), DARK_SLOPE * light + DARK_OFFSET)
    return np.asarray(compressed @ TO_LAB.T + BLACK, np.float32)


def colour_difference(first: FloatArray, second: FloatArray) -> float:
    """Root mean square distance of the colours of two faces, in the cells (CELLS * CELLS, 3) that both have."""
    squares = ((first - second) ** 2).sum(axis=1)
    squares = squares[np.isfinite(squares)]
    return float(np.sqrt(squares.mean())) if len(squares) else 0.0
