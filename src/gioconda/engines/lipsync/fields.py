"""Smooth displacements of the face's plane that carry some points where they shall be."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from gioconda.engines.lipsync.bank import HEIGHT, LEFT, TOP, WIDTH
from gioconda.types import FloatArray

REACH = 0.16  # inter-ocular units over which a point draws its surroundings along
STIFF = 0.03  # how far points may be missed for a smoother field
STEP = 4  # pixels between the places where a field is worked out
FADE = 0.15  # inter-ocular units from the edge of a mouth's picture over which the target is let go


class Plane:
    """The face's plane as a box of a frame shows it: where each pixel of the box lies in it.

    matrix: (2, 3), the frame's map from the plane. box: left, top, right, bottom in whole pixels, sides multiples of
    STEP. All fields are worked out on a coarse grid and spread over the box.
    """

    def __init__(self, matrix: FloatArray, box: tuple[int, int, int, int]) -> None:
        left, top, right, bottom = box
        self.size = (right - left, bottom - top)
        x = np.arange(left, right, STEP) + (STEP - 1) / 2
        y = np.arange(top, bottom, STEP) + (STEP - 1) / 2
        back = np.asarray(cv2.invertAffineTransform(matrix.astype(np.float64)))
        pixels = np.stack(np.meshgrid(x, y), -1)
        self.coarse = (pixels @ back[:, :2].T + back[:, 2]).astype(np.float32)

    def spread(self, coarse: npt.NDArray[np.float32]) -> FloatArray:
        """Values (h / STEP, w / STEP, ...) at the coarse grid's places as values of all pixels (h, w, ...)."""
        return np.asarray(cv2.resize(coarse, self.size, interpolation=cv2.INTER_LINEAR), np.float32)

    def support(self) -> FloatArray:
        """How freely each coarse place may change, 0 at and beyond the edge of a mouth's picture."""
        x, y = self.coarse[..., 0], self.coarse[..., 1]
        edge = np.minimum(np.minimum(x - LEFT, LEFT + WIDTH - x), np.minimum(y - TOP, TOP + HEIGHT + 0.1 - y))
        t = np.clip(edge / FADE, 0, 1)
        return np.asarray(t * t * (3 - 2 * t), np.float32)


class Bend:
    """Displacements that are known at points (P, 2) and fall off around them: Gaussian radial functions."""

    def __init__(self, plane: Plane, points: FloatArray) -> None:
        square = ((points[:, None] - points[None]) ** 2).sum(2)
        kernel = np.exp(-square.astype(np.float64) / (2 * REACH**2)) + STIFF * np.eye(len(points))
        self._solve = np.linalg.inv(kernel).astype(np.float32)
        places = plane.coarse.reshape(-1, 2)
        far = (places**2).sum(1)[:, None] - 2 * places @ points.T + (points**2).sum(1)
        self._shown = np.exp(-far / (2 * REACH**2)) @ self._solve
        self._shape = plane.coarse.shape[:2]

    def field(self, moves: FloatArray) -> FloatArray:
        """Displacements at the coarse places, (h, w, 2), for displacements (P, 2) of the points."""
        return np.asarray((self._shown @ moves).reshape(*self._shape, 2), np.float32)
