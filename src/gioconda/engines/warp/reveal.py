"""One frame's hidden side: the mirrored face, blended in where a turn reveals what the portrait does not show."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from gioconda.engines.warp.background_warp import smoothstep
from gioconda.engines.warp.mesh import IntArray, affines, facing, load_topology, source_maps
from gioconda.engines.warp.mirror import Mirror
from gioconda.engines.warp.outline import outwards
from gioconda.engines.warp.visibility import POINTS
from gioconda.engines.warp.wrinkles import transfer_wrinkles
from gioconda.types import FloatArray, Image, TargetPose

# Areas are twice a triangle's, as `facing` returns them; units are inter-ocular distances.
# Factor by which a triangle outgrows its area in the portrait: from the first on it begins to show the mirrored face,
# from the second on it shows nothing else.
GROWTH = (1.1, 1.7)
# The same for triangles that the portrait does not show at all: their area in square pixels.
APPEARED = (2.0, 20.0)
# Square pixels. The maps of a thinner triangle are not reliable.
THIN = 1.5
# Square pixels that a triangle of the portrait counts at least, so that its growth stays bounded.
SMALLEST = 4.0
# Share below which nothing is mirrored.
NEEDED = 0.02
# Degrees towards the hidden side over which the mirrored face comes in.
TURN = (0.5, 12.0)
# Units of the outline's push that stay at any turn, since skin ends a little outside the mesh.
KEPT = 0.025
# Units around the mirrored part where the refiner must leave the background alone.
HOLD = 0.45
# Units around the far eye where the refiner must leave it alone.
LIDS = 0.12
# Pixels around the face, at least, where the refiner must leave the background alone.
HOLD_LEAST = 8
# Parameter values on each piece of the outline's curve: three more points between two given ones.
CURVE_STEPS = (0.0, 0.25, 0.5, 0.75)

# Contours of the lids with the skin around them, the viewer's left and right.
RIGHT_LIDS = (130, 25, 110, 24, 23, 22, 26, 112, 243, 190, 56, 28, 27, 29, 30, 247)
LEFT_LIDS = (359, 255, 339, 254, 253, 252, 256, 341, 463, 414, 286, 258, 257, 259, 260, 467)


@dataclass(frozen=True)
class Revealed:
    """The part of the mirrored face that a frame shows, at half resolution.

    Attributes:
        corner: Left and top of the part, in the half-resolution stage.
        map_x: (h, w) float32, x of each pixel's source in the mirrored picture.
        map_y: (h, w) float32, y of each pixel's source.
        share: (h, w) float32, 0 to 1, how much of the mirrored face shows.
        ring: (K, 2), the face's outline in pixels of the portrait's picture.
    """

    corner: tuple[int, int]
    map_x: FloatArray
    map_y: FloatArray
    share: FloatArray
    ring: FloatArray


def clear_contour(mirror: Mirror, target_pose: TargetPose, contour: FloatArray) -> FloatArray:
    """Move the target's outline (K, 2 or more) out as the portrait's is: less, the more of the far side shows."""
    moved = contour.copy()
    kept = np.minimum(mirror.push, KEPT * mirror.unit)
    push = mirror.push + (kept - mirror.push) * _turned(mirror, target_pose)
    moved[:, :2] += outwards(contour) * (push * target_pose.grow)[:, None]
    return moved


def _turned(mirror: Mirror, target_pose: TargetPose) -> float:
    """How far the head has turned to its far side, 0 to 1; 0 where it rests or turns the other way."""
    yaw = float(np.degrees(np.arcsin(np.clip(target_pose.turn[2, 0], -1, 1))))
    return float(smoothstep(*TURN, np.float32(-mirror.far * yaw)))


def reveal(
    mirror: Mirror,
    target_pose: TargetPose,
    index: IntArray,
    target: FloatArray,
    ring: FloatArray,
    corner: tuple[int, int],
    grid: tuple[FloatArray, FloatArray],
) -> Revealed | None:
    """Find what a target pose reveals of the hidden side.

    Args:
        mirror: The portrait's mirrored side.
        target_pose: The moment.
        index: (h, w) int32, the raster of the face's triangles at half resolution.
        target: (P, 2), the points' places in pixels of the picture.
        ring: (K, 2), the face's outline in pixels of the picture.
        corner: Left and top of the raster in the half-resolution stage.
        grid: x (w,) and y (h, 1) of the raster's pixel centres in the picture.

    Returns:
        The revealed part; None where the pose reveals nothing.
    """
    triangles, turned = load_topology().triangles, _turned(mirror, target_pose)
    # an expression alone enlarges triangles too, but reveals nothing that was hidden
    if turned <= 0:
        return None
    use = _use(mirror, target_pose, target[:POINTS]) * np.float32(turned)
    amount = np.append(np.float32(0), use)[np.where(index <= len(use), index, 0)]
    box = cv2.boundingRect((amount > 0).astype(np.uint8))
    if use.max() < NEEDED or box[2] == 0:
        return None
    size = 2 * max(3, int(np.ceil(KEPT * mirror.unit * target_pose.grow / 2)) + 1) + 1
    left, top = max(box[0] - size, 0), max(box[1] - size, 0)
    part = (slice(top, box[1] + box[3] + size), slice(left, box[0] + box[2] + size))
    inner = np.where(index[part] <= len(use), index[part], 0)
    coefficients = affines(mirror.points[:, :2], target[:POINTS], triangles)
    maps = source_maps(inner, coefficients, grid[0][part[1]], grid[1][part[0]])
    cover = (inner > 0).astype(np.float32)
    # the maps go on beyond the mesh, so that the outline alone is the edge
    near = np.maximum(cv2.blur(cover, (size, size)), 1e-3)
    for source in maps:
        np.copyto(source, cv2.blur(source * cover, (size, size)) / near, where=inner == 0)
    map_x, map_y = (cv2.blur(source, (3, 3), borderType=cv2.BORDER_REPLICATE) for source in maps)
    edge = np.minimum(size * near, 1)
    share = cv2.blur(cv2.dilate(amount[part], np.ones((size, size))), (9, 9)) * edge
    part_corner = (corner[0] + left, corner[1] + top)
    return Revealed(part_corner, np.asarray(map_x), np.asarray(map_y), np.asarray(share, np.float32), ring)


def _use(mirror: Mirror, target_pose: TargetPose, target: FloatArray) -> FloatArray:
    """How much of each triangle is mirrored, (N,) 0 to 1: nothing where the portrait shows it as large as the pose."""
    area = facing(target, load_topology().triangles)
    growth = np.asarray(area / (np.maximum(np.abs(mirror.area), SMALLEST) * target_pose.grow**2), np.float32)
    revealed = np.where(mirror.area > 0, smoothstep(*GROWTH, growth), smoothstep(*APPEARED, area))
    revealed = np.maximum(revealed, mirror.unclear)
    return np.where((mirror.needed > NEEDED) & (area > THIN), revealed * (mirror.needed > NEEDED), 0).astype(
        np.float32
    )


def composite_mirrored_side(
    image: Image,
    mirror: Mirror,
    revealed: Revealed,
    target_pose: TargetPose,
    corner: tuple[int, int],
    opacity: Image | None = None,
) -> Image:
    """Blend the mirrored side over the stage, in place.

    The refiner knows only the portrait's own pixels, so it must not change the mirrored skin, what is beside the face,
    or an eye that the portrait hardly shows.

    Args:
        image: (H, W, 3) uint8, the stage.
        mirror: The portrait's mirrored side.
        revealed: The part that the target pose reveals.
        target_pose: The moment.
        corner: Left and top of the stage, in pixels of the picture.
        opacity: (H, W) uint8, the stage's alpha, or None; the mirrored side becomes opaque in it.

    Returns:
        (H, W) uint8, 255 where the refiner must not change the stage.
    """
    left, top = 2 * revealed.corner[0], 2 * revealed.corner[1]
    height, width = revealed.share.shape
    part = image[top : top + 2 * height, left : left + 2 * width]
    mirrored, share = _full_resolution(_wrinkled(mirror, target_pose), revealed, part.shape)
    ring = np.asarray(revealed.ring - corner, np.float32)
    beside = max(HOLD_LEAST, int(HOLD * mirror.unit * target_pose.grow))
    area, end = _around((left, top), part.shape, beside, image.shape)
    inside = _cover(np.asarray(ring - area, np.float32), (end[1] - area[1], end[0] - area[0]))
    window = (
        slice(top - area[1], top - area[1] + part.shape[0]),
        slice(left - area[0], left - area[0] + part.shape[1]),
    )
    alpha = share * mirrored[..., 3] * inside[window].astype(np.float32) * np.float32(1 / 255**2)
    mixed = part + (mirrored[..., :3] - part.astype(np.float32)) * alpha[..., None]
    np.copyto(part, (mixed + 0.5).astype(np.uint8))
    if opacity is not None:
        covered = opacity[top : top + 2 * height, left : left + 2 * width]
        np.maximum(covered, (255 * alpha).astype(np.uint8), out=covered)
    hold = np.zeros(image.shape[:2], np.uint8)
    held = hold[area[1] : end[1], area[0] : end[0]]
    np.subtract(255, inside, out=held)
    np.maximum(held[window], (255 * alpha).astype(np.uint8), out=held[window])
    _hold_eye(hold, mirror, target_pose, corner)
    return hold


def _full_resolution(
    picture: Image, revealed: Revealed, shape: tuple[int, ...]
) -> tuple[Image, npt.NDArray[np.float32]]:
    """The revealed part of the mirrored picture (h, w, 4), and how much of it shows (h, w); shape: (h, w, ...)."""
    height, width = revealed.share.shape
    x, y, share = (
        np.ascontiguousarray(cv2.resize(plane, (2 * width, 2 * height))[: shape[0], : shape[1]])
        for plane in (revealed.map_x, revealed.map_y, revealed.share)
    )
    mirrored = cv2.remap(picture, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(mirrored, np.uint8), np.asarray(share, np.float32)


def _around(
    corner: tuple[int, int], shape: tuple[int, ...], beside: int, bounds: tuple[int, ...]
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Left top and right bottom of a box of `shape` (h, w) at `corner`, grown by `beside` pixels within `bounds`."""
    (left, top), (height, width) = corner, shape[:2]
    area = (max(left - beside, 0), max(top - beside, 0))
    return area, (min(left + width + beside, bounds[1]), min(top + height + beside, bounds[0]))


def _wrinkled(mirror: Mirror, target_pose: TargetPose) -> Image:
    """The mirrored picture (h, w, 4) with the driver's wrinkles."""
    smooth = mirror.image[..., :3]
    wrinkled = transfer_wrinkles(smooth, mirror.wrinkle_target, target_pose.mouth, target_pose.creases)
    return mirror.image if wrinkled is smooth else np.dstack([wrinkled, mirror.image[..., 3]])


def shown_share(mirror: Mirror, revealed: Revealed, shape: tuple[int, ...]) -> FloatArray:
    """How much of the mirrored side shows at each pixel of a stage of `shape` (H, W, ...): (H, W) float32, 0 to 1."""
    left, top = 2 * revealed.corner[0], 2 * revealed.corner[1]
    x, y, share = (
        cv2.resize(plane, None, fx=2, fy=2) for plane in (revealed.map_x, revealed.map_y, revealed.share)
    )
    share = share * cv2.remap(mirror.image[..., 3], x, y, cv2.INTER_LINEAR) * np.float32(1 / 255)
    result = np.zeros(shape[:2], np.float32)
    part = result[top : top + len(share), left : left + share.shape[1]]
    part[:] = share[: part.shape[0], : part.shape[1]]
    return result


def _cover(ring: FloatArray, shape: tuple[int, int]) -> Image:
    """Coverage (h, w) uint8, 0 to 255, of the closed Catmull-Rom curve through points (K, 2).

    Source: Catmull and Rom, A Class of Local Interpolating Splines, 1974.
    """
    before, after, later = np.roll(ring, 1, 0), np.roll(ring, -1, 0), np.roll(ring, -2, 0)
    t = np.array(CURVE_STEPS)[:, None, None]
    curve = 2 * ring + (after - before) * t + (2 * before - 5 * ring + 4 * after - later) * t**2
    curve = 0.5 * (curve + (3 * ring - before - 3 * after + later) * t**3)
    corners = np.rint(curve.transpose(1, 0, 2).reshape(-1, 2) * 16).astype(np.int32)
    mask = np.zeros(shape, np.uint8)
    cv2.fillPoly(mask, [corners], (255,), cv2.LINE_AA, 4)
    return np.asarray(cv2.blur(mask, (3, 3)), np.uint8)


def _hold_eye(hold: Image, mirror: Mirror, target_pose: TargetPose, corner: tuple[int, int]) -> None:
    """Add the far eye to the refiner's mask (H, W), in place, as far as the portrait hides it."""
    if mirror.eye_hold <= 0:
        return
    lids = target_pose.landmarks[list(RIGHT_LIDS if mirror.far < 0 else LEFT_LIDS), :2] - corner
    grown = int(LIDS * mirror.unit * target_pose.grow) | 1
    left, top, width, height = cv2.boundingRect(lids.astype(np.float32))
    left, top = max(left - 2 * grown, 0), max(top - 2 * grown, 0)
    part = hold[top : top + height + 4 * grown, left : left + width + 4 * grown]
    if part.size == 0:
        return
    mask = np.zeros(part.shape, np.uint8)
    hull = cv2.convexHull((lids - (left, top)).astype(np.float32))
    cv2.fillConvexPoly(mask, np.rint(hull).astype(np.int32), (round(255 * mirror.eye_hold),))
    kernel = np.ones((grown, grown), np.uint8)
    np.maximum(part, cv2.blur(cv2.dilate(mask, kernel), (grown, grown)), out=part)
