"""Creases and shading of the driver's expression, carried over by ratio images (Averbuch-Elor et al., 2017).

Driver and portrait meet on a flat layout of the face's surface. There the driver's light now, over its light
at rest, is kept where it can be a crease, left out where it cannot (hair that moves, lips, beards, glasses, a
hand), and multiplied into the portrait's pixels before they are warped.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

from gioconda.engines.affine import Box, patch_box
from gioconda.engines.warp.mesh import IntArray, affines, facing, load_topology, rasterize, source_maps
from gioconda.types import FloatArray, Image, Mouth
from gioconda.weights import asset_path

POINTS = 468  # the mesh's
SIDE, UNIT = 128, (79.0, 63.0)  # pixels of the flat face; of an inter-ocular distance across and down it
DARK = 12.0  # grey levels added to the light, so that noise in shadows weighs little
LOGS = np.log(np.arange(256) + DARK).astype(np.float32)

FINE, COARSE = 1.3, 16.0  # pixels (sigma): creases are wider than noise and narrower than changes of light
COARSE_SHARE = 0.75  # of the slow change that is left out
NOISE, OUTLIER, MOST = 0.004, 0.35, 0.25  # log ratios: ignored, no crease any more, reached softly
BRIGHT = 0.7  # share of what brightens: a glint belongs to the driver's skin, a fold to the expression
HIDDEN = (0.10, 0.25)  # share of the face that is no crease, from which something is thought to be before it

# (from, to) where trust begins to change, and where it has.
SLOPE = (0.05, 0.11)  # log light a pixel at rest: features, whose least shift would look like a crease
GRAIN = (0.018, 0.036)  # mean distance from the blurred self at rest: beards and hair
HAIR = 0.15  # slope within the skin at rest that only hair, glasses or a hand have
SLANT = (0.3, 0.6)  # cosine between the surface and the viewer
TURNED = (0.08, 0.28)  # change of that cosine since the rest: light and outline change with it
FLAT, FLAT_SLOPE = (0.35, 0.6), 0.005  # share of skin without any slope, as drawings have
LENGTH = (1.55, 1.75)  # of the face, inter-ocular units: children and cartoons have short faces without folds
GLARE = (225.0, 255.0)  # brightest channel of the portrait; there shadows would turn grey
TINT = 0.6  # how much redder than grey a shadow on coloured skin is

BROWS = ((70, 63, 105, 66, 107, 55, 65, 52, 53, 46), (300, 293, 334, 296, 336, 285, 295, 282, 283, 276))
NOSE = ((197, 48, 278, 2, 98, 327, 64, 294, 217, 437), (98, 2, 327, 267, 0, 37))  # and what is below it


@dataclass(frozen=True)
class Flat:
    """The flat face: points (468, 2), each pixel's triangle plus 1 (SIDE, SIDE), pixel centres.

    skin: 1 on the face but its features; trust: in 0..1, where creases may show; (SIDE, SIDE) each.
    """

    points: FloatArray
    index: IntArray
    grid: tuple[FloatArray, FloatArray]
    skin: FloatArray
    trust: FloatArray


@dataclass(frozen=True)
class Light:
    """A face laid flat: its light's log and grain (SIDE, SIDE), each triangle's cosine to the viewer (N,)."""

    log: FloatArray
    grain: FloatArray
    cosine: FloatArray


@dataclass(frozen=True)
class Canvas:
    """A portrait's face that takes creases.

    box: in the picture; colour: (h, w, 3) float32; maps: where every second pixel lies on the flat face.
    taking: (SIDE, SIDE), how much of a crease shows; tint: (3,), the power of each channel.
    """

    box: Box
    maps: tuple[FloatArray, FloatArray]
    colour: FloatArray
    taking: FloatArray
    tint: FloatArray


@lru_cache(maxsize=1)
def flat_face() -> Flat:
    """The layout that all faces share: the neutral face from the front, its sides rolled out a little."""
    topology = load_topology()
    with np.load(asset_path("expression_basis.npz"), allow_pickle=False) as data:
        x, y = data["neutral"][:POINTS, :2].astype(np.float32).T
    x = 0.6 * x + 0.3 * np.arcsin(np.clip(x / 0.9, -1, 1))
    flat = np.stack([x * UNIT[0], (y - (y.min() + y.max()) / 2) * UNIT[1]], 1) + SIDE / 2
    points = flat.astype(np.float32)
    index = rasterize(points, topology.triangles, np.arange(len(topology.triangles)), (SIDE, SIDE))
    rings = (topology.right_eye, topology.left_eye, topology.outer_lips, *BROWS, *NOSE)
    features = 1 - _filled(points, rings, 3)
    face = _filled(points, (topology.oval,), 0)
    inner = cv2.erode(face, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (21, 11)))
    trust = cv2.GaussianBlur(inner * features, (0, 0), 2.0) * cv2.GaussianBlur(features, (0, 0), 0.8)
    at = np.arange(SIDE, dtype=np.float32)
    return Flat(points, index, (at, at[:, None]), face * features, np.asarray(trust, np.float32))


def _filled(points: FloatArray, rings: Sequence[Sequence[int] | IntArray], grow: int) -> FloatArray:
    """1 within the hulls of rings of points and `grow` pixels around, (SIDE, SIDE)."""
    mask = np.zeros((SIDE, SIDE), np.uint8)
    for ring in rings:
        cv2.fillConvexPoly(mask, np.rint(cv2.convexHull(points[list(ring)])).astype(np.int32), (1,))
    size = 2 * grow + 1
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))
    return np.asarray(cv2.dilate(mask, kernel), np.float32)


def lay_flat(image: Image, landmarks: FloatArray) -> Light | None:
    """The light of a face with landmarks (478, 3); None if it lies outside its picture."""
    flat, triangles = flat_face(), load_topology().triangles
    points = landmarks[:POINTS, :2]
    box = patch_box(points, 4, image.shape)
    if box is None:
        return None
    part = cv2.cvtColor(image[box[1] : box[3], box[0] : box[2]], cv2.COLOR_RGB2GRAY)
    if (times := max(1, round(max(part.shape) / (1.25 * SIDE)))) > 1:
        part = cv2.resize(part, None, fx=1 / times, fy=1 / times, interpolation=cv2.INTER_AREA)
    source = ((points - box[:2] + 0.5) / times - 0.5).astype(np.float32)
    maps = source_maps(flat.index, affines(source, flat.points, triangles), *flat.grid)
    light = cv2.LUT(cv2.remap(part, *maps, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), LOGS)
    smooth = cv2.GaussianBlur(light, (0, 0), FINE)
    return Light(np.asarray(smooth, np.float32), np.abs(light - smooth), _cosines(landmarks, triangles))


def _cosines(landmarks: FloatArray, triangles: IntArray) -> FloatArray:
    """Cosine (N,) between each triangle's outer side and the viewer."""
    corners = landmarks[triangles]
    u, v = (corners[:, 1] - corners[:, 0]).T, (corners[:, 2] - corners[:, 0]).T
    x, y, z = u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2], u[0] * v[1] - u[1] * v[0]
    return np.asarray(z / np.maximum(np.sqrt(x * x + y * y + z * z), 1e-9), np.float32)


@lru_cache(maxsize=2)
def _at_rest(rest: Mouth) -> tuple[Light, FloatArray] | None:
    """The resting driver, and where what changes in it can be told from what merely shifts, (SIDE, SIDE)."""
    light = lay_flat(rest.image, rest.landmarks)
    if light is None:
        return None
    trust = flat_face().trust
    slope = _slope(light.log)
    hair = cv2.dilate(np.asarray((slope > HAIR) & (trust > 0.3), np.float32), np.ones((15, 15)))
    plain = 1 - cv2.GaussianBlur(hair, (0, 0), 2.0)
    plain = plain * (1 - _ramp(SLOPE, cv2.GaussianBlur(cv2.dilate(slope, np.ones((5, 5))), (0, 0), 1.2)))
    plain = plain * (1 - _ramp(GRAIN, cv2.GaussianBlur(light.grain, (0, 0), 2.4)))
    return light, np.asarray(trust * plain, np.float32)


def _slope(light: FloatArray) -> FloatArray:
    across = cv2.Sobel(light, cv2.CV_32F, 1, 0, scale=1 / 8)
    return np.hypot(across, cv2.Sobel(light, cv2.CV_32F, 0, 1, scale=1 / 8))


def _ramp(limits: tuple[float, float], x: npt.ArrayLike) -> FloatArray:
    return np.clip((np.asarray(x, np.float32) - limits[0]) / (limits[1] - limits[0]), 0, 1)


@lru_cache(maxsize=2)
def crease_log(mouth: Mouth) -> FloatArray | None:
    """Log of what the expression does to the light of the driver's skin: (SIDE, SIDE), within +-MOST.

    None where the driver has no face at rest to be compared with.
    """
    rest = None if mouth.rest is None else _at_rest(mouth.rest)
    now = None if rest is None else lay_flat(mouth.image, mouth.landmarks)
    if rest is None or now is None:
        return None
    still, trust = rest
    turned = _ramp(TURNED, np.abs(now.cosine - still.cosine))
    seen = _ramp(SLANT, np.minimum(now.cosine, still.cosine)) * (1 - turned)
    weight = trust * cv2.blur(np.append(np.float32(0), seen).take(flat_face().index), (7, 7))
    change = now.log - still.log
    change -= np.median(change[::2, ::2][flat_face().trust[::2, ::2] > 0.7])
    change -= _slow(np.clip(change, -OUTLIER, OUTLIER), weight)
    strange = np.asarray(np.abs(change) > OUTLIER, np.float32) * flat_face().skin
    hidden = float((trust * strange).sum() / max(trust.sum(), 1.0))
    weight *= (1 - np.minimum(5 * cv2.blur(strange, (13, 13)), 1)) * (1 - _ramp(HIDDEN, hidden))
    return np.asarray(_bounded(change) * weight, np.float32)


def _bounded(change: FloatArray) -> FloatArray:
    """Log ratios without noise and outliers, bent toward +-MOST, what brightens weakened."""
    squared = change * change
    size = np.maximum(np.abs(change) - NOISE, 0) * np.exp(squared * squared * (-1 / OUTLIER**4))
    size /= np.sqrt(1 + squared * (1 / MOST**2))
    return np.asarray(np.where(change > 0, BRIGHT, -1) * size, np.float32)


def _slow(change: FloatArray, weight: FloatArray) -> FloatArray:
    """What changes over wide parts of the face, as light does when the head moves, (SIDE, SIDE)."""
    size = (SIDE // 4, SIDE // 4)
    small = [cv2.resize(part, size, interpolation=cv2.INTER_AREA) for part in (change * weight, weight)]
    above, below = (cv2.GaussianBlur(part, (0, 0), COARSE / 4) for part in small)
    slow = cv2.resize(above / (below + 1e-3), (SIDE, SIDE), interpolation=cv2.INTER_LINEAR)
    return np.asarray(COARSE_SHARE * slow, np.float32)


def build_canvas(image: Image, landmarks: FloatArray) -> Canvas | None:
    """The face of a portrait with landmarks (478, 3); None if it takes no creases, as drawings do not."""
    flat, triangles = flat_face(), load_topology().triangles
    points = landmarks[:POINTS, :2]
    box, light = patch_box(points, 1, image.shape), lay_flat(image, landmarks)
    if box is None or light is None:
        return None
    skin = flat.trust > 0.7
    plain = float((_slope(light.log)[skin] < FLAT_SLOPE).mean())
    length = np.linalg.norm(landmarks[152] - landmarks[10]) / np.linalg.norm(landmarks[263] - landmarks[33])
    strength = float((1 - _ramp(FLAT, plain)) * _ramp(LENGTH, length))
    if strength <= 0:
        return None
    front = np.flatnonzero(facing(points, triangles) > 0)
    order = front[np.argsort(-landmarks[triangles[front], 2].mean(1), kind="stable")]
    size = ((box[2] - box[0] + 1) // 2, (box[3] - box[1] + 1) // 2)
    index = rasterize((points - box[:2] - 0.5) / 2, triangles, order, size)
    xs, ys = (box[i] + 0.5 + 2 * np.arange(size[i], dtype=np.float32) for i in range(2))
    maps = source_maps(index, affines(flat.points, points, triangles), xs, ys[:, None])
    for one in maps:
        one[index == 0] = -10  # beyond the flat face's border, where nothing changes
    there = source_maps(flat.index, affines(points, flat.points, triangles), *flat.grid)
    colours = cv2.remap(image, *there, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    glare = cv2.GaussianBlur(_ramp(GLARE, colours.max(-1)), (0, 0), 2.0)
    mean = np.median(colours[skin], axis=0) + DARK
    return Canvas(
        box=box,
        maps=maps,
        colour=image[box[1] : box[3], box[0] : box[2]].astype(np.float32),
        taking=np.asarray(strength * (1 - 0.8 * glare), np.float32),
        tint=np.clip(1 - TINT * np.log(mean / mean.mean()), 0.6, 1.5).astype(np.float32),
    )


def crease(image: Image, canvas: Canvas | None, mouth: Mouth | None, strength: float = 1.0) -> Image:
    """The portrait's picture (H, W, 3) with the driver's creases; the same picture if there are none."""
    log = None if canvas is None or mouth is None or strength <= 0 else crease_log(mouth)
    if canvas is None or log is None:
        return image
    ratio = cv2.exp(cv2.merge([log * canvas.taking * (strength * float(power)) for power in canvas.tint]))
    left, top, right, bottom = canvas.box
    half = cv2.remap(ratio, *canvas.maps, cv2.INTER_LINEAR, borderValue=(1, 1, 1))
    there = cv2.resize(half, None, fx=2, fy=2)[: bottom - top, : right - left]
    result = image.copy()
    result[top:bottom, left:right] = cv2.multiply(canvas.colour, there, dtype=cv2.CV_8U)
    return result
