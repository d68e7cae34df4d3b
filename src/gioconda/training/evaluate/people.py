"""Evaluates every method on each person: in turn in this process, or several people at once in other processes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path

from gioconda import cluster
from gioconda.engines import Engine
from gioconda.runtime.threads import hold_libraries
from gioconda.training.evaluate import sheets
from gioconda.training.evaluate.methods import TUNED, Methods, ReportRow, rendered_by_all
from gioconda.training.evaluate.metrics import Judge, Score
from gioconda.training.evaluate.protocol import EvaluationPlan, gather
from gioconda.training.evaluate.results import Member
from gioconda.training.evaluate.sheets import Sheet
from gioconda.training.sources import Clip
from gioconda.types import FloatArray, Progress


@dataclass(frozen=True, eq=False)
class PersonResult:
    """The results of one person; truth: features (n, 512) of the held-out frames, or None without the network."""

    member: Member
    scores: dict[ReportRow, Score]
    truth: FloatArray | None
    sheet: Sheet


@dataclass(frozen=True)
class Tools:
    """The methods, and the files of the networks that score them (`metrics.Judge`)."""

    methods: Methods
    embedder: Path | None = None
    features: Path | None = None

    def open(self) -> tuple[Judge, dict[str, Engine]]:
        """Open the judge, and the engines by name; raises the errors of `Judge` and `Methods.open`."""
        return Judge(self.embedder, self.features), self.methods.open()

    @property
    def absolute(self) -> Tools:
        """The same with absolute paths, for processes that start in another folder."""
        weights, tuning = _absolute(self.methods.weights), _absolute(self.methods.tune_features)
        methods = replace(self.methods, weights=weights, tune_features=tuning)
        return Tools(methods, _absolute(self.embedder), _absolute(self.features))


def _absolute(path: Path | None) -> Path | None:
    return None if path is None else path.resolve()


@dataclass
class Meter:
    """Counts the steps of each stage for a progress callback; planned: the steps of a stage, if known."""

    progress: Progress
    planned: Mapping[str, int] = field(default_factory=dict)
    done: dict[str, int] = field(default_factory=dict)

    def step(self, stage: str) -> None:
        """Count one more frame of a stage."""
        self.done[stage] = self.done.get(stage, 0) + 1
        self.progress(stage, self.done[stage], self.planned.get(stage, 0))


def in_turn(
    people: Mapping[str, Sequence[Clip]],
    plan: EvaluationPlan,
    methods: Methods,
    engines: dict[str, Engine],
    judge: Judge,
    left_out: list[str],
    meter: Meter,
) -> Iterator[PersonResult]:
    """Evaluate every method on each person in turn; `left_out` gets a line for each person who cannot be used."""
    for name, clips in people.items():
        person = gather(name, clips, plan, left_out, meter.step)
        if person is None:
            continue
        tracked = [judge.track(stretch.truth) for stretch in person.held]
        shown, scores = {}, {}
        for row, pictures in rendered_by_all(person, plan, methods, engines, meter.step, meter.progress):
            scores[row] = judge.score(pictures, person.held, tracked)
            shown[row] = sheets.moments(pictures)
        truth = sheets.moments([stretch.truth for stretch in person.held])
        sheet = Sheet(name, sheets.first_shots(person, plan.size), truth, shown, person.inputs)
        member = Member(person.name, len(person.shots), person.frames, person.one_clip)
        yield PersonResult(member, scores, judge.features_of(person.held), sheet)


@dataclass(frozen=True)
class _Errand:
    """A person to evaluate in another process; threads: of PyTorch, as in this process, None if it is not used."""

    name: str
    clips: tuple[Clip, ...]
    plan: EvaluationPlan
    tools: Tools
    threads: int | None


def at_once(
    people: Mapping[str, Sequence[Clip]],
    plan: EvaluationPlan,
    tools: Tools,
    left_out: list[str],
    progress: Progress,
    *,
    workers: int | None,
    ray: str | None,
) -> Iterator[PersonResult]:
    """Evaluate several people at once in other processes, with the same results as `in_turn`.

    workers, ray: as for `cluster.open_executor`.
    """
    threads = _threads() if tools.features is not None or TUNED in tools.methods.modes else None
    errands = []
    for name, clips in people.items():
        moved = tuple(replace(clip, path=clip.path.resolve()) for clip in clips)
        errands.append(_Errand(name, moved, plan, tools.absolute, threads))
    ended = {}
    progress("people", 0, len(errands))
    for count, (errand, outcome) in enumerate(cluster.each(_carry_out, errands, workers, ray), 1):
        ended[errand.name] = outcome
        progress("people", count, len(errands))
    for name, clips in people.items():
        lines, result = ended[name]
        left_out += [_as_named(line, clips) for line in lines]
        if result is not None:
            yield result


def _as_named(line: str, clips: Sequence[Clip]) -> str:
    """Put the path of a clip into a line as the user gave it."""
    for clip in clips:
        line = line.replace(str(clip.path.resolve()), str(clip.path))
    return line


def _threads() -> int:
    import torch

    return torch.get_num_threads()


def _carry_out(errand: _Errand) -> tuple[list[str], PersonResult | None]:
    hold_libraries()
    # PyTorch's sums depend on the number of threads
    if errand.threads is not None:
        import torch

        torch.set_num_threads(errand.threads)
    judge, engines = _opened(errand.tools)
    left_out: list[str] = []
    alone, methods = {errand.name: errand.clips}, errand.tools.methods
    evaluated = in_turn(alone, errand.plan, methods, engines, judge, left_out, Meter(lambda *_: None))
    return left_out, next(evaluated, None)


@lru_cache(maxsize=1)
def _opened(tools: Tools) -> tuple[Judge, dict[str, Engine]]:
    """Open the tools once per process."""
    return tools.open()
