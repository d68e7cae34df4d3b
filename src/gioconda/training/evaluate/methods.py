"""The compared methods: a copy of the first shot, engines as they are, fine-tuned engines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gioconda import media
from gioconda.engines import Engine, get_engine
from gioconda.engines.fewshot import crop
from gioconda.errors import InputError
from gioconda.training.evaluate.portraits import copied, rendered
from gioconda.training.evaluate.protocol import EvaluationPlan, Person, Step
from gioconda.types import Image, Portrait, Progress

Pictures = list[list[Image]]

FEED_FORWARD, TUNED = "feed-forward", "tuned"
MODES = (FEED_FORWARD, TUNED)
TUNABLE = ("fewshot",)
# Engines that draw a square around the head, wherever the head is in the picture.
DRAWS_SQUARES = ("fewshot",)
COPY = "copy"


@dataclass(frozen=True)
class ReportRow:
    """A row of the report: engine ("copy" for the unchanged first shot), mode, number of shots."""

    engine: str
    mode: str
    shots: int


@dataclass(frozen=True)
class Methods:
    """The methods to evaluate.

    Attributes:
        engines: Names of the engines.
        modes: Names among MODES.
        weights: The fewshot.safetensors of the engine fewshot, which needs it.
        tune_features: SqueezeNet's file for fine-tuning; None for no such loss.
    """

    engines: tuple[str, ...] = ("warp",)
    modes: tuple[str, ...] = (FEED_FORWARD,)
    weights: Path | None = None
    tune_features: Path | None = None

    def modes_of(self, engine: str) -> list[str]:
        """The modes in which an engine is evaluated."""
        return [mode for mode in MODES if mode in self.modes and (mode != TUNED or engine in TUNABLE)]

    def rows(self, shots: Sequence[int]) -> list[ReportRow]:
        """All rows of the report, in its order."""
        lines = [
            ReportRow(e, mode, count) for count in shots for e in self.engines for mode in self.modes_of(e)
        ]
        return [ReportRow(COPY, FEED_FORWARD, 1), *lines]

    def open(self) -> dict[str, Engine]:
        """Open the engines by name; InputError for an unknown name, or an engine without any mode or its weights."""
        for mode in self.modes:
            if mode not in MODES:
                raise InputError(f"--modes {mode}: use {' or '.join(MODES)}")
        if self.tune_features is not None:
            # Report a missing file now, not after an hour
            media.check_input(self.tune_features)
        opened = {}
        for name in self.engines:
            options: dict[str, Any] = {"weights": self.weights} if self.weights and name in TUNABLE else {}
            opened[name] = get_engine(name, **options)
            if not self.modes_of(name):
                raise InputError(f"the engine {name} cannot be tuned; add {FEED_FORWARD} to --modes")
        return opened

    def tuned(self, portrait: Portrait, progress: Progress) -> Portrait:
        """Fit the few-shot networks to the portrait and its further photos; return the portrait with them."""
        from gioconda.training.fewshot.adapt import AdaptSettings, adapt

        settings = AdaptSettings(weights=str(self.weights), features=str(self.tune_features or ""))
        shots = (replace(portrait, others=()), *portrait.others)
        return replace(portrait, fitted=adapt(shots, settings, progress=progress))


def rendered_by_all(
    person: Person,
    plan: EvaluationPlan,
    methods: Methods,
    engines: dict[str, Engine],
    step: Step,
    progress: Progress,
) -> Iterator[tuple[ReportRow, Pictures]]:
    """Yield each row of the report with its pictures (size, size, 3) for each held-out stretch.

    Rows that need more shots than the person has are skipped.
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
            portrait = methods.tuned(portrait, progress)
        yield row, _rendered(engines[row.engine], portrait, person, plan.size, step)


def _rendered(engine: Engine, portrait: Portrait, person: Person, size: int, step: Step) -> Pictures:
    prepared = engine.prepare(portrait)
    framing = None if engine.name in DRAWS_SQUARES else person.framing
    pictures: Pictures = []
    for stretch in person.held:
        own = crop.head_square(portrait.face.landmarks)
        square = own if framing is None else framing.placed(stretch.square)
        pictures.append([])
        for picture in rendered(engine, prepared, stretch, portrait, square, size):
            pictures[-1].append(picture)
            step("render")
    return pictures
