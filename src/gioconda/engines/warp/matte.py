"""The matte of a person: how much of each pixel is the person, and that part's own colour."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from gioconda.engines.warp.background_warp import smoothstep
from gioconda.types import FloatArray

# Pixels an inter-ocular distance at which the filter's coefficients are solved; finer costs and shows no more hair.
SOLVE_UNIT = 60.0
# Inter-ocular units by which hair may stand out from where the network sees a person.
DOUBT = 0.1
# Inter-ocular units: radius of the guided filter, as far as a curl reaches.
RADIUS = 0.14
# Variance of a colour in 0..1; below it, the filter sees no edge.
SMOOTH = 2e-4
# Share of the coarse mask below which the network sees nobody.
FAINT = 0.1
# Shares of the coarse mask between which the network is trusted, whatever the filter says.
SURE = (0.6, 1.0)
# Filtered shares that become 0 and 1: the filter blurs a little across every edge.
STRETCH = (0.2, 0.85)
# Shares of the coarse mask between which the network is unsure.
UNSURE = (0.12, 0.88)
# Inter-ocular units; half of the widest band that a coarse mask alone makes unsure.
EDGE_WIDTH = 0.08
# Inter-ocular units around a doubtful part that stay whole too.
AROUND = 0.3
# Inter-ocular units from the person: what stands out from a plain background is hair up to the first, and less and
# less up to the second.
NEAR = (0.2, 0.35)
# Inter-ocular units; half the width of the thickest lone curl.
THIN = 0.05
# Inter-ocular units over which a plain background's tone changes, at least.
PLAIN = 0.15
# Times the background's own texture that a curl must stand out by.
COARSE = 3.0
# Inter-ocular units from the person: a plain wall goes along up to the first, and less and less up to the second.
RIM = (0.04, 0.16)
# Variation in 0..1 up to which a wall is plain, and from which it is not.
RIM_TEXTURE = (0.045, 0.10)
# Share of a doubtful neighbourhood from which a pixel begins to be doubtful, and from which it is wholly.
DOUBTFUL = (0.2, 0.8)
# Difference from the background, over what its texture explains, from which a pixel is foreign.
STRANGE = (1.2, 2.0)
# Share of foreign and close from which a pixel is claimed for the person.
CLAIMED = (0.2, 0.7)
# Difference in 0..1 from the background's tone that light and noise may make.
LEAST = 0.06
# Inter-ocular units; windows from which the colours on either side of the edge are taken, far and then near.
COLOUR_RADII = (0.35, 0.06)


def box_mean(values: npt.ArrayLike, radius: int) -> FloatArray:
    """The mean over a square window of 2 * radius + 1 pixels of (h, w) or (h, w, n) values; the border is reflected."""
    side = 2 * radius + 1
    return np.asarray(
        cv2.blur(np.asarray(values, np.float32), (side, side), borderType=cv2.BORDER_REFLECT_101), np.float32
    )


def guided_coefficients(guide: FloatArray, values: FloatArray, radius: int, smooth: float) -> FloatArray:
    """Compute the guided filter's local linear model for a guide of three colours: values are about a . guide + b.

    Source: He, Sun and Tang, Guided Image Filtering, ECCV 2010.

    Args:
        guide: (h, w, 3) float32, 0 to 1.
        values: (h, w) float32.
        radius: Of the window, in pixels.
        smooth: The regularisation, a variance.

    Returns:
        (h, w, 4) float32, a and b.
    """
    red, green, blue = cv2.split(guide)
    mean = box_mean(guide, radius)
    of_values = box_mean(values, radius)
    products = cv2.merge([red * red, red * green, red * blue, green * green])
    rr, rg, rb, gg = cv2.split(box_mean(products, radius))
    gb, bb = cv2.split(box_mean(cv2.merge([green * blue, blue * blue]), radius))
    r, g, b = cv2.split(mean)
    rr, gg, bb = rr - r * r + smooth, gg - g * g + smooth, bb - b * b + smooth
    rg, rb, gb = rg - r * g, rb - r * b, gb - g * b
    covariance = box_mean(guide * values[..., None], radius) - mean * of_values[..., None]
    cr, cg, cb = cv2.split(covariance)
    # the inverse of the symmetric matrix of 3 x 3, written out
    irr, irg, irb = gg * bb - gb * gb, gb * rb - rg * bb, rg * gb - gg * rb
    igg, igb, ibb = rr * bb - rb * rb, rb * rg - rr * gb, rr * gg - rg * rg
    determinant = np.maximum(rr * irr + rg * irg + rb * irb, 1e-12)
    slope = [
        (irr * cr + irg * cg + irb * cb) / determinant,
        (irg * cr + igg * cg + igb * cb) / determinant,
        (irb * cr + igb * cg + ibb * cb) / determinant,
    ]
    shift = of_values - slope[0] * r - slope[1] * g - slope[2] * b
    return box_mean(cv2.merge([*slope, shift]), radius)


def _dot(guide: FloatArray, model: FloatArray) -> FloatArray:
    """Evaluate a local linear model (h, w, 4) on a guide (h, w, 3): (h, w)."""
    return np.asarray(np.einsum("ijk,ijk->ij", guide, model[..., :3]) + model[..., 3], np.float32)


def _scaled(values: FloatArray, scale: float) -> FloatArray:
    """An array (h, w) or (h, w, 3), averaged down by a factor."""
    size = (max(2, round(values.shape[1] * scale)), max(2, round(values.shape[0] * scale)))
    return np.asarray(cv2.resize(values, size, interpolation=cv2.INTER_AREA), np.float32)


def _stretched(values: npt.ArrayLike, shape: tuple[int, ...]) -> FloatArray:
    """An array (h, w) or (h, w, n), resized to a picture of `shape`."""
    return np.asarray(cv2.resize(np.asarray(values, np.float32), (shape[1], shape[0])), np.float32)


def _most(first: FloatArray, second: FloatArray) -> FloatArray:
    """The largest difference (h, w) of the three channels of two pictures (h, w, 3)."""
    red, green, blue = cv2.split(cv2.absdiff(first, second))
    return np.asarray(cv2.max(cv2.max(red, green), blue), np.float32)


def refine_matte(picture: FloatArray, mask: FloatArray, unit: float) -> FloatArray:
    """Refine a coarse mask to the share of each pixel that is the person, by the edges of the picture.

    Args:
        picture: (h, w, 3) float32, 0 to 1.
        mask: (h, w) float32, 0 to 1, coarse.
        unit: The inter-ocular distance in pixels.

    Returns:
        (h, w) float32, 0 to 1.
    """
    scale = min(1.0, SOLVE_UNIT / unit)
    small, coarse = _scaled(picture, scale), _scaled(mask, scale)
    inside, outside = _sure(coarse, unit * scale)
    radius = max(2, round(RADIUS * unit * scale))
    share = np.asarray(coarse, np.float32)
    for _ in range(2):
        model = guided_coefficients(small, share, radius, SMOOTH)
        share = np.clip(_dot(small, model), 0, 1).astype(np.float32)
        share = np.maximum(share * outside, inside)
        radius = max(2, radius // 2)
    model, inside, outside = (_stretched(values, picture.shape) for values in (model, inside, outside))
    share = _dot(picture, model)
    share = np.clip((share - STRETCH[0]) / (STRETCH[1] - STRETCH[0]), 0, 1)
    return np.asarray(np.maximum(share * outside, inside), np.float32)


def _sure(mask: FloatArray, unit: float) -> tuple[FloatArray, FloatArray]:
    """Masks (h, w), 0 to 1: 1 where the mask is surely the person, and 0 where it surely is not."""
    inside = smoothstep(*SURE, mask)
    outside = cv2.dilate(np.asarray(mask > FAINT, np.float32), _disc(DOUBT * unit))
    return inside, np.asarray(cv2.blur(outside, (5, 5)), np.float32)


def doubtful(mask: FloatArray, unit: float) -> FloatArray:
    """Where the network cannot separate the person from the background, and around there.

    The mask is unsure along every edge. It is doubtful where it stays unsure for longer than an edge is wide.

    Args:
        mask: (h, w) float32, 0 to 1, the network's.
        unit: The inter-ocular distance in pixels.

    Returns:
        (h, w) float32, 0 to 1.
    """
    scale = min(1.0, SOLVE_UNIT / unit)
    small = _scaled(mask, scale)
    unsure = np.asarray((small > UNSURE[0]) & (small < UNSURE[1]), np.uint8)
    wide = cv2.morphologyEx(unsure, cv2.MORPH_OPEN, _disc(EDGE_WIDTH * unit * scale))
    there = cv2.dilate(wide, _disc(AROUND * unit * scale))
    around = cv2.GaussianBlur(np.asarray(there, np.float32), (0, 0), AROUND / 3 * unit * scale)
    return smoothstep(*DOUBTFUL, _stretched(around, mask.shape))


def _disc(radius: float) -> npt.NDArray[np.uint8]:
    """A disc as a structuring element; radius in pixels."""
    side = 2 * max(1, round(radius)) + 1
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)), np.uint8)


def grown(part: npt.NDArray[np.bool_], by: float) -> npt.NDArray[np.bool_]:
    """A part (h, w) of a picture, dilated by `by` pixels."""
    return np.asarray(cv2.dilate(part.astype(np.uint8), _disc(by)) > 0)


def claim_wisps(picture: FloatArray, share: FloatArray, unit: float) -> FloatArray:
    """Add to the matte what stands out from a plain background close to the person, as lone curls do.

    What goes on beyond the neighbourhood, as a picture frame does, stays background. So does everything beside texture.

    Args:
        picture: (h, w, 3) float32, 0 to 1.
        share: (h, w) float32, 0 to 1, the matte so far.
        unit: The inter-ocular distance in pixels.

    Returns:
        (h, w) float32, 0 to 1, the matte.
    """
    scale = min(1.0, SOLVE_UNIT / unit)
    small = _scaled(picture, scale)
    person = np.asarray(_scaled(share, scale) > 0.5, np.uint8)
    away = cv2.distanceTransform(1 - person, cv2.DIST_L2, cv2.DIST_MASK_5) / (unit * scale)
    beyond = np.asarray(away > NEAR[1], np.float32)
    if not person.any() or beyond.mean() < 0.02:
        return share
    tone = _tone(small, beyond, 1 / (PLAIN * unit * scale))
    texture = _most(small, _stretched(tone, small.shape)) * beyond
    side = 2 * max(1, round(1.4 * NEAR[1] * unit * scale)) + 1
    most = cv2.dilate(cv2.blur(texture, (3, 3)), np.ones((side, side), np.uint8))
    allowed = LEAST + COARSE * _stretched(cv2.blur(most, (side, side)), share.shape)
    strange = _most(picture, _stretched(tone, share.shape))
    strange = smoothstep(*STRANGE, strange / allowed) * (1 - share)
    wide = cv2.dilate(cv2.morphologyEx(strange, cv2.MORPH_OPEN, _disc(THIN * unit)), _disc(THIN * unit))
    close = 1 - smoothstep(*NEAR, _stretched(away, share.shape))
    claimed = smoothstep(*CLAIMED, close * np.maximum(strange - wide, 0))
    return np.asarray(np.maximum(share, claimed), np.float32)


def plain_rim(picture: FloatArray, share: FloatArray, unit: float) -> FloatArray:
    """How much of a plain background right beside the person may move along unseen.

    This rim carries the light that spills over the person's edge. Left in the background, it would show as an outline.

    Args:
        picture: (h, w, 3) float32, 0 to 1.
        share: (h, w) float32, 0 to 1, the matte.
        unit: The inter-ocular distance in pixels.

    Returns:
        (h, w) float32, 0 to 1.
    """
    scale = min(1.0, SOLVE_UNIT / unit)
    small = _scaled(picture, scale)
    person = np.asarray(_scaled(share, scale) > 0.5, np.uint8)
    if not person.any():
        return np.zeros_like(share)
    away = cv2.distanceTransform(1 - person, cv2.DIST_L2, cv2.DIST_MASK_5) / (unit * scale)
    beyond = np.asarray(away > RIM[1], np.float32)
    radius = max(1, round(RIM[1] * unit * scale))
    known = box_mean(beyond, radius)[..., None]
    mean = box_mean(small * beyond[..., None], radius) / np.maximum(known, 1e-3)
    variation = _most(small, np.asarray(mean, np.float32)) * beyond
    wide = 3 * radius
    variation = box_mean(variation, wide) / np.maximum(box_mean(beyond, wide), 1e-3)
    plain = 1 - smoothstep(*RIM_TEXTURE, np.asarray(variation, np.float32))
    rim = plain * (1 - smoothstep(*RIM, np.asarray(away, np.float32)))
    return _stretched(np.asarray(rim, np.float32), share.shape)


def _tone(picture: FloatArray, known: FloatArray, scale: float) -> FloatArray:
    """The known part of a picture, averaged down and continued over the rest."""
    weight = _scaled(known, scale)
    tone = _scaled(picture * known[..., None], scale) / np.maximum(weight, 1e-6)[..., None]
    return push_pull(np.asarray(tone, np.float32), np.asarray(np.minimum(4 * weight, 1), np.float32))


def push_pull(picture: FloatArray, known: FloatArray) -> FloatArray:
    """Fill the unknown part of a picture smoothly from its known part.

    Source: Gortler et al., The Lumigraph, SIGGRAPH 1996, section 4.3.

    Args:
        picture: (h, w, 3) float32.
        known: (h, w) float32, 1 where the picture is known, 0 where not.

    Returns:
        (h, w, 3) float32.
    """
    height, width = known.shape
    if known.min() >= 1 or min(height, width) <= 2:
        return picture
    size = ((width + 1) // 2, (height + 1) // 2)
    weight = cv2.resize(known, size, interpolation=cv2.INTER_AREA)
    small = cv2.resize(picture * known[..., None], size, interpolation=cv2.INTER_AREA)
    small = small / np.maximum(weight, 1e-6)[..., None]
    coarse = push_pull(np.asarray(small, np.float32), np.minimum(4 * weight, 1).astype(np.float32))
    coarse = np.asarray(cv2.resize(coarse, (width, height)), np.float32)
    return np.asarray(coarse + known[..., None] * (picture - coarse), np.float32)


def edge_colours(picture: FloatArray, matte: FloatArray, unit: float) -> FloatArray:
    """Estimate the person's own colour at every pixel, free of the background that shines through at the edge.

    Source: Forte, Approximate Fast Foreground Colour Estimation, ICIP 2021.

    Args:
        picture: (h, w, 3) float32.
        matte: (h, w) float32, 0 to 1.
        unit: The inter-ocular distance in pixels.

    Returns:
        (h, w, 3) float32.
    """
    scale = min(1.0, SOLVE_UNIT / unit)
    small = _scaled(picture, scale)
    far, near = (max(1, round(radius)) for radius in (COLOUR_RADII[0] * unit * scale, COLOUR_RADII[1] * unit))
    sides = _fused(small, _scaled(matte, scale), small, small, far)
    front, back = (_stretched(colours, picture.shape) for colours in sides)
    return _fused(picture, matte, front, back, near)[0]


def _fused(
    picture: FloatArray, matte: FloatArray, front: FloatArray, back: FloatArray, radius: int
) -> tuple[FloatArray, FloatArray]:
    """Colours of person and background (h, w, 3) from a window around each pixel, fitted to the picture."""
    share = matte[..., None]
    of_front = box_mean(matte, radius)[..., None]
    front = box_mean(front * share, radius) / (of_front + 1e-5)
    back = box_mean(back * (1 - share), radius) / (1 - of_front + 1e-5)
    front = front + share * (picture - share * front - (1 - share) * back)
    return np.asarray(np.clip(front, 0, 255), np.float32), np.asarray(back, np.float32)
