"""Curves through keyframes that never swing beyond them.

SciPy has the same curves, but takes half a second of processor time to import: too long for a motion of a few seconds.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from gioconda.types import Curve

# Slope at an end, relative to the step beside it, above which a curve could turn between two keyframes.
STEEPEST = 3.0


def interpolate(key_times: npt.ArrayLike, key_values: npt.ArrayLike, times: npt.ArrayLike) -> Curve:
    """Interpolate by monotone cubics.

    Source: Fritsch and Butland, "A method for constructing local monotone piecewise cubic interpolants", SIAM Journal
    on Scientific and Statistical Computing 5, 1984.

    Args:
        key_times: (K,), at least two, increasing.
        key_values: (K,) or (K, C).
        times: (T,), from the first of `key_times` to the last.

    Returns:
        (T,) or (T, C) float64.
    """
    xs, ys, at = (np.asarray(given, np.float64) for given in (key_times, key_values, times))
    columns = ys.reshape(len(ys), -1)
    slopes = _slopes(np.diff(xs)[:, None], np.diff(columns, axis=0) / np.diff(xs)[:, None])
    before = np.clip(np.searchsorted(xs, at, side="right") - 1, 0, len(xs) - 2)
    length = (xs[before + 1] - xs[before])[:, None]
    share = (at - xs[before])[:, None] / length
    # The cubic of Hermite, between the keyframes before and after each time.
    far = share * share * (3 - 2 * share)
    leaves, arrives = share * (1 - share) ** 2, share * share * (share - 1)
    curves = columns[before] * (1 - far) + columns[before + 1] * far
    curves += length * (slopes[before] * leaves + slopes[before + 1] * arrives)
    return curves.reshape(len(at), *ys.shape[1:])


def _slopes(lengths: Curve, steps: Curve) -> Curve:
    """The slopes (K, C) at keyframes; between them, the time is `lengths` (K - 1, 1), the slope `steps` (K - 1, C)."""
    if len(steps) == 1:
        return np.repeat(steps, 2, axis=0)
    before, after = lengths[:-1], lengths[1:]
    near, far = 2 * after + before, after + 2 * before
    turns = steps[:-1] * steps[1:] <= 0
    first, second = np.where(turns, 1, steps[:-1]), np.where(turns, 1, steps[1:])
    inner = np.where(turns, 0, (near + far) / (near / first + far / second))
    ends = _end_slope(lengths[:2], steps[:2]), _end_slope(lengths[:-3:-1], steps[:-3:-1])
    return np.stack([ends[0], *inner, ends[1]])


def _end_slope(lengths: Curve, steps: Curve) -> Curve:
    """The slope (C,) at an end, of `lengths` (2, 1) and `steps` (2, C) beside it, the nearer first."""
    slope = ((2 * lengths[0] + lengths[1]) * steps[0] - lengths[0] * steps[1]) / (lengths[0] + lengths[1])
    slope = np.where(np.sign(slope) == np.sign(steps[0]), slope, 0)
    turns = np.sign(steps[0]) != np.sign(steps[1])
    steep = turns & (np.abs(slope) > STEEPEST * np.abs(steps[0]))
    return np.asarray(np.where(steep, STEEPEST * steps[0], slope), np.float64)
