"""What overlaps while a film is made: the portrait is prepared while the driver is tracked, and threads end."""

import threading
import time

import pytest

import gioconda
from gioconda.engines.warp.engine import WarpEngine
from gioconda.runtime import cores

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


@pytest.mark.parametrize("stage", ["track", "render"])
def test_a_job_that_is_stopped_leaves_no_thread_and_no_file(stage, astronaut, driver, tmp_path, monkeypatch):
    monkeypatch.setattr("gioconda.engines.warp.engine.cores", lambda: 4)

    def progress(now, done, total):
        if now == stage and done == 3:
            raise CancelledError

    with pytest.raises(CancelledError):
        gioconda.animate(astronaut, driver, tmp_path / "out.mp4", crop=True, size=256, progress=progress)
    until = time.monotonic() + WAIT_SECONDS
    while own_threads() and time.monotonic() < until:
        time.sleep(0.01)
    assert own_threads() == []
    assert list(tmp_path.iterdir()) == []


def test_a_process_beside_others_uses_its_share_of_the_cores(monkeypatch):
    monkeypatch.setattr(cores, "_limit", [])
    monkeypatch.setattr(cores, "machine_cores", lambda: 8)
    assert cores.cores() == 8
    cores.use_cores(2)
    assert cores.cores() == 2
    cores.use_cores(16)
    assert cores.cores() == 8
