"""The warp engine: what it is told to do can be seen, and tracked again, in the picture it makes."""

from contextlib import closing
from functools import cache

import cv2
import numpy as np
import pytest

from gioconda import composite, face
from gioconda.assets import asset_path
from gioconda.engines import get_engine
from gioconda.engines.warp.engine import WarpEngine
from gioconda.errors import InputError
from gioconda.inputs.portrait import load_portraits
from gioconda.motion.edit import still_motion
from gioconda.motion.pose import euler_from_rotation, fit_pose, to_unit_head
from gioconda.motion.retarget import RetargetedMotion, Style
from gioconda.motion.templates import template
from gioconda.types import Face, Mouth, Portrait
from heads import eyes_open, lips_apart
from places import SHARED

ASTRONAUT = "astronaut.jpg"
CLOSED = ["mona_lisa.jpg", "photo_woman.jpg"]  # their lips touch or nearly so
INNER_LIPS = [78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308, 324, 318, 402, 317, 14, 87, 178, 88, 95]
BLINK = {"eyeBlinkLeft": 1.0, "eyeBlinkRight": 1.0}
ENGINE = WarpEngine()


@cache
def portrait_of(name, size=512):
    path = asset_path(name) if name == ASTRONAUT else SHARED / "portraits" / name
    return load_portraits(path, chosen=0, crop=True, size=size).portraits[0]


@cache
def identity_of(name):
    return ENGINE.prepare(portrait_of(name))


def shot_of(
    portrait, *, mouth=None, region="all", yaw=0, pitch=0, roll=0, gaze_x=0, gaze_y=0, **coefficients
):
    motion = still_motion(yaw, pitch, roll, gaze_x, gaze_y, coefficients)
    return RetargetedMotion(motion, portrait, Style(region=region)).target(0, mouth)


def rendered(portrait, shot, who=None):
    (patch,) = ENGINE.render(who or ENGINE.prepare(portrait), [shot])
    return composite.compose(portrait.image, [patch])


@cache
def moved(name, **sliders):
    portrait = portrait_of(name)
    return rendered(portrait, shot_of(portrait, **sliders), identity_of(name))


@cache
def seen(name, **sliders):
    """Landmarks found in the picture that was made."""
    return face.detect_faces(moved(name, **sliders))[0].landmarks


def inside_lips(shot, shape):
    mask = np.zeros(shape[:2], np.uint8)
    cv2.fillPoly(mask, [np.rint(shot.landmarks[INNER_LIPS, :2]).astype(np.int32)], 1)
    return mask


def difference(a, b):
    return np.abs(a.astype(int) - b).max(axis=2)


@pytest.fixture(params=[ASTRONAUT, *CLOSED])
def name(request):
    if request.param != ASTRONAUT:
        request.getfixturevalue("shared_data")
    return request.param


@pytest.fixture(params=CLOSED)
def closed(request, shared_data):
    return request.param


def test_at_rest_the_picture_stays_as_it_is(closed):
    assert np.abs(moved(closed).astype(int) - portrait_of(closed).image).mean() < 1.0


def test_a_pose_at_rest_leaves_even_a_laughing_picture_alone():
    image = moved(ASTRONAUT, region="pose")
    assert np.abs(image.astype(int) - portrait_of(ASTRONAUT).image).mean() < 1.0


def test_the_far_background_keeps_every_pixel(astronaut_image):
    portrait = load_portraits(astronaut_image, chosen=0, crop=False, size=None).portraits[0]
    change = difference(rendered(portrait, shot_of(portrait, yaw=20, pitch=-8, jawOpen=0.6)), portrait.image)
    points = portrait.face.landmarks[:, :2]
    unit = np.linalg.norm(points[263] - points[33])
    y, x = np.indices(change.shape)
    left, top = points.min(0)
    right, bottom = points.max(0)
    away = np.maximum(np.maximum(left - x, x - right), np.maximum(top - y, y - bottom)) / unit
    assert change[away > 2.7].max() == 0
    still = (away > 1.0) & (portrait.person < 0.05)
    assert (change[still] > 0).mean() < 0.02, "the wall beside the head"
    assert change[away < 0].max() > 40, "the face moved"


@pytest.mark.parametrize("yaw", [-14, 14])
def test_the_head_turns_the_way_it_is_told(name, yaw):
    points = portrait_of(name).face.landmarks
    head = to_unit_head(fit_pose(points, to_unit_head(points)).to_canonical(points))
    before, after = fit_pose(points, head).rotation, fit_pose(seen(name, yaw=yaw), head).rotation
    turned = float(euler_from_rotation(after @ before.T)[0])
    assert turned * np.sign(yaw) > 5


@pytest.mark.parametrize(("slider", "axis"), [("pitch", 1), ("roll", 2)])
def test_the_head_nods_and_tilts_the_way_it_is_told(slider, axis):
    points = portrait_of(ASTRONAUT).face.landmarks
    head = to_unit_head(points)
    for degrees in (-10, 10):
        after = fit_pose(seen(ASTRONAUT, **{slider: degrees}), head).rotation
        before = fit_pose(points, head).rotation
        assert float(euler_from_rotation(after @ before.T)[axis]) * np.sign(degrees) > 4


def test_an_open_jaw_is_seen_again(name):
    shut, opened = lips_apart(seen(name)), lips_apart(seen(name, jawOpen=0.6))
    assert opened > shut + 0.05


def test_shut_lids_are_seen_again(closed):
    rest, shut = (np.array(eyes_open(seen(closed, **b))) for b in ({}, BLINK))
    assert (shut / rest).mean() < 0.7


def test_shut_lids_hide_the_irises(name):
    portrait = portrait_of(name)
    for iris in (468, 473):
        x, y = portrait.face.landmarks[iris, :2].astype(int)
        r = max(2, int(0.6 * np.linalg.norm(portrait.face.landmarks[iris + 1, :2] - (x, y))))
        spot = (slice(y - r, y + r + 1), slice(x - r, x + r + 1))
        assert difference(moved(name, **BLINK)[spot], portrait.image[spot]).mean() > 15


def test_irises_go_where_the_gaze_goes(name):
    def places(**look):
        points = seen(name, **look)
        ends = [(468, 33, 133), (473, 362, 263)]
        unit = np.linalg.norm(points[263] - points[33])
        return np.array([points[i, 0] - points[[a, b], 0].mean() for i, a, b in ends]) / unit

    left, right = places(gaze_x=-0.8), places(gaze_x=0.8)
    assert (right - left).min() > 0.02, "the viewer's right"


def test_a_mouth_that_opens_shows_teeth_above_and_dark_between(closed):
    portrait = portrait_of(closed)
    shot = shot_of(portrait, jawOpen=0.6)
    inside = inside_lips(shot, portrait.image.shape) > 0
    luma = moved(closed, jawOpen=0.6) @ np.array([0.299, 0.587, 0.114])
    x, y = portrait.face.landmarks[[205, 425], :2].astype(int).T
    cheek = float((portrait.image[y, x] @ np.array([0.299, 0.587, 0.114])).mean())
    light, dark = np.percentile(luma[inside], [97, 10])
    assert 0.5 * cheek < light < 1.35 * cheek, "lit like the face"
    assert dark < 0.45 * cheek
    rows = np.indices(luma.shape)[0]
    upper = inside & (rows < rows[inside].mean())
    lower = inside & ~upper
    assert np.percentile(luma[upper], 95) > np.percentile(luma[lower], 60)


def test_a_borrowed_mouth_changes_the_mouth_alone():
    portrait = portrait_of(ASTRONAUT)
    other = portrait.image.copy()
    other[inside_lips(shot_of(portrait, region="pose"), other.shape) > 0] = (10, 200, 10)
    shots = [shot_of(portrait, jawOpen=0.6, mouth=m) for m in (None, Mouth(other, portrait.face.landmarks))]
    own, lent = (rendered(portrait, shot, identity_of(ASTRONAUT)) for shot in shots)
    inside = cv2.dilate(inside_lips(shots[0], other.shape), np.ones((9, 9), np.uint8)) > 0
    change = difference(own, lent)
    assert change[~inside].max() == 0
    assert change[inside].mean() > 5


def test_a_grey_picture_stays_grey_whatever_mouth_it_borrows(astronaut_image):
    grey = np.repeat(cv2.cvtColor(astronaut_image, cv2.COLOR_RGB2GRAY)[:, :, None], 3, axis=2)
    portrait = load_portraits(grey, chosen=0, crop=True, size=384).portraits[0]
    coloured = load_portraits(astronaut_image, chosen=0, crop=True, size=384).portraits[0]
    mouth = Mouth(coloured.image, coloured.face.landmarks)
    for lent in (None, mouth):
        image = rendered(portrait, shot_of(portrait, jawOpen=0.7, mouth=lent)).astype(int)
        assert np.ptp(image, axis=2).max() <= 3


def test_an_open_mouth_is_no_darker_than_an_overexposed_picture(astronaut_image):
    bright = (120 + 0.53 * astronaut_image).astype(np.uint8)
    portrait = load_portraits(bright, chosen=0, crop=True, size=384).portraits[0]
    shot = shot_of(portrait, jawOpen=0.7)
    luma = rendered(portrait, shot) @ np.array([0.299, 0.587, 0.114])
    assert (
        luma[inside_lips(shot, luma.shape) > 0].min() > 0.8 * (portrait.image @ [0.299, 0.587, 0.114]).min()
    )


def test_two_people_rendered_in_turn_stay_themselves(astronaut_image):
    first = portrait_of(ASTRONAUT)
    mirrored = np.ascontiguousarray(astronaut_image[:, ::-1])
    second = load_portraits(mirrored, chosen=0, crop=True, size=384).portraits[0]
    sliders = [{"yaw": 10, "jawOpen": 0.3}, {"gaze_x": 0.5}, {"eyeBlinkLeft": 0.7}]
    shots = [[shot_of(person, **s) for s in sliders] for person in (first, second)]
    engine = get_engine("warp")
    who = [engine.prepare(person) for person in (first, second)]
    alone = [list(engine.render(one, some)) for one, some in zip(who, shots, strict=True)]
    streams = [engine.render(one, iter(some)) for one, some in zip(who, shots, strict=True)]
    for i in range(len(sliders)):
        for person in (0, 1):
            patch = next(streams[person])
            assert patch.corner == alone[person][i].corner
            assert np.array_equal(patch.image, alone[person][i].image)


@pytest.mark.parametrize("cores", [1, 4])
def test_frames_warped_ahead_are_the_same(cores, monkeypatch):
    monkeypatch.setattr("gioconda.engines.warp.engine.cores", lambda: cores)
    portrait = portrait_of(ASTRONAUT)
    shots = [shot_of(portrait, yaw=turn, jawOpen=turn / 20) for turn in range(6)]
    engine = get_engine("warp")
    who = engine.prepare(portrait)
    with closing(engine.render(who, shots, ahead=True)) as patches:
        for one, other in zip(engine.render(who, shots), patches, strict=True):
            assert one.time == other.time
            assert np.array_equal(one.image, other.image)


@pytest.mark.parametrize("side", [64, 97, 160])
def test_small_crops_are_rendered(side):
    portrait = portrait_of(ASTRONAUT, side)
    motion = template("talk")
    laid = RetargetedMotion(motion, portrait, Style())
    for patch in ENGINE.render(ENGINE.prepare(portrait), [laid.target(i) for i in range(0, len(motion), 20)]):
        assert composite.compose(portrait.image, [patch]).shape == (side, side, 3)


@pytest.mark.parametrize("edge", ["left", "top", "right", "bottom"])
def test_a_face_at_the_edge_is_rendered_within_the_picture(astronaut_image, edge):
    part = {
        "left": astronaut_image[:300, 190:],
        "top": astronaut_image[85:],
        "right": astronaut_image[:300, :262],
        "bottom": astronaut_image[:165],
    }[edge]
    whole = face.detect_faces(astronaut_image)[0].landmarks
    corner = {"left": (190, 0), "top": (0, 85)}.get(edge, (0, 0))
    one = Face((whole - np.array([*corner, 0])).astype(np.float32))
    portrait = Portrait(np.ascontiguousarray(part), one)
    image = rendered(portrait, shot_of(portrait, yaw=20, pitch=10, roll=-8, jawOpen=1.0, **BLINK))
    assert image.shape == part.shape
    assert difference(image, part).max() > 20


def test_patches_say_where_and_when():
    portrait = portrait_of(ASTRONAUT)
    laid = RetargetedMotion(template("nod"), portrait, Style())
    (patch,) = ENGINE.render(identity_of(ASTRONAUT), [laid.target(30)])
    assert patch.time == laid.target(30).time
    assert patch.weight.shape == patch.image.shape[:2]
    assert 0 <= patch.weight.min() <= patch.weight.max() <= 1
    x, y = patch.corner
    height, width = patch.image.shape[:2]
    assert x >= 0
    assert y >= 0
    assert x + width <= portrait.image.shape[1]
    assert y + height <= portrait.image.shape[0]


def test_unknown_engines_are_told():
    with pytest.raises(InputError, match="choose one of warp"):
        get_engine("magic")
