"""Wrinkle transfer: expression ratio images carry the driver's creases and shading over to the portrait.

Source: Liu, Shan and Zhang, *Expressive Expression Mapping with Ratio Images*, SIGGRAPH 2001, as used by Averbuch-Elor
et al., 2017.

Both faces are unwrapped to a flat layout of the face's surface. There, the driver's light now over its light at rest
is kept where it can be a crease. It is left out where it cannot: moving hair, lips, beards, glasses, a hand. The
engine multiplies it into the portrait's pixels before it warps them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

from gioconda.assets import asset_path
from gioconda.engines.affine import Box, patch_box
from gioconda.engines.warp.mesh import (
    IntArray,
    affines,
    affines_onto,
    corner_weights,
    facing,
    load_topology,
    rasterize,
    source_maps,
)
from gioconda.types import FloatArray, Image, Mouth

# Landmarks of the mesh.
POINTS = 468
# Pixels of the layout's side; pixels of an inter-ocular distance across and down it.
SIDE, UNIT = 128, (79.0, 63.0)
# Grey levels added to the light before logarithms, so that noise in shadows weighs little.
DARK = 12.0
# Log light of each grey level.
LOGS = np.log(np.arange(256) + DARK).astype(np.float32)
# Longer side of the picture, in sides of the layout, from which it is averaged down before it is sampled.
LARGE = 1.25

# Pixels of the layout (sigma): creases are wider than noise and narrower than changes of light.
FINE, COARSE = 1.3, 8.0
# Share of the slow change that is left out.
COARSE_SHARE = 0.75
# Log ratios: smaller ones are noise, larger ones are no creases, and the most that a crease changes.
NOISE, OUTLIER, MOST = 0.004, 0.35, 0.25
# Weight of what brightens: a glint belongs to the driver's skin, a fold to the expression.
BRIGHT = 0.7
# Share of the face with outliers from which something is thought to cover it.
HIDDEN = (0.10, 0.25)
# Trust from which a pixel of the layout counts as plain skin.
TRUSTED = 0.7

# (from, to): where trust begins to change, and where the change is complete.
# Slope at rest, log light a pixel: the least shift of features would look like a crease.
SLOPE = (0.05, 0.11)
# Mean distance from the blurred light at rest: beards and hair.
GRAIN = (0.018, 0.036)
# The same over a smaller neighbourhood, beyond GRAIN_OF_SKIN times the skin's own: clear glasses, single hairs.
LINES, GRAIN_OF_SKIN = (0.006, 0.013), 2.0
# Log light: what is darker or brighter and reaches down from the hairline is hair that came or went, or its shadow.
FRINGE = (-0.035, 0.07)
# Trust from which the forehead begins, and how many rows count as its border.
HAIRLINE, HAIRLINE_ROWS = 0.1, 3
# Slope within the skin at rest that only hair, glasses or a hand have, and the trust that the skin must have.
HAIR, HAIR_TRUST = 0.15, 0.3
# Cosine between the surface and the viewer.
SLANT = (0.3, 0.6)
# Change of that cosine since the rest: light and outline change with it.
TURNED = (0.08, 0.28)
# Share of skin without any slope, as drawings have it, and the slope that counts as none.
FLAT, FLAT_SLOPE = (0.35, 0.6), 0.005
# Length of the face in inter-ocular units: children and cartoons have short faces without folds.
LENGTH = (1.55, 1.75)
# Brightest channel of the portrait, 0 to 255: shadows would turn grey there. The share of a crease that is left out.
GLARE, GLARE_SHARE = (225.0, 255.0), 0.8
# How much redder than grey a shadow on coloured skin is, and the bounds of a channel's power.
TINT, TINT_BOUNDS = 0.6, (0.6, 1.5)
# Frames whose ratios stay known: that of each frame is needed for both sides of a portrait, and several are drawn at
# once.
FRAMES_AT_ONCE = 8
# Coordinate beyond the layout's border, where no light changes.
OUTSIDE = -10

# Landmarks of the brows (the viewer's left and right), of the nose and of what is below it.
BROWS = ((70, 63, 105, 66, 107, 55, 65, 52, 53, 46), (300, 293, 334, 296, 336, 285, 295, 282, 283, 276))
NOSE = ((197, 48, 278, 2, 98, 327, 64, 294, 217, 437), (98, 2, 327, 267, 0, 37))


@dataclass(frozen=True)
class Flat:
    """The flat layout of the face's surface.

    Attributes:
        points: (468, 2) float32, the mesh's points in pixels of the layout.
        index: (SIDE, SIDE) int32, each pixel's triangle plus 1, 0 outside the face.
        grid: x (SIDE,) and y (SIDE, 1) of the pixel centres.
        skin: (SIDE, SIDE), 1 on the face except its features, else 0.
        trust: (SIDE, SIDE), 0 to 1, where creases may show.
        weights: (2, 3, N) float64, the `corner_weights` of the points.
        steady: (K,), places in the flattened layout, some of all that are plain skin.
    """

    points: FloatArray
    index: IntArray
    grid: tuple[FloatArray, FloatArray]
    skin: FloatArray
    trust: FloatArray
    weights: npt.NDArray[np.float64]
    steady: npt.NDArray[np.intp]


@dataclass(frozen=True)
class Light:
    """The light of an unwrapped face.

    Attributes:
        log: (SIDE, SIDE) float32, log light, smoothed.
        grain: (SIDE, SIDE) float32, distance of the log light from its smoothed self.
        cosine: (N,) float32, cosine between each triangle and the viewer.
    """

    log: FloatArray
    grain: FloatArray
    cosine: FloatArray


@dataclass(frozen=True)
class WrinkleTarget:
    """A portrait's face that takes the driver's wrinkles.

    Attributes:
        box: The face in the picture, in pixels.
        maps: x and y on the layout of every second pixel of the box, (h / 2, w / 2) each.
        colour: (h, w, 3) float32, the picture in the box, 0 to 255.
        gain: (SIDE, SIDE) float32, how much of a crease shows.
        tint: (3,) float32, the power of each channel.
    """

    box: Box
    maps: tuple[FloatArray, FloatArray]
    colour: FloatArray
    gain: FloatArray
    tint: FloatArray


@lru_cache(maxsize=1)
def flat_face() -> Flat:
    """The layout that all faces share: the neutral face from the front, its sides unrolled a little."""
    topology = load_topology()
    with np.load(asset_path("expression_basis.npz"), allow_pickle=False) as data:
        x, y = data["neutral"][:POINTS, :2].astype(np.float32).T
    points = (rolled_out(x, y) + SIDE / 2).astype(np.float32)
    index = rasterize(points, topology.triangles, np.arange(len(topology.triangles)), (SIDE, SIDE))
    rings = (topology.right_eye, topology.left_eye, topology.outer_lips, *BROWS, *NOSE)
    features = 1 - _filled(points, rings, 3)
    face = _filled(points, (topology.oval,), 0)
    inner = cv2.erode(face, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (21, 11)))
    trust = cv2.GaussianBlur(inner * features, (0, 0), 2.0) * cv2.GaussianBlur(features, (0, 0), 0.8)
    at = np.arange(SIDE, dtype=np.float32)
    weights = corner_weights(points, topology.triangles)
    some = np.zeros(trust.shape, bool)
    some[::2, ::2] = trust[::2, ::2] > TRUSTED
    skin, trust = face * features, np.asarray(trust, np.float32)
    return Flat(points, index, (at, at[:, None]), skin, trust, weights, np.flatnonzero(some))


def rolled_out(x: FloatArray, y: FloatArray) -> FloatArray:
    """Unroll a face seen from the front about the layout's middle: what turns away at the sides is stretched.

    Args:
        x: (N,), points of the face in inter-ocular units, to the right.
        y: (N,), the same, down.

    Returns:
        (N, 2), in pixels of the layout.
    """
    across = 0.6 * x + 0.3 * np.arcsin(np.clip(x / 0.9, -1, 1))
    return np.stack([across * UNIT[0], (y - (y.min() + y.max()) / 2) * UNIT[1]], 1)


def _filled(points: FloatArray, rings: Sequence[Sequence[int] | IntArray], grow: int) -> FloatArray:
    """1 inside the hulls of rings of points and `grow` pixels around them, else 0, (SIDE, SIDE)."""
    mask = np.zeros((SIDE, SIDE), np.uint8)
    for ring in rings:
        cv2.fillConvexPoly(mask, np.rint(cv2.convexHull(points[list(ring)])).astype(np.int32), (1,))
    size = 2 * grow + 1
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))
    return np.asarray(cv2.dilate(mask, kernel), np.float32)


def unwrap_light(image: Image, landmarks: FloatArray) -> Light | None:
    """Unwrap the light of a face to the layout.

    Args:
        image: (H, W, 3) uint8 RGB.
        landmarks: (478, 3), the face in pixels of the image.

    Returns:
        The light; None where the face is outside the image.
    """
    flat, triangles = flat_face(), load_topology().triangles
    points = landmarks[:POINTS, :2]
    box = patch_box(points, 4, image.shape)
    if box is None:
        return None
    part = cv2.cvtColor(image[box[1] : box[3], box[0] : box[2]], cv2.COLOR_RGB2GRAY)
    if (times := max(1, round(max(part.shape) / (LARGE * SIDE)))) > 1:
        part = cv2.resize(part, None, fx=1 / times, fy=1 / times, interpolation=cv2.INTER_AREA)
    source = ((points - box[:2] + 0.5) / times - 0.5).astype(np.float32)
    maps = source_maps(flat.index, affines_onto(source, flat.weights, triangles), *flat.grid)
    light = cv2.LUT(cv2.remap(part, *maps, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), LOGS)
    smooth = cv2.GaussianBlur(light, (0, 0), FINE)
    return Light(np.asarray(smooth, np.float32), np.abs(light - smooth), cosines(landmarks, triangles))


def cosines(landmarks: FloatArray, triangles: IntArray) -> FloatArray:
    """Cosine (N,) between the outer side of each triangle (N, 3) and the viewer; landmarks (P, 3) in pixels."""
    sides = []
    for axis in range(3):
        first, second, third = landmarks[:, axis][triangles.T]
        sides.append((second - first, third - first))
    (ux, vx), (uy, vy), (uz, vz) = sides
    x, y, z = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
    return np.asarray(z / np.maximum(np.sqrt(x * x + y * y + z * z), 1e-9), np.float32)


@lru_cache(maxsize=2)
def _at_rest(rest: Mouth) -> tuple[Light, FloatArray] | None:
    """The driver's light at rest, and where a change of it is a change of light and no shift, (SIDE, SIDE) 0 to 1."""
    light = unwrap_light(rest.image, rest.landmarks)
    if light is None:
        return None
    trust = flat_face().trust
    slope = _slope(light.log)
    hair = cv2.dilate(np.asarray((slope > HAIR) & (trust > HAIR_TRUST), np.float32), np.ones((15, 15)))
    plain = 1 - cv2.GaussianBlur(hair, (0, 0), 2.0)
    plain = plain * (1 - _ramp(SLOPE, cv2.GaussianBlur(cv2.dilate(slope, np.ones((5, 5))), (0, 0), 1.2)))
    plain = plain * (1 - _ramp(GRAIN, cv2.GaussianBlur(light.grain, (0, 0), 2.4)))
    return light, np.asarray(trust * plain * _without_lines(light.grain), np.float32)


def _without_lines(grain: FloatArray) -> FloatArray:
    """1 on smooth skin, 0 on and around thin lines that skin does not have, such as the rims of clear glasses."""
    skin = flat_face().skin
    fine = cv2.GaussianBlur(grain * skin, (0, 0), 1.2) / np.maximum(cv2.GaussianBlur(skin, (0, 0), 1.2), 0.2)
    fine *= cv2.erode(skin, np.ones((3, 3)))
    usual = GRAIN_OF_SKIN * float(np.median(fine[flat_face().trust > TRUSTED]))
    lines = _ramp((LINES[0] + usual, LINES[1] + usual), fine)
    return np.asarray(1 - cv2.GaussianBlur(cv2.dilate(lines, np.ones((7, 7))), (0, 0), 1.5), np.float32)


@lru_cache(maxsize=1)
def _hairline() -> tuple[FloatArray, int]:
    """The border of the trusted forehead, (SIDE, SIDE) of 0 and 1, and the row above the brows at which it ends."""
    flat = flat_face()
    brows = int(flat.points[np.concatenate(BROWS), 1].min())
    inside = flat.trust > HAIRLINE
    inside[brows:] = False
    above = np.vstack([np.zeros((HAIRLINE_ROWS, SIDE), bool), inside[:-HAIRLINE_ROWS]])
    border = inside & ~above
    return np.asarray(border, np.float32), brows


def _fringe(change: FloatArray) -> FloatArray:
    """1 on changes that reach down into the forehead from its border, (SIDE, SIDE), 0 elsewhere."""
    border, brows = _hairline()
    fringe = np.zeros((SIDE, SIDE), np.float32)
    for least in FRINGE:
        parts = np.asarray(np.sign(least) * change[:brows] > abs(least), np.uint8)
        count, labels = cv2.connectedComponents(parts)
        touching = np.zeros(count, np.float32)
        touching[labels[border[:brows] > 0]] = 1
        # The first label is that of the ground.
        touching[0] = 0
        np.maximum(fringe[:brows], touching.take(np.asarray(labels, np.intp)), out=fringe[:brows])
    return np.asarray(cv2.GaussianBlur(cv2.dilate(fringe, np.ones((9, 9))), (0, 0), 2.0), np.float32)


def _slope(light: FloatArray) -> FloatArray:
    """The gradient's magnitude of log light (SIDE, SIDE), a pixel."""
    across = cv2.Sobel(light, cv2.CV_32F, 1, 0, scale=1 / 8)
    return np.hypot(across, cv2.Sobel(light, cv2.CV_32F, 0, 1, scale=1 / 8))


def _ramp(limits: tuple[float, float], x: npt.ArrayLike) -> FloatArray:
    """Rise linearly from 0 at the first limit to 1 at the second."""
    return np.asarray(
        np.clip((np.asarray(x, np.float32) - limits[0]) / (limits[1] - limits[0]), 0, 1), np.float32
    )


@lru_cache(maxsize=FRAMES_AT_ONCE)
def log_expression_ratio(mouth: Mouth) -> FloatArray | None:
    """The log of the driver's expression ratio image: the light of its skin now over its light at rest.

    Returns:
        (SIDE, SIDE) float32, within +-MOST; None where there is no face at rest to compare with.
    """
    rest = None if mouth.rest is None else _at_rest(mouth.rest)
    now = None if rest is None else unwrap_light(mouth.image, mouth.landmarks)
    if rest is None or now is None:
        return None
    still, trust = rest
    turned = _ramp(TURNED, np.abs(now.cosine - still.cosine))
    seen = _ramp(SLANT, np.minimum(now.cosine, still.cosine)) * (1 - turned)
    weight = trust * cv2.blur(np.append(np.float32(0), seen).take(flat_face().index), (7, 7))
    change = now.log - still.log
    change -= _median(change.take(flat_face().steady))
    change -= _slow(np.clip(change, -OUTLIER, OUTLIER), weight)
    strange = np.asarray(np.abs(change) > OUTLIER, np.float32) * flat_face().skin
    weight *= 1 - _fringe(change)
    hidden = float((trust * strange).sum() / max(trust.sum(), 1.0))
    weight *= (1 - np.minimum(5 * cv2.blur(strange, (13, 13)), 1)) * (1 - _ramp(HIDDEN, hidden))
    return np.asarray(_bounded(change) * weight, np.float32)


def _median(values: FloatArray) -> float:
    """The median of values (n,), in a third of numpy's time."""
    ordered, middle = np.sort(values), len(values) // 2
    return float(ordered[middle] + ordered[len(values) - 1 - middle]) / 2


def _bounded(change: FloatArray) -> FloatArray:
    """Log ratios without noise and outliers, limited softly to +-MOST, with what brightens weakened."""
    squared = change * change
    size = np.maximum(np.abs(change) - NOISE, 0) * np.exp(squared * squared * (-1 / OUTLIER**4))
    size /= np.sqrt(1 + squared * (1 / MOST**2))
    return np.asarray(np.where(change > 0, np.float32(BRIGHT), np.float32(-1)) * size, np.float32)


def _slow(change: FloatArray, weight: FloatArray) -> FloatArray:
    """The change over wide parts of the face, (SIDE, SIDE): so light changes when the head moves."""
    size = (SIDE // 4, SIDE // 4)
    small = [cv2.resize(part, size, interpolation=cv2.INTER_AREA) for part in (change * weight, weight)]
    above, below = (cv2.GaussianBlur(part, (0, 0), COARSE / 4) for part in small)
    slow = cv2.resize(above / (below + 1e-3), (SIDE, SIDE), interpolation=cv2.INTER_LINEAR)
    return np.asarray(COARSE_SHARE * slow, np.float32)


def build_wrinkle_target(image: Image, landmarks: FloatArray) -> WrinkleTarget | None:
    """Prepare a portrait's face to take the driver's wrinkles.

    Args:
        image: (H, W, 3) uint8 RGB.
        landmarks: (478, 3), in pixels of the image.

    Returns:
        The face; None where it takes no wrinkles, as a drawing does not.
    """
    flat, triangles = flat_face(), load_topology().triangles
    points = landmarks[:POINTS, :2]
    box, light = patch_box(points, 1, image.shape), unwrap_light(image, landmarks)
    if box is None or light is None:
        return None
    skin = flat.trust > TRUSTED
    plain = float((_slope(light.log)[skin] < FLAT_SLOPE).mean())
    length = np.linalg.norm(landmarks[152] - landmarks[10]) / np.linalg.norm(landmarks[263] - landmarks[33])
    strength = float((1 - _ramp(FLAT, plain)) * _ramp(LENGTH, length))
    if strength <= 0:
        return None
    front = np.flatnonzero(facing(points, triangles) > 0)
    order = front[np.argsort(-landmarks[triangles[front], 2].mean(1), kind="stable")]
    size = ((box[2] - box[0] + 1) // 2, (box[3] - box[1] + 1) // 2)
    index = rasterize(np.asarray((points - box[:2] - 0.5) / 2, np.float32), triangles, order, size)
    xs, ys = (box[i] + 0.5 + 2 * np.arange(size[i], dtype=np.float32) for i in range(2))
    maps = source_maps(index, affines(flat.points, points, triangles), xs, ys[:, None])
    for coordinate in maps:
        coordinate[index == 0] = OUTSIDE
    to_layout = source_maps(flat.index, affines(points, flat.points, triangles), *flat.grid)
    colours = cv2.remap(image, *to_layout, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    glare = cv2.GaussianBlur(_ramp(GLARE, colours.max(-1)), (0, 0), 2.0)
    mean = np.median(colours[skin], axis=0) + DARK
    return WrinkleTarget(
        box=box,
        maps=maps,
        colour=image[box[1] : box[3], box[0] : box[2]].astype(np.float32),
        gain=np.asarray(strength * (1 - GLARE_SHARE * glare), np.float32),
        tint=np.clip(1 - TINT * np.log(mean / mean.mean()), *TINT_BOUNDS).astype(np.float32),
    )


def transfer_wrinkles(
    image: Image, wrinkle_target: WrinkleTarget | None, mouth: Mouth | None, strength: float = 1.0
) -> Image:
    """Multiply the driver's expression ratio image into the portrait's picture.

    Args:
        image: (H, W, 3 or 4) uint8, the portrait's picture.
        wrinkle_target: The portrait's face, or None where it takes no wrinkles.
        mouth: The driver's face, with itself at rest; or None.
        strength: 0 leaves the picture as it is, 1 transfers wrinkles as they are, up to 2.

    Returns:
        A copy with the driver's wrinkles; the same array where there are none to transfer.
    """
    log = None if wrinkle_target is None or mouth is None or strength <= 0 else log_expression_ratio(mouth)
    if wrinkle_target is None or log is None:
        return image
    target = wrinkle_target
    ratio = cv2.exp(cv2.merge([log * target.gain * (strength * float(power)) for power in target.tint]))
    left, top, right, bottom = wrinkle_target.box
    half = cv2.remap(ratio, *wrinkle_target.maps, cv2.INTER_LINEAR, borderValue=(1, 1, 1))
    full = cv2.resize(half, None, fx=2, fy=2)[: bottom - top, : right - left]
    result = image.copy()
    creased = cv2.multiply(wrinkle_target.colour, full, dtype=cv2.CV_8U)
    # Numpy copies three of four channels five times as slowly.
    cv2.mixChannels([creased], [result[top:bottom, left:right]], [0, 0, 1, 1, 2, 2])
    return result
