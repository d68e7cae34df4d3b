"""Augmentation of the refiner's samples: paint, canvas, drawing, grey, grain, other light, damaged warps."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cv2
import numpy as np
import numpy.typing as npt

from gioconda.engines.warp.aligned import HEIGHT, WIDTH, Geometry
from gioconda.engines.warp.tones import LUMA
from gioconda.types import FloatArray, Image

# Indices of a sample's warped crops
WARPED = (0, 2)
REFERENCE = 4

# Shares of the samples that get each change
STYLE_SHARE, LIGHT_SHARE, TEXTURE_SHARE, DAMAGE_SHARE, OTHER_LIGHT_SHARE = 0.35, 0.6, 0.3, 0.25, 0.2

Change = Callable[[Image], Image]


def augment(
    crops: Sequence[Image], geometries: Sequence[Geometry], random: np.random.Generator
) -> list[Image]:
    """Augment one sample.

    Args:
        crops: Five crops (HEIGHT, WIDTH, 3) RGB uint8: warped and true of the frame before, warped and true of the
            frame, reference.
        geometries: The geometry of the two frames.
        random: The source of all draws.

    Returns:
        The five crops. Style and light change all alike; damage changes the warped crops only.
    """
    changed = list(crops)
    if random.random() < STYLE_SHARE:
        brush = _brush(random)
        changed = [brush(c) for c in changed]
    if random.random() < LIGHT_SHARE:
        curve = _light(random)
        changed = [curve(c) for c in changed]
    if random.random() < OTHER_LIGHT_SHARE:
        changed[REFERENCE] = _light(random)(changed[REFERENCE])
    if random.random() < TEXTURE_SHARE:
        changed = _textured(changed, geometries, random)
    if random.random() < DAMAGE_SHARE:
        for k in WARPED:
            changed[k] = _damaged(changed[k], geometries[k // 2], random)
    return changed


def _light(random: np.random.Generator) -> Change:
    """A random gain, gamma, tint (varnish, lamps) and saturation."""
    gain, gamma = random.uniform(0.75, 1.2), random.uniform(0.75, 1.35)
    tint = random.uniform(0.85, 1.12, (3, 1))
    colour = float(random.choice([0.0, random.uniform(0.3, 1.2), 1.0], p=[0.25, 0.35, 0.4]))
    curve = np.clip(255 * (np.arange(256) / 255) ** gamma * gain, 0, 255).astype(np.uint8)
    mix = (tint * (colour * np.eye(3) + (1 - colour) * LUMA)).astype(np.float32)
    return lambda crop: np.asarray(cv2.transform(cv2.LUT(crop, curve), mix), np.uint8)


def _brush(random: np.random.Generator) -> Change:
    """A random filter that makes a crop look painted, printed or drawn."""
    kind = int(random.integers(4))
    size = int(random.choice([3, 5]))
    if kind == 0:  # blobs of paint
        return lambda c: np.asarray(cv2.medianBlur(c, size), np.uint8)
    if kind == 1:  # smooth modelling with hard contours
        return lambda c: np.asarray(cv2.bilateralFilter(c, 7, 35, 5), np.uint8)
    if kind == 2:  # few tones, as in prints
        step = int(random.integers(12, 28))
        return lambda c: np.asarray(np.minimum(c // step * step, 255 - step // 2) + step // 2, np.uint8)
    amount = float(random.uniform(0.5, 1.2))  # drawn contours

    def drawn(crop: Image) -> Image:
        edges = cv2.absdiff(crop, cv2.GaussianBlur(crop, (0, 0), 2))
        return np.asarray(cv2.addWeighted(crop, 1, cv2.blur(edges, (2, 2)), -2 * amount, 0), np.uint8)

    return drawn


def _textured(crops: list[Image], geometries: Sequence[Geometry], random: np.random.Generator) -> list[Image]:
    """Add grain or canvas to warp and truth alike, so that the network learns not to touch texture."""
    sigma = random.uniform(0.0, 1.5)
    fields = [_texture(random, sigma) for _ in range(2)]
    strength = float(random.uniform(3, 14))
    out = list(crops)
    for moment in range(2):
        grain = fields[0] * strength
        # A filled mouth does not have the picture's grain
        own = (1 - np.minimum(geometries[moment].fill * 2, 1))[..., None]
        out[2 * moment] = _added(crops[2 * moment], grain * own)
        out[2 * moment + 1] = _added(crops[2 * moment + 1], grain * own)
    out[REFERENCE] = _added(crops[REFERENCE], fields[1] * strength)
    return out


def _texture(random: np.random.Generator, sigma: float) -> FloatArray:
    noise = random.standard_normal((HEIGHT, WIDTH, 1), np.float32)
    if sigma > 0.3:
        along = random.uniform(0.5, 2.5)
        soft = cv2.GaussianBlur(noise, (0, 0), sigmaX=sigma * along, sigmaY=sigma / along)
        noise = np.asarray(soft, np.float32)[..., None]
    return np.asarray(noise / max(float(noise.std()), 1e-6), np.float32)


def _added(crop: Image, field: FloatArray) -> Image:
    return np.asarray(cv2.add(crop, np.repeat(field, 3, axis=2), dtype=cv2.CV_8U), np.uint8)


def _damaged(crop: Image, geometry: Geometry, random: np.random.Generator) -> Image:
    """Damage a warped crop within the window: blur it, shift parts of it, or add a hole."""
    kind = int(random.integers(3))
    if kind == 0:
        other = cv2.GaussianBlur(crop, (0, 0), random.uniform(0.6, 1.6))
    elif kind == 1:
        grid = random.normal(0, 1.2, (5, 4, 2)).astype(np.float32)
        shift = cv2.resize(grid, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
        y, x = np.indices((HEIGHT, WIDTH), dtype=np.float32)
        other = cv2.remap(
            crop, x + shift[..., 0], y + shift[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
    else:
        other = crop.copy()
        inside = np.argwhere(geometry.openings > 0.5)
        if len(inside):
            row, column = inside[int(random.integers(len(inside)))]
            colour = crop.reshape(-1, 3)[int(random.integers(crop.shape[0] * crop.shape[1]))]
            tone = tuple(float(v) for v in colour)
            cv2.circle(other, (int(column), int(row)), int(random.integers(2, 7)), tone, -1, cv2.LINE_AA)
    mix = geometry.window[..., None]
    return _mixed(crop, np.asarray(other, np.uint8), mix)


def _mixed(first: Image, second: Image, share: npt.NDArray[np.float32]) -> Image:
    change = cv2.subtract(second, first, dtype=cv2.CV_32F) * share
    return np.asarray(cv2.add(first, change, dtype=cv2.CV_8U), np.uint8)
