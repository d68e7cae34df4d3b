"""A little world for the tests of the refiner's training: samples of people made up, and of the astronaut."""

import json
import shutil
from dataclasses import asdict

import cv2
import numpy as np
import pytest

from gioconda.engines import affine
from gioconda.engines.warp import aligned
from gioconda.engines.warp.aligned import HEIGHT, WIDTH
from gioconda.training.refiner.data import Samples
from gioconda.training.refiner.prepare import INDEX, Entry, Plan, prepare
from heads import performed, person
from media_factory import write_clip

SHAPE = (HEIGHT, WIDTH)


LITTLE = Plan(clips=1, sources=1, targets=2)


PEOPLE = {"ann": ("train", 1), "bob": ("train", 12), "cid": ("dev", 3)}  # split, samples


LAST, WINDOW = slice(6, 9), 13


@pytest.fixture(name="torch", scope="session")
def torch_fixture():
    return pytest.importorskip("torch")


@pytest.fixture(name="threads_as_before", autouse=True)
def threads_as_before_fixture():
    before = cv2.getNumThreads()
    yield
    cv2.setNumThreads(before)


def table(folder, *rows, columns=("path", "split", "identity")):
    text = "\n".join("\t".join(row) for row in (columns, *rows)) + "\n"
    (folder / "clips.tsv").write_text(text, encoding="utf-8")
    return folder


def points_of(seed, jaw):
    landmarks = performed(person(seed), 1, jawOpen=jaw)[0].landmarks
    return affine.apply(aligned.alignment(landmarks), landmarks)


def arrays_of(seed, count):
    """Samples of somebody made up: smooth pictures, all of one person near one colour."""
    random = np.random.default_rng(seed)
    colour = random.integers(60, 190, 3)
    small = random.integers(-40, 40, (count, 6, 10, 8, 3)) + colour
    pictures = [[cv2.resize(p.astype(np.uint8), SHAPE[::-1]) for p in six] for six in small]
    maps = random.integers(-60, 60, (count, 2, 2, 1, 1)) * np.ones(SHAPE)
    points = [[points_of(seed, jaw) for jaw in random.uniform(0, 0.8, 2)] for _ in range(count)]
    return {
        "pictures": np.uint8(pictures),
        "maps": np.abs(maps).astype(np.int8),
        "points": np.float32(points),
        "unit": np.float32(100),
    }


def write_samples(folder, people):
    entries = []
    for seed, (name, (split, count)) in enumerate(people.items()):
        (folder / name).mkdir(parents=True)
        for key, array in arrays_of(seed, count).items():
            np.save(folder / name / f"{key}.npy", array)
        entries.append(Entry(name, f"{name}.mp4", name, split, count, 100.0))
    (folder / INDEX).write_text(json.dumps([asdict(e) for e in entries]), encoding="utf-8")
    return folder


@pytest.fixture(name="folder", scope="session")
def folder_fixture(tmp_path_factory):
    """Prepared samples of two people to learn from and one to test with."""
    return write_samples(tmp_path_factory.mktemp("made") / "samples", PEOPLE)


@pytest.fixture(name="prepared", scope="session")
def prepared_fixture(talking_astronaut, tmp_path_factory):
    """The astronaut's video, as of two people, brought to samples: the folder, its entries, what was left out."""
    source, out = tmp_path_factory.mktemp("videos"), tmp_path_factory.mktemp("prepared") / "samples"
    for name in ("one/a.mp4", "two/b.mp4"):
        (source / name).parent.mkdir()
        shutil.copy(talking_astronaut, source / name)
    write_clip(source / "wall.mp4")
    table(source, ("one/a.mp4", "train", "one"), ("two/b.mp4", "dev", "two"), ("wall.mp4", "train", "wall"))
    threads = cv2.getNumThreads()
    entries, failures = prepare(source, out, LITTLE, workers=1)
    cv2.setNumThreads(threads)
    return out, entries, failures


def planes_of(torch, folder, count=2):
    batch = Samples(folder, "dev").fixed(count)
    return torch.from_numpy(batch.inputs[1]), torch.from_numpy(batch.truths[1])


def nudged(torch, network):
    """The network with a head that no longer gives zero."""
    torch.manual_seed(3)
    with torch.no_grad():
        for parameter in network.head.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return network


def refiner(torch, width=8):
    from gioconda.training.refiner.network import Refiner

    torch.manual_seed(0)
    return Refiner(width)


@pytest.fixture(name="squeeze_file", scope="module")
def squeeze_file_fixture(torch, shared_data):
    return shared_data / "metrics" / "squeezenet11.safetensors"
