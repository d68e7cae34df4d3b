"""The background behind the person, completed once, so that it stays still while the head moves."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from gioconda.engines.affine import Box
from gioconda.engines.warp.background_warp import smoothstep
from gioconda.engines.warp.behind import Behind
from gioconda.engines.warp.matte import (
    box_mean,
    claim_wisps,
    doubtful,
    edge_colours,
    grown,
    plain_rim,
    push_pull,
    refine_matte,
)
from gioconda.types import OPAQUE, RGBA, FloatArray, Image, Portrait

# Share of the person above which a pixel does not show the background reliably.
SEEN = 0.02
# Shares of the person up to which a pixel belongs to the background, and from which it does not.
TRUSTED = (0.05, 0.5)
# Inter-ocular units beside the person that do not serve to complete the background: light and hair spill there.
BESIDE = 0.02
# Grain that is explained: grey levels, plus this many times the background's own variation; and the radius of the
# window that measures it, in inter-ocular units.
GRAIN, GRAIN_RADIUS = (2.0, 2.0), 0.12
# Inter-ocular units from the person up to which light and mask may err.
SPILL = (0.09, 0.16)
# Grey levels, beyond the grain, by which spilled light differs from the background.
SPILL_LEAST = 6.0
# Grey levels, mean around a pixel, by which the layers may differ from the picture at rest.
UNEXPLAINED = (5.0, 12.0)
# Regularisation: keeps a faint share of the person from taking an extreme colour.
STEADY = 0.03
# Inter-ocular units from the edge of the hole: mirrored texture, and from where on a smooth fill alone.
TEXTURE = (0.25, 0.9)
# Inter-ocular units: half the window over which mirrored content is a thing rather than texture.
COARSE = 0.12
# Inter-ocular units from the edge of the hole from which no thing is left.
THING_DEPTH = 0.12
# Grey levels by which a thing differs from a smooth fill.
THING = (4.0, 14.0)
# Pixels an inter-ocular distance at which the mirror is computed.
MIRROR_UNIT = 40.0
# Inter-ocular units; blur of the mirror's offsets, since the edge is ragged.
MIRROR_SOFT = 0.12


@dataclass(frozen=True)
class Layers:
    """A picture separated into the person and a completed background.

    Attributes:
        front: (H, W, 4) uint8, the whole picture, with the person's own colours at the edge; the fourth channel is the
            matte, 255 on the person.
        back: (h, w, 4) uint8, the background behind the stage, opaque.
    """

    front: Image
    back: Image


def build_layers(
    portrait: Portrait, box: Box, unit: float, moving: FloatArray, behind: Behind | None = None
) -> Layers | None:
    """Separate a portrait's stage into layers.

    Args:
        portrait: The portrait, with the person's mask.
        box: The stage.
        unit: The inter-ocular distance in pixels.
        moving: (h, w), 1 where the stage may move, 0 where it always stays.
        behind: What further photos show of the background, or None.

    Returns:
        The layers; None where the portrait has no mask, or its background moves by itself.
    """
    if portrait.person is None or not portrait.stands_apart:
        return None
    left, top, right, bottom = box
    part = (slice(top, bottom), slice(left, right))
    picture = portrait.image[part].astype(np.float32)
    front, matte, hiding = _person(picture, portrait.person[part], unit)
    hole = grown(hiding > SEEN, BESIDE * unit)
    shown, hole = (picture, hole) if behind is None else behind.fill(picture, hole, box)
    back = complete(shown, hole, unit, clean=behind is not None)
    front, back = _made_up(picture, (front, back), matte[..., None], hiding[..., None], unit)
    # where the layers do not reproduce the picture, it stays whole
    share = matte[..., None]
    error = np.abs(share * front + (1 - share) * back - picture).max(2)
    whole = smoothstep(*UNEXPLAINED, box_mean(error, max(1, round(GRAIN_RADIUS * unit))))
    matte = np.maximum(matte, whole)
    front = front + whole[..., None] * (picture - front)
    still = 1 - moving[..., None]
    front, back = (np.clip(layer + still * (picture - layer), 0, 255) for layer in (front, back))
    full = cv2.cvtColor(portrait.image, cv2.COLOR_RGB2RGBA)
    full[part] = np.rint(np.dstack([front, OPAQUE * matte]))
    opaque = cv2.cvtColor(np.rint(back).astype(np.uint8), cv2.COLOR_RGB2RGBA)
    return Layers(np.asarray(full, np.uint8), np.asarray(opaque, np.uint8))


def _person(picture: FloatArray, mask: FloatArray, unit: float) -> tuple[FloatArray, FloatArray, FloatArray]:
    """The person's layer of a picture (h, w, 3): its colours, its matte (h, w), and the hidden background's share.

    mask: (h, w), the network's. Where the mask is not reliable, the matte is larger than what the person hides. There,
    the background moves along and the field ends inside the matte.
    """
    bright = np.asarray(picture / 255, np.float32)
    matte = refine_matte(bright, mask, unit)
    matte = claim_wisps(bright, matte, unit)
    front = edge_colours(picture, matte, unit)
    rim = np.maximum(plain_rim(bright, matte, unit), _spilled(picture, matte, unit))
    doubt = doubtful(mask, unit)
    hiding = np.maximum(matte, rim)
    matte, along = np.maximum(hiding, doubt), np.maximum(rim, doubt)
    front = front + (along / np.maximum(matte, 1e-3))[..., None] * (picture - front)
    return np.asarray(front, np.float32), np.asarray(matte, np.float32), np.asarray(hiding, np.float32)


def _made_up(
    picture: FloatArray,
    layers: tuple[FloatArray, FloatArray],
    share: FloatArray,
    hiding: FloatArray,
    unit: float,
) -> tuple[FloatArray, FloatArray]:
    """Person and background (h, w, 3) that reproduce the picture while nothing moves.

    The remaining difference goes to the background where nobody hides it, as far as its grain explains it, else to the
    person. share: (h, w, 1), of the person. hiding: (h, w, 1), how much of the background is hidden.
    """
    front, back = layers
    rest = picture - share * front - (1 - share) * back
    most = _grain(back, unit) / np.maximum(smoothstep(0, TRUSTED[0], hiding), 1e-3)
    to_back = (1 - smoothstep(*TRUSTED, hiding)) * np.clip(rest / np.maximum(1 - share, 0.05), -most, most)
    to_front = share * (rest - (1 - share) * to_back) / (share * share + STEADY)
    return np.clip(front + to_front, 0, 255), np.asarray(back + to_back, np.float32)


def _spilled(picture: FloatArray, matte: FloatArray, unit: float) -> FloatArray:
    """Pixels close to the person that differ from the background beyond, (h, w), 0 to 1: an ear's rim, lit hair."""
    scale = min(1.0, MIRROR_UNIT / unit)
    size = (max(2, round(matte.shape[1] * scale)), max(2, round(matte.shape[0] * scale)))
    small, share = (
        np.asarray(cv2.resize(values, size, interpolation=cv2.INTER_AREA), np.float32)
        for values in (picture, matte)
    )
    person = np.asarray(share > 0.5, np.uint8)
    if not person.any():
        return np.zeros_like(matte)
    away = cv2.distanceTransform(1 - person, cv2.DIST_L2, cv2.DIST_MASK_5) / (unit * scale)
    beyond = complete(small, away < SPILL[1], unit * scale)
    strange = (cv2.absdiff(small, beyond) / (SPILL_LEAST + _grain(beyond, unit * scale))).max(2)
    near = 1 - smoothstep(*SPILL, np.asarray(away, np.float32))
    spill = cv2.morphologyEx(near * smoothstep(1, 2, strange), cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8))
    return np.asarray(cv2.resize(spill, (matte.shape[1], matte.shape[0])), np.float32)


def _grain(picture: FloatArray, unit: float) -> FloatArray:
    """How much a picture varies around each pixel, (h, w, 3): what differs more does not belong to it."""
    radius = max(1, round(GRAIN_RADIUS * unit))
    return GRAIN[0] + GRAIN[1] * box_mean(cv2.absdiff(picture, box_mean(picture, radius)), radius)


def complete(
    picture: FloatArray, hole: npt.NDArray[np.bool_], unit: float, *, clean: bool = False
) -> FloatArray:
    """Fill the hole of a picture: texture mirrored at the hole's edge, a smooth fill deeper inside.

    Args:
        picture: (h, w, 3) float32, 0 to 255.
        hole: (h, w) bool.
        unit: The inter-ocular distance in pixels.
        clean: Whether the hole's edge is free of the person; if so, the fill joins it without a step. If not, the
            fill begins with what lies beyond the edge.

    Returns:
        (h, w, 3) float32.
    """
    known = np.asarray(~hole, np.float32)
    if not known.any():
        return picture
    smooth = push_pull(picture, known)
    x, y, distance = _mirror(hole, unit, clean=clean)
    mirrored = cv2.remap(smooth, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
    trust = cv2.remap(known, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
    low, high = (t * unit for t in TEXTURE)
    share = (trust * (1 - smoothstep(low, high, distance)) * hole)[..., None]
    # a lamp, a window or a lit curl would appear a second time behind the head: only its texture is mirrored
    coarse = max(1, round(COARSE * unit))
    thing = box_mean(box_mean(mirrored, coarse), coarse) - smooth
    apart = smoothstep(*THING, np.abs(thing).max(2)) * smoothstep(0, THING_DEPTH * unit, distance) * hole
    mirrored = mirrored - apart[..., None] * thing
    filled = smooth + share * (mirrored - smooth)
    seen = picture[~hole]
    filled = np.where(hole[..., None], np.clip(filled, seen.min(0), seen.max(0)), filled)
    return np.asarray(filled, np.float32)


def _mirror(
    hole: npt.NDArray[np.bool_], unit: float, *, clean: bool
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """The place of each pixel mirrored at the hole's edge, x and y (h, w), and its distance from the edge, in pixels.

    It is computed at a coarser size, since the edge is ragged and must be smoothed anyway. clean: as for `complete`.
    """
    scale = min(1.0, MIRROR_UNIT / unit)
    size = (max(2, round(hole.shape[1] * scale)), max(2, round(hole.shape[0] * scale)))
    small = cv2.resize(hole.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
    if small.all():
        small[0] = 0
    distance, labels = cv2.distanceTransformWithLabels(
        small, cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    ys, xs = np.nonzero(small == 0)
    place = np.zeros((int(labels.max()) + 1, 2), np.float32)
    place[labels[ys, xs]] = np.stack([xs, ys], -1)
    rows, columns = np.indices(small.shape, np.float32)
    offset = 2 * (place[labels] - np.stack([columns, rows], -1)) / scale
    offset = cv2.GaussianBlur(offset, (0, 0), max(0.5, MIRROR_SOFT * unit * scale))
    full = (hole.shape[1], hole.shape[0])
    offset = cv2.resize(offset, full)
    away = np.asarray(cv2.resize(np.asarray(distance, np.float32), full) / scale, np.float32)
    if clean:
        # The blur reaches past the edge's own mirror.
        farthest = 2 * np.maximum(away - 1 / scale, 0)
        offset *= np.minimum(farthest / np.maximum(np.linalg.norm(offset, axis=2), 1e-6), 1)[..., None]
    x = np.arange(full[0], dtype=np.float32) + offset[..., 0]
    y = np.arange(full[1], dtype=np.float32)[:, None] + offset[..., 1]
    return x, y, away


def composite_layers(front: Image, back: Image) -> Image:
    """Composite the person over the background.

    Args:
        front: (h, w, 4) uint8, the person, the matte in the fourth channel; the function may change it.
        back: (h, w, 4) uint8, the background.

    Returns:
        (h, w, 3) uint8.
    """
    matte = np.asarray(cv2.extractChannel(front, 3), np.uint8)
    mixed = np.ascontiguousarray(front)
    cv2.copyTo(back, (matte == 0).view(np.uint8), mixed)
    # The edge is a few pixels wide: mixing them alone takes a third of the time. As whole numbers of four channels,
    # pixels are picked and put back ten times as fast.
    edge = np.flatnonzero(np.asarray(cv2.inRange(matte, 1, OPAQUE - 1), np.uint8) > 0)
    if len(edge):
        share = (matte.reshape(-1).take(edge) * np.float32(1 / OPAQUE))[None]
        whole = [layer.view(np.uint32).reshape(-1) for layer in (mixed, back)]
        above, below = (pixels.take(edge).view(np.uint8).reshape(1, -1, RGBA) for pixels in whole)
        whole[0][edge] = cv2.blendLinear(above, below, share, 1 - share).view(np.uint32).reshape(-1)
    return np.asarray(cv2.cvtColor(mixed, cv2.COLOR_RGBA2RGB), np.uint8)
