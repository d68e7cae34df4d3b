"""The insides of the eyes: an eyeball behind the lids, so that irises turn and the white that appears is filled."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from gioconda.engines.affine import patch_box
from gioconda.engines.warp.mesh import IntArray, Topology
from gioconda.engines.warp.patches import blend, polygon_mask
from gioconda.types import FloatArray, Image

LASH_AT, LASH_REACH = (
    0.55,
    0.45,
)  # of the opening's height: where a shut eye's lashes lie, and how thick they are


@dataclass(frozen=True)
class Eye:
    """One eyeball as a picture: texture (h, w, 3) float32 whose pixel (0, 0) lies at `corner` of the portrait.

    lashes: (h, w, 3) uint8, the same part of the portrait with the opening in the colour of the lashes.

    ring: indices of the lids' contour, from corner to corner. iris: index of its centre; centre (2,) and
    radius in pixels of the portrait. ends: (2, 2), the eye's corners there.
    """

    texture: FloatArray
    lashes: Image
    corner: FloatArray
    ring: IntArray
    iris: int
    centre: FloatArray
    radius: float
    ends: FloatArray
    height: float


def build_eyes(image: Image, landmarks: FloatArray, topology: Topology) -> tuple[Eye, Eye]:
    """The viewer's left and right eye of a portrait."""
    return (
        _build_eye(image, landmarks, topology.right_eye, 468),
        _build_eye(image, landmarks, topology.left_eye, 473),
    )


def _build_eye(image: Image, landmarks: FloatArray, ring: IntArray, iris: int) -> Eye:
    contour = landmarks[ring, :2]
    width = float(np.linalg.norm(contour[8] - contour[0]))
    box = patch_box(contour, 0.5 * width, image.shape)
    if box is None:
        raise ValueError("an eye lies outside the picture")
    patch = np.ascontiguousarray(image[box[1] : box[3], box[0] : box[2]])
    opening = polygon_mask(_shrunk(contour, 0.93), box, 0)
    radius = float(np.linalg.norm(landmarks[iris + 1 : iris + 5, :2] - landmarks[iris, :2], axis=1).mean())
    return Eye(
        texture=_uncovered(patch, opening, landmarks[iris, :2] - box[:2], max(radius, 1.0)),
        lashes=_lashes(patch, contour - box[:2], width),
        corner=np.array(box[:2], np.float32),
        ring=ring,
        iris=iris,
        centre=landmarks[iris, :2].copy(),
        radius=max(radius, 1.0),
        ends=contour[[0, 8]].copy(),
        height=max(_opening_height(contour), 0.12 * width),
    )


def _opening_height(contour: FloatArray) -> float:
    return float(np.linalg.norm(contour[1:8] - contour[:8:-1], axis=1).mean())


def _shrunk(contour: FloatArray, factor: float) -> FloatArray:
    middle = contour.mean(0)
    return np.asarray(middle + (contour - middle) * factor, np.float32)


def _uncovered(patch: Image, opening: FloatArray, centre: FloatArray, radius: float) -> FloatArray:
    """The eyeball continued under the lids, white and iris apart, and darker there, as in the lids' shadow."""
    hidden = opening < 0.9
    if hidden.all():
        return patch.astype(np.float32)
    y, x = np.indices(opening.shape, dtype=np.float32)
    dx, dy = x - centre[0], y - centre[1]
    far = np.hypot(dx, dy)
    not_white = (hidden | (far < 1.2 * radius)).astype(np.uint8)
    white = patch if not_white.all() else cv2.inpaint(patch, not_white, 3, cv2.INPAINT_TELEA)
    iris, seen = patch.astype(np.float32), ~hidden
    for turn_x, turn_y in ((dx, -dy), (-dx, -dy), (far, 0 * far), (-far, 0 * far)):
        at = (centre[0] + turn_x, centre[1] + turn_y)
        other = cv2.remap(patch, *at, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        known = cv2.remap(opening, *at, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT) > 0.9
        take = known & ~seen
        iris[take] = other[take]
        seen |= take
    inside = np.clip((1.08 * radius - far) / max(0.15 * radius, 1.0), 0, 1)[..., None] * seen[..., None]
    filled = white + (iris - white) * inside
    depth = cv2.distanceTransform(hidden.astype(np.uint8), cv2.DIST_L2, 3)
    shade = 1 - 0.3 * np.clip(depth / (0.15 * patch.shape[1]), 0, 1)
    seen_now = opening[..., None]
    return np.asarray(patch * seen_now + filled * shade[..., None] * (1 - seen_now), np.float32)


def _lashes(patch: Image, contour: FloatArray, width: float) -> Image:
    """The patch with its eye painted over: skin of the upper lid, a line of lashes, skin of the lower lid."""
    upper, lower = contour[9:][::-1], contour[1:8]
    if upper[0, 0] > upper[-1, 0]:
        upper, lower = upper[::-1], lower[::-1]
    height, wide = patch.shape[:2]
    columns = np.arange(wide, dtype=np.float32)
    top, bottom = (np.interp(columns, *part.T).astype(np.float32) for part in (upper, lower))
    opening = np.maximum(bottom - top, 0.1 * width)

    def row(y: FloatArray) -> FloatArray:
        at = np.clip(y, 0, height - 1)[None].astype(np.float32)
        return np.asarray(cv2.remap(patch, columns[None], at, cv2.INTER_LINEAR), np.float32)

    edge = row(top)[0]
    dark = edge[np.argsort(edge.sum(1))[: max(1, wide // 3)]].mean(0)
    down = (np.arange(height, dtype=np.float32)[:, None] - top) / opening
    line = np.clip(1 - np.abs(down - LASH_AT) / LASH_REACH, 0, 1)[..., None]
    skin = np.where((down < LASH_AT)[..., None], row(top - 0.8 * opening), row(bottom + 0.5 * opening))
    painted = skin + (dark - skin) * line
    cover = polygon_mask(_shrunk(contour, 1.2), (0, 0, wide, height), max(0.5, 0.04 * width))
    return np.asarray(patch + (painted - patch) * cover[..., None], np.uint8)


def shut_eye(image: Image, eye: Eye, points: FloatArray, map_x: FloatArray, map_y: FloatArray) -> None:
    """Let the lids of a shutting eye meet in a line of lashes, in place.

    Between two lids that touch, the warp's maps jump over the whole eye, and pixels there would show it.
    map_x, map_y: the source of each pixel of `image`.
    """
    shut = 1 - closing(eye, points)
    contour = points[eye.ring]
    width = float(np.linalg.norm(contour[8] - contour[0]))
    box = patch_box(contour, 0.25 * width, image.shape)
    if shut <= 0 or box is None:
        return
    part = (slice(box[1], box[3]), slice(box[0], box[2]))
    at = (map_x[part] - eye.corner[0], map_y[part] - eye.corner[1])
    lids = cv2.remap(eye.lashes, *at, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    y, x = np.indices(lids.shape[:2], dtype=np.float32)
    ends = (contour[0] + contour[8]) / 2 - box[:2]
    near = np.hypot((x - ends[0]) / (0.75 * width), (y - ends[1]) / (0.5 * width))
    blend(image, box, np.asarray(lids, np.float32), shut * np.clip((1 - near) / 0.25, 0, 1))


def paint_eye(image: Image, eye: Eye, points: FloatArray) -> None:
    """Show the eyeball through the target's lids, in place; points (478, 2) in pixels of `image`."""
    contour = points[eye.ring]
    open_now = _opening_height(contour)
    box = patch_box(contour, 2, image.shape)
    if box is None or closing(eye, points) <= 0:
        return
    alpha = polygon_mask(_shrunk(contour, 0.96), box, 0.6)
    alpha *= closing(eye, points)
    moved = np.linalg.norm(_backwards(eye, contour, points[eye.iris]) - eye.centre)
    if abs(open_now - eye.height) < 0.02 * eye.height and moved < 0.02 * eye.radius:
        return  # nothing new to see, and the warped picture is the sharper one
    map_x, map_y = _eyeball_maps(eye, contour, points[eye.iris], box)
    content = cv2.remap(eye.texture, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    blend(image, box, np.asarray(content, np.float32), alpha)


def closing(eye: Eye, points: FloatArray) -> float:
    """1 while the eye is open, falling to 0 as its lids meet; points (478, 2) in pixels."""
    return float(np.clip((_opening_height(points[eye.ring]) / eye.height - 0.15) / 0.3, 0, 1))


def _similarity(eye: Eye, contour: FloatArray) -> tuple[complex, complex]:
    """Target -> portrait as z * a + b over complex points, by the eye's corners."""
    target = contour[[0, 8], 0] + 1j * contour[[0, 8], 1]
    source = eye.ends[:, 0] + 1j * eye.ends[:, 1]
    a = complex((source[1] - source[0]) / (target[1] - target[0] + 1e-9))
    return a, complex(source[0] - a * target[0])


def _backwards(eye: Eye, contour: FloatArray, point: FloatArray) -> FloatArray:
    a, b = _similarity(eye, contour)
    z = a * complex(point[0], point[1]) + b
    return np.array([z.real, z.imag], np.float32)


def _eyeball_maps(
    eye: Eye, contour: FloatArray, iris: FloatArray, box: tuple[int, int, int, int]
) -> tuple[FloatArray, FloatArray]:
    """Where in the eyeball's texture each pixel of the box looks: rigid at the iris, still at the corners."""
    a, b = _similarity(eye, contour)
    x, y = np.meshgrid(
        np.arange(box[0], box[2], dtype=np.float32), np.arange(box[1], box[3], dtype=np.float32)
    )
    source_x, source_y = a.real * x - a.imag * y + b.real, a.imag * x + a.real * y + b.imag
    seen = _backwards(eye, contour, iris)
    shift = eye.centre - seen
    far = np.hypot(source_x - seen[0], source_y - seen[1]) / eye.radius
    hold = np.clip((2.6 - far) / 1.4, 0, 1)
    hold = hold * hold * (3 - 2 * hold)
    map_x = source_x + shift[0] * hold - eye.corner[0]
    map_y = source_y + shift[1] * hold - eye.corner[1]
    return map_x.astype(np.float32), map_y.astype(np.float32)
