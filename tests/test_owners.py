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

pytestmark = pytest.mark.skipif(os.name != "posix", reason="nothing is swept there")
_MAKE = """
import sys, time
from pathlib import Path
from gioconda import media
media.temp_beside(Path(sys.argv[1]) / "job.mp4").write_text("half")
print("made", flush=True)
time.sleep(60)
"""


def start(folder):
    """A process that has made a temporary file in `folder` and goes on."""
    environment = {**os.environ, "PYTHONPATH": str(Path(media.__file__).parents[2])}
    line = [sys.executable, "-c", _MAKE, str(folder)]
    process = subprocess.Popen(line, stdout=subprocess.PIPE, env=environment)
    assert process.stdout.readline() == b"made\n"
    return process


def named(folder, change):
    """A temporary file of this process, its name changed."""
    path = media.temp_beside(folder / "a.mp4")
    path = path.with_name(change(path.name))
    path.write_text("x")
    return path


def test_a_dead_jobs_file_goes_at_the_next_start_and_a_living_jobs_stays(tmp_path):
    living, dead = start(tmp_path), start(tmp_path)
    try:
        mine = named(tmp_path, str)
        assert len(list(tmp_path.iterdir())) == 3
        media.check_output(tmp_path / "next.mp4")
        assert len(list(tmp_path.iterdir())) == 3
        dead.kill()
        if hasattr(os, "waitid"):  # killed, and not yet buried
            os.waitid(os.P_PID, dead.pid, os.WEXITED | os.WNOWAIT)
        else:
            dead.wait()
        media.check_output(tmp_path / "next.mp4")
        left = {path.name for path in tmp_path.iterdir()}
        assert len(left) == 2
        assert mine.name in left
        assert any(f"-{living.pid:x}-" in name for name in left)
        living.kill()
        living.wait()
        assert owners.sweep(tmp_path) == 1
        assert [path.name for path in tmp_path.iterdir()] == [mine.name]
    finally:
        for process in (living, dead):
            process.kill()
            process.wait()


def other(part):
    """A change of a name's part to another value of the same form."""
    places = {"machine": (1, 8), "boot": (9, 16)}

    def change(name):
        at = name.index(".", 1)
        first, last = places[part]
        return name[: at + first] + "0" * (last - first + 1) + name[at + last + 1 :]

    return change


def after_number_reuse(name):
    return re.sub(r"-([0-9a-f]+)-([0-9a-f]+)-", r"-\1-1-", name)


def of_nobody(name):
    return re.sub(r"-[0-9a-f]+-([0-9a-f]+)-", r"-3fffffff-\1-", name)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
def test_who_is_dead(tmp_path):
    stays = [named(tmp_path, change) for change in (str, other("machine"), other("boot"))]
    goes = [named(tmp_path, change) for change in (after_number_reuse, of_nobody)]
    signing = named(tmp_path, lambda name: f".{of_nobody(name).removesuffix('.mp4')}-ab_1cd.c2pa.tmp")
    assert owners.sweep(tmp_path) == len(goes) + 1
    assert sorted(tmp_path.iterdir()) == sorted(stays)
    assert not signing.exists()
    two_days = time.time() - 2 * 24 * 3600
    for path in stays:
        os.utime(path, (two_days, two_days))
    assert owners.sweep(tmp_path) == 1, "only what an earlier start of this machine left"
    assert not stays[2].exists()


def test_what_is_not_ours_is_never_swept(tmp_path):
    dead = of_nobody(media.temp_beside(tmp_path / "a.mp4").name)
    kept = [".a.0123456789ab.part.mp4", dead[1:], f"{dead}.bak", ".hidden", "a.part.mp4", ".part.mp4"]
    for name in kept:
        (tmp_path / name).write_text("x")
    (tmp_path / "target").write_text("x")
    (tmp_path / f".link{dead}").symlink_to(tmp_path / "target")
    (tmp_path / f".folder{dead}").mkdir()
    assert owners.sweep(tmp_path) == 0
    assert len(list(tmp_path.iterdir())) == len(kept) + 3
    assert owners.sweep(tmp_path / "none") == 0


def test_long_names_still_fit(tmp_path):
    path = media.temp_beside(tmp_path / f"{'ä' * 120}.mp4")
    path.write_text("x")
    assert media.write_whole(tmp_path / f"{'b' * 240}.npz", b"x") is None
