"""Paint and shade ICT-FaceKit's head, plainly, so that a face tracker takes it for a person."""

from __future__ import annotations

import itertools
import json

import cv2
import numpy as np
import numpy.typing as npt

from ict_head import PARTS, SHARED, Floats, Head, Ints, interpolate, normals, raster

SKIN, LIPS, BROWS = (205.0, 160.0, 135.0), (175.0, 95.0, 90.0), (70.0, 50.0, 40.0)
LIGHT = np.array([0.15, 0.45, 0.84])
COLOURS = {
    "mouth socket": (80.0, 25.0, 25.0),
    "gums and tongue": (150.0, 70.0, 70.0),
    "upper teeth": (228.0, 222.0, 205.0),
    "lower teeth": (215.0, 208.0, 192.0),
    "left eyeball": (235.0, 235.0, 235.0),
    "right eyeball": (235.0, 235.0, 235.0),
}


def paint(head: Head) -> Floats:
    """Vertex colours (V, 3), 0..255 RGB: skin, lips, brows, irises, teeth."""
    rest = head.neutral
    numbers = json.loads((SHARED / "vertex_indices.json").read_text())["idx_to_landmark_verts"]
    marks = rest[numbers]  # iBUG's 68 points
    face = np.arange(len(rest)) < PARTS["face"][1]
    colours = np.tile(np.array(SKIN), (len(rest), 1))
    lips = 1 - np.clip(outside(marks[48:60, :2], rest[:, :2]) / 0.12, 0, 1)
    colours = mix(colours, LIPS, lips * face * (rest[:, 2] > 9))
    for brow in (marks[17:22], marks[22:27]):
        colours = mix(colours, BROWS, np.clip(1.5 - to_line(rest, brow) / 0.35, 0, 1) * face)
    for name, colour in COLOURS.items():
        colours[slice(*PARTS[name])] = colour
    for name in ("left eyeball", "right eyeball"):
        ball = rest[slice(*PARTS[name])]
        centre = (ball.min(axis=0) + ball.max(axis=0)) / 2
        off = np.where(ball[:, 2] > centre[2], np.hypot(*(ball - centre)[:, :2].T), np.inf)
        view = colours[slice(*PARTS[name])]
        view[off < 0.62] = BROWS
        view[off < 0.25] = 10.0
    return colours


def mix(colours: Floats, colour: tuple[float, ...], weight: Floats) -> Floats:
    """Colours (V, 3) blended towards one colour by weights (V,)."""
    return colours * (1 - weight[:, None]) + weight[:, None] * np.array(colour)


def outside(polygon: Floats, points: Floats) -> Floats:
    """How far points (V, 2) lie outside a polygon; 0 inside."""
    contour = polygon.astype(np.float32)
    far = [-cv2.pointPolygonTest(contour, (float(x), float(y)), True) for x, y in points]
    return np.maximum(np.array(far), 0)


def to_line(points: Floats, line: Floats) -> Floats:
    """Distance of points (V, 3) from a polyline (N, 3)."""
    best = np.full(len(points), np.inf)
    for a, b in itertools.pairwise(line):
        t = np.clip((points - a) @ (b - a) / ((b - a) @ (b - a)), 0, 1)[:, None]
        best = np.minimum(best, np.linalg.norm(points - a - t * (b - a), axis=1))
    return best


def shade(
    vertices: Floats, points: Floats, triangles: Ints, colours: Floats, size: int, side: float = 1
) -> npt.NDArray[np.uint8]:
    """A picture (size, size, 3) of the mesh under one soft light, before a plain grey wall.

    side: 1 if the light comes from the right, -1 from the left.
    """
    index = raster(points, triangles, (size, size))
    light = 0.45 + 0.55 * np.clip(normals(vertices, triangles) @ (LIGHT * [side, 1, 1]), 0, 1)
    picture = interpolate(colours * light[:, None], index, points, triangles)
    picture[index < 0] = (120.0, 130.0, 140.0)
    return np.clip(picture, 0, 255).astype(np.uint8)
