"""Smooth displacements of the face's plane, interpolated from those of some points by radial basis functions."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from gioconda.lipsync.database import HEIGHT, LEFT, TOP, WIDTH
from gioconda.runtime.easing import eased
from gioconda.types import FloatArray

# Inter-ocular units (sigma) over which a point moves its surroundings.
REACH = 0.16
# Regularisation: larger values give smoother fields that miss the points by more.
STIFF = 0.03
# Pixels between the points of the coarse grid on which fields are computed.
STEP = 4
# Inter-ocular units from the edge of a mouth's picture over which the support falls to 0.
FADE = 0.15
# Inter-ocular units below a mouth's picture that still have support, so that the jaw can move.
BELOW = 0.1


class FacePlaneGrid:
    """The face's plane as a box of a frame shows it. Fields are computed on a coarse grid of the box.

    Attributes:
        size: Width and height of the box in pixels.
        coarse: (h / STEP, w / STEP, 2) float32, the coarse grid's points in the plane.
    """

    def __init__(self, matrix: FloatArray, box: tuple[int, int, int, int]) -> None:
        """Compute the coarse grid.

        Args:
            matrix: (2, 3), the frame's map from the plane to its pixels.
            box: Left, top, right and bottom in pixels; the sides are multiples of STEP.
        """
        left, top, right, bottom = box
        self.size = (right - left, bottom - top)
        x = np.arange(left, right, STEP) + (STEP - 1) / 2
        y = np.arange(top, bottom, STEP) + (STEP - 1) / 2
        back = np.asarray(cv2.invertAffineTransform(matrix.astype(np.float64)))
        pixels = np.stack(np.meshgrid(x, y), -1)
        self.coarse = (pixels @ back[:, :2].T + back[:, 2]).astype(np.float32)

    def upsample(self, coarse: npt.NDArray[np.float32]) -> FloatArray:
        """Interpolate values (h / STEP, w / STEP, ...) of the coarse grid at all pixels, (h, w, ...) float32."""
        return np.asarray(cv2.resize(coarse, self.size, interpolation=cv2.INTER_LINEAR), np.float32)

    def support(self) -> FloatArray:
        """How freely each point of the coarse grid may change: 0 to 1, 0 at the edge of a mouth's picture."""
        x, y = self.coarse[..., 0], self.coarse[..., 1]
        bottom = TOP + HEIGHT + BELOW
        edge = np.minimum(np.minimum(x - LEFT, LEFT + WIDTH - x), np.minimum(y - TOP, bottom - y))
        t = np.clip(edge / FADE, 0, 1)
        return np.asarray(eased(t), np.float32)


class RBFWarp:
    """Displacements that are given at some points and fall off around them, by Gaussian radial basis functions."""

    def __init__(self, plane: FacePlaneGrid, points: FloatArray) -> None:
        """Solve for the coarse grid of `plane` and points (P, 2) of the face's plane."""
        square = ((points[:, None] - points[None]) ** 2).sum(2)
        kernel = np.exp(-square.astype(np.float64) / (2 * REACH**2)) + STIFF * np.eye(len(points))
        self._solve = np.linalg.inv(kernel).astype(np.float32)
        grid = plane.coarse.reshape(-1, 2)
        squared = (grid**2).sum(1)[:, None] - 2 * grid @ points.T + (points**2).sum(1)
        self._basis = np.exp(-squared / (2 * REACH**2)) @ self._solve
        self._shape = plane.coarse.shape[:2]

    def field(self, moves: FloatArray) -> FloatArray:
        """Displacements of the coarse grid, (h / STEP, w / STEP, 2) float32, for those of the points, (P, 2)."""
        return np.asarray((self._basis @ moves).reshape(*self._shape, 2), np.float32)
