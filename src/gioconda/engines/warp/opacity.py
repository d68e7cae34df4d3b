"""The alpha of a transparent portrait, moved with its pixels."""

from __future__ import annotations

import cv2
import numpy as np

from gioconda.engines.warp.background_warp import smoothstep
from gioconda.engines.warp.patches import polygon_mask
from gioconda.types import OPAQUE, FloatArray, Image

# The largest factor by which an edge is made steeper again, and the least size of a step that is divided by.
STEEPEST, LEAST_STEP = 8.0, 1e-3
# Stretch from which the inside of the face begins to be opaque, and from which it is.
STRETCHED = (1.2, 1.8)
# Pixels (sigma) by which the face's outline is softened.
FACE_SOFT = 1.0
# Pixels (sigma) over which that factor varies: maps have creases.
SMOOTH = 2.0


def with_steady_edges(alpha: Image, map_x: FloatArray, map_y: FloatArray, ring: FloatArray) -> Image:
    """Keep the edge of what is opaque as narrow as in the portrait, where the maps stretch it.

    A turn stretches the near cheek. Its soft edge would become a wide veil through which the background shows, and a
    pixel that is missing at its outline a notch. Stretched parts of the face are therefore opaque.

    Args:
        alpha: (h, w) uint8, warped by the maps.
        map_x: (h, w), x of each pixel's source in pixels.
        map_y: (h, w), y of each pixel's source.
        ring: (K, 2), the face's outline in pixels of the stage.

    Returns:
        (h, w) uint8.
    """
    if alpha.min() == OPAQUE:
        return alpha
    soft = (alpha > 0) & (alpha < OPAQUE)
    steps = [
        cv2.Sobel(source, cv2.CV_32F, *axis, scale=0.125)
        for source in (map_x, map_y)
        for axis in ((1, 0), (0, 1))
    ]
    x_by_x, x_by_y, y_by_x, y_by_y = steps
    area = np.abs(x_by_x * y_by_y - x_by_y * y_by_x)
    squares = sum(step * step for step in steps)
    # The smaller singular value of the maps' derivative: the step in the portrait for a step across the stretch.
    largest = np.sqrt((squares + np.sqrt(np.maximum(squares**2 - 4 * area**2, 0))) / 2)
    factor = np.clip(largest / np.maximum(area, LEAST_STEP), 1, STEEPEST).astype(np.float32)
    factor = cv2.GaussianBlur(factor, (0, 0), SMOOTH)
    steep = (alpha.astype(np.float32) - OPAQUE / 2) * factor + OPAQUE / 2
    steady = np.where(soft, np.clip(np.rint(steep), 0, OPAQUE), alpha)
    height, width = alpha.shape
    inside = polygon_mask(ring, (0, 0, width, height), FACE_SOFT)
    filled = OPAQUE * inside * smoothstep(*STRETCHED, factor)
    return np.asarray(np.maximum(steady, filled), np.uint8)
