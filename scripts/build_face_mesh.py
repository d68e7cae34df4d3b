"""Write assets/face_mesh.npz: triangles, contours and mirror table of MediaPipe Face Mesh (Apache-2.0).

Needs mediapipe==0.10.21, which lists the mesh's edges, and the expression basis, whose neutral face is symmetric.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from itertools import combinations
from pathlib import Path

import numpy as np
import numpy.typing as npt
from mediapipe.python.solutions import face_mesh_connections as connections
from scipy.spatial import cKDTree

ASSETS = Path(__file__).resolve().parents[1] / "src" / "gioconda" / "assets"


def triangles() -> npt.NDArray[np.int16]:
    """The tesselation's faces, (852, 3) int16: 3-cliques of its edges, less those that only close around a face."""
    near: dict[int, set[int]] = defaultdict(set)
    for a, b in connections.FACEMESH_TESSELATION:
        near[a].add(b)
        near[b].add(a)
    found = {tuple(sorted((a, b, c))) for a in near for b in near[a] for c in near[a] & near[b]}
    uses = Counter(edge for t in found for edge in combinations(t, 2))
    faces = [t for t in sorted(found) if any(uses[edge] <= 2 for edge in combinations(t, 2))]
    return np.array(faces, np.int16)


def ring(edges: frozenset[tuple[int, int]], start: int) -> npt.NDArray[np.int16]:
    """The closed contour that `edges` form, from `start` on."""
    near: dict[int, list[int]] = defaultdict(list)
    for a, b in edges:
        near[a].append(b)
        near[b].append(a)
    path = [start]
    while len(path) < len(near):
        path.append(next(p for p in sorted(near[path[-1]]) if p not in path))
    return np.array(path, np.int16)


def inner_lips() -> frozenset[tuple[int, int]]:
    """The edges of the lips that are not part of the outer contour (which starts at 61)."""
    near: dict[int, set[int]] = defaultdict(set)
    for a, b in connections.FACEMESH_LIPS:
        near[a].add(b)
        near[b].add(a)
    inside, queue = {78}, [78]
    while queue:
        for p in near[queue.pop()] - inside:
            inside.add(p)
            queue.append(p)
    return frozenset(e for e in connections.FACEMESH_LIPS if e[0] in inside)


def mirrored() -> npt.NDArray[np.int16]:
    """For each of the 478 points, the index of the one that faces it on the other side of the face."""
    with np.load(ASSETS / "expression_basis.npz", allow_pickle=False) as data:
        neutral = data["neutral"]
    distance, table = cKDTree(neutral).query(neutral * (-1, 1, 1))
    if distance.max() > 0.01 or (table[table] != np.arange(len(table))).any():
        raise SystemExit("the neutral face of the expression basis is not symmetric")
    return np.asarray(table, np.int16)


if __name__ == "__main__":
    lips = connections.FACEMESH_LIPS
    inner = inner_lips()
    arrays = {
        "mirrored": mirrored(),
        "triangles": triangles(),
        "oval": ring(connections.FACEMESH_FACE_OVAL, 10),
        "inner_lips": ring(inner, 78),
        "outer_lips": ring(lips - inner, 61),
        "right_eye": ring(connections.FACEMESH_RIGHT_EYE, 33),
        "left_eye": ring(connections.FACEMESH_LEFT_EYE, 263),
    }
    np.savez_compressed(ASSETS / "face_mesh.npz", **arrays)
    for name, value in arrays.items():
        print(name, value.shape, value.tolist() if value.ndim == 1 else "")
