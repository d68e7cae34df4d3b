"""Pictures under an affine map, as every engine cuts its crops: matrices (2, 3) from pixel centres to pixel centres."""

from __future__ import annotations

import cv2
import numpy as np

from gioconda.types import FloatArray, Image

LARGE = 0.67  # scale below which pixels are averaged before they are taken

Box = tuple[int, int, int, int]  # left, top, right, bottom, whole pixels


def moved(matrix: FloatArray, corner: tuple[float, float] | FloatArray) -> FloatArray:
    """The map for an array whose pixel (0, 0) lies at `corner` of the picture."""
    shifted = matrix.copy()
    shifted[:, 2] += matrix[:, :2] @ np.asarray(corner, np.float32)
    return shifted


def apply(matrix: FloatArray, points: FloatArray) -> FloatArray:
    """Points (N, 2 or more) of the picture under the map, (N, 2)."""
    return np.asarray(points[:, :2] @ matrix[:, :2].T + matrix[:, 2], np.float32)


def cut(image: Image, matrix: FloatArray, size: tuple[int, int]) -> Image:
    """What a map shows of a picture, (height, width, 3) for `size` (width, height).

    Its edge is repeated outside; averaged first where the picture is much larger.
    """
    scale = float(np.hypot(*matrix[:, 0]))
    box = shown_box(matrix, size, image.shape) if scale <= LARGE else None
    if box is not None:
        image, matrix = _averaged(image, matrix, scale, box)
    shown = cv2.warpAffine(image, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(shown, np.uint8)


def _averaged(image: Image, matrix: FloatArray, scale: float, box: Box) -> tuple[Image, FloatArray]:
    """The box of a picture shrunk by about `scale`, and the map from there."""
    left, top, right, bottom = box
    part = image[top:bottom, left:right]
    size = (max(1, round(part.shape[1] * scale)), max(1, round(part.shape[0] * scale)))
    small = cv2.resize(
        part, size, interpolation=cv2.INTER_AREA
    )  # by size: cv2 keeps given factors as they are
    ratio = np.array([part.shape[1] / size[0], part.shape[0] / size[1]], np.float32)
    inner = moved(matrix, (left, top))
    # pixel centres: x_part = (x_small + 0.5) * ratio - 0.5
    inner[:, 2] += inner[:, :2] @ (0.5 * ratio - 0.5)
    inner[:, :2] *= ratio
    return np.asarray(small, np.uint8), inner


def shown_box(matrix: FloatArray, size: tuple[int, int], shape: tuple[int, ...]) -> Box | None:
    """Whole-pixel box of a picture that a map shows in `size` (width, height); None if nothing of it is there."""
    width, height = size
    corners = np.array([[0, 0], [width, 0], [0, height], [width, height]], np.float32)
    there = apply(np.asarray(cv2.invertAffineTransform(matrix), np.float32), corners)
    return patch_box(there, 1, shape)


def patch_box(points: FloatArray, margin: float, shape: tuple[int, ...]) -> Box | None:
    """Whole-pixel box around points (N, 2), `margin` pixels wider, inside a picture; None if nothing is left."""
    low = np.floor(points.min(0) - margin).astype(int)
    high = np.ceil(points.max(0) + margin).astype(int) + 1
    left, top = max(int(low[0]), 0), max(int(low[1]), 0)
    right, bottom = min(int(high[0]), shape[1]), min(int(high[1]), shape[0])
    return (left, top, right, bottom) if right - left > 2 and bottom - top > 2 else None
