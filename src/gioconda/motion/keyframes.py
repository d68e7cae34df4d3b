"""Keyframes of sliders -> a motion, which begins at rest and goes smoothly from each to the next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from scipy.interpolate import PchipInterpolator

from gioconda.errors import InputError
from gioconda.motion.expression import gaze_from_coefficients
from gioconda.motion.pose import euler_from_rotation, rotation_from_euler
from gioconda.types import FloatArray, Motion

FPS = 25.0
LONGEST_SECONDS = 120.0
CLOSEST_SECONDS = 1 / FPS


def keyframed_motion(keys: Mapping[float, Motion] | Sequence[tuple[float, Motion]]) -> Motion:
    """A motion of FPS frames a second through looks, each as `still_motion` makes them, at their times.

    keys: seconds after 0, at which the face is at rest, and the look of that moment. Values run in monotone cubics,
    without overshoot; the last look is held by the last frame. InputError for times that do not go upwards.
    """
    pairs = sorted(keys.items() if isinstance(keys, Mapping) else keys, key=lambda pair: pair[0])
    moments = _moments([time for time, _ in pairs])
    known = np.array([0.0, *(time for time, _ in pairs)])
    rows = np.stack([_row(pairs[0][1], 1), *(_row(look, 0) for _, look in pairs)])
    values = np.asarray(PchipInterpolator(known, rows)(moments), np.float32)
    expression = np.clip(values[:, 3:], 0, 1)
    count = len(moments)
    return Motion(
        times=moments,
        rotation=rotation_from_euler(*values[:, :3].T),
        translation=np.zeros((count, 2), np.float32),
        scale=np.ones(count, np.float32),
        expression=expression,
        gaze=gaze_from_coefficients(expression),
        confidence=np.ones(count, np.float32),
        reference=0,
        name="keyframes",
    )


def _moments(times: Sequence[float]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Times of all frames, from 0 to the last keyframe."""
    if not times:
        raise InputError("there are no keyframes yet; add one")
    if not times[-1] <= LONGEST_SECONDS:
        raise InputError(f"a keyframe at {times[-1]:g} s is too late; {LONGEST_SECONDS:g} s are the most")
    if (np.diff([0.0, *times]) < CLOSEST_SECONDS - 1e-9).any():
        raise InputError(
            "keyframes lie too close: each comes 0.04 s or more after the one before, the first after 0 s,"
            " when the face is at rest"
        )
    return np.arange(round(times[-1] * FPS) + 1) / FPS


def _row(look: Motion, index: int) -> FloatArray:
    """Yaw, pitch, roll and the 52 coefficients of a frame."""
    angles = np.stack(euler_from_rotation(look.rotation[index]))
    return np.concatenate([angles, look.expression[index]])
