"""The program killed, on a full disk, without a reader, many times at once: a sample of what `faults.py` runs."""

import os

import pytest

import faults

pytestmark = [pytest.mark.slow, pytest.mark.skipif(os.name != "posix", reason="needs signals of the system")]


@pytest.mark.parametrize(("suffix", "wait", "old"), [(".mp4", 0.0, True), (".mp4", 0.3, False)])
def test_killed_midway_a_job_leaves_the_old_or_nothing_or_all(tmp_path, suffix, wait, old):
    assert "LOST" not in faults.killed(tmp_path, suffix, wait, old=old)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root may mount")
def test_a_full_disk_and_one_that_may_only_be_read(tmp_path):
    for how in (faults.full_disk(tmp_path, ".mp4", 8), faults.read_only(tmp_path)):
        if how.startswith("skipped"):
            pytest.skip(how)
        assert how == ""


def test_a_job_whose_reader_has_gone_says_nothing(tmp_path):
    assert faults.closed_pipe(tmp_path) == ""


def test_eight_jobs_at_once_make_the_same_pixels_as_one_after_another():
    assert faults.together(8, processes=False) == {"threads": []}
