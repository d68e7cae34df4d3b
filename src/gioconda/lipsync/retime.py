"""Retime the target video so that the head rests where speech pauses (Suwajanakorn 2017)."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from gioconda.types import FloatArray, Image

# Seconds by which the output may run ahead of the target's own pace, or lag behind.
DRIFT_SECONDS = 1.0
# Costs of showing a frame twice, and of skipping one, in mean movements of the head.
REPEAT, SKIP = 0.6, 0.9
# First moments of the target at which the output may start.
STARTS = 3
# Seconds to each side of a frame within which the lips must keep still for a pause.
PAUSE_REACH = 0.16
# Inter-ocular units by which the opening varies while speech goes on: half of it is no clear pause any more.
PAUSE_STIR = 0.02

IntArray = npt.NDArray[np.intp]


def to_and_fro(position: IntArray, length: int, tail: int) -> IntArray:
    """Map positions of endless playback to moments of a video.

    The video plays once to its end, then back over its last moments and forth again, without a jump.

    Args:
        position: (T,), positions >= 0.
        length: Moments of the video.
        tail: The number of last moments that play back and forth.

    Returns:
        (T,), indices of moments.
    """
    position = np.asarray(position, np.intp)
    reach = min(max(tail, 1), length) - 1
    over = position - (length - 1)
    if reach == 0:
        return np.minimum(position, length - 1)
    phase = over % (2 * reach)
    back = np.minimum(phase, 2 * reach - phase)
    return np.where(over <= 0, position, length - 1 - back).astype(np.intp)


def retime(moving: FloatArray, resting: FloatArray, drift: int) -> IntArray:
    """Choose the position in the target for each output frame, by dynamic programming over position and last step.

    Steps are 0, 1 or 2. A step of 1 follows each repeat and each skip: no frame appears three times, and no two
    neighbours are skipped.

    Args:
        moving: (N,) >= 0, the head's movement at each position, 1 on average; N is at least T + drift + 1.
        resting: (T,), 0 to 1, how surely speech pauses.
        drift: Positions by which the output may run ahead of the target's own pace, or lag behind.

    Returns:
        (T,), positions.
    """
    count = len(resting)
    drift = min(drift, max(count // 2, 1))
    width = 2 * drift + 1
    offsets = np.arange(-drift, drift + 1)
    # the second axis is the state: after a step of 1, after any other
    best = np.full((width, 2), np.inf)
    start = drift + np.arange(STARTS)
    best[start[start < width], 0] = 0
    best[:, 0] += _cost(moving, resting, offsets, 0)
    back = np.zeros((count, width, 2), np.int8)
    for t in range(1, count):
        best, back[t] = _advance(best, _cost(moving, resting, offsets, t), float(resting[t]))
    return _backtracked(best, back, offsets)


def _cost(moving: FloatArray, resting: FloatArray, offsets: IntArray, t: int) -> FloatArray:
    """The cost of each offset from the target's own pace at output frame t; infinite where there is no frame."""
    position = t + offsets
    exists = (position >= 0) & (position < len(moving))
    value = moving[np.clip(position, 0, len(moving) - 1)] * resting[t]
    return np.asarray(np.where(exists, value, np.inf), np.float32)


def _advance(
    best: npt.NDArray[np.float64], cost: FloatArray, resting: float
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int8]]:
    """One step of the recurrence: costs (W, 2), and the origin of each as 2 * step + state before."""
    width = len(best)
    new = np.full((width, 2), np.inf)
    back = np.zeros((width, 2), np.int8)
    state = best.argmin(1)
    new[:, 0], back[:, 0] = best.min(1), 2 + state
    held = np.full(width, np.inf)
    # a repeat is half a step: the head moves half as much
    held[:-1] = best[1:, 0] + REPEAT - 0.5 * resting
    skipped = np.full(width, np.inf)
    skipped[1:] = best[:-1, 0] + SKIP
    new[:, 1] = np.minimum(held, skipped)
    back[:, 1] = np.where(held <= skipped, 0, 4)
    return new + cost[:, None], back


def _backtracked(best: npt.NDArray[np.float64], back: npt.NDArray[np.int8], offsets: IntArray) -> IntArray:
    """The positions (T,) of the cheapest sequence, traced from its end back to its start."""
    count = len(back)
    at, state = (int(v) for v in np.unravel_index(int(best.argmin()), best.shape))
    positions = np.empty(count, np.intp)
    for t in range(count - 1, -1, -1):
        positions[t] = t + offsets[at]
        step, before = divmod(int(back[t, at, state]), 2)
        at, state = at + 1 - step, before
    return positions


def resting_at(opening: FloatArray, fps: float) -> FloatArray:
    """How surely speech pauses in each frame: lips that keep still for a third of a second pause.

    Args:
        opening: (T,), the lips' opening in inter-ocular units.
        fps: Frames a second.

    Returns:
        (T,) float32, 0 to 1.
    """
    reach = max(1, round(PAUSE_REACH * fps))
    padded = np.pad(opening, reach, mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * reach + 1)
    stir = windows.max(1) - windows.min(1)
    return np.asarray(np.clip(1.5 - stir / PAUSE_STIR, 0, 1), np.float32)


def halfway(first: Image, second: Image) -> Image:
    """Interpolate the picture half-way between two, (H, W, 3) uint8, along dense optical flow."""
    flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
    grey = [np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.uint8) for image in (first, second)]
    still = np.zeros((*grey[0].shape, 2), np.float32)
    move = np.asarray(flow.calc(grey[0], grey[1], still), np.float32)
    height, width = grey[0].shape
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    # the flow of the first frame replaces that of the moment between: faces move little between frames
    sides = [
        cv2.remap(
            image,
            x + s * move[..., 0],
            y + s * move[..., 1],
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )
        for image, s in ((first, -0.5), (second, 0.5))
    ]
    return np.asarray(cv2.addWeighted(sides[0], 0.5, sides[1], 0.5, 0), np.uint8)
