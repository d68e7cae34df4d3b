"""The animated part back into the full picture; square crops of a face; the visible label."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from gioconda.types import Face, FloatArray, Image, Patch, Portrait

CROP = 2.1  # side of a face crop, in face heights
LABEL = "AI-generated"

Box = tuple[int, int, int, int]


def crop_box(landmarks: FloatArray, shape: tuple[int, ...]) -> Box:
    """A square (left, top, right, bottom) around a face, as large as the picture allows."""
    low, high = landmarks[:, :2].min(0), landmarks[:, :2].max(0)
    side = int(min(CROP * float(max(high - low)), shape[0], shape[1]))
    left = int(np.clip((low[0] + high[0] - side) / 2, 0, shape[1] - side))
    top = int(np.clip((low[1] + high[1] - side) / 2 - 0.03 * side, 0, shape[0] - side))
    return (left, top, left + side, top + side)


def resize(image: Image, size: tuple[int, int]) -> Image:
    """The picture at (width, height), contiguous; areas averaged when it shrinks."""
    if size == (image.shape[1], image.shape[0]):
        return np.ascontiguousarray(image)
    shrinks = size[0] < image.shape[1]
    how = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(image, size, interpolation=how), np.uint8)


def cut(image: Image, box: Box, side: int) -> Image:
    """The square box of a picture at `side` x `side` pixels."""
    return resize(image[box[1] : box[3], box[0] : box[2]], (side, side))


def fit_longest(size: tuple[int, int], longest: int) -> tuple[int, int]:
    """`size` (w, h) scaled down to a longest side, even, as video codecs want it."""
    scale = min(1.0, longest / max(size))
    return (max(2, round(size[0] * scale / 2) * 2), max(2, round(size[1] * scale / 2) * 2))


def move_face(face: Face, corner: tuple[float, float], scale: tuple[float, float]) -> Face:
    """The face in a picture that was cut at `corner` and then scaled."""
    points = face.landmarks - np.array([*corner, 0], np.float32)
    return Face((points * np.array([*scale, scale[0]], np.float32)).astype(np.float32), face.score)


def compose(picture: Image, patches: Sequence[Patch]) -> Image:
    """A copy of the picture with the patches laid in; where several meet, each by its weight."""
    out = picture.copy()
    for i, patch in enumerate(patches):
        x, y = patch.corner
        height, width = patch.image.shape[:2]
        part = out[y : y + height, x : x + width]
        if i == 0:
            part[:] = patch.image
            continue
        alpha = patch.weight[..., None]
        np.copyto(part, np.rint(part + (patch.image - part.astype(np.float32)) * alpha).astype(np.uint8))
    return out


def put_label(image: Image, portraits: Sequence[Portrait]) -> Image:
    """A copy with a small sign in the corner farthest from the faces, legible at 256 pixels."""
    height, width = image.shape[:2]
    scale = max(0.38, min(width, height) / 1100)
    thick = max(1, round(scale * 1.6))
    (text_w, text_h), base = cv2.getTextSize(LABEL, cv2.FONT_HERSHEY_SIMPLEX, scale, thick)
    pad = max(3, text_h // 2)
    box_w, box_h = text_w + 2 * pad, text_h + base + 2 * pad
    spots = [(x, y) for y in (height - box_h - pad, pad) for x in (width - box_w - pad, pad)]
    faces = np.concatenate([p.face.landmarks[:, :2] for p in portraits])
    middle = np.array([box_w, box_h]) / 2
    x, y = max(spots, key=lambda s: float(np.linalg.norm(faces - (np.array(s) + middle), axis=1).min()))
    x, y = max(x, 0), max(y, 0)
    out = image.copy()
    ground = out[y : y + box_h, x : x + box_w]
    np.copyto(ground, (ground * 0.35).astype(np.uint8))
    at = (x + pad, y + pad + text_h)
    cv2.putText(out, LABEL, at, cv2.FONT_HERSHEY_SIMPLEX, scale, (255, 255, 255), thick, cv2.LINE_AA)
    return out
