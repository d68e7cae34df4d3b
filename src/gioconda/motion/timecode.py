"""Timecodes HH:MM:SS:FF.mmm, whose frames count at a rate that the rows themselves have to show."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

RATE = 60
"""Frames a second that timecodes count where the rows do not show it."""
RATES = (24, 25, 30, 48, 50, 60, 100, 120)
_DAY = 24 * 3600.0  # seconds


def frame_rate(seconds: npt.NDArray[np.float64], frames: npt.NDArray[np.float64]) -> int | None:
    """The rate at which frame numbers begin anew with each second.

    Where a second ends, the step to the next row is as long as the steps within it: of the usual rates one fits best.

    Args:
        seconds: Whole seconds of each row, (T,).
        frames: Frames, with their fraction, of each row, (T,).

    Returns:
        Frames a second; None where no second ends among the rows.
    """
    step = np.diff(seconds)
    within, ends = np.diff(frames)[step == 0], np.flatnonzero(step == 1)
    possible = [rate for rate in RATES if rate > np.floor(frames.max())]
    if not len(ends) or not len(within) or not possible:
        return None
    usual = float(np.median(within))
    left = np.array(possible)[:, None] - frames[ends] + frames[ends + 1]
    return int(possible[int(np.argmin(np.median(np.abs(left - usual), axis=1)))])


def seconds_from_first(
    seconds: npt.NDArray[np.float64], frames: npt.NDArray[np.float64], rate: int
) -> npt.NDArray[np.float64]:
    """Times (T,) in seconds from the first row; past midnight goes on."""
    times = seconds + frames / rate
    times += _DAY * np.concatenate([[0], np.cumsum(np.diff(times) < -_DAY / 2)])
    return np.asarray(times - times[0], np.float64)
