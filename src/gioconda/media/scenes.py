"""Tell by their colours whether two frames show the same scene."""

from __future__ import annotations

import cv2
import numpy as np

from gioconda.types import FloatArray, Image

# Tiles in a row and in a column of a frame, and pixels of a tile's side.
TILES, TILE_PIXELS = 4, 16
# Mean difference, of 256 levels, between the sorted colours of a tile from which it shows something else, and the
# number of the 16 tiles which must in another scene. In clips without a cut, the fourth least changed tile of
# consecutive frames differs by 5 at most. Where one clip is cut to another, it differs by 6 or more, by 37 in half of
# the cuts. What hides half of the frame leaves the other half's tiles as they are.
OTHER, CHANGED_TILES = 8.0, 13
# The number of changed tiles in two frames that are not consecutive: who walks through the picture changes most tiles
# within a second, but hardly all.
LATER_CHANGED_TILES = 15


def scene(image: Image) -> FloatArray:
    """The colours of a frame's tiles: to compare by `other_scene`.

    Args:
        image: (H, W, 3) uint8 RGB.

    Returns:
        (16, 256, 3) float32: the levels of each tile's pixels, each colour sorted.
    """
    side = TILES * TILE_PIXELS
    step = max(1, min(image.shape[:2]) // (2 * side))
    small = cv2.resize(
        np.ascontiguousarray(image[::step, ::step]), (side, side), interpolation=cv2.INTER_AREA
    )
    tiles = small.reshape(TILES, TILE_PIXELS, TILES, TILE_PIXELS, 3).transpose(0, 2, 4, 1, 3)
    levels = tiles.reshape(TILES * TILES, 3, -1).astype(np.float32)
    # Neighbours in memory are sorted several times as fast.
    levels.sort(axis=2)
    return levels.transpose(0, 2, 1)


def other_scene(before: FloatArray, after: FloatArray, *, consecutive: bool = True) -> bool:
    """Whether two frames, as `scene` gives them, show different scenes: most of their tiles have other colours.

    The mean difference of sorted levels is the earth mover's distance of two distributions of colour, so that what
    moves within a tile counts for nothing.
    """
    changes = np.abs(before - after).mean(1).max(1)
    return int((changes > OTHER).sum()) >= (CHANGED_TILES if consecutive else LATER_CHANGED_TILES)
