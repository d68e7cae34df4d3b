"""Samples of the refiner out of photos: place, light, expression, and the moment that no photo shows."""

import cv2
import numpy as np
import pytest

from gioconda import media
from gioconda.engines import affine
from gioconda.engines.warp import aligned
from gioconda.engines.warp.aligned import HEIGHT, WIDTH
from gioconda.errors import InputError
from gioconda.training.refiner.photos import brought, photo_rows, readable
from heads import gap

LIPS = np.array([[13, 14], [82, 87], [312, 317]])


def picture(path, image):
    assert cv2.imwrite(str(path), image[..., ::-1])
    return path


def elsewhere(image):
    """The same picture, turned by 7 degrees, smaller, shifted, and in weak yellow light."""
    height, width = image.shape[:2]
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), 7, 0.85)
    matrix[:, 2] += (9, -6)
    moved = cv2.warpAffine(image, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE)
    return (moved * np.array([0.85, 0.8, 0.65])).astype(np.uint8)


@pytest.fixture(name="paths", scope="module")
def paths_fixture(talking_astronaut, tmp_path_factory):
    """Two photos of the astronaut: lips as near as they come, and as wide apart, the latter elsewhere."""
    folder = tmp_path_factory.mktemp("photos")
    images = [frame.image for frame in media.read_frames(talking_astronaut)]
    stills = [picture(folder / f"{k}.png", image) for k, image in enumerate(images[::4])]
    gaps = [gap(photo.face.landmarks, LIPS) for photo in readable(stills)]
    shut, open_ = (images[4 * int(k(gaps))] for k in (np.argmin, np.argmax))
    return [picture(folder / "shut.png", shut), picture(folder / "open.png", elsewhere(open_))]


def crop_points(photo):
    return affine.apply(aligned.alignment(photo.face.landmarks), photo.face.landmarks)


@pytest.mark.slow
def test_a_photo_is_brought_to_the_place_and_light_of_another(paths):
    first, second = readable(paths)
    there = brought(first, second)
    steady = first.face.landmarks[aligned.STEADY, :2]
    assert np.abs(there.face.landmarks[aligned.STEADY, :2] - steady).mean() < 2
    assert np.abs(second.face.landmarks[aligned.STEADY, :2] - steady).mean() > 5
    cut = (aligned.cut(p.image, aligned.alignment(p.face.landmarks)) for p in (first, second, there))
    brow = (slice(5, 20), slice(45, 85))  # skin that moves little
    own, far, near = (crop[brow].astype(float).mean((0, 1)) for crop in cut)
    assert np.abs(near - own).max() < 0.35 * np.abs(far - own).max()
    # the mouth keeps its own shape
    assert abs(gap(there.face.landmarks, LIPS) - gap(second.face.landmarks, LIPS)) < 0.005


@pytest.mark.slow
def test_photos_become_samples_in_both_directions(paths):
    rows, unit = photo_rows(paths, most=9, targets=2, seed=0)
    assert len(rows) == 4
    assert 30 < unit < 120
    for pictures, maps, points in rows:
        assert (pictures.shape, pictures.dtype) == ((6, HEIGHT, WIDTH, 3), np.uint8)
        assert (maps.shape, maps.dtype) == ((2, 2, HEIGHT, WIDTH), np.int8)
        assert (points.shape, points.dtype) == ((2, 478, 2), np.float32)
        warped, true = (pictures[[k, k + 2]].astype(int) for k in (0, 1))
        assert 0.1 < np.abs(warped - true).mean() < 20
        assert np.array_equal(pictures[5], pictures[4]), "no third photo"
    opened = [gap(points[1], LIPS) - gap(points[0], LIPS) for _, _, points in rows]
    assert min(opened[:2]) > 0.001, "shut to open"
    assert max(opened[2:]) < -0.001, "open to shut"
    # the moment before lies between the source and the truth, near the truth
    for (pictures, _, points), back in zip(rows, (2, 2, 0, 0), strict=True):
        source = gap(rows[back][2][1], LIPS)
        before, now = (abs(gap(points[k], LIPS) - source) for k in (0, 1))
        assert 0.6 * now < before < now
        assert np.abs(pictures[1].astype(int) - pictures[3]).mean() > 0.05


@pytest.mark.slow
def test_a_third_photo_is_the_reference_where_it_is_there(paths, tmp_path):
    third = picture(tmp_path / "third.png", media.read_picture(paths[0])[0][:, ::-1])
    rows, _ = photo_rows([*paths, third], most=99, targets=1, seed=0)
    assert len(rows) == 6
    assert not any(np.array_equal(pictures[5], pictures[4]) for pictures, _, _ in rows)
    assert len(photo_rows([*paths, third], most=2, targets=1, seed=0)[0]) == 2


def test_one_face_alone_is_no_pair(paths, tmp_path):
    wall = picture(tmp_path / "wall.png", np.full((90, 90, 3), 120, np.uint8))
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no picture")
    with pytest.raises(InputError, match="two or more photos"):
        photo_rows([paths[0], wall, broken], 9, 1, 0)


def test_a_head_seen_from_another_side_is_no_truth(paths, monkeypatch):
    monkeypatch.setattr("gioconda.training.refiner.photos.MOST_TURN", 0.0)
    with pytest.raises(InputError, match="different sides"):
        photo_rows(paths, 9, 1, 0)
