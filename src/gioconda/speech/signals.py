"""Peaks and sample rates of signals.

SciPy has both, but `scipy.signal` takes two seconds of processor time to import: longer than a portrait takes to say a
word.
"""

from __future__ import annotations

from math import gcd

import numpy as np
import numpy.typing as npt

from gioconda.types import Curve, FloatArray

# Zero crossings of the low-pass filter to each side, and the shape of its Kaiser window.
CROSSINGS, KAISER = 10, 5.0
# Samples of the result that are computed at once.
BLOCK = 2**15


def resample(samples: npt.ArrayLike, rate: int, wanted: int) -> FloatArray:
    """Change the rate of a sound by a polyphase filter; both ends count as silent beyond.

    Args:
        samples: Mono (n,).
        rate: Samples a second.
        wanted: Samples a second of the result.

    Returns:
        (ceil(n * wanted / rate),) float32.
    """
    up, down = wanted // gcd(rate, wanted), rate // gcd(rate, wanted)
    sound = np.asarray(samples, np.float32)
    if up == down:
        return sound
    half = CROSSINGS * max(up, down)
    # Each phase of the filter meets every `up`-th tap; the array gets a whole number of taps for each.
    taps = -(-(2 * half + 1) // up)
    phases = np.zeros(taps * up)
    phases[: 2 * half + 1] = up * _low_pass(half, max(up, down))
    phases = phases.reshape(taps, up).T[:, ::-1].astype(np.float32)
    count = -(-len(sound) * up // down)
    padded = np.pad(sound, (taps - 1, half // up + taps))
    windows = np.lib.stride_tricks.sliding_window_view(padded, taps)
    result = np.empty(count, np.float32)
    for first in range(0, count, BLOCK):
        places = np.arange(first, min(first + BLOCK, count)) * down + half
        result[first : first + BLOCK] = np.einsum("nt,nt->n", windows[places // up], phases[places % up])
    return result


def _low_pass(half: int, slowest: int) -> Curve:
    """A low-pass filter (2 half + 1,) that sums to 1, for signals whose rate changes by the factor `slowest`."""
    taps = np.sinc(np.arange(-half, half + 1) / slowest) * np.kaiser(2 * half + 1, KAISER)
    return np.asarray(taps / taps.sum(), np.float64)


def peaks(curve: Curve, apart: float, rise: float) -> tuple[npt.NDArray[np.int_], Curve]:
    """Find the peaks of a curve.

    Args:
        curve: (T,), not empty.
        apart: Least number of samples from one peak to the next; of nearer ones, the higher stays.
        rise: Least prominence: how far the curve falls from a peak before it rises above it or ends, on the side where
            it falls less.

    Returns:
        The peaks, (P,), and their prominences, (P,). The middle counts as the peak of a plateau.
    """
    found = _spread(curve, _tops(curve), apart)
    prominences = np.array([_prominence(curve, peak) for peak in found])
    high = prominences >= rise
    return found[high], prominences[high]


def _tops(curve: Curve) -> npt.NDArray[np.int_]:
    """Samples, or middles of plateaus, that are higher than those beside them."""
    starts = np.flatnonzero(np.r_[True, np.diff(curve) != 0])
    ends = np.r_[starts[1:], len(curve)] - 1
    levels = curve[starts]
    inner = np.flatnonzero((levels[1:-1] > levels[:-2]) & (levels[1:-1] > levels[2:])) + 1
    return np.asarray((starts[inner] + ends[inner]) // 2, int)


def _spread(curve: Curve, found: npt.NDArray[np.int_], apart: float) -> npt.NDArray[np.int_]:
    """Those peaks that stay at least `apart` from any higher one that stays; of equal ones, the later is the higher."""
    stays = np.ones(len(found), bool)
    for k in np.argsort(curve[found], kind="stable")[::-1]:
        if stays[k]:
            near = np.abs(found - found[k]) < np.ceil(apart)
            near[k] = False
            stays[near] = False
    return found[stays]


def _prominence(curve: Curve, peak: int) -> float:
    """How far a curve falls on both sides of a peak, before it rises above it."""
    higher = np.flatnonzero(curve > curve[peak])
    left = higher[higher < peak].max(initial=-1) + 1
    right = higher[higher > peak].min(initial=len(curve))
    return float(curve[peak] - max(curve[left : peak + 1].min(), curve[peak:right].min()))
