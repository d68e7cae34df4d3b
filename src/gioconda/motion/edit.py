"""Sliders -> a motion of one frame."""

from __future__ import annotations

import numpy as np

from gioconda.errors import InputError
from gioconda.motion.expression import coefficients_from_gaze
from gioconda.motion.pose import rotation_from_euler
from gioconda.types import ARKIT_INDEX, ARKIT_NAMES, Motion


def still_motion(
    yaw: float, pitch: float, roll: float, gaze_x: float, gaze_y: float, coefficients: dict[str, float]
) -> Motion:
    """One moment: angles in degrees, gaze in -1..1, coefficients by ARKit name in 0..1.

    Two frames, the second at rest, so that the first is told as a change from it.
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
        times=np.array([0.0, 0.04]),
        rotation=rotation_from_euler(*angles.T),
        translation=np.zeros((2, 2), np.float32),
        scale=np.ones(2, np.float32),
        expression=expression,
        gaze=gaze,
        confidence=np.ones(2, np.float32),
        reference=1,
        name="sliders",
    )
