"""Several photos of one view: frames are drawn from the nearest, nothing doubles on the way, the room stays whole."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from gioconda import composite, face
from gioconda.assets import asset_path
from gioconda.engines.warp.behind import build_behind
from gioconda.engines.warp.choice import FADE_SECONDS, ONLY_PHOTO
from gioconda.engines.warp.engine import WarpEngine
from gioconda.engines.warp.views import Views, morphed
from gioconda.inputs.portrait import load_portraits, person_around
from gioconda.inputs.registration import registered
from gioconda.inputs.views import in_view_of
from gioconda.landmarks import inter_ocular
from gioconda.motion.edit import still_motion
from gioconda.motion.retarget import RetargetedMotion, Style
from gioconda.types import Face, Portrait

ENGINE = WarpEngine()
TURN = 14.0
"""Degrees by which the head is turned in the second photo."""
CHEEK, GREEN = 50, (0, 255, 0)
"""A landmark, and the colour of the spot there in the second photo."""


def pose_of(portrait, time=0.0, **sliders):
    values = {name: sliders.pop(name, 0) for name in ("yaw", "pitch", "roll", "gaze_x", "gaze_y")}
    motion = still_motion(*values.values(), sliders)
    return replace(RetargetedMotion(motion, portrait, Style()).target(0, None), time=time)


def drawn(identity, portrait, *poses):
    return [composite.compose(portrait.image, [patch]) for patch in ENGINE.render(identity, poses)]


def green(image):
    """The number of pixels with the colour of the spot."""
    red, own, blue = (image[..., k].astype(int) for k in range(3))
    return int(np.count_nonzero((own > red + 90) & (own > blue + 90)))


@pytest.fixture(scope="module")
def portrait():
    path = asset_path("astronaut.jpg")
    return load_portraits(path, chosen=0, crop=True, size=384).portraits[0]


@pytest.fixture(scope="module")
def turned(portrait):
    """A photo of the same view: the head turned, the mouth open, a green spot on a cheek."""
    pose = pose_of(portrait, yaw=TURN, jawOpen=0.5)
    (image,) = drawn(ENGINE.prepare(portrait), portrait, pose)
    (found,) = face.detect_faces(image)
    image = cv2.circle(image.copy(), np.rint(found.landmarks[CHEEK, :2]).astype(int).tolist(), 5, GREEN, -1)
    return Portrait(image, found, "turned", person=person_around(image, found), same_view=True)


@pytest.fixture(scope="module")
def identity(portrait, turned):
    return ENGINE.prepare(replace(portrait, others=(turned,)))


def test_at_rest_the_portrait_is_drawn_and_a_turned_head_from_the_turned_photo(portrait, identity):
    rest, there = pose_of(portrait), pose_of(portrait, yaw=TURN, jawOpen=0.5)
    (at_rest,), (alone,) = drawn(identity, portrait, rest), drawn(ENGINE.prepare(portrait), portrait, rest)
    # The room behind the person is another photo's, where it may shine through fine hair.
    difference = np.abs(at_rest.astype(int) - alone)
    assert difference.mean() < 0.05
    assert difference.max() < 10
    (image,) = drawn(identity, portrait, there)
    assert green(image) > 40
    assert green(at_rest) == 0


def test_a_photo_takes_over_within_the_time_of_a_fade(portrait, identity):
    rest, there = pose_of(portrait), pose_of(portrait, yaw=TURN, jawOpen=0.5)
    moments = [replace(rest if time < 0.5 else there, time=time) for time in np.arange(0, 1, 0.04).tolist()]
    mixes = [mix for _, mix in identity.views.chosen(moments, 0.0)]
    assert mixes[12] == ONLY_PHOTO
    fading = [mix.share for mix in mixes if mix.share]
    assert fading == sorted(fading)
    assert len(fading) == round(FADE_SECONDS / 0.04) - 1
    assert mixes[-1].photo == 1
    # A choice that knows the next moments takes over before they come.
    known = [mix for _, mix in identity.views.chosen(moments, 0.4)]
    assert known[12].following == 1


def test_a_pose_leads_to_the_same_place_from_each_photo(portrait, turned):
    views = Views(replace(portrait, others=(turned,)), None, lambda _: None)
    pose = pose_of(portrait, yaw=-6, roll=5)
    own = views.pose_of(1, pose)
    bridge = [168, 6, 197, 195]
    ends = [
        one.grow * photo.face.landmarks[bridge] @ one.turn.T + one.shift
        for one, photo in ((pose, portrait), (own, turned))
    ]
    unit = inter_ocular(portrait.face.landmarks)
    assert np.abs(ends[0] - ends[1])[:, :2].max() < 0.08 * unit
    assert views.pose_of(0, pose) is pose


def test_photos_that_served_last_stay_prepared(portrait, turned, monkeypatch):
    monkeypatch.setattr("gioconda.engines.warp.views.KEPT_PIXELS", 0)
    made = []

    def prepare(photo):
        made.append(photo.name)
        return photo.name

    photos = tuple(replace(turned, name=str(k)) for k in range(1, 7))
    views = Views(replace(portrait, others=photos), "own", prepare)
    assert [views.prepared(k) for k in (1, 2, 3, 4, 1, 5, 1, 0)] == ["1", "2", "3", "4", "1", "5", "1", "own"]
    assert made == ["1", "2", "3", "4", "5"]
    assert views.prepared(2) == "2"
    assert made[5:] == ["2"]


def test_what_lies_apart_moves_and_does_not_double():
    random = np.random.default_rng(3)
    ground = cv2.GaussianBlur(random.uniform(90, 110, (200, 240)).astype(np.float32), (0, 0), 2)
    pictures = []
    for x in (100, 112):
        picture = np.dstack([ground] * 3).astype(np.uint8)
        cv2.circle(picture, (x, 100), 50, (20, 20, 20), -1, cv2.LINE_AA)
        pictures.append(picture)
    half = morphed(*pictures, 0.5)[100, :, 0]
    dark = np.flatnonzero(half < 60)
    assert dark.min() == pytest.approx(56, abs=3)
    assert dark.max() == pytest.approx(156, abs=3)
    ghost = cv2.addWeighted(pictures[0], 0.5, pictures[1], 0.5, 0)[100, :, 0]
    grey = [np.count_nonzero((line > 45) & (line < 75)) for line in (half, ghost)]
    assert grey[0] < grey[1] / 2
    assert np.array_equal(morphed(*pictures, 0.0), pictures[0])


def test_photos_show_the_room_that_the_person_hides(portrait):
    room = np.full_like(portrait.image, 200)
    person = np.roll(portrait.person, 60, axis=1)
    away = replace(
        portrait,
        same_view=True,
        image=np.where(person[..., None] > 0.02, 0, room).astype(np.uint8),
        person=person,
    )
    seen = np.where(portrait.person[..., None] > 0.02, portrait.image, room)
    behind = build_behind([replace(portrait, image=seen), away], inter_ocular(portrait.face.landmarks))
    height, width = portrait.person.shape
    hole = portrait.person > 0.02
    filled, left = behind.fill(seen.astype(np.float32), hole, (0, 0, width, height))
    assert left.sum() < 0.9 * hole.sum()
    np.testing.assert_allclose(filled[hole & ~left], 200, atol=1)
    assert np.array_equal(filled[~hole], seen[~hole])


def test_no_seam_shows_where_a_lamp_has_moved_between_photos(portrait):
    height, width = portrait.person.shape
    away = replace(
        portrait,
        same_view=True,
        image=np.full_like(portrait.image, 150),
        person=np.zeros_like(portrait.person),
    )
    # The lamp lights the left of the wall in one photo alone, so that one offset cannot match both.
    lit = np.repeat(np.linspace(200, 100, width)[None, :, None], height, 0).repeat(3, 2)
    behind = build_behind([away, replace(away)], inter_ocular(portrait.face.landmarks))
    hole = portrait.person > 0.02
    filled, left = behind.fill(lit.astype(np.float32), hole, (0, 0, width, height))
    assert not left.any()
    steps = np.abs(np.diff(filled[..., 0], axis=1))[hole[:, 1:] != hole[:, :-1]]
    assert steps.max() < 5
    assert np.abs(filled - 150)[hole].max() < 50, "the wall stays within its own light"


def test_a_photo_by_a_hand_held_camera_is_moved_into_the_view():
    portrait = load_portraits(asset_path("astronaut.jpg"), chosen=0, crop=False, size=None).portraits[0]
    matrix = cv2.getRotationMatrix2D((190.0, 190.0), 1.5, 1.03)
    matrix[:, 2] += (9, -6)
    size = portrait.image.shape[1::-1]
    points = portrait.face.landmarks.copy()
    points[:, :2] = points[:, :2] @ matrix[:, :2].T + matrix[:, 2]
    shaken = Portrait(
        np.asarray(cv2.warpAffine(portrait.image, matrix, size, borderMode=cv2.BORDER_REFLECT), np.uint8),
        Face(points.astype(np.float32)),
        person=cv2.warpAffine(portrait.person, matrix, size),
    )
    found = in_view_of(portrait, shaken)
    assert found is not None
    assert found.same_view
    assert np.abs(found.face.landmarks - portrait.face.landmarks)[:, :2].max() < 2
    assert np.abs(found.image.astype(int) - portrait.image).mean() < 5
    other_room = replace(
        shaken, image=np.random.default_rng(0).integers(0, 255, portrait.image.shape, np.uint8)
    )
    assert registered(portrait, other_room) is None
