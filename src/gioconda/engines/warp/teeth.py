"""Teeth and tongue for a mouth that no photo shows, from ICT-FaceKit's head, where no driver's can be borrowed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from gioconda.engines.affine import Box
from gioconda.types import ARKIT_INDEX, FloatArray, Shot
from gioconda.weights import asset_path

PARTS = ("tongue", "lower", "upper")  # from the back to the front
SKIN = np.array([205, 165, 145], np.float32)  # the skin beside which the sprites look natural
CAVITY = np.array([52, 22, 22], np.float32)
# Inter-ocular units along the face. Lips, not the skull, say where teeth show: people differ too much.
UPPER_EDGE = 0.05  # how far the upper teeth reach below the lips' line at rest
LOWER_RIM = 0.035  # how much of the lower teeth rises above the lower lip
INCISOR = 0.37  # share of the lower sprite's height above the front teeth, where molars stand
LIPS, CORNERS, CHIN = (13, 14), (61, 291), 152


@dataclass(frozen=True)
class Sprite:
    """A part of the mouth seen from the front: image (h, w, 4) float32, RGB premultiplied and alpha 0..1.

    corner (3,) and cell: its top left and the size of a pixel, in inter-ocular units from the lips' middle.
    shift: (3,), what a fully open jaw adds.
    """

    image: FloatArray
    corner: FloatArray
    cell: tuple[float, float]
    shift: FloatArray


@dataclass(frozen=True)
class Teeth:
    """The sprites sized for one portrait, and the portrait's own frame of reference at rest.

    middle (3,): between the lips; chin (3,); axes (3, 3): right, down and away from the viewer, an
    inter-ocular distance long; all in pixels with depth. drop: the chin's way at jawOpen = 1, in units.
    """

    sprites: tuple[Sprite, ...]
    middle: FloatArray
    chin: FloatArray
    axes: FloatArray
    drop: float


@lru_cache(maxsize=1)
def _basis() -> tuple[FloatArray, FloatArray]:
    """The neutral face (478, 3) and jawOpen's offsets (478, 3), canonical frame."""
    with np.load(asset_path("expression_basis.npz"), allow_pickle=False) as data:
        return data["neutral"].astype(np.float32), data["basis"][ARKIT_INDEX["jawOpen"]].astype(np.float32)


def build_teeth(landmarks: FloatArray) -> Teeth:
    """Teeth that suit the mouth of a portrait with landmarks (478, 3)."""
    neutral, jaw = _basis()
    unit = float(np.linalg.norm(landmarks[263] - landmarks[33]))
    axes = _axes(neutral).T @ _axes(landmarks) * unit
    wide = np.linalg.norm(landmarks[CORNERS[1]] - landmarks[CORNERS[0]]) / unit
    scale = float(np.clip(wide / np.linalg.norm(neutral[CORNERS[1]] - neutral[CORNERS[0]]), 0.75, 1.2))
    return Teeth(
        sprites=tuple(_sprite(part, neutral[LIPS, :].mean(0), scale, unit) for part in PARTS),
        middle=landmarks[LIPS, :].mean(0),
        chin=landmarks[CHIN].copy(),
        axes=axes.astype(np.float32),
        drop=float(jaw[CHIN, 1]),
    )


def _axes(face: FloatArray) -> FloatArray:
    """Rows right, down (along the line from brow to chin) and away of a face's points, unit vectors (3, 3)."""
    right = face[263] - face[33]
    right = right / np.linalg.norm(right)
    down = face[CHIN] - face[168]
    down = down - (down @ right) * right
    down = down / np.linalg.norm(down)
    return np.asarray(np.stack([right, down, np.cross(right, down)]), np.float32)


def _sprite(part: str, lips: FloatArray, scale: float, unit: float) -> Sprite:
    """One part at about the portrait's resolution, so that thin gaps between teeth do not flicker."""
    with np.load(asset_path("mouth.npz"), allow_pickle=False) as data:
        image, box = data[f"{part}_sprite"].astype(np.float32), data[f"{part}_box"].astype(np.float32)
        depth, shift = float(data[f"{part}_z"]), data[f"{part}_shift"].astype(np.float32)
    width = (box[2] - box[0]) * scale
    pixels = int(np.clip(1.3 * width * unit, 16, image.shape[1]))
    size = (pixels, max(4, round(image.shape[0] * pixels / image.shape[1])))
    alpha = image[..., 3:] / 255
    image = cv2.resize(
        np.concatenate([image[..., :3] * alpha, alpha], -1), size, interpolation=cv2.INTER_AREA
    )
    corner = (np.array([box[0], box[1], depth], np.float32) - lips) * scale
    cell = (float(width / size[0]), float((box[3] - box[1]) * scale / size[1]))
    return Sprite(np.asarray(image, np.float32), corner.astype(np.float32), cell, shift * scale)


def paint_teeth(teeth: Teeth, shot: Shot, corner: FloatArray, box: Box) -> FloatArray:
    """The mouth's inside (h, w, 3) float32 in the sprites' own light, for the box of a stage at `corner`."""
    move = shot.grow * shot.turn
    axes = teeth.axes @ move.T
    middle = teeth.middle @ move.T + shot.shift
    chin = shot.landmarks[CHIN] - (teeth.chin @ move.T + shot.shift)
    length = float(np.linalg.norm(axes[1]))
    open_ = float(np.clip(chin @ axes[1] / length**2 / teeth.drop, 0, 1.3))
    lip = float((shot.landmarks[LIPS[1]] - middle) @ axes[1]) / length**2
    size = (box[2] - box[0], box[3] - box[1])
    canvas = np.broadcast_to(CAVITY, (size[1], size[0], 3)).astype(np.float32)
    for part, sprite in zip(PARTS, teeth.sprites, strict=True):
        at = sprite.corner + open_ * sprite.shift
        height = sprite.cell[1] * len(sprite.image)
        if part == "upper":
            at[1] = UPPER_EDGE - height
        elif part == "lower":
            at[1] = lip - LOWER_RIM - INCISOR * height
        # depth shifts teeth sideways as the head turns; up and down they stay with the lips
        origin = middle[:2] + at[:2] @ axes[:2, :2] + (at[2] * axes[2, 0], 0) - corner - box[:2]
        affine = np.stack([axes[0, :2] * sprite.cell[0], axes[1, :2] * sprite.cell[1], origin], 1)
        layer = cv2.warpAffine(sprite.image, affine.astype(np.float32), size, flags=cv2.INTER_LINEAR)
        canvas = canvas * (1 - layer[..., 3:]) + layer[..., :3]
    return np.asarray(canvas, np.float32)
