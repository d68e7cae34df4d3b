"""Lips that meet over a mouth that the portrait shows open: no slit of teeth stays between them."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from gioconda.engines.affine import Box, patch_box
from gioconda.engines.warp.background_warp import smoothstep
from gioconda.engines.warp.matte import push_pull
from gioconda.engines.warp.mesh import load_topology
from gioconda.engines.warp.patches import SUBPIXEL, blend, polygon_mask
from gioconda.engines.warp.tones import Tones
from gioconda.landmarks import inter_ocular
from gioconda.types import FloatArray, Image

# In inter-ocular units. Mean distance of the lips up to which they meet, and from which they do not.
MEET = (0.012, 0.04)
# Margin around the opening that has the colours of its shade and teeth.
GROWN = 0.02
# Margin around the target's opening that shows the painted patch, which is not sharp where it moves.
AROUND = 0.09
# Margin of the patch around the lips, for their colours.
BESIDE = 0.06
# Width of the line where lips meet.
SEAM = 0.010

# Light of that line relative to the lips'.
SEAM_LIGHT = 0.55
# Pixels (sigma): least softness of that line.
SEAM_SOFT_LEAST = 0.6
# Shares of the margin around the target's opening that are covered wholly, and over which it fades.
AROUND_SOLID, AROUND_FADE = 0.6, 0.6


@dataclass(frozen=True)
class Lips:
    """The part of a portrait around its mouth.

    Attributes:
        patch: (h, w, 3) uint8, the opening painted over with the lips' own colours.
        corner: (2,) float32, left and top of the patch, in pixels of the portrait.
        unit: Inter-ocular distance in pixels.
        tones: Of the portrait.
    """

    patch: Image
    corner: FloatArray
    unit: float
    tones: Tones


def build_lips(image: Image, landmarks: FloatArray, tones: Tones) -> Lips | None:
    """Paint over the opening of a portrait's mouth.

    Args:
        image: (H, W, 3) uint8 RGB.
        landmarks: (478, 3), in pixels of the image.
        tones: Of the portrait.

    Returns:
        The lips; None where they meet in the portrait or are outside it.
    """
    unit = inter_ocular(landmarks)
    ring = landmarks[load_topology().inner_lips, :2]
    box = patch_box(landmarks[load_topology().outer_lips, :2], BESIDE * unit, image.shape)
    if box is None or lip_distance(ring) / unit < MEET[1]:
        return None
    patch = image[box[1] : box[3], box[0] : box[2]]
    painted = _painted_over(patch, ring - box[:2], GROWN * unit)
    return Lips(painted, np.array(box[:2], np.float32), unit, tones)


def _painted_over(patch: Image, ring: FloatArray, margin: float) -> Image:
    """The patch (h, w, 3) without the opening within `ring` (N, 2) and `margin` pixels around it."""
    opening = polygon_mask(ring, (0, 0, patch.shape[1], patch.shape[0]), 0) > 0
    side = 2 * max(1, round(margin)) + 1
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    known = 1 - cv2.dilate(opening.astype(np.float32), kernel)
    if not known.any():
        return patch
    return np.rint(push_pull(patch.astype(np.float32), np.asarray(known, np.float32))).astype(np.uint8)


def polygon_area(ring: FloatArray) -> float:
    """The area within a polygon `ring` (N, 2), in its unit squared."""
    x, y = ring.T
    # Numpy's roll takes longer than all else here.
    around = x[:-1] @ y[1:] - y[:-1] @ x[1:] + x[-1] * y[0] - y[-1] * x[0]
    return float(abs(around) / 2)


def lip_distance(ring: FloatArray) -> float:
    """The mean distance between the inner lips `ring` (N, 2), in pixels: the area within over the mouth's width."""
    return polygon_area(ring) / max(float(np.linalg.norm(ring[len(ring) // 2] - ring[0])), 1.0)


def seal_lips(
    image: Image,
    lips: Lips | None,
    points: FloatArray,
    grow: float,
    maps: tuple[FloatArray, FloatArray],
) -> None:
    """Close the gap between lips that meet, in place.

    Args:
        image: (h, w, 3) uint8, the stage.
        lips: The portrait's lips; None leaves the stage unchanged.
        points: (478, 2), the target's landmarks in pixels of the stage.
        grow: Scale of the target's face relative to the portrait's.
        maps: x and y, (h, w) each, of each pixel's source in the portrait.
    """
    if lips is None:
        return
    ring, unit = points[load_topology().inner_lips], lips.unit * grow
    share = 1 - float(smoothstep(*MEET, np.float32(lip_distance(ring) / unit)))
    box = patch_box(ring, AROUND * unit, image.shape)
    if share <= 0 or box is None:
        return
    part = (slice(box[1], box[3]), slice(box[0], box[2]))
    sources = (maps[0][part] - lips.corner[0], maps[1][part] - lips.corner[1])
    patch = cv2.remap(lips.patch, *sources, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    closed = patch.astype(np.float32)
    seam = _seam(ring, box, SEAM * unit)
    # the square makes the line redder as well as darker, as shaded lips are
    dark = lips.tones.lift(SEAM_LIGHT * closed * closed / np.maximum(closed.max(2, keepdims=True), 1))
    closed += (dark - closed) * seam
    blend(image, box, closed, share * _around(ring, box, AROUND * unit))


def _around(ring: FloatArray, box: Box, margin: float) -> FloatArray:
    """1 within `ring` (N, 2) and close around it, (h, w), 0 from about `margin` pixels on."""
    opening = polygon_mask(ring, box, 0)
    side = 2 * max(1, round(AROUND_SOLID * margin)) + 1
    wide = cv2.dilate(opening, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)))
    # an odd size keeps the blur centred
    window = max(1, round(AROUND_FADE * margin)) | 1
    return np.asarray(cv2.blur(wide, (window, window)), np.float32)


def _seam(ring: FloatArray, box: Box, width: float) -> FloatArray:
    """Coverage (h, w, 1), 0 to 1, of the line halfway between the lips `ring` (N, 2)."""
    count = len(ring)
    lower, upper = ring[1 : count // 2], ring[: count // 2 : -1]
    line = np.concatenate([ring[:1], (lower + upper) / 2, ring[count // 2 : count // 2 + 1]]) - box[:2]
    canvas = np.zeros((box[3] - box[1], box[2] - box[0]), np.uint8)
    corners = [np.rint(line * (1 << SUBPIXEL)).astype(np.int32)]
    cv2.polylines(canvas, corners, False, (255,), max(1, round(width)), cv2.LINE_AA, SUBPIXEL)
    soft = cv2.GaussianBlur(canvas, (0, 0), max(SEAM_SOFT_LEAST, width / 2))
    return np.asarray(soft, np.float32)[..., None] / np.float32(255)
