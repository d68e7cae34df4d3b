"""Cutting out, laying back, labelling: nothing shifts, nothing else changes."""

import cv2
import numpy as np
import pytest

from gioconda import composite
from gioconda.types import Face, Patch


@pytest.fixture
def picture():
    rng = np.random.default_rng(1)
    return cv2.resize(rng.integers(0, 255, (30, 40, 3), np.uint8), (400, 300), interpolation=cv2.INTER_CUBIC)


def face_at(x, y, width=80.0):
    """Landmarks spread over a square around a place."""
    spread = np.random.default_rng(0).uniform(-0.5, 0.5, (478, 3)) * width
    spread[:4] = [(-0.5 * width, 0, 0), (0.5 * width, 0, 0), (0, -0.5 * width, 0), (0, 0.5 * width, 0)]
    return Face((spread + np.array([x, y, 0])).astype(np.float32))


def patch_of(picture, corner, size, colour, weight=1.0):
    image = np.full((size[1], size[0], 3), colour, np.uint8)
    return Patch(image, corner, 0.0, np.full(image.shape[:2], weight, np.float32))


@pytest.mark.parametrize("place", [(200, 150), (5, 5), (395, 290), (200, -10)])
def test_crop_boxes_are_squares_within_the_picture(picture, place):
    left, top, right, bottom = composite.crop_box(face_at(*place).landmarks, picture.shape)
    assert right - left == bottom - top > 0
    assert left >= 0
    assert top >= 0
    assert right <= 400
    assert bottom <= 300


def test_a_crop_holds_the_whole_head(picture):
    landmarks = face_at(210, 160).landmarks
    left, top, right, bottom = composite.crop_box(landmarks, picture.shape)
    assert (landmarks[:, :2] > (left, top)).all()
    assert (landmarks[:, :2] < (right, bottom)).all()
    assert right - left > 1.8 * np.ptp(landmarks[:, 0])


def test_a_face_moves_with_its_crop(picture):
    picture[150:154, 210:214] = (255, 0, 0)
    mark = Face(np.tile(np.array([212, 152, 0], np.float32), (478, 1)))
    box = (110, 60, 310, 260)
    cut = composite.cut(picture, box, 400)
    x, y = composite.move_face(mark, box[:2], (2, 2)).landmarks[0, :2].astype(int)
    assert cut[y, x].tolist() == pytest.approx([255, 0, 0], abs=12)


def test_a_patch_lands_where_it_says_and_nowhere_else(picture):
    out = composite.compose(picture, [patch_of(picture, (30, 20), (50, 40), (9, 8, 7))])
    assert (out[20:60, 30:80] == (9, 8, 7)).all()
    untouched = np.ones(picture.shape[:2], bool)
    untouched[20:60, 30:80] = False
    assert np.array_equal(out[untouched], picture[untouched])


def test_the_picture_itself_is_never_changed(picture):
    before = picture.copy()
    composite.compose(picture, [patch_of(picture, (0, 0), (90, 90), 0)])
    composite.VisibleLabel().put(picture, [face_at(200, 150).landmarks])
    assert np.array_equal(picture, before)


def test_where_patches_meet_each_has_its_weight(picture):
    first = patch_of(picture, (0, 0), (100, 100), 100)
    second = patch_of(picture, (50, 0), (100, 100), 200, weight=0.25)
    out = composite.compose(picture, [first, second])
    assert (out[:100, :50] == 100).all()
    assert (out[:100, 50:100] == 125).all()
    expected = picture[:100, 100:150] + (200.0 - picture[:100, 100:150]) * 0.25
    assert np.abs(out[:100, 100:150] - expected).max() <= 1


@pytest.mark.parametrize(
    ("size", "longest", "fitted"),
    [((4000, 3000), 1280, (1280, 960)), ((300, 200), 1280, (1280, 854)), ((5000, 3), 1000, (1000, 2))],
)
def test_sizes_are_fitted_even(size, longest, fitted):
    assert composite.fit_longest(size, longest) == fitted


def signed_at(image, faces, sign=None):
    """Left, top, right, bottom of what the sign changes."""
    put = (sign or composite.VisibleLabel()).put(image, [face.landmarks for face in faces])
    rows, columns = np.nonzero((put != image).any(axis=2))
    return columns.min(), rows.min(), columns.max() + 1, rows.max() + 1


def covers(box, face):
    points = face.landmarks[:, :2]
    return ((points >= box[:2]) & (points < box[2:])).all(axis=1).any()


@pytest.mark.parametrize("shape", [(64, 64), (256, 256), (1280, 720), (90, 1200)])
def test_the_label_is_seen_away_from_the_face(shape):
    image = np.full((*shape, 3), 128, np.uint8)
    face = face_at(shape[1] * 0.7, shape[0] * 0.7, min(shape) * 0.3)
    assert composite.VisibleLabel().put(image, [face.landmarks]).max() > 230, "white letters"
    left, top, right, bottom = box = signed_at(image, [face])
    assert not covers(box, face)
    assert (right - left) * (bottom - top) < 0.1 * image.shape[0] * image.shape[1]


@pytest.mark.parametrize("place", [(0.25, 0.25), (0.75, 0.25), (0.25, 0.75), (0.75, 0.75), (0.5, 0.5)])
def test_a_face_in_any_corner_stays_free(place):
    image = np.full((256, 256, 3), 128, np.uint8)
    face = face_at(place[0] * 256, place[1] * 256, 110)
    assert not covers(signed_at(image, [face]), face)


def test_the_label_of_two_faces_covers_neither():
    image = np.full((300, 400, 3), 128, np.uint8)
    faces = [face_at(330, 230, 100), face_at(70, 230, 100)]
    box = signed_at(image, faces)
    assert not any(covers(box, face) for face in faces)


def test_the_label_rests_until_a_face_comes_to_it():
    image, sign = np.full((256, 256, 3), 128, np.uint8), composite.VisibleLabel()
    first = signed_at(image, [face_at(128, 110, 90)], sign)
    assert signed_at(image, [face_at(120, 100, 90)], sign) == first
    visitor = face_at((first[0] + first[2]) / 2, (first[1] + first[3]) / 2, 90)
    moved = signed_at(image, [visitor], sign)
    assert moved != first
    assert not covers(moved, visitor)


def test_letters_are_as_large_in_a_large_picture_that_is_shown_small():
    for side in (256, 512, 1024):
        left, top, right, bottom = signed_at(
            np.full((side, side, 3), 128, np.uint8), [face_at(side / 2, side / 2)]
        )
        assert (bottom - top) * 256 / side >= 14
        assert (right - left) / side < 0.4


def test_resizing_to_the_same_size_changes_nothing(picture):
    assert np.array_equal(composite.resize(picture, (400, 300)), picture)
    part = picture[10:50, 20:90]
    assert composite.resize(part, (70, 40)).flags["C_CONTIGUOUS"]
