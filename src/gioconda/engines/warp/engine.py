"""The warp engine: the portrait's own pixels, moved by the face's mesh and by a field around it."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from contextlib import closing
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from gioconda.ahead import run_ahead
from gioconda.engines.warp.borders import Side, keep_inside, sides_of
from gioconda.engines.warp.detail import Canvas, build_canvas, crease
from gioconda.engines.warp.eyes import Eye, build_eyes, paint_eye, shut_eye
from gioconda.engines.warp.mesh import IntArray, affines, facing, load_topology, rasterize, source_maps
from gioconda.engines.warp.mouth import Fill, MouthLook, build_mouth, paint_mouth
from gioconda.engines.warp.refiner import Network, Reference, Repair, build_references
from gioconda.engines.warp.surround import (
    CELL,
    Surround,
    backward_offsets,
    build_surround,
    displace,
    forward_field,
    stage_box,
)
from gioconda.types import FloatArray, Image, Patch, Portrait, Shot

POINTS = 468  # the mesh's; the ten iris points move the eyes' insides
FLAT = 1.5  # square pixels; a triangle this thin says nothing reliable of the pixels beside it
RIM = 0.07  # inter-ocular units; width of the band that joins the mesh to the field


@dataclass(frozen=True)
class WarpIdentity:
    """All that the warp engine keeps of a person: the picture and what does not change between frames."""

    image: Image
    points: FloatArray  # (468 + K, 3): the mesh's points and the rim's, pixels of the picture
    surround: Surround
    sides: tuple[Side, ...]  # where the picture itself ends
    eyes: tuple[Eye, Eye]
    mouth: MouthLook
    canvas: Canvas | None
    weight: FloatArray
    grid: tuple[FloatArray, FloatArray]  # pixel centres of the half-resolution stage, x (w,) and y (h, 1)
    references: tuple[Reference, ...] = ()  # what the refiner sees of the person


class WarpEngine:
    """Geometry, which keeps the picture's own brush strokes; a small network repairs mouth and eyes.

    network: the refiner, or None for geometry alone. networks: its file name and hash, for the manifest.
    """

    name = "warp"

    def __init__(self, network: Network | None = None, networks: tuple[tuple[str, str], ...] = ()) -> None:
        self._network = network
        self.networks = networks

    def prepare(self, portrait: Portrait) -> WarpIdentity:
        """Mesh, field and hidden parts of the portrait's face."""
        topology = load_topology()
        landmarks = portrait.face.landmarks
        height, width = portrait.image.shape[:2]
        oval = landmarks[topology.oval]
        box = stage_box(landmarks, oval, (width, height))
        surround = build_surround(portrait, oval, box)
        rim = _rim(oval, landmarks)
        w, h = (box[2] - box[0] + 1) // 2, (box[3] - box[1] + 1) // 2
        xs = (box[0] + 2 * np.arange(w) + 0.5).astype(np.float32)
        ys = (box[1] + 2 * np.arange(h) + 0.5).astype(np.float32)[:, None]
        weight = np.clip(2 * surround.travelling * surround.edges[1], 0, 1)
        return WarpIdentity(
            image=portrait.image,
            points=np.concatenate([landmarks[:POINTS], rim]),
            surround=surround,
            sides=sides_of(portrait, surround),
            eyes=build_eyes(portrait.image, landmarks, topology),
            mouth=build_mouth(portrait.image, landmarks, topology),
            canvas=build_canvas(portrait.image, landmarks),
            weight=cv2.resize(weight, (box[2] - box[0], box[3] - box[1])).astype(np.float32),
            grid=(xs, ys),
            references=build_references(portrait) if self._network is not None else (),
        )

    def render(
        self, who: WarpIdentity, shots: Iterable[Shot], *, ahead: bool = False
    ) -> Generator[Patch, None, None]:
        """Patches of the portrait's picture, one a shot.

        ahead: frames are warped in a thread of their own, while those before are refined.
        """
        corner = who.surround.box[:2]
        repair = None if self._network is None else Repair(self._network, who.references)
        pairs = _warped(who, shots)
        with closing(run_ahead(pairs, depth=1) if ahead else pairs) as frames:
            for shot, warped in frames:
                if repair is not None:
                    maps = (warped.map_x, warped.map_y)
                    repair.apply(warped.image, maps, warped.fill, shot.landmarks, corner)
                yield Patch(warped.image, corner, shot.time, who.weight)


@dataclass(frozen=True)
class Warped:
    """A frame before it is refined: image (h, w, 3) uint8, the stage; its maps (h, w) into the portrait; the fill."""

    image: Image
    map_x: FloatArray
    map_y: FloatArray
    fill: Fill | None


def _warped(who: WarpIdentity, shots: Iterable[Shot]) -> Generator[tuple[Shot, Warped], None, None]:
    for shot in shots:
        yield shot, warp_shot(who, shot)


def warp_shot(who: WarpIdentity, shot: Shot) -> Warped:
    """One frame: maps, the warped picture, then the insides of eyes and mouth."""
    box = who.surround.box
    map_x, map_y = target_maps(who, shot)
    picture = crease(who.image, who.canvas, shot.mouth, shot.creases)
    image = np.asarray(
        cv2.remap(picture, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), np.uint8
    )
    corner = np.array(box[:2], np.float32)
    for eye in who.eyes:
        shut_eye(image, eye, shot.landmarks[:, :2] - corner, map_x, map_y)
        paint_eye(image, eye, shot.landmarks[:, :2] - corner)
    return Warped(image, map_x, map_y, paint_mouth(image, who.mouth, shot, corner))


def target_maps(who: WarpIdentity, shot: Shot) -> tuple[FloatArray, FloatArray]:
    """Source x and y in the picture, (h, w) each, for every pixel of the stage."""
    topology, surround = load_topology(), who.surround
    left, top, right, bottom = surround.box
    contour = shot.landmarks[topology.oval]
    field = forward_field(surround, shot, contour)
    xs, ys = who.grid
    rim_width = RIM * surround.unit + CELL
    inside = keep_inside(who.sides, surround.points, backward_offsets(field), contour, rim_width)
    offsets = _to_half(inside, (len(xs), len(ys)))
    map_x, map_y = offsets[..., 0] + xs, offsets[..., 1] + ys
    rim = displace(surround, field, who.points[POINTS:, :2])
    _lay_mesh(who, shot, rim, map_x, map_y)
    size = (right - left, bottom - top)
    full = [cv2.resize(m, (2 * len(xs), 2 * len(ys)), interpolation=cv2.INTER_LINEAR) for m in (map_x, map_y)]
    part = (slice(size[1]), slice(size[0]))
    return np.asarray(full[0][part], np.float32), np.asarray(full[1][part], np.float32)


def _lay_mesh(who: WarpIdentity, shot: Shot, rim: FloatArray, map_x: FloatArray, map_y: FloatArray) -> None:
    """Overwrite the maps, in place, where the face's mesh lies; the nearest triangle wins."""
    triangles = mesh_triangles()
    face = shot.landmarks[:POINTS]
    target = np.concatenate([face[:, :2], rim]).astype(np.float32)
    depth = np.concatenate([face[:, 2], np.full(len(rim), face[:, 2].max())])
    order = np.argsort(-depth[triangles].mean(1), kind="stable")
    area = facing(target, triangles)[order]
    order, area = order[np.abs(area) > FLAT], area[np.abs(area) > FLAT]
    order = np.concatenate([order[area < 0], order[area > 0]])  # what is seen from behind only closes gaps
    left, top = who.surround.box[:2]
    height, width = map_x.shape
    half = (target - (left + 0.5, top + 0.5)) / 2
    low = np.maximum(np.floor(half.min(0)).astype(int), 0)
    high = np.minimum(np.ceil(half.max(0)).astype(int) + 1, (width, height))
    if (high <= low).any():
        return
    size = (int(high[0] - low[0]), int(high[1] - low[1]))
    index = rasterize(half - low, triangles, order, size)
    part = (slice(low[1], high[1]), slice(low[0], high[0]))
    xs, ys = who.grid
    found = source_maps(index, affines(who.points[:, :2], target, triangles), xs[part[1]], ys[part[0]])
    covered = index > 0
    np.copyto(map_x[part], found[0], where=covered)
    np.copyto(map_y[part], found[1], where=covered)
    for target_map in (
        map_x,
        map_y,
    ):  # straight stretches stay, but edges where skin overlaps skin lose their steps
        target_map[part] = cv2.blur(target_map[part], (3, 3), borderType=cv2.BORDER_REPLICATE)


@lru_cache(maxsize=1)
def mesh_triangles() -> IntArray:
    """Triangles (N, 3) of the face and of the band that joins its contour to the rim."""
    topology = load_topology()
    oval, k = topology.oval, np.arange(len(topology.oval))
    after = (k + 1) % len(oval)
    outer, outer_after = POINTS + k, POINTS + after
    # the contour runs anticlockwise in the picture, and outward triangles must face the viewer
    band = np.concatenate(
        [np.stack([oval[k], outer_after, outer], 1), np.stack([oval[k], oval[after], outer_after], 1)]
    )
    return np.asarray(np.concatenate([topology.triangles, band]), np.int32)


def _rim(oval: FloatArray, landmarks: FloatArray) -> FloatArray:
    """Points (K, 3) a little outside the face's contour."""
    unit = float(np.linalg.norm(landmarks[263] - landmarks[33]))
    middle = oval.mean(0)
    out = oval - middle
    out = out / np.linalg.norm(out[:, :2], axis=1, keepdims=True) * (RIM * unit)
    out[:, 2] = 0
    return np.asarray(oval + out, np.float32)


def _to_half(offsets: FloatArray, size: tuple[int, int]) -> FloatArray:
    """The grid's offsets at the half-resolution pixels of the stage, (h, w, 2)."""
    width, height = size
    scale = 2 / CELL
    affine = np.array([[scale, 0, 0.5 / CELL], [0, scale, 0.5 / CELL]], np.float32)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(
        cv2.warpAffine(offsets, affine, (width, height), flags=flags, borderMode=cv2.BORDER_REPLICATE),
        np.float32,
    )
