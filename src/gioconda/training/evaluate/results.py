"""All scores of an evaluation, with means over people, differences and intervals."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from gioconda.training.evaluate import bootstrap
from gioconda.training.evaluate.bootstrap import Estimate, Indices
from gioconda.training.evaluate.methods import FEED_FORWARD, TUNED, ReportRow
from gioconda.training.evaluate.metrics import Score
from gioconda.training.evaluate.protocol import EvaluationPlan
from gioconda.training.frechet import frechet
from gioconda.types import FloatArray


@dataclass(frozen=True)
class Member:
    """One person of the report: number of shots, held-out frames, whether one clip gave both."""

    name: str
    shots: int
    frames: int
    one_clip: bool


@dataclass
class Results:
    """The results of an evaluation.

    Attributes:
        data: Name of the folder.
        plan: Shots, held-out frames, size and seed.
        rows: The rows of the report.
        names: Names of the metrics.
        frechet: The name among them of the Frechet distance; empty without it.
        networks: Name, file and SHA-256 of the networks that score.
        people: The people in the report.
        left_out: A line for each unusable clip or person.
        scores: Scores by row and person.
        truths: Features (n, 512) of each person's held-out frames.
        seconds: Duration of the evaluation.
    """

    data: str
    plan: EvaluationPlan
    rows: Sequence[ReportRow]
    names: Sequence[str]
    frechet: str
    networks: dict[str, dict[str, str]]
    people: list[Member] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    scores: dict[ReportRow, dict[str, Score]] = field(default_factory=dict)
    truths: dict[str, FloatArray] = field(default_factory=dict)
    seconds: float = 0.0

    def add(self, person: Member, scores: dict[ReportRow, Score], truth: FloatArray | None) -> None:
        """Add one person's scores, and the truth's features if there are any."""
        self.people.append(person)
        for row, score in scores.items():
            self.scores.setdefault(row, {})[person.name] = score
        if truth is not None:
            self.truths[person.name] = truth

    @property
    def evaluated(self) -> list[ReportRow]:
        """The rows for which at least one person has enough shots."""
        return [row for row in self.rows if row in self.scores]

    @property
    def still(self) -> Estimate | None:
        """The truth's own flicker, in grey levels of 255."""
        return bootstrap.of_mean([score.still for score in self.scores[self.rows[0]].values()])

    def estimate(self, row: ReportRow, name: str) -> Estimate | None:
        """A metric of a row over its people; None if no value is finite."""
        own = self.scores[row]
        if name != self.frechet:
            return bootstrap.of_mean([score.metrics[name] for score in own.values()])
        people = list(own)
        return bootstrap.of_whole(lambda chosen: self._frechet(row, people, chosen), len(people))

    def difference(self, later: ReportRow, earlier: ReportRow, name: str) -> Estimate | None:
        """The difference of a metric between two rows, over the people of both; None if they share nobody."""
        first, second = self.scores[later], self.scores[earlier]
        people = [person for person in first if person in second]
        if not people:
            return None
        if name != self.frechet:
            return bootstrap.of_mean([first[p].metrics[name] - second[p].metrics[name] for p in people])
        return bootstrap.of_whole(
            lambda chosen: self._frechet(later, people, chosen) - self._frechet(earlier, people, chosen),
            len(people),
        )

    def pairs(self) -> Iterator[tuple[ReportRow, ReportRow]]:
        """Yield pairs of rows to compare: fine-tuned with feed-forward at each T, then each T with the one before."""
        evaluated = self.evaluated[1:]
        for row in evaluated:
            plain = ReportRow(row.engine, FEED_FORWARD, row.shots)
            if row.mode == TUNED and plain in evaluated:
                yield row, plain
        for kind in dict.fromkeys((row.engine, row.mode) for row in evaluated):
            own = [row for row in evaluated if (row.engine, row.mode) == kind]
            yield from ((later, earlier) for earlier, later in pairwise(own))

    def _frechet(self, row: ReportRow, people: Sequence[str], chosen: Indices) -> float:
        names = [people[k] for k in chosen]
        outputs = [features for name in names if (features := self.scores[row][name].features) is not None]
        return frechet(np.concatenate(outputs), np.concatenate([self.truths[name] for name in names]))
