"""The head's pose does not follow the face: expressions turn, shift or enlarge nothing, turns stay what they are."""

import time

import numpy as np
import pytest

from gioconda.face import FaceTracker
from gioconda.motion.from_faces import faces_to_motion, own_head
from gioconda.motion.leak import LIMIT, load_correction, without_leak
from gioconda.motion.pose import euler_from_rotation, fit_own_poses, fit_poses, rotation_from_euler
from gioconda.types import LANDMARKS
from heads import PLACE, SIZE, UNIT, performed, person, times, wave
from places import ROOT

ICT = ROOT.parent / "shared" / "data" / "ict_facekit"

SMILE = {"mouthSmileLeft": 1, "mouthSmileRight": 1}
BROWS = {"browInnerUp": 1, "browOuterUpLeft": 1, "browOuterUpRight": 1}
FACES = {
    "smile": SMILE,
    "jaw": {"jawOpen": 1},
    "laugh": {**SMILE, "jawOpen": 1},
    "brows": BROWS,
    "one brow": {"browOuterUpLeft": 1},
    "wink": {"eyeBlinkRight": 1},
    "half a smile": {"mouthSmileLeft": 1},
}


def poses_of(faces, head, fit=fit_own_poses):
    """Yaw, pitch, roll in degrees, place and size in percent of the inter-ocular distance: (T, 6)."""
    rotation, scale, origin = fit(np.stack([face.landmarks for face in faces]), head)
    return np.column_stack([*euler_from_rotation(rotation), 100 * origin[:, :2] / UNIT, 100 * scale / UNIT])


@pytest.mark.parametrize("pose", [{}, {"yaw": 20}, {"pitch": -18, "roll": 8}])
@pytest.mark.parametrize("name", FACES)
def test_no_expression_moves_the_head(name, pose):
    rest, full = (
        poses_of(performed(person(11, 0.8), 1, **pose, **made), person(11, 0.8))[0]
        for made in ({}, FACES[name])
    )
    moved = np.abs(full - rest)
    assert moved[:3].max() < 0.4, "degrees"
    assert moved[3:].max() < 0.5, "percent of the inter-ocular distance"


def test_raised_brows_do_not_lift_the_head():
    """Plain fitting, of which the forehead is a part, does."""
    head = person(12)
    rest, full = (performed(head, 1, **made) for made in ({}, BROWS))
    lifted, kept = (
        np.abs(poses_of(full, head, fit) - poses_of(rest, head, fit))[0, 4]
        for fit in (fit_poses, fit_own_poses)
    )
    assert lifted > 0.6
    assert kept < 0.5 * lifted


def test_a_turn_stays_what_it_is():
    head, (x, y) = person(13, 0.5), PLACE
    turns = rotation_from_euler(np.linspace(-20, 20, 9), np.linspace(-15, 15, 9), 0)
    seen = (UNIT * head @ turns.transpose(0, 2, 1) + [x, y, 0]).astype(np.float32)
    plain, own = (
        np.column_stack(euler_from_rotation(fit(seen, head)[0])) for fit in (fit_poses, fit_own_poses)
    )
    assert np.abs(own - plain).max() < 0.05


@pytest.mark.skipif(not ICT.is_dir(), reason="ICT-FaceKit's head lies in shared/data, which is absent")
def test_a_smile_of_a_rendered_person_does_not_nod(monkeypatch):
    """The tracker turns the whole mesh with a smile; whom it looks at here, the correction has never seen."""
    for folder in ("benchmarks", "scripts"):
        monkeypatch.syspath_prepend(str(ROOT / folder))
    import ict_clips

    person_seen = ict_clips.person_at(21, 0, 0)
    smile = list(ict_clips.FACES).index("smile")
    with FaceTracker() as tracker:
        rest, full = (
            [tracker.process(person_seen.picture(person_seen.weights(smile, level)))[0] for _ in range(4)][-1]
            for level in (0.0, 1.0)
        )
    head = own_head(np.stack([rest.landmarks, full.landmarks]))
    plain, own = (np.ptp(poses_of([rest, full], head, fit)[:, 1]) for fit in (fit_poses, fit_own_poses))
    assert plain > 1.5, "degrees: else there is nothing to correct"
    assert own < 0.5 * plain


def test_what_no_expression_does_is_bounded():
    head = person(14)
    seen = performed(head, 1)[0].landmarks[None].copy()
    pose = tuple(a.astype(np.float32) for a in (np.eye(3)[None], np.array([UNIT]), np.array([[*PLACE, 0]])))
    seen[:, 300:] += 500
    rotation, scale, origin = without_leak(seen, head, *pose)
    assert np.degrees(np.arccos((np.trace(rotation[0]) - 1) / 2)) <= np.degrees(LIMIT * np.sqrt(3)) + 1e-3
    assert abs(np.log(scale[0] / UNIT)) <= LIMIT + 1e-6
    assert np.linalg.norm(origin[0] - pose[2][0]) <= UNIT * 1.13 * LIMIT * np.sqrt(3) + 1e-3


def test_many_frames_and_single_ones_are_read_alike():
    head, faces = person(15), performed(person(15), 700, jawOpen=wave(700, 0.8), yaw=wave(700, 10))
    together = poses_of(faces, head)
    for index in (0, 350, 699):
        assert np.allclose(poses_of(faces[index : index + 1], head)[0], together[index], atol=1e-2)


def test_a_motion_of_a_still_sitter_is_still():
    made = {name: wave(60, 1) for name in (*SMILE, *BROWS)}
    motion = faces_to_motion(performed(person(16), 60, **made), times(60), SIZE)
    assert np.ptp(np.stack(euler_from_rotation(motion.rotation)), axis=1).max() < 0.4
    assert np.ptp(motion.translation, axis=0).max() < 0.005
    assert np.ptp(motion.scale) < 0.005


def test_it_is_cheap():
    faces = np.stack([face.landmarks for face in performed(person(17), 200)])
    head = person(17)
    pose = fit_poses(faces, head)
    without_leak(faces, head, *pose)
    start = time.process_time()
    without_leak(faces, head, *pose)
    assert (time.process_time() - start) / len(faces) < 0.3e-3


def test_the_correction_is_packaged_and_fixed():
    correction = load_correction()
    assert correction.shape == (7, LANDMARKS * 3)
    assert not correction.flags.writeable
