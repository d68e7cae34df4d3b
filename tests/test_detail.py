"""Creases of the driver on the portrait: carried where they belong, and nothing else with them."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from gioconda.engines.warp.detail import MOST, build_canvas, crease, crease_log, flat_face, lay_flat
from gioconda.face import detect_faces
from gioconda.types import Mouth

CHEEK = (205, 425)  # skin beside the folds of a smile
CHECKED = 2  # grey levels that may be lost to rounding


@pytest.fixture(scope="module")
def face(astronaut_image):
    return detect_faces(astronaut_image)[0].landmarks


@pytest.fixture(scope="module")
def rest(astronaut_image, face):
    return Mouth(astronaut_image, face)


@pytest.fixture(scope="module")
def canvas(astronaut_image, face):
    found = build_canvas(astronaut_image, face)
    assert found is not None
    return found


def folded(image, face, depth=0.8):
    """The picture with a soft dark fold on each cheek."""
    unit = np.linalg.norm(face[263] - face[33])
    shade = np.zeros(image.shape[:2], np.float32)
    for point in CHEEK:
        x, y = face[point, :2]
        down = (round(x), round(y + 0.15 * unit))
        cv2.line(shade, (round(x), round(y)), down, 1.0, max(2, round(0.05 * unit)))
    shade = np.minimum(cv2.GaussianBlur(shade, (0, 0), 0.02 * unit), 1)[..., None]
    return np.round(image * (1 - (1 - depth) * shade)).astype(np.uint8), shade[..., 0]


def within(canvas, image):
    """Where the canvas lies in the picture, (H, W) bool."""
    left, top, right, bottom = canvas.box
    inside = np.zeros(image.shape[:2], bool)
    inside[top:bottom, left:right] = True
    return inside


def test_a_face_at_rest_changes_nothing(astronaut_image, face, rest, canvas):
    now = Mouth(astronaut_image.copy(), face, rest)
    assert np.array_equal(crease(astronaut_image, canvas, now), astronaut_image)


def test_without_a_driver_or_its_rest_the_picture_is_the_same(astronaut_image, face, rest, canvas):
    for mouth in (None, rest):
        assert crease(astronaut_image, canvas, mouth) is astronaut_image
    assert crease(astronaut_image, canvas, Mouth(astronaut_image, face, rest), strength=0) is astronaut_image


def test_a_fold_goes_where_it_is_on_the_driver(astronaut_image, face, rest, canvas):
    image, shade = folded(astronaut_image, face)
    got = crease(astronaut_image, canvas, Mouth(image, face, rest))
    share = got.sum(-1) / np.maximum(astronaut_image.sum(-1), 1)
    assert 0.78 < share[shade > 0.95].mean() < 0.93, "a fifth darker on the driver"
    elsewhere = within(canvas, image) & (shade < 0.01)
    assert np.abs(share[elsewhere].mean() - 1) < 0.01
    assert np.array_equal(got[~within(canvas, image)], astronaut_image[~within(canvas, image)])


def test_the_fold_follows_the_face_to_another_picture(astronaut_image, face, rest):
    small = cv2.resize(astronaut_image, (300, 300), interpolation=cv2.INTER_AREA)
    turned = np.ascontiguousarray(np.pad(small, ((20, 40), (60, 0), (0, 0)), mode="edge"))
    moved = ((face * (300 / 512)) + (60, 20, 0)).astype(np.float32)
    image, _ = folded(astronaut_image, face)
    _, shade = folded(turned, moved)
    got = crease(turned, build_canvas(turned, moved), Mouth(image, face, rest)).astype(float) - turned
    assert got[shade > 0.9].mean() < 4 * got[shade < 0.01].mean() - 5


def test_creases_are_bounded(astronaut_image, face, rest):
    rng = np.random.default_rng(1)
    noise = cv2.GaussianBlur(rng.normal(0, 400, astronaut_image.shape[:2]), (0, 0), 3)[..., None]
    now = Mouth(np.clip(astronaut_image + noise, 0, 255).astype(np.uint8), face, rest)
    log = crease_log(now)
    assert log is not None
    assert np.abs(log).max() <= MOST


@pytest.mark.parametrize("gain", [0.6, 1.25])
def test_light_that_changes_as_a_whole_stays_with_the_driver(astronaut_image, face, rest, canvas, gain):
    lit = Mouth(np.clip(astronaut_image * gain, 0, 255).astype(np.uint8), face, rest)
    got = crease(astronaut_image, canvas, lit).astype(float) - astronaut_image
    assert np.abs(got).mean(-1)[within(canvas, got)].mean() < CHECKED


def test_a_hand_before_the_driver_leaves_no_print(astronaut_image, face, rest, canvas):
    hidden = astronaut_image.copy()
    x, y = face[4, :2].astype(int)
    hidden[y:, :x] = (60, 40, 35)
    got = crease(astronaut_image, canvas, Mouth(hidden, face, rest)).astype(float) - astronaut_image
    assert np.abs(got).mean(-1)[within(canvas, got)].mean() < CHECKED


def test_eyes_and_lips_are_left_alone(astronaut_image, face, rest):
    image, _ = folded(astronaut_image, face)
    log, flat = crease_log(Mouth(image, face, rest)), flat_face()
    for point in (159, 386, 145, 374, 13, 14, 0, 17, 4):
        x, y = np.rint(flat.points[point]).astype(int)
        assert log[y, x] == pytest.approx(0, abs=1e-3)


def test_grey_pictures_stay_grey(astronaut_image, face, rest):
    grey = cv2.cvtColor(cv2.cvtColor(astronaut_image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    image, _ = folded(astronaut_image, face)
    got = crease(grey, build_canvas(grey, face), Mouth(image, face, rest))
    assert not np.array_equal(got, grey)
    assert np.ptp(got.astype(int), axis=2).max() <= 1


def test_a_flat_drawing_takes_no_creases(astronaut_image, face):
    drawn = np.full_like(astronaut_image, 230)
    for ring in ((33, 160, 158, 133, 153, 144), (362, 385, 387, 263, 373, 380), (61, 0, 291, 17)):
        cv2.fillPoly(drawn, [np.rint(face[list(ring), :2]).astype(np.int32)], (20, 20, 20))
    assert build_canvas(drawn, face) is None


def test_a_cartoon_takes_next_to_none(shared_data):
    image = cv2.imread(str(shared_data / "portraits" / "cartoon_boy.jpg"))[..., ::-1].copy()
    canvas = build_canvas(image, detect_faces(image)[0].landmarks)
    assert canvas is None or canvas.taking.max() < 0.2


def test_a_face_outside_its_picture_is_no_error(astronaut_image, face, rest):
    away = np.add(face, (3000, 0, 0), dtype=np.float32)
    assert lay_flat(astronaut_image, away) is None
    assert build_canvas(astronaut_image, away) is None
    assert crease_log(Mouth(astronaut_image, away, rest)) is None


def test_a_real_smile_brings_the_face_nearer_to_itself(shared_data):
    capture = cv2.VideoCapture(str(shared_data / "driving" / "d5.mp4"))
    frames = [capture.read()[1][..., ::-1].copy() for _ in range(131)]
    still, smile = (Mouth(frames[i], detect_faces(frames[i])[0].landmarks) for i in (34, 130))
    canvas = build_canvas(still.image, still.landmarks)
    creased = crease(still.image, canvas, Mouth(smile.image, smile.landmarks, still))
    wanted = lay_flat(smile.image, smile.landmarks).log
    trust = flat_face().trust > 0.7
    before, after = (
        np.abs(lay_flat(image, still.landmarks).log - wanted)[trust] for image in (still.image, creased)
    )
    assert after.mean() < 0.8 * before.mean()
