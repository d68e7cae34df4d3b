"""Means over people with 95% bootstrap intervals: whole people are drawn with replacement, because they differ most."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

DRAWS = 10_000
# Fewer draws for metrics that are computed anew for each draw
COSTLY_DRAWS = 400
# Percentiles that bound a 95% interval
COVERED = (2.5, 97.5)

Indices = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Estimate:
    """A metric: its mean, the 95% interval (None for fewer than two people), the number of people."""

    mean: float
    low: float | None
    high: float | None
    n: int


def of_mean(values: Sequence[float]) -> Estimate | None:
    """The mean of one value per person, without those that are not finite; None if none is finite."""
    kept = np.asarray(values, np.float64)
    kept = kept[np.isfinite(kept)]
    if not len(kept):
        return None
    mean = float(kept.mean())
    if len(kept) == 1:
        return Estimate(mean, None, None, 1)
    low, high = np.percentile(kept[_draws(len(kept), DRAWS)].mean(1), COVERED)
    return Estimate(mean, float(low), float(high), len(kept))


def of_whole(metric: Callable[[Indices], float], people: int) -> Estimate:
    """A metric of all people together.

    A draw that repeats people has fewer different samples, which shifts metrics such as a Frechet distance. The
    interval is shifted back, so that the draws scatter around the metric itself.

    Args:
        metric: Computes the metric of the people with these indices, which may repeat.
        people: The number of people.

    Returns:
        The metric of all people, with its interval.
    """
    mean = metric(np.arange(people))
    if people < 2:
        return Estimate(mean, None, None, people)
    known: dict[tuple[int, ...], float] = {}
    drawn = []
    for draw in np.sort(_draws(people, COSTLY_DRAWS), axis=1):
        key = tuple(int(k) for k in draw)
        if key not in known:
            known[key] = metric(draw)
        drawn.append(known[key])
    low, high = np.percentile(drawn, COVERED) - np.mean(drawn)
    return Estimate(mean, mean + float(low), mean + float(high), people)


def _draws(people: int, count: int) -> Indices:
    """Indices of people (count, people): the same draws for all metrics, so that differences are paired."""
    return np.random.default_rng(0).integers(people, size=(count, people))
