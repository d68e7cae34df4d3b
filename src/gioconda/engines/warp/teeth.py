"""Teeth and tongue where no driver's mouth can be borrowed."""

from __future__ import annotations

import numpy as np

from gioconda.types import FloatArray, Shot


def paint_teeth(look, shot: Shot, corner: FloatArray, box) -> FloatArray:
    h, w = box[3] - box[1], box[2] - box[0]
    return np.broadcast_to(look.skin * np.array([0.3, 0.17, 0.16], np.float32), (h, w, 3)).copy()
