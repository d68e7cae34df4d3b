"""The face's outline in the picture.

The border of the mesh runs in front of the ears. On the far side of a turned head, the cheek hides that border, and
the picture shows the silhouette of the mesh instead.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from gioconda.assets import asset_path
from gioconda.engines.warp.background_warp import smoothstep
from gioconda.engines.warp.mesh import load_topology
from gioconda.types import FloatArray

# Landmarks. The corners are the outer ones of the eyes; the person's right eye is on the viewer's left.
FOREHEAD, CHIN = 10, 152
RIGHT_CORNER, LEFT_CORNER = 33, 263

# All in inter-ocular units of the neutral face.
# Distance from the middle within which no edge is a silhouette at turns below 60 degrees.
MIDDLE = 0.25
# Distance from the middle over which forehead and chin become a side.
SIDEWAYS = (0.08, 0.3)
# How far the silhouette must stand out before it replaces the border wholly.
JOIN = 0.03
# Pixels: the height of an edge counts as this at least, so that level edges divide by no zero.
LEVEL = 1e-6


def neutral_oval() -> FloatArray:
    """The border of the neutral face, (K, 2) float32 in the canonical frame, in inter-ocular units."""
    return np.asarray(_neutral()[load_topology().oval], np.float32)


@lru_cache(maxsize=1)
def _neutral() -> FloatArray:
    """The neutral face, (468, 2) float32 in the canonical frame, in inter-ocular units."""
    with np.load(asset_path("expression_basis.npz"), allow_pickle=False) as data:
        return np.asarray(data["neutral"][:468, :2], np.float32)


@lru_cache(maxsize=1)
def oval_sides() -> tuple[FloatArray, FloatArray]:
    """The side of each point of the border and how much it belongs to a side.

    Returns:
        (K,) float32, -1 on the viewer's left, else 1; and (K,) float32, 0 at the middle of forehead and chin to 1.
    """
    x = neutral_oval()[:, 0]
    return np.where(x < 0, -1, 1).astype(np.float32), smoothstep(*SIDEWAYS, np.abs(x))


@lru_cache(maxsize=1)
def _side_edges() -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """Edges (E, 2) of the mesh that can form the silhouette, in the viewer's left and right half."""
    triangles = load_topology().triangles
    pairs = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    edges = np.unique(np.sort(pairs, axis=1), axis=0)
    x = _neutral()[edges, 0]
    left, right = (edges[(side * x > MIDDLE).all(1)] for side in (-1, 1))
    return left.astype(np.int32), right.astype(np.int32)


def outline(landmarks: FloatArray) -> FloatArray:
    """Find the outline of a face in its picture.

    Each point of the mesh's border moves sideways to the farthest edge of the mesh at its height of the face, where
    that edge stands out beyond the border.

    Args:
        landmarks: (468 or more, 3), in pixels with depth.

    Returns:
        (K, 3), a point for each of the mesh's border, in pixels; depths are the border's.
    """
    oval = load_topology().oval
    across, down = face_axes(landmarks)
    planar = landmarks[:, :2].astype(np.float32)
    x, height = planar @ across, planar @ down
    side, share = oval_sides()
    out = np.zeros(len(oval), np.float32)
    for sign, edges in zip((-1, 1), _side_edges(), strict=True):
        mine = np.flatnonzero((side == sign) & (share > 0))
        farthest = _farthest(sign * x[edges], height[edges], height[oval[mine]])
        out[mine] = np.maximum(farthest - sign * x[oval[mine]], 0) * share[mine]
    result = landmarks[oval].copy()
    result[:, :2] += (_smoothed(out, x[oval] * side, landmarks) * side)[:, None] * across
    return result


def outwards(contour: FloatArray) -> FloatArray:
    """Unit vectors (K, 2) float32 from the middle of a contour (K, 2 or more) to its points."""
    out = contour[:, :2] - contour[:, :2].mean(0)
    return np.asarray(out / np.linalg.norm(out, axis=1, keepdims=True), np.float32)


def face_axes(landmarks: FloatArray) -> tuple[FloatArray, FloatArray]:
    """The face's own axes in the picture, unit vectors (2,) float32: across, to the viewer's right, and down."""
    down = landmarks[CHIN, :2] - landmarks[FOREHEAD, :2]
    down = down / np.linalg.norm(down)
    return np.array([down[1], -down[0]], np.float32), down.astype(np.float32)


def _farthest(x: FloatArray, height: FloatArray, levels: FloatArray) -> FloatArray:
    """The largest x at which any of the edges crosses each level, -inf where none does; x, height: (E, 2)."""
    rise = height[:, 1] - height[:, 0]
    rise[np.abs(rise) < LEVEL] = LEVEL
    share = (levels[:, None] - height[:, 0]) * (1 / rise)
    at = x[:, 0] + share * (x[:, 1] - x[:, 0])
    at[np.abs(share - 0.5) > 0.5] = -np.inf
    return np.asarray(at.max(1), np.float32)


@lru_cache(maxsize=1)
def _smoothing() -> FloatArray:
    """The matrix (K, K) that averages values around the border with two neighbours on each side."""
    identity = np.eye(len(load_topology().oval), dtype=np.float32)
    step = 0.5 * identity + 0.25 * np.roll(identity, 1, 0) + 0.25 * np.roll(identity, -1, 0)
    return np.asarray(step @ step, np.float32)


def smoothed_along(values: FloatArray) -> FloatArray:
    """Smooth values (K,) around the border: each becomes the mean with its neighbours, float32."""
    return np.asarray(_smoothing() @ values, np.float32)


def _smoothed(out: FloatArray, base: FloatArray, landmarks: FloatArray) -> FloatArray:
    """Distances (K,) from border to silhouette, smoothed: the mesh is a coarse polygon there."""
    curve = _smoothing() @ (base + out)
    unit = float(np.linalg.norm(landmarks[LEFT_CORNER] - landmarks[RIGHT_CORNER]))
    share = np.clip(out / (JOIN * unit), 0, 1)
    return np.asarray(out + np.maximum(curve - base - out, 0) * share, np.float32)
