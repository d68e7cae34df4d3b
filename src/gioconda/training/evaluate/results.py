"""All scores of an evaluation, and what they say: means over people, differences, intervals."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from gioconda.training.evaluate import bootstrap
from gioconda.training.evaluate.bootstrap import Estimate, Indices
from gioconda.training.evaluate.figures import Score
from gioconda.training.evaluate.methods import FEED_FORWARD, TUNED, Row
from gioconda.training.evaluate.protocol import Plan
from gioconda.training.frechet import frechet
from gioconda.types import FloatArray


@dataclass(frozen=True)
class Member:
    """One person of the report: frames to show, frames held out, whether one clip had to give both."""

    name: str
    shots: int
    frames: int
    one_clip: bool


@dataclass
class Results:
    """What was measured. data: name of the folder. names: of the figures, `frechet` that of the Frechet distance.

    left_out: a line for each clip or person that could not be used. truths: features (n, 512) of each person.
    """

    data: str
    plan: Plan
    rows: Sequence[Row]
    names: Sequence[str]
    frechet: str
    networks: dict[str, dict[str, str]]
    people: list[Member] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    scores: dict[Row, dict[str, Score]] = field(default_factory=dict)
    truths: dict[str, FloatArray] = field(default_factory=dict)
    seconds: float = 0.0

    def add(self, person: Member, scores: dict[Row, Score], truth: FloatArray | None) -> None:
        """Take in one person's scores, and the truth's features where there are any."""
        self.people.append(person)
        for row, score in scores.items():
            self.scores.setdefault(row, {})[person.name] = score
        if truth is not None:
            self.truths[person.name] = truth

    @property
    def measured(self) -> list[Row]:
        """The lines that somebody has enough shots for."""
        return [row for row in self.rows if row in self.scores]

    @property
    def still(self) -> Estimate | None:
        """The truth's own flicker, grey levels of 255."""
        return bootstrap.of_mean([score.still for score in self.scores[self.rows[0]].values()])

    def estimate(self, row: Row, name: str) -> Estimate | None:
        """A figure of a line over the people that it has; None where nobody has it."""
        own = self.scores[row]
        if name != self.frechet:
            return bootstrap.of_mean([score.figures[name] for score in own.values()])
        people = list(own)
        return bootstrap.of_whole(lambda chosen: self._frechet(row, people, chosen), len(people))

    def difference(self, later: Row, earlier: Row, name: str) -> Estimate | None:
        """A figure of one line less that of another, over the people that both have."""
        first, second = self.scores[later], self.scores[earlier]
        people = [person for person in first if person in second]
        if not people:
            return None
        if name != self.frechet:
            return bootstrap.of_mean([first[p].figures[name] - second[p].figures[name] for p in people])
        return bootstrap.of_whole(
            lambda chosen: self._frechet(later, people, chosen) - self._frechet(earlier, people, chosen),
            len(people),
        )

    def pairs(self) -> Iterator[tuple[Row, Row]]:
        """Lines to compare: fine-tuned with feed-forward at each T, then each T with the one before."""
        measured = self.measured[1:]
        for row in measured:
            plain = Row(row.engine, FEED_FORWARD, row.shots)
            if row.mode == TUNED and plain in measured:
                yield row, plain
        for kind in dict.fromkeys((row.engine, row.mode) for row in measured):
            own = [row for row in measured if (row.engine, row.mode) == kind]
            yield from ((later, earlier) for earlier, later in pairwise(own))

    def _frechet(self, row: Row, people: Sequence[str], chosen: Indices) -> float:
        names = [people[k] for k in chosen]
        made = [features for name in names if (features := self.scores[row][name].features) is not None]
        return frechet(np.concatenate(made), np.concatenate([self.truths[name] for name in names]))
