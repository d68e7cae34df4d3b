"""A little world for the few-shot engine's tests: two people's heads as shards, and tiny networks exported."""

import cv2
import pytest

from gioconda import media
from gioconda.training.config import load
from gioconda.training.fewshot import task
from gioconda.training.fewshot.export import export
from gioconda.training.fewshot.prepare import FewshotPlan, prepare
from media_factory import write_clip


def mirrored(source, path):
    """The same performance by the mirror image: to a network another person."""
    with media.read_frames(source) as frames:
        return write_clip(path, [cv2.flip(frame.image, 1)[:, :, [2, 1, 0]] for frame in frames])


@pytest.fixture(name="heads", scope="session")
def heads_fixture(talking_astronaut, tmp_path_factory):
    """A folder that `gioconda prepare` made of two people, two clips each, and a third for dev."""
    root = tmp_path_factory.mktemp("world")
    videos = root / "videos"
    rows = ["path\tsplit\tidentity"]
    for person, split in (("ann", "train"), ("bob", "train"), ("cleo", "dev")):
        for take in range(2):
            path = videos / person / f"{take}.mp4"
            path.parent.mkdir(parents=True, exist_ok=True)
            if person == "bob":
                mirrored(talking_astronaut, path)
            else:
                path.write_bytes(talking_astronaut.read_bytes())
            rows.append(f"{path.relative_to(videos)}\t{split}\t{person}")
    (videos / "clips.tsv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    prepare(videos, root / "heads", FewshotPlan(frames=6, size=96), processes=1)
    return root / "heads"


def tiny(**changes):
    """Settings of the preset `tiny`, exact and on the processor."""
    words = {
        "precision": "32-true",
        "accelerator": "cpu",
        "threads": "1",
        **{k: str(v) for k, v in changes.items()},
    }
    return load(task.FewshotSettings, "tiny", words)


@pytest.fixture(name="tiny_weights", scope="session")
def tiny_weights_fixture(heads, tmp_path_factory):
    """fewshot.safetensors of a tiny network that has hardly learnt anything, and its graphs beside it."""
    root = tmp_path_factory.mktemp("tiny")
    task.train(tiny(steps=30, validate_every=30), heads, root / "run")
    return export(root / "run", root / "out")[0]
