"""The animated part back into the full picture; square crops of a face; the visible label."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from gioconda.types import Face, FloatArray, Image, Patch

CROP = 2.1  # side of a face crop, in face heights
LABEL, SHORT_LABEL = "AI-generated", "AI"

Box = tuple[int, int, int, int]


def crop_box(landmarks: FloatArray, shape: tuple[int, ...]) -> Box:
    """A square (left, top, right, bottom) around a face, as large as the picture allows."""
    low, high = landmarks[:, :2].min(0), landmarks[:, :2].max(0)
    side = int(min(CROP * float(max(high - low)), shape[0], shape[1]))
    left = int(np.clip((low[0] + high[0] - side) / 2, 0, shape[1] - side))
    top = int(np.clip((low[1] + high[1] - side) / 2 - 0.03 * side, 0, shape[0] - side))
    return (left, top, left + side, top + side)


def resize(image: Image, size: tuple[int, int]) -> Image:
    """The picture at (width, height), contiguous; areas averaged when it shrinks."""
    if size == (image.shape[1], image.shape[0]):
        return np.ascontiguousarray(image)
    shrinks = size[0] < image.shape[1]
    how = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(image, size, interpolation=how), np.uint8)


def cut(image: Image, box: Box, side: int) -> Image:
    """The square box of a picture at `side` x `side` pixels."""
    return resize(image[box[1] : box[3], box[0] : box[2]], (side, side))


def fit_longest(size: tuple[int, int], longest: int) -> tuple[int, int]:
    """`size` (w, h) scaled down to a longest side, even, as video codecs want it."""
    scale = min(1.0, longest / max(size))
    return (max(2, round(size[0] * scale / 2) * 2), max(2, round(size[1] * scale / 2) * 2))


def move_face(face: Face, corner: tuple[float, float], scale: tuple[float, float]) -> Face:
    """The face in a picture that was cut at `corner` and then scaled."""
    points = face.landmarks - np.array([*corner, 0], np.float32)
    return Face((points * np.array([*scale, scale[0]], np.float32)).astype(np.float32), face.score)


def compose(picture: Image, patches: Sequence[Patch]) -> Image:
    """A copy of the picture with the patches laid in; where several meet, each by its weight."""
    out = picture.copy()
    for i, patch in enumerate(patches):
        x, y = patch.corner
        height, width = patch.image.shape[:2]
        part = out[y : y + height, x : x + width]
        if i == 0:
            part[:] = patch.image
            continue
        alpha = patch.weight[..., None]
        np.copyto(part, np.rint(part + (patch.image - part.astype(np.float32)) * alpha).astype(np.uint8))
    return out


class Sign:
    """The visible label of one job: in the corner that keeps clear of the faces, and there as long as it does."""

    def __init__(self) -> None:
        self._at: tuple[int, int] | None = None

    def put(self, image: Image, faces: Sequence[FloatArray]) -> Image:
        """A copy of `image` (H, W, 3) with the sign, legible at 256 pixels; faces: landmarks (N, 2 or 3) of each."""
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
        np.copyto(ground, (ground * 0.35).astype(np.uint8))
        at = (x + pad, y + pad + height)
        cv2.putText(out, text, at, cv2.FONT_HERSHEY_SIMPLEX, scale, (255, 255, 255), thick, cv2.LINE_AA)
        return out


def _lettering(image: Image) -> tuple[str, float, int]:
    """Text, size and stroke: still legible when the picture is shown with its shorter side at 256 pixels."""
    scale = max(0.38, min(image.shape[:2]) / 800)
    text = LABEL if image.shape[1] >= 200 else SHORT_LABEL
    return text, scale, max(1, round(scale * 1.6))


def _head(landmarks: FloatArray) -> FloatArray:
    """Left, top, right, bottom of a head: its landmarks, with room for hair and for a small movement."""
    low, high = landmarks[:, :2].min(0), landmarks[:, :2].max(0)
    (left, top), (right, bottom), (width, height) = low, high, high - low
    return np.array(
        [left - 0.15 * width, top - 0.35 * height, right + 0.15 * width, bottom + 0.1 * height], np.float32
    )


def _gap(corner: tuple[int, int], size: tuple[int, int], head: FloatArray) -> float:
    """Pixels between the sign at `corner` and a head; 0 where they meet."""
    before = head[:2] - np.add(corner, size)
    after = np.asarray(corner) - head[2:]
    return float(np.hypot(*np.maximum(np.maximum(before, after), 0)))


def _corner(image: Image, size: tuple[int, int], pad: int, heads: Sequence[FloatArray]) -> tuple[int, int]:
    """The first corner, from below right on, that is nearly as far from all heads as the farthest."""
    right, below = image.shape[1] - size[0], image.shape[0] - size[1]
    edge = min(pad, right, below)
    spots = [(x, y) for y in (below - edge, edge) for x in (right - edge, edge)]

    def room(spot: tuple[int, int]) -> float:
        middles = [np.hypot(*(np.add(spot, np.divide(size, 2)) - (h[:2] + h[2:]) / 2)) for h in heads]
        # where every corner touches a head, the one farthest from its middle
        return min((_gap(spot, size, h) + 0.01 * m for h, m in zip(heads, middles, strict=True)), default=1.0)

    best = max(map(room, spots))
    return next(spot for spot in spots if room(spot) >= 0.6 * best)
