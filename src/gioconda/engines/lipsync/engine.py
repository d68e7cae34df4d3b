"""One frame of a video with another mouth."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from gioconda.engines.lipsync import blend, texture
from gioconda.engines.lipsync.bank import HEIGHT, LEFT, TOP, WIDTH, Bank
from gioconda.engines.lipsync.fields import STEP, Bend, Plane
from gioconda.engines.lipsync.points import CHIN, JAW, rows
from gioconda.engines.lipsync.shapes import Choice
from gioconda.types import FloatArray, Frame, Image, Patch

SIDE = 16  # pixels: boxes are multiples of it, for pyramids and coarse grids
_JAW = rows((*JAW, *CHIN))

assert SIDE % STEP == 0


@dataclass(frozen=True, eq=False)
class Place:
    """Where a frame's mouth is, and what it shall look like.

    matrix: (2, 3), the frame's map from the face's plane to its pixels. seen, wanted: (P, 2), where `POINTS` are and
    shall be in that plane. strength: 0..1, 0 leaves the frame as it is.
    """

    matrix: FloatArray
    seen: FloatArray
    wanted: FloatArray
    strength: float = 1.0


class LipSync:
    """Mouths of a bank laid into frames; holds unpacked pictures between frames, nothing else."""

    name = "lipsync"

    def __init__(self, bank: Bank) -> None:
        self._mouths = texture.Mouths(bank)

    def render(self, frame: Frame, place: Place, choice: Choice, moment: int) -> Patch | None:
        """The part of a frame that changes, pixels outside its weight exactly as they were.

        choice, moment: what to make it of, and which row of it. None where nothing changes.
        """
        box = _box(place.matrix)
        if place.strength <= 0 or not _inside(box, frame.image.shape):
            return None
        old = _cut(frame.image, box)
        plane = Plane(place.matrix, box)
        bend = Bend(plane, place.wanted)
        corner = np.array(box[:2], np.float32)
        freely = plane.support()
        support = plane.spread(freely)
        mask = blend.outline_mask(plane, place.matrix, corner, place.seen, place.wanted)
        mask *= support * np.float32(place.strength)
        under = _with_jaw(old, plane, bend, freely, place).astype(np.float32)
        new = self._mouth(under, plane, bend, place, mask, corner, choice, moment)
        mixed = blend.pyramid_blend(under, new, mask)
        near = np.minimum(support * 4, 1)[..., None]  # a pyramid reaches beyond its mask
        mixed = under + (mixed - under) * near
        return _patch(old, mixed, support, frame, box)

    def _mouth(
        self,
        under: FloatArray,
        plane: Plane,
        bend: Bend,
        place: Place,
        mask: FloatArray,
        corner: FloatArray,
        choice: Choice,
        moment: int,
    ) -> FloatArray:
        """The wanted mouth as the frame's box shows it, in its light and with its grain, (h, w, 3)."""
        unit = blend.unit_of(place.matrix)
        index, weights = choice.index[moment], choice.weights[moment]
        shrink = 2 if unit > texture.MEDIAN_UNIT else 1
        median = texture.median_mouth(self._mouths, plane, bend, place.wanted, index, weights, shrink)
        proxy = texture.proxy_mouth(self._mouths, plane, bend, place.wanted, int(choice.proxy[moment]))
        fine = proxy - texture.coarse_part(proxy, texture.DETAIL * unit)
        inside = blend.inner_mask(plane, place.matrix, corner, place.wanted)
        mouth = texture.toothed(median, proxy, inside, unit)
        gain = blend.grain_gain(mouth + fine, under, mask, unit)
        return blend.lit(mouth + gain * fine, under, mask, unit)


def _box(matrix: FloatArray) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of the whole-pixel box around a mouth's picture in a frame, sides multiples of SIDE."""
    right, low = LEFT + WIDTH, TOP + HEIGHT + 0.1
    corners = np.array([[LEFT, TOP], [right, TOP], [LEFT, low], [right, low]], np.float32)
    pixels = corners @ matrix[:, :2].T + matrix[:, 2]
    left, top = np.floor(pixels.min(0)).astype(int)
    width, height = (-(-(np.ceil(pixels.max(0)) - (left, top)) // SIDE) * SIDE).astype(int)
    return int(left), int(top), int(left + width), int(top + height)


def _inside(box: tuple[int, int, int, int], shape: tuple[int, ...]) -> bool:
    """Whether at least a part of the box lies in the picture."""
    return box[0] < shape[1] and box[1] < shape[0] and box[2] > 0 and box[3] > 0


def _cut(image: Image, box: tuple[int, int, int, int]) -> Image:
    """The box of a picture, its edge repeated outside."""
    left, top, right, bottom = box
    height, width = image.shape[:2]
    inner = image[max(top, 0) : min(bottom, height), max(left, 0) : min(right, width)]
    over = (max(-top, 0), max(bottom - height, 0), max(-left, 0), max(right - width, 0))
    if not any(over):
        return np.asarray(inner, np.uint8)
    return np.asarray(cv2.copyMakeBorder(inner, *over, cv2.BORDER_REPLICATE), np.uint8)


def _with_jaw(old: Image, plane: Plane, bend: Bend, freely: FloatArray, place: Place) -> Image:
    """The frame's box with its jaw where the wanted mouth needs it (the jaw correction of Suwajanakorn 2017).

    The cheeks above and the neck below follow less and less; what is outside the support stays.
    """
    moves = np.zeros_like(place.seen)
    moves[_JAW] = place.seen[_JAW] - place.wanted[_JAW]
    moved = bend.field(moves) * freely[..., None] * np.float32(place.strength)
    shift = plane.spread(moved @ place.matrix[:, :2].T)
    x, y = np.meshgrid(*(np.arange(side, dtype=np.float32) for side in plane.size))
    shown = cv2.remap(
        old, x + shift[..., 0], y + shift[..., 1], cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
    )
    return np.asarray(shown, np.uint8)


def _patch(
    old: Image, mixed: FloatArray, support: FloatArray, frame: Frame, box: tuple[int, int, int, int]
) -> Patch:
    """The changed part within the picture; pixels without support are the frame's own."""
    weight = np.where(support > 0, support, 0).astype(np.float32)
    image = np.where(weight[..., None] > 0, blend.rounded(mixed), old)
    height, width = frame.image.shape[:2]
    rows_ = slice(max(-box[1], 0), box[3] - box[1] - max(box[3] - height, 0))
    columns = slice(max(-box[0], 0), box[2] - box[0] - max(box[2] - width, 0))
    corner = (max(box[0], 0), max(box[1], 0))
    return Patch(np.ascontiguousarray(image[rows_, columns]), corner, frame.time, weight[rows_, columns])
