"""Each person measured by every method: one after the other here, or several at once in other processes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path

from gioconda import cluster
from gioconda.engines import Engine
from gioconda.threads import hold_blas
from gioconda.training.evaluate import sheets
from gioconda.training.evaluate.figures import Judge, Score
from gioconda.training.evaluate.methods import TUNED, Methods, Report, Row, made_by_all
from gioconda.training.evaluate.protocol import Plan, gather
from gioconda.training.evaluate.results import Member
from gioconda.training.evaluate.sheets import Sheet
from gioconda.training.sources import Clip
from gioconda.types import FloatArray


@dataclass(frozen=True, eq=False)
class Found:
    """What was measured of a person; truth: features (n, 512) of the held-out frames, None without the network."""

    member: Member
    scores: dict[Row, Score]
    truth: FloatArray | None
    sheet: Sheet


@dataclass(frozen=True)
class Tools:
    """What measures: methods, and the files of the networks that score (`figures.Judge`)."""

    methods: Methods
    embedder: Path | None = None
    features: Path | None = None

    def open(self) -> tuple[Judge, dict[str, Engine]]:
        """The judge, and the engines by name. Raises what `Judge` and `Methods.open` raise."""
        return Judge(self.embedder, self.features), self.methods.open()

    @property
    def absolute(self) -> Tools:
        """The same for processes that start from another folder."""
        weights, tuning = _absolute(self.methods.weights), _absolute(self.methods.tune_features)
        methods = replace(self.methods, weights=weights, tune_features=tuning)
        return Tools(methods, _absolute(self.embedder), _absolute(self.features))


def _absolute(path: Path | None) -> Path | None:
    return None if path is None else path.resolve()


@dataclass
class Meter:
    """Tells the progress of each stage; planned: steps of a stage, where they are known."""

    report: Report
    planned: Mapping[str, int] = field(default_factory=dict)
    done: dict[str, int] = field(default_factory=dict)

    def step(self, stage: str) -> None:
        """One more frame of a stage."""
        self.done[stage] = self.done.get(stage, 0) + 1
        self.report(stage, self.done[stage], self.planned.get(stage, 0))


def in_turn(
    people: Mapping[str, Sequence[Clip]],
    plan: Plan,
    methods: Methods,
    engines: dict[str, Engine],
    judge: Judge,
    left_out: list[str],
    meter: Meter,
) -> Iterator[Found]:
    """Each person by every method; of one of whom too little can be used, `left_out` tells."""
    for name, clips in people.items():
        person = gather(name, clips, plan, left_out, meter.step)
        if person is None:
            continue
        looks = [judge.look(stretch.truth) for stretch in person.held]
        made, scores = {}, {}
        for row, pictures in made_by_all(person, plan, methods, engines, meter.step, meter.report):
            scores[row] = judge.score(pictures, person.held, looks)
            made[row] = sheets.moments(pictures)
        truth = sheets.moments([stretch.truth for stretch in person.held])
        sheet = Sheet(name, sheets.first_shots(person, plan.size), truth, made, person.inputs)
        member = Member(person.name, len(person.shots), person.frames, person.one_clip)
        yield Found(member, scores, judge.features_of(person.held), sheet)


@dataclass(frozen=True)
class _Errand:
    """A person to measure in another process, with as many threads of PyTorch as this one has (None: not used)."""

    name: str
    clips: tuple[Clip, ...]
    plan: Plan
    tools: Tools
    threads: int | None


def at_once(
    people: Mapping[str, Sequence[Clip]],
    plan: Plan,
    tools: Tools,
    left_out: list[str],
    report: Report,
    *,
    workers: int | None,
    ray: str | None,
) -> Iterator[Found]:
    """As `in_turn`, and equal to it, though several people are measured at once, in other processes.

    workers, ray: as for `cluster.crew`.
    """
    threads = _threads() if tools.features is not None or TUNED in tools.methods.modes else None
    errands = []
    for name, clips in people.items():
        moved = tuple(replace(clip, path=clip.path.resolve()) for clip in clips)
        errands.append(_Errand(name, moved, plan, tools.absolute, threads))
    ended = {}
    report("people", 0, len(errands))
    for count, (errand, told) in enumerate(cluster.each(_carry_out, errands, workers, ray), 1):
        ended[errand.name] = told
        report("people", count, len(errands))
    for name, clips in people.items():
        lines, found = ended[name]
        left_out += [_as_named(line, clips) for line in lines]
        if found is not None:
            yield found


def _as_named(line: str, clips: Sequence[Clip]) -> str:
    """A line about a clip with its path as it was given."""
    for clip in clips:
        line = line.replace(str(clip.path.resolve()), str(clip.path))
    return line


def _threads() -> int:
    import torch

    return torch.get_num_threads()


def _carry_out(errand: _Errand) -> tuple[list[str], Found | None]:
    hold_blas()
    if errand.threads is not None:  # its sums depend on how many there are
        import torch

        torch.set_num_threads(errand.threads)
    judge, engines = _opened(errand.tools)
    left_out: list[str] = []
    alone, methods = {errand.name: errand.clips}, errand.tools.methods
    measured = in_turn(alone, errand.plan, methods, engines, judge, left_out, Meter(lambda *_: None))
    return left_out, next(measured, None)


@lru_cache(maxsize=1)
def _opened(tools: Tools) -> tuple[Judge, dict[str, Engine]]:
    """Opened once in a process."""
    return tools.open()
