"""Sound and picture of written films belong together, measured as benchmarks/sync.py measures them."""

import sys

import numpy as np
import pytest

import gioconda
from gioconda import media
from places import ROOT


@pytest.fixture(scope="module")
def sync():
    sys.path.insert(0, str(ROOT / "benchmarks"))
    import sync

    yield sync
    sys.path.remove(str(ROOT / "benchmarks"))


@pytest.fixture(scope="module")
def uneven(sync, tmp_path_factory):
    """A film of variable rate whose person opens the mouth as a noise swells; its sound begins late."""
    return sync.write_film(
        tmp_path_factory.mktemp("sync") / "uneven.mp4", sync.rates()["variable"], late=sync.LATE
    )


@pytest.mark.slow
def test_a_driver_of_variable_rate_whose_sound_begins_late(sync, uneven, tmp_path):
    out = tmp_path / "out.webm"
    gioconda.animate(sync.PORTRAIT, uneven, out, crop=True, size=sync.SIDE)
    heard = sync.noise()
    heard[: round(sync.LATE * sync.RATE)] = 0
    picture, sound = sync.picture_lag(out, sync.swelling), sync.sound_lag(out, heard)
    assert abs(sound - picture) < 0.02
    assert abs(sound) < 0.02


@pytest.mark.slow
def test_a_film_of_variable_rate_says_what_is_heard(sync, uneven, tmp_path):
    voice = media.write_sound(tmp_path / "voice.wav", sync.noise(), sync.RATE)
    motion = sync.talking(np.arange(60) / 25)
    out = tmp_path / "out.mp4"
    gioconda.animate(uneven, motion, out, engine="lipsync")
    assert abs(sync.picture_lag(out, sync.swelling)) < 0.02
    gioconda.speak(uneven, out, audio=voice)
    assert abs(sync.sound_lag(out, sync.noise())) < 0.02
