"""The methods that are compared: a copy, engines as they are, engines fine-tuned; each for every number of shots."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gioconda import media
from gioconda.engines import Engine, get_engine
from gioconda.errors import InputError
from gioconda.training.evaluate.portraits import copied, rendered
from gioconda.training.evaluate.protocol import Person, Plan, Step
from gioconda.types import Image, Portrait

Report = Callable[[str, int, int], None]
Pictures = list[list[Image]]

FEED_FORWARD, TUNED = "feed-forward", "tuned"
MODES = (FEED_FORWARD, TUNED)
TUNABLE = ("fewshot",)
COPY = "copy"


@dataclass(frozen=True)
class Row:
    """A line of the report: engine ("copy" for the first shot unchanged), mode, number of shots."""

    engine: str
    mode: str
    shots: int


@dataclass(frozen=True)
class Methods:
    """What is measured. weights: another few-shot network; tune_features: SqueezeNet's file for fine-tuning."""

    engines: tuple[str, ...] = ("warp",)
    modes: tuple[str, ...] = (FEED_FORWARD,)
    weights: Path | None = None
    tune_features: Path | None = None

    def modes_of(self, engine: str) -> list[str]:
        """The modes in which an engine is measured."""
        return [mode for mode in MODES if mode in self.modes and (mode != TUNED or engine in TUNABLE)]

    def rows(self, shots: Sequence[int]) -> list[Row]:
        """All lines of the report, in its order."""
        lines = [Row(e, mode, count) for count in shots for e in self.engines for mode in self.modes_of(e)]
        return [Row(COPY, FEED_FORWARD, 1), *lines]

    def open(self) -> dict[str, Engine]:
        """The engines by name. InputError for an unknown one or mode, or an engine that has none of the modes."""
        for mode in self.modes:
            if mode not in MODES:
                raise InputError(f"--modes {mode}: use {' or '.join(MODES)}")
        if self.tune_features is not None:
            media.check_input(self.tune_features)  # told now, not after an hour
        opened = {}
        for name in self.engines:
            options: dict[str, Any] = {"weights": self.weights} if self.weights and name in TUNABLE else {}
            opened[name] = get_engine(name, **options)
            if not self.modes_of(name):
                raise InputError(f"the engine {name} cannot be tuned; add {FEED_FORWARD} to --modes")
        return opened

    def tuned(self, portrait: Portrait, report: Report) -> Portrait:
        """The portrait with the few-shot networks fitted to it and its others."""
        from gioconda.training.fewshot.adapt import Settings, adapt

        settings = Settings(weights=str(self.weights or ""), features=str(self.tune_features or ""))
        shots = (replace(portrait, others=()), *portrait.others)
        return replace(portrait, fitted=adapt(shots, settings, report=report))


def made_by_all(
    person: Person, plan: Plan, methods: Methods, engines: dict[str, Engine], step: Step, report: Report
) -> Iterator[tuple[Row, Pictures]]:
    """Each line of the report with its pictures (size, size, 3) for each held-out stretch.

    Lines that need more shots than the person has are left out.
    """
    for row in methods.rows(plan.shots):
        if row.shots > len(person.shots):
            continue
        portrait = replace(person.shots[0], others=person.shots[1 : row.shots])
        if row.engine == COPY:
            still = copied(portrait, plan.size)
            yield row, [[still] * len(stretch.truth) for stretch in person.held]
            continue
        if row.mode == TUNED:
            portrait = methods.tuned(portrait, report)
        yield row, _rendered(engines[row.engine], portrait, person, plan.size, step)


def _rendered(engine: Engine, portrait: Portrait, person: Person, size: int, step: Step) -> Pictures:
    who = engine.prepare(portrait)
    made: Pictures = []
    for stretch in person.held:
        made.append([])
        for picture in rendered(engine, who, stretch, portrait, size):
            made[-1].append(picture)
            step("render")
    return made
