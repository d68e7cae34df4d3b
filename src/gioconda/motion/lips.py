"""Lips whose landmarks do not suit them: rounded ones, and a lower lip that reaches over the chin."""

from __future__ import annotations

import numpy as np

from gioconda.runtime.easing import eased
from gioconda.types import FloatArray

# Inner and outer edge of the upper lip, inner edge of the lower lip, each from the viewer's left to the right.
UPPER_INNER = np.array([191, 80, 81, 82, 13, 312, 311, 310, 415])
UPPER_OUTER = np.array([185, 40, 39, 37, 0, 267, 269, 270, 409])
LOWER_INNER = np.array([95, 88, 178, 87, 14, 317, 402, 318, 324])
# Gaps in inter-ocular units. The tracker reports lips that touch as up to MET apart; from OPEN on they are open.
MET, OPEN = 0.015, 0.05
# Inter-ocular units of a chin's height, below which there is none.
FLAT = 0.05

# Columns of landmarks from the lower lip's outer edge down to the chin's outline, from the viewer's left to the right.
CHIN = np.array(
    [
        [91, 106, 204, 211, 170, 149],
        [181, 182, 194, 32, 140, 176],
        [84, 83, 201, 208, 171, 148],
        [17, 18, 200, 199, 175, 152],
        [314, 313, 421, 428, 396, 377],
        [405, 406, 418, 262, 369, 400],
        [321, 335, 424, 431, 395, 378],
    ]
).T
# How far down the chin, from the lip to the outline, a landmark stays at least, relative to its place at rest. Jaws of
# the head model that are 0.7 open keep 0.55 of it.
CHIN_SHARE = 0.6


def lower_chin(shape: FloatArray, rest: FloatArray) -> None:
    """Move the skin of the chin down, in place, where a wide open mouth's lower lip would fold over it.

    The tracker lets the skin below a lip lag behind, and the lip moves as far as the driver's, whose chin may be
    longer. The outline of the chin stays.

    Args:
        shape: (478, 3), canonical frame.
        rest: (478, 3), the same face at rest.
    """
    heights, still = shape[CHIN, 1], rest[CHIN, 1]
    share = (still - still[0]) / np.maximum(still[-1] - still[0], FLAT)
    least = heights[0] + CHIN_SHARE * share * np.maximum(heights[-1] - heights[0], 0)
    shape[CHIN[1:-1], 1] = np.maximum(heights, least)[1:-1]


def open_rounded(change: FloatArray, rest: FloatArray) -> None:
    """Where the lips are parted, lift the upper lip's inner edge to its distance from the outer edge at rest; in place.

    Lips that pout without an opening become thicker in the picture; lips around an opening do not. The tracker finds
    the outer edges of rounded lips well, but puts the upper lip's inner edge in the middle of the opening: the
    thickness that it adds is opening. The lower lip's inner edge has no such bias.

    Args:
        change: (T, 478, 3), landmarks less those at rest, canonical frame, inter-ocular units.
        rest: (478, 3), the same person's landmarks at rest, canonical frame.
    """
    upper, lower = (rest[edge, 1] + change[:, edge, 1] for edge in (UPPER_INNER, LOWER_INNER))
    parted = np.clip(((lower - upper).max(axis=1, keepdims=True) - MET) / (OPEN - MET), 0, 1)
    thicker = np.maximum(change[:, UPPER_INNER, 1] - change[:, UPPER_OUTER, 1], 0)
    change[:, UPPER_INNER, 1] -= eased(parted) * thicker
