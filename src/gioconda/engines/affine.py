"""Crops of pictures under affine maps, shared by all engines.

A map is a matrix (2, 3) that takes pixel centres of the picture to pixel centres of the crop.
"""

from __future__ import annotations

from math import ceil, floor

import cv2
import numpy as np

from gioconda.types import FloatArray, Image

# Pixels of the crop for one of the picture. At smaller scales the picture is averaged before it is sampled: bilinear
# sampling alone would alias.
LARGE = 0.67

# Left, top, right and bottom, in whole pixels; right and bottom are exclusive.
Box = tuple[int, int, int, int]


def moved(matrix: FloatArray, corner: tuple[float, float] | FloatArray) -> FloatArray:
    """The map (2, 3) for an array whose pixel (0, 0) is the picture's pixel `corner` (x, y)."""
    shifted = matrix.copy()
    shifted[:, 2] += matrix[:, :2] @ np.asarray(corner, np.float32)
    return shifted


def apply(matrix: FloatArray, points: FloatArray) -> FloatArray:
    """Map points (N, 2 or more) in pixels of the picture; returns (N, 2) float32 in pixels of the crop."""
    return np.asarray(points[:, :2] @ matrix[:, :2].T + matrix[:, 2], np.float32)


def cut(image: Image, matrix: FloatArray, size: tuple[int, int]) -> Image:
    """Resample a picture under a map.

    The picture's edge is repeated outside. Areas are averaged first where the crop is much smaller than the picture.

    Args:
        image: (H, W, 3) uint8.
        matrix: (2, 3), from the picture's pixels to the crop's.
        size: Width and height of the crop, in pixels.

    Returns:
        (height, width, 3) uint8.
    """
    scale = float(np.hypot(*matrix[:, 0]))
    box = shown_box(matrix, size, image.shape) if scale <= LARGE else None
    if box is not None:
        image, matrix = _averaged(image, matrix, scale, box)
    crop = cv2.warpAffine(image, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(crop, np.uint8)


def _averaged(image: Image, matrix: FloatArray, scale: float, box: Box) -> tuple[Image, FloatArray]:
    """Shrink the box of a picture by about `scale`; returns the small picture and the map from its pixels."""
    left, top, right, bottom = box
    part = image[top:bottom, left:right]
    size = (max(1, round(part.shape[1] * scale)), max(1, round(part.shape[0] * scale)))
    # cv2 rounds the size but keeps given factors: only the size fixes the ratio
    small = cv2.resize(part, size, interpolation=cv2.INTER_AREA)
    ratio = np.array([part.shape[1] / size[0], part.shape[0] / size[1]], np.float32)
    inner = moved(matrix, (left, top))
    # pixel centres: x_part = (x_small + 0.5) * ratio - 0.5
    inner[:, 2] += inner[:, :2] @ (0.5 * ratio - 0.5)
    inner[:, :2] *= ratio
    return np.asarray(small, np.uint8), inner


def shown_box(matrix: FloatArray, size: tuple[int, int], shape: tuple[int, ...]) -> Box | None:
    """Find the box of a picture that a crop shows.

    Args:
        matrix: (2, 3), from the picture's pixels to the crop's.
        size: Width and height of the crop, in pixels.
        shape: (H, W, ...) of the picture.

    Returns:
        The box in whole pixels, clipped to the picture; None where the crop shows nothing of it.
    """
    width, height = size
    corners = np.array([[0, 0], [width, 0], [0, height], [width, height]], np.float32)
    in_picture = apply(np.asarray(cv2.invertAffineTransform(matrix), np.float32), corners)
    return patch_box(in_picture, 1, shape)


def patch_box(points: FloatArray, margin: float, shape: tuple[int, ...]) -> Box | None:
    """Find the whole-pixel box around points, clipped to a picture.

    Args:
        points: (N, 2), in pixels.
        margin: Pixels added on each side.
        shape: (H, W, ...) of the picture.

    Returns:
        The box; None where fewer than three rows or columns remain.
    """
    low, high = points.min(0).tolist(), points.max(0).tolist()
    left, top = max(floor(low[0] - margin), 0), max(floor(low[1] - margin), 0)
    right, bottom = min(ceil(high[0] + margin) + 1, shape[1]), min(ceil(high[1] + margin) + 1, shape[0])
    return (left, top, right, bottom) if right - left > 2 and bottom - top > 2 else None
