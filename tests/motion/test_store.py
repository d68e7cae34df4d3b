"""Motion files: exact round trips, and nothing but motion gets in."""

from __future__ import annotations

import contextlib
import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

from gioconda.errors import InputError, LimitError, MissingFileError
from gioconda.limits import Limits
from gioconda.motion import store
from gioconda.motion.expression import load_basis
from gioconda.motion.pose import rotation_from_euler
from gioconda.types import Motion


def motion(frames: int = 5, *, tracked: bool = True) -> Motion:
    rng = np.random.default_rng(frames)
    return Motion(
        times=np.cumsum(rng.random(frames) + 0.01),
        rotation=rotation_from_euler(rng.normal(0, 9, frames), 3, 0),
        translation=rng.random((frames, 2)).astype(np.float32),
        scale=np.ones(frames, np.float32),
        expression=rng.random((frames, 52)).astype(np.float32),
        gaze=rng.uniform(-1, 1, (frames, 2)).astype(np.float32),
        confidence=np.ones(frames, np.float32),
        residual=rng.normal(0, 0.01, (frames, 478, 3)).astype(np.float16) if tracked else None,
        neutral=load_basis().neutral + rng.random((478, 3)).astype(np.float32) / 10 if tracked else None,
        unit=83.25,
        frame_size=(640, 480),
        reference=frames - 1,
    )


def members(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def write(path: Path, content: dict[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in content.items():
            archive.writestr(name, data)


def npy(array: np.ndarray, *, pickled: bool = False) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=pickled)
    return buffer.getvalue()


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "nod.npz"
    store.save(motion(), path)
    return path


@pytest.mark.parametrize("tracked", [True, False])
@pytest.mark.parametrize("frames", [1, 7])
def test_round_trip_is_exact(tmp_path, frames, tracked):
    before = motion(frames, tracked=tracked)
    store.save(before, tmp_path / "any name.tmp")
    after = store.load(tmp_path / "any name.tmp")
    assert [p.name for p in tmp_path.iterdir()] == ["any name.tmp"], "numpy adds no ending"
    assert after.name == "any name"
    for name in (
        "times",
        "rotation",
        "translation",
        "scale",
        "expression",
        "gaze",
        "confidence",
        "residual",
        "neutral",
    ):
        a, b = getattr(before, name), getattr(after, name)
        assert (a is b is None) or (np.array_equal(a, b) and a.dtype == b.dtype), name
    assert (after.unit, after.frame_size, after.reference) == (
        before.unit,
        before.frame_size,
        before.reference,
    )


def test_missing_folder_and_other_files(tmp_path):
    with pytest.raises(MissingFileError, match="does not exist"):
        store.load(tmp_path / "none.npz")
    with pytest.raises(InputError):
        store.load(tmp_path)
    for name, content in {"empty": b"", "text": b"not a zip", "magic": b"PK\x03\x04" + bytes(40)}.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match=name):
            store.load(tmp_path / name)


def test_every_truncation_is_refused(saved, tmp_path):
    whole = saved.read_bytes()
    for size in range(0, len(whole), max(1, len(whole) // 40)):
        (tmp_path / "cut.npz").write_bytes(whole[:size])
        with pytest.raises(InputError):
            store.load(tmp_path / "cut.npz")


def test_damaged_bytes_never_escape_as_other_errors(saved, tmp_path):
    whole = bytearray(saved.read_bytes())
    rng = np.random.default_rng(0)
    for _ in range(60):
        broken = whole.copy()
        for place in rng.integers(0, len(whole), 4):
            broken[place] ^= int(rng.integers(1, 256))
        (tmp_path / "broken.npz").write_bytes(broken)
        with contextlib.suppress(InputError):
            store.load(tmp_path / "broken.npz")


def changed(**arrays: np.ndarray) -> dict[str, bytes]:
    return {f"{name}.npy": npy(value) for name, value in arrays.items()}


@pytest.mark.parametrize(
    "change",
    [
        changed(surprise=np.zeros(3)),
        changed(schema=np.asarray(99, "<i4")),
        changed(times=np.arange(5, dtype="<f4")),
        changed(times=np.zeros(5)),
        changed(times=np.arange(4, dtype="<f8")),
        changed(rotation=np.zeros((5, 3, 3), "<f4")),
        changed(expression=np.full((5, 52), 7, "<f4")),
        changed(expression=np.full((5, 52), np.nan, "<f4")),
        changed(scale=np.zeros(5, "<f4")),
        changed(unit=np.asarray(-1.0)),
        changed(reference=np.asarray(5, "<i4")),
        changed(frame_size=np.array([2**30, 2**30], "<i4")),
        changed(neutral=np.asfortranarray(np.zeros((478, 3), "<f4"))),
        {"times.npy": npy(np.array([{"a": 1}], object), pickled=True)},
        {"times.npy": b"\x93NUMPY\x01\x00\x10\x00__import__('os')"},
        {"../times.npy": npy(np.arange(5, dtype="<f8"))},
    ],
)
def test_what_is_not_motion_is_refused(saved, change):
    write(saved, members(saved) | change)
    with pytest.raises(InputError, match=r"nod\.npz"):
        store.load(saved)


def test_missing_array_is_named(saved):
    content = members(saved)
    del content["gaze.npy"]
    write(saved, content)
    with pytest.raises(InputError, match="gaze"):
        store.load(saved)


def test_a_bomb_is_refused_before_it_unpacks(saved, monkeypatch):
    monkeypatch.setattr(store, "LIMITS", Limits(motion_bytes=10_000))
    with pytest.raises(LimitError, match="limit is 10,000"):
        store.load(saved)
    monkeypatch.setattr(store, "LIMITS", Limits(video_frames=4))
    with pytest.raises(LimitError, match="5 frames"):
        store.load(saved)


def test_a_header_that_claims_more_than_there_is(saved):
    content = members(saved)
    content["scale.npy"] = content["scale.npy"][:-4]
    write(saved, content)
    with pytest.raises(InputError, match="size of its array 'scale'"):
        store.load(saved)
