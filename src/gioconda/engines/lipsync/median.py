"""The weighted median of pictures, pixel by pixel."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from gioconda.types import FloatArray

TOTAL = 255  # what whole-number weights sum to, so that sums stay in one byte


def whole_weights(weights: FloatArray) -> npt.NDArray[np.uint8]:
    """Weights (n,) >= 0 as whole numbers that sum to TOTAL, by largest remainders."""
    share = np.asarray(weights, np.float64)
    share = share / share.sum() * TOTAL
    whole = np.floor(share).astype(np.int64)
    short = TOTAL - int(whole.sum())
    whole[np.argsort(whole - share, kind="stable")[:short]] += 1
    return np.asarray(whole, np.uint8)


def weighted_median(pictures: npt.NDArray[np.uint8], weights: FloatArray) -> npt.NDArray[np.uint8]:
    """The weighted median of pictures (n, ...) uint8 with weights (n,): (...) uint8.

    It is the smallest value that, with all below it, holds half of the weight. Found bit by bit from the
    highest, which takes eight passes and no sorting.
    """
    whole = whole_weights(weights)
    kept = np.flatnonzero(whole)
    median = np.zeros(pictures.shape[1:], np.uint8)
    trial, below = np.empty_like(median), np.empty_like(median)
    less = np.empty(median.shape, bool)
    part = np.empty_like(median)
    for bit in (128, 64, 32, 16, 8, 4, 2, 1):
        np.bitwise_or(median, np.uint8(bit), out=trial)
        below[...] = 0
        for i in kept:
            np.less(pictures[i], trial, out=less)
            np.multiply(less.view(np.uint8), whole[i], out=part)
            below += part
        np.copyto(median, trial, where=below <= TOTAL // 2)
    return median
