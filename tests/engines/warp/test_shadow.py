"""Lips in a shadow, as of a moustache: the mouth behind them is dark, and a lower lip that drops is lit."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from gioconda.engines.warp.engine import WarpEngine
from gioconda.engines.warp.frame import warp_frame
from gioconda.engines.warp.mesh import load_topology
from gioconda.engines.warp.mouth import build_mouth, match_light
from gioconda.engines.warp.refiner import Repair, build_references, crop_stage
from gioconda.engines.warp.shadow import LEAST, light_between
from gioconda.motion.edit import still_motion
from gioconda.motion.retarget import RetargetedMotion, Style
from gioconda.types import Face, Portrait
from heads import SIZE, performed, person

LUMA = np.array([0.299, 0.587, 0.114])
SKIN = 180
SHADED, LIT = 45, 150  # grey levels of lips


def colour(*levels):
    return np.array(levels, np.float32)


def test_only_lips_that_are_both_dark_lie_in_a_shadow():
    skin, dark, light, red = (
        colour(180, 150, 140),
        colour(45, 45, 45),
        colour(150, 120, 110),
        colour(170, 30, 40),
    )
    assert light_between((light, light), skin) == 1
    assert light_between((red, red), skin) == 1
    assert light_between((dark, light), skin) == 1
    assert LEAST <= light_between((dark, dark), skin) < 0.4
    assert light_between((dark / 20, dark / 20), skin) == pytest.approx(LEAST)


def drawn(lips):
    """A grey portrait with a shut mouth whose lips, and what is beside them, have a grey level."""
    landmarks = performed(person(1), 1)[0].landmarks
    image = np.full((SIZE[1], SIZE[0], 3), SKIN, np.uint8)
    ring = np.rint(landmarks[load_topology().outer_lips, :2]).astype(np.int32)
    cv2.fillPoly(image, [ring], (lips,) * 3, cv2.LINE_AA)
    cv2.polylines(image, [ring], True, (lips,) * 3, 16, cv2.LINE_AA)
    return Portrait(image, Face(landmarks))


def opened(lips, network=None, jaw=0.6):
    """The drawn portrait's stage (h, w) with an open mouth, in luma; where it is filled; and where its lower lip is."""
    portrait = drawn(lips)
    target_pose = RetargetedMotion(still_motion(0, 0, 0, 0, 0, {"jawOpen": jaw}), portrait, Style()).target(0)
    identity = WarpEngine().prepare(portrait)
    warped = warp_frame(identity, target_pose)
    corner = identity.background_warp.box[:2]
    filled = np.zeros(warped.image.shape[:2], np.float32)
    left, top, right, bottom = warped.fill.box
    filled[top:bottom, left:right] = warped.fill.alpha
    if network is not None:
        maps = (warped.map_x, warped.map_y)
        crop = crop_stage(warped.image, maps, warped.fill, target_pose.landmarks, corner)
        Repair(network, build_references(portrait)).repair(warped.image, crop, warped.fill)
    x, y = (target_pose.landmarks[[14, 17], :2].mean(0) - corner).astype(int)
    lower = np.zeros(filled.shape, bool)
    lower[y - 1 : y + 2, x - 4 : x + 5] = True
    return warped.image @ LUMA, filled > 0.95, lower


def test_a_mouth_between_shaded_lips_is_darker_and_its_lower_lip_comes_into_light():
    shaded, filled, lower = opened(SHADED)
    lit, _, _ = opened(LIT)
    assert np.percentile(shaded[filled], 95) < 0.5 * np.percentile(lit[filled], 95)
    assert shaded[lower].mean() > 1.8 * SHADED
    assert shaded[lower].mean() < SKIN
    assert lit[lower].mean() == pytest.approx(LIT, abs=3)


def test_the_lower_lip_comes_into_light_little_by_little():
    levels = []
    for jaw in (0.05, 0.15, 0.6):
        image, _, lower = opened(SHADED, jaw=jaw)
        levels.append(image[lower].mean())
    assert levels[0] < levels[1] < levels[2]


def test_a_network_lights_no_mouth_that_lies_in_a_shadow():
    def white(planes):
        return np.ones((3, *planes.shape[2:]), np.float32)

    rises = []
    for lips in (SHADED, LIT):
        before, filled, _ = opened(lips)
        after, _, _ = opened(lips, white)
        rises.append((after - before)[filled].mean())
    assert rises[0] < 0.5 * rises[1]


def test_without_colour_a_tongue_is_darker_than_teeth():
    portrait = drawn(LIT)
    appearance = build_mouth(portrait.image, portrait.face.landmarks, load_topology())
    teeth, tongue = colour(120, 118, 112), colour(180, 92, 88)
    content = np.stack([teeth, tongue])[None]
    skin = colour(SKIN, SKIN, SKIN)
    grey = match_light(content, skin, appearance)
    assert np.ptp(grey, axis=2).max() < 0.01
    assert grey[0, 1].mean() < 0.9 * grey[0, 0].mean()
    seen = match_light(content, skin, replace(appearance, colour=1.0)) @ LUMA
    assert seen[0, 1] == pytest.approx(seen[0, 0], rel=0.1), "in colour they are told apart by it"


@pytest.mark.parametrize(
    ("skin", "least", "most"), [((190, 148, 72), 0.94, 1.01), ((215, 120, 70), 0.5, 0.85)]
)
def test_a_tongue_turns_yellow_under_varnish_and_red_in_the_light_of_a_fire(skin, least, most):
    portrait = drawn(LIT)
    appearance = build_mouth(portrait.image, portrait.face.landmarks, load_topology())
    appearance = replace(appearance, skin=colour(*skin), blue=0.6, colour=1.0)
    driver_skin, tongue = colour(170, 121, 106), colour(90, 62, 62)
    relit = match_light(tongue[None, None], driver_skin, appearance)[0, 0]
    assert least < (relit[1] / relit[0]) / (tongue[1] / tongue[0]) < most
    assert relit[2] / relit[0] < 0.8 * tongue[2] / tongue[0]
