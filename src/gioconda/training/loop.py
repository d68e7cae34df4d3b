"""The loop of all trainings: steps, one JSON line per tick, checkpoints that resume to the same state.

A task draws its batches and its random numbers from the step's number alone, so a resumed run takes the same steps
as an uninterrupted one.
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
"""Settings that a resumed run may change: length, machine and intervals, but not what the network learns."""

STATISTICS, SAMPLES, LAST, BEST = "statistics.jsonl", "samples", "last.pt", "best.pt"


class TrainingTask(Protocol):
    """A training. `state` and `load` transfer all that steps change; a run resumes only with equal `settings`."""

    settings: Mapping[str, Any]

    def step(self, index: int, fraction: float) -> dict[str, float]:
        """Take one optimiser step and return the losses to log.

        index: the step, from 0. fraction: how much of the run is done, 0..1.
        """
        ...

    def validate(self) -> dict[str, float]:
        """Compute the metrics on the dev people; the lower `score`, the better."""
        ...

    def grid(self) -> Image:
        """A contact sheet of samples, (H, W, 3) RGB uint8."""
        ...

    def state(self) -> dict[str, Any]:
        """All tensors and plain values that steps change."""
        ...

    def load(self, state: Mapping[str, Any]) -> None:
        """Load what `state` returned."""
        ...


@dataclass(frozen=True)
class Schedule:
    """The length and the intervals of a run.

    Attributes:
        steps: Steps in all.
        minutes: Minutes after which the run stops with a checkpoint; 0 for no limit.
        tick: Steps between lines of the log.
        validate_every: Steps between validations.
        save_seconds: Seconds between checkpoints.
    """

    steps: int
    minutes: float = 0.0
    tick: int = 50
    validate_every: int = 500
    save_seconds: float = 120.0


@dataclass(frozen=True)
class ProcessGroup:
    """The processes of one run.

    leads: whether this is the first. agree: returns the first process's opinion in every process.
    """

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


class _Run:
    """A run in training. `_start` is set back by the seconds that earlier starts have spent."""

    def __init__(
        self, task: TrainingTask, folder: Path, schedule: Schedule, *, resume: bool, leads: bool
    ) -> None:
        self._task, self._folder, self._schedule = task, folder, schedule
        self.done, self._best, spent = 0, float("inf"), 0.0
        if resume and (resumed := _resume(task, folder)):
            self.done, self._best, spent = resumed
        self._saved = time.perf_counter()
        self._start = self._saved - spent
        self._tally = _Tally()
        self._board = _board(folder) if leads else None

    @property
    def out_of_time(self) -> bool:
        """Whether the schedule's minutes have passed."""
        minutes = self._schedule.minutes
        return minutes > 0 and time.perf_counter() - self._start > 60 * minutes

    def step(self) -> None:
        """Take one step; WeightsError if a loss is not finite."""
        losses = self._task.step(self.done, self.done / self._schedule.steps)
        if not all(np.isfinite(v) for v in losses.values()):
            raise WeightsError(
                f"the training diverged at step {self.done}: {losses}; "
                "train in another folder with a smaller learning rate"
            )
        self._tally.add(losses)
        self.done += 1

    def record(self, *, last: bool) -> None:
        """Log, validate and save, each at its interval, and all of them after the last step."""
        schedule = self._schedule
        if self.done % schedule.tick == 0 or last:
            hours = (time.perf_counter() - self._start) / 3600
            _log(self._folder, {"step": self.done, "hours": hours, **self._tally.close()}, self._board)
        if self.done % schedule.validate_every == 0 or last:
            self._validate()
            self._tally.since = time.perf_counter()
        if last or time.perf_counter() - self._saved > schedule.save_seconds:
            save_checkpoint(self._folder / LAST, self._checkpoint())
            self._saved = time.perf_counter()

    def close(self) -> None:
        """Close TensorBoard's writer."""
        if self._board is not None:
            self._board.close()

    def _validate(self) -> None:
        """Compute the metrics on the dev people; keep the checkpoint if its score is the best so far."""
        metrics = self._task.validate()
        _log(self._folder, {"step": self.done, **{f"dev_{k}": v for k, v in metrics.items()}}, self._board)
        grid = self._task.grid()
        _draw(self._folder, self.done, grid)
        if self._board is not None:
            self._board.add_image("dev", grid, self.done, dataformats="HWC")
        if metrics["score"] < self._best:
            self._best = metrics["score"]
            save_checkpoint(self._folder / BEST, self._checkpoint())

    def _checkpoint(self) -> dict[str, Any]:
        return {
            "settings": dict(self._task.settings),
            "done": self.done,
            "best": self._best,
            "spent": time.perf_counter() - self._start,
            "task": self._task.state(),
        }


def fit(
    task: TrainingTask,
    run: Path,
    schedule: Schedule,
    *,
    resume: bool = True,
    progress: Callable[[str, int, int], None] = lambda *_: None,
    processes: ProcessGroup | None = None,
) -> int:
    """Train in the folder `run`.

    Args:
        task: The training.
        run: The folder; created if it does not exist.
        schedule: The length and the intervals of the run.
        resume: Whether to continue from the last checkpoint, if there is one.
        progress: Called with the stage, the steps done and the steps in all.
        processes: The processes that share every step; only the first validates, logs and saves.

    Returns:
        The steps done, those of earlier starts included.

    Raises:
        InputError: The folder holds a run with other settings.
        WeightsError: The last checkpoint is damaged, or the training diverged.
    """
    processes = processes or ProcessGroup()
    run.mkdir(parents=True, exist_ok=True)
    state = _Run(task, run, schedule, resume=resume, leads=processes.leads)
    over = processes.agree(state.out_of_time)
    while state.done < schedule.steps and not over:
        state.step()
        over = processes.agree(state.out_of_time)
        if processes.leads:
            progress("train", state.done, schedule.steps)
            state.record(last=state.done == schedule.steps or over)
    state.close()
    return state.done


def _board(run: Path) -> Any:
    """TensorBoard's writer; None if TensorBoard is not installed."""
    if find_spec("tensorboard") is None:
        return None
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(run / "tensorboard"))


def _resume(task: TrainingTask, run: Path) -> tuple[int, float, float] | None:
    """Load the last checkpoint; return steps done, best score and seconds spent, or None if there is none."""
    path = run / LAST
    if not path.is_file():
        return None
    whole = read_checkpoint(path)
    lasting = {k: v for k, v in whole["settings"].items() if k not in FREE}
    requested = {k: v for k, v in task.settings.items() if k not in FREE}
    if lasting != requested:
        other = sorted(k for k in {*requested, *lasting} if lasting.get(k) != requested.get(k))
        raise InputError(f"{run} was trained with other settings ({', '.join(other)}); choose another --out")
    task.load(whole["task"])
    return int(whole["done"]), float(whole["best"]), float(whole["spent"])


def save_checkpoint(path: Path, whole: Mapping[str, Any]) -> None:
    """Write a checkpoint to a temporary file beside `path`, sync it, and rename it."""
    temp = path.with_suffix(f".{os.getpid()}.part")
    try:
        with temp.open("wb") as file:
            torch.save(dict(whole), file)
            file.flush()
            os.fsync(file.fileno())
        temp.replace(path)
    finally:
        temp.unlink(missing_ok=True)


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint's tensors and plain values without executing anything; WeightsError if it is damaged."""
    try:
        whole = torch.load(path, map_location="cpu", weights_only=True)
    # torch raises many types for truncated and foreign files
    except Exception as error:
        raise WeightsError(
            f"{path} is damaged or not a checkpoint: {(str(error) or type(error).__name__).splitlines()[0][:120]}"
        ) from None
    if not isinstance(whole, dict) or not {"task", "done", "settings"} <= set(whole):
        raise WeightsError(f"{path} is not a checkpoint of gioconda")
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
    """Join rows of tiles (3, H, W) in -1..1, all of one shape, two rows side by side, into one picture, RGB uint8."""
    sheet = np.concatenate([np.concatenate(rows[k::2], 1) for k in range(2)], 2)
    return np.ascontiguousarray((sheet.transpose(1, 2, 0) + 1) * 127.5).clip(0, 255).astype(np.uint8)


def statistics(run: Path) -> Iterator[dict[str, float]]:
    """Yield the logged lines of a run, as values by name."""
    path = run / STATISTICS
    if path.is_file():
        for line in path.read_text(encoding="utf-8").splitlines():
            yield json.loads(line)
