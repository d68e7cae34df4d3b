"""The face's triangle mesh, rasterised into maps from target pixels to source pixels."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

from gioconda.assets import asset_path
from gioconda.types import FloatArray

IntArray = npt.NDArray[np.int32]
# Fractional bits of polygon corners.
SUBPIXEL = 4
# Square pixels, twice a triangle's area, below which a triangle is flat and has no map.
FLAT = 1e-9


@dataclass(frozen=True)
class Topology:
    """Triangles and contours of the face mesh, as indices of its 468 points.

    Attributes:
        triangles: (N, 3) int32; strips close eyes and mouth. `facing` is positive where the picture shows the outer
            side of a triangle.
        oval: The border of the face.
        inner_lips: From the viewer's left corner along the lower lip.
        outer_lips: The same.
        right_eye: The person's right eye, from the outer corner along the lower lid.
        left_eye: The same of the left eye.
    """

    triangles: IntArray
    oval: IntArray
    inner_lips: IntArray
    outer_lips: IntArray
    right_eye: IntArray
    left_eye: IntArray


@lru_cache(maxsize=1)
def load_topology() -> Topology:
    """Load the packaged topology of 468 points."""
    with np.load(asset_path("face_mesh.npz"), allow_pickle=False) as data:
        names = [field.name for field in fields(Topology) if field.name != "triangles"]
        rings = {name: data[name].astype(np.int32) for name in names}
        strips = [strip(rings[name]) for name in ("inner_lips", "right_eye", "left_eye")]
        triangles = np.concatenate([data["triangles"].astype(np.int32), *strips])
    with np.load(asset_path("expression_basis.npz"), allow_pickle=False) as data:
        frontal = np.asarray(data["neutral"][:, :2], np.float32)
    back = facing(frontal, triangles) < 0
    triangles[back] = triangles[back][:, [0, 2, 1]]
    return Topology(triangles=triangles, **rings)


def strip(ring: IntArray) -> IntArray:
    """Close a ring (n,) of point indices, n even, by a strip between its halves: triangles (n - 2, 3) int32."""
    n = len(ring)
    half = n // 2
    below, above = ring[1:half], ring[:half:-1]
    rows = [[ring[0], below[0], above[0]]]
    for i in range(half - 2):
        rows += [[below[i], below[i + 1], above[i]], [above[i], below[i + 1], above[i + 1]]]
    rows.append([below[-1], ring[half], above[-1]])
    return np.array(rows, np.int32)


def affines(source: FloatArray, target: FloatArray, triangles: IntArray) -> FloatArray:
    """Compute each triangle's affine map from target (X, Y) to source: x = a X + b Y + c, y = d X + e Y + f.

    Args:
        source: (P, 2), the mesh's points in the source picture, in pixels.
        target: (P, 2), the same in the target.
        triangles: (N, 3) indices of points.

    Returns:
        (6, N) float32, a to f; a, b, d and e are 0 where a triangle is flat in the target.
    """
    return affines_onto(source, corner_weights(target, triangles), triangles)


def corner_weights(target: FloatArray, triangles: IntArray) -> npt.NDArray[np.float64]:
    """Compute how the second and third corner of each triangle weigh at a place (X, Y), linearly.

    Args:
        target: (P, 2), points in pixels.
        triangles: (N, 3) indices of points.

    Returns:
        (2, 3, N) float64, the factors of X, Y and 1 for both corners; 0 where a triangle is flat.
    """
    corners = triangles.T
    # Long rows, one for each corner, are several times as fast as many short ones.
    (x0, x1, x2), (y0, y1, y2) = (target[:, axis].astype(np.float64)[corners] for axis in range(2))
    ux, uy, vx, vy = x1 - x0, y1 - y0, x2 - x0, y2 - y0
    area = ux * vy - uy * vx
    inverse = np.divide(1, area, out=np.zeros_like(area), where=np.abs(area) > FLAT)
    weights = np.empty((2, 3, len(triangles)))
    for corner, (by_x, by_y) in zip(weights, ((vy, -vx), (-uy, ux)), strict=True):
        np.multiply(by_x, inverse, out=corner[0])
        np.multiply(by_y, inverse, out=corner[1])
        corner[2] = -corner[0] * x0 - corner[1] * y0
    return weights


def affines_onto(source: FloatArray, weights: npt.NDArray[np.float64], triangles: IntArray) -> FloatArray:
    """As `affines`, for a target whose `corner_weights` are known."""
    result = np.empty((6, len(triangles)), np.float32)
    for axis in range(2):
        first, second, third = source[:, axis].astype(np.float64)[triangles.T]
        rows = (second - first) * weights[0] + (third - first) * weights[1]
        rows[2] += first
        result[3 * axis : 3 * axis + 3] = rows
    return result


def facing(points: FloatArray, triangles: IntArray) -> npt.NDArray[np.float32]:
    """Twice the signed area (N,), in square pixels, of each triangle (N, 3) between points (P, 2 or more)."""
    (x0, x1, x2), (y0, y1, y2) = (points[:, axis][triangles.T] for axis in range(2))
    return np.asarray((x1 - x0) * (y2 - y0) - (y1 - y0) * (x2 - x0), np.float32)


def rasterize(
    target: FloatArray, triangles: IntArray, order: npt.NDArray[np.intp], size: tuple[int, int]
) -> IntArray:
    """Draw triangles into an index raster.

    Args:
        target: (P, 2), the mesh's points in pixels of the raster.
        triangles: (N, 3) indices of points.
        order: Indices of the triangles to draw, the nearest last.
        size: Width and height of the raster.

    Returns:
        (h, w) int32, index + 1 of the triangle that covers each pixel, 0 where none does.
    """
    raster = np.zeros((size[1], size[0]), np.int32)
    corners = np.rint(target[triangles] * (1 << SUBPIXEL)).astype(np.int32)
    for i, polygon in zip((order + 1).tolist(), corners[order], strict=True):
        cv2.fillConvexPoly(raster, polygon, i, cv2.LINE_8, SUBPIXEL)
    return raster


def without_pinholes(index: IntArray) -> IntArray:
    """Close the holes of a pixel or two in an index raster (h, w), in place, and return it.

    Triangles too thin to draw leave such holes, through which the background would show as a bright speck. A hole
    takes the triangle beside it.
    """
    covered = np.asarray(index > 0, np.uint8)
    kernel = np.ones((3, 3), np.uint8)
    holes = cv2.morphologyEx(covered, cv2.MORPH_CLOSE, kernel) > covered
    if holes.any():
        beside = cv2.dilate(index.astype(np.uint16), kernel)
        index[holes] = beside[holes]
    return index


def source_maps(
    index: IntArray, coefficients: FloatArray, xs: FloatArray, ys: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Map each pixel of an index raster to its source.

    Args:
        index: (h, w) int32, of `rasterize`.
        coefficients: (6, N), of `affines`.
        xs: (w,) float32, x of the raster's pixels in the target picture.
        ys: (h, 1) float32, y of the raster's pixels.

    Returns:
        x and y of the sources, (h, w) float32 each, in pixels; 0 where no triangle covers the pixel.
    """
    padded = np.zeros((6, coefficients.shape[1] + 1), np.float32)
    padded[:, 1:] = coefficients
    # Converted once, and with a mode that checks no bounds, values are picked a third faster.
    places = index.astype(np.intp)
    maps = []
    for row in (0, 3):
        value = padded[row].take(places, mode="clip")
        value *= xs
        slope = padded[row + 1].take(places, mode="clip")
        slope *= ys
        value += slope
        value += padded[row + 2].take(places, mode="clip")
        maps.append(value)
    return maps[0], maps[1]
