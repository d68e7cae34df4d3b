"""Meta-learning: it learns, resumes to the same weights, and two processes take the steps of one."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from safetensors import safe_open

from fewshot_world import heads_fixture, tiny, tiny_weights_fixture  # noqa: F401
from gioconda.cli import run
from gioconda.errors import InputError, WeightsError
from gioconda.training.config import pairs
from gioconda.training.device import launched
from gioconda.training.fewshot import task, weights
from gioconda.training.fewshot.data import Heads
from gioconda.training.fewshot.model import Discriminator, Shape, TalkingHead
from gioconda.training.fewshot.prepare import FewshotPlan, prepare
from gioconda.training.fewshot.shards import Shards
from gioconda.training.loop import LAST, read_checkpoint, statistics

pytestmark = pytest.mark.xdist_group("fewshot")


@pytest.fixture(autouse=True)
def threads_as_before():
    import cv2

    before = (torch.get_num_threads(), cv2.getNumThreads())
    yield
    torch.set_num_threads(before[0])
    cv2.setNumThreads(before[1])


def weights_of(folder):
    state = read_checkpoint(folder / LAST)["task"]
    return {f"{part}.{k}": v for part in ("trio", "ema", "critic") for k, v in state[part].items()}


def same(first, second, tolerance):
    assert first.keys() == second.keys()
    return max(float((first[k].double() - second[k].double()).abs().max()) for k in first) <= tolerance


def command(data, out, **changes):
    words = {"precision": "32-true", "accelerator": "cpu", "threads": "1", **changes}
    options = [word for k, v in words.items() for word in (f"--{k.replace('_', '-')}", str(v))]
    return [
        "-m",
        "gioconda",
        "train",
        "fewshot",
        "--preset",
        "tiny",
        "--data",
        str(data),
        "-o",
        str(out),
        *options,
    ]


@pytest.mark.slow
def test_a_head_is_learnt(heads, tmp_path):
    settings = tiny(steps=200, validate_every=100, shots=1)
    task.train(settings, heads, tmp_path / "run")
    lines = [line for line in statistics(tmp_path / "run") if "content" in line]
    assert lines[-1]["content"] < 0.85 * lines[0]["content"]
    assert len(list((tmp_path / "run/samples").glob("*.png"))) == 2
    assert list((tmp_path / "run/tensorboard").iterdir())


@pytest.mark.slow
def test_a_killed_and_resumed_run_has_the_weights_of_an_unbroken_one(heads, tmp_path):
    changes = {"steps": 14, "save_seconds": 0.0, "validate_every": 100}
    broken = tmp_path / "broken"
    process = subprocess.Popen(
        [sys.executable, *command(heads, broken, **changes)], stderr=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + 120
        while not (broken / LAST).is_file():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    finally:
        process.kill()
        process.wait(60)
    done = read_checkpoint(broken / LAST)["done"]
    assert 0 < done < 14
    task.train(tiny(**changes), heads, broken)
    task.train(tiny(**changes), heads, tmp_path / "whole")
    assert same(weights_of(broken), weights_of(tmp_path / "whole"), 0.0)


@pytest.mark.slow
def test_two_processes_take_the_steps_of_one(heads, tmp_path):
    changes = {"steps": 4, "batch": 4, "validate_every": 100}
    torchrun = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--nproc-per-node",
        "2",
        "--master-port",
        "29613",
    ]
    made = subprocess.run(
        [*torchrun, *command(heads, tmp_path / "two", **changes)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert made.returncode == 0, made.stderr[-2000:]
    assert made.stdout.count("4 steps") == 1
    task.train(tiny(**changes), heads, tmp_path / "one")
    assert same(weights_of(tmp_path / "one"), weights_of(tmp_path / "two"), 2e-3)
    assert not same(weights_of(tmp_path / "one"), start_of(heads, changes), 2e-3)


def start_of(folder, changes):
    fresh = task.FewshotTask(tiny(**changes), folder, launched("cpu", "32-true")).state()
    return {f"{part}.{k}": v for part in ("trio", "ema", "critic") for k, v in fresh[part].items()}


def test_a_dry_run_writes_nothing(heads, tmp_path, capsys):
    words = command(heads, tmp_path / "run", steps=5)[2:]
    assert run([*words, "--dry-run"]) == 0
    assert "2 steps tried, nothing written" in capsys.readouterr().out
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--colour", "red"], "unknown key"),
        (["--steps", "many"], "not a value"),
        (["--size", "70"], "size 70"),
    ],
)
def test_settings_that_cannot_be_are_told(heads, tmp_path, capsys, words, told):
    assert run([*command(heads, tmp_path / "run")[2:], *words]) == 2
    assert told in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_one_person_alone_can_be_trained_on(talking_astronaut, tmp_path):
    videos = tmp_path / "videos" / "ann"
    videos.mkdir(parents=True)
    for take in range(2):
        (videos / f"{take}.mp4").write_bytes(talking_astronaut.read_bytes())
    prepare(videos.parent, tmp_path / "heads", FewshotPlan(frames=4, size=96), processes=1)
    assert task.train(tiny(), tmp_path / "heads", tmp_path / "run", dry_run=True) == 2


def test_a_missing_feature_file_is_told(heads, tmp_path, capsys):
    assert run([*command(heads, tmp_path / "run")[2:], "--features", str(tmp_path / "none.safetensors")]) == 2
    assert "none.safetensors" in capsys.readouterr().err


def test_batches_follow_from_the_steps_number(heads):
    one, two = (Heads(Shards(heads, "train"), 64) for _ in range(2))
    two.expect(0, 5, 4, 2)
    first, second = one.batch(0, 5, 4, 2), two.batch(0, 5, 4, 2)
    assert np.array_equal(first.photos, second.photos)
    assert np.array_equal(first.target, second.target)
    parts = [one.batch(0, 5, 4, 2, slice(k, None, 2)) for k in range(2)]
    assert np.array_equal(np.concatenate([p.target for p in parts]), first.target[[0, 2, 1, 3]])
    assert not np.array_equal(one.batch(0, 6, 4, 2).target, first.target)


def test_eyes_and_mouth_are_learnt_with_more_weight_where_it_is_asked(heads, tmp_path):
    """The same step with and without: the energy is one loss more, and details make it and L1 heavier."""
    logged = {}
    for energy, details in ((0.0, 0.0), (10.0, 0.0), (10.0, 5.0)):
        settings = tiny(steps=2, energy=energy, details=details, structure=0.0)
        run = task.FewshotTask(settings, heads, launched("cpu", "32-true"))
        logged[energy, details] = run.step(0, 0.0)
        moved = [
            p.grad.abs().max() > 0 for p in run.talking_head.generator.parameters() if p.grad is not None
        ]
        assert any(moved)
    assert "energy" not in logged[0.0, 0.0]
    assert logged[10.0, 5.0]["energy"] > 1.02 * logged[10.0, 0.0]["energy"] > 0
    assert logged[10.0, 0.0]["content"] == pytest.approx(logged[0.0, 0.0]["content"])
    assert logged[10.0, 5.0]["content"] > 1.02 * logged[10.0, 0.0]["content"]
    shown = Heads(Shards(heads, "train"), 64).batch(0, 0, 4, 1)
    assert shown.details.shape == (4, 1, 64, 64)
    assert 0.005 < shown.details.mean() < 0.2


def test_people_weigh_by_their_frames_and_may_be_fewer(heads):
    assert Heads(Shards(heads, "train"), 64).people == ["ann", "bob"]
    assert len(Heads(Shards(heads, "train"), 64, people=1).people) == 1
    assert len(Heads(Shards(heads, "train"), 64, group="video").people) == 4


@pytest.mark.slow
def test_exported_weights_draw_what_the_run_drew(tiny_weights, heads, tmp_path):
    from gioconda.engines.fewshot.network import Networks

    shape = weights.shape_of(tiny_weights)
    assert shape == Shape(64, 8, 1, 1, 1)
    talking_head, critic = weights.folded(TalkingHead(shape)), Discriminator(shape, 1)
    weights.load_pretrained(tiny_weights, talking_head, critic)
    batch = Heads(Shards(heads, "dev"), 64).fixed(1, 2)
    photos, landmarks = torch.from_numpy(batch.photos), torch.from_numpy(batch.target[:, 1])
    with torch.no_grad():
        expected, _ = talking_head.eval()(photos, landmarks)
    networks = Networks(tiny_weights)
    psi = np.mean([networks.embed(*photo) for photo in batch.photos[0]], 0)
    made = networks.generator(landmarks=batch.target[:, 1], psi=psi)
    np.testing.assert_allclose(made, expected.numpy(), atol=0.02)


def test_folding_leaves_the_network_as_it_was():
    net, photos = Discriminator(Shape(64, 8, 1), 2).eval(), torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        before = net(photos, photos, torch.ones(1, 64))[0]
        plain = weights.folded(net)(photos, photos, torch.ones(1, 64))[0]
        torch.testing.assert_close(plain, before)
        torch.testing.assert_close(net(photos, photos, torch.ones(1, 64))[0], before)
    assert any("parametrizations" in name for name, _ in net.named_parameters())


def test_weights_carry_no_path_of_the_machine_that_trained(tiny_weights):
    with safe_open(tiny_weights, "pt") as file:
        told = file.metadata()
    assert not {"start", "features", "vgg19_file", "vggface_file"} & set(json.loads(told["settings"]))
    assert told["steps"] == "30"


def test_weights_of_another_size_or_kind_are_told(tiny_weights, tmp_path):
    shape = Shape(64, 16, 1, 1, 1)
    with pytest.raises(WeightsError, match="other widths"):
        weights.load_pretrained(tiny_weights, TalkingHead(shape), Discriminator(shape, 1))
    (tmp_path / "cut.safetensors").write_bytes(tiny_weights.read_bytes()[:5000])
    with pytest.raises(WeightsError):
        weights.shape_of(tmp_path / "cut.safetensors")


def test_a_run_may_start_from_exported_weights(tiny_weights, heads, tmp_path):
    settings = tiny(steps=1, start=tiny_weights)
    begun = task.FewshotTask(settings, heads, launched("cpu", "32-true"))
    fresh = task.FewshotTask(tiny(steps=1), heads, launched("cpu", "32-true"))
    assert begun.validate()["content"] < fresh.validate()["content"]


def test_networks_with_skips_go_on_from_a_file_without(heads, tmp_path):
    """At first they draw what those without drew."""
    shape = Shape(64, 8, 1, 1, 0)
    plain, critic = weights.folded(TalkingHead(shape)), weights.folded(Discriminator(shape, 2))
    file = tmp_path / "plain.safetensors"
    file.write_bytes(weights.encode(shape, plain, critic, {}))
    after = weights.folded(TalkingHead(Shape(64, 8, 1, 1, 1)))
    for parameter in after.generator.skip_connections.parameters():
        torch.nn.init.ones_(parameter)
    weights.load_pretrained(file, after, critic)
    photos = torch.from_numpy(Heads(Shards(heads, "dev"), 64).fixed(1, 2).photos)
    with torch.no_grad():
        first, second = (net.eval()(photos, photos[:, 0, 1])[0] for net in (plain, after))
    torch.testing.assert_close(first, second, atol=0.02, rtol=0)
    with pytest.raises(WeightsError, match="other networks"):
        weights.load_pretrained(file, TalkingHead(Shape(64, 8, 2, 1, 1)), critic)


def test_pairs_of_words_are_settings():
    assert pairs(["--steps", "5", "--batch=2"]) == {"steps": "5", "batch": "2"}
    with pytest.raises(InputError):
        pairs(["steps"])
