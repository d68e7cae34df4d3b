"""One gaze for both eyes, averaged over what the tracker measures of each, so that no result squints."""

from __future__ import annotations

import numpy as np

from gioconda.types import FloatArray

# Viewer's left eye, then viewer's right: the iris's centre and rim, and the corners of the lids.
IRISES = np.arange(468, 478).reshape(2, 5)
CORNERS = np.array([[33, 133], [362, 263]])

# Radius of an eyeball, 12 mm, in inter-ocular units; the outer corners of the eyes are 90 mm apart.
EYEBALL = 0.133
# How far one eye may turn from the mean of both, in inter-ocular units: 0.75 degrees. The eyes of people who look at a
# camera differ by one or two degrees, while the tracker's noise in that difference is four degrees and more.
VERGENCE = EYEBALL * np.sin(np.radians(0.75))
# The farthest that an iris moves from its place at rest, in inter-ocular units: 38 degrees, or 1.25 of its radii.
# Beyond that, the picture of the eye would show the iris twice.
REACH = EYEBALL * np.sin(np.radians(38))
# Least weight of an eye in the mean: a shut one hides its iris, but weights of 0 would divide by 0.
LEAST_WEIGHT = 0.05
# Inter-ocular units; keeps a division by no movement finite.
TINY = 1e-9


def conjugate(change: FloatArray, openings: FloatArray) -> FloatArray:
    """Average the movements of both irises relative to their sockets into one gaze.

    Args:
        change: (478, 3) float32, the driver's landmarks less those at rest, canonical frame, inter-ocular units.
        openings: (2,) float32, how far each eye is open, 1 as at rest. An iris behind a lid counts less.

    Returns:
        (2, 3) float32, the movement of each iris relative to the corners of its eye, inter-ocular units; depth is 0.
    """
    movement = change[IRISES].mean(axis=1) - change[CORNERS].mean(axis=1)
    movement[:, 2] = 0
    weights = np.clip(openings, LEAST_WEIGHT, 1)
    shared = weights @ movement / weights.sum()
    vergence = np.zeros_like(movement)
    half_difference = (movement[:, 0] - movement[::-1, 0]) / 2
    vergence[:, 0] = np.clip(half_difference, -VERGENCE, VERGENCE) * weights.min()
    return np.asarray(shared + vergence, np.float32)


def limit_gaze(movement: FloatArray) -> FloatArray:
    """Limit iris movements (2, 3), inter-ocular units, smoothly to REACH, what an eye can turn from rest."""
    length = np.linalg.norm(movement, axis=1, keepdims=True)
    return np.asarray(movement * (REACH * np.tanh(length / REACH) / np.maximum(length, TINY)), np.float32)


def set_gaze(change: FloatArray, movement: FloatArray) -> None:
    """Move the irises of `change` (478, 3) with their sockets, and by `movement` (2, 3) within them; in place."""
    change[IRISES] = (change[CORNERS].mean(axis=1) + movement)[:, None]
