"""A mouth whose lips lie in a shadow, such as a moustache's: it is dark inside, and a lower lip that drops is lit."""

from __future__ import annotations

import cv2
import numpy as np

from gioconda.engines.affine import patch_box
from gioconda.engines.warp.mesh import load_topology
from gioconda.engines.warp.patches import blend, polygon_mask
from gioconda.types import FloatArray, Image

# Light of the lighter lip relative to the skin's from which no shadow lies on both lips.
UNSHADED = 0.55
# The space behind the lips is darker than they are: the power of their relative light, and the least light left.
DEEPER, LEAST = 2.0, 0.2
# Inter-ocular units that the shadow reaches below the upper lip, and the share of it that is gone there.
REACH, LIFTED = 0.16, 0.15
# Power of the light between the lips by which a lower lip becomes lighter outside the shadow.
RELIT = 2.0
# Squared inter-ocular units by which the opening grows until the lower lip is outside the shadow.
DROPPED = 0.03
# Inter-ocular units (sigma) over which the light on the lower lip fades out, and the sigmas that a patch covers.
EDGE, EDGE_SIGMAS = 0.02, 3


def light_between(lips: tuple[FloatArray, FloatArray], skin: FloatArray) -> float:
    """Estimate the light that falls between the lips.

    Colours are compared by their brightest channel, so that red lips count as lit.

    Args:
        lips: Colour (3,) of each lip, 0 to 255.
        skin: (3,), colour of the face's skin, 0 to 255.

    Returns:
        LEAST to 1, relative to the light on the face; 1 where no shadow lies on both lips.
    """
    share = max(float(lip.max()) for lip in lips) / max(float(skin.max()), 1.0)
    return float(np.clip((share / UNSHADED) ** DEEPER, LEAST, 1))


def shadow_between(mask: FloatArray, unit: float, lip_light: float) -> FloatArray:
    """Shade the inside of a mouth in a shadow: `lip_light` below the upper lip, a little more farther down.

    Args:
        mask: (h, w), 0 to 1, coverage of the opening.
        unit: Inter-ocular distance in pixels.
        lip_light: Light between the lips, of `light_between`.

    Returns:
        (h, w) float32, 0 to 1.
    """
    below = np.clip(np.cumsum(mask, axis=0) / max(REACH * unit, 1.0), 0, 1)
    return np.asarray(lip_light + (1 - lip_light) * LIFTED * below, np.float32)


def light_lower_lip(
    image: Image, points: FloatArray, unit: float, skin: float, lip_light: float, growth: float
) -> None:
    """Take the shadow off a lower lip that drops, in place.

    Args:
        image: (h, w, 3) uint8, the stage.
        points: (478, 2), the target's landmarks in pixels of the stage.
        unit: Inter-ocular distance in pixels.
        skin: Luma of the face's skin, 0 to 255; pixels that are as light keep their light.
        lip_light: Light between the lips, of `light_between`.
        growth: Area by which the mouth is wider open than in the portrait, in squared inter-ocular units.
    """
    topology = load_topology()
    half = len(topology.outer_lips) // 2 + 1
    ring = points[np.concatenate([topology.outer_lips[:half], topology.inner_lips[:half][::-1]])]
    box = patch_box(ring, EDGE_SIGMAS * EDGE * unit, image.shape)
    share = float(np.clip(growth / DROPPED, 0, 1))
    if lip_light >= 1 or share <= 0 or box is None:
        return
    part = image[box[1] : box[3], box[0] : box[2]]
    light = np.clip(cv2.cvtColor(part, cv2.COLOR_RGB2GRAY) / np.float32(max(skin, 1.0)), 0, 1)[..., None]
    # the gain is 1 / least in the dark and falls to 1 at the skin's own light
    least = lip_light**RELIT
    lifted = part / (least + (1 - least) * light)
    blend(image, box, lifted, share * polygon_mask(ring, box, EDGE * unit))
