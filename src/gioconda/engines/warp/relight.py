"""The paint for the hidden side of a face: the far cheek's own colours, continued, with the near cheek's detail.

The mirrored side does not give the light: a near cheek in another light would look like a slab with an edge. Only its
pores, moles, creases and strokes are used, without its shading.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from gioconda.engines.warp.background_warp import smoothstep
from gioconda.engines.warp.visibility import continued, layout
from gioconda.engines.warp.wrinkles import SIDE
from gioconda.types import FloatArray

# Grey levels added before logarithms, so that noise in shadows weighs little.
DARK = 8.0
# Least sum of weights that an average is divided by.
WEIGHT_LEAST = 1e-3

# (from, to): where a weight begins to rise, and where it is complete.
# Cosine between the surface and the viewer from which the portrait's pixels give the far cheek's colour.
TRUSTED = (0.05, 0.25)
# The same for parts that are not skin: facing the viewer, they are hair; at a slant, they are background.
PLAIN = (0.25, 0.4)
# The same for the middle of the face, which gives the colour of its skin.
FACING = (0.4, 0.6)
# Widths of the layout from the middle to the far side, from which colours are the far cheek's.
OWN_SIDE = (-0.08, 0.02)
# Distance from the skin's colour, in the limits below, from which a part counts as no skin.
UNLIKE = (0.8, 1.4)

# Pixels of the layout (sigma): over which colours are averaged before they are continued.
WIDE = 3.0
# The softness of the mirrored face's skin.
SKIN_SOFT = 1.0
# The smoothing of the colours that are compared, and of the skin that they are compared with.
COMPARED_SOFT, SKIN_COLOUR_SOFT = 1.2, 4.0
# Pixels of the layout by which parts that are no skin grow, as the side of a square.
GROW_SIDE = 3

# Half the width, in widths of the layout, of the middle of a face, which shows skin and no hair but a fringe.
CENTRE = 0.2
# Log ratios to the skin at the same height at which a part is no skin: darker, brighter, of another hue.
DARKER, BRIGHTER, HUE = 0.5, 0.8, 0.26
# Mean hue of a face, in log ratios, below which its picture is grey: there, only darkness distinguishes hair from a
# shade, and this log ratio is the limit.
GREY, DARKER_IN_GREY = 0.03, 1.0


@dataclass(frozen=True)
class SideFill:
    """The paint for the hidden side, on the layout of the face's surface.

    Attributes:
        log: (SIDE, SIDE, 3) float32, log colours of the hidden side.
        skin: (SIDE, SIDE) float32, 0 to 1, how surely the mirrored face shows skin.
    """

    log: FloatArray
    skin: FloatArray


def build_side_fill(colours: FloatArray, seen: FloatArray, foreign: FloatArray, far: int) -> SideFill:
    """Continue a portrait's colours over its hidden side.

    Args:
        colours: (SIDE, SIDE, 3), the unwrapped portrait, 0 to 255.
        seen: (SIDE, SIDE), cosine between its surface and the viewer, of `visibility`.
        foreign: (SIDE, SIDE), 0 to 1, how surely a part is no skin, of `foreign_parts`.
        far: -1 where the viewer's left side is hidden, else 1.
    """
    logs = np.log(colours + DARK)
    aside = (far * (np.arange(SIDE) - (SIDE - 1) / 2) / SIDE).astype(np.float32)
    trusted = smoothstep(*TRUSTED, seen) * layout().skin * smoothstep(*OWN_SIDE, aside)
    trusted = trusted * (1 - foreign * (1 - smoothstep(*PLAIN, seen)))
    skin = cv2.GaussianBlur(1 - np.ascontiguousarray(foreign[:, ::-1]), (0, 0), SKIN_SOFT)
    return SideFill(spread_smoothly(logs, trusted), np.asarray(skin, np.float32))


def spread_smoothly(values: FloatArray, weight: FloatArray) -> FloatArray:
    """Average values where they have a weight, and continue them elsewhere.

    Args:
        values: (SIDE, SIDE, n).
        weight: (SIDE, SIDE), 0 to 1.

    Returns:
        (SIDE, SIDE, n) float32.
    """
    near = cv2.GaussianBlur(weight, (0, 0), WIDE)
    weighted = cv2.GaussianBlur(values * weight[..., None], (0, 0), WIDE)
    mean = weighted / np.maximum(near, WEIGHT_LEAST)[..., None]
    smooth = continued(np.asarray(mean, np.float32), weight)
    return np.asarray(cv2.GaussianBlur(smooth, (0, 0), WIDE), np.float32)


def foreign_parts(colours: FloatArray, seen: FloatArray) -> FloatArray:
    """Find what covers the skin of an unwrapped face: hair over the cheek, a veil, a hand.

    A beard counts as skin, since the middle of the face has it too.

    Args:
        colours: (SIDE, SIDE, 3), the unwrapped portrait, 0 to 255.
        seen: (SIDE, SIDE), cosine between its surface and the viewer, of `visibility`.

    Returns:
        (SIDE, SIDE) float32, 0 to 1, how surely a part is no skin.
    """
    flat, logs = layout(), np.log(colours + DARK)
    aside = np.abs(np.arange(SIDE) - (SIDE - 1) / 2) / SIDE
    weight = smoothstep(*FACING, seen) * flat.skin * (aside < CENTRE)
    skin = continued(logs, weight.astype(np.float32))
    change = cv2.GaussianBlur(logs, (0, 0), COMPARED_SOFT) - cv2.GaussianBlur(skin, (0, 0), SKIN_COLOUR_SOFT)
    grey = change.mean(2)
    hue = _hue(change)
    darker = DARKER if _hue(logs)[flat.face > 0].mean() > GREY else DARKER_IN_GREY
    distance = np.hypot(np.where(grey < 0, -grey / darker, grey / BRIGHTER), hue / HUE)
    foreign = smoothstep(*UNLIKE, distance.astype(np.float32)) * flat.plain
    return np.asarray(cv2.dilate(foreign, np.ones((GROW_SIDE, GROW_SIDE))), np.float32)


def _hue(logs: FloatArray) -> FloatArray:
    """The distance of log colours (h, w, 3) from grey, (h, w)."""
    return np.asarray(np.linalg.norm(logs - logs.mean(2, keepdims=True), axis=2), np.float32)
