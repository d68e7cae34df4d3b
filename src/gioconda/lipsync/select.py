"""Select the mouths of a database that make up a wanted one: the nearest by shape, their weights, and a proxy.

Stored features are those of the database; queries are those of the wanted mouths.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gioconda.lipsync.points import LIP_PAIRS, LIP_ROWS
from gioconda.runtime.easing import eased
from gioconda.types import FloatArray

# Mouths whose median is shown.
NEAREST = 20
# Share of all weight that the nearest mouths hold (Suwajanakorn 2017).
SHARE = 0.9
# Inter-ocular units of lip shape that a degree of difference in head pose counts as.
PER_DEGREE = 0.0025
# Queries that are looked up at once, which bounds memory.
ROWS = 64
# Costs of a proxy. Inter-ocular units of distance that cost 1.
NEAR = 0.010
# Cost of leaving a run of frames, and of showing one twice.
JUMP, HOLD = 1.2, 0.5
# Inter-ocular units between a mouth and the next that cost 1 more at a jump, and the most that they cost.
FAR, FAR_MOST = 0.012, 4.0

# Frames that a bias is estimated from, the nearest mouths of each, and the rounds of the estimate.
BIAS_FRAMES, BIAS_NEAREST, BIAS_ROUNDS = 300, 8, 4
# Largest bias, in inter-ocular units.
BIAS_MOST = 0.04
# Inter-ocular units between lips that all but meet, and the largest share of frames that count as shut mouths.
SHUT, SHUT_SHARE = 0.025, 1 / 6
# Inter-ocular units of lip shape that meeting lips count as: people see whether lips meet.
SHUT_APART = 0.03
# Range of the logarithm of kernel widths, and the steps of their bisection.
WIDTH_LOGS, WIDTH_STEPS = (-12.0, 2.0), 18
# Least variance of a kernel, square inter-ocular units, so that equal distances divide by no zero.
VARIANCE_LEAST = 1e-8

IntArray = npt.NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class MouthSelection:
    """The mouths of a database that make up M wanted ones.

    Attributes:
        index: (M, n), indices of the nearest mouths, nearest first.
        weights: (M, n) float32, their weights, which sum to 1.
        proxy: (M,), index of the mouth that lends its detail.
        distance: (M,) float32, distance of the nearest mouth in inter-ocular units.
    """

    index: IntArray
    weights: FloatArray
    proxy: IntArray
    distance: FloatArray


def features(points: FloatArray, pose: FloatArray) -> FloatArray:
    """Compute the features by which mouths are compared.

    The squared distance of two rows is the mean squared distance of the lips' points, plus terms for the pose and for
    whether the lips meet. The last column holds the latter.

    Args:
        points: (N, P, 2), `POINTS` in the face's plane, inter-ocular units.
        pose: (N, 2), yaw and pitch in degrees.

    Returns:
        (N, F) float32.
    """
    lips = points[:, LIP_ROWS] / np.float32(np.sqrt(len(LIP_ROWS)))
    meet = SHUT_APART * lip_closure(points)[:, None]
    rows = np.concatenate([lips.reshape(len(lips), -1), pose * PER_DEGREE, meet], axis=1)
    return np.asarray(rows, np.float32)


def lip_closure(points: FloatArray) -> FloatArray:
    """How surely the lips of mouths (N, P, 2 or 3) meet: (N,) float32, 0 to 1."""
    share = np.clip(2 - opening(points) / np.float32(SHUT), 0, 1)
    return np.asarray(eased(share), np.float32)


def select_mouths(
    stored: FloatArray, queries: FloatArray, source: npt.NDArray[np.int32], frame: npt.NDArray[np.int32]
) -> MouthSelection:
    """Select the mouths of a database for each query.

    Args:
        stored: (N, F), features of the database.
        queries: (M, F), features of the wanted mouths, in temporal order.
        source: (N,), the video that each stored mouth is from.
        frame: (N,), its frame in that video.
    """
    count = min(NEAREST, len(stored))
    parts = list(_nearest(stored, queries, count))
    index = np.concatenate([part[0] for part in parts])
    squared = np.concatenate([part[1] for part in parts])
    weights = np.concatenate([part[2] for part in parts])
    proxy = _proxies(stored, index, np.sqrt(squared), source, frame)
    return MouthSelection(index, weights, proxy, np.sqrt(squared[:, 0]).astype(np.float32))


def opening(points: FloatArray) -> FloatArray:
    """The mean distance of the inner lips, (N,) float32 in the units of points (N, P, 2 or 3)."""
    gap = points[:, LIP_PAIRS[:, 1], 1] - points[:, LIP_PAIRS[:, 0], 1]
    return np.asarray(gap.mean(1), np.float32)


def closed_mouths(points: FloatArray) -> IntArray:
    """Indices of the mouths (N, P, 2 or 3) whose lips meet, even if a quick speaker has few; may be empty."""
    gap = opening(points)
    narrowest = np.argsort(gap)[: max(1, round(len(gap) * SHUT_SHARE))]
    return np.asarray(narrowest[gap[narrowest] < SHUT], np.intp)


def shape_bias(stored: FloatArray, points: FloatArray, queries: FloatArray, pose: FloatArray) -> FloatArray:
    """Estimate the constant shift that brings driven mouths among the stored ones.

    The face at rest is an estimate, for the driver and for the person. Their difference is no speech, and would bend
    every mouth. The shift is the mean displacement to the nearest mouths. Shut mouths do not count, since their shape
    is known.

    Args:
        stored: (N, F), features of the database.
        points: (N, P, 2), its points.
        queries: (T, P, 2), points of the driven mouths in the face's plane.
        pose: (T, 2), yaw and pitch of the target in degrees.

    Returns:
        (P, 2) float32, inter-ocular units; 0 where all mouths are shut.
    """
    apart = 1 - lip_closure(queries)
    shift = np.zeros(points.shape[1:], np.float32)
    for _ in range(BIAS_ROUNDS):
        parts = list(_nearest(stored, features(queries + shift, pose), BIAS_NEAREST))
        index, weights = (np.concatenate([part[k] for part in parts]) for k in (0, 2))
        near = (points[index] * weights[:, :, None, None]).sum(1)
        mean = np.tensordot(apart, near - queries, 1) / max(float(apart.sum()), 1.0)
        shift = np.clip(mean, -BIAS_MOST, BIAS_MOST).astype(np.float32)
    return shift


def _nearest(
    stored: FloatArray, queries: FloatArray, count: int
) -> Iterator[tuple[IntArray, FloatArray, FloatArray]]:
    """Index, squared distance and weight of the nearest mouths, (rows, count) each, for some queries at a time."""
    own = (stored**2).sum(1)
    count = min(count, len(stored))
    for start in range(0, len(queries), ROWS):
        part = queries[start : start + ROWS]
        squared = np.maximum(own - 2 * part @ stored.T + (part**2).sum(1)[:, None], 0)
        nearest = np.argpartition(squared, count - 1, axis=1)[:, :count]
        order = np.argsort(np.take_along_axis(squared, nearest, 1), axis=1, kind="stable")
        index = np.take_along_axis(nearest, order, 1)
        near = np.take_along_axis(squared, index, 1)
        widths = kernel_widths(squared, near)
        weights = np.exp(-(near - near[:, :1]) / (2 * widths[:, None] ** 2))
        weights *= _as_shut(stored[index, -1], part[:, -1:])
        yield index, near, (weights / weights.sum(1, keepdims=True)).astype(np.float32)


def _as_shut(theirs: FloatArray, ours: FloatArray) -> FloatArray:
    """Weights (rows, count) that make a shut mouth of shut ones alone, where the nearest is one.

    theirs: (rows, count), the last feature of stored mouths. ours: (rows, 1), that of the queries.
    """
    open_ = 1 - theirs / np.float32(SHUT_APART)
    return np.asarray(1 - (ours / np.float32(SHUT_APART)) * np.maximum(open_ - open_[:, :1], 0), np.float32)


def kernel_widths(squared: FloatArray, near: FloatArray) -> FloatArray:
    """Find each query's kernel width s for which the nearest mouths hold SHARE of all weight exp(-d^2 / 2 s^2).

    Args:
        squared: (M, N), squared distances of all mouths.
        near: (M, n), those of the nearest, ascending.

    Returns:
        (M,) float32, by bisection; from the median distance where all mouths are among the nearest.
    """
    least = near[:, :1]
    low, high = (np.full(len(near), log) for log in WIDTH_LOGS)
    if near.shape[1] == squared.shape[1]:
        middle = np.sqrt(np.maximum(np.median(near - least, axis=1), VARIANCE_LEAST))
        return np.asarray(middle, np.float32)
    for _ in range(WIDTH_STEPS):
        middle = (low + high) / 2
        rate = -0.5 * np.exp(-2 * middle)[:, None]
        held = np.exp((near - least) * rate).sum(1) / np.exp((squared - least) * rate).sum(1)
        narrow = held >= SHARE
        low, high = np.where(narrow, middle, low), np.where(narrow, high, middle)
    return np.asarray(np.exp(low), np.float32)


def _proxies(
    stored: FloatArray,
    index: IntArray,
    distance: FloatArray,
    source: npt.NDArray[np.int32],
    frame: npt.NDArray[np.int32],
) -> IntArray:
    """Choose one of each moment's nearest mouths (M, n), by the cheapest sequence (Viterbi): (M,) indices.

    Near mouths are cheap, and so are true successors: detail and grain then move as in the person's own video.
    """
    cost = distance[0] / NEAR
    back = np.zeros(index.shape, np.int16)
    for t in range(1, len(index)):
        before, now = index[t - 1], index[t]
        ahead = frame[now][None] - frame[before][:, None]
        same = source[now][None] == source[before][:, None]
        apart = np.linalg.norm(stored[now][None] - stored[before][:, None], axis=2)
        step = JUMP + np.minimum(apart / FAR, FAR_MOST)
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
