"""Temporary files of killed jobs are swept; those of living ones, and all that is not ours, are not."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gioconda import media
from gioconda.media import owners

_MAKE = """
import sys, time
from pathlib import Path
from gioconda import media
path = media.temp_beside(Path(sys.argv[1]) / "job.mp4")
path.write_text("half")
print(path.name, flush=True)
time.sleep(float(sys.argv[2]))
"""


def start(folder, seconds=60.0):
    """A process that has made a temporary file in `folder` and goes on, and the file's name."""
    environment = {**os.environ, "PYTHONPATH": str(Path(media.__file__).parents[2])}
    line = [sys.executable, "-c", _MAKE, str(folder), str(seconds)]
    process = subprocess.Popen(line, stdout=subprocess.PIPE, env=environment)
    return process, process.stdout.readline().decode().strip()


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A home for locks, empty but for this process's own lock."""
    monkeypatch.setenv("GIOCONDA_HOME", str(tmp_path / "home"))
    owners._owner.cache_clear()
    yield tmp_path / "home"
    owners._owner.cache_clear()


@pytest.fixture
def folder(tmp_path):
    """An empty folder for outputs."""
    path = tmp_path / "outputs"
    path.mkdir()
    return path


def temporary(folder, owner=None, change=str):
    """A temporary file of this process, or of another owner, its name changed."""
    path = media.temp_beside(folder / "a.mp4")
    name = path.name if owner is None else re.sub(r"\.[0-9a-f]{16}-", f".{owner}-", path.name)
    path = path.with_name(change(name))
    path.write_text("x")
    return path


def dead_owner(home, number=1):
    """An owner whose process was killed: its lock file is there, and nobody holds it."""
    owner = f"{number:016x}"
    media.temp_beside(home / "a.mp4")
    (next(home.glob("locks/*")) / f"{owner}.lock").touch()
    return owner


def test_a_dead_jobs_file_goes_at_the_next_start_and_a_living_jobs_stays(home, folder):
    (living, living_name), (dead, _) = start(folder), start(folder)
    try:
        mine = temporary(folder)
        assert len(list(folder.iterdir())) == 3
        media.check_output(folder / "next.mp4")
        assert len(list(folder.iterdir())) == 3
        dead.kill()
        if hasattr(os, "waitid"):  # killed, and not yet buried
            os.waitid(os.P_PID, dead.pid, os.WEXITED | os.WNOWAIT)
        else:
            dead.wait(20)
        media.check_output(folder / "next.mp4")
        assert {path.name for path in folder.iterdir()} == {mine.name, living_name}
        living.kill()
        living.wait(20)
        assert owners.sweep(folder) == 1
        assert [path.name for path in folder.iterdir()] == [mine.name]
    finally:
        for process in (living, dead):
            process.kill()
            process.wait(20)


def test_who_is_dead(home, folder):
    dead = dead_owner(home)
    stays = [temporary(folder), temporary(folder, "f" * 16), temporary(folder, owners._NOBODY)]
    temporary(folder, dead)
    signing = temporary(folder, dead, lambda name: f".{name.removesuffix('.mp4')}-ab_1cd.c2pa.tmp")
    assert owners.sweep(folder) == 2
    assert sorted(folder.iterdir()) == sorted(stays)
    assert not signing.exists()


def test_other_machines_and_homes_are_not_asked(home, folder, monkeypatch):
    dead = dead_owner(home)
    path = temporary(folder, dead)
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr("platform.node", lambda: "another")
        assert owners.sweep(folder) == 0
    with monkeypatch.context() as elsewhere:
        elsewhere.setenv("GIOCONDA_HOME", str(folder / "none"))
        assert owners.sweep(folder) == 0
    assert owners.sweep(folder) == 1
    assert not path.exists()


def test_what_is_not_ours_is_never_swept(home, folder):
    dead = temporary(folder, dead_owner(home))
    dead.unlink()
    kept = [
        ".a.0123456789ab.part.mp4",
        dead.name[1:],
        f"{dead.name}.bak",
        ".hidden",
        "a.part.mp4",
        ".part.mp4",
    ]
    for name in kept:
        (folder / name).write_text("x")
    (folder / "target").write_text("x")
    (folder / f".link{dead.name}").symlink_to(folder / "target")
    (folder / f".folder{dead.name}").mkdir()
    assert owners.sweep(folder) == 0
    assert len(list(folder.iterdir())) == len(kept) + 3
    assert owners.sweep(folder / "none") == 0


def test_a_process_takes_its_lock_file_with_it(home, folder):
    process, name = start(folder, seconds=0)
    assert process.wait(20) == 0
    assert name
    assert not list(home.rglob("*.lock"))


def test_old_locks_go_when_nobody_holds_them(home, folder):
    dead, fresh = dead_owner(home, 1), dead_owner(home, 2)
    long_ago = time.time() - 31 * 24 * 3600
    for lock in home.rglob("*.lock"):
        if lock.stem != fresh:
            os.utime(lock, (long_ago, long_ago))
    own = owners._owner()
    owners._owner.cache_clear()
    second = owners._owner()
    assert {lock.stem for lock in home.rglob("*.lock")} == {own, second, fresh}
    assert dead not in (own, second)


def test_without_a_place_for_locks_files_are_written_and_stay(folder, home):
    home.write_text("a file where the folder should be")
    path = temporary(folder)
    assert f".{owners._NOBODY}-" in path.name
    assert owners.sweep(folder) == 0
    assert media.write_whole(folder / "a.npz", b"x") is None
    assert (folder / "a.npz").read_bytes() == b"x"


def test_long_names_still_fit(home, folder):
    path = media.temp_beside(folder / f"{'ä' * 120}.mp4")
    path.write_text("x")
    assert media.write_whole(folder / f"{'b' * 240}.npz", b"x") is None
