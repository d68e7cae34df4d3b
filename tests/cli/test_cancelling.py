"""What a progress callback raises ends the work at once and leaves no file behind."""

import pytest

import gioconda


class StoppedError(Exception):
    """Raised by the callback of somebody who no longer wants the result."""


def _stop_at(stage, count):
    def report(now, done, _total):
        if (now, done) == (stage, count):
            raise StoppedError

    return report


@pytest.mark.parametrize("stage", ["track", "render"])
def test_animating_a_film_can_be_stopped(stage, astronaut, driver, tmp_path):
    with pytest.raises(StoppedError):
        gioconda.animate(
            astronaut, driver, tmp_path / "out.mp4", crop=True, size=128, progress=_stop_at(stage, 5)
        )
    assert not list(tmp_path.iterdir())


def test_speaking_can_be_stopped(astronaut, tmp_path):
    with pytest.raises(StoppedError):
        gioconda.speak(
            astronaut,
            tmp_path / "out.mp4",
            text="Good evening.",
            crop=True,
            size=128,
            progress=_stop_at("render", 5),
        )
    assert not list(tmp_path.iterdir())
