"""Keyframes of slider values -> a motion that starts at rest and passes smoothly through all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from gioconda.errors import InputError
from gioconda.motion.expression import gaze_from_coefficients
from gioconda.motion.monotone import interpolate
from gioconda.motion.pose import euler_from_rotation, rotation_from_euler
from gioconda.runtime.easing import EASINGS, eased
from gioconda.types import FloatArray, Motion

# Frames a second of the motion, as in most video.
FPS = 25.0
# Seconds; the longest motion that keyframes may make, which bounds what a server renders for one request.
LONGEST_SECONDS = 120.0
# Seconds between keyframes at least: one frame.
CLOSEST_SECONDS = 1 / FPS
# Seconds; times given in hundredths do not subtract exactly.
ROUNDING = 1e-9


def keyframed_motion(
    keys: Mapping[float, Motion] | Sequence[tuple[float, Motion]], easings: Mapping[float, str] | None = None
) -> Motion:
    """Interpolate still motions at FPS frames a second.

    The face is at rest at 0 seconds, and the last frame shows the last keyframe.

    Args:
        keys: Seconds -> a motion of `still_motion`, in any order.
        easings: Seconds of a keyframe -> how the face moves to it, one of EASINGS; without one, by "smooth".

    Raises:
        InputError: There is no keyframe, one is too late, or two are less than CLOSEST_SECONDS apart.
    """
    pairs = sorted(keys.items() if isinstance(keys, Mapping) else keys, key=lambda pair: pair[0])
    times = _frame_times([time for time, _ in pairs])
    key_times = np.array([0.0, *(time for time, _ in pairs)])
    rows = np.stack([_row(pairs[0][1], 1), *(_row(still, 0) for _, still in pairs)])
    names = [(easings or {}).get(time, EASINGS[0]) for time, _ in pairs]
    values = _interpolated(key_times, rows, names, times)
    expression = np.clip(values[:, 3:], 0, 1)
    count = len(times)
    return Motion(
        times=times,
        rotation=rotation_from_euler(*values[:, :3].T),
        translation=np.zeros((count, 2), np.float32),
        scale=np.ones(count, np.float32),
        expression=expression,
        gaze=gaze_from_coefficients(expression),
        confidence=np.ones(count, np.float32),
        reference=0,
        name="keyframes",
    )


def _interpolated(
    key_times: npt.NDArray[np.float64],
    rows: FloatArray,
    easings: Sequence[str],
    times: npt.NDArray[np.float64],
) -> FloatArray:
    """The rows (K, C) of keyframes at key_times (K,), interpolated at times (T,): (T, C); easings has K - 1 names."""
    values = interpolate(key_times, rows, times).astype(np.float32)
    for index, name in enumerate(easings):
        if name == EASINGS[0]:
            continue
        start, end = key_times[index : index + 2]
        within = (times > start) & (times < end)
        share = (times[within] - start) / (end - start)
        share = eased(share) if name == "ease" else share
        values[within] = rows[index] + share[:, None] * (rows[index + 1] - rows[index])
    return values


def _frame_times(key_times: Sequence[float]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Times of all frames (T,) in seconds, from 0 to the last keyframe; InputError as in `keyframed_motion`."""
    if not key_times:
        raise InputError("there are no keyframes yet; add one")
    if not key_times[-1] <= LONGEST_SECONDS:
        raise InputError(
            f"the keyframe at {key_times[-1]:g} s is too late; the last may be at {LONGEST_SECONDS:g} s"
        )
    if (np.diff([0.0, *key_times]) < CLOSEST_SECONDS - ROUNDING).any():
        raise InputError(
            f"the keyframes are too close together; set each at least {CLOSEST_SECONDS:g} s after the one before it,"
            " and the first after 0 s, when the face is at rest"
        )
    return np.arange(round(key_times[-1] * FPS) + 1) / FPS


def _row(motion: Motion, index: int) -> FloatArray:
    """Yaw, pitch and roll in degrees and the 52 coefficients of a frame, (55,)."""
    angles = np.stack(euler_from_rotation(motion.rotation[index]))
    return np.concatenate([angles, motion.expression[index]])
