"""What is seen where a head that moves away from the picture's edge lays bare what was never in the picture."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from gioconda.engines.affine import Box
from gioconda.engines.warp.surround import Surround, picture_ends, smoothstep
from gioconda.types import FloatArray, Portrait

STRETCHED = 4.0  # times the way that is missing: how far inwards the picture is stretched to make up for it
STEEPEST = 1.6  # the same, at the least: nearer, the picture would fold
BEFORE = 0.7  # share of the way that is missing by which background may be stretched further, the person having moved
SOMEONE = 0.5  # share of the mask that counts as the person
EDGE = 3  # pixels: a person who is nearer is cut by the edge
SOFT = 0.5  # inter-ocular units along the edge, over which all this changes


@dataclass(frozen=True)
class Side:
    """One of the stage's sides at which the picture itself ends, along a grid of n lines that meet it.

    axis: 0 for x, 1 for y. last: whether it is the right or the lower side. at: the picture's last pixel there.
    cut: (n,), whether the edge cuts through the person, 0 to 1. free: (n,), pixels from the edge to the person.
    """

    axis: int
    last: bool
    at: float
    cut: FloatArray
    free: FloatArray


def sides_of(portrait: Portrait, surround: Surround) -> tuple[Side, ...]:
    """The sides of a portrait's stage; without a mask of the person, the field's own share of it is taken."""
    person, box = portrait.person, surround.box
    if person is None:
        left, top, right, bottom = box
        person = np.zeros(portrait.image.shape[:2], np.float32)
        person[top:bottom, left:right] = cv2.resize(surround.edges[0], (right - left, bottom - top))
    grid = surround.points[0, :, 0], surround.points[:, 0, 1]
    return build_sides(box, portrait.image.shape, grid, person, surround.unit)


def build_sides(
    box: Box, shape: tuple[int, ...], grid: tuple[FloatArray, FloatArray], person: FloatArray, unit: float
) -> tuple[Side, ...]:
    """The sides of a stage in a picture of `shape`.

    grid: x (gw,) and y (gh,) of the stage's grid, in pixels. person: (h, w), 1 on the person, 0 elsewhere. unit: the
    inter-ocular distance.
    """
    left, top, right, bottom = box
    sides = ((0, False, left), (1, False, top), (0, True, right - 1), (1, True, bottom - 1))
    stage = person[top:bottom, left:right]
    across, down = (
        np.clip(along - first, 0, size - 1).astype(np.int64)
        for along, first, size in zip(grid, (left, top), stage.shape[::-1], strict=True)
    )
    wide = max(1, round(SOFT * unit)) | 1
    return tuple(
        _side(axis, last, at, stage, across if axis else down, wide)
        for ends, (axis, last, at) in zip(picture_ends(box, shape), sides, strict=True)
        if ends
    )


def _side(
    axis: int, last: bool, at: float, stage: FloatArray, lines: npt.NDArray[np.int64], wide: int
) -> Side:
    inwards = np.moveaxis(stage, 1 - axis, 0)[:: -1 if last else 1]
    found = inwards > SOMEONE
    free = np.where(found.any(0), found.argmax(0), len(inwards)).astype(np.float32)
    cut = (free < EDGE).astype(np.float32)
    soft = [cv2.blur(one[None], (wide, 1), borderType=cv2.BORDER_REPLICATE)[0] for one in (cut, free)]
    return Side(axis, last, at, soft[0][lines], soft[1][lines])


def keep_inside(
    sides: tuple[Side, ...], points: FloatArray, offsets: FloatArray, contour: FloatArray, rim: float
) -> FloatArray:
    """Offsets (gh, gw, 2), target to source, that take as little as can be from beyond the picture.

    A person whom the edge cuts is stretched up to it, and so is the background between the edge and a person; where
    there is too little of it, the picture's last pixels go on. points: (gh, gw, 2 or more), of the grid. contour:
    (K, 3), the target of the face's, which is left alone with a rim of so many pixels.
    """
    low, high = contour[:, :2].min(0), contour[:, :2].max(0)
    kept = offsets.copy()
    for side in sides:
        inwards = -1 if side.last else 1
        room = inwards * float((high if side.last else low)[side.axis] - side.at) - rim
        at_edge = np.take(offsets[..., side.axis], -1 if side.last else 0, axis=1 - side.axis)
        missing = np.maximum(-inwards * at_edge, 0)
        if room <= 1 or not np.any(missing):
            continue
        most = STRETCHED * missing
        before = np.maximum(side.free - rim, 0) + BEFORE * missing
        reach = side.cut * most + (1 - side.cut) * np.minimum(most, before)
        reach = np.clip(reach, 1, room)
        pulled = np.minimum(missing, reach / STEEPEST)
        reach, pulled = (np.expand_dims(one, 1 - side.axis) for one in (reach, pulled))
        share = 1 - smoothstep(0, reach, inwards * (points[..., side.axis] - side.at))
        kept[..., side.axis] += inwards * pulled * share
    return np.asarray(kept, np.float32)
