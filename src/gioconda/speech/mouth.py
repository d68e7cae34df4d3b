"""The coefficients that a voice moves, and the landmarks of lips and chin."""

from __future__ import annotations

import numpy as np

from gioconda.types import ARKIT_INDEX, ARKIT_NAMES

MOVED: tuple[str, ...] = tuple(n for n in ARKIT_NAMES if n.startswith(("jaw", "mouth")))
"""The coefficients that the networks predict, in the order of their outputs."""
COLUMNS = np.array([ARKIT_INDEX[name] for name in MOVED])
"""Their indices among ARKIT_NAMES."""

LIPS = np.array(
    [
        *[61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 185, 40, 39, 37, 0, 267, 269, 270, 409],
        *[78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 191, 80, 81, 82, 13, 312, 311, 310, 415],
    ]
)
CHIN = np.array([152, 199, 200, 175])
POINTS = np.r_[LIPS, CHIN]
UPPER, LOWER = np.array([81, 82, 13, 312, 311]), np.array([178, 87, 14, 317, 402])
"""Middle of the inner lips, in pairs one above the other: their mean distance is the mouth's opening."""
