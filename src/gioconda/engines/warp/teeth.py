"""Teeth and tongue as sprites, rendered from ICT-FaceKit's head, for mouths that no photo and no driver shows."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from gioconda.assets import asset_path
from gioconda.engines.affine import Box
from gioconda.landmarks import LEFT_EYE_OUTER, RIGHT_EYE_OUTER, inter_ocular
from gioconda.types import ARKIT_INDEX, FloatArray, TargetPose

# Sprites in painting order, from the back to the front.
PARTS = ("tongue", "lower", "upper")
# Red, green and blue, 0 to 255: the skin beside which the sprites look natural, and the dark behind them.
SPRITE_SKIN = np.array([205, 165, 145], np.float32)
CAVITY = np.array([52, 22, 22], np.float32)

# In inter-ocular units along the face. The lips determine where teeth show, not the skull: people differ too much.
# How far the upper teeth reach below the line of the lips at rest.
UPPER_EDGE = 0.05
# Height of the lower teeth that shows above the lower lip.
LOWER_RIM = 0.035
# Share of the lower sprite's height above the front teeth, where the molars are.
INCISOR = 0.37

# Sigma of the arch's smoothing, in widths of a sprite: the row of teeth is curved, but each tooth is flat.
SMOOTH_ARCH = 1 / 24
# Largest slope of the arch, depth over width: no sprite shows the sides of the molars, so they must not stretch.
STEEPEST_ARCH = 0.8
# Least width of a column that turns away, as a share of its own width: no tooth hides behind another.
NARROWEST = 0.4
# Bounds of the mouth's width relative to the neutral face's, for the size of the sprites.
WIDTH_LEAST, WIDTH_MOST = 0.75, 1.2
# Pixels of a sprite for one of the portrait, its least width and its least height.
SPRITE_PIXELS, SPRITE_WIDTH_LEAST, SPRITE_HEIGHT_LEAST = 1.3, 16, 4
# Largest opening of the jaw, relative to jawOpen = 1, that still moves the lower sprites.
JAW_MOST = 1.3

# Landmarks: the middles of the inner lips (upper, lower), the corners of the mouth, the chin, the root of the nose.
LIPS, CORNERS, CHIN, NOSE_ROOT = (13, 14), (61, 291), 152, 168


@dataclass(frozen=True)
class Sprite:
    """A part of the inner mouth, seen from the front.

    Attributes:
        image: (h, w, 4) float32, premultiplied RGB, 0 to 255, and alpha, 0 to 1.
        arch: (w,) float32, inter-ocular units by which each column is farther back than the middle one.
        corner: (3,) float32, left, top and depth relative to the middle of the lips, inter-ocular units.
        pixel_size: Width and height of a pixel in inter-ocular units.
        jaw_shift: (3,) float32, what jawOpen = 1 adds to the corner, inter-ocular units.
    """

    image: FloatArray
    arch: FloatArray
    corner: FloatArray
    pixel_size: tuple[float, float]
    jaw_shift: FloatArray


@dataclass(frozen=True)
class Teeth:
    """The sprites in a portrait's size, and the portrait's frame of reference at rest.

    Attributes:
        sprites: In the order of PARTS.
        middle: (3,) float32, the point between the lips, in pixels of the portrait, with depth.
        chin: (3,) float32, in pixels of the portrait, with depth.
        axes: (3, 3) float32, rows right, down and away from the viewer, in pixels an inter-ocular unit.
        jaw_drop: Inter-ocular units that jawOpen = 1 moves the chin down.
    """

    sprites: tuple[Sprite, ...]
    middle: FloatArray
    chin: FloatArray
    axes: FloatArray
    jaw_drop: float


@lru_cache(maxsize=1)
def _basis() -> tuple[FloatArray, FloatArray]:
    """The neutral face (478, 3) and the offsets of jawOpen (478, 3), in the canonical frame."""
    with np.load(asset_path("expression_basis.npz"), allow_pickle=False) as data:
        return data["neutral"].astype(np.float32), data["basis"][ARKIT_INDEX["jawOpen"]].astype(np.float32)


def build_teeth(landmarks: FloatArray) -> Teeth:
    """Fit teeth to a portrait's mouth; landmarks: (478, 3), in pixels of the portrait."""
    neutral, jaw = _basis()
    unit = inter_ocular(landmarks)
    axes = _axes(neutral).T @ _axes(landmarks) * unit
    width = np.linalg.norm(landmarks[CORNERS[1]] - landmarks[CORNERS[0]]) / unit
    neutral_width = np.linalg.norm(neutral[CORNERS[1]] - neutral[CORNERS[0]])
    scale = float(np.clip(width / neutral_width, WIDTH_LEAST, WIDTH_MOST))
    return Teeth(
        sprites=tuple(_load_sprite(part, neutral[LIPS, :].mean(0), scale, unit) for part in PARTS),
        middle=landmarks[LIPS, :].mean(0),
        chin=landmarks[CHIN].copy(),
        axes=axes.astype(np.float32),
        jaw_drop=float(jaw[CHIN, 1]),
    )


def _axes(face: FloatArray) -> FloatArray:
    """Unit vectors (3, 3) of a face's points (478, 3): rows right, down (from brow to chin) and away."""
    right = face[LEFT_EYE_OUTER] - face[RIGHT_EYE_OUTER]
    right = right / np.linalg.norm(right)
    down = face[CHIN] - face[NOSE_ROOT]
    down = down - (down @ right) * right
    down = down / np.linalg.norm(down)
    return np.asarray(np.stack([right, down, np.cross(right, down)]), np.float32)


def _load_sprite(part: str, lips: FloatArray, scale: float, unit: float) -> Sprite:
    """A sprite at about the portrait's resolution, so that thin gaps between teeth do not flicker.

    lips: (3,), their middle in the neutral face. scale: of the mouth. unit: inter-ocular distance in pixels.
    """
    with np.load(asset_path("mouth.npz"), allow_pickle=False) as data:
        image, box = data[f"{part}_sprite"].astype(np.float32), data[f"{part}_box"].astype(np.float32)
        mean_depth, jaw_shift = float(data[f"{part}_z"]), data[f"{part}_shift"].astype(np.float32)
        depth = data[f"{part}_depth"].astype(np.float32)
    width = (box[2] - box[0]) * scale
    columns = int(np.clip(SPRITE_PIXELS * width * unit, SPRITE_WIDTH_LEAST, image.shape[1]))
    size = (columns, max(SPRITE_HEIGHT_LEAST, round(image.shape[0] * columns / image.shape[1])))
    alpha = image[..., 3:] / 255
    image = cv2.resize(
        np.concatenate([image[..., :3] * alpha, alpha], -1), size, interpolation=cv2.INTER_AREA
    )
    corner = (np.array([box[0], box[1], mean_depth], np.float32) - lips) * scale
    pixel_size = (float(width / size[0]), float((box[3] - box[1]) * scale / size[1]))
    flat = part == "tongue"
    arch = np.zeros(size[0], np.float32) if flat else _arch(depth * scale, size[0], pixel_size[0])
    return Sprite(
        np.asarray(image, np.float32), arch, corner.astype(np.float32), pixel_size, jaw_shift * scale
    )


def _arch(depth: FloatArray, width: int, column_width: float) -> FloatArray:
    """How much farther back than the middle each of `width` columns of a sprite is, (width,), in the depths' unit.

    depth: (h, w), 0 where nothing is known. column_width: in the depths' unit.
    """
    count = (depth != 0).sum(0)
    known = np.flatnonzero(count)
    mean = np.interp(np.linspace(0, depth.shape[1] - 1, width), known, depth.sum(0)[known] / count[known])
    sigma = SMOOTH_ARCH * width
    soft = cv2.GaussianBlur(mean[None].astype(np.float32), (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)[0]
    steepest = STEEPEST_ARCH * column_width
    steps = np.clip(np.diff(soft + soft[::-1]) / 2, -steepest, steepest)
    arch = np.append(0, np.cumsum(steps))
    return np.asarray(arch - arch[width // 2], np.float32)


def paint_teeth(teeth: Teeth, target_pose: TargetPose, corner: FloatArray, box: Box) -> FloatArray:
    """Paint the inside of a mouth in the sprites' own light.

    Args:
        teeth: The portrait's.
        target_pose: The pose of head and jaw.
        corner: (2,), left and top of the stage, in pixels of the portrait.
        box: The part of the stage to paint, in its pixels.

    Returns:
        (h, w, 3) float32, 0 to 255.
    """
    rotation = target_pose.grow * target_pose.turn
    axes = teeth.axes @ rotation.T
    middle = teeth.middle @ rotation.T + target_pose.shift
    chin = target_pose.landmarks[CHIN] - (teeth.chin @ rotation.T + target_pose.shift)
    length = float(np.linalg.norm(axes[1]))
    jaw_open = float(np.clip(chin @ axes[1] / length**2 / teeth.jaw_drop, 0, JAW_MOST))
    lower_lip = float((target_pose.landmarks[LIPS[1]] - middle) @ axes[1]) / length**2
    size = (box[2] - box[0], box[3] - box[1])
    canvas = np.broadcast_to(CAVITY, (size[1], size[0], 3)).astype(np.float32)
    for part, sprite in zip(PARTS, teeth.sprites, strict=True):
        position = sprite.corner + jaw_open * sprite.jaw_shift
        height = sprite.pixel_size[1] * len(sprite.image)
        if part == "upper":
            position[1] = UPPER_EDGE - height
        elif part == "lower":
            position[1] = lower_lip - LOWER_RIM - INCISOR * height
        layer = _projected(sprite, position, axes, middle[:2] - corner - box[:2], size)
        canvas = canvas * (1 - layer[..., 3:]) + layer[..., :3]
    return np.asarray(canvas, np.float32)


def _projected(
    sprite: Sprite, position: FloatArray, axes: FloatArray, middle: FloatArray, size: tuple[int, int]
) -> FloatArray:
    """Project a sprite under the head's rotation: (h, w, 4), premultiplied RGB and alpha.

    position: (3,), the sprite's corner in inter-ocular units. axes: (3, 3), of the face. middle: (2,), of the lips, in
    pixels of the box. size: (w, h) of the box.
    """
    linear = axes[:2, :2].astype(np.float64)
    inverse = np.linalg.pinv(linear)
    # where a point that is one unit farther back appears, in units along the face
    aside, down = axes[2, :2] @ inverse
    x, y = np.meshgrid(np.arange(size[0]) - middle[0], np.arange(size[1]) - middle[1])
    # depth shifts teeth sideways as the head turns; vertically they stay with the lips, and only the arch bends
    along = x * inverse[0, 0] + y * inverse[1, 0] - position[0] - position[2] * aside
    across = x * inverse[0, 1] + y * inverse[1, 1] - position[1]
    columns = np.arange(len(sprite.arch))
    width, height = sprite.pixel_size
    steps = np.maximum(width + np.diff(sprite.arch) * aside, NARROWEST * width)
    places = np.append(0, np.cumsum(steps))
    places += len(columns) // 2 * width - places[len(columns) // 2]
    # columns beyond both ends are outside the sprite, where it is transparent
    column = np.interp(along, places, columns, left=-2, right=len(columns) + 1)
    row = (across - np.interp(column, columns, sprite.arch) * down) / height
    maps = (column.astype(np.float32), row.astype(np.float32))
    return np.asarray(cv2.remap(sprite.image, *maps, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT))
