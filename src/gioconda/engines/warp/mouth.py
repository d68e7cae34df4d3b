"""The mouth's inside: borrowed from the driver, or teeth and tongue of our own, in the picture's light and colour."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from gioconda.engines.affine import Box, patch_box
from gioconda.engines.warp.mesh import (
    IntArray,
    Topology,
    affines,
    load_topology,
    rasterize,
    source_maps,
    strip,
)
from gioconda.engines.warp.patches import blend, polygon_mask
from gioconda.engines.warp.teeth import SKIN as SPRITE_SKIN
from gioconda.engines.warp.teeth import Teeth, build_teeth, paint_teeth
from gioconda.types import FloatArray, Image, Mouth, Shot

SKIN = np.array([205, 425, 200, 199, 50, 280, 187, 411])  # cheeks and chin: lit as the teeth are
LIPS = np.array(
    [0, 17, 37, 267, 84, 314]
)  # a statue's or a grey photo's tell that its mouth has no colour either
INSIDE = 0.08  # how far within the driver's lips to look: their red would show as a second lip
SMALLEST = 0.003  # squared inter-ocular units; the area of a mouth that is all but closed
LUMA = np.array([0.299, 0.587, 0.114], np.float32)


@dataclass(frozen=True)
class MouthLook:
    """What a portrait's mouth must match: unit in pixels, area of the opening in units
    squared, mean skin colour (3,), how far from grey the lips are, 0..1, and its blue as a share of its luma.
    """

    unit: float
    area: float
    skin: FloatArray
    colour: float
    blue: float
    teeth: Teeth


def build_mouth(image: Image, landmarks: FloatArray, topology: Topology) -> MouthLook:
    """The look of the mouth of a portrait."""
    unit = float(np.linalg.norm(landmarks[263] - landmarks[33]))
    skin = skin_colour(image, landmarks)
    small = cv2.resize(image, (64, 64), interpolation=cv2.INTER_AREA).astype(np.float32)
    lips = spot_colour(image, landmarks, LIPS)
    return MouthLook(
        unit=unit,
        area=_area(landmarks[topology.inner_lips, :2]) / unit**2,
        skin=skin,
        colour=float(np.clip(((lips.max() - lips.min()) / max(float(lips.max()), 1.0) - 0.1) / 0.2, 0, 1)),
        blue=float(np.clip(small[..., 2].mean() / max(float((small @ LUMA).mean()), 1.0), 0.4, 1.0)),
        teeth=build_teeth(landmarks),
    )


def skin_colour(image: Image, landmarks: FloatArray) -> FloatArray:
    """Colour (3,) of cheeks and chin."""
    return spot_colour(image, landmarks, SKIN)


def spot_colour(image: Image, landmarks: FloatArray, points: IntArray) -> FloatArray:
    """Median colour (3,) of small squares around some of the landmarks."""
    reach = max(1, int(0.05 * np.linalg.norm(landmarks[263, :2] - landmarks[33, :2])))
    height, width = image.shape[:2]
    spots = []
    for x, y in landmarks[points, :2].astype(int):
        if reach <= x < width - reach and reach <= y < height - reach:
            spots.append(image[y - reach : y + reach + 1, x - reach : x + reach + 1].reshape(-1, 3).mean(0))
    return np.median(spots, axis=0).astype(np.float32) if spots else np.full(3, 128, np.float32)


def _area(ring: FloatArray) -> float:
    x, y = ring.T
    return float(abs(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2)


@dataclass(frozen=True)
class Fill:
    """Where a mouth was filled: box of the stage, alpha (h, w) float32 in 0..1, whether it is a driver's."""

    box: Box
    alpha: FloatArray
    borrowed: bool


def paint_mouth(image: Image, look: MouthLook, shot: Shot, corner: FloatArray) -> Fill | None:
    """Fill the opening between the lips of `image`, whose top left lies at `corner` of the picture, in place.

    The fill comes in as the opening grows beyond what the photo shows, fully at twice that (Averbuch-Elor 2017).
    Tells where; None where nothing was filled.
    """
    ring = shot.landmarks[load_topology().inner_lips, :2] - corner
    unit = look.unit * shot.grow
    area = _area(ring) / unit**2
    share = float(np.clip((area - look.area) / max(look.area, SMALLEST), 0, 1))
    box = patch_box(ring, 3, image.shape)
    if share <= 0 or box is None:
        return None
    soft = max(0.5, 0.010 * unit)
    mask = polygon_mask(ring, box, soft)
    if shot.mouth is not None:
        content = _borrowed(look, shot.mouth, ring, box)
    else:
        content = match_light(paint_teeth(look.teeth, shot, corner, box), SPRITE_SKIN, look)
    blend(image, box, content * _lip_shade(mask, unit), mask * share)
    return Fill(box, mask * share, shot.mouth is not None)


def _lip_shade(mask: FloatArray, unit: float) -> FloatArray:
    """Lips shade what is behind them, the upper more than the lower: (h, w, 1) in 0..1."""
    sigma = 0.045 * unit
    inner = cv2.GaussianBlur(mask, (0, 0), sigma)
    lowered = cv2.warpAffine(inner, np.array([[1, 0, 0], [0, 1, 0.6 * sigma]], np.float32), mask.shape[::-1])
    return np.asarray(np.clip(0.5 + 0.65 * np.minimum(inner, lowered), 0, 1)[..., None], np.float32)


def _borrowed(look: MouthLook, mouth: Mouth, ring: FloatArray, box: Box) -> FloatArray:
    """The driver's inner mouth, warped lip to lip and matched in light and colour, (h, w, 3) float32."""
    theirs = mouth.landmarks[load_topology().inner_lips, :2]
    theirs = theirs + (theirs.mean(0) - theirs) * INSIDE
    triangles = strip(np.arange(len(ring), dtype=np.int32))
    size = (box[2] - box[0], box[3] - box[1])
    grown = ring + (ring - ring.mean(0)) * 0.06  # covers the soft edge of the mask
    index = rasterize(grown - box[:2], triangles, np.arange(len(triangles)), size)
    xs = np.arange(box[0], box[2], dtype=np.float32)
    ys = np.arange(box[1], box[3], dtype=np.float32)[:, None]
    map_x, map_y = source_maps(index, affines(theirs, grown, triangles), xs, ys)
    inside = cv2.remap(mouth.image, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    outside = index == 0
    matched = match_light(np.asarray(inside, np.float32), skin_colour(mouth.image, mouth.landmarks), look)
    matched[outside] = 0.3 * look.skin
    return matched


def match_light(content: FloatArray, skin: FloatArray, look: MouthLook) -> FloatArray:
    """Content lit for skin of one colour, as it would look beside the portrait's skin; teeth stay below glare."""
    own, theirs = float(look.skin @ LUMA), float(skin @ LUMA)
    gain = np.clip(own / max(theirs, 8.0), 0.3, 2.0)
    # skin is darker or paler by itself too: only the warmth of the light, such as varnish gives, is taken from it
    blue = (look.skin[2] / max(own, 1.0)) / max(float(skin[2]) / max(theirs, 1.0), 0.2)
    warm = float(np.clip((blue + look.blue) / 2, 0.55, 1.0))
    lit = content * (gain * np.array([1.0 + 0.1 * (1 - warm), 1 - 0.3 * (1 - warm), warm], np.float32))
    luma = (lit @ LUMA)[..., None]
    knee = 0.8 * own
    tamed = np.where(luma > knee, knee + 0.55 * (luma - knee), luma)
    lit = lit * (tamed / np.maximum(luma, 1.0))
    return np.asarray(tamed + (lit - tamed) * look.colour, np.float32)
