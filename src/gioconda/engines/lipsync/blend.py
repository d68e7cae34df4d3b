"""A mouth laid into a frame: where, in whose light, with whose grain, and across all scales at once."""

from __future__ import annotations

import cv2
import numpy as np

from gioconda.engines.lipsync.fields import Plane
from gioconda.engines.lipsync.points import INNER_ROWS, OUTLINE_ROWS
from gioconda.types import FloatArray, Image

SOFT = 0.045  # inter-ocular units over which the mask's edge fades
LIGHT = 0.22  # inter-ocular units over which light is taken to be even
GRAIN = 0.02  # inter-ocular units: finer than this is grain on skin
GRAIN_GAIN = (0.7, 1.5)
LEVELS = 4


def outline_mask(plane: Plane, matrix: FloatArray, corner: FloatArray, *shapes: FloatArray) -> FloatArray:
    """Coverage (h, w) in 0..1 of the mouth, chin and lower cheeks of some shapes (P, 2) together, softly edged."""
    width, height = plane.size
    mask = np.zeros((height, width), np.uint8)
    points = np.concatenate([shape[OUTLINE_ROWS] for shape in shapes])
    pixels = points @ matrix[:, :2].T + matrix[:, 2] - corner
    hull = cv2.convexHull(pixels.astype(np.float32))
    cv2.fillConvexPoly(mask, np.rint(hull * 16).astype(np.int32), (255,), cv2.LINE_AA, 4)
    soft = max(1.0, SOFT * unit_of(matrix))
    return np.asarray(cv2.GaussianBlur(mask, (0, 0), soft), np.float32) / 255


def inner_mask(plane: Plane, matrix: FloatArray, corner: FloatArray, wanted: FloatArray) -> FloatArray:
    """Coverage (h, w) in 0..1 of what lies between the lips of a shape (P, 2), softly edged."""
    mask = np.zeros(plane.size[::-1], np.uint8)
    pixels = wanted[INNER_ROWS] @ matrix[:, :2].T + matrix[:, 2] - corner
    cv2.fillPoly(mask, [np.rint(pixels * 16).astype(np.int32)], (255,), cv2.LINE_AA, 4)
    return np.asarray(cv2.GaussianBlur(mask, (0, 0), max(0.8, 0.01 * unit_of(matrix))), np.float32) / 255


def unit_of(matrix: FloatArray) -> float:
    """Pixels an inter-ocular unit of the plane takes in a frame."""
    return float(np.sqrt(abs(np.linalg.det(matrix[:, :2]))))


def lit(mouth: FloatArray, frame: FloatArray, mask: FloatArray, unit: float) -> FloatArray:
    """The mouth (h, w, 3) in the light that falls on the frame around it.

    What differs at the mask's edge is carried inwards, smoothly: its low frequencies are light, not features.
    """
    edge = 4 * mask * (1 - mask)
    small = (max(4, mask.shape[1] // 4), max(4, mask.shape[0] // 4))
    share = cv2.resize(edge, small, interpolation=cv2.INTER_AREA)
    apart = cv2.resize((frame - mouth) * edge[..., None], small, interpolation=cv2.INTER_AREA)
    sigma = LIGHT * unit / 4
    amount = cv2.GaussianBlur(share, (0, 0), sigma, borderType=cv2.BORDER_CONSTANT)
    carried = cv2.GaussianBlur(apart, (0, 0), sigma, borderType=cv2.BORDER_CONSTANT)
    carried = carried / np.maximum(amount, 1e-4)[..., None]
    return np.asarray(mouth + cv2.resize(carried, mask.shape[::-1]), np.float32)


def grain_gain(mouth: FloatArray, frame: FloatArray, mask: FloatArray, unit: float) -> float:
    """How much stronger the frame's grain is than the mouth's, on the skin at the mask's edge."""
    edge = mask * (1 - mask) > 0.05
    if int(edge.sum()) < 32:
        return 1.0
    own, theirs = (_fine(picture, unit)[edge] for picture in (frame, mouth))
    # medians, so that a fold or a lip's edge on the way does not pass for grain
    return float(np.clip(np.median(own) / max(float(np.median(theirs)), 0.05), *GRAIN_GAIN))


def _fine(picture: FloatArray, unit: float) -> FloatArray:
    grey = picture @ np.array([0.299, 0.587, 0.114], np.float32)
    smooth = cv2.GaussianBlur(grey, (0, 0), max(1.0, GRAIN * unit))
    return np.asarray(np.abs(grey - smooth), np.float32)


def pyramid_blend(below: FloatArray, above: FloatArray, mask: FloatArray) -> FloatArray:
    """`above` over `below`, (h, w, 3), by mask (h, w), each frequency across an edge of its own width.

    Burt and Adelson, A multiresolution spline with application to image mosaics, ACM TOG 2(4), 1983.
    """
    levels = min(LEVELS, int(np.log2(max(min(mask.shape) // 8, 1))))
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
    return picture.shape[1], picture.shape[0]


def rounded(picture: FloatArray) -> Image:
    """Float values as uint8."""
    return np.asarray(np.clip(np.rint(picture), 0, 255), np.uint8)
