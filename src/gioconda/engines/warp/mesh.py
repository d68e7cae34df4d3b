"""The face as triangles: rasterised at half resolution into maps from target pixels to source pixels."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

from gioconda.types import FloatArray
from gioconda.weights import asset_path

IntArray = npt.NDArray[np.int32]
SUBPIXEL = 4  # fractional bits of polygon corners


@dataclass(frozen=True)
class Topology:
    """Face Mesh's triangles (N, 3) with eyes and mouth closed by strips, and its contours as point indices.

    A triangle's area by `facing` is positive where the picture shows its outer side.

    Eye contours start at the outer corner and run along the lower lid; lips at the viewer's left corner.
    """

    triangles: IntArray
    oval: IntArray
    inner_lips: IntArray
    outer_lips: IntArray
    right_eye: IntArray
    left_eye: IntArray


@lru_cache(maxsize=1)
def load_topology() -> Topology:
    """The packaged topology of 468 points."""
    with np.load(asset_path("face_mesh.npz"), allow_pickle=False) as data:
        rings = {name: data[name].astype(np.int32) for name in data.files if name != "triangles"}
        strips = [strip(rings[name]) for name in ("inner_lips", "right_eye", "left_eye")]
        triangles = np.concatenate([data["triangles"].astype(np.int32), *strips])
    with np.load(asset_path("expression_basis.npz"), allow_pickle=False) as data:
        frontal = np.asarray(data["neutral"][:, :2], np.float32)
    back = facing(frontal, triangles) < 0
    triangles[back] = triangles[back][:, [0, 2, 1]]
    return Topology(triangles=triangles, **rings)


def strip(ring: IntArray) -> IntArray:
    """Triangles (n - 2, 3) that close a ring of even length by a strip between its two halves."""
    n = len(ring)
    half = n // 2
    below, above = ring[1:half], ring[:half:-1]
    rows = [[ring[0], below[0], above[0]]]
    for i in range(half - 2):
        rows += [[below[i], below[i + 1], above[i]], [above[i], below[i + 1], above[i + 1]]]
    rows.append([below[-1], ring[half], above[-1]])
    return np.array(rows, np.int32)


def affines(source: FloatArray, target: FloatArray, triangles: IntArray) -> FloatArray:
    """Coefficients (6, N) of the maps target -> source: x = a X + b Y + c, y = d X + e Y + f.

    source, target: (P, 2) points; triangles that are flat in the target yield zeros.
    """
    s, t = source[triangles].astype(np.float64), target[triangles].astype(np.float64)
    ux, uy = (t[:, 1] - t[:, 0]).T
    vx, vy = (t[:, 2] - t[:, 0]).T
    area = ux * vy - uy * vx
    inverse = np.where(np.abs(area) > 1e-9, 1 / np.where(area == 0, 1, area), 0.0)
    rows = []
    for axis in range(2):
        p, q = s[:, 1, axis] - s[:, 0, axis], s[:, 2, axis] - s[:, 0, axis]
        a, b = (p * vy - q * uy) * inverse, (q * ux - p * vx) * inverse
        rows += [a, b, s[:, 0, axis] - a * t[:, 0, 0] - b * t[:, 0, 1]]
    return np.asarray(np.stack(rows), np.float32)


def facing(points: FloatArray, triangles: IntArray) -> npt.NDArray[np.float32]:
    """Twice the signed area of each triangle in the picture, (N,)."""
    p = points[triangles]
    u, v = p[:, 1] - p[:, 0], p[:, 2] - p[:, 0]
    return np.asarray(u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0], np.float32)


def rasterize(
    target: FloatArray, triangles: IntArray, order: npt.NDArray[np.intp], size: tuple[int, int]
) -> IntArray:
    """Index + 1 of the triangle that covers each pixel, 0 where none does: (h, w) int32.

    target: (P, 2) in the raster's own pixels. order: triangles to draw, the nearest last. size: (w, h).
    """
    canvas = np.zeros((size[1], size[0]), np.int32)
    corners = np.rint(target[triangles] * (1 << SUBPIXEL)).astype(np.int32)
    for i, polygon in zip((order + 1).tolist(), corners[order], strict=True):
        cv2.fillConvexPoly(canvas, polygon, i, cv2.LINE_8, SUBPIXEL)
    return canvas


def source_maps(
    index: IntArray, coefficients: FloatArray, xs: FloatArray, ys: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Source x and y, each (h, w), of an index raster whose pixels lie at xs (w,), ys (h, 1) of the picture."""
    padded = np.concatenate([np.zeros((6, 1), np.float32), coefficients], axis=1)
    maps = []
    for row in (0, 3):
        value = padded[row].take(index)
        value *= xs
        slope = padded[row + 1].take(index)
        slope *= ys
        value += slope
        value += padded[row + 2].take(index)
        maps.append(value)
    return maps[0], maps[1]
