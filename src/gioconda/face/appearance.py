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
# Level of Lab's two colour axes in 8 bits at which a colour is grey.
GREY = 128


def appearance(image: Image, face: Face) -> FloatArray:
    """Mean colours of a grid of cells over a face.

    Args:
        image: (H, W, 3) uint8 RGB.
        face: In pixels of the image.

    Returns:
        (CELLS * CELLS, 3) float32: Lab in 8 bits; NaN for cells outside the picture.
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
    colours = cv2.cvtColor(cells, cv2.COLOR_RGB2LAB).astype(np.float32).reshape(-1, 3)
    colours -= np.array([0, GREY, GREY], np.float32)
    steps = (np.arange(CELLS, dtype=np.float32) + 0.5) / CELLS
    grid = np.stack(np.meshgrid(steps, steps), axis=-1).reshape(-1, 2)
    centres = placed.points(grid.astype(np.float32))
    colours[((centres < 0) | (centres >= (image.shape[1], image.shape[0]))).any(axis=1)] = np.nan
    return colours


def colour_difference(first: FloatArray, second: FloatArray) -> float:
    """Root mean square distance of the colours of two faces, in the cells (CELLS * CELLS, 3) that both have."""
    squares = ((first - second) ** 2).sum(axis=1)
    squares = squares[np.isfinite(squares)]
    return float(np.sqrt(squares.mean())) if len(squares) else 0.0
