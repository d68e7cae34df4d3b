"""Means over people with 95% intervals: people differ much, so they are what is drawn, with replacement."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

DRAWS = 10_000
COSTLY_DRAWS = 400  # where each needs a figure of its own
COVERED = (2.5, 97.5)  # percentiles

Indices = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Estimate:
    """A figure: its mean, the 95% interval (None where there are fewer than two people), the number of people."""

    mean: float
    low: float | None
    high: float | None
    n: int


def of_mean(values: Sequence[float]) -> Estimate | None:
    """The mean of one value a person; values that are not finite are left out, None where none remains."""
    kept = np.asarray(values, np.float64)
    kept = kept[np.isfinite(kept)]
    if not len(kept):
        return None
    mean = float(kept.mean())
    if len(kept) == 1:
        return Estimate(mean, None, None, 1)
    low, high = np.percentile(kept[_draws(len(kept), DRAWS)].mean(1), COVERED)
    return Estimate(mean, float(low), float(high), len(kept))


def of_whole(figure: Callable[[Indices], float], people: int) -> Estimate:
    """A figure of all people together; figure: of some of them, by index, repeats allowed.

    A set that repeats people has fewer different samples, which shifts figures such as a Frechet distance: the
    interval is moved back, so that its draws scatter about the figure itself.
    """
    mean = figure(np.arange(people))
    if people < 2:
        return Estimate(mean, None, None, people)
    known: dict[tuple[int, ...], float] = {}
    drawn = []
    for draw in np.sort(_draws(people, COSTLY_DRAWS), axis=1):
        key = tuple(int(k) for k in draw)
        if key not in known:
            known[key] = figure(draw)
        drawn.append(known[key])
    low, high = np.percentile(drawn, COVERED) - np.mean(drawn)
    return Estimate(mean, mean + float(low), mean + float(high), people)


def _draws(people: int, count: int) -> Indices:
    """The same draws (count, people) for all figures, so that differences are paired."""
    return np.random.default_rng(0).integers(people, size=(count, people))
