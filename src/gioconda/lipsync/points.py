"""The landmarks that describe a mouth, as rows of one short list."""

from __future__ import annotations

import numpy as np

LIPS = (
    *(61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 185, 40, 39, 37, 0, 267, 269, 270, 409),
    *(78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 191, 80, 81, 82, 13, 312, 311, 310, 415),
)
AROUND = (164, 165, 391, 92, 322, 186, 410, 57, 287, 43, 273, 106, 335, 182, 406, 83, 313, 18)
CHIN = (200, 199, 175, 32, 262, 171, 396, 211, 431, 210, 430, 170, 395)
JAW = (152, 148, 377, 176, 400, 149, 378, 150, 379, 136, 365, 172, 397)
CHEEKS = (205, 425, 207, 427, 216, 436, 206, 426, 214, 434)
NOSE = (2, 98, 327)

POINTS = np.array([*LIPS, *AROUND, *CHIN, *JAW, *CHEEKS, *NOSE])
"""(P,), landmarks of the face mesh, in the order in which databases and renderer hold them."""
COUNT = len(POINTS)
"""P."""

_ROW = {landmark: row for row, landmark in enumerate(POINTS.tolist())}


def rows(landmarks: tuple[int, ...]) -> np.ndarray[tuple[int, ...], np.dtype[np.intp]]:
    """The rows of POINTS, (n,), that hold landmarks of the mesh; KeyError where POINTS lacks one."""
    return np.array([_ROW[landmark] for landmark in landmarks], np.intp)


LIP_ROWS = np.arange(len(LIPS))
INNER_ROWS = np.arange(20, 40)
OUTLINE_ROWS = rows((164, 165, 391, 92, 322, 216, 436, 214, 434, 210, 430, 170, 395, 171, 396, 175))
"""The hull of the region that is replaced: from below the nose to the chin, with the lower cheeks."""
LIP_PAIRS = np.array([rows((13, 14)), rows((82, 87)), rows((312, 317)), rows((81, 178)), rows((311, 402))])
"""(5, 2), points at the middle of the inner lips, above and below: their distance is the mouth's opening."""
