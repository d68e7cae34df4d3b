"""The picture's edges: what shows where a moving head uncovers what was never in the picture."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from gioconda.engines.affine import Box
from gioconda.engines.warp.background_warp import BackgroundWarp, picture_ends, smoothstep
from gioconda.types import FloatArray, Portrait

# Reach of the stretching inwards, in widths of the missing strip; at the least, since a nearer one would fold the
# picture.
STRETCHED, STEEPEST = 4.0, 1.6
# Widths of the missing strip by which the background may be stretched further, since the person has moved as well.
BEFORE = 0.7
# Share of the mask that counts as the person.
PERSON = 0.5
# Pixels. The edge cuts through a person who is nearer.
EDGE = 3
# Inter-ocular units along the edge over which the stretching changes.
SOFT = 0.5


@dataclass(frozen=True)
class Side:
    """A side of the stage at which the picture itself ends, along the n lines of the grid that meet it.

    Attributes:
        axis: 0 for x, 1 for y.
        last: Whether it is the right or the lower side.
        at: The picture's last pixel there.
        cut: (n,) float32, whether the edge cuts through the person, 0 to 1.
        free: (n,) float32, pixels from the edge to the person.
    """

    axis: int
    last: bool
    at: float
    cut: FloatArray
    free: FloatArray


def sides_of(portrait: Portrait, background_warp: BackgroundWarp) -> tuple[Side, ...]:
    """Find the sides of a portrait's stage at which the picture ends.

    Where the portrait has no mask of the person, the field's own estimate takes its place.
    """
    person, box = portrait.person, background_warp.box
    if person is None:
        left, top, right, bottom = box
        person = np.zeros(portrait.image.shape[:2], np.float32)
        person[top:bottom, left:right] = cv2.resize(background_warp.edges[0], (right - left, bottom - top))
    grid = background_warp.points[0, :, 0], background_warp.points[:, 0, 1]
    return build_sides(box, portrait.image.shape, grid, person, background_warp.unit)


def build_sides(
    box: Box, shape: tuple[int, ...], grid: tuple[FloatArray, FloatArray], person: FloatArray, unit: float
) -> tuple[Side, ...]:
    """Find the sides of a stage at which the picture ends.

    Args:
        box: The stage, in pixels.
        shape: (H, W, ...) of the picture.
        grid: x (gw,) and y (gh,) of the stage's grid, in pixels.
        person: (H, W), 1 on the person, 0 elsewhere.
        unit: The inter-ocular distance in pixels.
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
    """The side of a stage's mask (h, w); lines: rows or columns of the grid, wide: pixels of the smoothing window."""
    inwards = np.moveaxis(stage, 1 - axis, 0)[:: -1 if last else 1]
    person = inwards > PERSON
    free = np.where(person.any(0), person.argmax(0), len(inwards)).astype(np.float32)
    cut = (free < EDGE).astype(np.float32)
    soft = [cv2.blur(values[None], (wide, 1), borderType=cv2.BORDER_REPLICATE)[0] for values in (cut, free)]
    return Side(axis, last, at, soft[0][lines], soft[1][lines])


def keep_inside(
    sides: tuple[Side, ...], points: FloatArray, offsets: FloatArray, contour: FloatArray, rim: float
) -> FloatArray:
    """Change offsets so that they take as little as possible from beyond the picture.

    A person that the edge cuts is stretched up to the edge, and so is the background between the edge and a person.
    Where there is too little background, the picture's last pixels are repeated.

    Args:
        sides: The sides of the stage at which the picture ends.
        points: (gh, gw, 2 or more), the grid in pixels.
        offsets: (gh, gw, 2), from target to source, in pixels.
        contour: (K, 3), the face's contour in the target pose; the face itself is not stretched.
        rim: Pixels around the contour that are not stretched either.

    Returns:
        (gh, gw, 2) float32, the changed offsets.
    """
    ends, kept = (contour[:, :2].min(0), contour[:, :2].max(0)), offsets.copy()
    for side in sides:
        inwards = -1 if side.last else 1
        room = inwards * float(ends[side.last][side.axis] - side.at) - rim
        at_edge = np.take(offsets[..., side.axis], -1 if side.last else 0, axis=1 - side.axis)
        missing = np.maximum(-inwards * at_edge, 0)
        if room <= 1 or not np.any(missing):
            continue
        most = STRETCHED * missing
        before = np.maximum(side.free - rim, 0) + BEFORE * missing
        reach = side.cut * most + (1 - side.cut) * np.minimum(most, before)
        reach = np.clip(reach, 1, room)
        pulled = np.minimum(missing, reach / STEEPEST)
        reach, pulled = (np.expand_dims(values, 1 - side.axis) for values in (reach, pulled))
        # Lines of the grid beyond the farthest reach stay as they are.
        away = inwards * (points[0, :, 0] if side.axis == 0 else points[:, 0, 1]) - inwards * side.at
        near = np.flatnonzero(away < reach.max())
        lines = slice(int(near[0]), int(near[-1]) + 1)
        part = (slice(None), lines, 0) if side.axis == 0 else (lines, slice(None), 1)
        share = 1 - smoothstep(0, reach, np.expand_dims(away[lines], side.axis))
        kept[part] += inwards * pulled * share
    return np.asarray(kept, np.float32)
