"""Built-in templates: what each one means, and that it looks alive."""

from __future__ import annotations

import numpy as np
import pytest

from gioconda.errors import InputError
from gioconda.motion.pose import euler_from_rotation
from gioconda.motion.templates import SCRIPTS, TEMPLATES, template
from gioconda.types import ARKIT_INDEX, Motion


def curve(motion: Motion, name: str) -> np.ndarray:
    return motion.expression[:, ARKIT_INDEX[name]]


def turning_points(values: np.ndarray, least: float) -> int:
    """Local extremes that stand at least `least` above or below the previous one."""
    last, count, direction = values[0], 0, 0
    for v in values:
        if direction * (v - last) > 0 or (direction == 0 and abs(v - last) >= least):
            direction, last = np.sign(v - last) or direction, v
        elif abs(v - last) >= least:
            count, direction, last = count + 1, -direction, v
    return count


def test_all_that_the_manual_names_are_there():
    assert set(TEMPLATES) == {"idle", "nod", "shake", "smile", "look-around", "talk", "laugh", "surprise"}
    with pytest.raises(InputError, match="no template 'dance'; there are idle, nod"):
        template("dance")
    for fps in (0, -25, 1000, float("nan")):
        with pytest.raises(InputError, match="frames a second"):
            template("nod", fps)


@pytest.mark.parametrize("name", TEMPLATES)
def test_templates_begin_and_end_at_rest_and_are_reproducible(name):
    motion = template(name)
    assert 2.9 <= motion.times[-1] + motion.times[1] <= 6.1
    for end in (0, -1):
        assert np.allclose(motion.rotation[end], np.eye(3), atol=2e-3)
        assert np.abs(motion.translation[end]).max() < 2e-3
        assert motion.expression[end].max() < 1e-3
    assert np.array_equal(template(name).expression, motion.expression)
    assert motion.residual is None
    assert motion.neutral is None
    assert motion.frame_size == (0, 0)


@pytest.mark.parametrize("name", TEMPLATES)
def test_templates_are_smooth_and_within_what_people_do(name):
    motion = template(name, 50)
    angles = np.stack(euler_from_rotation(motion.rotation))
    assert np.abs(angles).max() < 25
    assert np.abs(np.diff(angles)).max() * 50 < 130, "degrees a second"
    lids = [ARKIT_INDEX[n] for n in ("eyeBlinkLeft", "eyeBlinkRight")]
    slow = np.delete(motion.expression, lids, axis=1)
    assert np.abs(np.diff(slow, axis=0)).max() < 0.4, "nothing jumps"
    assert motion.expression.min() >= 0
    assert motion.expression.max() <= 1
    assert np.abs(motion.gaze).max() <= 1


@pytest.mark.parametrize("name", TEMPLATES)
def test_blinks_close_fast_and_open_slower(name):
    motion = template(name, 100)
    lid = curve(motion, "eyeBlinkLeft")
    for moment in SCRIPTS[name].blinks:
        at = round(moment * 100)
        around = lid[at - 15 : at + 30]
        assert around.max() > 0.95
        top = int(around.argmax())
        closing = top - int(np.flatnonzero(around[:top] < 0.05)[-1])
        opening = int(np.flatnonzero(around[top:] < 0.05)[0])
        assert 8 <= closing <= 15
        assert 15 <= opening <= 26


def test_nod_and_shake_go_to_and_fro():
    yaw, pitch, _ = euler_from_rotation(template("nod").rotation)
    assert turning_points(pitch, 4) >= 4
    assert pitch.min() < -8
    assert np.abs(yaw).max() < 5
    yaw, pitch, _ = euler_from_rotation(template("shake").rotation)
    assert turning_points(yaw, 6) >= 4
    assert yaw.max() > 10
    assert yaw.min() < -10
    assert np.abs(pitch).max() < 5


def test_faces_do_what_their_names_say():
    assert curve(template("smile"), "mouthSmileLeft").max() > 0.7
    surprise = template("surprise")
    assert curve(surprise, "browInnerUp").max() > 0.6
    assert curve(surprise, "eyeWideRight").max() > 0.6
    assert curve(surprise, "jawOpen").max() > 0.3
    laugh = template("laugh")
    assert turning_points(curve(laugh, "jawOpen"), 0.08) >= 8
    assert curve(laugh, "mouthSmileRight").max() > 0.7
    talk = template("talk")
    assert turning_points(curve(talk, "jawOpen"), 0.05) >= 10
    assert curve(talk, "jawOpen")[-10:].max() < 0.05
    assert curve(template("idle"), "jawOpen").max() == 0


def test_eyes_lead_the_head_when_looking_around():
    motion = template("look-around", 50)
    yaw = euler_from_rotation(motion.rotation)[0]
    gaze = motion.gaze[:, 0]
    assert gaze.min() < -0.6
    assert gaze.max() > 0.6
    assert yaw.min() < -12
    assert yaw.max() > 12
    assert np.flatnonzero(gaze < -0.4)[0] < np.flatnonzero(yaw < -8)[0]


def test_sides_of_a_face_differ_a_little():
    smile = template("smile")
    gap = curve(smile, "mouthSmileLeft") - curve(smile, "mouthSmileRight")
    assert 0.02 < gap.max() < 0.2


def test_rates_keep_the_length():
    assert len(template("idle", 12)) == 72
    assert len(template("idle", 59.94)) == 360
    assert np.isclose(np.diff(template("nod", 30).times).mean(), 1 / 30)
