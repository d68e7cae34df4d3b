"""The warp engine: the face's mesh and a smooth field around it move the portrait's own pixels.

The stage is the part of the picture that may move. Maps from target to source pixels are computed at half its
resolution, then enlarged.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable
from contextlib import closing
from dataclasses import dataclass, replace
from functools import lru_cache, partial

import cv2
import numpy as np
import numpy.typing as npt

from gioconda.engines.warp.background import Layers, build_layers, composite_layers
from gioconda.engines.warp.background_warp import (
    CELL,
    BackgroundWarp,
    backward_offsets,
    build_background_warp,
    displace,
    forward_field,
    stage_box,
    stage_size,
)
from gioconda.engines.warp.borders import Side, keep_inside, sides_of
from gioconda.engines.warp.eyes import Eye, build_eyes, paint_eye, shut_eye
from gioconda.engines.warp.head import smoothed_field, with_rounded_head
from gioconda.engines.warp.lips import Lips, build_lips, seal_lips
from gioconda.engines.warp.mesh import (
    SUBPIXEL,
    IntArray,
    affines,
    facing,
    load_topology,
    rasterize,
    source_maps,
    without_pinholes,
)
from gioconda.engines.warp.mirror import Mirror, build_mirror, face_outline
from gioconda.engines.warp.mouth import Fill, MouthAppearance, build_mouth, paint_mouth
from gioconda.engines.warp.opacity import with_steady_edges
from gioconda.engines.warp.outline import outline, outwards
from gioconda.engines.warp.refiner import (
    Network,
    Reference,
    Repair,
    StageCrop,
    build_references,
    crop_stage,
)
from gioconda.engines.warp.reveal import Revealed, clear_contour, composite_mirrored_side, reveal
from gioconda.engines.warp.turns import limit_rotation, turn_limit
from gioconda.engines.warp.wrinkles import WrinkleTarget, build_wrinkle_target, transfer_wrinkles
from gioconda.landmarks import inter_ocular
from gioconda.runtime.cores import cores
from gioconda.runtime.prefetch import map_ahead
from gioconda.types import RGBA, FloatArray, Image, Patch, Portrait, TargetPose

# Landmarks of the mesh. The ten iris landmarks beyond them move the eyeballs instead.
POINTS = 468
# Square pixels, twice a triangle's area. The maps of a thinner triangle are not reliable beside it.
FLAT = 1.5
# Pixels of a triangle's height, and factor by which it is squeezed. Where both are passed, its maps are not reliable:
# between lips that meet, the next pixel would show the chin.
LOW, SQUEEZED = 2.0, 8.0
# Inter-ocular units: width of the band that joins the mesh to the field.
RIM = 0.07
# Frames that are warped at once, at most: the refiner takes a third of a frame's time, and takes them in turn.
WARPED_AT_ONCE = 4


@dataclass(frozen=True)
class WarpIdentity:
    """What the warp engine keeps of a person: the picture, and all that does not change between frames.

    Attributes:
        image: (H, W, 3) uint8 RGB; (H, W, 4) with the person's matte where there are layers, or with the alpha of a
            transparent portrait.
        points: (468 + 2 K, 3) float32, the mesh, the outline and the rim, in pixels of the picture.
        background_warp: The field that moves what surrounds the face.
        sides: The sides of the stage at which the picture itself ends.
        eyes: The eyeballs, the viewer's left first.
        mouth: The inside of the mouth.
        lips: The inner lips, or None where the portrait's lips meet.
        wrinkle_target: The face that takes the driver's wrinkles, or None.
        weight: (h, w) float32, 0 to 1, for the stage: where patches differ from the still picture.
        grid: x (w,) and y (h, 1) of the half-resolution stage's pixel centres, in pixels of the picture.
        layers: Person and background apart, or None where the background bends with the head.
        references: Crops of the person that the refiner compares with.
        mirror: The side of the face that the portrait hides, or None.
        limit: The largest turn towards the hidden side, in degrees.
    """

    image: Image
    points: FloatArray
    background_warp: BackgroundWarp
    sides: tuple[Side, ...]
    eyes: tuple[Eye, Eye]
    mouth: MouthAppearance
    lips: Lips | None
    wrinkle_target: WrinkleTarget | None
    weight: FloatArray
    grid: tuple[FloatArray, FloatArray]
    layers: Layers | None = None
    references: tuple[Reference, ...] = ()
    mirror: Mirror | None = None
    limit: float = float("inf")


class WarpEngine:
    """Warps the portrait, which keeps its brush strokes; a small network repairs mouth and eyes."""

    name = "warp"

    def __init__(self, network: Network | None = None, networks: tuple[tuple[str, str], ...] = ()) -> None:
        """Open the engine.

        Args:
            network: The refiner, or None for geometry alone.
            networks: File name and SHA-256 of the refiner, for the manifest.
        """
        self._network = network
        self.networks = networks

    def prepare(self, portrait: Portrait) -> WarpIdentity:
        """Build the mesh, the field and the hidden parts of the portrait's face."""
        topology = load_topology()
        landmarks = portrait.face.landmarks
        height, width = portrait.image.shape[:2]
        contour = outline(landmarks)
        box = stage_box(landmarks, contour, (width, height))
        mirror = None if portrait.filmed else build_mirror(portrait, contour)
        contour = face_outline(landmarks, mirror)
        background_warp = with_rounded_head(build_background_warp(portrait, contour, box), portrait)
        layers = _layers(portrait, background_warp)
        if mirror is not None:
            contour = contour.copy()
            contour[:, :2] += outwards(contour) * mirror.push[:, None]
        rim = _rim(contour, landmarks)
        weight = np.clip(2 * background_warp.translation_weight * background_warp.edges[1], 0, 1)
        whole = portrait.image if portrait.cutout is None else portrait.cutout
        picture = whole if layers is None else layers.front
        mouth = build_mouth(portrait.image, landmarks, topology)
        identity = WarpIdentity(
            image=picture,
            points=np.concatenate([landmarks[:POINTS], contour, rim]),
            background_warp=background_warp,
            sides=sides_of(portrait, background_warp),
            eyes=build_eyes(portrait.image, landmarks, topology, mouth.tones),
            mouth=mouth,
            lips=build_lips(portrait.image, landmarks, mouth.tones),
            wrinkle_target=build_wrinkle_target(np.ascontiguousarray(picture[..., :3]), landmarks),
            weight=stage_size(weight, box),
            grid=_half_grid(box),
            layers=layers,
            references=build_references(portrait) if self._network is not None else (),
            mirror=mirror,
        )
        if mirror is None:
            return identity
        return replace(
            identity, limit=turn_limit(portrait, mirror, background_warp, partial(target_maps, identity))
        )

    def render(
        self, identity: WarpIdentity, target_poses: Iterable[TargetPose], *, ahead: bool = False
    ) -> Generator[Patch, None, None]:
        """Render the portrait in each target pose.

        Args:
            identity: What `prepare` returned.
            target_poses: The moments to render.
            ahead: Whether threads warp the next frames while this one refines the last. The result is the same.

        Yields:
            One patch of the portrait's picture for each target pose, in order.
        """
        corner = identity.background_warp.box[:2]
        repair = (
            None
            if self._network is None
            else Repair(self._network, identity.references, identity.mouth.tones)
        )
        draw = partial(_draw, identity, refined=repair is not None)
        drawn = map_ahead(draw, target_poses, _threads()) if ahead else (draw(pose) for pose in target_poses)
        with closing(drawn) as frames:
            for target_pose, warped, crop in frames:
                if repair is not None and crop is not None:
                    repair.repair(warped.image, crop, warped.fill)
                yield Patch(warped.image, corner, target_pose.time, identity.weight, warped.alpha)


def _threads() -> int:
    """The number of frames that are warped at once: the refiner, which takes them in turn, has a core of its own."""
    return min(max(cores() - 1, 1), WARPED_AT_ONCE)


def _half_grid(box: tuple[int, int, int, int]) -> tuple[FloatArray, FloatArray]:
    """Coordinates of every second pixel of a box (left, top, right, bottom): x (w,) and y (h, 1), pixels."""
    w, h = (box[2] - box[0] + 1) // 2, (box[3] - box[1] + 1) // 2
    xs = (box[0] + 2 * np.arange(w) + 0.5).astype(np.float32)
    return xs, (box[1] + 2 * np.arange(h) + 0.5).astype(np.float32)[:, None]


def _layers(portrait: Portrait, background_warp: BackgroundWarp) -> Layers | None:
    """The portrait's layers; None if it has none, or if it is cut out already."""
    if portrait.cutout is not None:
        return None
    box = background_warp.box
    return build_layers(portrait, box, background_warp.unit, stage_size(background_warp.moving, box))


@dataclass(frozen=True)
class WarpedFrame:
    """A frame before the refiner sees it.

    Attributes:
        image: (h, w, 3) uint8 RGB, the stage.
        map_x: (h, w), x of each pixel's source in the portrait.
        map_y: (h, w), y of each pixel's source.
        fill: The painted inside of the mouth, or None.
        hold: (h, w) uint8, 255 where the refiner must not change the frame; or None.
        alpha: (h, w) uint8, of a transparent portrait; else None.
    """

    image: Image
    map_x: FloatArray
    map_y: FloatArray
    fill: Fill | None
    hold: Image | None = None
    alpha: Image | None = None


def _draw(
    identity: WarpIdentity, unlimited: TargetPose, *, refined: bool
) -> tuple[TargetPose, WarpedFrame, StageCrop | None]:
    """All of a frame that depends on no other one.

    Args:
        identity: The person.
        unlimited: The moment to render.
        refined: Whether the refiner repairs the frame.

    Returns:
        The pose within the portrait's limit, the frame warped to it, and its crop for the refiner or None.
    """
    target_pose = limit_rotation(unlimited, identity.mirror, identity.background_warp, identity.limit)
    warped = warp_frame(identity, target_pose)
    if not refined:
        return target_pose, warped, None
    maps, corner = (warped.map_x, warped.map_y), identity.background_warp.box[:2]
    crop = crop_stage(warped.image, maps, warped.fill, target_pose.landmarks, corner, warped.hold)
    return target_pose, warped, crop


def warp_frame(identity: WarpIdentity, target_pose: TargetPose) -> WarpedFrame:
    """Warp the portrait to a target pose, then paint the insides of eyes and mouth."""
    box = identity.background_warp.box
    map_x, map_y, revealed = target_maps(identity, target_pose)
    picture = transfer_wrinkles(
        identity.image, identity.wrinkle_target, target_pose.mouth, target_pose.creases
    )
    image = np.asarray(
        cv2.remap(picture, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), np.uint8
    )
    if identity.layers is not None:
        image = composite_layers(image, identity.layers.back)
    alpha = None
    if image.shape[2] == RGBA:
        ring = face_outline(target_pose.landmarks, identity.mirror)[:, :2] - box[:2]
        alpha = with_steady_edges(np.ascontiguousarray(image[..., 3]), map_x, map_y, ring)
        image = np.ascontiguousarray(image[..., :3])
    corner = np.array(box[:2], np.float32)
    for eye in identity.eyes:
        shut_eye(image, eye, target_pose.landmarks[:, :2] - corner, map_x, map_y)
        paint_eye(image, eye, target_pose.landmarks[:, :2] - corner)
    seal_lips(image, identity.lips, target_pose.landmarks[:, :2] - corner, target_pose.grow, (map_x, map_y))
    hold = None
    if identity.mirror is not None and revealed is not None:
        hold = composite_mirrored_side(image, identity.mirror, revealed, target_pose, box[:2], alpha)
    fill = paint_mouth(image, identity.mouth, target_pose, corner)
    return WarpedFrame(image, map_x, map_y, fill, hold, alpha)


def target_maps(
    identity: WarpIdentity, target_pose: TargetPose
) -> tuple[FloatArray, FloatArray, Revealed | None]:
    """Map every pixel of the stage to its source in the portrait's picture.

    Returns:
        x and y of the sources, (h, w) float32 each, in pixels of the picture; and what the pose reveals of the hidden
        side, or None.
    """
    background_warp = identity.background_warp
    left, top, right, bottom = background_warp.box
    contour = face_outline(target_pose.landmarks, identity.mirror)
    field = smoothed_field(forward_field(background_warp, target_pose, contour), background_warp.unit)
    xs, ys = identity.grid
    rim_width = RIM * background_warp.unit + CELL
    inside = keep_inside(identity.sides, background_warp.points, backward_offsets(field), contour, rim_width)
    offsets = _to_half(inside, (len(xs), len(ys)))
    map_x, map_y = offsets[..., 0] + xs, offsets[..., 1] + ys
    rim = displace(background_warp, field, identity.points[POINTS + len(contour) :, :2])
    if identity.mirror is not None:
        contour = clear_contour(identity.mirror, target_pose, contour)
    revealed = _warp_mesh(identity, target_pose, np.concatenate([contour[:, :2], rim]), map_x, map_y)
    size = (right - left, bottom - top)
    full = [cv2.resize(m, (2 * len(xs), 2 * len(ys)), interpolation=cv2.INTER_LINEAR) for m in (map_x, map_y)]
    part = (slice(size[1]), slice(size[0]))
    return np.asarray(full[0][part], np.float32), np.asarray(full[1][part], np.float32), revealed


def _warp_mesh(
    identity: WarpIdentity, target_pose: TargetPose, band: FloatArray, map_x: FloatArray, map_y: FloatArray
) -> Revealed | None:
    """Overwrite the maps, in place, where the face's mesh covers the stage; the nearest triangle wins.

    band: (2 K, 2), the outline and the rim around it. Returns what the pose reveals of the hidden side.
    """
    triangles = mesh_triangles()
    face = target_pose.landmarks[:POINTS]
    target = np.concatenate([face[:, :2], band]).astype(np.float32)
    # the band comes last: it covers the corners of the mesh, which stand out beyond a smooth outline
    depth = np.concatenate([face[:, 2], np.full(len(band), face[:, 2].min() - 1)])
    coefficients = affines(identity.points[:, :2], target, triangles)
    order = _painting_order(target, depth, coefficients)
    left, top = identity.background_warp.box[:2]
    height, width = map_x.shape
    half = (target - (left + 0.5, top + 0.5)) / 2
    low = np.maximum(np.floor(half.min(0)).astype(int), 0)
    high = np.minimum(np.ceil(half.max(0)).astype(int) + 1, (width, height))
    if (high <= low).any():
        return None
    size = (int(high[0] - low[0]), int(high[1] - low[1]))
    index = without_pinholes(rasterize(half - low, triangles, order, size))
    if identity.mirror is not None and identity.mirror.hairline is not None:
        _under_hair(index, (half - low)[POINTS : POINTS + len(band) // 2])
    part = (slice(low[1], high[1]), slice(low[0], high[0]))
    xs, ys = identity.grid
    mesh_x, mesh_y = source_maps(index, coefficients, xs[part[1]], ys[part[0]])
    covered = index > 0
    np.copyto(map_x[part], mesh_x, where=covered)
    np.copyto(map_y[part], mesh_y, where=covered)
    _soften((map_x, map_y), part)
    if identity.mirror is None:
        return None
    corner = (int(low[0]), int(low[1]))
    ring = band[: len(band) // 2]
    return reveal(identity.mirror, target_pose, index, target, ring, corner, (xs[part[1]], ys[part[0]]))


def _painting_order(target: FloatArray, depth: FloatArray, coefficients: FloatArray) -> npt.NDArray[np.intp]:
    """Order the reliable triangles, far ones first. Those seen from behind come first of all and only close gaps.

    target: (P, 2) points. depth: (P,). coefficients: (6, N), of `affines`.
    """
    triangles = mesh_triangles()
    area = facing(target, triangles)
    order = np.argsort(-depth[triangles].mean(1), kind="stable")
    order = order[_reliable(target, area, coefficients)[order]]
    area = area[order]
    return np.asarray(np.concatenate([order[area < 0], order[area > 0]]))


def _soften(maps: tuple[FloatArray, FloatArray], part: tuple[slice, slice]) -> None:
    """Smooth a part of the maps in place: edges where skin overlaps skin lose their steps, the rest stays."""
    rows, columns = part
    wide = (slice(max(rows.start - 1, 0), rows.stop + 1), slice(max(columns.start - 1, 0), columns.stop + 1))
    inner = tuple(slice(s.start - w.start, s.stop - w.start) for s, w in zip(part, wide, strict=True))
    for source in maps:
        source[part] = cv2.blur(source[wide], (3, 3), borderType=cv2.BORDER_REPLICATE)[inner]


def _under_hair(index: IntArray, ring: FloatArray) -> None:
    """Remove the mesh from a raster (h, w), in place, outside the face's outline; ring: (K, 2) in its pixels."""
    cover = np.zeros(index.shape, np.uint8)
    cv2.fillPoly(cover, [np.rint(ring * (1 << SUBPIXEL)).astype(np.int32)], (1,), cv2.LINE_8, SUBPIXEL)
    index[(cover == 0) & (index <= len(load_topology().triangles))] = 0


def _reliable(target: FloatArray, area: FloatArray, coefficients: FloatArray) -> npt.NDArray[np.bool_]:
    """Which of the mesh's triangles (N,) map the pixels that they cover, and those beside them, reliably.

    target: (P, 2) points. area: (N,), twice the triangles' own. coefficients: (6, N), of `affines`.
    """
    corners = target[mesh_triangles()]
    edges = corners - np.roll(corners, 1, axis=1)
    longest = np.sqrt((edges * edges).sum(2).max(1))
    steepest = np.abs(coefficients[[0, 1, 3, 4]]).max(0)
    squeezed = (steepest > SQUEEZED) & (np.abs(area) < LOW * longest)
    return np.asarray((np.abs(area) > FLAT) & ~squeezed, bool)


@lru_cache(maxsize=1)
def mesh_triangles() -> IntArray:
    """Triangles (N, 3) int32 of the face and of the band that joins its outline to the rim."""
    topology = load_topology()
    k = np.arange(len(topology.oval))
    after = (k + 1) % len(k)
    inner, inner_after = POINTS + k, POINTS + after
    outer, outer_after = inner + len(k), inner_after + len(k)
    # the contour runs anticlockwise in the picture, and outward triangles must face the viewer
    band = np.concatenate(
        [np.stack([inner, outer_after, outer], 1), np.stack([inner, inner_after, outer_after], 1)]
    )
    return np.asarray(np.concatenate([topology.triangles, band]), np.int32)


def _rim(oval: FloatArray, landmarks: FloatArray) -> FloatArray:
    """Points (K, 3) outside the face's contour by the width of the rim."""
    unit = inter_ocular(landmarks)
    middle = oval.mean(0)
    out = oval - middle
    out = out / np.linalg.norm(out[:, :2], axis=1, keepdims=True) * (RIM * unit)
    out[:, 2] = 0
    return np.asarray(oval + out, np.float32)


def _to_half(offsets: FloatArray, size: tuple[int, int]) -> FloatArray:
    """Resample the grid's offsets at the half-resolution pixels of the stage, (h, w, 2)."""
    width, height = size
    scale = 2 / CELL
    affine = np.array([[scale, 0, 0.5 / CELL], [0, scale, 0.5 / CELL]], np.float32)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(
        cv2.warpAffine(offsets, affine, (width, height), flags=flags, borderMode=cv2.BORDER_REPLICATE),
        np.float32,
    )
