"""Creases of the driver on the portrait: carried where they belong, and nothing else with them."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from gioconda.engines.warp.wrinkles import (
    MOST,
    build_wrinkle_target,
    flat_face,
    log_expression_ratio,
    transfer_wrinkles,
    unwrap_light,
)
from gioconda.face import detect_faces
from gioconda.types import Mouth
from heads import SIZE, UNIT, performed, person

CHEEK = (205, 425)  # skin beside the folds of a smile
CHECKED = 2  # grey levels that may be lost to rounding


@pytest.fixture(scope="module")
def face(astronaut_image):
    return detect_faces(astronaut_image)[0].landmarks


@pytest.fixture(scope="module")
def rest(astronaut_image, face):
    return Mouth(astronaut_image, face)


@pytest.fixture(scope="module")
def wrinkle_target(astronaut_image, face):
    found = build_wrinkle_target(astronaut_image, face)
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


def within(wrinkle_target, image):
    """Where the wrinkle target lies in the picture, (H, W) bool."""
    left, top, right, bottom = wrinkle_target.box
    inside = np.zeros(image.shape[:2], bool)
    inside[top:bottom, left:right] = True
    return inside


def test_a_face_at_rest_changes_nothing(astronaut_image, face, rest, wrinkle_target):
    now = Mouth(astronaut_image.copy(), face, rest)
    assert np.array_equal(transfer_wrinkles(astronaut_image, wrinkle_target, now), astronaut_image)


def test_without_a_driver_or_its_rest_the_picture_is_the_same(astronaut_image, face, rest, wrinkle_target):
    for mouth in (None, rest):
        assert transfer_wrinkles(astronaut_image, wrinkle_target, mouth) is astronaut_image
    assert (
        transfer_wrinkles(astronaut_image, wrinkle_target, Mouth(astronaut_image, face, rest), strength=0)
        is astronaut_image
    )


def test_a_fold_goes_where_it_is_on_the_driver(astronaut_image, face, rest, wrinkle_target):
    image, shade = folded(astronaut_image, face)
    got = transfer_wrinkles(astronaut_image, wrinkle_target, Mouth(image, face, rest))
    share = got.sum(-1) / np.maximum(astronaut_image.sum(-1), 1)
    assert 0.78 < share[shade > 0.95].mean() < 0.93, "a fifth darker on the driver"
    elsewhere = within(wrinkle_target, image) & (shade < 0.01)
    assert np.abs(share[elsewhere].mean() - 1) < 0.01
    assert np.array_equal(
        got[~within(wrinkle_target, image)], astronaut_image[~within(wrinkle_target, image)]
    )


def test_the_fold_follows_the_face_to_another_picture(astronaut_image, face, rest):
    small = cv2.resize(astronaut_image, (300, 300), interpolation=cv2.INTER_AREA)
    turned = np.ascontiguousarray(np.pad(small, ((20, 40), (60, 0), (0, 0)), mode="edge"))
    moved = ((face * (300 / 512)) + (60, 20, 0)).astype(np.float32)
    image, _ = folded(astronaut_image, face)
    _, shade = folded(turned, moved)
    got = (
        transfer_wrinkles(turned, build_wrinkle_target(turned, moved), Mouth(image, face, rest)).astype(float)
        - turned
    )
    assert got[shade > 0.9].mean() < 4 * got[shade < 0.01].mean() - 5


def test_creases_are_bounded(astronaut_image, face, rest):
    rng = np.random.default_rng(1)
    noise = cv2.GaussianBlur(rng.normal(0, 400, astronaut_image.shape[:2]), (0, 0), 3)[..., None]
    now = Mouth(np.clip(astronaut_image + noise, 0, 255).astype(np.uint8), face, rest)
    log = log_expression_ratio(now)
    assert log is not None
    assert np.abs(log).max() <= MOST


@pytest.mark.parametrize("gain", [0.6, 1.25])
def test_light_that_changes_as_a_whole_stays_with_the_driver(
    astronaut_image, face, rest, wrinkle_target, gain
):
    lit = Mouth(np.clip(astronaut_image * gain, 0, 255).astype(np.uint8), face, rest)
    got = transfer_wrinkles(astronaut_image, wrinkle_target, lit).astype(float) - astronaut_image
    assert np.abs(got).mean(-1)[within(wrinkle_target, got)].mean() < CHECKED


def test_a_hand_before_the_driver_leaves_no_print(astronaut_image, face, rest, wrinkle_target):
    hidden = astronaut_image.copy()
    x, y = face[4, :2].astype(int)
    hidden[y:, :x] = (60, 40, 35)
    got = (
        transfer_wrinkles(astronaut_image, wrinkle_target, Mouth(hidden, face, rest)).astype(float)
        - astronaut_image
    )
    assert np.abs(got).mean(-1)[within(wrinkle_target, got)].mean() < CHECKED


def test_eyes_and_lips_are_left_alone(astronaut_image, face, rest):
    image, _ = folded(astronaut_image, face)
    log, flat = log_expression_ratio(Mouth(image, face, rest)), flat_face()
    for point in (159, 386, 145, 374, 13, 14, 0, 17, 4):
        x, y = np.rint(flat.points[point]).astype(int)
        assert log[y, x] == pytest.approx(0, abs=1e-3)


def test_grey_pictures_stay_grey(astronaut_image, face, rest):
    grey = cv2.cvtColor(cv2.cvtColor(astronaut_image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    image, _ = folded(astronaut_image, face)
    got = transfer_wrinkles(grey, build_wrinkle_target(grey, face), Mouth(image, face, rest))
    assert not np.array_equal(got, grey)
    assert np.ptp(got.astype(int), axis=2).max() <= 1


def test_a_flat_drawing_takes_no_creases(astronaut_image, face):
    drawn = np.full_like(astronaut_image, 230)
    for ring in ((33, 160, 158, 133, 153, 144), (362, 385, 387, 263, 373, 380), (61, 0, 291, 17)):
        cv2.fillPoly(drawn, [np.rint(face[list(ring), :2]).astype(np.int32)], (20, 20, 20))
    assert build_wrinkle_target(drawn, face) is None


def test_a_cartoon_takes_next_to_none(shared_data):
    image = cv2.imread(str(shared_data / "portraits" / "cartoon_boy.jpg"))[..., ::-1].copy()
    wrinkle_target = build_wrinkle_target(image, detect_faces(image)[0].landmarks)
    assert wrinkle_target is None or wrinkle_target.gain.max() < 0.2


def test_a_face_outside_its_picture_is_no_error(astronaut_image, face, rest):
    away = np.add(face, (3000, 0, 0), dtype=np.float32)
    assert unwrap_light(astronaut_image, away) is None
    assert build_wrinkle_target(astronaut_image, away) is None
    assert log_expression_ratio(Mouth(astronaut_image, away, rest)) is None


def test_a_real_smile_brings_the_face_nearer_to_itself(shared_data):
    capture = cv2.VideoCapture(str(shared_data / "driving" / "d5.mp4"))
    frames = [capture.read()[1][..., ::-1].copy() for _ in range(131)]
    still, smile = (Mouth(frames[i], detect_faces(frames[i])[0].landmarks) for i in (34, 130))
    wrinkle_target = build_wrinkle_target(still.image, still.landmarks)
    creased = transfer_wrinkles(still.image, wrinkle_target, Mouth(smile.image, smile.landmarks, still))
    wanted = unwrap_light(smile.image, smile.landmarks).log
    trust = flat_face().trust > 0.7
    before, after = (
        np.abs(unwrap_light(image, still.landmarks).log - wanted)[trust] for image in (still.image, creased)
    )
    assert after.mean() < 0.8 * before.mean()


@pytest.fixture(scope="module")
def plain():
    """A face of skin alone, (H, W, 3), and its landmarks."""
    landmarks = performed(person(4), 1)[0].landmarks
    grain = np.random.default_rng(0).normal(0, 1.0, (SIZE[1], SIZE[0], 1))
    return np.asarray(np.array([190, 150, 130]) + grain, np.uint8), landmarks


def darkened(image, shade):
    return np.round(image * (1 - 0.25 * shade[..., None])).astype(np.uint8)


def on_the_forehead(landmarks, shape):
    """A soft shape on the forehead, (H, W) in 0..1: `hair` from the hairline down, or a `crease`."""
    top, middle = landmarks[10, :2], landmarks[151, :2]
    ends = (top - (0, 0.2 * UNIT), top + 0.6 * (middle - top))
    if shape == "crease":
        middle = (landmarks[151, :2] + landmarks[9, :2]) / 2
        ends = (middle - np.array([0.2, 0.06]) * UNIT, middle + np.array([0.2, -0.06]) * UNIT)
    shade = np.zeros(SIZE[::-1], np.float32)
    cv2.line(shade, *(tuple(np.rint(end).astype(int).tolist()) for end in ends), 1.0, 6)
    return np.minimum(cv2.GaussianBlur(shade, (0, 0), 0.025 * UNIT), 1)


@pytest.mark.parametrize(("shape", "least", "most"), [("hair", 0.0, 0.15), ("crease", 0.4, 1.2)])
def test_hair_that_falls_into_the_forehead_is_no_crease(plain, shape, least, most):
    image, landmarks = plain
    now = darkened(image, on_the_forehead(landmarks, shape))
    log = log_expression_ratio(Mouth(now, landmarks, Mouth(image, landmarks)))
    theirs = (unwrap_light(now, landmarks).log - unwrap_light(image, landmarks).log) * (
        flat_face().trust > 0.7
    )
    assert theirs.min() < -0.06, "it lies where creases may"
    part = theirs < 0.5 * theirs.min()
    assert least <= log[part].sum() / theirs[part].sum() < most


def test_clear_glasses_that_slip_leave_no_rims(plain):
    image, landmarks = plain

    def worn(down):
        shade = np.zeros(SIZE[::-1], np.float32)
        for ends in ((33, 133), (362, 263)):
            x, y = landmarks[list(ends), :2].mean(0) + np.array([0, down * UNIT])
            cv2.circle(shade, (round(float(x)), round(float(y))), round(0.24 * UNIT), 1.0, 2, cv2.LINE_AA)
        return darkened(image, 0.5 * shade)

    before, now = worn(0.04), worn(0.08)
    log = log_expression_ratio(Mouth(now, landmarks, Mouth(before, landmarks)))
    theirs = (unwrap_light(now, landmarks).log - unwrap_light(before, landmarks).log) * (
        flat_face().trust > 0.7
    )
    assert np.abs(theirs).max() > 0.04
    assert np.abs(log).max() < 0.3 * np.abs(theirs).max()
