"""The tonal range of a portrait, so that what is painted into an overexposed or faded picture has the picture's own."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from gioconda.engines.affine import patch_box
from gioconda.engines.warp.background_warp import smoothstep
from gioconda.engines.warp.mesh import load_topology
from gioconda.types import FloatArray, Image

# Weights of red, green and blue for luma (ITU-R BT.601).
LUMA = np.array([0.299, 0.587, 0.114], np.float32)
# Percentile of the face's luma up to which pixels count as its darkest.
DARKEST = 2.0
# Grey level that nostrils and lashes exceed only in overexposed and faded pictures.
USUAL_BLACK = 45.0
# Grey levels from which, and up to which, a pixel loses what was brighter: it is overexposed.
CLIPPING = (235.0, 252.0)
# Light of a wholly overexposed face, relative to white, less 1.
EXCESS = 0.35
# Grey levels, as in most pictures, by which the inside of a mouth is darker than the darkest of the face.
DEEPER = 15.0
# Share of the black level that lifts thin lines.
LINE = np.float32(0.5)
# Least contrast relative to most pictures', and grey levels between black and skin at least.
CONTRAST_LEAST, RANGE_LEAST = 0.15, 20.0


def _zeros() -> FloatArray:
    return np.zeros(3, np.float32)


def _ones() -> FloatArray:
    return np.ones(3, np.float32)


@dataclass(frozen=True)
class Tones:
    """How the tones of a portrait's face differ from those of most pictures; by default not at all.

    Attributes:
        black: (3,) float32, 0 to 255, added to black: nothing in an overexposed or faded picture is darker.
        contrast: (3,) float32, of tones around the skin's, relative to most pictures'.
        light: Light of the skin relative to its grey level, which cannot exceed white; 1 or more.
        floor: (3,) float32, 0 to 255, the darkest that is painted.
        hue: (3,) float32, mean colour of what is neither black nor white in an unusual picture, else 0.
    """

    black: FloatArray = field(default_factory=_zeros)
    contrast: FloatArray = field(default_factory=_ones)
    light: float = 1.0
    floor: FloatArray = field(default_factory=_zeros)
    hue: FloatArray = field(default_factory=_zeros)

    @property
    def usual(self) -> bool:
        """Whether the tones are those of most pictures."""
        return self.light == 1 and not self.black.any()

    def place(self, content: FloatArray, skin: FloatArray) -> FloatArray:
        """Bring colours (..., 3) that are lit like a skin (3,), 0 to 255, into the portrait's range."""
        if self.usual:
            return content
        light = skin * np.float32(self.light)
        return np.asarray(np.maximum(light + (content - light) * self.contrast, self.floor), np.float32)

    def lift(self, content: npt.NDArray[np.floating[Any]]) -> FloatArray:
        """Bring the colours (..., 3), 0 to 255, of a dark line into the portrait's range, whose black is lighter."""
        # A thin line stays visible beside the face's darkest parts.
        black = LINE * self.black
        return np.asarray(black + content * (1 - black / 255), np.float32)

    def shaded(self, content: FloatArray, shade: FloatArray) -> FloatArray:
        """Shade colours (..., 3) of the portrait, 0 to 255, by (..., 1), 0 to 1, without leaving its range."""
        if self.usual:
            return content * shade
        bright = content * (1 + (self.light - 1) * smoothstep(*CLIPPING, content))
        return np.asarray(np.minimum(self.black + (bright - self.black) * shade, 255), np.float32)

    def limit(self, change: FloatArray, picture: Image) -> FloatArray:
        """Limit a change (H, W, 3) in grey levels, as in most pictures, of a picture (H, W, 3) to its range."""
        if self.usual:
            return change
        headroom = 255 * (self.light - 1) * smoothstep(*CLIPPING, picture @ LUMA)[..., None]
        scaled = change * self.contrast.mean()
        darker = np.maximum(np.minimum(scaled + headroom, 0), np.minimum(self.floor - picture, 0))
        return np.asarray(np.where(scaled < 0, darker, scaled), np.float32)


def measure_tones(image: Image, landmarks: FloatArray, skin: FloatArray) -> Tones:
    """Measure the tones of a portrait.

    Args:
        image: (H, W, 3) uint8 RGB.
        landmarks: (478, 3), in pixels of the image.
        skin: (3,), colour of the face's skin, 0 to 255.
    """
    box = patch_box(landmarks[load_topology().oval, :2], 0, image.shape)
    if box is None:
        return Tones()
    face = image[box[1] : box[3], box[0] : box[2]].reshape(-1, 3).astype(np.float32)
    luma = face @ LUMA
    dark = face[luma <= np.percentile(luma, DARKEST)].mean(axis=0)
    lifted = max(0.0, 1 - USUAL_BLACK / max(float(dark @ LUMA), 1.0))
    clipped = luma > CLIPPING[1]
    light = 1 + EXCESS * float(smoothstep(*CLIPPING, np.float32(skin @ LUMA)) * clipped.mean())
    if lifted == 0 and light == 1:
        return Tones()
    black = dark * lifted
    span = np.maximum(skin * light - dark * (1 - lifted), RANGE_LEAST)
    hue = face[~clipped].mean(axis=0) - black if not clipped.all() else _zeros()
    contrast = np.clip(1 - black / span, CONTRAST_LEAST, 1)
    floor = np.maximum(dark - DEEPER * contrast, 0) if lifted > 0 else _zeros()
    values = (np.asarray(value, np.float32) for value in (black, contrast, floor, np.maximum(hue, 0)))
    black, contrast, floor, hue = values
    return Tones(black, contrast, light, floor, hue)
