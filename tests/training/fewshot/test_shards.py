"""Shards of the few-shot engine: what is written, read back, and refused where it is damaged."""

import json
import tarfile

import cv2
import numpy as np
import pytest

from fewshot_footage import SIDE, folder_fixture, made_up, threads_as_before_fixture  # noqa: F401
from gioconda.errors import InputError, MissingFileError
from gioconda.training.fewshot.shards import MANIFEST, ShardClip, Shards, ShardWriter


def test_what_was_written_is_read_back(folder):
    shards = Shards(folder)
    assert [(c.clip, c.split, c.count) for c in shards.clips] == [
        ("ä 0.mp4", "train", 4),
        ("ä 1.mp4", "train", 7),
        ("ä 2.mp4", "train", 5),
        ("ä 0.mp4", "dev", 6),
    ]
    for index in (3, 1, 0, 2):
        clip = shards.clips[index]
        pictures, landmarks = made_up(clip.count, clip.count)
        read = shards.landmarks(index)
        assert read.dtype == np.float32
        assert np.array_equal(read, landmarks)
        for frame in (clip.count - 1, 0):
            picture = shards.picture(index, frame)
            assert (picture.shape, picture.dtype) == ((SIDE, SIDE, 3), np.uint8)
            assert np.abs(picture.astype(int) - pictures[frame]).mean() < 4
    assert [c.split for c in Shards(folder, "dev").clips] == ["dev"]


def test_many_threads_may_read_at_once(folder):
    from concurrent.futures import ThreadPoolExecutor

    shards = Shards(folder)
    order = [(index, frame) for index, clip in enumerate(shards.clips) for frame in range(clip.count)] * 8
    with ThreadPoolExecutor(8) as pool:
        read = list(pool.map(lambda at: shards.picture(*at).tobytes(), order))
    assert read == [shards.picture(*at).tobytes() for at in order]


def test_pictures_that_are_not_there_are_refused(folder):
    shards = Shards(folder)
    for frame in (-1, 4):
        with pytest.raises(IndexError):
            shards.picture(0, frame)


def test_folders_that_were_not_prepared_are_told(folder, tmp_path):
    with pytest.raises(MissingFileError, match=r"gioconda prepare VIDEOS -o .*absent"):
        Shards(tmp_path / "absent")
    with pytest.raises(InputError, match="'test'"):
        Shards(folder, "test")


def changed(folder, change):
    manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    change(manifest)
    (folder / MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")


@pytest.mark.parametrize(
    "change",
    [
        lambda m: m.update(version=2),
        lambda m: m.pop("size"),
        lambda m: m.update(shards=3),
        lambda m: m["shards"][0].update(file="../train-00000.tar"),
        lambda m: m["shards"][0].update(file="/etc/passwd"),
        lambda m: m["shards"][0].update(bytes=5),
        lambda m: m["shards"][0]["clips"][1].update(at=-512),
        lambda m: m["shards"][0]["clips"][1].update(at=10**9),
        lambda m: m["shards"][0]["clips"][1].update(sizes=[10**12] * 8),
        lambda m: m["shards"][0]["clips"][1].update(sizes=[]),
        lambda m: m["shards"][0]["clips"][1].update(count=-1),
        lambda m: m["shards"][0]["clips"][1].update(count=60),
        lambda m: m["shards"][0]["clips"][1].update(key="../../x"),
    ],
)
def test_manifests_that_lie_are_refused(folder, change):
    changed(folder, change)
    with pytest.raises(InputError, match="prepare"):
        Shards(folder)


@pytest.mark.parametrize("text", ["", "{", "[]", "[" * 100_000, "\x00"])
def test_damaged_manifests_are_refused(folder, text):
    (folder / MANIFEST).write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=r"manifest\.json is damaged"):
        Shards(folder)


def test_a_shard_that_is_absent_or_cut_short_is_told(folder):
    tar = folder / "train-00000.tar"
    tar.write_bytes(tar.read_bytes()[:-1])
    with pytest.raises(InputError, match=r"train-00000\.tar is absent or cut short"):
        Shards(folder)
    tar.unlink()
    with pytest.raises(InputError, match=r"train-00000\.tar is absent or cut short"):
        Shards(folder)
    assert len(Shards(folder, "dev")) == 1


def overwritten(folder, name, at, what):
    """Bytes of a member of the first shard, changed from its content's byte `at` on."""
    tar = folder / "train-00000.tar"
    with tarfile.open(tar) as file:
        offset = file.getmember(name).offset_data + at
    data = bytearray(tar.read_bytes())
    data[offset : offset + len(what)] = what
    tar.write_bytes(data)
    return Shards(folder)


@pytest.mark.parametrize(
    ("name", "at", "what"),
    [
        ("train-00000-001.landmarks.npy", 0, b"xxxxxx"),
        ("train-00000-001.landmarks.npy", 10, b"{'descr': '|O'"),
        ("train-00000-001.landmarks.npy", 400, np.float32("nan").tobytes()),
        ("train-00000-001.landmarks.npy", -512, b"other"),
    ],
)
def test_damaged_landmarks_are_told(folder, name, at, what):
    shards = overwritten(folder, name, at, what)
    with pytest.raises(InputError, match=r"train-00000\.tar is damaged"):
        shards.landmarks(1)
    assert len(shards.landmarks(2)) == 5, "others remain"


@pytest.mark.parametrize(
    ("at", "what"),
    [(0, b"GIF89a"), (-512, b"\x00" * 512), (-400, b"9"), (163, b"\xff" * 4), (2, b"\xff\xd9")],
)
def test_damaged_pictures_are_told(folder, at, what):
    shards = overwritten(folder, "train-00000-001.0002.jpg", at, what)
    with pytest.raises(InputError, match=r"train-00000\.tar is damaged"):
        shards.picture(1, 2)


def test_a_picture_of_another_size_is_not_decoded(folder, monkeypatch):
    content_ = (folder / "train-00000.tar").read_bytes()
    start = content_.index(b"\xff\xc0", content_.index(b"train-00000-001.0002.jpg"))
    with tarfile.open(folder / "train-00000.tar") as file:
        at = start - file.getmember("train-00000-001.0002.jpg").offset_data
    shards = overwritten(folder, "train-00000-001.0002.jpg", at + 5, b"\xff\xff\xff\xff")
    monkeypatch.setattr(cv2, "imdecode", None)
    with pytest.raises(InputError, match="damaged"):
        shards.picture(1, 2)


def test_a_shard_takes_no_more_than_it_may(tmp_path, monkeypatch):
    monkeypatch.setattr("gioconda.training.fewshot.shards.LARGEST", 100_000)
    writer = ShardWriter(tmp_path / "train-00000.tar")
    clips = [ShardClip(f"train-00000-{k:03}", "c", "i", "v", "train", 4) for k in range(4)]
    assert [writer.add(clip, *made_up(1, 4), {}) for clip in clips] == [True, True, False, False]
    assert writer.publish() <= 100_000
    assert len(writer.rows) == 2
    writer.discard()
    assert [p.name for p in tmp_path.iterdir()] == ["train-00000.tar"]


def test_a_shard_that_is_given_up_leaves_nothing(tmp_path):
    ShardWriter(tmp_path / "train-00000.tar").discard()
    assert not list(tmp_path.iterdir())
