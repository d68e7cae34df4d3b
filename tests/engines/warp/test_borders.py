"""A head that moves away from the picture's edge: nothing is seen twice, nothing folds, the face stays as it is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from gioconda.engines.warp.borders import build_sides, keep_inside
from gioconda.engines.warp.engine import WarpEngine
from gioconda.engines.warp.maps import target_maps
from gioconda.inputs.portrait import load_portraits
from gioconda.motion.edit import still_motion
from gioconda.motion.retarget import RetargetedMotion, Style

SIDE, CELL, UNIT = 240, 8, 40.0
GRID = np.arange(0, SIDE + 1, CELL, dtype=np.float32)
POINTS = np.stack(np.meshgrid(GRID, GRID), -1)
AXES = {"left": (0, 1), "top": (1, 1), "right": (0, -1), "bottom": (1, -1)}


def person(top):
    """A mask (SIDE, SIDE) of somebody who reaches to so many pixels from the upper edge."""
    mask = np.zeros((SIDE, SIDE), np.float32)
    mask[top:, 60:180] = 1
    return mask


def turned(array, name):
    """What holds for the top, for another side."""
    return {"top": array, "bottom": array[::-1], "left": array.T, "right": array.T[:, ::-1]}[name]


def kept(name, top, way):
    """Source positions across the side `name`, (n,) inwards, in the middle of the grid, of a picture moved inwards."""
    axis, inwards = AXES[name]
    sides = build_sides((0, 0, SIDE, SIDE), (SIDE, SIDE), (GRID, GRID), turned(person(top), name), UNIT)
    offsets = np.zeros((len(GRID), len(GRID), 2), np.float32)
    offsets[..., axis] = -inwards * way
    face = np.array([[90, 110, 0], [150, 110, 0], [150, 150, 0], [90, 150, 0]], np.float32)
    result = keep_inside(sides, POINTS, offsets, face, 10)
    assert np.array_equal(result[..., 1 - axis], offsets[..., 1 - axis])
    middle = (POINTS + result)[:, 15, 1] if axis else (POINTS + result)[15, :, 0]
    return middle if inwards > 0 else (SIDE - 1) - middle[::-1]


@pytest.mark.parametrize("name", AXES)
@pytest.mark.parametrize(("top", "way"), [(0, 12), (0, 30), (40, 12)])
def test_what_would_come_from_beyond_the_picture_is_stretched(name, top, way):
    across = kept(name, top, way)
    assert abs(across[0]) <= 1 if name in ("left", "top") else abs(across[0]) <= CELL
    assert np.all(np.diff(across) > 0.2), "it folds"
    assert np.allclose(across[14:17], GRID[14:17] - way, atol=1.1), "the face stays"


@pytest.mark.parametrize("name", AXES)
def test_a_person_near_the_edge_keeps_the_shape(name):
    across = kept(name, 6, 20)
    assert np.all(np.diff(across) > 0.2), "it folds"
    assert np.allclose(across[4:], GRID[4 : len(across)] - 20, atol=1.1), "the person is not stretched"


def test_nothing_moves_where_nothing_is_missing():
    sides = build_sides((0, 0, SIDE, SIDE), (SIDE, SIDE), (GRID, GRID), person(0), UNIT)
    face = np.array([[90, 110, 0], [150, 150, 0]], np.float32)
    upwards = np.zeros((len(GRID), len(GRID), 2), np.float32)
    upwards[..., 1] = 20 * (POINTS[..., 1] < 100)
    assert np.array_equal(keep_inside(sides, POINTS, upwards, face, 10), upwards)
    assert build_sides((8, 8, 232, 232), (SIDE, SIDE), (GRID, GRID), person(0), UNIT) == ()


def test_hair_that_the_picture_cuts_is_not_mirrored_when_the_head_bows(astronaut_image):
    image = np.ascontiguousarray(astronaut_image[50:266, 120:336])
    portrait = load_portraits(image, chosen=0, crop=False, size=216).portraits[0]
    shot = RetargetedMotion(still_motion(0, -15, 0, 0, 0, {}), portrait, Style()).target(0)
    assert shot.landmarks[10, 1] - portrait.face.landmarks[10, 1] > 6, "the head does not bow"
    who = WarpEngine().prepare(portrait)
    assert who.background_warp.box[1] == 0
    assert target_maps(who, shot)[1].min() > -0.5
    beside = replace(who, sides=())
    assert target_maps(beside, shot)[1].min() < -2, "nothing is missing"
