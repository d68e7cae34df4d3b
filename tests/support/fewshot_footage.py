"""Footage for the tests of the few-shot engine's data: an imitation of VoxCeleb, and what is prepared of it."""

import csv
from pathlib import Path

import cv2
import numpy as np
import pytest

from gioconda import media
from gioconda.training.fewshot.prepare import FewshotPlan, prepare
from gioconda.training.fewshot.shards import MANIFEST, ShardClip, ShardWriter, write_json
from gioconda.training.sources import Clip
from gioconda.training.voxceleb import Take
from media_factory import write_clip
from places import SHARED
from voxceleb_world import box_file

LITTLE = FewshotPlan(clips=6, frames=5, size=128)


SIDE = 64  # of made-up pictures


@pytest.fixture(name="threads_as_before", autouse=True)
def threads_as_before_fixture():
    before = cv2.getNumThreads()
    yield
    cv2.setNumThreads(before)


def frames_of(path, most=40):
    frames = []
    with media.read_frames(path) as reader:
        for frame in reader:
            frames.append(frame.image)
            if len(frames) == most:
                break
    return frames


@pytest.fixture(name="actors", scope="session")
def actors_fixture(request):
    """Videos of two or three people: real ones where they are here, else the astronaut's, twice."""
    if not (SHARED / "clips.tsv").is_file():
        return [request.getfixturevalue("talking_astronaut")] * 2
    with (SHARED / "clips.tsv").open(encoding="utf-8", newline="") as file:
        rows = [r for r in csv.DictReader(file, delimiter="\t") if (SHARED / r["path"]).is_file()]
    first = {row["identity"]: SHARED / row["path"] for row in reversed(rows) if "lrw" in row["path"]}
    return list(first.values())[:3]


def as_track(source, path, most=20):
    """A clip as VoxCeleb2 hands it out: the face in a square of 224 px."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return write_clip(path, [cv2.resize(image, (224, 224)) for image in frames_of(source, most)])


@pytest.fixture(name="imitation", scope="session")
def imitation_fixture(actors, tmp_path_factory):
    """VoxCeleb2's folders made of our own clips: six utterances with a face, one damaged, one of a wall."""
    root = tmp_path_factory.mktemp("vox") / "vox2"
    for k in range(5):
        as_track(actors[k % 2], root / f"dev/mp4/id0001{k % 2}/VIDEO{k}/00001.mp4")
        box_file(root / f"dev/txt/id0001{k % 2}/VIDEO{k}/00001.txt", (f"{100 * k:06}", 0.3, 0.1, 0.4, 0.7))
    as_track(actors[-1], root / "test/mp4/id00020/OTHER/00001.mp4")
    write_clip(root / "dev/mp4/id00010/VIDEO0/00002.mp4")
    whole = (root / "dev/mp4/id00010/VIDEO0/00001.mp4").read_bytes()
    (root / "dev/mp4/id00011/VIDEO1/00002.mp4").write_bytes(whole[: len(whole) // 8])
    return root


@pytest.fixture(name="prepared", scope="session")
def prepared_fixture(imitation, tmp_path_factory):
    """The imitation, brought to shards by one process: the folder and what was told of it."""
    out = tmp_path_factory.mktemp("shards") / "one"
    told = []
    done = prepare(imitation, out, LITTLE, processes=1, progress=lambda *line: told.append(line))
    return out, done, told


def content(folder):
    return {p.name: p.read_bytes() for p in sorted(folder.iterdir())}


def takes_of(count, split="train", person="ann"):
    clips = [Clip(Path(f"{person}{k}.mp4"), f"{person}{k}.mp4", person, split) for k in range(count)]
    return [Take(clip, clip.name) for clip in clips]


def made_up(seed, count, size=SIDE):
    random = np.random.default_rng(seed)
    small = random.integers(0, 255, (count, 6, 6, 3)).astype(np.uint8)
    pictures = [cv2.resize(image, (size, size), interpolation=cv2.INTER_CUBIC) for image in small]
    return pictures, random.uniform(0, size, (count, 478, 3)).astype(np.float32)


@pytest.fixture(name="folder")
def folder_fixture(tmp_path):
    """Two shards of made-up clips: three to learn from, one to test with."""
    shards = []
    for split, counts in (("train", (4, 7, 5)), ("dev", (6,))):
        writer = ShardWriter(tmp_path / f"{split}-00000.tar")
        for k, count in enumerate(counts):
            clip = ShardClip(f"{split}-00000-{k:03}", f"ä {k}.mp4", f"{split} person", "v/1", split, count)
            assert writer.add(clip, *made_up(count, count), {"size": SIDE})
        size = writer.publish()
        shards.append({"file": f"{split}-00000.tar", "split": split, "bytes": size, "clips": writer.rows})
    head = {"version": 1, "size": SIDE, "margin": 1.15, "crop": "head"}
    write_json(tmp_path / MANIFEST, {**head, "shards": shards, "failures": []})
    return tmp_path
