"""Rounded lips: the tracker puts the upper lip's inner edge too low, so that an "o" would hardly part the lips."""

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
