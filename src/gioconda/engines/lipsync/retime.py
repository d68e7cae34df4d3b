"""Which of the target's frames is shown when, so that the head rests where speech does (Suwajanakorn 2017)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from gioconda.types import FloatArray

DRIFT = 25  # frames that the target may run ahead of its own pace, or lag behind
REPEAT, SKIP = 0.6, 0.9  # what it costs to show a frame twice, and to leave one out
_FIRST = 3  # frames of the target at which a video may start

IntArray = npt.NDArray[np.intp]


def to_and_fro(position: IntArray, length: int, tail: int) -> IntArray:
    """Frames (T,) of a video of `length` frames at positions (T,) >= 0 of an endless way through it.

    The way leads once to the end, then back over the last `tail` frames and forth again, without a jump.
    """
    position = np.asarray(position, np.intp)
    reach = min(max(tail, 1), length) - 1
    over = position - (length - 1)
    if reach == 0:
        return np.minimum(position, length - 1)
    phase = over % (2 * reach)
    back = np.minimum(phase, 2 * reach - phase)
    return np.where(over <= 0, position, length - 1 - back).astype(np.intp)


def retime(moving: FloatArray, resting: FloatArray) -> IntArray:
    """Positions (T,) along the target's way at which each of T output frames is taken; steps are 0, 1 or 2.

    moving: (N,) >= 0, how much the head moves at each position, 1 on average; N of at least T + DRIFT + 1.
    resting: (T,) 0..1, how surely speech pauses. No frame is shown three times, none but one is left out in a
    row: after a repeat or a skip comes a plain step. Found by dynamic programming over position and last step.
    """
    count = len(resting)
    drift = min(DRIFT, max(count // 2, 1))
    width = 2 * drift + 1
    offsets = np.arange(-drift, drift + 1)
    best = np.full((width, 2), np.inf)  # state: after a plain step, after any other
    start = drift + np.arange(_FIRST)
    best[start[start < width], 0] = 0
    best[:, 0] += _cost(moving, resting, offsets, 0)
    back = np.zeros((count, width, 2), np.int8)
    for t in range(1, count):
        best, back[t] = _advance(best, _cost(moving, resting, offsets, t), float(resting[t]))
    return _traced(best, back, offsets)


def _cost(moving: FloatArray, resting: FloatArray, offsets: IntArray, t: int) -> FloatArray:
    """What each offset from the plain pace costs at output frame t; infinite where there is no such position."""
    position = t + offsets
    there = (position >= 0) & (position < len(moving))
    value = moving[np.clip(position, 0, len(moving) - 1)] * resting[t]
    return np.asarray(np.where(there, value, np.inf), np.float32)


def _advance(
    best: npt.NDArray[np.float64], cost: FloatArray, resting: float
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int8]]:
    """One step of the recurrence: costs (W, 2) and where each came from, as 2 * step + state before."""
    width = len(best)
    new = np.full((width, 2), np.inf)
    back = np.zeros((width, 2), np.int8)
    state = best.argmin(1)
    new[:, 0], back[:, 0] = best.min(1), 2 + state
    held = np.full(width, np.inf)
    held[:-1] = best[1:, 0] + REPEAT - 0.5 * resting  # a repeat is half a step: the head moves half as much
    left = np.full(width, np.inf)
    left[1:] = best[:-1, 0] + SKIP
    new[:, 1] = np.minimum(held, left)
    back[:, 1] = np.where(held <= left, 0, 4)
    return new + cost[:, None], back


def _traced(best: npt.NDArray[np.float64], back: npt.NDArray[np.int8], offsets: IntArray) -> IntArray:
    """The positions of the cheapest way, from its end back to its start."""
    count = len(back)
    at, state = (int(v) for v in np.unravel_index(int(best.argmin()), best.shape))
    way = np.empty(count, np.intp)
    for t in range(count - 1, -1, -1):
        way[t] = t + offsets[at]
        step, before = divmod(int(back[t, at, state]), 2)
        at, state = at + 1 - step, before
    return way


def resting_at(opening: FloatArray, fps: float) -> FloatArray:
    """How surely speech pauses in each frame, (T,) in 0..1, by the lips' opening (T,) in inter-ocular units.

    Lips that keep still for a third of a second pause.
    """
    reach = max(1, round(0.16 * fps))
    padded = np.pad(opening, reach, mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * reach + 1)
    stir = windows.max(1) - windows.min(1)
    return np.asarray(np.clip(1.5 - stir / 0.02, 0, 1), np.float32)
