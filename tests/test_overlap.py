"""What overlaps while a film is made: portrait and driver, threads and processes; and all of them end."""

import threading
import time

import numpy as np
import psutil
import pytest

import gioconda
from gioconda import loading
from gioconda.engines.warp.engine import WarpEngine
from gioconda.runtime import cores, helpers
from programs import wait_for

WAIT_SECONDS = 20.0


class CancelledError(Exception):
    """Somebody presses Ctrl-C."""


def own_threads():
    return [one.name for one in threading.enumerate() if one.name.startswith("gioconda")]


def test_the_portrait_is_prepared_while_the_driver_is_tracked(astronaut, driver, tmp_path, monkeypatch):
    prepared, seen = threading.Event(), []
    prepare = WarpEngine.prepare

    def noting(self, portrait):
        prepared.set()
        return prepare(self, portrait)

    def progress(stage, done, total):
        if stage == "track" and done == 1:
            # The tracker waits here, so that a portrait that is prepared afterwards would come too late.
            seen.append(prepared.wait(WAIT_SECONDS))

    monkeypatch.setattr(WarpEngine, "prepare", noting)
    gioconda.animate(astronaut, driver, tmp_path / "out.mp4", crop=True, size=256, progress=progress)
    assert seen == [True]


@pytest.fixture
def four_cores(monkeypatch):
    """As many cores as threads and helpers wish for, and no film that is too short for helpers."""
    monkeypatch.setattr("gioconda.engines.warp.engine.cores", lambda: 4)
    monkeypatch.setattr(helpers, "cores", lambda: 4)
    monkeypatch.setattr(loading, "HELPED_FRAMES", 1)


@pytest.mark.parametrize("stage", ["track", "render"])
def test_a_job_that_is_stopped_leaves_no_thread_no_process_and_no_file(
    stage, astronaut, driver, tmp_path, four_cores
):
    before = psutil.Process().children()

    def progress(now, done, total):
        if now == stage and done == 3:
            raise CancelledError

    with pytest.raises(CancelledError):
        gioconda.animate(astronaut, driver, tmp_path / "out.mp4", crop=True, size=256, progress=progress)
    until = time.monotonic() + WAIT_SECONDS
    while own_threads() and time.monotonic() < until:
        time.sleep(0.01)
    assert own_threads() == []
    assert psutil.Process().children() == before
    assert list(tmp_path.iterdir()) == []


class Noted(helpers.Helpers):
    """Helpers that are ready before the first call, and count calls."""

    calls = 0

    def submit(self, function, item):
        wait_for(lambda: self.ready == helpers.COUNT, WAIT_SECONDS)
        answer = super().submit(function, item)
        Noted.calls += answer is not None
        return answer


@pytest.mark.parametrize("refine", [True, False])
def test_helpers_draw_the_same_pictures(refine, astronaut, driver, four_cores, monkeypatch):
    def pictures():
        request = gioconda.Animate(astronaut, driver, crop=True, size=256, refine=refine)
        return [frame.image for frame in gioconda.frames_of(request)]

    monkeypatch.setattr(helpers, "Helpers", Noted)
    monkeypatch.setattr(Noted, "calls", 0)
    before = psutil.Process().children()
    drawn = pictures()
    assert Noted.calls == len(drawn) > 10
    monkeypatch.setattr(helpers, "cores", lambda: 1)
    assert all(np.array_equal(*pair) for pair in zip(drawn, pictures(), strict=True))
    assert Noted.calls == len(drawn)
    assert psutil.Process().children() == before


def test_helpers_come_for_long_films_of_still_portraits_alone(
    astronaut, talking_astronaut, driver, tmp_path, four_cores, monkeypatch
):
    begun = []
    monkeypatch.setattr(loading, "start_helpers", begun.append)
    out, options = tmp_path / "out.mp4", {"crop": True, "size": 64, "refine": False}
    gioconda.animate(astronaut, driver, out, **options)
    assert begun == [("gioconda.engines.warp.engine",)]
    gioconda.animate(talking_astronaut, driver, out, engine="warp", **options)
    gioconda.animate(astronaut, driver, out, photos=[astronaut], **options)
    monkeypatch.setattr(loading, "HELPED_FRAMES", 150)
    gioconda.animate(astronaut, driver, out, **options)
    assert len(begun) == 1


def test_a_process_beside_others_uses_its_share_of_the_cores(monkeypatch):
    monkeypatch.setattr(cores, "_limit", [])
    monkeypatch.setattr(cores, "machine_cores", lambda: 8)
    assert cores.cores() == 8
    cores.use_cores(2)
    assert cores.cores() == 2
    cores.use_cores(16)
    assert cores.cores() == 8
