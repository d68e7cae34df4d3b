"""Tracked faces -> Motion: what a known head does is read off it, and can be laid back on its picture."""

import numpy as np
import pytest

from gioconda.face import FaceTracker
from gioconda.media import read_frames
from gioconda.motion.from_faces import CHUNK, FaceTrack, faces_to_motion
from gioconda.motion.moments import picture_points
from gioconda.motion.pose import euler_from_rotation
from gioconda.types import ARKIT_INDEX, Face
from heads import PLACE, SIZE, UNIT, eyes_open, lips_apart, performed, person, times, wave


def motion_of(faces):
    return faces_to_motion(faces, times(len(faces)), SIZE)


def curve(motion, name):
    return motion.expression[:, ARKIT_INDEX[name]]


def alike(a, b):
    """Pearson's correlation."""
    return float(np.corrcoef(a, b)[0, 1])


def test_angles_are_recovered():
    yaw, pitch, roll = wave(60, 20, at=0.3), wave(60, -12, at=0.55), wave(60, 9, at=0.75)
    motion = motion_of(performed(person(1), 60, yaw=yaw, pitch=pitch, roll=roll))
    seen = np.stack(euler_from_rotation(motion.rotation))
    rest = seen[:, motion.reference]
    for name, true, found, start in zip(
        ("yaw", "pitch", "roll"), (yaw, pitch, roll), seen, rest, strict=True
    ):
        change = true - true[motion.reference]
        assert np.abs(found - start - change).max() < 1.5, name


def test_place_and_size_are_recovered():
    x, near = wave(50, 40, at=0.4, width=0.2), 1 + wave(50, 0.2, at=0.7, width=0.2)
    motion = motion_of(performed(person(2), 50, x=x, near=near))
    assert motion.frame_size == SIZE
    assert motion.unit == pytest.approx(UNIT * np.median(near), rel=0.03)
    assert np.abs(motion.translation * motion.unit - np.stack([PLACE[0] + x, 0 * x + PLACE[1]], 1)).max() < 4
    assert np.abs(motion.scale * motion.unit / UNIT - near).max() < 0.03


@pytest.mark.parametrize("seed", [3, 4])
def test_jaw_blink_and_smile_are_recovered_whoever_makes_them(seed):
    jaw, blink, smile = wave(75, 0.6, at=0.3), wave(75, 0.9, at=0.6, width=0.05), wave(75, 0.7, at=0.8)
    made = {"jawOpen": jaw, "mouthSmileLeft": smile, "mouthSmileRight": smile}
    motion = motion_of(performed(person(seed), 75, eyeBlinkLeft=blink, eyeBlinkRight=blink, **made))
    for name, true in {**made, "eyeBlinkLeft": blink, "eyeBlinkRight": blink}.items():
        assert alike(curve(motion, name), true) > 0.9, name
    assert curve(motion, "jawOpen").max() == pytest.approx(0.6, abs=0.15)
    assert curve(motion, "eyeBlinkLeft").max() == pytest.approx(0.9, abs=0.25)


def test_one_eye_is_told_from_the_other():
    blink = wave(50, 0.9, width=0.08)
    motion = motion_of(performed(person(5), 50, eyeBlinkLeft=blink))
    assert curve(motion, "eyeBlinkLeft").max() > 0.6
    assert curve(motion, "eyeBlinkRight").max() < 0.2


def test_a_turn_is_not_taken_for_a_grimace():
    motion = motion_of(performed(person(6), 60, yaw=wave(60, 25), pitch=wave(60, 10, at=0.3)))
    assert motion.expression.max() < 0.15


def test_gaze_points_where_the_eyes_look():
    right = wave(50, 0.8)
    motion = motion_of(performed(person(7), 50, eyeLookOutLeft=right, eyeLookInRight=right))
    assert motion.gaze[25, 0] > 0.5
    assert np.abs(motion.gaze[:, 1]).max() < 0.2


def test_the_reference_is_calm_though_the_clip_begins_with_a_shout():
    jaw, yaw = np.linspace(0.8, 0.0, 60).clip(0.0), np.concatenate([np.zeros(45), np.linspace(0, 20, 15)])
    jaw[40:] = 0
    motion = motion_of(performed(person(8), 60, jawOpen=jaw, yaw=yaw))
    assert 36 <= motion.reference < 52
    assert curve(motion, "jawOpen")[motion.reference] < 0.05
    assert curve(motion, "jawOpen")[0] > 0.5


def test_frames_without_a_face_are_bridged_smoothly_and_counted():
    yaw = np.linspace(-10, 10, 50)
    faces = performed(person(9), 50, yaw=yaw)
    for lost in (0, 20, 21, 22, 23, 49):
        faces[lost] = None
    motion = motion_of(faces)
    assert len(motion) == 50
    assert motion.bridged == 6
    assert np.flatnonzero(motion.confidence == 0).tolist() == [0, 20, 21, 22, 23, 49]
    seen = euler_from_rotation(motion.rotation)[0]
    assert np.abs(np.diff(seen)).max() < 1.5, "no jump"
    assert np.abs((seen - seen[25]) - (yaw - yaw[25]))[1:49].max() < 1.5


def test_one_frame_makes_a_motion():
    motion = faces_to_motion(performed(person(0), 1, yaw=10), [0.0], SIZE)
    assert (len(motion), motion.reference, motion.bridged) == (1, 0, 0)


def test_no_face_at_all_is_an_error():
    with pytest.raises(ValueError, match="no frame has a face"):
        faces_to_motion([None, None], [0.0, 0.04], SIZE)


def test_times_are_kept_as_they_are():
    moments = np.array([0.0, 0.03, 0.11, 0.12, 0.3])
    motion = faces_to_motion(performed(person(0), 5), moments, SIZE)
    assert motion.times.tolist() == moments.tolist()


def test_the_picture_points_of_a_motion_are_the_landmarks():
    faces = performed(
        person(10),
        60,
        yaw=wave(60, 20),
        roll=wave(60, 8, at=0.3),
        jawOpen=wave(60, 0.5, at=0.7),
        x=wave(60, 20),
    )
    motion = motion_of(faces)
    for i, one in enumerate(faces):
        assert np.abs(picture_points(motion, i) - one.landmarks)[:, :2].max() < 1.5, i


def test_the_picture_points_of_a_real_clip_lie_on_the_landmarks(driver):
    with FaceTracker() as tracker:
        frames = list(read_frames(driver))
        faces = [tracker.process(frame.image)[0] for frame in frames]
    height, width = frames[0].image.shape[:2]
    motion = faces_to_motion(faces, [frame.time for frame in frames], (width, height))
    points = [picture_points(motion, i) for i in range(len(motion))]
    far = [
        np.linalg.norm((p - f.landmarks)[:, :2], axis=1).mean() for p, f in zip(points, faces, strict=True)
    ]
    assert np.mean(far) < 1.0
    assert alike([lips_apart(p) for p in points], [lips_apart(f.landmarks) for f in faces]) > 0.98
    mine, theirs = (
        np.array([eyes_open(p) for p in where]) for where in (points, [f.landmarks for f in faces])
    )
    assert np.abs(mine - theirs).max() < 0.02


def test_a_track_has_room_for_any_number_of_frames():
    track, face = FaceTrack(), performed(person(0), 1)[0]
    count = 2 * CHUNK + 3
    for index in range(count):
        track.add(None if index % 7 == 0 else Face(face.landmarks + np.float32(index)))
    assert len(track) == count
    assert np.flatnonzero(~track.tracked).tolist() == list(range(0, count, 7))
    assert np.array_equal(track.landmarks[CHUNK + 1], face.landmarks + np.float32(CHUNK + 1))
    assert np.array_equal(track.landmarks[-1], face.landmarks + np.float32(count - 1))
