"""Keyframes become a motion that moves to each of them as its easing says."""

import numpy as np
import pytest

from gioconda.motion.edit import still_motion
from gioconda.motion.keyframes import FPS, keyframed_motion
from gioconda.runtime.easing import EASINGS
from gioconda.types import ARKIT_INDEX

# Seconds -> how far the jaw is open.
KEYS = {1.0: 0.2, 2.0: 0.6, 3.0: 0.7}


def jaw(easings):
    """How far the jaw is open at each frame, and its speed between frames."""
    keys = {time: still_motion(0, 0, 0, 0, 0, {"jawOpen": value}) for time, value in KEYS.items()}
    opened = keyframed_motion(keys, easings).expression[:, ARKIT_INDEX["jawOpen"]]
    return opened, np.diff(opened) * FPS


@pytest.mark.parametrize("easing", EASINGS)
def test_every_keyframe_is_reached_whatever_the_easing(easing):
    opened, _ = jaw(dict.fromkeys(KEYS, easing))
    assert [opened[round(time * FPS)] for time in KEYS] == pytest.approx([*KEYS.values()], abs=1e-6)
    assert (np.diff(opened) >= -1e-6).all()


def test_a_gentle_keyframe_starts_and_arrives_slowly_and_a_linear_one_keeps_its_speed():
    second = slice(round(FPS), round(2 * FPS))
    smooth, gentle, linear = (jaw({2.0: easing})[1][second] for easing in EASINGS)
    assert max(gentle[0], gentle[-1]) < 0.15 * gentle.max()
    assert linear == pytest.approx(0.4, abs=1e-3)
    assert smooth[0] > 2 * gentle[0]


def test_an_easing_changes_its_own_part_alone():
    plain, changed = jaw({})[0], jaw({2.0: "linear"})[0]
    same = np.isclose(plain, changed, atol=1e-6)
    assert same[: round(FPS) + 1].all()
    assert same[round(2 * FPS) :].all()
    assert not same.all()
