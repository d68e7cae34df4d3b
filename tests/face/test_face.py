"""Faces: found where people see them, not where they do not, and followed from frame to frame."""

import subprocess
import sys
import threading
from dataclasses import replace

import cv2
import numpy as np
import pytest

from gioconda import face, media
from gioconda.errors import NoFaceError
from gioconda.face import blazeface, mesh
from gioconda.face.region import Region, around_landmarks
from places import ROOT, SHARED

PORTRAITS = sorted(p.name for p in (SHARED / "portraits").glob("*.jpg")) or ["absent"]
CASES = SHARED.parent / "cases"
GOLDEN = ROOT / "tests" / "golden" / "landmarks.npz"  # made by scripts/build_landmark_goldens.py
GOLDEN_SIDE = 320  # longest side of the pictures there, pixels
MEDIAPIPE_CANDIDATES = replace(blazeface.SHORT, score=0.3)  # as FaceMesh asks for them
# In the astronaut's picture: outer eye corners, irises, corners of the mouth, inner lips, chin.
MARKED_BY_EYE = {33: (195, 100), 263: (257, 104), 468: (203, 101), 473: (246, 104)}
MARKED_BY_EYE |= {61: (204, 140), 291: (246, 139), 13: (224, 143), 14: (223, 149), 152: (226, 179)}


def look(path):
    """An upright picture, RGB."""
    return np.ascontiguousarray(cv2.imread(str(path))[:, :, ::-1])


def golden(name):
    """What MediaPipe itself said."""
    with np.load(GOLDEN) as arrays:
        return arrays[name]


def small(image):
    """A picture as the goldens were made of it."""
    scale = min(1.0, GOLDEN_SIDE / max(image.shape[:2]))
    size = (round(image.shape[1] * scale), round(image.shape[0] * scale))
    return np.ascontiguousarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA))


def portrait(name, astronaut_image):
    """A picture of the goldens; skipped where it is not here."""
    if name == "astronaut":
        return small(astronaut_image)
    if not SHARED.is_dir():
        pytest.skip("the real media of ../shared/data is not here")
    return small(look(SHARED / "portraits" / name))


def off(found, expected):
    """Mean distance of landmarks in percent of the distance between the irises."""
    irises = np.linalg.norm(expected[468, :2] - expected[473, :2])
    return 100 * float(np.linalg.norm((found - expected)[:, :2], axis=1).mean() / irises)


def upright_angle(landmarks):
    """The direction of the eyes' line in degrees."""
    across = landmarks[263] - landmarks[33]
    return float(np.degrees(np.arctan2(across[1], across[0])))


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


@pytest.mark.parametrize("name", ["astronaut", *PORTRAITS])
def test_landmarks_are_those_of_mediapipe(name, astronaut_image):
    image = portrait(name, astronaut_image)
    height, width = image.shape[:2]
    side = max(height, width)
    best, *_ = blazeface.detect(MEDIAPIPE_CANDIDATES, image, Region(width / 2, height / 2, side, side))
    points, presence = mesh.find_landmarks(image, best.crop)
    assert presence > 0.9
    assert off(points, golden(f"still/{name}")) < 0.02
    depth = np.abs(points - golden(f"still/{name}"))[:, 2].max()
    assert depth < 0.005 * eye_distance(points)


@pytest.mark.parametrize("name", ["driving/d10.mp4", "driving/d12.mp4", "lrw_ar/id02/07058.mp4"])
def test_clips_are_followed_as_by_mediapipe(shared_data, name):
    """MediaPipe differs from itself by 0.12% where it starts some frames later."""
    expected, distances = golden(f"clip/{name}"), []
    with face.FaceTracker(hold=0) as tracker:
        for points, frame in zip(expected, media.read_frames(shared_data / name), strict=False):
            (found,) = tracker.process(small(frame.image))
            distances.append(off(found.landmarks, points))
    assert np.mean(distances[8:]) < 0.12, "MediaPipe's first crop is rough, so its first frames are too"


@pytest.mark.parametrize("name", ["astronaut", "mona_lisa.jpg", "half_body.jpg"])
def test_the_person_is_where_mediapipe_sees_it(name, astronaut_image):
    mask = cv2.resize(
        face.person_mask(portrait(name, astronaut_image)), (32, 32), interpolation=cv2.INTER_AREA
    )
    assert np.abs(mask - golden(f"person/{name}")).mean() < 0.01


def test_faces_in_one_batch_are_seen_as_one_by_one(astronaut_image, astronaut_face):
    crop = around_landmarks(astronaut_face.landmarks)
    regions = [crop.scaled(scale) for scale in np.linspace(0.8, 1.2, 11)]
    points, presence = mesh.find_landmarks_in(astronaut_image, regions, [False] * len(regions))
    for region, seen, here in zip(regions, points, presence, strict=True):
        alone, alone_here = mesh.find_landmarks(astronaut_image, region)
        assert np.abs(seen - alone).max() < 0.01
        assert here == pytest.approx(alone_here, abs=1e-4)


def test_mirrored_looks_agree_with_straight_ones(astronaut_image, astronaut_face):
    crop = around_landmarks(astronaut_face.landmarks)
    (straight, mirrored), _ = mesh.find_landmarks_in(astronaut_image, [crop, crop], [False, True])
    assert off(mirrored, straight) < 1.5
    assert np.abs((mirrored - straight)[:, :2].mean(axis=0)).max() < 0.01 * eye_distance(straight)


def test_landmarks_of_stills_hardly_depend_on_the_crop(astronaut_image, astronaut_face):
    height, width = astronaut_image.shape[:2]
    seen = []
    for dx, dy, scale in [(0, 0, 1.0), (9, 4, 1.0), (-7, 8, 1.05), (5, -8, 0.95)]:
        matrix = np.array([[scale, 0, dx], [0, scale, dy]])
        moved = cv2.warpAffine(astronaut_image, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE)
        (found,) = face.detect_faces(moved)
        back = found.landmarks.copy()
        back[:, :2] = (back[:, :2] - (dx, dy)) / scale
        seen.append(back)
    middle = np.mean(seen, axis=0)
    assert np.mean([off(points, middle) for points in seen]) < 0.6


@pytest.mark.slow
@pytest.mark.parametrize("degrees", [90, 135, 180, 270])
def test_turned_faces_are_found_and_told_their_way_up(shared_data, degrees):
    right = []
    for name in PORTRAITS:
        image = look(shared_data / "portraits" / name)
        height, width = image.shape[:2]
        side = int(np.hypot(height, width))
        matrix = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1)
        matrix[:, 2] += (side - width) / 2, (side - height) / 2
        turned = face.detect_faces(cv2.warpAffine(image, matrix, (side, side)))
        upright = upright_angle(face.detect_faces(image)[0].landmarks)
        far = (upright_angle(turned[0].landmarks) + degrees - upright + 180) % 360 - 180 if turned else 180
        right.append(abs(far) < 20)
    assert np.mean(right) >= 0.9


def test_a_picture_upside_down_is_used(shared_data):
    (found,) = face.detect_faces(look(CASES / "upside_down" / "rot180.png"))
    assert abs(abs(upright_angle(found.landmarks)) - 180) < 15


def test_a_small_face_of_a_panorama_is_found(shared_data):
    (found,) = face.detect_faces(look(CASES / "panorama" / "pan_5000x1000_80.jpg"))
    assert 50 < np.ptp(found.landmarks[:, 0]) < 90


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
    with pytest.raises(NoFaceError, match=r"me\.jpg: there is no face 5, only 1 found"):
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


def test_a_film_that_begins_upside_down_or_small_is_followed(astronaut_image):
    turned = np.ascontiguousarray(astronaut_image[::-1, ::-1])
    blank = np.full_like(turned, 127)
    with face.FaceTracker() as tracker:
        found = [tracker.process(image) for image in [blank] * 3 + [turned] * 3]
    assert [len(faces) for faces in found] == [0, 0, 0, 1, 1, 1]
    assert abs(abs(upright_angle(found[-1][0].landmarks)) - 180) < 15


def test_the_score_of_a_followed_face_is_its_presence(astronaut_image):
    hidden = astronaut_image.copy()
    hidden[60:200, 150:300] = 127
    with face.FaceTracker() as tracker:
        (seen,) = tracker.process(astronaut_image)
        assert seen.score > 0.99
        assert tracker.process(hidden) == []


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


def test_the_tracker_looks_at_the_next_frame_in_advance_and_finds_the_same(astronaut_image):
    images = [np.roll(astronaut_image, step, axis=1) for step in (0, 3, 6, 40, 0, 3, 6)]
    images[4] = np.full_like(astronaut_image, 127)
    results = []
    for ahead in (False, True):
        with face.FaceTracker() as tracker:
            tracker.start(images[0], tracker.search(images[0])[0])
            found = []
            for image, following in zip(images, [*images[1:], None], strict=True):
                looked = threading.active_count()
                found.append(tracker.follow(image, following if ahead else None))
                assert ahead or threading.active_count() == looked
                if found[-1] is None:
                    tracker.start(images[0], face.detect_faces(images[0])[0])
        results.append([None if one is None else (one.landmarks.tobytes(), one.score) for one in found])
    assert results[0] == results[1]
    assert results[0][4] is None
    assert results[0][5] is not None
    assert not [one for one in threading.enumerate() if one.name.startswith("gioconda-landmarks")]
