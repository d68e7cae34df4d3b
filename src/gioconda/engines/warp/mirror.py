"""The side of a face that its portrait hides: the other side, mirrored and relit. It is computed once a portrait.

A three-quarter portrait shows its far cheek as a strip. A turn of the head stretches the strip over half a face, so the
near cheek replaces it there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from gioconda.engines.warp.background_warp import smoothstep
from gioconda.engines.warp.hair import Hairline, at_hairline, find_hairline, hair_of
from gioconda.engines.warp.mesh import facing, load_topology
from gioconda.engines.warp.outline import neutral_oval, outline, outwards, oval_sides
from gioconda.engines.warp.relight import DARK, SideFill, build_side_fill, foreign_parts
from gioconda.engines.warp.sidesource import (
    ENOUGH,
    PhotoSide,
    SideSource,
    find_photo,
    in_mirror,
    to_source_pixels,
)
from gioconda.engines.warp.visibility import continued, layout, unwrap_colours, visibility, within_outline
from gioconda.engines.warp.wrinkles import SIDE, WrinkleTarget, build_wrinkle_target
from gioconda.landmarks import inter_ocular
from gioconda.types import FloatArray, Image, Portrait

# Cosine at which the portrait's own pixels are given up, and from which they are kept.
OWN = (0.3, 0.6)
# Cosine from which mirrored pixels may replace them, and from which they do wholly.
OTHER = (0.25, 0.5)
# Difference by which the mirrored cosine must be larger.
BETTER = (0.05, 0.25)
# Inter-ocular units inside the far outline from which a pixel may show the face, and from which it does.
CLEAR = (0.02, 0.08)
# Share of the person's mask from which a pixel may show the face, and from which it does.
CLEAR_PERSON = (0.5, 0.9)
# Share of the face below which nothing is hidden: heads turned by less than about three degrees.
LEAST = 0.02
# Cosine from which hair over the far cheek is seen well enough to be kept.
HAIR_SEEN = (0.25, 0.4)
# Pixels of the layout, up and down, over which a lock of hair is continuous.
HAIR_REACH = 31
# Share of the person's mask that hair must have: a dark background is no hair.
PERSON = (0.4, 0.7)
# Share of the layout's width from the middle over which the face becomes a side.
OUTER = (0.15, 0.24)
# Cosine from which a part of eye, brow or nose is the portrait's own, and where wholly.
FEATURE = (0.2, 0.35)
# Mean cosine of the far eye below which the refiner leaves it alone, and where it does not.
EYE_HOLD = (0.55, 0.7)
# Units by which the mirrored points move in: the border of the near side shows hair or an ear already.
INSET = 0.07
# Units (sigma), above which a cheek's detail is shading; log ratios, its limit.
DETAIL, DETAIL_MOST = 0.03, 0.05
# Units around the middle of the cheek.
GRAIN_REACH = 0.12
# Points of the viewer's left and right cheek; the middle between them.
CHEEKS, NOSE_TIP = ((50, 205), (280, 425)), 1

# The far contour, in units of the distance between the eyes.
# Least push of the portrait's own contour: its pixels are half background.
PUSH = 0.03
# Distances along the normal at which the end of the skin is sought.
SEARCH = np.arange(-2, 17, dtype=np.float32) * np.float32(0.01)
# Farther out, skin belongs to an ear or the neck, which moves with what surrounds the face.
EAR = 0.06
# Share of the difference from skin to background from which a pixel is background.
REACHED = 0.85
# Grey levels between skin and background below which no end of the skin is sought.
CONTRAST = 20.0
# Sigma by which the picture is smoothed first.
BLUR = 0.006
# Height in the neutral face over which the search sets in: above it, hair covers the border.
BELOW_BROW = (-0.42, -0.12)


@dataclass(frozen=True)
class Mirror:
    """A portrait's face, mirrored, in the portrait's light.

    Attributes:
        image: (h, w, 4) uint8, RGB and how much of it shows.
        points: (468, 3) float32, the mesh in pixels of the image.
        needed: (N,), how much each triangle needs the mirrored face, 0 to 1.
        unclear: (N,), the same, where the portrait does not show the face that the landmarks promise.
        far: -1 where the viewer's left side is hidden, else 1.
        area: (N,), of each triangle in the portrait, signed, of `facing`.
        unit: The inter-ocular distance in pixels.
        push: (K,), pixels by which the portrait's outline moves out.
        eye_hold: How strongly the refiner leaves the far eye alone, 0 to 1.
        wrinkle_target: The mirrored face that takes the driver's wrinkles, or None.
        hairline: The hairline of that side, or None.
    """

    image: Image
    points: FloatArray
    needed: FloatArray
    unclear: FloatArray
    far: int
    area: FloatArray
    unit: float
    push: FloatArray
    eye_hold: float
    wrinkle_target: WrinkleTarget | None = None
    hairline: Hairline | None = None


def build_mirror(portrait: Portrait, contour: FloatArray) -> Mirror | None:
    """Build the mirrored side of a portrait.

    Args:
        portrait: The portrait.
        contour: (K, 3), the outline of its face, in pixels.

    Returns:
        The mirrored side; None where nothing is hidden that the other side shows.
    """
    landmarks, topology = portrait.face.landmarks, load_topology()
    seen = visibility(landmarks)
    far = _far_side(seen)
    need = _needed(seen, np.ones_like(seen), far)
    if float(need.sum()) < LEAST * float(layout().face.sum()):
        return None
    clear = _clear(portrait, contour, far)
    hidden = _hidden_side_of(portrait, contour, seen, clear, far)
    if hidden.hairline is not None:
        contour = at_hairline(hidden.hairline, landmarks, contour)
    unit = inter_ocular(landmarks)
    at = np.clip(np.rint(layout().points[topology.triangles].mean(1)), 0, SIDE - 1).astype(int)
    eye = layout().eyes[0 if far < 0 else 1] > 0
    return Mirror(
        image=hidden.image,
        points=_inset(hidden.points, far, unit),
        needed=hidden.need[at[:, 1], at[:, 0]],
        unclear=(hidden.need * (1 - clear))[at[:, 1], at[:, 0]],
        far=far,
        area=facing(landmarks[:, :2], topology.triangles),
        unit=unit,
        push=_push(portrait.image, contour, far, unit),
        eye_hold=float(1 - smoothstep(*EYE_HOLD, np.float32(seen[eye].mean()))),
        wrinkle_target=build_wrinkle_target(np.ascontiguousarray(hidden.image[..., :3]), hidden.points),
        hairline=hidden.hairline,
    )


@dataclass(frozen=True)
class HiddenSide:
    """The appearance of the hidden side.

    Attributes:
        image: (h, w, 4) uint8, as in `Mirror`.
        points: (468, 3), as in `Mirror`.
        need: (SIDE, SIDE), how much of each part of the face is mirrored, on the layout.
        hairline: The hairline of that side, or None.
    """

    image: Image
    points: FloatArray
    need: FloatArray
    hairline: Hairline | None = None


def _hidden_side_of(
    portrait: Portrait, contour: FloatArray, seen: FloatArray, clear: FloatArray, far: int
) -> HiddenSide:
    """The hidden side from a further photo that shows it, else from the near side."""
    colours = unwrap_colours(portrait.image, portrait.face.landmarks)
    need, foreign = _needed(seen, clear, far), foreign_parts(colours, seen)
    fill = build_side_fill(colours, seen, foreign, far)
    photo = find_photo(portrait, colours, seen * clear, need, fill, far)
    if photo is not None:
        return HiddenSide(_photographed(photo, fill, need), photo.source.points, need)
    hair = hair_of(portrait, contour, colours, seen, far)
    hairline = None if hair is None else find_hairline(hair, seen, far)
    need = need * (1 - _hair_kept(portrait, foreign, seen, far))
    source = in_mirror(portrait)
    return HiddenSide(_mirrored(source, fill, need), source.points, need, hairline)


def _inset(points: FloatArray, far: int, unit: float) -> FloatArray:
    """Points (468, 3) with the border of the near side moved in, since hair or an ear begins there."""
    border = points[load_topology().oval]
    side, share = oval_sides()
    inwards = border.mean(0) - border
    inwards /= np.linalg.norm(inwards[:, :2], axis=1, keepdims=True)
    result = points.astype(np.float32)
    result[load_topology().oval, :2] += inwards[:, :2] * (INSET * unit * share * (side == far))[:, None]
    return result


def _clear(portrait: Portrait, contour: FloatArray, far: int) -> FloatArray:
    """How surely the picture shows the face where the landmarks are, (SIDE, SIDE), 0 to 1.

    At the outline of the far side, a landmark that is a little off shows the background.
    """
    landmarks = portrait.face.landmarks
    clear = smoothstep(*CLEAR, within_outline(landmarks, contour))
    if portrait.person is not None:
        clear = clear * smoothstep(*CLEAR_PERSON, unwrap_colours(portrait.person, landmarks))
    mine = far * (np.arange(SIDE) - (SIDE - 1) / 2) > 0
    return np.where(mine, clear, 1).astype(np.float32)


def face_outline(landmarks: FloatArray, mirror: Mirror | None) -> FloatArray:
    """The outline (K, 3) of a face with landmarks (468 or more, 3), up to its hairline where that is known; pixels."""
    contour = outline(landmarks)
    if mirror is None or mirror.hairline is None:
        return contour
    return at_hairline(mirror.hairline, landmarks, contour)


def _far_side(seen: FloatArray) -> int:
    """The side that a portrait of a visibility (SIDE, SIDE) shows less of: -1 for the viewer's left, else 1."""
    half = SIDE // 2
    hidden = (1 - smoothstep(*OWN, seen)) * smoothstep(*OTHER, seen[:, ::-1]) * layout().face
    return -1 if hidden[:, :half].sum() > hidden[:, half:].sum() else 1


def _needed(seen: FloatArray, clear: FloatArray, far: int) -> FloatArray:
    """How much of each part of the face (SIDE, SIDE) must be mirrored.

    Eyes, brows and nose stay the portrait's own: stretched, they still look better than in another light.

    Args:
        seen: (SIDE, SIDE), the portrait's visibility.
        clear: (SIDE, SIDE), how surely the face is where its landmarks are.
        far: -1 where the viewer's left side is hidden, else 1.
    """
    flat, other, seen = layout(), seen[:, ::-1], seen * clear
    need = (1 - smoothstep(*OWN, seen)) * smoothstep(*OTHER, other) * smoothstep(*BETTER, other - seen)
    columns = far * (np.arange(SIDE) - (SIDE - 1) / 2)
    outer = smoothstep(*OUTER, np.asarray(columns / SIDE, np.float32))
    need = need * flat.face * (1 - flat.features * clear) * np.maximum(outer, 1 - clear)
    cheek = _soft(_outwards(need, far), 1.5)
    own = cv2.GaussianBlur(flat.features * smoothstep(*FEATURE, seen), (0, 0), 1.5)
    cheek = continued(cheek, flat.face) * (1 - own)
    return np.asarray(np.clip(cheek, 0, 1), np.float32)


def _outwards(values: FloatArray, far: int) -> FloatArray:
    """Values (SIDE, SIDE) made to never fall from the middle to the far side."""
    turned = values[:, ::far]
    return np.ascontiguousarray(np.maximum.accumulate(turned, axis=1)[:, ::far])


def _hair_kept(portrait: Portrait, foreign: FloatArray, seen: FloatArray, far: int) -> FloatArray:
    """Where the portrait's own hair covers the far cheek, and all that is behind it, (SIDE, SIDE)."""
    columns = far * (np.arange(SIDE) - (SIDE - 1) / 2)
    foreign = foreign * (columns > 0)
    if portrait.person is not None:
        foreign = foreign * smoothstep(*PERSON, unwrap_colours(portrait.person, portrait.face.landmarks))
    hair = foreign * smoothstep(*HAIR_SEEN, seen)
    kept = _outwards(_morph(hair, cv2.MORPH_OPEN, (7, 5)), far)
    # a lock goes on where the cheek turns away, above and below its visible part
    near = _morph(kept, cv2.MORPH_DILATE, (HAIR_REACH, 1))
    kept = _morph(np.maximum(kept, _outwards(foreign * near, far)), cv2.MORPH_CLOSE, (HAIR_REACH, 1))
    return np.clip(_soft(_morph(kept, cv2.MORPH_DILATE, (5, 5)), 2.0), 0, 1)


def _soft(values: FloatArray, sigma: float) -> FloatArray:
    """Values (SIDE, SIDE), blurred; sigma in pixels of the layout."""
    return np.asarray(cv2.GaussianBlur(values, (0, 0), sigma), np.float32)


def _morph(values: FloatArray, how: int, size: tuple[int, int]) -> FloatArray:
    """Values (SIDE, SIDE) under a morphological operation with a window of `size` (rows, columns)."""
    return np.asarray(cv2.morphologyEx(values, how, np.ones(size)), np.float32)


def _mirrored(source: SideSource, fill: SideFill, need: FloatArray) -> Image:
    """The mirrored face in the fill's colours, its need as alpha, (h, w, 4) uint8."""
    there = to_source_pixels(source)
    logs = _painted(source, fill, there)
    return np.dstack([np.clip(np.exp(logs) - DARK, 0, 255), 255 * there(need)]).astype(np.uint8)


def _painted(source: SideSource, fill: SideFill, there: Callable[[FloatArray], FloatArray]) -> FloatArray:
    """Log colours (h, w, 3) of a source: the fill's, with the source's own detail."""
    detail = _detail(source.image, source.points)
    grain = _grain(detail, source.points)
    detail = grain + (detail - grain) * there(fill.skin)
    return np.asarray(there(fill.log) + detail[..., None], np.float32)


def _photographed(photo: PhotoSide, fill: SideFill, need: FloatArray) -> Image:
    """The photo in the portrait's light where it shows the face, else the fill's colours; alpha is the need."""
    source, there = photo.source, to_source_pixels(photo.source)
    logs = np.log(source.image + DARK) + there(photo.light)
    painted = _painted(source, fill, there)
    logs = painted + (logs - painted) * there(smoothstep(*ENOUGH, photo.seen))[..., None]
    return np.dstack([np.clip(np.exp(logs) - DARK, 0, 255), 255 * there(need)]).astype(np.uint8)


def _detail(image: FloatArray, points: FloatArray) -> FloatArray:
    """Pores, moles, creases and strokes of a face, without its shading: log ratios (h, w)."""
    unit = inter_ocular(points)
    logs = np.log(image.mean(2) + DARK)
    fine = logs - cv2.GaussianBlur(logs, (0, 0), DETAIL * unit)
    return np.asarray(DETAIL_MOST * np.tanh(fine / DETAIL_MOST), np.float32)


def _grain(fine: FloatArray, points: FloatArray) -> FloatArray:
    """Detail (h, w) tiled from the cheek that is seen, with mirrored tiles."""
    height, width = fine.shape
    unit = inter_ocular(points)
    reach = max(3, int(GRAIN_REACH * unit))
    cheek = max(CHEEKS, key=lambda pair: abs(points[pair[0], 0] - points[NOSE_TIP, 0]))
    x, y = points[list(cheek), :2].mean(0).astype(int)
    part = fine[max(y - reach, 0) : y + reach, max(x - reach, 0) : x + reach]
    if min(part.shape) < reach:
        return np.zeros((height, width), np.float32)
    rows, columns = (_folded(n, m) for n, m in zip((height, width), part.shape, strict=True))
    return np.asarray(part[np.ix_(rows, columns)], np.float32)


def _folded(count: int, period: int) -> npt.NDArray[np.intp]:
    """Indices (count,) that run back and forth over a period."""
    at = np.arange(count) % (2 * period)
    return np.minimum(at, 2 * period - 1 - at)


def _push(image: Image, contour: FloatArray, far: int, unit: float) -> FloatArray:
    """Pixels from the hidden side's contour outwards at which the picture shows no skin any more, (K,)."""
    side, share = oval_sides()
    weight = share * (side == far) * smoothstep(*BELOW_BROW, neutral_oval()[:, 1])
    line = contour[:, None, :2] + outwards(contour)[:, None] * (unit * SEARCH[:, None])
    soft = cv2.GaussianBlur(image, (0, 0), max(0.5, BLUR * unit))
    at = line.astype(np.float32)
    seen = cv2.remap(soft, at[..., 0], at[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    seen = seen.astype(np.float32)
    inside, outside = seen[:, :1], seen[:, -5:].mean(1, keepdims=True)
    axis = outside - inside
    contrast = (axis**2).sum(-1)
    along = ((seen - inside) * axis).sum(-1) / np.maximum(contrast, 1)
    reached = (along > REACHED) & (contrast > CONTRAST**2)
    push = np.where(reached.any(1), np.maximum(SEARCH[reached.argmax(1)], PUSH), PUSH)
    push = np.where(push > EAR, PUSH, push)
    # one point that ends too early leaves a bump of skin
    push = np.maximum(push, np.maximum(np.roll(push, 1), np.roll(push, -1)))
    for _ in range(2):
        push = np.maximum(push, 0.25 * np.roll(push, 1) + 0.5 * push + 0.25 * np.roll(push, -1))
    return np.asarray(push * unit * weight, np.float32)
