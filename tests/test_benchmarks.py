"""The measuring side itself: crops, masks, moments, tables and drivers made longer."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import av
import numpy as np
import pytest

from places import ROOT

BENCHMARKS = ROOT / "benchmarks"


@pytest.fixture(scope="module", autouse=True)
def _on_path() -> object:
    sys.path.insert(0, str(BENCHMARKS))
    yield
    sys.path.remove(str(BENCHMARKS))


@pytest.fixture
def common() -> ModuleType:
    import common

    return common


def test_a_crop_stays_square_and_inside_the_picture(common: ModuleType) -> None:
    image = np.zeros((200, 300, 3), np.uint8)
    for centre in ((10, 10), (290, 190), (150, 100), (5, 195)):
        face = np.array(centre) + np.array([[-30, -40], [30, 40]])
        crop = common.crop_around(face, image)
        assert 0 <= crop.left <= 300 - crop.side
        assert 0 <= crop.top <= 200 - crop.side
        assert crop.cut(image).shape == (256, 256, 3)
    assert common.crop_around(face, image).side == 152  # 1.9 times the longer side
    assert common.crop_around(face * 10, image).side == 200


def test_the_inset_is_masked_where_the_crop_shows_it(common: ModuleType) -> None:
    virtual = common.Clip(Path("v"), "talk/virtual_13.mp4", "dev", "v", 25.0, 1.0)
    plain = common.Clip(Path("p"), "driving/d7.mp4", "dev", "p", 25.0, 1.0)
    image = np.full((512, 512, 3), 255, np.uint8)
    image[446:, :130] = 0  # row 446 itself is the first of the inset
    crop = common.Crop(100, 256, 256)
    mask = crop.mask(virtual)
    assert np.array_equal(mask, crop.cut(image)[..., 0] == 255)
    assert crop.mask(plain) is None


def test_a_bar_that_could_not_be_measured_is_not_met(common: ModuleType) -> None:
    assert common.Bar("a", 1.0, 1.0).met
    assert not common.Bar("a", 0.9, 1.0).met
    assert common.Bar("a", 0.9, 1.0, at_most=True).met
    assert not common.Bar("a", float("nan"), 1.0).met
    assert not common.Bar("a", float("nan"), 1.0, at_most=True).met


def test_every_spreads_its_choice_and_repeats_it(common: ModuleType) -> None:
    assert common.every(list(range(70)), 3) == [11, 35, 58]
    assert common.every([1, 2], 3) == [1, 2]


def test_a_missing_folder_is_named(common: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="--data"):
        common.read_clips(tmp_path)


def test_moments_are_apart_and_show_the_peaks() -> None:
    import sheets

    wave = np.zeros(100)
    series = {name: np.roll(wave, 0) for name in ("jawOpen", "blink", "smile", "yaw", "pitch", "gaze")}
    series["jawOpen"] = wave + (np.arange(100) == 40)
    series["yaw"] = np.sin(np.arange(100) / 100 * 2 * np.pi)
    moments = sheets.find_moments(series, 8)
    indices = [index for index, _ in moments]
    assert len(set(indices)) == 8
    assert min(np.diff(indices)) >= 6
    assert {40, 25, 75} <= set(indices)


def test_a_repeated_clip_keeps_its_rate_and_length(common: ModuleType, tmp_path: Path) -> None:
    import speed

    images = (np.full((64, 64, 3), 5 * k, np.uint8) for k in range(25))
    source = common.write_clip(tmp_path / "short.mp4", images, 25.0)
    long = speed.repeat_clip(source, tmp_path / "long.mp4", 4.0)
    with av.open(str(long)) as container:
        times = [float(frame.pts * frame.time_base) for frame in container.decode(video=0)]
    assert 95 <= len(times) <= 101
    assert np.diff(times) == pytest.approx(0.04, abs=0.081)
    assert times[-1] == pytest.approx(4.0, abs=0.15)


def test_peak_memory_counts_what_a_process_took() -> None:
    import speed

    if not Path("/proc/self/status").is_file():
        pytest.skip("peak memory is read from /proc, which this system lacks")
    taking = (
        "import time; kept = bytearray(b'1') * 200_000_000; time.sleep(0.3); print('STAGES {\"frames\": 1}')"
    )
    run = speed.run([sys.executable, "-c", taking])
    assert 180 < run.peak < 300
    assert run.wall > 0.3


def test_trees_to_install_and_what_pip_also_heeds(tmp_path: Path) -> None:
    import install

    (tmp_path / "pyproject.toml").touch()
    trees = install.read_trees([f"old={tmp_path}", f"new={tmp_path}"], ["old=av<19", "old=numpy==1.26.4"])
    assert [(t.name, t.folder, t.pins) for t in trees] == [
        ("old", tmp_path.resolve(), ("av<19", "numpy==1.26.4")),
        ("new", tmp_path.resolve(), ()),
    ]
    for folders, pins in (
        ([str(tmp_path)], []),
        ([f"a={tmp_path / 'no'}"], []),
        ([f"a={tmp_path}"], ["b=av<19"]),
    ):
        with pytest.raises(ValueError, match=r"NAME=VALUE|pyproject|names no tree"):
            install.read_trees(folders, pins)


def test_the_size_of_an_installation_counts_each_file_once(tmp_path: Path) -> None:
    import install

    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "a").write_bytes(bytes(1000))
    (tmp_path / "b").write_bytes(bytes(24))
    (tmp_path / "link").symlink_to(tmp_path / "b")
    assert install.size_of(tmp_path) == 1024


@pytest.mark.skipif(not hasattr(os, "wait4"), reason="needs the system's count of a process")
def test_the_peak_of_a_command_is_its_own() -> None:
    import install

    # in a process of its own, since a child counts what its parent holds while it starts
    measure = "import sys, install; print(install.peak_mb([sys.executable, '-c', sys.argv[1]]))"

    def peak(code: str) -> float:
        folder = Path(install.__file__).parent
        done = subprocess.check_output([sys.executable, "-c", measure, code], cwd=folder, text=True)
        return float(done)

    assert 600 < peak("b'x' * 600_000_000") < 700
    assert peak("pass") < 600
    with pytest.raises(subprocess.CalledProcessError):
        install.peak_mb([sys.executable, "-c", "raise SystemExit(3)"])


def test_the_table_of_installations_has_a_row_for_each() -> None:
    import install

    cost = install.Cost("old", "3.11.7", 54, 1343.2, 131.6, 2.404, None)
    lines = install.table([cost, replace(cost, tree="new", animate_peak_mb=393.4)]).split("\n")
    assert lines[2:] == [
        "| old | 3.11.7 | 54 | 1343 | 132 | 2.40 | - |",
        "| new | 3.11.7 | 54 | 1343 | 132 | 2.40 | 393 |",
    ]


def test_photos_lie_apart_from_targets() -> None:
    pytest.importorskip("torch")
    import photos

    times = np.arange(150) / 25
    mixed, targets = photos.draw(times, "mixed", 10, 10, 0)
    assert len(set(mixed)) == len(set(targets)) == 10
    assert np.abs(times[mixed, None] - times[targets]).min() >= 0.2
    early, late = photos.draw(times, "thirds", 10, 10, 0)
    assert early.max() < 50
    assert late.min() >= 100
    assert len(photos.draw(times[:12], "thirds", 10, 10, 0)[0]) == 4


def test_the_weights_of_a_choice_are_read_back_and_its_photo_is_the_cheapest() -> None:
    pytest.importorskip("torch")
    import photos

    rng = np.random.default_rng(0)
    terms, turns = rng.uniform(0, 0.05, (8, 10, 3)), rng.uniform(0, 20, (8, 10))
    costs = 1 + terms @ photos.WEIGHTS
    scales = rng.uniform(0.5, 2, (8, 1, 1))  # targets differ by what any photo costs
    pairs = photos.Pairs("c", "dev", "mixed", costs[..., None] * scales * [1, 2], terms, turns)
    weights, explained = photos.fit([pairs])
    assert weights / weights[0] == pytest.approx(np.array(photos.WEIGHTS) / photos.WEIGHTS[0], rel=0.1)
    assert explained > 0.95
    cost = dict(zip(photos.RULES, photos.taken(pairs), strict=True))
    assert cost["the engine's choice"] == pytest.approx(cost["the best photo (oracle)"])
    assert cost["the best photo (oracle)"][0] < cost["nearest head pose"][0]
    assert cost["a photo by chance"] == pytest.approx(1)
