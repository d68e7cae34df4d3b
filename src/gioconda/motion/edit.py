"""Slider values -> a motion that holds one pose, or a moment of a live driver."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache

import numpy as np

from gioconda.errors import InputError
from gioconda.motion.expression import coefficients_from_gaze
from gioconda.motion.moments import DriverCalibration, Moment, calibrate, moment_of
from gioconda.motion.pose import rotation_from_euler
from gioconda.types import ARKIT_INDEX, ARKIT_NAMES, Motion

FRAME_SECONDS = 0.04
"""Seconds between the two frames: one frame at 25 frames a second."""


def still_motion(
    yaw: float, pitch: float, roll: float, gaze_x: float, gaze_y: float, coefficients: Mapping[str, float]
) -> Motion:
    """Build the motion of a single pose.

    The motion has two frames. The second shows the face at rest and is the reference, so that the first counts as a
    change from it.

    Args:
        yaw: Degrees, positive to the viewer's right.
        pitch: Degrees, positive upwards.
        roll: Degrees, positive clockwise for the viewer.
        gaze_x: -1 to 1, positive to the viewer's right.
        gaze_y: -1 to 1, positive upwards.
        coefficients: ARKit name -> coefficient, 0 to 1.

    Raises:
        InputError: A name is unknown, or a coefficient is out of range.
    """
    gaze = np.array([[gaze_x, gaze_y], [0, 0]], np.float32)
    expression = coefficients_from_gaze(gaze)
    for name, value in coefficients.items():
        if name not in ARKIT_INDEX:
            raise InputError(f"unknown expression {name!r}; `gioconda edit --list` prints the names")
        if not 0 <= value <= 1:
            raise InputError(f"{name}={value:g} is out of range; use 0 to 1")
        expression[0, ARKIT_INDEX[name]] = value
    assert expression.shape == (2, len(ARKIT_NAMES))
    angles = np.array([[yaw, pitch, roll], [0, 0, 0]], np.float32)
    return Motion(
        times=np.array([0.0, FRAME_SECONDS]),
        rotation=rotation_from_euler(*angles.T),
        translation=np.zeros((2, 2), np.float32),
        scale=np.ones(2, np.float32),
        expression=expression,
        gaze=gaze,
        confidence=np.ones(2, np.float32),
        reference=1,
        name="sliders",
    )


def still_moment(time: float, motion: Motion) -> Moment:
    """The pose of a motion of `still_motion` as the moment of a live driver at `time` seconds."""
    return replace(moment_of(motion, 0), time=time)


@lru_cache(maxsize=1)
def authored_calibration() -> DriverCalibration:
    """The calibration of a live driver whose moments come from `still_moment`; always the same object."""
    rest = still_motion(0, 0, 0, 0, 0, {})
    return replace(calibrate(rest, rest.all_takes[0]), speaks=True)
