"""The visibility of a face in its portrait, on a flat, symmetric layout of the face's surface."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

from gioconda.assets import asset_path
from gioconda.engines.warp.background_warp import smoothstep
from gioconda.engines.warp.mesh import IntArray, affines, facing, load_topology, rasterize, source_maps
from gioconda.engines.warp.wrinkles import BROWS, SIDE, cosines, rolled_out
from gioconda.landmarks import inter_ocular, mirror_table
from gioconda.types import FloatArray, Image

# Landmarks of the mesh.
POINTS = 468
# Pixels an inter-ocular distance at which the depth is rasterised.
GRAIN_UNIT = 80.0
# Inter-ocular units behind the nearest surface, from which a point is hidden, and wholly
BEHIND = (0.04, 0.12)
# Pixels of the layout (sigma) by which the visibility is smoothed.
SOFT = 1.0
# Depth, in pixels, where there is no surface.
NOTHING = 1e6
# Weight of a pyramid's pixel from which coarser levels add nothing to it.
MIN_WEIGHT = 0.15

NOSE = (
    *(168, 6, 197, 195, 5, 4, 1, 2, 98, 97, 326, 327, 129, 358, 193, 417, 122, 351, 196, 419, 3, 248, 236),
    *(456, 198, 420, 209, 429, 49, 279, 48, 278, 64, 294, 245, 465, 188, 412, 174, 399, 217, 437, 114, 343),
    *(126, 355, 142, 371, 102, 331),
)
NOSTRILS = (98, 2, 327, 1, 48, 278)
# Pixels of the layout around features in which they shade the skin.
SKIN_MARGIN = 5
# Pixels of the layout around eyes, lips, brows and nostrils that do not look like skin.
FEATURE_MARGINS = (7, 7, 3, 4, 4, 3)


@dataclass(frozen=True)
class Layout:
    """A flat layout of the face, exactly symmetric about its middle column. Masks are 0 or 1, (SIDE, SIDE) float32.

    Attributes:
        points: (468, 2) float32, the mesh in pixels of the layout.
        index: (SIDE, SIDE) int32, each pixel's triangle plus 1, 0 outside the face.
        grid: x (SIDE,) and y (SIDE, 1) of the pixel centres.
        face: Mask of the whole face.
        skin: Mask of the face well clear of its features.
        plain: Mask of the face without its features.
        eyes: (2, SIDE, SIDE), masks of the eyes with their lids, the viewer's left first.
        features: Mask of eyes, brows and nose.
    """

    points: FloatArray
    index: IntArray
    grid: tuple[FloatArray, FloatArray]
    face: FloatArray
    skin: FloatArray
    plain: FloatArray
    eyes: FloatArray
    features: FloatArray


@lru_cache(maxsize=1)
def layout() -> Layout:
    """The layout that all faces share; its columns reversed are the mirrored face."""
    topology = load_topology()
    with np.load(asset_path("expression_basis.npz"), allow_pickle=False) as data:
        neutral = data["neutral"][:POINTS, :2].astype(np.float32)
    x, y = ((neutral + neutral[mirror_table()[:POINTS]] * (-1, 1)) / 2).T
    points = (rolled_out(x, y) + (SIDE - 1) / 2).astype(np.float32)
    index = rasterize(points, topology.triangles, np.arange(len(topology.triangles)), (SIDE, SIDE))
    face = (index > 0).astype(np.float32)
    lids = (topology.right_eye, topology.left_eye)
    eyes = np.stack([_region(points, ring, 3) for ring in lids])
    brows = [_region(points, ring, 1) for ring in (*BROWS, NOSE)]
    features = np.max([*eyes, *brows], axis=0)
    rings: tuple[Sequence[int] | IntArray, ...] = (*lids, topology.outer_lips, *BROWS, NOSTRILS)
    skin = face * (1 - np.max([_region(points, ring, SKIN_MARGIN) for ring in rings], axis=0))
    plain = face * (
        1 - np.max([_region(points, ring, n) for ring, n in zip(rings, FEATURE_MARGINS, strict=True)], axis=0)
    )
    at = np.arange(SIDE, dtype=np.float32)
    return Layout(points, index, (at, at[:, None]), face, skin, plain, eyes, features)


def _region(points: FloatArray, ring: Sequence[int] | IntArray, grow: int) -> FloatArray:
    """1 inside the hull of a ring of points and `grow` pixels around it, else 0, (SIDE, SIDE)."""
    mask = np.zeros((SIDE, SIDE), np.uint8)
    cv2.fillConvexPoly(mask, np.rint(cv2.convexHull(points[list(ring)])).astype(np.int32), (1,))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * grow + 1, 2 * grow + 1))
    return np.asarray(cv2.dilate(mask, kernel), np.float32)


def visibility(landmarks: FloatArray) -> FloatArray:
    """Measure how squarely a picture shows each part of a face.

    Args:
        landmarks: (468 or more, 3), in pixels with depth.

    Returns:
        (SIDE, SIDE) float32 on the layout, the cosine between surface and viewer; 0 where the face hides itself.
    """
    flat, triangles = layout(), load_topology().triangles
    cosine = np.append(np.float32(0), np.maximum(cosines(landmarks, triangles), 0))[flat.index]
    unit = inter_ocular(landmarks)
    points = landmarks[:POINTS] * np.float32(min(1.0, GRAIN_UNIT / unit))
    points = points - (*(points[:, :2].min(0) - 2), 0)
    nearest = _depths(points, triangles)
    planar = points[:, :2].astype(np.float32)
    at = source_maps(flat.index, affines(planar, flat.points, triangles), *flat.grid)
    depth = source_maps(flat.index, affines(points[:, [2, 2]], flat.points, triangles), *flat.grid)[0]
    front = cv2.remap(
        nearest, at[0], at[1], cv2.INTER_NEAREST, borderMode=cv2.BORDER_CONSTANT, borderValue=(NOTHING,)
    )
    size = min(unit, GRAIN_UNIT)
    behind = smoothstep(BEHIND[0] * size, BEHIND[1] * size, depth - front)
    return np.asarray(cv2.GaussianBlur(cosine * (1 - behind), (0, 0), SOFT) * flat.face, np.float32)


def _depths(points: FloatArray, triangles: IntArray) -> FloatArray:
    """The depth (h, w), in pixels, of the nearest surface of a face whose points (P, 3) are near the origin."""
    planar = points[:, :2].astype(np.float32)
    width, height = (int(n) for n in np.ceil(planar.max(0)) + 3)
    order = np.argsort(-points[triangles, 2].mean(1), kind="stable")
    index = rasterize(planar, triangles, order, (width, height))
    xs, ys = np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)[:, None]
    depth = source_maps(index, affines(points[:, [2, 2]], planar, triangles), xs, ys)[0]
    depth[index == 0] = NOTHING
    return np.asarray(cv2.erode(depth, np.ones((3, 3))), np.float32)


def unwrap_colours(image: Image | FloatArray, points: FloatArray) -> FloatArray:
    """Unwrap a picture of a face to the layout.

    Args:
        image: (H, W) or (H, W, 3).
        points: (468 or more, 2 or more), the face in pixels of the image.

    Returns:
        (SIDE, SIDE) or (SIDE, SIDE, 3) float32; beyond the face's border, its colours are continued.
    """
    flat, triangles = layout(), load_topology().triangles
    planar = points[:POINTS, :2].astype(np.float32)
    low = np.maximum(np.floor(planar.min(0)).astype(int) - 2, 0)
    high = np.minimum(np.ceil(planar.max(0)).astype(int) + 3, image.shape[1::-1])
    part = np.asarray(image[low[1] : high[1], low[0] : high[0]], np.float32)
    # pixels are averaged first: the layout is coarse
    times = max(1, round(max(part.shape[:2]) / (1.25 * SIDE)))
    if times > 1:
        small = cv2.resize(part, None, fx=1 / times, fy=1 / times, interpolation=cv2.INTER_AREA)
        part = np.asarray(small, np.float32)
    source = ((planar - low + 0.5) / times - 0.5).astype(np.float32)
    maps = source_maps(flat.index, affines(source, flat.points, triangles), *flat.grid)
    shown = cv2.remap(part, *maps, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    inner = cv2.erode(flat.face, np.ones((3, 3)))
    return continued(np.asarray(shown, np.float32), np.asarray(inner, np.float32))


def within_outline(landmarks: FloatArray, contour: FloatArray) -> FloatArray:
    """Measure how far each part of a face is inside its outline in the picture.

    Args:
        landmarks: (468 or more, 3), in pixels.
        contour: (K, 2 or more), the outline in pixels.

    Returns:
        (SIDE, SIDE) float32 on the layout, in inter-ocular units; 0 outside.
    """
    unit = inter_ocular(landmarks)
    scale = min(1.0, GRAIN_UNIT / unit)
    low = contour[:, :2].min(0) - 2 / scale
    ring = (contour[:, :2] - low) * scale
    width, height = (int(n) for n in np.ceil(ring.max(0)) + 3)
    cover = np.zeros((height, width), np.uint8)
    cv2.fillPoly(cover, [np.rint(ring).astype(np.int32)], (1,))
    inside = cv2.distanceTransform(cover, cv2.DIST_L2, 3) / (scale * unit)
    points = np.asarray((landmarks[:, :2] - low) * scale, np.float32)
    return unwrap_colours(np.asarray(inside, np.float32), points)


def continued(values: FloatArray, weight: npt.NDArray[np.float32]) -> FloatArray:
    """Continue values smoothly to where they have no weight, by push and pull.

    Args:
        values: (h, w) or (h, w, C) float32.
        weight: (h, w) float32, 0 to 1.

    Returns:
        Values of the same shape.
    """
    channels = values.reshape(*weight.shape, -1)
    # the weight goes along as the last channel
    levels = [np.concatenate([channels * weight[..., None], weight[..., None]], 2).astype(np.float32)]
    while min(levels[-1].shape[:2]) > 2:
        levels.append(np.asarray(cv2.pyrDown(levels[-1]), np.float32))
    total = levels[-1].sum((0, 1))
    result = np.broadcast_to(total / max(float(total[-1]), 1e-6), levels[-1].shape)
    for level in levels[::-1]:
        if result.shape != level.shape:
            result = cv2.pyrUp(result, dstsize=level.shape[1::-1])
        share = np.minimum(level[..., -1:] / MIN_WEIGHT, 1)
        result = result + (level / np.maximum(level[..., -1:], 1e-6) - result) * share
    return np.asarray(result[..., :-1].reshape(values.shape), np.float32)


def front_raster(points: FloatArray, size: tuple[int, int]) -> IntArray:
    """Rasterise the triangles of a face that show their outer side.

    Args:
        points: (P, 3), in pixels with depth.
        size: Width and height of the raster.

    Returns:
        (h, w) int32, triangle plus 1 at each pixel, 0 where there is none.
    """
    triangles = load_topology().triangles
    planar = points[:POINTS, :2].astype(np.float32)
    front = np.flatnonzero(facing(planar, triangles) > 0)
    order = front[np.argsort(-points[triangles[front], 2].mean(1), kind="stable")]
    return rasterize(planar, triangles, order, size)
