"""The loop that trainings share: a run that was stopped ends as one that was not, and nothing in it is executed."""

import json
import pickle

import cv2
import numpy as np
import pytest

from gioconda.errors import InputError, WeightsError

torch = pytest.importorskip("torch")

from gioconda.training import loop  # noqa: E402
from gioconda.training.device import fastest_precision  # noqa: E402
from gioconda.training.loop import BEST, LAST, SAMPLES, STATISTICS, Schedule, fit, read_checkpoint, statistics  # noqa: E402

STEPS = 12
EACH = Schedule(STEPS, tick=4, validate_every=6, save_seconds=0)  # a checkpoint after each step


class Line:
    """A straight line through noisy points; may be stopped, or made to fail, at a step."""

    def __init__(self, *, stop_at=None, nan_at=None, scores=None, rate=0.05):
        self.settings = {"rate": rate, "steps": STEPS, "minutes": 0.0}
        torch.manual_seed(0)
        self.net = torch.nn.Linear(3, 1)
        self.optimizer = torch.optim.AdamW(self.net.parameters(), rate)
        self.stop_at, self.nan_at = stop_at, nan_at
        self.scores = None if scores is None else iter(scores)
        self.steps = []

    def step(self, index, fraction):
        if index == self.stop_at:
            raise KeyboardInterrupt
        self.steps.append((index, fraction))
        x = torch.from_numpy(np.random.default_rng((1, index)).normal(size=(8, 3)).astype(np.float32))
        loss = (self.net(x) - x.sum(1, keepdim=True)).square().mean()
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return {"loss": float("nan") if index == self.nan_at else float(loss.detach())}

    def validate(self):
        weights = self.net.weight.detach()
        return {"score": next(self.scores) if self.scores else float((weights - 1).abs().mean())}

    def grid(self):
        return np.full((20, 30, 3), (250, 120, 10), np.uint8)

    def state(self):
        return {"net": self.net.state_dict(), "optimizer": self.optimizer.state_dict()}

    def load(self, state):
        self.net.load_state_dict(state["net"])
        self.optimizer.load_state_dict(state["optimizer"])


class Bomb:
    """Makes a file when a pickle that holds it is executed."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def weights(task):
    return torch.cat([p.detach().flatten() for p in task.net.parameters()])


def equal(first, second):
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(equal(first[k], second[k]) for k in first)
    if isinstance(first, list):
        return len(first) == len(second) and all(map(equal, first, second))
    return torch.equal(first, second) if isinstance(first, torch.Tensor) else first == second


def interrupted(run, stop_at, schedule=EACH):
    with pytest.raises(KeyboardInterrupt):
        fit(Line(stop_at=stop_at), run, schedule)


def test_a_run_trains_and_says_how_far_it_came(tmp_path):
    task, told = Line(), []
    assert fit(task, tmp_path / "a" / "run", EACH, progress=lambda *line: told.append(line)) == STEPS
    assert task.steps == [(k, k / STEPS) for k in range(STEPS)]
    assert told == [("train", k + 1, STEPS) for k in range(STEPS)]
    whole = read_checkpoint(tmp_path / "a" / "run" / LAST)
    assert whole["done"] == STEPS
    assert whole["settings"] == task.settings
    assert equal(whole["task"], task.state())


@pytest.mark.parametrize("stops", [[5], [1, 6, 11]])
def test_a_stopped_and_resumed_run_has_the_weights_of_an_unbroken_one(tmp_path, stops):
    whole, parts = Line(), Line()
    fit(whole, tmp_path / "whole", EACH)
    for stop in stops:
        interrupted(tmp_path / "parts", stop)
    assert fit(parts, tmp_path / "parts", EACH) == STEPS
    assert [index for index, _ in parts.steps] == list(range(stops[-1], STEPS))
    assert torch.equal(weights(whole), weights(parts))
    for name in (LAST, BEST):
        one, other = (read_checkpoint(tmp_path / run / name) for run in ("whole", "parts"))
        assert equal(one["task"], other["task"])
        assert (one["done"], one["best"]) == (other["done"], other["best"])


def test_steps_after_the_last_checkpoint_are_taken_again(tmp_path):
    seldom = Schedule(STEPS, tick=4, validate_every=6, save_seconds=1e9)
    interrupted(tmp_path, 9, seldom)
    whole, task = Line(), Line()
    fit(whole, tmp_path / "whole", seldom)
    fit(task, tmp_path, seldom)
    assert task.steps[0][0] == 0, "nothing was saved"
    assert torch.equal(weights(task), weights(whole))


def test_a_finished_run_takes_no_more_steps(tmp_path):
    fit(Line(), tmp_path, EACH)
    task = Line()
    assert fit(task, tmp_path, EACH) == STEPS
    assert not task.steps
    assert torch.equal(weights(task), weights_in(tmp_path))


def weights_in(run):
    task = Line()
    task.load(read_checkpoint(run / LAST)["task"])
    return weights(task)


def test_a_run_may_be_made_longer_but_not_changed(tmp_path):
    fit(Line(), tmp_path, EACH)
    longer = Line()
    longer.settings |= {"steps": STEPS + 3, "minutes": 5.0}
    assert fit(longer, tmp_path, Schedule(STEPS + 3)) == STEPS + 3
    assert [index for index, _ in longer.steps] == [STEPS, STEPS + 1, STEPS + 2]
    with pytest.raises(InputError, match=r"other settings \(rate\)"):
        fit(Line(rate=0.1), tmp_path, EACH)


def test_settings_that_came_or_went_are_named(tmp_path):
    fit(Line(), tmp_path, EACH)
    more, fewer = Line(), Line()
    more.settings["width"] = 8
    with pytest.raises(InputError, match="width"):
        fit(more, tmp_path, EACH)
    del fewer.settings["rate"]
    with pytest.raises(InputError, match="rate"):
        fit(fewer, tmp_path, EACH)


def test_a_run_may_start_afresh(tmp_path):
    interrupted(tmp_path, 5)
    task = Line()
    fit(task, tmp_path, EACH, resume=False)
    assert task.steps[0][0] == 0


def test_minutes_end_a_run_at_a_checkpoint_and_count_from_its_first_start(tmp_path, monkeypatch):
    clock = iter(range(0, 1_000_000, 10))
    monkeypatch.setattr(loop.time, "perf_counter", lambda: float(next(clock)))
    short = Schedule(STEPS, minutes=3.0, tick=4, validate_every=6)
    task = Line()
    done = fit(task, tmp_path, short)
    assert 0 < done < STEPS
    assert read_checkpoint(tmp_path / LAST)["done"] == done
    assert (tmp_path / BEST).is_file(), "the last step is validated"
    again = Line()
    assert fit(again, tmp_path, short) == done
    assert not again.steps


@pytest.mark.parametrize("kind", ["empty", "cut", "text", "foreign", "other"])
def test_damaged_checkpoints_are_told(tmp_path, kind):
    fit(Line(), tmp_path, EACH)
    path = tmp_path / LAST
    content = {"empty": b"", "cut": path.read_bytes()[:500], "text": b"hello", "foreign": b"\x80\x02"}.get(
        kind
    )
    if content is None:
        torch.save({"weights": torch.zeros(3)}, path)
    else:
        path.write_bytes(content)
    with pytest.raises(WeightsError, match=r"last\.pt"):
        fit(Line(), tmp_path, EACH)


@pytest.mark.parametrize("how", ["torch", "pickle"])
def test_nothing_in_a_checkpoint_is_executed(tmp_path, how):
    mark, path = tmp_path / "executed", tmp_path / LAST
    whole = {"task": {}, "done": 3, "settings": {}, "bomb": Bomb(mark)}
    if how == "torch":
        torch.save(whole, path)
    else:
        path.write_bytes(pickle.dumps(whole, protocol=2))
    with pytest.raises(WeightsError):
        read_checkpoint(path)
    assert not mark.exists()


def test_losses_that_are_no_numbers_end_the_run_and_keep_its_last_checkpoint(tmp_path):
    with pytest.raises(WeightsError, match="diverged at step 7"):
        fit(Line(nan_at=7), tmp_path, EACH)
    assert read_checkpoint(tmp_path / LAST)["done"] == 7
    assert weights_in(tmp_path).isfinite().all()


def test_the_best_is_the_one_of_the_lowest_score(tmp_path):
    scores = [0.5, 0.2, 0.3, 0.2]
    fit(Line(scores=scores), tmp_path, Schedule(STEPS, validate_every=3))
    best = read_checkpoint(tmp_path / BEST)
    assert (best["done"], best["best"]) == (6, 0.2)


def test_the_best_is_remembered_over_a_stop(tmp_path):
    schedule = Schedule(STEPS, validate_every=3, save_seconds=0)
    with pytest.raises(KeyboardInterrupt):
        fit(Line(stop_at=4, scores=[0.1]), tmp_path, schedule)
    fit(Line(scores=[0.5, 0.4, 0.3]), tmp_path, schedule)
    assert read_checkpoint(tmp_path / BEST)["done"] == 3
    assert read_checkpoint(tmp_path / LAST)["best"] == 0.1


def test_statistics_are_lines_of_numbers(tmp_path):
    fit(Line(), tmp_path, EACH)
    lines = list(statistics(tmp_path))
    assert [one["step"] for one in lines if "loss" in one] == [4, 8, 12]
    assert [one["step"] for one in lines if "dev_score" in one] == [6, 12]
    assert all(one["steps_per_second"] > 0 and one["hours"] >= 0 for one in lines if "loss" in one)
    text = (tmp_path / STATISTICS).read_text(encoding="utf-8")
    assert [json.loads(line) for line in text.splitlines()] == lines


def test_a_tick_says_the_mean_since_the_one_before(tmp_path):
    losses, task = [], Line()
    own = task.step
    task.step = lambda *a: losses.append(own(*a)) or losses[-1]
    fit(task, tmp_path, EACH)
    wanted = [np.mean([one["loss"] for one in losses[k : k + 4]]) for k in (0, 4, 8)]
    got = [one["loss"] for one in statistics(tmp_path) if "loss" in one]
    assert got == pytest.approx(wanted, abs=2e-6)


def test_a_folder_without_a_run_has_no_statistics(tmp_path):
    assert list(statistics(tmp_path)) == []


def test_samples_are_drawn_in_their_colours(tmp_path):
    fit(Line(), tmp_path, EACH)
    files = sorted((tmp_path / SAMPLES).iterdir())
    assert [int(file.stem) for file in files] == [6, 12]
    image = cv2.imread(str(files[0]))
    assert image.shape == (20, 30, 3)
    assert np.abs(image[10, 15, ::-1].astype(int) - (250, 120, 10)).max() < 6


def test_a_checkpoint_that_cannot_be_written_leaves_the_old_one(tmp_path):
    path = tmp_path / LAST
    loop.save_checkpoint(path, {"task": {}, "done": 1, "settings": {}})
    with pytest.raises((AttributeError, pickle.PicklingError), match="local object"):
        loop.save_checkpoint(path, {"task": {}, "done": 2, "settings": {}, "bad": lambda: None})
    assert read_checkpoint(path)["done"] == 1
    assert [file.name for file in tmp_path.iterdir()] == [LAST]


@pytest.mark.parametrize(
    ("able", "wanted"),
    [
        ({"avx512_bf16": True}, "bf16-mixed"),
        ({"avx512_bf16": False, "avx2": True}, "32-true"),
        ({}, "32-true"),
    ],
)
def test_a_processor_gets_bfloat16_where_it_has_instructions_for_it(monkeypatch, able, wanted):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: able)
    assert fastest_precision("cpu") == wanted
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: False)
    assert fastest_precision("auto") == wanted
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    assert fastest_precision("auto") == "bf16-mixed"
