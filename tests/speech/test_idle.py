"""The idle model: as people move while they speak, calm in pauses, the same for the same seed."""

from dataclasses import fields

import numpy as np
import pytest

from gioconda.speech.idle import idle
from gioconda.types import ARKIT_INDEX, Manner

FPS = 25.0
HEAD = ("yaw", "pitch", "roll", "x", "y", "near")


def chatter(seconds, fps=FPS, seed=0):
    """Energy and voice of somebody who speaks for 4 s, pauses for 2 s, and so on."""
    random = np.random.default_rng(seed)
    t = np.arange(round(seconds * fps)) / fps
    voiced = t % 6 < 4
    beat = 0.5 + 0.5 * np.sin(2 * np.pi * 1.3 * t + random.uniform(0, 6))
    return (voiced * (0.2 + 0.7 * beat)).astype(np.float32), voiced


def blinks(performance):
    shut = performance.expression[:, ARKIT_INDEX["eyeBlinkLeft"]] > 0.5
    return np.flatnonzero(np.diff(shut.astype(int)) == 1)


def test_people_blink_about_as_often_as_people_do():
    energy, voiced = chatter(600)
    found = blinks(idle(energy, voiced, FPS, Manner(1)))
    waits = np.diff(found) / FPS
    assert 12 < len(found) / 10 < 30, "a minute"
    assert waits.min() > 0.5
    assert 0.3 < waits.std() / waits.mean() < 1.0, "neither a clock nor bursts"


def test_blinks_prefer_the_beginning_of_pauses():
    energy, voiced = chatter(1200)
    phase = blinks(idle(energy, voiced, FPS, Manner(2))) / FPS % 6
    at_pause = ((phase > 3.9) & (phase < 4.6)).mean() / 0.7
    while_speaking = ((phase > 1) & (phase < 3.9)).mean() / 2.9
    assert at_pause > 1.5 * while_speaking


def test_lids_of_a_blink_close_wholly_and_open_again():
    energy, voiced = chatter(120)
    lids = idle(energy, voiced, FPS, Manner(3)).expression[:, ARKIT_INDEX["eyeBlinkLeft"]]
    tops = [lids[at : at + 6].max() for at in np.flatnonzero(np.diff((lids > 0.5).astype(int)) == 1)]
    assert np.mean(np.array(tops) > 0.9) > 0.7
    assert (lids < 0.05).mean() > 0.8


def test_the_head_moves_with_the_voice_and_rests_in_pauses():
    energy, voiced = chatter(300)
    made = idle(energy, voiced, FPS, Manner(4))
    phase = made.times % 6
    speaking, resting = (phase > 0.5) & (phase < 4), (phase > 5.2)
    for name in ("yaw", "roll"):
        angle = getattr(made, name)
        assert np.abs(angle[resting]).mean() < 0.35 * np.abs(angle[speaking]).mean()
    nods = made.pitch[speaking]
    assert 0.8 < nods.std() < 5
    assert max(np.abs(getattr(made, name)).max() for name in ("yaw", "pitch", "roll")) < 15


def test_movements_are_smooth_at_any_rate():
    for fps in (12.5, 25.0, 60.0):
        energy, voiced = chatter(60, fps)
        made = idle(energy, voiced, fps, Manner(5))
        for name in ("yaw", "pitch", "roll"):
            assert np.abs(np.diff(getattr(made, name))).max() * fps < 45, "degrees a second"


def test_brows_are_raised_where_a_voice_is_loud():
    energy, voiced = chatter(300)
    brows = idle(energy, voiced, FPS, Manner(6)).expression[:, ARKIT_INDEX["browInnerUp"]]
    assert brows.max() > 0.2
    assert np.corrcoef(brows, energy)[0, 1] > 0.15
    assert brows[~voiced].mean() < 0.3 * brows[voiced].mean()


def test_eyes_stay_mostly_with_the_viewer():
    energy, voiced = chatter(300)
    made = idle(energy, voiced, FPS, Manner(7))
    look = made.gaze + np.stack([made.yaw, made.pitch], 1) / 35
    assert (np.linalg.norm(look, axis=1) < 0.12).mean() > 0.8
    assert np.linalg.norm(look, axis=1).max() > 0.15, "but not always"


def test_the_seed_decides():
    energy, voiced = chatter(30)
    one, same, other = (idle(energy, voiced, FPS, Manner(seed)) for seed in (8, 8, 9))
    for field in fields(one):
        assert np.array_equal(getattr(one, field.name), getattr(same, field.name))
    assert not np.allclose(one.yaw, other.yaw)
    assert not np.allclose(one.expression, other.expression)


def test_the_first_frame_is_at_rest():
    energy, voiced = chatter(30)
    for seed in range(5):
        made = idle(energy, voiced, FPS, Manner(seed))
        assert all(abs(getattr(made, name)[0]) < 1e-4 for name in HEAD)
        assert np.abs(made.expression[0]).max() < 1e-4


@pytest.mark.parametrize("frames", [1, 2, 3, 26])
@pytest.mark.parametrize("loud", [0.0, 1.0])
def test_short_silent_and_steady_sounds(frames, loud):
    energy = np.full(frames, loud, np.float32)
    made = idle(energy, energy > 0.5, FPS, Manner(0))
    assert made.expression.shape == (frames, 52)
    assert made.gaze.shape == (frames, 2)
    assert all(np.isfinite(getattr(made, field.name)).all() for field in fields(made))


def test_somebody_silent_still_blinks_and_breathes():
    made = idle(np.zeros(1500, np.float32), np.zeros(1500, bool), FPS, Manner(0))
    assert 6 < len(blinks(made)) < 30
    assert np.ptp(made.pitch) > 0.2
    assert np.abs(made.yaw).max() < 2


def test_the_rate_of_blinks_is_as_asked():
    energy = np.full(25 * 240, 0.5, np.float32)
    counts = [len(blinks(idle(energy, energy > 0, FPS, Manner(3, rate)))) for rate in (0, 8, 16.2, 40)]
    assert counts[0] == 0
    np.testing.assert_allclose(np.array(counts[1:]) / 4, [8, 16.2, 40], rtol=0.3)
