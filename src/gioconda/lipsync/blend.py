"""Blend a mouth into a frame: its mask, the frame's light and grain, and a multiresolution spline."""

from __future__ import annotations

import cv2
import numpy as np

from gioconda.lipsync.points import INNER_ROWS, OUTLINE_ROWS
from gioconda.lipsync.warp import FacePlaneGrid
from gioconda.types import FloatArray, Image

# All in inter-ocular units, unless said otherwise.
# Sigma by which the mask's edge is blurred, and its least, in pixels.
SOFT, SOFT_LEAST = 0.045, 1.0
# Sigma by which the edge of the opening between the lips is blurred, and its least, in pixels.
INNER_SOFT, INNER_SOFT_LEAST = 0.01, 0.8
# Sigma of the light's changes: whatever changes over less is no light.
LIGHT = 0.22
# Fraction of the picture's size at which light is computed.
LIGHT_SHRINK = 4
# Least weight of the mask's edge around a pixel, so that pixels far from it divide by no zero.
EDGE_LEAST = 1e-4
# Sigma of the blur that removes grain from skin, and its least, in pixels.
GRAIN, GRAIN_LEAST = 0.02, 1.0
# Bounds of the grain's gain: beyond them something else than grain was measured.
GRAIN_GAIN = (0.7, 1.5)
# Grey levels of the mouth's grain at least, so that smooth mouths divide by no zero.
GRAIN_FLOOR = 0.05
# mask * (1 - mask) from which a pixel belongs to the mask's edge, and the pixels that it takes to measure grain.
EDGE_WEIGHT, EDGE_PIXELS = 0.05, 32
# Levels of the pyramid at most, and the pixels that its coarsest level keeps at least.
LEVELS, COARSEST = 4, 8
# Fractional bits of polygon corners.
SUBPIXEL = 4
# Weights of red, green and blue in luma (ITU-R BT.601).
LUMA = np.array([0.299, 0.587, 0.114], np.float32)


def outline_mask(
    plane: FacePlaneGrid, matrix: FloatArray, corner: FloatArray, *shapes: FloatArray
) -> FloatArray:
    """Rasterise the region of mouth, chin and lower cheeks that is replaced, with a soft edge.

    Args:
        plane: The box of the frame, of size (w, h).
        matrix: (2, 3), the frame's map from the face's plane to its pixels.
        corner: (2,), left and top of the box in pixels.
        shapes: Mouths (P, 2) in the face's plane; the region covers all of them.

    Returns:
        (h, w) float32, coverage, 0 to 1.
    """
    width, height = plane.size
    mask = np.zeros((height, width), np.uint8)
    points = np.concatenate([shape[OUTLINE_ROWS] for shape in shapes])
    pixels = points @ matrix[:, :2].T + matrix[:, 2] - corner
    hull = cv2.convexHull(pixels.astype(np.float32))
    cv2.fillConvexPoly(mask, np.rint(hull * (1 << SUBPIXEL)).astype(np.int32), (255,), cv2.LINE_AA, SUBPIXEL)
    soft = max(SOFT_LEAST, SOFT * pixels_per_unit(matrix))
    return np.asarray(cv2.GaussianBlur(mask, (0, 0), soft), np.float32) / np.float32(255)


def inner_mask(plane: FacePlaneGrid, matrix: FloatArray, corner: FloatArray, shape: FloatArray) -> FloatArray:
    """Rasterise the opening between the lips of a shape (P, 2), with a soft edge: (h, w) float32, 0 to 1.

    The other arguments are those of `outline_mask`.
    """
    mask = np.zeros(plane.size[::-1], np.uint8)
    pixels = shape[INNER_ROWS] @ matrix[:, :2].T + matrix[:, 2] - corner
    corners = np.rint(pixels * (1 << SUBPIXEL)).astype(np.int32)
    cv2.fillPoly(mask, [corners], (255,), cv2.LINE_AA, SUBPIXEL)
    soft = max(INNER_SOFT_LEAST, INNER_SOFT * pixels_per_unit(matrix))
    return np.asarray(cv2.GaussianBlur(mask, (0, 0), soft), np.float32) / np.float32(255)


def pixels_per_unit(matrix: FloatArray) -> float:
    """Pixels of a frame for one inter-ocular unit of the plane, given the frame's map (2, 3)."""
    return float(np.sqrt(abs(np.linalg.det(matrix[:, :2]))))


def match_lighting(mouth: FloatArray, frame: FloatArray, mask: FloatArray, unit: float) -> FloatArray:
    """Match a mouth's lighting to the frame around it.

    The difference at the mask's edge continues smoothly inwards: its low frequencies are light, not features.

    Args:
        mouth: (h, w, 3) float32, 0 to 255.
        frame: (h, w, 3) float32, 0 to 255.
        mask: (h, w) float32, 0 to 1, where the mouth replaces the frame.
        unit: The inter-ocular distance in pixels.

    Returns:
        (h, w, 3) float32.
    """
    edge = 4 * mask * (1 - mask)
    height, width = (max(4, side // LIGHT_SHRINK) for side in mask.shape)
    share = cv2.resize(edge, (width, height), interpolation=cv2.INTER_AREA)
    difference = (frame - mouth) * edge[..., None]
    difference = cv2.resize(difference, (width, height), interpolation=cv2.INTER_AREA)
    sigma = LIGHT * unit / LIGHT_SHRINK
    amount = cv2.GaussianBlur(share, (0, 0), sigma, borderType=cv2.BORDER_CONSTANT)
    light = cv2.GaussianBlur(difference, (0, 0), sigma, borderType=cv2.BORDER_CONSTANT)
    light = light / np.maximum(amount, EDGE_LEAST)[..., None]
    return np.asarray(mouth + cv2.resize(light, mask.shape[::-1]), np.float32)


def grain_gain(mouth: FloatArray, frame: FloatArray, mask: FloatArray, unit: float) -> float:
    """The ratio of the frame's grain to the mouth's, on the skin at the mask's edge; arguments as `match_lighting`."""
    edge = mask * (1 - mask) > EDGE_WEIGHT
    if int(edge.sum()) < EDGE_PIXELS:
        return 1.0
    own, theirs = (_grain(picture, unit)[edge] for picture in (frame, mouth))
    # medians, so that a fold or a lip's edge does not count as grain
    return float(np.clip(np.median(own) / max(float(np.median(theirs)), GRAIN_FLOOR), *GRAIN_GAIN))


def _grain(picture: FloatArray, unit: float) -> FloatArray:
    """The absolute grain (h, w) of a picture (h, w, 3), in grey levels."""
    grey = picture @ LUMA
    smooth = cv2.GaussianBlur(grey, (0, 0), max(GRAIN_LEAST, GRAIN * unit))
    return np.asarray(np.abs(grey - smooth), np.float32)


def pyramid_blend(below: FloatArray, above: FloatArray, mask: FloatArray) -> FloatArray:
    """Blend two pictures with a multiresolution spline: each frequency passes over an edge of its own width.

    Source: Burt and Adelson, A multiresolution spline with application to image mosaics, ACM TOG 2(4), 1983.

    Args:
        below: (h, w, 3) float32.
        above: (h, w, 3) float32.
        mask: (h, w) float32, 0 to 1, the weight of `above`.

    Returns:
        (h, w, 3) float32.
    """
    levels = min(LEVELS, int(np.log2(max(min(mask.shape) // COARSEST, 1))))
    change: FloatArray = above - below
    masks, parts = [mask], list[FloatArray]()
    for _ in range(levels):
        down = np.asarray(cv2.pyrDown(change), np.float32)
        parts.append(change - np.asarray(cv2.pyrUp(down, dstsize=_size(change)), np.float32))
        masks.append(np.asarray(cv2.pyrDown(masks[-1]), np.float32))
        change = down
    mixed: FloatArray = change * masks[-1][..., None]
    for part, share in zip(reversed(parts), reversed(masks[:-1]), strict=True):
        mixed = np.asarray(cv2.pyrUp(mixed, dstsize=_size(part)), np.float32) + part * share[..., None]
    return np.asarray(below + mixed, np.float32)


def _size(picture: FloatArray) -> tuple[int, int]:
    """Width and height of a picture."""
    return picture.shape[1], picture.shape[0]


def to_uint8(picture: FloatArray) -> Image:
    """Round a picture to uint8, clipped to 0..255."""
    return np.asarray(np.clip(np.rint(picture), 0, 255), np.uint8)
