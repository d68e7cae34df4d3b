"""Build `expression_basis.npz`: what each ARKit blendshape does to Face Mesh's 478 points.

    python scripts/build_expression_basis.py [--sheet check.png]

ICT-FaceKit's head is rendered for several people, turns and openings of the mouth; the tracker looks at the
renders; each landmark is traced through its pixel to the mesh. The traces are averaged on the mesh, and the
offsets of ICT's expressions are read off there. The mesh lies in `../shared/data/ict_facekit`.
"""

from __future__ import annotations

import argparse
import itertools
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment
from scipy.spatial import cKDTree
from scipy.spatial.distance import cdist

from gioconda.face import detect_faces
from gioconda.types import ARKIT_NAMES
from ict_head import PARTS, SHARED, Floats, Head, Ints, barycentric, load_head, raster, rotation
from ict_paint import paint, shade

ASSETS = Path(__file__).resolve().parents[1] / "src" / "gioconda" / "assets"
SIZE = 640
POINTS = 468
MIRROR = np.array([-1.0, 1.0, 1.0])
RIGHT_OUTER, LEFT_OUTER = 33, 263  # outer eye corners, of the subject's right and left eye
TO_CANONICAL = np.array([1.0, -1.0, -1.0])  # y up and z to the viewer become y down and z away
INNER_LIPS = (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308, 95, 88, 178, 87, 14, 317, 402, 318, 324)
UPPER_LIP = (13, 82, 81, 80, 191, 312, 311, 310, 415)  # inner points that face those of LOWER_LIP
LOWER_LIP = (14, 87, 178, 88, 95, 317, 402, 318, 324)
LOOK = {"Up": (0.0, 25.0), "Down": (0.0, -25.0), "In": (30.0, 0.0), "Out": (30.0, 0.0)}  # degrees at 1
IRIS_RADIUS = 0.585  # cm, half of the 11.7 mm that human irises share
MODES = 40


@dataclass(frozen=True)
class Anchors:
    """Where the landmarks sit on the mesh: triangles (468, 3), barycentric weights (468, 3)."""

    triangles: Ints
    weights: Floats

    def of(self, vertices: Floats) -> Floats:
        """Positions (468, 3), or offsets if `vertices` holds offsets."""
        return np.einsum("nk,nkc->nc", self.weights, vertices[self.triangles].astype(np.float64))


def views() -> Iterator[tuple[Floats | None, float, float, float, float]]:
    """Identity weights, yaw, pitch, opening of the jaw and side of the light of each render."""
    rng = np.random.default_rng(7)
    people = [None, *(0.8 * rng.normal(size=(5, 30)))]
    for person in people:
        for yaw, pitch in ((0, 0), (12, 0), (-12, 0), (0, 12), (0, -10)):
            for jaw, light in itertools.product((0.0, 0.35), (-1, 1)):
                yield person, yaw, pitch, jaw, light


def trace(head: Head, apart: Floats, colours: Floats) -> tuple[Floats, Floats]:
    """Positions (R, 468, 3) on the `apart` mesh where landmarks hit it in R renders, and weights (R, 468)."""
    everything = head.part(*PARTS)
    is_skin = in_front_of_ears(head)[everything].all(axis=1)
    found, trust = [], []
    for person, yaw, pitch, jaw, light in views():
        posed = head.posed(person, jawOpen=jaw) @ rotation(yaw, pitch)
        points = to_picture(posed)
        faces = detect_faces(shade(posed, points, everything, colours, SIZE, light))
        if not faces:
            continue
        xy = faces[0].landmarks[:POINTS, :2].astype(np.float64)
        visible = raster(points, everything, (SIZE, SIZE))
        hit, distance = nearest_pixel(np.where((visible >= 0) & is_skin[visible], visible, -1), xy)
        corners = everything[hit]
        weights = barycentric(points, corners, xy)
        found.append(np.einsum("nk,nkc->nc", weights, apart[corners]))
        trust.append(facing(points, corners) * np.exp(-((distance / 6) ** 2)))
        if jaw == 0:
            trust[-1][list(INNER_LIPS)] = 0  # a closed mouth does not tell the upper lip from the lower
    return np.array(found), np.array(trust)


def in_front_of_ears(head: Head) -> npt.NDArray[np.bool_]:
    """Which vertices (V,) belong to the face's mask, without ears, neck and cavities."""
    rest = head.neutral
    face = np.arange(len(rest)) < PARTS["face"][1]
    return np.asarray(face & (rest[:, 2] > 2.0) & (np.abs(rest[:, 0]) < 7.5))


def to_picture(vertices: Floats) -> Floats:
    """Mesh axes to pixels of a SIZE picture, y down, z still towards the viewer."""
    scale = SIZE * 0.0275
    return np.array([SIZE / 2, SIZE / 2 + 0.5 * scale, 0]) + vertices * np.array([scale, -scale, scale])


def nearest_pixel(index: npt.NDArray[np.int32], xy: Floats) -> tuple[Ints, Floats]:
    """Triangle (N,) at, or nearest to, each picture position, and how many pixels away it lies."""
    y, x = np.nonzero(index >= 0)
    distance, which = cKDTree(np.stack([x, y], axis=1)).query(xy)
    return index[y[which], x[which]].astype(np.int64), distance


def facing(points: Floats, corners: Ints) -> Floats:
    """How squarely triangles face the viewer, 0..1."""
    p = points[corners]
    normal = np.cross(p[:, 1] - p[:, 0], p[:, 2] - p[:, 0])
    return np.clip(-normal[:, 2] / np.maximum(np.linalg.norm(normal, axis=1), 1e-9), 0, 1) ** 2 + 1e-3


def robust_mean(found: Floats, trust: Floats) -> Floats:
    """Weighted mean over renders that discounts what lies far from the weighted median."""
    mean = (found * trust[..., None]).sum(axis=0) / trust.sum(axis=0)[:, None]
    for _ in range(5):
        off = np.linalg.norm(found - mean, axis=2)
        weights = trust / (1 + (off / 0.25) ** 2)
        mean = (found * weights[..., None]).sum(axis=0) / weights.sum(axis=0)[:, None]
    return mean


def partners(head: Head, colours: Floats) -> Ints:
    """The mirror image (468,) of each landmark, from a symmetric picture."""
    rest = head.posed(jawOpen=0.2)
    picture = shade(rest, to_picture(rest), head.part(*PARTS), colours, SIZE, 0)
    points = detect_faces(picture)[0].landmarks[:POINTS].astype(np.float64) - (SIZE / 2, 0, 0)
    _, partner = linear_sum_assignment(cdist(points, points * MIRROR) ** 2)
    if (partner[partner] != np.arange(POINTS)).any() or partner[RIGHT_OUTER] != LEFT_OUTER:
        raise SystemExit("the landmarks found do not pair up left to right: look at the render")
    return np.asarray(partner)


def with_mirror_images(found: Floats, trust: Floats, partner: Ints) -> tuple[Floats, Floats]:
    """The traces and their mirror images, since the mesh itself is symmetric about x = 0."""
    return np.concatenate([found, found[:, partner] * MIRROR]), np.concatenate([trust, trust[:, partner]])


def anchor(points: Floats, apart: Floats, skin: Ints) -> Anchors:
    """Nearest places on the mesh, by dense samples of its triangles near the points."""
    steps = 10
    grid = np.array([(i, j, steps - i - j) for i in range(steps + 1) for j in range(steps + 1 - i)]) / steps
    near = np.unique(cKDTree(apart[skin].mean(axis=1)).query(points, k=40)[1])
    samples = np.einsum("gk,tkc->tgc", grid, apart[skin[near]])
    _, best = cKDTree(samples.reshape(-1, 3)).query(points)
    triangle, weight = np.divmod(best, len(grid))
    return Anchors(skin[near[triangle]], grid[weight])


def closed_lips(head: Head, anchors: Anchors) -> Anchors:
    """Move the inner lips' points to where the lips touch at rest, each on its own lip.

    Traced with the mouth open they sit a little in front of that line, as the rims of the lips do.
    """
    rest, drop = anchors.of(head.neutral), anchors.of(head.expression["jawOpen"])
    skin = head.part("face")
    triangles, weights = anchors.triangles.copy(), anchors.weights.copy()
    jaw = head.expression["jawOpen"].astype(np.float64)[skin].mean(axis=1)
    for pair in zip(UPPER_LIP, LOWER_LIP, strict=True):
        for point in pair:
            same_lip = skin[np.linalg.norm(jaw - drop[point], axis=1) < 0.5]
            best = anchor(rest[list(pair)].mean(axis=0)[None], head.neutral, same_lip)
            triangles[point], weights[point] = best.triangles[0], best.weights[0]
    return Anchors(triangles, weights)


def irises(head: Head, towards: dict[str, tuple[float, float]]) -> Floats:
    """Centre and right, top, left, bottom of both irises (10, 3); `towards`: yaw, pitch by side, degrees.

    Face Mesh numbers 468..472 in the subject's right eye, 473..477 in the left; points 1 and 3 of the
    five lie at the viewer's right and left in the right eye, the other way round in the left.
    """
    out = []
    for side, sign in (("right", 1), ("left", 1)):
        ball = head.neutral[slice(*PARTS[f"{side} eyeball"])]
        centre = (ball.min(axis=0) + ball.max(axis=0)) / 2
        radius = ball[:, 2].max() - centre[2]
        rim = np.array([(0, 0), (sign, 0), (0, 1), (-sign, 0), (0, -1)]) * IRIS_RADIUS
        local = np.column_stack([rim, np.sqrt(radius**2 - (rim**2).sum(axis=1))])
        out.append(centre + local @ rotation(*towards.get(side, (0.0, 0.0))))
    return np.concatenate(out)


def arkit_offsets(head: Head, anchors: Anchors) -> Floats:
    """Offsets (52, 478, 3) in the mesh's own axes and centimetres."""
    out = np.zeros((len(ARKIT_NAMES), POINTS + 10, 3))
    rest = irises(head, {})
    for row, name in zip(out, ARKIT_NAMES, strict=True):
        side = "_L" if name.endswith("Left") else "_R" if name.endswith("Right") else ""
        short = name[: -len(name_side(name))] + side if side else name
        parts = [n for n in dict.fromkeys((name, short, f"{name}_L", f"{name}_R")) if n in head.expression]
        for part in parts:
            row[:POINTS] += anchors.of(head.expression[part])
        if name.startswith("eyeLook"):
            row[POINTS:] = irises(head, {name_side(name): turn(name)}) - rest
        elif not parts and name != "tongueOut":
            raise SystemExit(f"ICT-FaceKit has no expression for {name}")
    return out


def name_side(name: str) -> str:
    """`left` or `right`, by the end of an ARKit name."""
    return "left" if name.endswith("Left") else "right"


def turn(name: str) -> tuple[float, float]:
    """Yaw and pitch in degrees of an eye at eyeLook... = 1; the subject's left is the viewer's right."""
    side = name_side(name)
    way = name[len("eyeLook") : -len(side)]
    yaw, pitch = LOOK[way]
    return (yaw if (way == "Out") == (side == "left") else -yaw), pitch


def identity_offsets(head: Head, anchors: Anchors) -> Floats:
    """What the first identity modes do to the points (40, 478, 3); irises go with their eyeballs."""
    out = np.zeros((MODES, POINTS + 10, 3))
    for row, mode in zip(out, head.identity, strict=False):
        row[:POINTS] = anchors.of(mode)
        row[POINTS : POINTS + 5] = mode[slice(*PARTS["right eyeball"])].astype(np.float64).mean(axis=0)
        row[POINTS + 5 :] = mode[slice(*PARTS["left eyeball"])].astype(np.float64).mean(axis=0)
    return out


def check(neutral: Floats, offsets: Floats) -> None:
    """Assert that left is the viewer's right, and down is down."""
    by = dict(zip(ARKIT_NAMES, offsets, strict=True))
    assert neutral[LEFT_OUTER, 0] > 0 > neutral[RIGHT_OUTER, 0], "the left eye is the viewer's right"
    assert neutral[152, 1] > neutral[10, 1], "the chin is below the forehead"
    assert neutral[1, 2] < neutral[LEFT_OUTER, 2], "the nose is nearer than the eyes"
    assert by["jawOpen"][152, 1] > 0.1, "the chin goes down"
    assert by["eyeBlinkLeft"][386, 1] > 0.05 > 10 * abs(by["eyeBlinkLeft"][159, 1]), "the left lid closes"
    assert (by["mouthSmileLeft"][291, :2] * [1, -1] > 0.02).all(), "the left corner goes out and up"
    assert min(by["eyeLookOutLeft"][473, 0], by["eyeLookInRight"][468, 0]) > 0.05, "eyes go right"
    assert max(by["eyeLookUpRight"][468, 1], *by["browInnerUp"][[107, 336], 1]) < -0.02, "up is up"


def build(sheet: Path | None) -> dict[str, npt.NDArray[np.generic]]:
    """The arrays of the asset."""
    head = load_head()
    apart = head.posed(jawOpen=0.5)  # the lips apart, so that no average falls onto the wrong one
    colours = paint(head)
    found, trust = trace(head, apart, colours)
    found, trust = with_mirror_images(found, trust, partners(head, colours))
    points = robust_mean(found, trust)
    anchors = closed_lips(head, anchor(points, apart, head.part("face")))
    spread = np.median(np.linalg.norm(found - points, axis=2))
    print(f"{len(found)} renders and mirror images; median distance of a trace from the mean {spread:.2f} cm")
    neutral = np.concatenate([anchors.of(head.neutral), irises(head, {})])
    origin = (neutral[RIGHT_OUTER] + neutral[LEFT_OUTER]) / 2
    unit = np.linalg.norm(neutral[LEFT_OUTER] - neutral[RIGHT_OUTER])
    frame = TO_CANONICAL / unit
    canonical, offsets = (neutral - origin) * frame, arkit_offsets(head, anchors) * frame
    if sheet is not None:
        draw(canonical, offsets, sheet)
    check(canonical, offsets)
    return {
        "neutral": canonical.astype(np.float32),
        "basis": offsets.astype(np.float16),
        "identity": (identity_offsets(head, anchors) * frame).astype(np.float16),
        "names": np.array(ARKIT_NAMES),
        "origin": origin.astype(np.float32),
        "centimetres": np.float32(unit),
    }


def draw(neutral: Floats, offsets: Floats, path: Path) -> None:
    """A sheet of the points under each blendshape, to look at."""
    cells = []
    for name, offset in zip(ARKIT_NAMES, offsets, strict=True):
        cell = np.full((330, 280, 3), 20, np.uint8)
        for a, b in zip(neutral, neutral + offset, strict=True):
            p, q = (np.array([140, 120]) + v[:2] * 130 for v in (a, b))
            cv2.line(cell, *((int(v[0]), int(v[1])) for v in (p, q)), (90, 90, 200), 1, cv2.LINE_AA)
            cv2.circle(cell, (int(q[0]), int(q[1])), 1, (160, 230, 160), -1)
        cv2.putText(cell, name, (6, 322), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (255, 255, 255), 1, cv2.LINE_AA)
        cells.append(cell)
    rows = [np.hstack(cells[i : i + 13]) for i in range(0, len(cells), 13)]
    cv2.imwrite(str(path), np.vstack(rows))


def main() -> None:
    """Write the asset and its notice."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--sheet", type=Path, help="also draw the blendshapes into this picture")
    arrays = build(parser.parse_args().sheet)
    ASSETS.mkdir(parents=True, exist_ok=True)
    temp = ASSETS / "expression_basis.tmp.npz"
    np.savez_compressed(temp, **arrays)
    temp.replace(ASSETS / "expression_basis.npz")
    shutil.copyfile(SHARED / "LICENSE", ASSETS / "ICT-FaceKit-LICENSE.txt")
    print(f"expression_basis.npz: {(ASSETS / 'expression_basis.npz').stat().st_size / 1024:.0f} kB")


if __name__ == "__main__":
    main()
