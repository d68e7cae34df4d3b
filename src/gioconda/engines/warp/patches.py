"""Painting helpers: antialiased polygons, and blending into a box of the picture."""

from __future__ import annotations

import cv2
import numpy as np

from gioconda.engines.affine import Box
from gioconda.types import FloatArray, Image

# Fractional bits of polygon corners.
SUBPIXEL = 4
# Pixels (sigma) from which a blur shows.
BLUR_LEAST = 0.3


def polygon_mask(ring: FloatArray, box: Box, soft: float) -> FloatArray:
    """Rasterise a polygon with a soft edge.

    Args:
        ring: (N, 2), its corners in pixels of the picture.
        box: The part of the picture to draw.
        soft: Sigma, in pixels, of the blur of the edge.

    Returns:
        (h, w) float32, the coverage of the box's pixels, 0 to 1.
    """
    left, top, right, bottom = box
    mask = np.zeros((bottom - top, right - left), np.uint8)
    corners = np.rint((ring - (left, top)) * (1 << SUBPIXEL)).astype(np.int32)
    cv2.fillPoly(mask, [corners], (255,), cv2.LINE_AA, SUBPIXEL)
    soft_mask = cv2.GaussianBlur(mask, (0, 0), soft) if soft > BLUR_LEAST else mask
    return np.asarray(soft_mask, np.float32) / np.float32(255)


def blend(image: Image, box: Box, content: FloatArray | Image, alpha: FloatArray) -> None:
    """Blend content (h, w, 3), 0 to 255, into the picture's box by alpha (h, w), 0 to 1, in place."""
    part = image[box[1] : box[3], box[0] : box[2]]
    if content.dtype != np.uint8:
        # Clips and rounds.
        content = np.asarray(cv2.addWeighted(content, 1, content, 0, 0, dtype=cv2.CV_8U), np.uint8)
    alpha = np.asarray(alpha, np.float32)
    cv2.blendLinear(part, content, 1 - alpha, alpha, part)
