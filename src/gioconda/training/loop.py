"""The loop that every training shares: steps, one JSON line a tick, checkpoints that resume to the same state.

A task draws its batches and its randomness from the step's number alone, so a run that was stopped and resumed
takes the same steps as one that was not.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
import torch

from gioconda.errors import InputError, WeightsError
from gioconda.types import FloatArray, Image

FREE = frozenset(("steps", "minutes", "features", "accelerator", "threads", "save_seconds", "validate_every"))
"""Settings that a resumed run may change: how long, where and how often, not what is learnt."""

STATISTICS, SAMPLES, LAST, BEST = "statistics.jsonl", "samples", "last.pt", "best.pt"


class Task(Protocol):
    """What is trained. `state` and `load` carry all that steps change; `settings` must match to resume."""

    settings: Mapping[str, Any]

    def step(self, index: int, progress: float) -> dict[str, float]:
        """One optimiser step; index from 0; progress 0..1 of the run. Returns losses to log."""
        ...

    def validate(self) -> dict[str, float]:
        """Figures on the dev people; `score` is the one to minimise."""
        ...

    def grid(self) -> Image:
        """Samples to look at, RGB uint8."""
        ...

    def state(self) -> dict[str, Any]:
        """Tensors and plain values."""
        ...

    def load(self, state: Mapping[str, Any]) -> None:
        """Take over a state."""
        ...


@dataclass(frozen=True)
class Schedule:
    """How long: steps, and minutes after which the run stops at a checkpoint (0: no limit); what happens when."""

    steps: int
    minutes: float = 0.0
    tick: int = 50
    validate_every: int = 500
    save_seconds: float = 120.0


@dataclass(frozen=True)
class Crew:
    """The processes of one run. leads: whether this is the first; agree: what the first thinks, for all."""

    leads: bool = True
    agree: Callable[[bool], bool] = bool


@dataclass
class _Tally:
    """Mean losses since the last tick."""

    sums: dict[str, float] = field(default_factory=dict)
    count: int = 0
    since: float = field(default_factory=time.perf_counter)

    def add(self, losses: Mapping[str, float]) -> None:
        for name, value in losses.items():
            self.sums[name] = self.sums.get(name, 0.0) + value
        self.count += 1

    def close(self) -> dict[str, float]:
        now = time.perf_counter()
        means = {name: value / self.count for name, value in self.sums.items()}
        means["steps_per_second"] = self.count / max(now - self.since, 1e-9)
        self.sums, self.count, self.since = {}, 0, now
        return means


def fit(
    task: Task,
    run: Path,
    schedule: Schedule,
    *,
    resume: bool = True,
    report: Callable[[str, int, int], None] = lambda *_: None,
    crew: Crew | None = None,
) -> int:
    """Train in the folder `run`; go on from its last checkpoint where there is one. Returns the steps done.

    crew: the processes that take every step together; the first alone validates, logs and saves.
    """
    crew = crew or Crew()
    run.mkdir(parents=True, exist_ok=True)
    done, best, spent = _resume(task, run) if resume else (0, float("inf"), 0.0)
    start, saved, tally = time.perf_counter() - spent, time.perf_counter(), _Tally()
    board = _board(run) if crew.leads else None
    over = crew.agree(_over(schedule, start))
    while done < schedule.steps and not over:
        losses = task.step(done, done / schedule.steps)
        if not all(np.isfinite(v) for v in losses.values()):
            raise WeightsError(
                f"the training diverged at step {done}: {losses}; start again elsewhere with a smaller learning rate"
            )
        tally.add(losses)
        done += 1
        over = crew.agree(_over(schedule, start))
        if not crew.leads:
            continue
        report("train", done, schedule.steps)
        last = done == schedule.steps or over
        if done % schedule.tick == 0 or last:
            hours = (time.perf_counter() - start) / 3600
            _log(run, {"step": done, "hours": hours, **tally.close()}, board)
        if done % schedule.validate_every == 0 or last:
            best = _validated(task, run, done, best, start, board)
            tally.since = time.perf_counter()
        if last or time.perf_counter() - saved > schedule.save_seconds:
            save(run / LAST, _whole(task, done, best, start))
            saved = time.perf_counter()
    if board is not None:
        board.close()
    return done


def _validated(task: Task, run: Path, done: int, best: float, start: float, board: Any) -> float:
    """Look at the dev people, keep the checkpoint if it is the best so far; the best score."""
    figures = task.validate()
    _log(run, {"step": done, **{f"dev_{k}": v for k, v in figures.items()}}, board)
    grid = task.grid()
    _draw(run, done, grid)
    if board is not None:
        board.add_image("dev", grid, done, dataformats="HWC")
    if figures["score"] < best:
        best = figures["score"]
        save(run / BEST, _whole(task, done, best, start))
    return best


def _board(run: Path) -> Any:
    """TensorBoard's writer, None where it is not installed."""
    if find_spec("tensorboard") is None:
        return None
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(run / "tensorboard"))


def _over(schedule: Schedule, start: float) -> bool:
    return schedule.minutes > 0 and time.perf_counter() - start > 60 * schedule.minutes


def _whole(task: Task, done: int, best: float, start: float) -> dict[str, Any]:
    spent = time.perf_counter() - start
    settings = dict(task.settings)
    return {"settings": settings, "done": done, "best": best, "spent": spent, "task": task.state()}


def _resume(task: Task, run: Path) -> tuple[int, float, float]:
    path = run / LAST
    if not path.is_file():
        return 0, float("inf"), 0.0
    whole = read(path)
    lasting = {k: v for k, v in whole["settings"].items() if k not in FREE}
    wanted = {k: v for k, v in task.settings.items() if k not in FREE}
    if lasting != wanted:
        other = sorted(k for k in {*wanted, *lasting} if lasting.get(k) != wanted.get(k))
        raise InputError(f"{run} was trained with other settings ({', '.join(other)}); choose another --out")
    task.load(whole["task"])
    return int(whole["done"]), float(whole["best"]), float(whole["spent"])


def save(path: Path, whole: Mapping[str, Any]) -> None:
    """Write a checkpoint beside `path`, sync it, and put it in place."""
    temp = path.with_suffix(f".{os.getpid()}.part")
    try:
        with temp.open("wb") as file:
            torch.save(dict(whole), file)
            file.flush()
            os.fsync(file.fileno())
        temp.replace(path)
    finally:
        temp.unlink(missing_ok=True)


def read(path: Path) -> dict[str, Any]:
    """A checkpoint's tensors and plain values, nothing executed; WeightsError where it is damaged."""
    try:
        whole = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch has no error of its own for files that are cut or foreign
        raise WeightsError(
            f"{path} is damaged or no checkpoint: {(str(error) or type(error).__name__).splitlines()[0][:120]}"
        ) from None
    if not isinstance(whole, dict) or not {"task", "done", "settings"} <= set(whole):
        raise WeightsError(f"{path} is no checkpoint of gioconda")
    return whole


def _log(run: Path, line: Mapping[str, float], board: Any = None) -> None:
    with (run / STATISTICS).open("a", encoding="utf-8") as file:
        file.write(json.dumps({k: round(float(v), 6) for k, v in line.items()}) + "\n")
    if board is not None:
        for name, value in line.items():
            if name != "step":
                board.add_scalar(name.replace("dev_", "dev/"), float(value), int(line["step"]))


def _draw(run: Path, done: int, grid: Image) -> None:
    folder = run / SAMPLES
    folder.mkdir(exist_ok=True)
    with suppress(cv2.error):
        cv2.imwrite(str(folder / f"{done:07d}.png"), grid[..., ::-1])


def contact_sheet(rows: Sequence[FloatArray]) -> Image:
    """Rows of tiles (3, H, W) in -1..1, of one shape, laid two abreast, as RGB uint8."""
    sheet = np.concatenate([np.concatenate(rows[k::2], 1) for k in range(2)], 2)
    return np.ascontiguousarray((sheet.transpose(1, 2, 0) + 1) * 127.5).clip(0, 255).astype(np.uint8)


def statistics(run: Path) -> Iterator[dict[str, float]]:
    """The lines that a run has logged."""
    path = run / STATISTICS
    if path.is_file():
        for line in path.read_text(encoding="utf-8").splitlines():
            yield json.loads(line)
