"""Damaged files of every kind through the real readers: a sample of what `make fuzz` runs."""

import sys
from pathlib import Path

import pytest

import fuzz
from corpus import mutants, seeds

COUNT = 500


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """The whole files."""
    folder = tmp_path_factory.mktemp("seeds")
    seeds.make(folder)
    return folder


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="needs limits of the system")
def test_only_our_own_errors_come_out_of_damaged_files(good):
    cases = mutants.cases(list(seeds.SEEDS), COUNT)
    report = fuzz.fuzz(cases, good)
    assert len(report.outcomes) == COUNT
    assert [f"{one.case} {one.how} {one.detail}" for one in report.bad()] == []
    read = {one.case.seed for one in report.outcomes if one.how == "read"}
    refused = {one.case.seed for one in report.outcomes if one.how == "refused"}
    assert len(read) > 20
    assert len(refused) > 25


@pytest.mark.slow
def test_whole_files_are_read(good):
    cases = [mutants.Case(seed, "whole", 0) for seed in seeds.SEEDS]
    report = fuzz.fuzz(cases, good)
    refused = {one.case.seed: one.detail for one in report.outcomes if one.how != "read"}
    assert set(refused) <= {"network.onnx"}, refused  # sound, and yet no refiner


def test_damage_is_the_same_each_time(tmp_path):
    data = Path(fuzz.__file__).read_bytes()
    for how in ("cut", "flip"):
        cases = [mutants.Case("a.bin", how, i) for i in range(16)]
        made = [mutants.mutant(case, data) for case in cases]
        assert made == [mutants.mutant(case, data) for case in cases]
        assert len(set(made)) == 16
