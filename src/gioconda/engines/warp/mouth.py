"""The inside of the mouth, taken from the driver or painted from sprites, in the portrait's light and colour."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from gioconda.engines.affine import Box, patch_box
from gioconda.engines.warp.background_warp import smoothstep
from gioconda.engines.warp.lips import polygon_area
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
from gioconda.engines.warp.shadow import light_between, light_lower_lip, shadow_between
from gioconda.engines.warp.teeth import SPRITE_SKIN, Teeth, build_teeth, paint_teeth
from gioconda.engines.warp.tones import LUMA, USUAL_BLACK, Tones, measure_tones
from gioconda.landmarks import LEFT_EYE_OUTER, RIGHT_EYE_OUTER, inter_ocular
from gioconda.types import RGB, FloatArray, Image, Mouth, TargetPose

# Landmarks of cheeks and chin, which have the same light as the teeth.
SKIN = np.array([205, 425, 200, 199, 50, 280, 187, 411])
# Landmarks of the cheeks on the viewer's left and right of the mouth: teeth have the light of the nearer cheek.
BESIDE = (np.array([205, 50, 187, 36]), np.array([425, 280, 411, 266]))
# Landmarks of the lips: the mouth of a statue or a grey photo has as little colour as its lips.
LIPS = np.array([0, 17, 37, 267, 84, 314])
UPPER_LIP, LOWER_LIP = np.array([0, 37, 267]), np.array([17, 84, 314])

# Weights of red, green and blue for a mouth without colour. Old film and grey stone show lips, gums and tongue darker
# than teeth; in luma they hardly differ.
FILM = np.array([0.1, 0.6, 0.3], np.float32)

# Pixels of the side of the small picture that gives the mean colour.
THUMBNAIL = 64
# Half the side of the squares that give the colour of a landmark, in distances between the outer eye corners.
SPOT_REACH = 0.05
# Grey level that stands for a landmark outside the picture.
MID_GREY = 128
# Saturation (range of the channels over the largest) from which lips count as coloured, and the range to full colour.
COLOUR_FROM, COLOUR_RANGE = 0.1, 0.2
# Bounds of the picture's blue as a share of its luma: varnish and candles go no lower.
BLUE_LEAST, BLUE_MOST = 0.4, 1.0
# Least and most light of one side of the mouth, relative to the mean of both.
SIDE_LIGHT = (0.4, 1.4)

# Squared inter-ocular units: area of an almost closed mouth.
SMALLEST = 0.003
# Inter-ocular units (sigma) of the soft edge of the fill, and its least in pixels.
EDGE, EDGE_LEAST = 0.010, 0.5
# Pixels around the opening that the fill covers.
FILL_MARGIN = 3

# Share by which the driver's inner lips shrink to their middle: their red would look like a second lip.
INSIDE = 0.08
# Share by which the driver's mouth extends beyond the opening, to cover the soft edge of the mask.
BEYOND = 0.06
# Light, relative to the skin, of pixels of the opening that the driver's mouth does not cover.
UNCOVERED = 0.3

# Inter-ocular units (sigma) over which lips shade what is behind them.
LIP_SHADE = 0.045
# Sigmas by which the upper lip's shade reaches lower than the lower lip's reaches up.
UPPER_SHADE = 0.6
# Light right at the lips, and how much of it returns with the distance from them.
LIP_SHADE_LEAST, LIP_SHADE_RISE = 0.5, 0.65

# Bounds of the gain from the light of the source to the portrait's: from night to an overexposed day.
GAIN = (0.04, 2.0)
# Least luma of the skin beside the source's mouth, 0 to 255, and least share of a channel in its luma.
SKIN_LEAST, CHANNEL_LEAST = 8.0, 0.2
# Bounds of the gain of blue in warm light, and of green in red light such as a fire's.
WARM_LEAST, RED_LEAST = 0.55, 0.7
# Change of red and green for each unit of blue that warm light lacks.
WARM_RED, WARM_GREEN = 0.1, 0.3
# Green of the portrait's skin relative to the source's, from which warm light is yellow, as under varnish, and leaves
# all green.
YELLOW = 1.06
# Luma relative to the skin's from which highlights are compressed, and the slope beyond.
KNEE, KNEE_SLOPE = 0.8, 0.55


@dataclass(frozen=True)
class MouthAppearance:
    """What the inside of a portrait's mouth must match.

    Attributes:
        unit: Inter-ocular distance in pixels.
        area: Of the opening in the portrait, in squared inter-ocular units.
        skin: (3,) float32, mean skin colour, 0 to 255.
        colour: 0 for a grey mouth to 1 for full colour.
        blue: The picture's mean blue as a share of its luma.
        tones: Of the portrait.
        sides: (2,) float32, light on the viewer's left and right of the mouth, 1 in the mean.
        lip_light: Share of the light that falls between the lips, 1 where no shadow lies on them.
        teeth: The sprites for this mouth.
    """

    unit: float
    area: float
    skin: FloatArray
    colour: float
    blue: float
    tones: Tones
    sides: FloatArray
    lip_light: float
    teeth: Teeth


@dataclass(frozen=True)
class Fill:
    """The part of the stage where a mouth was filled.

    Attributes:
        box: In pixels of the stage.
        alpha: (h, w) float32, 0 to 1, coverage of the box.
        borrowed: Whether the fill comes from the driver.
        lip_light: Share of the light that falls between the lips, 1 where no shadow lies on them.
    """

    box: Box
    alpha: FloatArray
    borrowed: bool
    lip_light: float = 1.0


def build_mouth(image: Image, landmarks: FloatArray, topology: Topology) -> MouthAppearance:
    """Measure the appearance of a portrait's mouth.

    Args:
        image: (H, W, 3) uint8 RGB.
        landmarks: (478, 3), in pixels of the image.
        topology: Of the face mesh.
    """
    unit = inter_ocular(landmarks)
    skin = skin_colour(image, landmarks)
    thumbnail = cv2.resize(image, (THUMBNAIL, THUMBNAIL), interpolation=cv2.INTER_AREA).astype(np.float32)
    blue = thumbnail[..., 2].mean() / max(float((thumbnail @ LUMA).mean()), 1.0)
    tones = measure_tones(image, landmarks, skin)
    lips = [spot_colour(image, landmarks, points) for points in (UPPER_LIP, LOWER_LIP)]
    # lips that are nearly white have little colour left: other parts of an overexposed face show more of it
    colours = (spot_colour(image, landmarks, LIPS), tones.hue)
    return MouthAppearance(
        unit=unit,
        area=polygon_area(landmarks[topology.inner_lips, :2]) / unit**2,
        skin=skin,
        colour=max(_colourfulness(colour) for colour in colours),
        blue=float(np.clip(blue, BLUE_LEAST, BLUE_MOST)),
        tones=tones,
        sides=_side_light(image, landmarks),
        lip_light=light_between((lips[0], lips[1]), skin),
        teeth=build_teeth(landmarks),
    )


def _colourfulness(colour: FloatArray) -> float:
    """0 for grey to 1 for the saturation of lips; colour: (3,), 0 to 255."""
    saturation = np.ptp(colour) / max(float(colour.max()), 1.0)
    return float(np.clip((saturation - COLOUR_FROM) / COLOUR_RANGE, 0, 1))


def _side_light(image: Image, landmarks: FloatArray) -> FloatArray:
    """The light on the viewer's left and right of the mouth, (2,), 1 in the mean."""
    light = np.array([spot_colour(image, landmarks, points) @ LUMA for points in BESIDE], np.float32)
    return np.asarray(np.clip(light / max(float(light.mean()), 1.0), *SIDE_LIGHT), np.float32)


def skin_colour(image: Image, landmarks: FloatArray) -> FloatArray:
    """The colour of cheeks and chin, (3,) float32, 0 to 255; arguments as `spot_colour`."""
    return spot_colour(image, landmarks, SKIN)


def spot_colour(image: Image, landmarks: FloatArray, points: IntArray) -> FloatArray:
    """Measure the colour around some landmarks.

    Args:
        image: (H, W, 3) uint8 RGB.
        landmarks: (478, 2 or more), in pixels of the image.
        points: (K,), the landmarks to use.

    Returns:
        (3,) float32, 0 to 255, the median of small squares' means; mid grey where all are outside the image.
    """
    eyes = landmarks[LEFT_EYE_OUTER, :2] - landmarks[RIGHT_EYE_OUTER, :2]
    reach = max(1, int(SPOT_REACH * np.linalg.norm(eyes)))
    height, width = image.shape[:2]
    spots = []
    for x, y in landmarks[points, :2].astype(int).tolist():
        if reach <= x < width - reach and reach <= y < height - reach:
            spots.append(cv2.mean(image[y - reach : y + reach + 1, x - reach : x + reach + 1])[:RGB])
    return np.median(spots, axis=0).astype(np.float32) if spots else np.full(3, MID_GREY, np.float32)


def paint_mouth(
    image: Image, appearance: MouthAppearance, target_pose: TargetPose, corner: FloatArray
) -> Fill | None:
    """Fill the opening between the target's lips, in place.

    The fill appears as the opening grows beyond the portrait's, and is complete at twice its area.

    Args:
        image: (h, w, 3) uint8, the stage.
        appearance: Of the portrait's mouth.
        target_pose: The pose to paint; its driver's mouth is used where it has one, else the sprites.
        corner: (2,), left and top of the stage, in pixels of the portrait.

    Returns:
        The filled part; None where nothing was filled.

    Source: Averbuch-Elor et al., *Bringing Portraits to Life*, 2017.
    """
    ring = target_pose.landmarks[load_topology().inner_lips, :2] - corner
    unit = appearance.unit * target_pose.grow
    area = polygon_area(ring) / unit**2
    share = float(np.clip((area - appearance.area) / max(appearance.area, SMALLEST), 0, 1))
    box = patch_box(ring, FILL_MARGIN, image.shape)
    if share <= 0 or box is None:
        return None
    points = target_pose.landmarks[:, :2] - corner
    lip_light = appearance.lip_light
    light_lower_lip(image, points, unit, float(appearance.skin @ LUMA), lip_light, area - appearance.area)
    mask = polygon_mask(ring, box, max(EDGE_LEAST, EDGE * unit))
    if target_pose.mouth is not None:
        content = _driver_mouth(appearance, target_pose.mouth, ring, box)
    else:
        sprites = paint_teeth(appearance.teeth, target_pose, corner, box)
        content = match_light(sprites, SPRITE_SKIN, appearance)
    shade = _lip_shade(mask, unit, lip_light)
    content = content * shade * _light_across(appearance, ring - box[:2], mask.shape)
    blend(image, box, appearance.tones.place(content, appearance.skin), mask * share)
    return Fill(box, mask * share, target_pose.mouth is not None, lip_light)


def _light_across(appearance: MouthAppearance, ring: FloatArray, shape: tuple[int, ...]) -> FloatArray:
    """The light from left to right across a mouth between the lips `ring` (N, 2), (h, w, 1), relative to the mean."""
    along = ring[len(ring) // 2] - ring[0]
    along = along / max(float(along @ along), 1.0)
    x, y = np.arange(shape[1], dtype=np.float32), np.arange(shape[0], dtype=np.float32)[:, None]
    share = smoothstep(
        0, 1, np.asarray((x - ring[0, 0]) * along[0] + (y - ring[0, 1]) * along[1], np.float32)
    )
    left, right = appearance.sides
    return np.asarray(left + (right - left) * share, np.float32)[..., None]


def _lip_shade(mask: FloatArray, unit: float, lip_light: float) -> FloatArray:
    """How lips shade what is behind them, the upper more than the lower: (h, w, 1), 0 to 1.

    lip_light: share of the light between them. Where a shadow lies on the lips, it is deepest below the upper one.
    """
    sigma = LIP_SHADE * unit
    inner = cv2.GaussianBlur(mask, (0, 0), sigma)
    down = np.array([[1, 0, 0], [0, 1, UPPER_SHADE * sigma]], np.float32)
    lowered = cv2.warpAffine(inner, down, mask.shape[::-1])
    shade = np.clip(LIP_SHADE_LEAST + LIP_SHADE_RISE * np.minimum(inner, lowered), 0, 1)
    if lip_light < 1:
        shade *= shadow_between(mask, unit, lip_light)
    return np.asarray(shade[..., None], np.float32)


def _driver_mouth(appearance: MouthAppearance, mouth: Mouth, ring: FloatArray, box: Box) -> FloatArray:
    """The driver's inner mouth, warped lip to lip and matched in light and colour, (h, w, 3) float32."""
    driver_lips = mouth.landmarks[load_topology().inner_lips, :2]
    driver_lips = driver_lips + (driver_lips.mean(0) - driver_lips) * INSIDE
    triangles = strip(np.arange(len(ring), dtype=np.int32))
    size = (box[2] - box[0], box[3] - box[1])
    grown = ring + (ring - ring.mean(0)) * BEYOND
    index = rasterize(grown - box[:2], triangles, np.arange(len(triangles)), size)
    xs = np.arange(box[0], box[2], dtype=np.float32)
    ys = np.arange(box[1], box[3], dtype=np.float32)[:, None]
    map_x, map_y = source_maps(index, affines(driver_lips, grown, triangles), xs, ys)
    inside = cv2.remap(mouth.image, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    driver_skin = skin_colour(mouth.image, mouth.landmarks)
    matched = match_light(np.asarray(inside, np.float32), driver_skin, appearance)
    matched[index == 0] = UNCOVERED * appearance.skin
    return matched


def match_light(content: FloatArray, skin: FloatArray, appearance: MouthAppearance) -> FloatArray:
    """Change the light of a mouth from its own picture's to the portrait's; highlights are compressed.

    Args:
        content: (h, w, 3), 0 to 255, the inside of a mouth.
        skin: (3,), 0 to 255, the skin beside it.
        appearance: Of the portrait's mouth.

    Returns:
        (h, w, 3) float32, 0 to 255.
    """
    portrait_luma, content_luma = appearance.tones.light * float(appearance.skin @ LUMA), float(skin @ LUMA)
    gain = np.clip(portrait_luma / max(content_luma, SKIN_LEAST), *GAIN)
    # people's skins differ in hue: only the warmth of the light, such as varnish gives, is taken from the skin
    divisor, content_divisor = max(portrait_luma, 1.0), max(content_luma, 1.0)
    blue = (appearance.skin[2] / divisor) / max(float(skin[2]) / content_divisor, CHANNEL_LEAST)
    warm = float(np.clip((blue + appearance.blue) / 2, WARM_LEAST, 1.0))
    # red light, such as a fire's, would look yellow on teeth without less green
    green = (appearance.skin[1] / divisor) / max(float(skin[1]) / content_divisor, CHANNEL_LEAST)
    lost = WARM_GREEN * (1 - warm) * float(np.clip((YELLOW - green) / (YELLOW - 1), 0, 1))
    green = float(np.clip(green, RED_LEAST, 1.0)) * (1 - lost)
    relit = content * (gain * np.array([1.0 + WARM_RED * (1 - warm), green, warm], np.float32))
    luma = (relit @ LUMA)[..., None]
    knee = KNEE * portrait_luma
    compressed = np.where(luma > knee, knee + KNEE_SLOPE * (luma - knee), luma)
    relit = relit * (compressed / np.maximum(luma, 1.0))
    # pixels that are black by luma stay as they are when they lose their colour
    grey = np.maximum((relit @ FILM)[..., None], np.minimum(compressed, USUAL_BLACK))
    return np.asarray(grey + (relit - grey) * appearance.colour, np.float32)
