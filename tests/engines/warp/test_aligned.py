"""The refiner's crop: where it puts a face, and what it tells of the face in it."""

import cv2
import numpy as np
import pytest

from gioconda.engines import affine
from gioconda.engines.warp import aligned
from gioconda.engines.warp.aligned import CHANNELS, HEIGHT, UNIT, WIDTH
from gioconda.engines.warp.mesh import load_topology
from gioconda.engines.warp.mouth import Fill
from gioconda.motion.expression import load_basis
from heads import performed, person

SHAPE = (HEIGHT, WIDTH)
RNG = np.random.default_rng(5)
BLINK = {"eyeBlinkLeft": 1.0, "eyeBlinkRight": 1.0}
CHEEKS = [50, 280]


def face(seed=0, **how):
    """Landmarks (478, 3) of somebody in a picture of 640x480."""
    return performed(person(seed), 1, **how)[0].landmarks


def in_crop(**how):
    landmarks = face(**how)
    return affine.apply(aligned.alignment(landmarks), landmarks)


def told(points):
    return aligned.geometry(points, np.zeros(SHAPE, np.float32), np.zeros(SHAPE, np.float32))


def dotted(spots, size, sigma):
    """Soft white dots on black at sub-pixel places of a square picture."""
    y, x = np.indices((size, size), dtype=np.float32)
    light = sum(np.exp(-((x - a) ** 2 + (y - b) ** 2) / (2 * sigma**2)) for a, b in spots)
    return np.rint(255 * np.minimum(light, 1)).astype(np.uint8)[..., None].repeat(3, axis=2)


def centre_near(crop, point, reach=6):
    x, y = (int(v) for v in np.rint(point))
    part = crop[y - reach : y + reach + 1, x - reach : x + reach + 1, 0].astype(float)
    rows, columns = np.indices(part.shape)
    return np.array([(columns * part).sum(), (rows * part).sum()]) / part.sum() + (x - reach, y - reach)


def maps(scale=1.0, mirrored=False, shape=(480, 640)):
    y, x = np.indices(shape, dtype=np.float32)
    return x * (-scale if mirrored else scale), y * np.float32(scale)


@pytest.mark.parametrize("turn", [0.0, 35.0, -90.0])
@pytest.mark.parametrize("unit", [25.0, 110.0, 640.0])
def test_the_neutral_head_lies_at_one_place_whatever_its_size_and_turn(turn, unit):
    neutral = load_basis().neutral[:, :2].astype(np.float64)
    c, s = np.cos(np.radians(turn)), np.sin(np.radians(turn))
    landmarks = (unit * neutral @ np.array([[c, s], [-s, c]]) + (300, 200)).astype(np.float32)
    there = affine.apply(aligned.alignment(landmarks), landmarks)
    assert np.abs(there - (neutral * UNIT + aligned.ORIGIN)).max() < 0.05


def test_features_of_anybody_lie_near_those_of_the_neutral_head():
    wanted = load_basis().neutral[:, :2] * UNIT + aligned.ORIGIN
    for seed in range(8):
        there = in_crop(seed=seed, roll=20, near=0.7)
        assert np.abs(there[aligned.STEADY] - wanted[aligned.STEADY]).max() < 14
        assert ((there[load_topology().outer_lips] > 8) & (there[load_topology().outer_lips] < 150)).all()


def test_an_open_jaw_barely_moves_the_crop():
    shut, opened = (aligned.alignment(face(jawOpen=jaw)) for jaw in (0, 1))
    corners = face()[[33, 263]]
    assert np.abs(affine.apply(opened, corners) - affine.apply(shut, corners)).max() < 6


def test_an_open_jaw_stays_in_the_crop():
    lips = in_crop(jawOpen=1.0)[load_topology().outer_lips]
    assert lips[:, 1].max() < HEIGHT - 10


def test_a_moved_alignment_counts_from_the_corner():
    landmarks, corner = face(roll=12), (37, -21)
    matrix = aligned.alignment(landmarks)
    shifted = affine.apply(affine.moved(matrix, corner), landmarks[:, :2] - corner)
    assert np.abs(shifted - affine.apply(matrix, landmarks)).max() < 1e-2


@pytest.mark.parametrize("near", [0.6, 1.0, 1.2, 2.0, 4.0])
def test_what_lies_at_a_landmark_is_cut_where_the_landmark_goes(near):
    landmarks = face(near=near, roll=10)
    spots = landmarks[[33, 263, 4, 61, 291], :2] + np.float32(100 * near)
    matrix = affine.moved(aligned.alignment(landmarks), np.float32([-100 * near] * 2))
    crop = aligned.cut(dotted(spots, 1300, 3 * near), matrix)
    assert crop.shape == (*SHAPE, 3)
    for point in affine.apply(matrix, spots):
        assert np.abs(centre_near(crop, point) - point).max() < 0.05


def test_large_pictures_are_averaged_before_they_are_cut():
    landmarks = face(near=4.0)
    noise = RNG.integers(0, 2, (960, 1280, 1), np.uint8).repeat(3, axis=2) * 255
    crop = aligned.cut(noise, aligned.alignment(landmarks)).astype(float)
    inner = crop[40:120, 40:90]
    assert abs(inner.mean() - 127) < 6
    assert inner.std() < 60, "single pixels would spread by 127"


def test_crops_that_leave_the_picture_repeat_its_edge():
    image = np.full((480, 640, 3), 90, np.uint8)
    for shift in (-250, 320, 5000):
        landmarks = face(x=shift)
        assert (aligned.cut(image, aligned.alignment(landmarks)) == 90).all()
        assert (aligned.cut(image, aligned.alignment(landmarks * 5)) == 90).all()


def test_a_sliver_of_a_huge_face_is_cut():
    sliver = np.full((60, 3, 3), 90, np.uint8)
    stage = affine.moved(aligned.alignment(face(near=12.0)), (0, 200))
    assert (aligned.cut(sliver, stage) == 90).all()


def test_the_box_of_a_crop_holds_all_that_it_shows():
    matrix = aligned.alignment(face())
    left, top, right, bottom = aligned.crop_box(matrix, (480, 640, 3))
    inverse = cv2.invertAffineTransform(matrix)
    corners = affine.apply(inverse, np.float32([[0, 0], [WIDTH, HEIGHT]]))
    assert (corners[0] >= (left, top)).all()
    assert (corners[1] <= (right, bottom)).all()
    assert aligned.crop_box(matrix, (200, 250, 3)) == (left, top, 250, 200)


def test_a_crop_beside_the_picture_has_no_box():
    assert aligned.crop_box(aligned.alignment(face(x=3000)), (480, 640, 3)) is None


def test_channels_are_of_one_size_and_range():
    one = told(in_crop(jawOpen=0.5))
    for plane in (one.openings, one.lines, one.window):
        assert plane.shape == SHAPE
        assert plane.dtype == np.float32
        assert 0 <= plane.min() <= plane.max() <= 1


def test_openings_grow_with_the_jaw_and_shrink_with_the_lids():
    rest, jaw, blink = (told(in_crop(**how)).openings for how in ({}, {"jawOpen": 0.8}, BLINK))
    assert jaw[80:].sum() > rest[80:].sum() + 300
    assert blink[:60].sum() < 0.6 * rest[:60].sum()
    assert jaw[:60].sum() == pytest.approx(rest[:60].sum(), rel=0.3)


def test_lines_lie_on_lips_brows_and_irises():
    points = in_crop()
    lines = told(points).lines
    for index in (61, 291, 105, 334):
        x, y = np.rint(points[index]).astype(int)
        assert lines[y - 1 : y + 2, x - 1 : x + 2].max() > 0.4
    x, y = np.rint(points[CHEEKS[0]]).astype(int)
    assert lines[y - 2 : y + 3, x - 2 : x + 3].max() == 0


def test_the_window_is_open_on_lips_and_lids_and_shut_elsewhere():
    points = in_crop(jawOpen=0.3)
    window, topology = told(points).window, load_topology()
    rings = np.concatenate([topology.inner_lips, topology.outer_lips, topology.right_eye, topology.left_eye])
    irises = points[[468, 473]]
    for at in points[rings]:
        if np.linalg.norm(irises - at, axis=1).min() > 9:
            x, y = np.rint(at).astype(int)
            assert window[y, x] > 0.7
    assert window[[0, 1, -2, -1]].max() == 0
    assert window[:, [0, 1, -2, -1]].max() == 0
    for x, y in np.rint(points[[*CHEEKS, 195, 197]]).astype(int):
        assert window[y, x] < 0.3


def test_irises_are_shut_off_where_they_show():
    seen, hidden = in_crop(), in_crop(**BLINK)
    for centre in (468, 473):
        for points, least, most in ((seen, 0, 0.2), (hidden, 0.7, 1)):
            x, y = np.rint(points[centre]).astype(int)
            assert least <= told(points).window[y, x] <= most


def test_points_far_outside_the_crop_are_no_harm():
    one = told(in_crop() + np.float32(500))
    assert one.openings.max() == 0
    assert one.window.max() == 0


@pytest.mark.parametrize(
    ("scale", "mirrored", "wanted"),
    [(1.0, False, 0.0), (0.5, False, -1.0), (2**-0.5, False, -0.5), (2.0, False, 1.0), (1.0, True, -1.0)],
)
def test_stretch_is_the_logarithm_of_the_area(scale, mirrored, wanted):
    matrix = aligned.alignment(face(roll=25))
    stretch = aligned.stretch_of(*maps(scale, mirrored), matrix)
    assert stretch.shape == SHAPE
    assert stretch.dtype == np.float32
    assert np.abs(stretch[4:-4, 4:-4] - wanted).max() < 0.02


def test_nothing_filled_is_nothing_told():
    assert aligned.fill_of(None, aligned.alignment(face())).max() == 0


@pytest.mark.parametrize("borrowed", [True, False])
def test_the_fill_lies_where_it_was_painted_and_tells_whose_it_is(borrowed):
    landmarks = face(jawOpen=0.6)
    matrix = aligned.alignment(landmarks)
    lips = landmarks[load_topology().inner_lips, :2]
    (left, top), (right, bottom) = lips.min(0).astype(int), lips.max(0).astype(int)
    alpha = np.ones((bottom - top, right - left), np.float32)
    plane = aligned.fill_of(Fill((left, top, right, bottom), alpha, borrowed), matrix)
    middle = np.rint(affine.apply(matrix, lips.mean(0)[None]))[0].astype(int)
    assert plane[middle[1], middle[0]] == pytest.approx(1.0 if borrowed else 0.5)
    assert plane[:60].max() == 0


def test_the_input_holds_pictures_then_geometry():
    warped, reference = (RNG.integers(0, 256, (*SHAPE, 3), np.uint8) for _ in range(2))
    last = RNG.uniform(-1, 1, (3, *SHAPE)).astype(np.float32)
    stretch, fill = np.full(SHAPE, -0.5, np.float32), np.full(SHAPE, 0.5, np.float32)
    one = aligned.geometry(in_crop(), stretch, fill)
    planes = aligned.stack(warped, reference, last, one)
    assert planes.shape == (1, CHANNELS, *SHAPE)
    assert planes.dtype == np.float32
    assert np.abs((planes[0, :3].transpose(1, 2, 0) + 1) * 127.5 - warped).max() < 1e-3
    assert np.abs((planes[0, 3:6].transpose(1, 2, 0) + 1) * 127.5 - reference).max() < 1e-3
    assert np.array_equal(planes[0, 6:9], last)
    for k, plane in enumerate((one.openings, one.lines, stretch, fill, one.window)):
        assert np.array_equal(planes[0, 9 + k], plane)
    assert aligned.stack(warped, reference, None, one)[0, 6:9].max() == 0
