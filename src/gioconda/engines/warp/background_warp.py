"""The background warp: a smooth field that moves hair, ears, neck and shoulders and leaves the background still."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

import cv2
import numpy as np
import numpy.typing as npt

from gioconda.engines.affine import Box
from gioconda.landmarks import inter_ocular
from gioconda.runtime.easing import eased
from gioconda.types import FloatArray, Portrait, TargetPose

# Pixels between the field's grid points.
CELL = 8
# Sizes of grids whose coordinates stay known.
GRIDS = 8
# The second map of OpenCV's `remap` where the first one has both coordinates.
NO_MAP = np.empty(0, np.float32)
# Steps of the fixed-point inversion. They suffice because the field's slope is well below one.
SOLVE_STEPS = 6

# All in inter-ocular units. (from, to): where a weight begins to fall, and where it reaches 0.
# Distance from the face's contour, for the rotation weight.
HAIR = (0.6, 1.5)
# Distance below the chin, for the rotation weight.
NECK = (0.0, 0.7)
# Shoulder and collar beside the jaw count as this much lower: they do not turn with the head as the neck does.
BESIDE = 1.2
# Distance from the face's contour over which a point passes from above the shoulder to beside the jaw.
ASIDE = (0.2, 0.7)
# Distance from the face's contour, for the translation weight.
REACH = (1.4, 2.6)
# Distance below the chin over which the translation weight falls, and the share of it that the chest keeps.
CHEST, CHEST_SHARE = (0.0, 1.0), 0.05
# Distance from the face's contour over which the contour's expression falls off.
JAW = 0.7
# Slope and limit of the depth at which points lie behind the face's contour, by their distance from it.
DEPTH_SLOPE, DEPTH_MOST = 1.2, 1.2
# Displacement of the face's contour over which the person's edge passes from tight to wide.
FAR = (0.06, 0.35)
# Distance from the face's contour that counts as the person where there is no mask.
UNMASKED = (0.5, 1.3)
# Distance from the stage's edge over which the field fades in where the picture goes on beyond the stage.
SEAM = 0.8
# Height of the pivot between brow and chin (share of the displacement down), and its depth behind the contour's mean.
PIVOT_DOWN, PIVOT_DEPTH = 0.75, 0.3

# Pixels an inter-ocular distance at which the person's mask is blurred. Finer costs time and shows nothing.
MASK_UNIT = 40
# Weight from which a point counts as moving, so that the background is completed behind it.
STIRS = 0.15
# The stage around the face's contour: its reach to each side, above and below, in the contour's longer side.
STAGE_SIDE, STAGE_ABOVE, STAGE_BELOW = 1.35, 1.0, 1.3


@dataclass(frozen=True)
class Edge:
    """Where the person ends and the background begins. All lengths in inter-ocular units.

    Attributes:
        grow: Diameter by which the person's mask is dilated.
        blur: Sigma by which it is blurred then.
        share: Values of the mask from which a point begins to belong to the person, and from which it does wholly.
        close: Distance from the face's contour up to which even background moves along, and from which none does.
    """

    grow: float
    blur: float
    share: tuple[float, float]
    close: tuple[float, float]


# The background should stay still, so the edge is tight. A head that moves far would tear there.
TIGHT = Edge(0.06, 0.12, (0.3, 0.8), (0.05, 0.3))
WIDE = Edge(0.15, 0.28, (0.15, 0.75), (0.25, 0.9))
# Over a completed background nothing can tear. The edge is tighter, since a turn that is measured a little wrong
# would carry the outline too far.
LAYERED = Edge(0.0, 0.12, (0.4, 0.95), (0.05, 0.3))


def smoothstep(low: float, high: float | FloatArray, x: FloatArray | np.float32) -> FloatArray:
    """Rise smoothly from 0 at or below `low` to 1 at or above `high`; returns float32 of the shape of `x`."""
    t = np.clip((x - low) / (high - low), 0, 1)
    return np.asarray(eased(t), np.float32)


@dataclass(frozen=True)
class BackgroundWarp:
    """The part of the field that does not change between frames, on a grid of gh x gw points over the stage.

    All arrays are float32. Weights lie in 0 to 1.

    Attributes:
        box: The stage, in pixels of the picture.
        points: (gh, gw, 3), the grid in pixels of the picture, with depth.
        rotation_weight: (gh, gw, 1), how much of the head's rotation a point takes.
        translation_weight: (gh, gw, 1), how much of the head's translation a point takes.
        falloff: (gh, gw, 1), how much of the face contour's expression a point takes.
        edges: (2, gh, gw, 1), how much a point belongs to the person, by a tight and by a wide edge.
        near: (gh * gw, K), weights of the contour's points that a grid point follows.
        contour: (K, 3), the face's outline in pixels.
        pivot: (3,), the point in the neck about which the head turns, in pixels.
        unit: The inter-ocular distance in pixels.
    """

    box: Box
    points: FloatArray
    rotation_weight: FloatArray
    translation_weight: FloatArray
    falloff: FloatArray
    edges: FloatArray
    near: FloatArray
    contour: FloatArray
    pivot: FloatArray
    unit: float

    @property
    def moving(self) -> FloatArray:
        """1 on the grid (gh, gw) where the picture may move, 0 where it never does."""
        return smoothstep(0, STIRS, np.maximum(self.rotation_weight, self.translation_weight)[..., 0])

    @cached_property
    def weights(self) -> FloatArray:
        """How each grid point follows the head's turn, its shift and the contour's expression, (gh * gw, 4 + K)."""
        turn = (self.points - self.pivot) * self.rotation_weight
        rows = len(self.near)
        parts = (turn.reshape(rows, 3), self.translation_weight.reshape(rows, 1))
        return np.hstack([*parts, self.near * self.falloff.reshape(rows, 1)]).astype(np.float32)

    @cached_property
    def widening(self) -> FloatArray:
        """How much more a point belongs to the person by the wide edge than by the tight one, (gh, gw, 1)."""
        return np.asarray(self.edges[1] - self.edges[0], np.float32)


def stage_box(landmarks: FloatArray, oval: FloatArray, size: tuple[int, int]) -> Box:
    """The part of a picture that may move with the face: head, hair, neck and shoulders.

    Args:
        landmarks: (478, 3), in pixels.
        oval: (K, 2 or more), the face's contour in pixels.
        size: Width and height of the picture.
    """
    low, high = oval[:, :2].min(0), oval[:, :2].max(0)
    reach = max(high - low)
    middle = (low[0] + high[0]) / 2
    left, right = int(middle - STAGE_SIDE * reach), int(middle + STAGE_SIDE * reach)
    top, bottom = int(low[1] - STAGE_ABOVE * reach), int(high[1] + STAGE_BELOW * reach)
    return (max(left, 0), max(top, 0), min(right, size[0]), min(bottom, size[1]))


def picture_ends(box: Box, shape: tuple[int, ...]) -> tuple[bool, bool, bool, bool]:
    """Whether the picture itself ends at the stage's left, top, right and bottom side; shape: (H, W, ...)."""
    left, top, right, bottom = box
    return left == 0, top == 0, right == shape[1], bottom == shape[0]


def build_background_warp(portrait: Portrait, oval: FloatArray, box: Box) -> BackgroundWarp:
    """Compute the field's weights around a face.

    Args:
        portrait: The portrait, with the person's mask where there is one.
        oval: (K, 3), the face's contour in pixels, with depth.
        box: The stage.
    """
    left, top, right, bottom = box
    gw, gh = -(-(right - left) // CELL) + 1, -(-(bottom - top) // CELL) + 1
    xs, ys = np.meshgrid(left + CELL * np.arange(gw), top + CELL * np.arange(gh))
    flat = np.stack([xs, ys], -1).astype(np.float32)
    unit = inter_ocular(portrait.face.landmarks)

    near, distance = _onto_contour(flat.reshape(-1, 2), oval[:, :2])
    near = near.reshape(gh, gw, -1)
    away = np.where(within(flat, oval), 0, distance.reshape(gh, gw) / unit).astype(np.float32)

    depth = near @ oval[:, 2] + unit * np.minimum(DEPTH_SLOPE * away, DEPTH_MOST)
    below = _below_chin(flat, portrait.face.landmarks, unit)
    seam_weight = _away_from_cut(flat, box, portrait.image.shape, unit)
    lower = below + BESIDE * smoothstep(*ASIDE, away)
    rotation_weight = (1 - smoothstep(*HAIR, away)) * (1 - smoothstep(*NECK, lower)) * seam_weight
    chest = 1 - (1 - CHEST_SHARE) * smoothstep(*CHEST, lower)
    translation_weight = (1 - smoothstep(*REACH, away)) * chest * seam_weight
    falloff = (1 - smoothstep(0.0, JAW, away)) * seam_weight
    edges = (LAYERED if portrait.stands_apart else TIGHT, WIDE)
    return BackgroundWarp(
        box=box,
        points=np.concatenate([flat, depth[..., None]], -1).astype(np.float32),
        rotation_weight=rotation_weight[..., None],
        translation_weight=translation_weight[..., None],
        falloff=falloff[..., None],
        edges=np.stack([_person_weight(portrait, flat, away, unit, edge) for edge in edges])[..., None],
        near=near.reshape(gw * gh, -1),
        contour=oval,
        pivot=_neck_pivot(portrait.face.landmarks, oval, unit),
        unit=unit,
    )


def _neck_pivot(landmarks: FloatArray, oval: FloatArray, unit: float) -> FloatArray:
    """The point (3,) in the neck about which the head turns, in pixels with depth."""
    chin, brow = landmarks[152], landmarks[168]
    pivot = brow + (chin - brow) * PIVOT_DOWN
    pivot[2] = oval[:, 2].mean() + PIVOT_DEPTH * unit
    return np.asarray(pivot, np.float32)


def _onto_contour(points: FloatArray, contour: FloatArray) -> tuple[FloatArray, FloatArray]:
    """For points (N, 2), weights (N, K) of the contour's corners at its nearest point, and the distance (N,)."""
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


def within(points: FloatArray, oval: FloatArray) -> npt.NDArray[np.bool_]:
    """Which of the grid's points (gh, gw, 2) are inside the contour (K, 2 or more): (gh, gw) bool."""
    corner = points[0, 0]
    gh, gw = points.shape[:2]
    cover = np.zeros(((gh - 1) * CELL + 1, (gw - 1) * CELL + 1), np.uint8)
    cv2.fillPoly(cover, [np.rint(oval[:, :2] - corner).astype(np.int32)], (1,))
    return cover[::CELL, ::CELL] > 0


def _below_chin(points: FloatArray, landmarks: FloatArray, unit: float) -> FloatArray:
    """Distance of points (..., 2) below the chin along the face's own axis, in inter-ocular units."""
    axis = landmarks[152, :2] - landmarks[168, :2]
    axis = axis / np.linalg.norm(axis)
    return np.asarray((points - landmarks[152, :2]) @ axis / unit, np.float32)


def _person_weight(
    portrait: Portrait, points: FloatArray, away: FloatArray, unit: float, edge: Edge
) -> FloatArray:
    """1 on the person and close to the face, falling to 0 across a soft band of background."""
    close = 1 - smoothstep(*edge.close, away)
    if portrait.person is None:
        return np.maximum(close, 1 - smoothstep(*UNMASKED, away))
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
            result *= smoothstep(CELL, CELL + SEAM * unit, distance)
    return result


def forward_field(
    background_warp: BackgroundWarp, target_pose: TargetPose, contour: FloatArray
) -> FloatArray:
    """Displace the grid as a target pose moves the head.

    Args:
        background_warp: The portrait's.
        target_pose: The moment.
        contour: (K, 3), the face's contour at that moment, in pixels.

    Returns:
        (gh, gw, 2) float32, displacements in pixels.
    """
    turn = target_pose.grow * target_pose.turn
    change = turn - np.eye(3, dtype=np.float32)
    translation = background_warp.pivot @ change.T + target_pose.shift
    expression = (contour - (background_warp.contour @ turn.T + target_pose.shift))[:, :2]
    away = (contour - background_warp.contour)[:, :2]
    displacement = np.sqrt((away * away).sum(1).max()) / background_warp.unit
    tight, wide = background_warp.edges
    person_weight = tight + float(smoothstep(*FAR, np.float32(displacement))) * background_warp.widening
    moves = np.concatenate([change[:2].T, translation[None, :2], expression])
    field = (background_warp.weights @ moves.astype(np.float32)).reshape(*wide.shape[:2], 2)
    field *= person_weight
    return field


def stage_size(values: FloatArray, box: Box) -> FloatArray:
    """Resize values at the grid's points, (gh, gw) or (gh, gw, 1), to the stage's pixels, (h, w)."""
    return np.asarray(cv2.resize(values, (box[2] - box[0], box[3] - box[1])), np.float32)


def displace(background_warp: BackgroundWarp, field: FloatArray, points: FloatArray) -> FloatArray:
    """Move points (N, 2) of the picture by the field (gh, gw, 2); returns (N, 2), in pixels."""
    at = ((points - background_warp.box[:2]) / CELL).astype(np.float32)
    moved = cv2.remap(
        field, at[None, :, 0], at[None, :, 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return np.asarray(points + moved[0], np.float32)


def backward_offsets(field: FloatArray) -> FloatArray:
    """Invert a forward field (gh, gw, 2) on its grid: q + offset is the source of target q, in pixels."""
    places = _grid_places(*field.shape[:2])
    back = field * np.float32(-1 / CELL)
    offset = back
    for _ in range(SOLVE_STEPS):
        at = places + offset
        there = cv2.remap(back, at, NO_MAP, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        offset = np.asarray(there, np.float32)
    return offset * np.float32(CELL)


@lru_cache(maxsize=GRIDS)
def _grid_places(height: int, width: int) -> FloatArray:
    """Coordinates x and y of each point of a grid, in its cells, (height, width, 2) float32."""
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    return np.stack([x, y], -1)
