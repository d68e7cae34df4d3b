"""Synthesise one frame of a video with another mouth."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from gioconda.lipsync import blend, texture
from gioconda.lipsync.database import HEIGHT, LEFT, TOP, WIDTH, MouthDatabase
from gioconda.lipsync.points import CHIN, JAW, rows
from gioconda.lipsync.select import MouthSelection
from gioconda.lipsync.warp import BELOW, STEP, FacePlaneGrid, RBFWarp
from gioconda.types import FloatArray, Frame, Image, Patch

# Pixels. The sides of boxes are multiples of it, as pyramids and coarse grids need.
SIDE = 16

# Factor on the support up to which the pyramid's blend fades in: a pyramid reaches beyond its mask.
FADE_IN = 4
# Times the size of the median that saves work where faces are large.
SHRINK = 2
_JAW = rows((*JAW, *CHIN))

assert SIDE % STEP == 0


@dataclass(frozen=True, eq=False)
class MouthPlacement:
    """The current and the desired shape of a frame's mouth.

    Attributes:
        matrix: (2, 3), the frame's map from the face's plane to its pixels.
        current: (P, 2), `POINTS` in that plane as the frame shows them.
        desired: (P, 2), `POINTS` as the new mouth has them.
        strength: 0 to 1; 0 leaves the frame as it is.
    """

    matrix: FloatArray
    current: FloatArray
    desired: FloatArray
    strength: float = 1.0


class MouthRenderer:
    """Renders mouths of a database into frames. Between frames it keeps only decoded pictures of mouths."""

    name = "lipsync"

    def __init__(self, database: MouthDatabase) -> None:
        self._mouths = texture.MouthCache(database)

    def render(
        self, frame: Frame, placement: MouthPlacement, selection: MouthSelection, moment: int
    ) -> Patch | None:
        """Render the part of a frame that changes. Pixels where the patch's weight is 0 stay exactly as they were.

        Args:
            frame: The target's frame.
            placement: The mouth's current and desired shape.
            selection: The mouths that make up each output frame.
            moment: The row of `selection` for this frame.

        Returns:
            The patch; None where the frame does not change.
        """
        box = _box(placement.matrix)
        if placement.strength <= 0 or not _overlaps(box, frame.image.shape):
            return None
        old = _crop(frame.image, box)
        plane = FacePlaneGrid(placement.matrix, box)
        warp = RBFWarp(plane, placement.desired)
        corner = np.array(box[:2], np.float32)
        freedom = plane.support()
        support = plane.upsample(freedom)
        mask = blend.outline_mask(plane, placement.matrix, corner, placement.current, placement.desired)
        mask *= support * np.float32(placement.strength)
        under = _with_jaw(old, plane, warp, freedom, placement).astype(np.float32)
        new = self._mouth(under, plane, warp, placement, mask, corner, selection, moment)
        mixed = blend.pyramid_blend(under, new, mask)
        near = np.minimum(support * FADE_IN, 1)[..., None]
        mixed = under + (mixed - under) * near
        return _patch(old, mixed, support, frame, box)

    def _mouth(
        self,
        under: FloatArray,
        plane: FacePlaneGrid,
        warp: RBFWarp,
        placement: MouthPlacement,
        mask: FloatArray,
        corner: FloatArray,
        selection: MouthSelection,
        moment: int,
    ) -> FloatArray:
        """The desired mouth as the frame's box shows it, with the frame's light and grain, (h, w, 3) float32."""
        unit = blend.pixels_per_unit(placement.matrix)
        index, weights = selection.index[moment], selection.weights[moment]
        shrink = SHRINK if unit > texture.MEDIAN_UNIT else 1
        median = texture.median_mouth(self._mouths, plane, warp, placement.desired, index, weights, shrink)
        proxy = texture.proxy_mouth(
            self._mouths, plane, warp, placement.desired, int(selection.proxy[moment])
        )
        fine = proxy - texture.low_frequencies(proxy, texture.DETAIL * unit)
        inside = blend.inner_mask(plane, placement.matrix, corner, placement.desired)
        mouth = texture.with_tooth_detail(median, proxy, inside, unit)
        gain = blend.grain_gain(mouth + fine, under, mask, unit)
        return blend.match_lighting(mouth + gain * fine, under, mask, unit)


def _box(matrix: FloatArray) -> tuple[int, int, int, int]:
    """The whole-pixel box around a mouth's picture in a frame; its sides are multiples of SIDE."""
    right, low = LEFT + WIDTH, TOP + HEIGHT + BELOW
    corners = np.array([[LEFT, TOP], [right, TOP], [LEFT, low], [right, low]], np.float32)
    pixels = corners @ matrix[:, :2].T + matrix[:, 2]
    left, top = np.floor(pixels.min(0)).astype(int)
    width, height = (-(-(np.ceil(pixels.max(0)) - (left, top)) // SIDE) * SIDE).astype(int)
    return int(left), int(top), int(left + width), int(top + height)


def _overlaps(box: tuple[int, int, int, int], shape: tuple[int, ...]) -> bool:
    """Whether the box and a picture of `shape` (H, W, ...) overlap."""
    return box[0] < shape[1] and box[1] < shape[0] and box[2] > 0 and box[3] > 0


def _crop(image: Image, box: tuple[int, int, int, int]) -> Image:
    """Crop the box of a picture; the picture's edge is repeated outside."""
    left, top, right, bottom = box
    height, width = image.shape[:2]
    inner = image[max(top, 0) : min(bottom, height), max(left, 0) : min(right, width)]
    over = (max(-top, 0), max(bottom - height, 0), max(-left, 0), max(right - width, 0))
    if not any(over):
        return np.asarray(inner, np.uint8)
    return np.asarray(cv2.copyMakeBorder(inner, *over, cv2.BORDER_REPLICATE), np.uint8)


def _with_jaw(
    old: Image, plane: FacePlaneGrid, warp: RBFWarp, freedom: FloatArray, placement: MouthPlacement
) -> Image:
    """Move the jaw of the frame's box (h, w, 3) to the desired mouth: the jaw correction of Suwajanakorn 2017.

    The cheeks above and the neck below follow less and less. Pixels without support stay.
    """
    moves = np.zeros_like(placement.current)
    moves[_JAW] = placement.current[_JAW] - placement.desired[_JAW]
    moved = warp.field(moves) * freedom[..., None] * np.float32(placement.strength)
    shift = plane.upsample(np.asarray(moved @ placement.matrix[:, :2].T, np.float32))
    x, y = np.meshgrid(*(np.arange(side, dtype=np.float32) for side in plane.size))
    corrected = cv2.remap(
        old, x + shift[..., 0], y + shift[..., 1], cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
    )
    return np.asarray(corrected, np.uint8)


def _patch(
    old: Image, mixed: FloatArray, support: FloatArray, frame: Frame, box: tuple[int, int, int, int]
) -> Patch:
    """The patch of the changed part, clipped to the picture; pixels without support are the frame's own."""
    weight = np.where(support > 0, support, 0).astype(np.float32)
    image = np.where(weight[..., None] > 0, blend.to_uint8(mixed), old)
    height, width = frame.image.shape[:2]
    rows_ = slice(max(-box[1], 0), box[3] - box[1] - max(box[3] - height, 0))
    columns = slice(max(-box[0], 0), box[2] - box[0] - max(box[2] - width, 0))
    corner = (max(box[0], 0), max(box[1], 0))
    return Patch(np.ascontiguousarray(image[rows_, columns]), corner, frame.time, weight[rows_, columns])
