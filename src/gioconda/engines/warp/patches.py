"""Small helpers for painting parts of a face: antialiased polygons and their boxes."""

from __future__ import annotations

import cv2
import numpy as np

from gioconda.types import FloatArray, Image

Box = tuple[int, int, int, int]


def patch_box(points: FloatArray, margin: float, shape: tuple[int, ...]) -> Box | None:
    """Whole-pixel box around points (N, 2), `margin` pixels wider, inside a picture; None if nothing is left."""
    low = np.floor(points.min(0) - margin).astype(int)
    high = np.ceil(points.max(0) + margin).astype(int) + 1
    left, top = max(int(low[0]), 0), max(int(low[1]), 0)
    right, bottom = min(int(high[0]), shape[1]), min(int(high[1]), shape[0])
    return (left, top, right, bottom) if right - left > 2 and bottom - top > 2 else None


def polygon_mask(ring: FloatArray, box: Box, soft: float) -> FloatArray:
    """Coverage (h, w) float32 in 0..1 of a polygon (N, 2) within `box`, its edge softened over `soft` pixels."""
    left, top, right, bottom = box
    mask = np.zeros((bottom - top, right - left), np.uint8)
    corners = np.rint((ring - (left, top)) * 16).astype(np.int32)
    cv2.fillPoly(mask, [corners], (255,), cv2.LINE_AA, 4)
    soft_mask = cv2.GaussianBlur(mask, (0, 0), soft) if soft > 0.3 else mask
    return np.asarray(soft_mask, np.float32) / 255


def blend(image: Image, box: Box, content: FloatArray, alpha: FloatArray) -> None:
    """Lay content (h, w, 3) over the picture's box by alpha (h, w), in place."""
    part = image[box[1] : box[3], box[0] : box[2]]
    mixed = part + (content - part) * alpha[..., None]
    np.copyto(part, np.clip(mixed + 0.5, 0, 255).astype(np.uint8))
