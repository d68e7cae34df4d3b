"""Training of the refiner, and the way from a run to the file in use."""

import json
from dataclasses import replace

import numpy as np
import pytest

from gioconda.engines.warp.aligned import CHANNELS
from gioconda.errors import InputError, WeightsError
from refiner_world import (  # noqa: F401
    LAST,
    LITTLE,
    PEOPLE,
    SHAPE,
    WINDOW,
    arrays_of,
    folder_fixture,
    nudged,
    planes_of,
    points_of,
    prepared_fixture,
    refiner,
    squeeze_file_fixture,
    table,
    threads_as_before_fixture,
    torch_fixture,
    write_samples,
)


@pytest.fixture
def little(torch, monkeypatch):
    """Settings of a run that takes a second."""
    from gioconda.training.refiner import task

    monkeypatch.setattr(task, "DEV_SAMPLES", 4)
    monkeypatch.setattr("gioconda.training.device.MOST_THREADS", 1)
    torch.set_num_threads(1)
    return task.Settings(
        steps=4,
        batch=2,
        width=8,
        precision="32-true",
        accelerator="cpu",
        critic_from=0.5,
        validate_every=2,
        save_seconds=0.0,
    )


def task_of(settings, folder):
    from gioconda.training.refiner.task import RefinerTask

    return RefinerTask(settings, folder)


def flat(torch, state):
    """The tensors in a nested state."""
    if isinstance(state, dict):
        return [t for key in state for t in flat(torch, state[key])]
    if isinstance(state, list | tuple):
        return [t for one in state for t in flat(torch, one)]
    return [state.detach().clone()] if isinstance(state, torch.Tensor) else []


def stopped_at(index, task):
    own = task.step

    def step(k, progress):
        if k == index:
            raise KeyboardInterrupt
        return own(k, progress)

    task.step = step
    return task


@pytest.mark.slow
def test_a_stopped_and_resumed_run_is_an_unbroken_one(torch, little, folder, tmp_path):
    from gioconda.training.loop import fit, statistics

    whole, part, rest = (task_of(little, folder) for _ in range(3))
    start = flat(torch, whole.state()["net"])
    assert fit(whole, tmp_path / "whole", little.schedule()) == 4
    with pytest.raises(KeyboardInterrupt):
        fit(stopped_at(3, part), tmp_path / "parts", little.schedule())
    assert fit(rest, tmp_path / "parts", little.schedule()) == 4
    one, other = (flat(torch, task.state()) for task in (whole, rest))
    assert len(one) == len(other) > 50
    assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(start, flat(torch, whole.state()["net"]), strict=True))
    figures = {key for line in statistics(tmp_path / "whole") for key in line}
    assert {"l1", "temporal", "adversarial", "matching", "critic", "dev_score", "dev_l1_warp"} <= figures


@pytest.mark.slow
def test_an_untrained_network_scores_as_the_warp(torch, little, folder):
    task = task_of(little, folder)
    figures = task.validate()
    assert figures["score"] == pytest.approx(1.0)
    assert figures["l1"] == pytest.approx(figures["l1_warp"]) != 0
    grid = task.grid()
    assert grid.dtype == np.uint8
    assert grid.ndim == 3


def learnt(folder, settings, steps):
    task = task_of(settings, folder)
    losses = [task.step(index, 0.0)["l1"] for index in range(steps)]
    return losses, task


@pytest.mark.slow
def test_a_network_learns_what_it_is_shown_again(torch, little, tmp_path):
    one = write_samples(tmp_path / "s", {"ann": ("train", 1), "bob": ("dev", 1)})
    settings = replace(little, style=False, critic_from=1.0, learning_rate=0.006, temporal=0.0)
    losses, _ = learnt(one, settings, 30)
    assert np.mean(losses[-3:]) < 0.97 * np.mean(losses[:3])


@pytest.mark.slow
def test_features_are_part_of_loss_and_score_where_their_file_is(torch, little, folder, squeeze_file):
    task = task_of(replace(little, features=str(squeeze_file)), folder)
    assert task.step(0, 0.0)["perceptual"] > 0
    figures = task.validate()
    assert figures["features"] > 0
    assert figures["score"] < 1.1


def test_two_runs_of_one_seed_take_the_same_steps(torch, little, folder):
    first, second = (task_of(little, folder) for _ in range(2))
    assert first.step(0, 0.9) == second.step(0, 0.9)
    other = task_of(replace(little, seed=1), folder)
    assert other.step(0, 0.9) != pytest.approx(first.step(0, 0.9))


@pytest.mark.parametrize("part", ["reference", "last", "geometry"])
def test_what_an_ablation_leaves_out_does_not_reach_the_network(torch, little, folder, part):
    task = task_of(replace(little, **{part: False}), folder)
    seen = []
    task._net.module.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    task.step(0, 0.0)
    away = {"reference": [3, 4, 5], "last": [6, 7, 8], "geometry": [9, 10, 11]}[part]
    kept = [k for k in range(CHANNELS) if k not in (*away, *range(6, 9))]
    assert len(seen) == 2
    for planes in seen:
        assert planes[:, away].abs().max() == 0
        assert all(planes[:, k].abs().max() > 0 for k in kept)


@pytest.mark.parametrize("dropped", [0.0, 1.0])
def test_all_samples_or_none_may_do_without_a_last_output(torch, little, folder, dropped):
    task = task_of(replace(little, last_dropped=dropped), folder)
    seen = []
    task._net.module.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    assert np.isfinite(list(task.step(0, 0.0).values())).all()
    lasts = seen[-1][:, LAST].abs().amax((1, 2, 3))
    assert (lasts > 0).tolist() == [not dropped] * 2


@pytest.mark.slow
def test_a_dry_run_leaves_nothing(torch, little, folder, tmp_path):
    from gioconda.training.refiner.task import train

    told = []
    done = train(little, folder, tmp_path / "run", dry_run=True, progress=lambda *line: told.append(line))
    assert done == 2
    assert told == [("train", 1, 2), ("train", 2, 2)]
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("wrong", [{"steps": 0}, {"batch": 0}])
def test_runs_of_nothing_are_refused(torch, little, folder, tmp_path, wrong):
    from gioconda.training.refiner.task import train

    with pytest.raises(InputError, match="at least 1"):
        train(replace(little, **wrong), folder, tmp_path / "run")


@pytest.mark.slow
def test_videos_are_learnt_from(torch, little, prepared, tmp_path):
    from gioconda.training.loop import BEST, read_checkpoint
    from gioconda.training.refiner.task import train

    assert train(replace(little, steps=2), prepared[0], tmp_path / "run") == 2
    assert read_checkpoint(tmp_path / "run" / BEST)["done"] == 2


@pytest.fixture
def run_folder(torch, little, tmp_path):
    """Makes a run whose checkpoint holds weights of any kind, and gives its folder."""
    from gioconda.training import loop
    from gioconda.training.config import as_dict

    def write(**changes):
        settings = as_dict(replace(little, **changes))
        state = nudged(torch, refiner(torch)).state_dict()
        whole = {"settings": settings, "done": 4, "best": 0.5, "spent": 1.0, "task": {"ema": state}}
        loop.save_checkpoint(tmp_path / loop.BEST, whole)
        return tmp_path

    return write


def exported(run):
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    from gioconda.training.refiner.export import export

    return export(run, run / "out")


@pytest.mark.slow
def test_an_exported_network_says_in_use_what_it_says_in_training(torch, run_folder, folder):
    from safetensors import safe_open
    from safetensors.torch import load_file

    from gioconda.engines.warp.refiner import Network

    onnx_file, tensors = exported(run_folder())
    assert [file.name for file in (onnx_file, tensors)] == ["refiner.onnx", "refiner.safetensors"]
    network = refiner(torch).eval()
    network.load_state_dict(load_file(tensors))
    inputs, _ = planes_of(torch, folder)
    use = Network(onnx_file, 1)
    with torch.no_grad():
        wanted = network(inputs).numpy()
    for k in range(2):
        assert np.abs(use(inputs[k : k + 1].numpy()) - wanted[k]).max() < 1e-4
    assert np.abs(wanted - inputs[:, :3].numpy()).max() > 0.01
    with safe_open(tensors, "pt") as file:
        assert file.metadata()["steps"] == "4"
        assert json.loads(file.metadata()["settings"])["width"] == 8


@pytest.mark.slow
def test_an_exported_network_ignores_what_it_never_saw(torch, run_folder, folder):
    from gioconda.engines.warp.refiner import Network

    use = Network(exported(run_folder(reference=False))[0], 1)
    inputs = planes_of(torch, folder, 1)[0].numpy()
    other, without = inputs.copy(), inputs.copy()
    other[:, 3:6] = 0.5
    without[:, 0:3] += 0.1
    assert np.abs(use(other) - use(inputs)).max() < 1e-6
    assert np.abs(use(without) - use(inputs)).max() > 0.01


def test_a_run_without_a_checkpoint_cannot_be_exported(torch, tmp_path):
    with pytest.raises(WeightsError, match=r"best\.pt"):
        exported(tmp_path)
