"""Maps from each pixel of a target pose to its source in the portrait.

They are computed at half the stage's resolution, then enlarged.
"""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

from gioconda.engines.warp.background_warp import (
    CELL,
    backward_offsets,
    displace,
    forward_field,
)
from gioconda.engines.warp.borders import keep_inside
from gioconda.engines.warp.head import smoothed_field
from gioconda.engines.warp.identity import WarpIdentity
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
from gioconda.engines.warp.mirror import face_outline
from gioconda.engines.warp.reveal import Revealed, clear_contour, reveal
from gioconda.types import FloatArray, TargetPose

# Landmarks of the mesh. The ten iris landmarks beyond them move the eyeballs instead.
POINTS = 468
# Square pixels, twice a triangle's area. The maps of a thinner triangle are not reliable beside it.
FLAT = 1.5
# Pixels of a triangle's height, and factor by which it is squeezed. Where both are passed, its maps are not reliable:
# between lips that meet, the next pixel would show the chin.
LOW, SQUEEZED = 2.0, 8.0
# Inter-ocular units: width of the band that joins the mesh to the field.
RIM = 0.07


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
    corners = mesh_triangles().T
    x, y = (target[:, axis][corners] for axis in range(2))
    area = facing(target, mesh_triangles())
    order = np.argsort(-depth[corners].sum(0), kind="stable")
    order = order[_reliable((x, y), area, coefficients)[order]]
    seen = area[order] > 0
    return np.asarray(np.concatenate([order[~seen], order[seen]]))


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


def _reliable(
    corners: tuple[FloatArray, FloatArray], area: FloatArray, coefficients: FloatArray
) -> npt.NDArray[np.bool_]:
    """Which of the mesh's triangles (N,) map the pixels that they cover, and those beside them, reliably.

    corners: x and y of the corners, (3, N) each. area: (N,), twice the triangles' own. coefficients: (6, N).
    """
    squares = []
    for first, second in ((0, 1), (1, 2), (2, 0)):
        across, down = (values[second] - values[first] for values in corners)
        squares.append(across * across + down * down)
    longest = np.sqrt(np.maximum.reduce(squares))
    steepest = np.maximum.reduce([np.abs(coefficients[row]) for row in (0, 1, 3, 4)])
    size = np.abs(area)
    squeezed = (steepest > SQUEEZED) & (size < LOW * longest)
    return np.asarray((size > FLAT) & ~squeezed, bool)


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
