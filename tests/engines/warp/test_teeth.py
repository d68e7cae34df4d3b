"""Teeth of our own stand in an arch, and tilt and turn with the head; no network blackens a mouth."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from gioconda.assets import asset_path
from gioconda.engines.warp import lips
from gioconda.engines.warp.engine import WarpEngine
from gioconda.engines.warp.frame import warp_frame
from gioconda.engines.warp.mesh import load_topology
from gioconda.engines.warp.refiner import Repair, build_references, crop_stage
from gioconda.engines.warp.teeth import PARTS, build_teeth, paint_teeth
from gioconda.inputs.portrait import load_portraits
from gioconda.motion.edit import still_motion
from gioconda.motion.pose import rotation_from_euler
from gioconda.motion.retarget import RetargetedMotion, Style
from gioconda.types import Face, Portrait, TargetPose
from heads import SIZE, performed, person

BOX = (0, 0, SIZE[0], SIZE[1])
UPPER_MIDDLE = 48  # about the middle column of the upper teeth's picture
LUMA = np.array([0.299, 0.587, 0.114])


def upper_teeth(half=None, **pose):
    """Pixels (h, w) that show the upper teeth, or one half of them, and the landmarks, of a head in some pose."""
    rest, now = (performed(person(3), 1, **how)[0].landmarks for how in ({}, {**pose, "jawOpen": 0.7}))
    turn = rotation_from_euler(*(pose.get(name, 0.0) for name in ("yaw", "pitch", "roll"))).astype(np.float32)
    teeth = build_teeth(rest)
    middle = rest[[33, 263]].mean(0)
    at = performed(person(3), 1, **pose)[0].landmarks[[33, 263]].mean(0)
    target_pose = TargetPose(0.0, now, turn, 1.0, at - middle @ turn.T, np.zeros(52, np.float32))
    upper = teeth.sprites[PARTS.index("upper")]
    image = upper.image.copy()
    image[:, half or slice(None)] = 0
    bare = replace(upper, image=image)
    without = replace(teeth, sprites=tuple(bare if sprite is upper else sprite for sprite in teeth.sprites))
    pictures = [
        paint_teeth(painted, target_pose, np.zeros(2, np.float32), BOX) for painted in (teeth, without)
    ]
    return np.abs(pictures[0] - pictures[1]).max(2) > 30, now


def tilt(shown):
    """Degrees by which the row of teeth stands above the horizontal on its right, by its principal axis."""
    rows, columns = np.nonzero(shown)
    axis = np.linalg.eigh(np.cov(np.stack([columns, rows])))[1][:, -1]
    return float(np.degrees(np.arctan(axis[1] / axis[0])))


@pytest.mark.parametrize("roll", [-20.0, 20.0])
def test_teeth_are_level_with_a_head_that_tilts(roll):
    shown, points = upper_teeth(roll=roll)
    eyes = points[263] - points[33]
    assert tilt(shown) == pytest.approx(np.degrees(np.arctan2(eyes[1], eyes[0])), abs=2.5)


@pytest.mark.parametrize("roll", [0.0, 20.0])
def test_the_row_of_teeth_recedes_on_the_side_that_turns_away(roll):
    widths = {}
    for yaw in (-25.0, 25.0):
        both = []
        for half in (slice(None, UPPER_MIDDLE), slice(UPPER_MIDDLE, None)):
            shown, points = upper_teeth(half, yaw=yaw, roll=roll)
            along = (points[263, :2] - points[33, :2]) / np.linalg.norm(points[263, :2] - points[33, :2])
            place = np.argwhere(shown)[:, ::-1] @ along
            both.append(np.ptp(np.percentile(place, [2, 98])))
        widths[yaw] = both[0] / both[1]
    near, far = max(widths.values()), min(widths.values())
    assert near > 1.3
    assert far < 1 / 1.3


def black(planes):
    return np.full((3, *planes.shape[1:]), -1, np.float32)


def same(planes):
    return planes[:3]


def open_mouth(change, gain=1.0):
    """The astronaut's mouth, wide open, before and after a network's repair, and where it is filled.

    gain: of the portrait's light, a number or (384,) for its columns.
    """
    portrait = load_portraits(asset_path("astronaut.jpg"), chosen=0, crop=True, size=384).portraits[0]
    light = np.broadcast_to(np.asarray(gain, np.float32), 384)[None, :, None]
    portrait = replace(portrait, image=np.asarray(portrait.image * light, np.uint8))
    target_pose = RetargetedMotion(still_motion(0, 0, 0, 0, 0, {"jawOpen": 0.8}), portrait, Style()).target(0)
    identity = WarpEngine().prepare(portrait)
    warped = warp_frame(identity, target_pose)
    repaired = warped.image.copy()
    repair = Repair(lambda planes: change(planes[0]), build_references(portrait))
    maps = (warped.map_x, warped.map_y)
    corner = identity.background_warp.box[:2]
    crop = crop_stage(repaired, maps, warped.fill, target_pose.landmarks, corner)
    repair.repair(repaired, crop, warped.fill)
    alpha = np.zeros(repaired.shape[:2], np.float32)
    left, top, right, bottom = warped.fill.box
    alpha[top:bottom, left:right] = warped.fill.alpha
    return warped.image, repaired, alpha > 0.9


@pytest.mark.parametrize("gain", [1.0, 0.2])
def test_teeth_are_not_blackened_by_a_network(gain):
    before, after, filled = open_mouth(black, gain)
    before, after = before @ LUMA, after @ LUMA
    teeth = filled & (before > 110 * gain)
    assert teeth.sum() > 100
    assert after[teeth].min() > 55 * gain
    assert (before - after)[teeth].mean() > 12 * gain, "but they may be shaded"


def test_a_network_sees_a_dark_person_by_day_and_repairs_it_in_the_dark():
    seen = []

    def bright(planes):
        seen.append(planes[3:6] * 127.5 + 127.5)
        return np.ones((3, *planes.shape[1:]), np.float32)

    before, after, _ = open_mouth(bright, 0.15)
    assert seen[0].mean() > 60
    assert (after @ LUMA).max() < 110, "no white that the picture has not"
    assert (after @ LUMA - before @ LUMA).max() > 10
    unchanged, same_again, _ = open_mouth(same, 0.15)
    assert np.array_equal(unchanged, same_again)


def test_a_dark_picture_has_a_dark_mouth():
    light, dark = (open_mouth(same, gain)[0] @ LUMA for gain in (1.0, 0.2))
    filled = open_mouth(same)[2]
    for share in (10, 50, 97):
        ratio = np.percentile(dark[filled], share) / np.percentile(light[filled], share)
        assert ratio == pytest.approx(0.2, abs=0.06), share


def test_teeth_are_lit_from_the_side_that_the_face_is_lit_from():
    columns = np.linspace(0, 1, 384)
    halves = []
    for gain in (1.0, 0.25 + 0.75 / (1 + np.exp(-12 * (columns - 0.47)))):
        image, _, filled = open_mouth(same, gain)
        luma, places = image @ LUMA, np.nonzero(filled)[1]
        left, right = (
            filled & (np.arange(luma.shape[1]) * sign > np.median(places) * sign) for sign in (-1, 1)
        )
        halves.append(np.percentile(luma[left], 90) / np.percentile(luma[right], 90))
    assert halves[1] < 0.75 * halves[0]


def toothy():
    """A drawn face of red lips around white teeth, its mouth open."""
    landmarks = performed(person(1), 1, jawOpen=0.5)[0].landmarks
    image = np.full((SIZE[1], SIZE[0], 3), (200, 160, 140), np.uint8)
    topology = load_topology()
    for ring, colour in ((topology.outer_lips, (180, 70, 70)), (topology.inner_lips, (250, 250, 250))):
        cv2.fillPoly(image, [np.rint(landmarks[ring, :2]).astype(np.int32)], colour, cv2.LINE_AA)
    return Portrait(cv2.GaussianBlur(image, (0, 0), 1.0), Face(landmarks))


def test_no_teeth_show_between_lips_that_meet():
    portrait = toothy()
    voice = still_motion(0, 0, 0, 0, 0, {})
    target_pose = RetargetedMotion(voice, portrait, Style(), shut=True).target(0)
    identity = WarpEngine().prepare(portrait)
    ring = target_pose.landmarks[load_topology().inner_lips, :2]
    assert lips.lip_distance(ring) / identity.background_warp.unit < lips.MEET[0]
    frame = warp_frame(identity, target_pose).image.astype(int)
    corner = identity.background_warp.box[:2]
    around = np.zeros(frame.shape[:2], np.uint8)
    drawn = np.rint(target_pose.landmarks[load_topology().outer_lips, :2] - corner).astype(np.int32)
    cv2.fillPoly(around, [drawn], (1,))
    inner = frame[cv2.erode(around, np.ones((5, 5))) > 0]
    assert (inner[:, 0] - inner[:, 1]).min() > 30, "all of it is red"
    assert inner.sum(1).min() < 0.8 * np.median(inner.sum(1)), "with a darker line between"


def test_a_mouth_that_stays_open_keeps_its_teeth():
    portrait = toothy()
    target_pose = RetargetedMotion(still_motion(0, 0, 0, 0, 0, {}), portrait, Style()).target(0)
    identity = WarpEngine().prepare(portrait)
    frame = warp_frame(identity, target_pose).image
    x, y = (target_pose.landmarks[[13, 14], :2].mean(0) - identity.background_warp.box[:2]).astype(int)
    assert frame[y, x].min() > 230
