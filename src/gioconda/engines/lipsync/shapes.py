"""Which of a bank's mouths make a wanted one: the nearest by shape, their weights, and one whose detail is shown."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gioconda.engines.lipsync.points import LIP_PAIRS, LIP_ROWS
from gioconda.types import FloatArray

NEAREST = 20  # mouths whose median is taken
SHARE = 0.9  # of all weight that they hold (Suwajanakorn 2017)
PER_DEGREE = 0.0025  # inter-ocular units of lip shape that a degree of another head pose counts as
ROWS = 64  # frames looked up together
NEAR = 0.010  # inter-ocular units: a mouth that is so far off costs as much as one of these
JUMP, HOLD = 1.2, 0.5  # what it costs to leave a run of frames, and to show one twice
FAR = 0.012  # inter-ocular units between two mouths that one may follow the other as if it were its neighbour

BIAS_FRAMES, BIAS_NEAREST, BIAS_ROUNDS = 300, 8, 4  # by which a bias is found
BIAS_MOST = 0.04  # inter-ocular units
SHUT, SHUT_SHARE = (
    0.025,
    1 / 6,
)  # inter-ocular units between lips that are all but met; share of frames looked at

IntArray = npt.NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Choice:
    """What M wanted mouths are made of.

    index (M, n) into the bank, nearest first; weights (M, n), which sum to 1; proxy (M,) into the bank, the
    mouth that lends its detail; distance (M,), how far the nearest lies, inter-ocular units.
    """

    index: IntArray
    weights: FloatArray
    proxy: IntArray
    distance: FloatArray


def features(points: FloatArray, pose: FloatArray) -> FloatArray:
    """What mouths are compared by, (N, F): points (N, P, 2) in the face's plane, pose (N, 2) yaw and pitch in degrees.

    The squared distance of two rows is the mean squared distance of the lips' points, with the pose's added.
    """
    lips = points[:, LIP_ROWS] / np.float32(np.sqrt(len(LIP_ROWS)))
    rows = np.concatenate([lips.reshape(len(lips), -1), pose * PER_DEGREE], axis=1)
    return np.asarray(rows, np.float32)


def choose(
    bank: FloatArray, wanted: FloatArray, source: npt.NDArray[np.int32], frame: npt.NDArray[np.int32]
) -> Choice:
    """The mouths of a bank (N, F) that make the wanted ones (M, F).

    source, frame: (N,), from which video and place in it each mouth of the bank is.
    """
    count = min(NEAREST, len(bank))
    parts = list(_nearest(bank, wanted, count))
    index = np.concatenate([part[0] for part in parts])
    squared = np.concatenate([part[1] for part in parts])
    weights = np.concatenate([part[2] for part in parts])
    proxy = _proxies(bank, index, np.sqrt(squared), source, frame)
    return Choice(index, weights, proxy, np.sqrt(squared[:, 0]).astype(np.float32))


def opening(points: FloatArray) -> FloatArray:
    """How far the inner lips are apart, (N,) inter-ocular units, of points (N, P, 2 or 3)."""
    gap = points[:, LIP_PAIRS[:, 1], 1] - points[:, LIP_PAIRS[:, 0], 1]
    return np.asarray(gap.mean(1), np.float32)


def shut_mouth(points: FloatArray) -> FloatArray | None:
    """The mean mouth (P, 2) of those of (N, P, 2) that are most nearly shut; None if they are not."""
    gap = opening(points)
    some = np.argsort(gap)[: max(3, round(len(gap) * SHUT_SHARE))]
    return np.asarray(points[some].mean(0), np.float32) if float(gap[some].mean()) < SHUT else None


def bias(bank: FloatArray, points: FloatArray, wanted: FloatArray, pose: FloatArray) -> FloatArray:
    """A constant shift (P, 2) that brings wanted points (T, P, 2), at poses (T, 2), among a bank's (N, P, 2).

    bank: (N, F), its features. How a face lies at rest is guessed for the mover and for the person alike; what
    differs is no speech, and would bend every mouth. The shift is the mean way to the nearest mouths.
    """
    shift = np.zeros(points.shape[1:], np.float32)
    for _ in range(BIAS_ROUNDS):
        parts = list(_nearest(bank, features(wanted + shift, pose), BIAS_NEAREST))
        index, weights = (np.concatenate([part[k] for part in parts]) for k in (0, 2))
        near = (points[index] * weights[:, :, None, None]).sum(1)
        shift = np.clip((near - wanted).mean(0), -BIAS_MOST, BIAS_MOST).astype(np.float32)
    return shift


def _nearest(
    bank: FloatArray, wanted: FloatArray, count: int
) -> Iterator[tuple[IntArray, FloatArray, FloatArray]]:
    """Index, squared distance and weight, each (rows, count), of some wanted rows at a time."""
    own = (bank**2).sum(1)
    count = min(count, len(bank))
    for start in range(0, len(wanted), ROWS):
        part = wanted[start : start + ROWS]
        squared = np.maximum(own - 2 * part @ bank.T + (part**2).sum(1)[:, None], 0)
        some = np.argpartition(squared, count - 1, axis=1)[:, :count]
        order = np.argsort(np.take_along_axis(squared, some, 1), axis=1, kind="stable")
        index = np.take_along_axis(some, order, 1)
        near = np.take_along_axis(squared, index, 1)
        spread = spreads(squared, near)
        weights = np.exp(-(near - near[:, :1]) / (2 * spread[:, None] ** 2))
        yield index, near, (weights / weights.sum(1, keepdims=True)).astype(np.float32)


def spreads(squared: FloatArray, near: FloatArray) -> FloatArray:
    """Values s (M,) for which exp(-d^2 / 2 s^2) of the nearest sums to SHARE of that of all, by bisection.

    squared: (M, N) squared distances of all; near: (M, n) of the nearest, ascending.
    """
    least = near[:, :1]
    low = np.full(len(near), -12.0)
    high = np.full(len(near), 2.0)
    if near.shape[1] == squared.shape[1]:  # all are near: any spread holds them
        middle = np.sqrt(np.maximum(np.median(near - least, axis=1), 1e-8))
        return np.asarray(middle, np.float32)
    for _ in range(18):
        middle = (low + high) / 2
        rate = -0.5 * np.exp(-2 * middle)[:, None]
        held = np.exp((near - least) * rate).sum(1) / np.exp((squared - least) * rate).sum(1)
        narrow = held >= SHARE
        low, high = np.where(narrow, middle, low), np.where(narrow, high, middle)
    return np.asarray(np.exp(low), np.float32)


def _proxies(
    bank: FloatArray,
    index: IntArray,
    distance: FloatArray,
    source: npt.NDArray[np.int32],
    frame: npt.NDArray[np.int32],
) -> IntArray:
    """One of each moment's nearest (M, n) by the cheapest way through all moments (Viterbi): (M,) into the bank.

    Near ones are cheap, and so is what truly followed, so that detail and grain move as in the person's own video.
    """
    cost = distance[0] / NEAR
    back = np.zeros(index.shape, np.int16)
    for t in range(1, len(index)):
        before, now = index[t - 1], index[t]
        ahead = frame[now][None] - frame[before][:, None]
        same = source[now][None] == source[before][:, None]
        apart = np.linalg.norm(bank[now][None] - bank[before][:, None], axis=2)
        step = JUMP + np.minimum(apart / FAR, 4.0)
        step = np.where(same & (ahead == 0), HOLD, step)
        step = np.where(same & (ahead == 1), 0.0, step)
        total = cost[:, None] + step
        back[t] = total.argmin(0)
        cost = total.min(0) + distance[t] / NEAR
    chosen = np.empty(len(index), np.intp)
    at = int(cost.argmin())
    for t in range(len(index) - 1, -1, -1):
        chosen[t] = index[t, at]
        at = int(back[t, at])
    return chosen
