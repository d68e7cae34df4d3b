"""Sources of the hidden side of a face: the mirrored portrait, or a further photo of the person."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from gioconda.engines.warp.background_warp import smoothstep
from gioconda.engines.warp.mesh import affines, load_topology, source_maps
from gioconda.engines.warp.outline import outline
from gioconda.engines.warp.relight import DARK, SideFill, foreign_parts, spread_smoothly
from gioconda.engines.warp.visibility import (
    POINTS,
    front_raster,
    layout,
    unwrap_colours,
    visibility,
    within_outline,
)
from gioconda.engines.warp.wrinkles import SIDE
from gioconda.landmarks import inter_ocular, mirror_table
from gioconda.types import FloatArray, Portrait

# Pixels around the face.
MARGIN = 12
# Share of the hidden part that a photo must show.
SHOWS = 0.4
# Inter-ocular units inside a photo's outline over which its background gives way to the face.
EDGE = (0.0, 0.04)
# Cosine from which a photo's pixels serve, and from which they do wholly.
ENOUGH = (0.15, 0.35)
# Cosine in both pictures from which their light can be compared.
BOTH = (0.35, 0.6)
# Share of the layout's width towards the far side over which the comparison sets in.
ASIDE = (-0.1, 0.05)
# Pixels of the layout (sigma) below which a difference is noise.
SPOT = 1.5
# Mean log ratio that remains after relighting, from which two photos have different shades.
OTHER_DAY = (0.03, 0.045)
# Pixels of the layout that both must show.
LEAST = 40.0


@dataclass(frozen=True)
class SideSource:
    """The part of a picture with a face.

    Attributes:
        image: (h, w, 3) float32, 0 to 255.
        points: (468, 3) float32, the mesh in pixels of the image.
    """

    image: FloatArray
    points: FloatArray


@dataclass(frozen=True)
class PhotoSide:
    """A further photo that shows the hidden side.

    Attributes:
        source: Its part with the face.
        seen: (SIDE, SIDE), its visibility.
        light: (SIDE, SIDE, 3), the difference from its log colours to the portrait's.
    """

    source: SideSource
    seen: FloatArray
    light: FloatArray


def in_mirror(portrait: Portrait) -> SideSource:
    """The portrait's own face, mirrored."""
    points = portrait.face.landmarks[mirror_table()[:POINTS]].copy()
    points[:, 0] = portrait.image.shape[1] - 1 - points[:, 0]
    return _cropped(portrait.image[:, ::-1], points)


def _cropped(image: npt.NDArray[np.uint8], points: FloatArray) -> SideSource:
    """The part of a picture around points (468, 3)."""
    low = np.maximum(np.floor(points[:, :2].min(0)).astype(int) - MARGIN, 0)
    high = np.minimum(np.ceil(points[:, :2].max(0)).astype(int) + MARGIN, image.shape[1::-1])
    part = image[low[1] : high[1], low[0] : high[0]].astype(np.float32)
    return SideSource(part, np.asarray(points - np.array([*low, 0], np.float32), np.float32))


def find_photo(
    portrait: Portrait, colours: FloatArray, clear: FloatArray, need: FloatArray, fill: SideFill, far: int
) -> PhotoSide | None:
    """Find the further photo that shows most of what the portrait hides.

    Args:
        portrait: The portrait, with further photos.
        colours: (SIDE, SIDE, 3), the unwrapped portrait, 0 to 255.
        clear: (SIDE, SIDE), how squarely and surely it shows each part, 0 to 1.
        need: (SIDE, SIDE), what it hides, 0 to 1.
        fill: The colours of its hidden side without a photo.
        far: -1 where the viewer's left side is hidden, else 1.

    Returns:
        The photo; None where none shows enough.
    """
    best, most = None, SHOWS
    need = need * layout().face
    for photo in portrait.others:
        points = photo.face.landmarks
        seen = visibility(points) * smoothstep(*EDGE, within_outline(points, outline(points)))
        shown = float((smoothstep(*ENOUGH, seen) * need).sum() / max(float(need.sum()), 1e-6))
        if shown > most:
            best, most = (photo, seen), shown
    if best is None:
        return None
    photo, seen = best
    light = _light(colours, unwrap_colours(photo.image, photo.face.landmarks), (clear, seen), fill, far)
    if light is None:
        return None
    source = _cropped(photo.image, photo.face.landmarks[:POINTS])
    return PhotoSide(_at_unit(source, _unit(portrait.face.landmarks)), seen, light)


def _light(
    own: FloatArray, other: FloatArray, seen: tuple[FloatArray, FloatArray], fill: SideFill, far: int
) -> FloatArray | None:
    """The difference from another photo's log colours to the portrait's, (SIDE, SIDE, 3); None if little is shared.

    It is measured where both show skin, mainly on the far half of the face, and continued smoothly. Photos of another
    day have other shades: their skin takes the colours of the fill.
    """
    aside = np.asarray(far * (np.arange(SIDE) - (SIDE - 1) / 2) / SIDE, np.float32)
    plain = layout().skin * (1 - foreign_parts(other, seen[1]))
    both = plain * (1 - foreign_parts(own, seen[0])) * smoothstep(*ASIDE, aside)
    both = np.asarray(both * smoothstep(*BOTH, seen[0]) * smoothstep(*BOTH, seen[1]), np.float32)
    if both.sum() < LEAST:
        return None
    logs, others = np.log(own + DARK), np.log(other + DARK)
    light = spread_smoothly(logs - others, both)
    left = np.abs(cv2.GaussianBlur(logs - others, (0, 0), SPOT) - light).mean(2)
    differs = smoothstep(*OTHER_DAY, np.float32((left * both).sum() / both.sum()))
    shades = spread_smoothly(others, np.asarray(plain * smoothstep(*BOTH, seen[1]), np.float32))
    return np.asarray(light + (fill.log - shades - light) * differs, np.float32)


def _unit(points: FloatArray) -> float:
    """The inter-ocular distance of points (468, 3)."""
    return inter_ocular(points)


def _at_unit(source: SideSource, unit: float) -> SideSource:
    """The source, scaled down to an inter-ocular distance in pixels; a smaller one stays."""
    scale = unit / _unit(source.points)
    if scale >= 1:
        return source
    size = [max(2, round(n * scale)) for n in source.image.shape[1::-1]]
    image = np.asarray(cv2.resize(source.image, size, interpolation=cv2.INTER_AREA), np.float32)
    points = source.points.copy()
    points[:, :2] = (points[:, :2] + 0.5) * scale - 0.5
    points[:, 2] *= scale
    return SideSource(image, points)


def to_source_pixels(source: SideSource) -> Callable[[FloatArray], FloatArray]:
    """Map the layout to a source's pixels.

    Returns:
        A function that takes values on the layout, (SIDE, SIDE) or (SIDE, SIDE, n), to the source, (h, w) or (h, w, n).
    """
    height, width = source.image.shape[:2]
    # half the resolution suffices, since the values are smooth
    size = ((width + 1) // 2, (height + 1) // 2)
    half = np.asarray(source.points / 2 - (0.25, 0.25, 0), np.float32)
    index = front_raster(half, size)
    xs, ys = np.arange(size[0], dtype=np.float32), np.arange(size[1], dtype=np.float32)[:, None]
    planar = half[:, :2].astype(np.float32)
    maps = source_maps(index, affines(layout().points, planar, load_topology().triangles), xs, ys)
    map_x, map_y = (_beyond(source_map, index > 0) for source_map in maps)

    def to_source(values: FloatArray) -> FloatArray:
        """The values at the source's pixels."""
        shown = cv2.remap(values, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(cv2.resize(shown, None, fx=2, fy=2)[:height, :width], np.float32)

    return to_source


def _beyond(values: FloatArray, known: npt.NDArray[np.bool_]) -> FloatArray:
    """A map (h, w), continued by its nearest known pixel so that its border has no corners."""
    if known.all() or not known.any():
        return values
    _, labels = cv2.distanceTransformWithLabels(
        (~known).astype(np.uint8), cv2.DIST_L2, 3, labelType=cv2.DIST_LABEL_PIXEL
    )
    table = np.zeros(int(labels.max()) + 1, np.float32)
    table[labels[known]] = values[known]
    return np.asarray(table[labels], np.float32)
