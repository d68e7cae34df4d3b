"""Composite rendered patches into the full picture, crop squares around faces, and draw the visible label."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from gioconda.landmarks import bounds
from gioconda.types import OPAQUE, Face, FloatArray, Image, Patch

# Side of a face crop, in the longer side of the face's landmarks, and the share of the side by which it is raised, for
# the hair.
CROP, RAISED = 2.1, 0.03
# The visible label, and the one of pictures narrower than NARROW pixels.
LABEL, SHORT_LABEL, NARROW = "AI-generated", "AI", 200
# Scale of the label's letters: one for this many pixels of the picture's shorter side, and the least that is legible.
LETTER_SIDE, LETTER_LEAST = 800, 0.38
# Thickness of the letters' strokes, in letter scales.
STROKE = 1.6
# Brightness that the picture keeps behind the label.
GROUND = 0.35
# Room around the landmarks for hair and small movements: beside, above and below, in widths and heights of the face.
BESIDE, ABOVE, BELOW = 0.15, 0.35, 0.1
# Share of full opacity from which a pixel shows its own colour.
CLEAR = 0.2
# A corner serves if its distance from the heads is at least this share of the best corner's.
CORNER_SHARE = 0.6
# Weight of the distance from a head's middle, which decides where every corner touches a head.
MIDDLE_WEIGHT = 0.01

Box = tuple[int, int, int, int]


def crop_box(landmarks: FloatArray, shape: tuple[int, ...]) -> Box:
    """Find a square around a face, as large as the picture allows.

    Args:
        landmarks: (N, 2 or more), in pixels.
        shape: (H, W, ...) of the picture.

    Returns:
        Left, top, right and bottom in whole pixels.
    """
    low, high = bounds(landmarks)
    side = int(min(CROP * float(max(high - low)), shape[0], shape[1]))
    left = int(np.clip((low[0] + high[0] - side) / 2, 0, shape[1] - side))
    top = int(np.clip((low[1] + high[1] - side) / 2 - RAISED * side, 0, shape[0] - side))
    return (left, top, left + side, top + side)


def resize(image: Image, size: tuple[int, int]) -> Image:
    """Resize a picture to (width, height) pixels; areas are averaged where it shrinks. The result is contiguous."""
    if size == (image.shape[1], image.shape[0]):
        return np.ascontiguousarray(image)
    shrinks = size[0] < image.shape[1]
    interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(image, size, interpolation=interpolation), np.uint8)


def enlarge(image: Image, size: tuple[int, int]) -> Image:
    """Enlarge a picture to (width, height) pixels by Lanczos' filter, which keeps edges sharp; the same if it fits."""
    if size == (image.shape[1], image.shape[0]):
        return image
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_LANCZOS4), np.uint8)


def cut(image: Image, box: Box, side: int) -> Image:
    """Crop the square box of a picture and resize it to (side, side, 3)."""
    return resize(image[box[1] : box[3], box[0] : box[2]], (side, side))


def fit_longest(size: tuple[int, int], longest: int) -> tuple[int, int]:
    """Scale a size (w, h) to a longest side, in pixels; both sides become even, as video codecs need."""
    scale = longest / max(size)
    return (max(2, round(size[0] * scale / 2) * 2), max(2, round(size[1] * scale / 2) * 2))


def move_face(face: Face, corner: tuple[float, float], scale: tuple[float, float]) -> Face:
    """Move a face into a picture that was cropped at `corner` (x, y) and then scaled by `scale` (x, y)."""
    points = face.landmarks - np.array([*corner, 0], np.float32)
    return Face((points * np.array([*scale, scale[0]], np.float32)).astype(np.float32), face.score)


def cut_out(image: Image, alpha: Image) -> Image:
    """The own colours of a picture that lies over white.

    Pixels that are hardly opaque say little of their colour: they get that of the nearest one that is.

    Args:
        image: (H, W, 3) uint8 RGB.
        alpha: (H, W) uint8.

    Returns:
        (H, W, 4) uint8 RGBA.
    """
    share = alpha[..., None].astype(np.float32) / OPAQUE
    own = np.clip((image - OPAQUE * (1 - share)) / np.maximum(share, CLEAR), 0, OPAQUE)
    unclear = (alpha < CLEAR * OPAQUE).astype(np.uint8)
    if unclear.any() and not unclear.all():
        _, labels = cv2.distanceTransformWithLabels(unclear, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
        clear = unclear == 0
        colours = np.zeros((int(labels.max()) + 1, 3), np.float32)
        colours[labels[clear]] = own[clear]
        own = np.where(clear[..., None], own, colours[labels])
    return np.dstack([np.rint(own).astype(np.uint8), alpha])


def over(image: Image, background: Image) -> Image:
    """A picture (H, W, 4) uint8 RGBA over a background (H, W, 3) uint8, (H, W, 3) uint8."""
    share = image[..., 3:].astype(np.float32) / OPAQUE
    return np.rint(background + (image[..., :3] - background.astype(np.float32)) * share).astype(np.uint8)


def compose(picture: Image, patches: Sequence[Patch]) -> Image:
    """Composite patches into a copy of the picture.

    The first patch replaces its part of the picture; the others are blended in by their weights.

    Args:
        picture: (H, W, 3) uint8 RGB, or (H, W, 4) RGBA.
        patches: Rendered parts that lie inside the picture.

    Returns:
        A picture of the same shape.
    """
    out = picture.copy()
    for i, patch in enumerate(patches):
        x, y = patch.corner
        height, width = patch.image.shape[:2]
        part = out[y : y + height, x : x + width]
        rendered = patch.image
        if out.shape[2] > rendered.shape[2]:
            opaque = np.full((height, width), OPAQUE, np.uint8)
            rendered = np.dstack([rendered, opaque if patch.alpha is None else patch.alpha])
        if i == 0:
            part[:] = rendered
            continue
        weight = patch.weight[..., None]
        np.copyto(part, np.rint(part + (rendered - part.astype(np.float32)) * weight).astype(np.uint8))
    return out


class VisibleLabel:
    """The visible label of one job. It stays in a corner that is clear of the faces until a face reaches it."""

    def __init__(self) -> None:
        self._at: tuple[int, int] | None = None

    def put(self, image: Image, faces: Sequence[FloatArray]) -> Image:
        """Draw the label, legible where the picture's shorter side is shown at 256 pixels.

        Args:
            image: (H, W, 3) uint8 RGB, or (H, W, 4) RGBA.
            faces: Landmarks (N, 2 or 3) of each face that the label must not cover, in pixels.

        Returns:
            A copy of `image` with the label.
        """
        text, scale, thick = _lettering(image)
        (width, height), base = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, thick)
        pad = max(3, height // 2)
        size = (min(width + 2 * pad, image.shape[1]), min(height + base + 2 * pad, image.shape[0]))
        heads = [_head(face) for face in faces]
        if self._at is None or min((_gap(self._at, size, h) for h in heads), default=1.0) == 0:
            self._at = _corner(image, size, pad, heads)
        x, y = self._at
        out = image.copy()
        ground = out[y : y + size[1], x : x + size[0]]
        np.copyto(ground[..., :3], (ground[..., :3] * GROUND).astype(np.uint8))
        ground[..., 3:] = OPAQUE
        at = (x + pad, y + pad + height)
        cv2.putText(out, text, at, cv2.FONT_HERSHEY_SIMPLEX, scale, (255,) * 4, thick, cv2.LINE_AA)
        return out


def _lettering(image: Image) -> tuple[str, float, int]:
    """Text, scale and stroke in pixels: legible where the picture's shorter side is shown at 256 pixels."""
    scale = max(LETTER_LEAST, min(image.shape[:2]) / LETTER_SIDE)
    text = LABEL if image.shape[1] >= NARROW else SHORT_LABEL
    return text, scale, max(1, round(scale * STROKE))


def _head(landmarks: FloatArray) -> FloatArray:
    """Left, top, right and bottom of a head, (4,) float32 pixels: its landmarks, with room for hair and movement."""
    low, high = landmarks[:, :2].min(0), landmarks[:, :2].max(0)
    (left, top), (right, bottom), (width, height) = low, high, high - low
    aside, above, below = BESIDE * width, ABOVE * height, BELOW * height
    return np.array([left - aside, top - above, right + aside, bottom + below], np.float32)


def _gap(corner: tuple[int, int], size: tuple[int, int], head: FloatArray) -> float:
    """The distance in pixels between a label of `size` (w, h) at `corner` and a head; 0 where they overlap."""
    before = head[:2] - np.add(corner, size)
    after = np.asarray(corner) - head[2:]
    return float(np.hypot(*np.maximum(np.maximum(before, after), 0)))


def _corner(image: Image, size: tuple[int, int], pad: int, heads: Sequence[FloatArray]) -> tuple[int, int]:
    """The first corner, starting from the lower right, that is nearly as far from all heads as the farthest."""
    right, below = image.shape[1] - size[0], image.shape[0] - size[1]
    edge = min(pad, right, below)
    spots = [(x, y) for y in (below - edge, edge) for x in (right - edge, edge)]

    def room(spot: tuple[int, int]) -> float:
        middles = [np.hypot(*(np.add(spot, np.divide(size, 2)) - (h[:2] + h[2:]) / 2)) for h in heads]
        # where every corner touches a head, the distance from the head's middle decides
        gaps = (_gap(spot, size, h) + MIDDLE_WEIGHT * m for h, m in zip(heads, middles, strict=True))
        return min(gaps, default=1.0)

    best = max(map(room, spots))
    return next(spot for spot in spots if room(spot) >= CORNER_SHARE * best)
