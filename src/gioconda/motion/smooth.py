"""Motion over time: zero-phase smoothing of whole clips, a causal filter for live use, bridging of gaps."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from gioconda.types import FloatArray

Floats: TypeAlias = npt.NDArray[np.floating[Any]]
Times: TypeAlias = npt.NDArray[np.float64]

# Values filtered together, which bounds the memory that a long clip needs.
CHUNK_VALUES = 1 << 21
# Standard deviations after which a Gaussian's weights are cut off: the rest is less than 0.3%.
KERNEL_SIGMAS = 3
# Sine of the angle between two rotations below which their axis is lost in rounding.
LEAST_SINE = 1e-4


def gaussian(
    values: Floats, sigma: float, times: Times | None = None, *, in_place: bool = False
) -> FloatArray:
    """Smooth values over time by a Gaussian, without delay.

    At both ends the weights are renormalised over the frames that exist.

    Args:
        values: (T, ...).
        sigma: Standard deviation in frames; 0 or less leaves the values as they are.
        times: (T,) seconds, for frames that are unevenly spaced: neighbours weigh by their distance in time, in units
            of the median step.
        in_place: Whether the result takes the place of the values, which are then contiguous float32.

    Returns:
        (T, ...) float32.
    """
    values = np.asarray(values)
    if sigma <= 0 or len(values) < 2:
        return np.asarray(values, np.float32) if in_place else values.astype(np.float32)
    flat = values.reshape(len(values), -1)
    result = np.asarray(flat, np.float32) if in_place else np.empty(flat.shape, np.float32)
    kernel = _kernel(len(values), sigma, times)
    radius, rows = kernel.shape[1] // 2, max(1, CHUNK_VALUES // max(flat.shape[1], 1))
    # Rows before `start` as they were: the result may have taken their place.
    before = flat[:0]
    for start in range(0, len(flat), rows):
        stop, low = min(start + rows, len(flat)), start - len(before)
        window = np.concatenate([before, flat[start : stop + radius]])
        result[start:stop] = _weighted(window, kernel[low : stop + radius], start - low, stop - low)
        before = window[max(stop - radius - low, 0) : stop - low]
    return result.reshape(values.shape)


def smooth_rotations(rotation: Floats, sigma: float, times: Times | None = None) -> FloatArray:
    """Smooth rotations (T, 3, 3) like `gaussian`, and project each mean of matrices to the nearest rotation."""
    rotation = np.asarray(rotation)
    if sigma <= 0 or len(rotation) < 2:
        return rotation.astype(np.float32)
    return nearest_rotation(gaussian(rotation, sigma, times))


def nearest_rotation(matrices: Floats) -> FloatArray:
    """The rotations (..., 3, 3) float32 nearest to matrices (..., 3, 3) in the least-squares sense."""
    u, _, vt = np.linalg.svd(np.asarray(matrices, np.float64))
    u[..., 2] *= np.linalg.det(u @ vt)[..., None]
    return np.asarray(u @ vt, np.float32)


def bridge(confidence: Floats, *arrays: Floats) -> tuple[FloatArray, ...]:
    """Fill the frames of confidence 0 from their neighbours.

    Values are interpolated linearly, arrays of shape (T, 3, 3) as rotations along the shortest arc. Before the first
    and after the last good frame, its value is held.

    Args:
        confidence: (T,); a frame is good above 0.
        arrays: (T, ...), left unchanged.

    Returns:
        Float32 copies of the arrays, gaps filled.

    Raises:
        ValueError: No frame is good.
    """
    filled = tuple(np.array(array, np.float32) for array in arrays)
    fill_gaps(confidence, *filled)
    return filled


def fill_gaps(confidence: Floats, *arrays: FloatArray) -> None:
    """As `bridge`, in place."""
    good = np.flatnonzero(np.asarray(confidence) > 0)
    if len(good) == 0:
        raise ValueError("every frame has confidence 0: there is nothing to bridge from")
    gaps = np.flatnonzero(np.asarray(confidence) <= 0)
    after = np.searchsorted(good, gaps)
    left, right = good[np.maximum(after - 1, 0)], good[np.minimum(after, len(good) - 1)]
    share = np.where(right > left, (gaps - left) / np.maximum(right - left, 1), 0)
    share = np.where(after == 0, 1, share).astype(np.float32)
    for array in arrays if len(gaps) else ():
        array[gaps] = _between(array[left], array[right], share)


class OneEuro:
    """The One-Euro filter (Casiez, Roussel and Vogel 2012) on arrays of any shape, for live motion.

    It smooths strongly at rest, where jitter shows, and little in fast motion, where lag shows.
    """

    def __init__(self, min_cutoff: float = 1.5, beta: float = 40.0, speed_cutoff: float = 1.0) -> None:
        """Set the cut-off frequencies. The defaults suit head pose in inter-ocular units and radians.

        Args:
            min_cutoff: Hz, at rest.
            beta: Hz that a speed of 1 unit a second adds to the cut-off.
            speed_cutoff: Hz, of the filter on the speed.

        Raises:
            ValueError: A cut-off is not above 0, or beta is below 0.
        """
        if min_cutoff <= 0 or beta < 0 or speed_cutoff <= 0:
            raise ValueError("cut-off frequencies must be above 0, and beta must not be negative")
        self._min_cutoff, self._beta, self._speed_cutoff = min_cutoff, beta, speed_cutoff
        self.reset()

    def reset(self) -> None:
        """Discard the past, as after a cut or a lost face."""
        self._time: float | None = None
        self._value: FloatArray = np.zeros(0, np.float32)
        self._speed: FloatArray = np.zeros(0, np.float32)

    def __call__(self, value: Floats, time: float) -> FloatArray:
        """Filter the value of the next moment.

        Args:
            value: Of the same shape in every call.
            time: Seconds, later than in the call before.

        Returns:
            The filtered value, float32, of the same shape.

        Raises:
            ValueError: The shape differs, or the time does not increase.
        """
        value = np.asarray(value, np.float32)
        if self._time is None:
            self._time, self._value, self._speed = time, value, np.zeros_like(value)
            return value.copy()
        # A numpy float64 would make numpy 2 compute in float64.
        step = float(time - self._time)
        if step <= 0 or value.shape != self._value.shape:
            raise ValueError("values must keep their shape, and their times must increase")
        speed = (value - self._value) / step
        self._speed = self._speed + _blend_factor(self._speed_cutoff, step) * (speed - self._speed)
        cutoff = np.float32(self._min_cutoff) + np.float32(self._beta) * np.abs(self._speed)
        self._value = (self._value + _blend_factor(cutoff, step) * (value - self._value)).astype(np.float32)
        self._time = time
        return self._value.copy()


def _blend_factor(cutoff: float | FloatArray, step: float) -> FloatArray:
    """Weight of a new value in a first-order low-pass of `cutoff` Hz after `step` seconds, 0..1."""
    return np.asarray(1 / (1 + 1 / (2 * np.pi * np.asarray(cutoff, np.float32) * step)), np.float32)


def _kernel(count: int, sigma: float, times: Times | None) -> FloatArray:
    """Weights (T, 2R + 1) of each frame's neighbours; 0 outside the clip, each row sums to 1."""
    radius = min(max(1, int(np.ceil(KERNEL_SIGMAS * sigma))), count - 1)
    neighbour = np.arange(count)[:, None] + np.arange(-radius, radius + 1)
    inside = (neighbour >= 0) & (neighbour < count)
    position = np.arange(count, dtype=np.float64)
    if times is not None:
        position = np.asarray(times, np.float64)
        # A mean would grow with a single long gap, and smooth all other frames more.
        position = (position - position[0]) / np.median(np.diff(position))
    distance = position[np.clip(neighbour, 0, count - 1)] - position[:, None]
    weights = np.where(inside, np.exp(-0.5 * (distance / sigma) ** 2), 0)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), np.float32)


def _weighted(flat: Floats, kernel: FloatArray, start: int, stop: int) -> FloatArray:
    """Rows `start` to `stop` of the values (T, N), filtered by the kernel (T, 2R + 1)."""
    radius = kernel.shape[1] // 2
    total = np.zeros((stop - start, flat.shape[1]), np.float32)
    for column, shift in enumerate(range(-radius, radius + 1)):
        first, last = max(start, -shift), min(stop, len(flat) - shift)
        if first < last:
            weight = kernel[first:last, column, None]
            total[first - start : last - start] += weight * flat[first + shift : last + shift]
    return total


def _between(left: FloatArray, right: FloatArray, share: FloatArray) -> FloatArray:
    """Values (N, ...) at the fractions `share` (N,) of the way from left to right, rotations along the shortest arc."""
    if left.shape[1:] == (3, 3):
        return _slerp(left, right, share)
    weight = share.reshape(-1, *[1] * (left.ndim - 1))
    return np.asarray(left + weight * (right - left), np.float32)


def _slerp(left: FloatArray, right: FloatArray, share: FloatArray) -> FloatArray:
    """Rotations (N, 3, 3) at the fractions `share` (N,) of the arc from left to right, by Rodrigues' formula."""
    rotation = np.swapaxes(left, 1, 2).astype(np.float64) @ right
    cosine = np.clip((np.trace(rotation, axis1=1, axis2=2) - 1) / 2, -1, 1)
    angle = np.arccos(cosine)
    skew = (rotation - np.swapaxes(rotation, 1, 2)) / 2
    sine = np.sin(angle)
    # Angles near 0 and near 180 degrees leave no axis: blend the matrices there instead.
    clear = sine > LEAST_SINE
    axis = skew / np.where(clear, sine, 1)[:, None, None]
    part = (angle * share)[:, None, None]
    partial = np.eye(3) + np.sin(part) * axis + (1 - np.cos(part)) * (axis @ axis)
    weight = share[:, None, None]
    blend = nearest_rotation(left + weight * (right - left))
    return np.where(clear[:, None, None], left @ partial, blend).astype(np.float32)
