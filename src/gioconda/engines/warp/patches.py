"""Small helpers for painting parts of a face: antialiased polygons."""

from __future__ import annotations

import cv2
import numpy as np

from gioconda.engines.affine import Box
from gioconda.types import FloatArray, Image


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
