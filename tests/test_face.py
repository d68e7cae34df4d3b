"""Faces: found where people see them, not where they do not, and followed from frame to frame."""

import subprocess
import sys

import cv2
import numpy as np
import pytest

from conftest import SHARED
from gioconda import face
from gioconda.errors import NoFaceError

PORTRAITS = sorted(p.name for p in (SHARED / "portraits").glob("*.jpg")) or ["absent"]
# In the astronaut's picture: outer eye corners, irises, corners of the mouth, inner lips, chin.
MARKED_BY_EYE = {33: (195, 100), 263: (257, 104), 468: (203, 101), 473: (246, 104)}
MARKED_BY_EYE |= {61: (204, 140), 291: (246, 139), 13: (224, 143), 14: (223, 149), 152: (226, 179)}


def look(path):
    """An upright picture, RGB."""
    return np.ascontiguousarray(cv2.imread(str(path))[:, :, ::-1])


def eye_distance(landmarks):
    return float(np.linalg.norm(landmarks[263, :2] - landmarks[33, :2]))


@pytest.fixture(scope="module")
def astronaut_face(astronaut_image):
    (found,) = face.detect_faces(astronaut_image)
    return found


def test_landmarks_lie_on_the_features(astronaut_face):
    points = astronaut_face.landmarks[:, :2]
    for index, place in MARKED_BY_EYE.items():
        assert np.linalg.norm(points[index] - place) < 5, index
    assert 0.5 < astronaut_face.score <= 1
    left, right = points[468], points[473]
    assert left[0] < right[0], "the first iris is the viewer's left"


@pytest.mark.slow
@pytest.mark.parametrize("name", PORTRAITS)
def test_every_portrait_has_its_face(shared_data, name):
    image = look(shared_data / "portraits" / name)
    faces = face.detect_faces(image)
    assert faces
    points = faces[0].landmarks
    assert points[[10, 168, 13, 152], 1].tolist() == sorted(points[[10, 168, 13, 152], 1]), "upright"
    assert face.shows_both_eyes(faces[0], image.shape)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "count"), [("two_faces.jpg", 2), ("six_faces.jpg", 6)])
def test_groups_are_counted_largest_first(shared_data, name, count):
    faces = face.detect_faces(look(shared_data / "hard" / name))
    assert len(faces) == count
    widths = [float(np.ptp(f.landmarks[:, 0])) for f in faces]
    assert widths == sorted(widths, reverse=True)
    middles = np.array([f.landmarks[:, :2].mean(0) for f in faces])
    apart = np.linalg.norm(middles[:, None] - middles[None], axis=2) + 1e9 * np.eye(count)
    assert apart.min() > 0.5 * min(widths), "no face twice"


@pytest.mark.parametrize("name", ["no_human_face_dog.jpg", "alpaca.jpg"])
def test_animals_are_not_taken_for_people(shared_data, name):
    assert face.detect_faces(look(shared_data / "hard" / name)) == []


def test_a_small_face_is_found(shared_data):
    assert face.detect_faces(look(shared_data / "hard" / "small_face.jpg"))


@pytest.mark.slow
def test_a_face_of_one_twentieth_of_the_width_is_found_at_its_place(astronaut_image, astronaut_face):
    wall = np.full((1100, 1800, 3), 150, np.uint8)
    wall[500:1012, 1200:1712] = astronaut_image
    (found,) = face.detect_faces(wall)
    moved = found.landmarks[:, :2] - astronaut_face.landmarks[:, :2]
    assert np.abs(moved - (1200, 500)).max() < 4


@pytest.mark.parametrize("shape", [(1, 1), (2, 3), (3, 2000), (2000, 3), (300, 400)])
def test_pictures_without_anything_have_no_face(shape):
    noise = np.random.default_rng(0).integers(0, 255, (*shape, 3), np.uint8)
    assert face.detect_faces(noise) == []


def test_errors_name_the_file_and_what_there_is(astronaut_face):
    with pytest.raises(NoFaceError, match=r"dog\.jpg: no human face"):
        face.choose_face([], 0, "dog.jpg")
    with pytest.raises(NoFaceError, match=r"me\.jpg: face 5 asked for, but 1 found"):
        face.choose_face([astronaut_face], 5, "me.jpg")
    with pytest.raises(NoFaceError):
        face.choose_face([astronaut_face], -1, "me.jpg")
    assert face.choose_face([astronaut_face], 0, "me.jpg") is astronaut_face


def test_eyes_beyond_the_edge_do_not_count(astronaut_image, astronaut_face):
    assert face.shows_both_eyes(astronaut_face, astronaut_image.shape)
    assert not face.shows_both_eyes(astronaut_face, (512, 230, 3))
    assert not face.shows_both_eyes(astronaut_face, (90, 512, 3))


def test_the_tracker_follows_loses_and_finds_again(astronaut_image):
    steps = [(0, 0), (6, 2), (12, 4), None, None, (60, 40), (64, 42)]
    seen = []
    with face.FaceTracker() as tracker:
        for step in steps:
            image = np.full_like(astronaut_image, 127)
            if step is not None:
                x, y = step
                image[y:, x:] = astronaut_image[: 512 - y, : 512 - x]
            seen.append(tracker.process(image))
    assert [len(found) for found in seen] == [1, 1, 1, 0, 0, 1, 1]
    start = seen[0][0].landmarks[:, :2]
    for step, found in zip(steps, seen, strict=True):
        if step is not None:
            way = np.median(found[0].landmarks[:, :2] - start, axis=0)
            assert np.abs(way - step).max() < 1.5, step


def test_tracker_and_detector_agree(astronaut_image, astronaut_face):
    with face.FaceTracker() as tracker:
        for _ in range(3):
            (tracked,) = tracker.process(astronaut_image)
    far = np.linalg.norm((tracked.landmarks - astronaut_face.landmarks)[:, :2], axis=1)
    assert far.mean() < 0.03 * eye_distance(astronaut_face.landmarks)


def test_the_person_is_told_from_the_background(astronaut_image, astronaut_face):
    mask = face.person_mask(astronaut_image)
    assert mask.shape == (512, 512)
    assert mask.dtype == np.float32
    x, y = astronaut_face.landmarks[4, :2].astype(int)
    assert mask[y - 30 : y + 30, x - 30 : x + 30].min() > 0.9
    assert mask[:60, :60].max() < 0.3, "the flag"


def test_the_networks_say_nothing_on_the_terminal(astronaut):
    code = (
        "import sys, cv2, numpy as np; from gioconda import face\n"
        "image = np.ascontiguousarray(cv2.imread(sys.argv[1])[:, :, ::-1])\n"
        "assert len(face.detect_faces(image)) == 1\n"
        "with face.FaceTracker() as tracker:\n"
        "    assert all(tracker.process(image) for _ in range(8))\n"
        "face.person_mask(image)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(astronaut)], capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
