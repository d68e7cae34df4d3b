"""ICT-FaceKit's head as triangles, with a small painter's renderer.

The mesh's own axes are kept here: x to the viewer's right, y up, z towards the viewer, centimetres.
Vertex ranges are those of ICT-FaceKit's README.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data" / "ict_facekit"
PARTS: dict[str, tuple[int, int]] = {
    "face": (0, 9409),
    "head": (9409, 11248),
    "mouth socket": (11248, 13294),
    "eye sockets": (13294, 14062),
    "gums and tongue": (14062, 17039),
    "upper teeth": (17039, 19247),
    "lower teeth": (19247, 21451),
    "left eyeball": (21451, 23021),
    "right eyeball": (23021, 24591),
}


@dataclass(frozen=True)
class Head:
    """Neutral vertices (V, 3), triangles (F, 3), expressions {name: (V, 3)}, identity (M, V, 3)."""

    neutral: Floats
    triangles: Ints
    expression: dict[str, npt.NDArray[np.float16]]
    identity: npt.NDArray[np.float16]

    def posed(self, identity: Floats | None = None, **expression: float) -> Floats:
        """Vertices (V, 3) under expression weights, for a person of the given identity weights."""
        vertices = self.neutral.copy()
        if identity is not None:
            vertices += np.einsum("m,mvc->vc", identity, self.identity[: len(identity)].astype(np.float32))
        for name, weight in expression.items():
            vertices += weight * self.expression[name].astype(np.float64)
        return vertices

    def part(self, *names: str) -> Ints:
        """Triangles that lie wholly within the named parts."""
        inside = np.zeros(len(self.neutral), bool)
        for name in names:
            inside[slice(*PARTS[name])] = True
        return self.triangles[inside[self.triangles].all(axis=1)]


def load_head(folder: Path = SHARED) -> Head:
    """Read `ict_facekit.npz`; quads become two triangles each."""
    with np.load(folder / "ict_facekit.npz", allow_pickle=False) as data:
        quads = data["faces"].astype(np.int64)
        full = quads[quads[:, 3] >= 0]
        triangles = np.concatenate([quads[:, :3], full[:, [0, 2, 3]]])
        names = [str(n) for n in data["expression_names"]]
        expression = dict(zip(names, data["expression"], strict=True))
        return Head(data["neutral"].astype(np.float64), triangles, expression, data["identity"])


def rotation(yaw: float, pitch: float) -> Floats:
    """Turn to the viewer's right, and up, in degrees, for row vectors in the mesh's own axes."""
    a, b = np.deg2rad([yaw, pitch])
    about_y = np.array([[np.cos(a), 0, -np.sin(a)], [0, 1, 0], [np.sin(a), 0, np.cos(a)]])
    about_x = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    return about_y @ about_x


def raster(points: Floats, triangles: Ints, size: tuple[int, int]) -> npt.NDArray[np.int32]:
    """Index of the front-most triangle a pixel, -1 where there is none.

    points: (V, 3), x and y in pixels (y down), z growing towards the viewer; size: (height, width).
    """
    corners = points[triangles]
    a, b = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    facing = a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0] < 0  # counter-clockwise in y-up axes
    order = np.nonzero(facing)[0]
    order = order[np.argsort(corners[order, :, 2].mean(axis=1))]
    image = np.full(size, -1, np.int32)
    fixed = np.round(corners[:, :, :2] * 16).astype(np.int32)
    for i in order:
        cv2.fillConvexPoly(image, fixed[i], int(i), lineType=cv2.LINE_8, shift=4)
    return image


def barycentric(points: Floats, triangles: Ints, xy: Floats) -> Floats:
    """Barycentric coordinates (N, 3) of picture positions xy (N, 2) in triangles (N, 3)."""
    p = points[triangles][:, :, :2]
    a, b, c = p[:, 1] - p[:, 0], p[:, 2] - p[:, 0], xy - p[:, 0]
    det = a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]
    det = np.where(np.abs(det) < 1e-9, 1e-9, det)
    u = (c[:, 0] * b[:, 1] - c[:, 1] * b[:, 0]) / det
    v = (a[:, 0] * c[:, 1] - a[:, 1] * c[:, 0]) / det
    weights = np.clip(np.stack([1 - u - v, u, v], axis=1), 0, 1)
    return weights / weights.sum(axis=1, keepdims=True)


def normals(vertices: Floats, triangles: Ints) -> Floats:
    """Unit vertex normals (V, 3), area-weighted."""
    p = vertices[triangles]
    each = np.cross(p[:, 1] - p[:, 0], p[:, 2] - p[:, 0])
    total = np.zeros_like(vertices)
    for k in range(3):
        np.add.at(total, triangles[:, k], each)
    return total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-12)


def interpolate(values: Floats, index: npt.NDArray[np.int32], points: Floats, triangles: Ints) -> Floats:
    """Vertex values (V, C) at each covered pixel of a `raster`, zero elsewhere: (H, W, C)."""
    y, x = np.nonzero(index >= 0)
    hit = triangles[index[y, x]]
    weights = barycentric(points, hit, np.stack([x, y], axis=1).astype(np.float64))
    out = np.zeros((*index.shape, values.shape[1]))
    out[y, x] = np.einsum("nk,nkc->nc", weights, values[hit])
    return out
