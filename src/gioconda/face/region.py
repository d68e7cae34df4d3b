"""Rectangles of a picture, at any angle, that are cropped as input of a network."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from gioconda.landmarks import LEFT_EYE_OUTER, RIGHT_EYE_OUTER, bounds
from gioconda.types import FloatArray, Image

# Side of a face's crop relative to the face; the mesh network was trained on such crops.
FACE_MARGIN = 1.5
# Pixels of the picture per pixel of the crop from which bilinear sampling would alias.
COARSE_STEP = 2


@dataclass(frozen=True)
class Region:
    """A rectangle of a picture.

    As in MediaPipe, whole numbers are the corners of pixels within a crop and their centres in the picture.

    Attributes:
        x: Centre, pixels.
        y: Centre, pixels.
        width: Pixels.
        height: Pixels.
        angle: Radians, positive clockwise on the screen.
    """

    x: float
    y: float
    width: float
    height: float
    angle: float = 0.0

    @property
    def axes(self) -> npt.NDArray[np.float64]:
        """The rectangle's unit vectors to its right and downwards, as columns, (2, 2) float64."""
        cosine, sine = math.cos(self.angle), math.sin(self.angle)
        return np.array([[cosine, -sine], [sine, cosine]])

    @property
    def to_picture(self) -> npt.NDArray[np.float64]:
        """The affine map from the unit square to pixels of the picture, (2, 3) float64."""
        linear = self.axes * (self.width, self.height)
        return np.column_stack([linear, (self.x, self.y) - linear @ (0.5, 0.5)])

    def scaled(self, factor: float) -> Region:
        """The region about the same centre, `factor` times as wide and high."""
        return replace(self, width=self.width * factor, height=self.height * factor)

    def crop(
        self, image: Image, side: int, *, border: int = cv2.BORDER_REPLICATE, antialias: bool = False
    ) -> Image:
        """Crop the region out of a picture.

        Args:
            image: (H, W, 3) uint8.
            side: Height and width of the result in pixels.
            border: OpenCV's border mode, for pixels outside the picture.
            antialias: Whether to shrink a region of much higher resolution by area averaging first.

        Returns:
            (side, side, 3) uint8.
        """
        region = self
        if antialias:
            region, image = self._coarser(image, side)
        matrix = region.to_picture / (side, side, 1)
        crop = cv2.warpAffine(
            image, matrix, (side, side), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=border
        )
        return np.asarray(crop, np.uint8)

    def _coarser(self, image: Image, side: int) -> tuple[Region, Image]:
        """The region and its surroundings, shrunk by area averaging where a pixel of the crop covers several."""
        step = int(min(self.width, self.height) / side)
        if step < COARSE_STEP:
            return self, image
        reach = 0.5 * math.hypot(self.width, self.height)
        left, top = max(0, int(self.x - reach)), max(0, int(self.y - reach))
        near = image[top : int(self.y + reach) + 1, left : int(self.x + reach) + 1]
        rows, columns = near.shape[0] // step, near.shape[1] // step
        if not (rows and columns):
            return self, image
        coarse = cv2.resize(
            near[: rows * step, : columns * step], (columns, rows), interpolation=cv2.INTER_AREA
        )
        # The centre of a coarse pixel is that of the pixels that it covers.
        middle = (step - 1) / 2
        moved = Region(
            (self.x - left - middle) / step,
            (self.y - top - middle) / step,
            self.width / step,
            self.height / step,
            self.angle,
        )
        return moved, np.asarray(coarse, np.uint8)

    def points(self, normalised: FloatArray) -> FloatArray:
        """Points (..., 2 or 3) of the unit square in pixels of the picture, float32; depth counts in widths."""
        matrix = self.to_picture
        pixels = np.empty_like(normalised, np.float32)
        pixels[..., :2] = normalised[..., :2] @ matrix[:, :2].T + matrix[:, 2]
        pixels[..., 2:] = normalised[..., 2:] * self.width
        return pixels


def around_landmarks(landmarks: npt.NDArray[np.floating[Any]]) -> Region:
    """The square, upright in the face, around landmarks (478, 3) in pixels; MediaPipe crops the next frame likewise."""
    low, high = bounds(landmarks)
    side = FACE_MARGIN * float((high - low).max())
    across = landmarks[LEFT_EYE_OUTER] - landmarks[RIGHT_EYE_OUTER]
    x, y = (low + high) / 2
    return Region(float(x), float(y), side, side, math.atan2(float(across[1]), float(across[0])))


def angle_between(a: float, b: float) -> float:
    """The angle from `b` to `a` in radians, -pi to pi."""
    return (a - b + math.pi) % (2 * math.pi) - math.pi
