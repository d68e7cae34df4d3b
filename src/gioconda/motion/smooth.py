"""Motion over time: zero-phase smoothing of whole clips, a causal filter for live use, bridged gaps."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from gioconda.types import FloatArray

Floats: TypeAlias = npt.NDArray[np.floating[Any]]
Times: TypeAlias = npt.NDArray[np.float64]

CHUNK_VALUES = 1 << 21  # values filtered together: bounds the memory of a long clip


def gaussian(values: Floats, sigma: float, times: Times | None = None) -> FloatArray:
    """Values (T, ...) smoothed over time by a Gaussian of `sigma` frames, without delay; float32.

    times: (T,) seconds; where frames come irregularly, neighbours weigh by their distance in time, sigma
    being of mean frame lengths. Ends are renormalised: nothing from beyond the clip is made up.
    """
    values = np.asarray(values)
    if sigma <= 0 or len(values) < 2:
        return values.astype(np.float32)
    flat = values.reshape(len(values), -1)
    result = np.empty(flat.shape, np.float32)
    kernel = _kernel(len(values), sigma, times)
    rows = max(1, CHUNK_VALUES // max(flat.shape[1], 1))
    for start in range(0, len(flat), rows):
        stop = min(start + rows, len(flat))
        result[start:stop] = _weighted(flat, kernel, start, stop)
    return result.reshape(values.shape)


def smooth_rotations(rotation: Floats, sigma: float, times: Times | None = None) -> FloatArray:
    """Rotations (T, 3, 3) smoothed like `gaussian`; each mean of matrices is turned back into a rotation."""
    rotation = np.asarray(rotation)
    if sigma <= 0 or len(rotation) < 2:
        return rotation.astype(np.float32)
    return nearest_rotation(gaussian(rotation, sigma, times))


def nearest_rotation(matrices: Floats) -> FloatArray:
    """The rotations (..., 3, 3) nearest to some matrices, in the least-squares sense."""
    u, _, vt = np.linalg.svd(np.asarray(matrices, np.float64))
    u[..., 2] *= np.linalg.det(u @ vt)[..., None]
    return np.asarray(u @ vt, np.float32)


def bridge(confidence: Floats, *arrays: Floats) -> tuple[FloatArray, ...]:
    """Fill the frames of confidence 0 from their neighbours; arrays (T, ...) come back as float32.

    Values are interpolated, arrays of shape (T, 3, 3) as rotations along the shortest turn; before the first
    and after the last good frame its value is held. The arrays given are left alone. ValueError if no
    frame is good.
    """
    good = np.flatnonzero(np.asarray(confidence) > 0)
    if len(good) == 0:
        raise ValueError("every frame has confidence 0: there is nothing to bridge from")
    gaps = np.flatnonzero(np.asarray(confidence) <= 0)
    after = np.searchsorted(good, gaps)
    left, right = good[np.maximum(after - 1, 0)], good[np.minimum(after, len(good) - 1)]
    share = np.where(right > left, (gaps - left) / np.maximum(right - left, 1), 0)
    share = np.where(after == 0, 1, share).astype(np.float32)
    filled = []
    for array in arrays:
        result = np.array(array, np.float32)
        if len(gaps):
            result[gaps] = _between(result[left], result[right], share)
        filled.append(result)
    return tuple(filled)


class OneEuro:
    """The One-Euro filter (Casiez, Roussel and Vogel 2012) on arrays of any shape, for live motion.

    It smooths strongly at rest, where jitter shows, and little in fast motion, where lag shows.
    min_cutoff: Hz at rest. beta: Hz that a speed of 1 unit a second adds. The defaults suit head pose in
    inter-ocular units and radians; expression takes `OneEuro(2, 80)`.
    """

    def __init__(self, min_cutoff: float = 1.5, beta: float = 40.0, speed_cutoff: float = 1.0) -> None:
        if min_cutoff <= 0 or beta < 0 or speed_cutoff <= 0:
            raise ValueError("cut-off frequencies must be above 0 and beta not below it")
        self._min_cutoff, self._beta, self._speed_cutoff = min_cutoff, beta, speed_cutoff
        self.reset()

    def reset(self) -> None:
        """Forget the past, as at a cut or after a lost face."""
        self._time: float | None = None
        self._value: FloatArray = np.zeros(0, np.float32)
        self._speed: FloatArray = np.zeros(0, np.float32)

    def __call__(self, value: Floats, time: float) -> FloatArray:
        """The filtered value at `time` seconds; same shape as before, times increasing (else ValueError)."""
        value = np.asarray(value, np.float32)
        if self._time is None:
            self._time, self._value, self._speed = time, value, np.zeros_like(value)
            return value.copy()
        step = time - self._time
        if step <= 0 or value.shape != self._value.shape:
            raise ValueError("values must keep their shape and come with increasing times")
        speed = (value - self._value) / step
        self._speed = self._speed + _share(self._speed_cutoff, step) * (speed - self._speed)
        cutoff = self._min_cutoff + self._beta * np.abs(self._speed)
        self._value = (self._value + _share(cutoff, step) * (value - self._value)).astype(np.float32)
        self._time = time
        return self._value.copy()


def _share(cutoff: float | FloatArray, step: float) -> FloatArray:
    """How much of a new value a first-order low-pass takes in after `step` seconds."""
    return np.asarray(1 / (1 + 1 / (2 * np.pi * np.asarray(cutoff, np.float32) * step)), np.float32)


def _kernel(count: int, sigma: float, times: Times | None) -> FloatArray:
    """Weight (T, 2R + 1) of each frame's neighbours, 0 outside the clip, rows summing to 1."""
    radius = min(max(1, int(np.ceil(3 * sigma))), count - 1)
    neighbour = np.arange(count)[:, None] + np.arange(-radius, radius + 1)
    inside = (neighbour >= 0) & (neighbour < count)
    place = np.arange(count, dtype=np.float64)
    if times is not None:
        place = (np.asarray(times) - times[0]) / ((times[-1] - times[0]) / (count - 1))
    distance = place[np.clip(neighbour, 0, count - 1)] - place[:, None]
    weights = np.where(inside, np.exp(-0.5 * (distance / sigma) ** 2), 0)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), np.float32)


def _weighted(flat: Floats, kernel: FloatArray, start: int, stop: int) -> FloatArray:
    """Rows start..stop of the filtered (T, N) values."""
    radius = kernel.shape[1] // 2
    total = np.zeros((stop - start, flat.shape[1]), np.float32)
    for column, shift in enumerate(range(-radius, radius + 1)):
        first, last = max(start, -shift), min(stop, len(flat) - shift)
        if first < last:
            weight = kernel[first:last, column, None]
            total[first - start : last - start] += weight * flat[first + shift : last + shift]
    return total


def _between(left: FloatArray, right: FloatArray, share: FloatArray) -> FloatArray:
    """Values at `share` of the way from left to right, along the shortest turn for rotations."""
    if left.shape[1:] == (3, 3):
        return _slerp(left, right, share)
    weight = share.reshape(-1, *[1] * (left.ndim - 1))
    return np.asarray(left + weight * (right - left), np.float32)


def _slerp(left: FloatArray, right: FloatArray, share: FloatArray) -> FloatArray:
    """Rotations (N, 3, 3) at `share` (N,) of the turn from left to right, by Rodrigues' formula."""
    turn = np.swapaxes(left, 1, 2).astype(np.float64) @ right
    cosine = np.clip((np.trace(turn, axis1=1, axis2=2) - 1) / 2, -1, 1)
    angle = np.arccos(cosine)
    skew = (turn - np.swapaxes(turn, 1, 2)) / 2
    sine = np.sin(angle)
    # Nearly none or nearly half a turn leaves no axis: blend the matrices there instead.
    clear = sine > 1e-4
    axis = skew / np.where(clear, sine, 1)[:, None, None]
    part = (angle * share)[:, None, None]
    partial = np.eye(3) + np.sin(part) * axis + (1 - np.cos(part)) * (axis @ axis)
    weight = share[:, None, None]
    blend = nearest_rotation(left + weight * (right - left))
    return np.where(clear[:, None, None], left @ partial, blend).astype(np.float32)
