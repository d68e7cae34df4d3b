"""What moves around the face: hair, ears, neck and shoulders, by a smooth field that leaves the background still."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from gioconda.engines.affine import Box
from gioconda.types import FloatArray, Portrait, Shot

CELL = 8  # pixels between the field's grid points
SOLVE_STEPS = 6  # of the fixed-point inversion; the field's slope is well below one

# All in inter-ocular units. (from, to): where a share begins to fall, and where it is gone.
HAIR = (0.6, 1.5)  # distance from the face's contour, for what turns with the head
NECK = (0.0, 0.8)  # distance below the chin, for the same
BESIDE = 0.8  # what lies beside the jaw is shoulder and collar rather than neck: it counts as so much lower
REACH = (1.4, 2.6)  # distance from the face's contour, for what travels with the head
CHEST, CHEST_SHARE = (0.0, 1.2), 0.05  # distance below the chin, and how much of the travel is left there
MASK_UNIT = 40  # pixels an inter-ocular distance at which the mask is blurred: finer costs and shows nothing
JAW = 0.7  # distance over which the contour's expression fades out
DEPTH_SLOPE, DEPTH_MOST = 1.2, 1.2  # how fast, and how far, what surrounds the face lies behind its contour

FAR = (0.06, 0.35)  # way of the face's contour, between the tight edge of a person and the wide one


@dataclass(frozen=True)
class Edge:
    """Where the person ends and the background begins: share of the person's mask, grown and blurred (units).

    close: distance from the face's contour up to which even background goes along.
    """

    grow: float
    blur: float
    share: tuple[float, float]
    close: tuple[float, float]


# The background should stay, so the edge is tight; but a head that goes far would tear there.
TIGHT = Edge(0.06, 0.12, (0.3, 0.8), (0.05, 0.3))
WIDE = Edge(0.15, 0.28, (0.15, 0.75), (0.25, 0.9))


def smoothstep(low: float, high: float | FloatArray, x: FloatArray | np.float32) -> FloatArray:
    """0 below `low`, 1 above `high`, smooth between."""
    t = np.clip((x - low) / (high - low), 0, 1)
    return np.asarray(t * t * (3 - 2 * t), np.float32)


@dataclass(frozen=True)
class Surround:
    """The field's fixed part on a grid of gh x gw points over the stage.

    points: (gh, gw, 3) pixels with depth. turning, travelling, spread: (gh, gw, 1), how much of the head's turn,
    of its travel and of the face contour's expression a point takes, before `edges` (2, gh, gw, 1): how much
    belongs to the person, tight and wide. near: (gh * gw, K), which part of the contour (K, 3) a point follows.
    pivot: (3,), in the neck.
    """

    box: Box
    points: FloatArray
    turning: FloatArray
    travelling: FloatArray
    spread: FloatArray
    edges: FloatArray
    near: FloatArray
    contour: FloatArray
    pivot: FloatArray
    unit: float


def stage_box(landmarks: FloatArray, oval: FloatArray, size: tuple[int, int]) -> Box:
    """The part of a picture of `size` (w, h) that may move with the face: head, hair, neck, shoulders."""
    low, high = oval[:, :2].min(0), oval[:, :2].max(0)
    reach = max(high - low)
    middle = (low[0] + high[0]) / 2
    left, right = int(middle - 1.35 * reach), int(middle + 1.35 * reach)
    top, bottom = int(low[1] - 1.0 * reach), int(high[1] + 1.3 * reach)
    return (max(left, 0), max(top, 0), min(right, size[0]), min(bottom, size[1]))


def picture_ends(box: Box, shape: tuple[int, ...]) -> tuple[bool, bool, bool, bool]:
    """On which sides of a stage, left, top, right and bottom, the picture itself ends."""
    left, top, right, bottom = box
    return left == 0, top == 0, right == shape[1], bottom == shape[0]


def build_surround(portrait: Portrait, oval: FloatArray, box: Box) -> Surround:
    """Weights around the face of `portrait`, whose contour is `oval` (K, 3) in pixels."""
    left, top, right, bottom = box
    gw, gh = -(-(right - left) // CELL) + 1, -(-(bottom - top) // CELL) + 1
    xs, ys = np.meshgrid(left + CELL * np.arange(gw), top + CELL * np.arange(gh))
    flat = np.stack([xs, ys], -1).astype(np.float32)
    unit = float(np.linalg.norm(portrait.face.landmarks[263] - portrait.face.landmarks[33]))

    near, distance = _onto_contour(flat.reshape(-1, 2), oval[:, :2])
    near = near.reshape(gh, gw, -1)
    away = np.where(_inside(flat, oval), 0, distance.reshape(gh, gw) / unit).astype(np.float32)

    depth = near @ oval[:, 2] + unit * np.minimum(DEPTH_SLOPE * away, DEPTH_MOST)
    below = _below_chin(flat, portrait.face.landmarks, unit)
    frame = _away_from_cut(flat, box, portrait.image.shape, unit)
    lower = below + BESIDE * smoothstep(0.2, 0.7, away)
    turning = (1 - smoothstep(*HAIR, away)) * (1 - smoothstep(*NECK, lower)) * frame
    chest = 1 - (1 - CHEST_SHARE) * smoothstep(*CHEST, lower)
    travelling = (1 - smoothstep(*REACH, away)) * chest * frame
    spread = (1 - smoothstep(0.0, JAW, away)) * frame
    chin, brow = portrait.face.landmarks[152], portrait.face.landmarks[168]
    pivot = brow + (chin - brow) * 0.75
    pivot[2] = oval[:, 2].mean() + 0.3 * unit
    return Surround(
        box=box,
        points=np.concatenate([flat, depth[..., None]], -1).astype(np.float32),
        turning=turning[..., None],
        travelling=travelling[..., None],
        spread=spread[..., None],
        edges=np.stack([_someone(portrait, flat, away, unit, edge) for edge in (TIGHT, WIDE)])[..., None],
        near=near.reshape(gw * gh, -1),
        contour=oval,
        pivot=pivot.astype(np.float32),
        unit=unit,
    )


def _onto_contour(points: FloatArray, contour: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Weights (N, K) of the contour's corners at the point of it nearest to each point, and the distance (N,)."""
    start = contour
    along = np.roll(contour, -1, axis=0) - start
    share = ((points[:, None] - start) * along).sum(-1) / np.maximum((along**2).sum(-1), 1e-6)
    share = np.clip(share, 0, 1)
    distance = np.linalg.norm(points[:, None] - (start + share[..., None] * along), axis=-1)
    best = distance.argmin(1)
    rows = np.arange(len(points))
    weights = np.zeros((len(points), len(contour)), np.float32)
    weights[rows, best] = 1 - share[rows, best]
    weights[rows, (best + 1) % len(contour)] += share[rows, best]
    return weights, distance[rows, best].astype(np.float32)


def _inside(points: FloatArray, oval: FloatArray) -> npt.NDArray[np.bool_]:
    """Which of the grid's points (gh, gw, 2) lie within the contour (K, 3)."""
    corner = points[0, 0]
    gh, gw = points.shape[:2]
    cover = np.zeros(((gh - 1) * CELL + 1, (gw - 1) * CELL + 1), np.uint8)
    cv2.fillPoly(cover, [np.rint(oval[:, :2] - corner).astype(np.int32)], (1,))
    return cover[::CELL, ::CELL] > 0


def _below_chin(points: FloatArray, landmarks: FloatArray, unit: float) -> FloatArray:
    """How far a point lies below the chin along the face's own axis, in inter-ocular units."""
    axis = landmarks[152, :2] - landmarks[168, :2]
    axis = axis / np.linalg.norm(axis)
    return np.asarray((points - landmarks[152, :2]) @ axis / unit, np.float32)


def _someone(portrait: Portrait, points: FloatArray, away: FloatArray, unit: float, edge: Edge) -> FloatArray:
    """1 on the person and close to the face, falling to 0 across a soft band of background."""
    close = 1 - smoothstep(*edge.close, away)
    if portrait.person is None:
        return np.maximum(close, 1 - smoothstep(0.5, 1.3, away))
    scale = min(1.0, MASK_UNIT / unit)
    mask = cv2.resize(portrait.person, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    grow = max(1, round(edge.grow * unit * scale)) | 1
    mask = cv2.dilate(mask, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (grow, grow)))
    mask = cv2.GaussianBlur(mask, (0, 0), edge.blur * unit * scale)
    at = (points + 0.5) * scale - 0.5
    share = cv2.remap(mask, at[..., 0], at[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.maximum(smoothstep(*edge.share, np.asarray(share, np.float32)), close)


def _away_from_cut(points: FloatArray, box: Box, shape: tuple[int, ...], unit: float) -> FloatArray:
    """0 on the stage's edges that cut through the picture, so that no seam shows; 1 away from them."""
    left, top, right, bottom = box
    result = np.ones(points.shape[:2], np.float32)
    x, y = points[..., 0], points[..., 1]
    distances = (x - left, y - top, right - 1 - x, bottom - 1 - y)
    for ends, distance in zip(picture_ends(box, shape), distances, strict=True):
        if not ends:
            result *= smoothstep(CELL, CELL + 0.8 * unit, distance)
    return result


def forward_field(surround: Surround, shot: Shot, contour: FloatArray) -> FloatArray:
    """Displacement (gh, gw, 2) in pixels of the grid for one shot; contour: (K, 3), the oval's target."""
    change = shot.grow * shot.turn - np.eye(3, dtype=np.float32)
    travel = surround.pivot @ change.T + shot.shift
    rigid = surround.contour @ (shot.grow * shot.turn).T + shot.shift
    way = np.linalg.norm((contour - surround.contour)[:, :2], axis=1).max() / surround.unit
    tight, wide = surround.edges
    someone = tight + smoothstep(*FAR, np.float32(way)) * (wide - tight)
    field = ((surround.points - surround.pivot) @ change.T)[..., :2] * surround.turning
    field += travel[:2] * surround.travelling
    field += (surround.near @ (contour - rigid)[:, :2]).reshape(field.shape) * surround.spread
    return np.asarray(field * someone, np.float32)


def displace(surround: Surround, field: FloatArray, points: FloatArray) -> FloatArray:
    """Where the field carries points (N, 2) of the picture, (N, 2)."""
    at = ((points - surround.box[:2]) / CELL).astype(np.float32)
    moved = cv2.remap(
        field, at[None, :, 0], at[None, :, 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return np.asarray(points + moved[0], np.float32)


def backward_offsets(field: FloatArray) -> FloatArray:
    """The inverse of a forward field on the same grid: q -> q + offset is the source of target q."""
    gh, gw = field.shape[:2]
    x, y = np.meshgrid(np.arange(gw, dtype=np.float32), np.arange(gh, dtype=np.float32))
    offset: FloatArray = -field
    for _ in range(SOLVE_STEPS):
        at = (x + offset[..., 0] / CELL, y + offset[..., 1] / CELL)
        there = cv2.remap(field, *at, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        offset = -np.asarray(there, np.float32)
    return offset
