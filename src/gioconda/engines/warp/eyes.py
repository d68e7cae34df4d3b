"""The eyeballs behind the lids: irises turn, and the white that opening lids uncover is filled."""

from __future__ import annotations

from dataclasses import dataclass
from math import dist

import cv2
import numpy as np
import numpy.typing as npt

from gioconda.engines.affine import patch_box
from gioconda.engines.warp.mesh import IntArray, Topology, load_topology
from gioconda.engines.warp.patches import blend, polygon_mask
from gioconda.engines.warp.tones import Tones
from gioconda.landmarks import LEFT_IRIS, RIGHT_IRIS
from gioconda.runtime.easing import eased
from gioconda.types import FloatArray, Image

# In widths of the eye. Margin of the painted patch around the lids, and of the part that changes while the eye shuts.
MARGIN, SHUT_MARGIN = 0.5, 0.25
# Least height of an open eye: flatter ones are measured too inaccurately.
HEIGHT_LEAST = 0.12
# Least height of the opening that is painted over with lashes.
PAINTED_LEAST = 0.1
# Sigma of the edge of the painted-over opening, and its least in pixels.
LASH_SOFT, LASH_SOFT_LEAST = 0.04, 0.5
# Semi-axes of the ellipse around the eye within which lids are drawn shut, and the share of them that fades.
SHUT_ELLIPSE, SHUT_FADE = (0.75, 0.5), 0.25

# In heights of the opening. The line of lashes of a shut eye, and how far it reaches.
LASH_AT, LASH_REACH = 0.55, 0.6
# The skin that covers a shut eye: taken from above the upper lid and from below the lower.
SKIN_ABOVE, SKIN_BELOW = 0.8, 0.5
# An eye whose opening is this share of the portrait's is shut; the range over which it opens.
SHUT, OPENS = 0.15, 0.3

# In radii of the iris. White is taken from beyond; irises fade out within.
WHITE_FROM, IRIS_TO, IRIS_FADE = 1.2, 1.08, 0.15
# Distance from the iris from which the eyeball's texture stays still, and the range within which it lets go.
STILL, LETS_GO = 2.6, 1.4

# Factors on the lids' contour: what surely belongs to the opening, what is shown of the eyeball, what lashes cover.
SURE_OPENING, SHOWN_OPENING, COVERED_OPENING = 0.93, 0.96, 1.2
# Pixels (sigma) of the shown opening's edge, and its margin.
EDGE_SOFT, EDGE_MARGIN = 0.6, 2
# Coverage of the opening from which a pixel is known.
KNOWN = 0.9
# Darkening under the lids, and the share of the patch's width over which it sets in.
SHADE, SHADE_REACH = 0.3, 0.15
# Relative change of opening and gaze up to which the warped picture stays: it is the sharper one.
UNCHANGED = 0.02
# Pixels: radius of the inpainting, and side of the mask that approximates distances.
INPAINT_RADIUS, DISTANCE_MASK = 3, 3
# Pixels: least radius of an iris, and least width over which it fades out.
RADIUS_LEAST, FADE_LEAST = 1.0, 1.0
# Pixels added to the distance of the eye's corners, so that nothing is divided by zero.
EPSILON = 1e-9
# A row of pixels across the upper lid, of which the darkest third gives the colour of the lashes.
DARKEST = 3
# Positions of the lids' corners in a contour of 16 points.
OUTER, INNER = 0, 8
# Landmarks of an iris's rim, which follow its centre.
RIM_POINTS = 4


@dataclass(frozen=True)
class Eye:
    """One eye of a portrait.

    Attributes:
        texture: (h, w, 3) float32, 0 to 255, the eyeball, continued under the lids.
        lashes: (h, w, 3) uint8, the same part of the portrait with the eye shut.
        corner: (2,) float32, left and top of both pictures in the portrait, in pixels.
        ring: (16,) landmarks of the lids' contour, from the outer corner along the lower lid.
        iris: Landmark of the iris's centre.
        centre: (2,) float32, the iris's centre in pixels of the portrait.
        radius: Of the iris, in pixels.
        ends: (2, 2) float32, the eye's corners in pixels of the portrait.
        height: Of the opening, in pixels.
    """

    texture: FloatArray
    lashes: Image
    corner: FloatArray
    ring: IntArray
    iris: int
    centre: FloatArray
    radius: float
    ends: FloatArray
    height: float


def build_eyes(image: Image, landmarks: FloatArray, topology: Topology, tones: Tones) -> tuple[Eye, Eye]:
    """Prepare the eyes of a portrait, the viewer's left one first.

    Args:
        image: (H, W, 3) uint8 RGB.
        landmarks: (478, 3), in pixels of the image.
        topology: Of the face mesh.
        tones: Of the portrait.

    Raises:
        ValueError: An eye is outside the picture.
    """
    return (
        _build_eye(image, landmarks, topology.right_eye, RIGHT_IRIS, tones),
        _build_eye(image, landmarks, topology.left_eye, LEFT_IRIS, tones),
    )


def _build_eye(image: Image, landmarks: FloatArray, ring: IntArray, iris: int, tones: Tones) -> Eye:
    """The eye with a contour of landmarks `ring` and the iris landmarks from `iris` on."""
    contour = landmarks[ring, :2]
    width = _eye_width(contour)
    box = patch_box(contour, MARGIN * width, image.shape)
    if box is None:
        raise ValueError("an eye is outside the picture")
    patch = np.ascontiguousarray(image[box[1] : box[3], box[0] : box[2]])
    opening = polygon_mask(_scaled(contour, SURE_OPENING), box, 0)
    rim = landmarks[iris + 1 : iris + 1 + RIM_POINTS, :2]
    radius = max(float(np.linalg.norm(rim - landmarks[iris, :2], axis=1).mean()), RADIUS_LEAST)
    return Eye(
        texture=_uncovered(patch, opening, landmarks[iris, :2] - box[:2], radius, tones),
        lashes=_lashes(patch, contour - box[:2], width),
        corner=np.array(box[:2], np.float32),
        ring=ring,
        iris=iris,
        centre=landmarks[iris, :2].copy(),
        radius=radius,
        ends=contour[[OUTER, INNER]].copy(),
        height=max(_opening_height(contour), HEIGHT_LEAST * width),
    )


def lid_openings(landmarks: FloatArray) -> FloatArray:
    """The openings of both eyes, (2,) float32, in widths of each eye; landmarks: (478, 2 or 3), in any unit."""
    topology = load_topology()
    contours = (landmarks[ring, :2] for ring in (topology.right_eye, topology.left_eye))
    return np.asarray([_opening_height(one) / _eye_width(one) for one in contours], np.float32)


def _eye_width(contour: FloatArray) -> float:
    """The distance of the corners of the lids (16, 2), in their unit."""
    return float(np.linalg.norm(contour[INNER] - contour[OUTER]))


def _opening_height(contour: FloatArray) -> float:
    """The mean distance of the lids (16, 2), in pixels."""
    across = contour[1:INNER] - contour[:INNER:-1]
    # The norm of numpy takes three times as long on so few points.
    return float(np.sqrt((across * across).sum(1)).mean())


def _scaled(contour: FloatArray, factor: float) -> FloatArray:
    """A contour (K, 2), scaled about its middle."""
    middle = contour.mean(0)
    return np.asarray(middle + (contour - middle) * factor, np.float32)


def _uncovered(
    patch: Image, opening: FloatArray, centre: FloatArray, radius: float, tones: Tones
) -> FloatArray:
    """The eyeball (h, w, 3), continued under the lids, white and iris apart; darker there, in the lids' shadow."""
    hidden = opening < KNOWN
    if hidden.all():
        return patch.astype(np.float32)
    y, x = np.indices(opening.shape, dtype=np.float32)
    # OpenCV accepts only float32 maps, and under numpy 2 a single float64 of the centre would widen them
    centre = centre.astype(np.float32)
    dx, dy = x - centre[0], y - centre[1]
    far = np.hypot(dx, dy)
    not_white = (hidden | (far < WHITE_FROM * radius)).astype(np.uint8)
    white = patch if not_white.all() else cv2.inpaint(patch, not_white, INPAINT_RADIUS, cv2.INPAINT_TELEA)
    iris, filled = _iris(patch, opening, centre, (dx, dy, far))
    fade = max(IRIS_FADE * radius, FADE_LEAST)
    inside = np.clip((IRIS_TO * radius - far) / fade, 0, 1)[..., None] * filled[..., None]
    eyeball = white + (iris - white) * inside
    depth = cv2.distanceTransform(hidden.astype(np.uint8), cv2.DIST_L2, DISTANCE_MASK)
    shade = 1 - SHADE * np.clip(depth / (SHADE_REACH * patch.shape[1]), 0, 1)
    shown = opening[..., None]
    return np.asarray(patch * shown + tones.shaded(eyeball, shade[..., None]) * (1 - shown), np.float32)


def _iris(
    patch: Image, opening: FloatArray, centre: FloatArray, offsets: tuple[FloatArray, FloatArray, FloatArray]
) -> tuple[FloatArray, npt.NDArray[np.bool_]]:
    """The patch (h, w, 3) with hidden pixels filled from others of the same radius, and where it is known (h, w).

    offsets: x, y and distance (h, w) of each pixel from the iris's centre.
    """
    dx, dy, far = offsets
    iris, filled = patch.astype(np.float32), opening >= KNOWN
    for turn_x, turn_y in ((dx, -dy), (-dx, -dy), (far, 0 * far), (-far, 0 * far)):
        at = (centre[0] + turn_x, centre[1] + turn_y)
        other = cv2.remap(patch, *at, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        known = cv2.remap(opening, *at, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT) > KNOWN
        take = known & ~filled
        iris[take] = other[take]
        filled |= take
    return iris, filled


def _lashes(patch: Image, contour: FloatArray, width: float) -> Image:
    """The patch with its eye shut: skin of the upper lid, a line of lashes, skin of the lower lid."""
    upper, lower = contour[INNER + 1 :][::-1], contour[1:INNER]
    if upper[0, 0] > upper[-1, 0]:
        upper, lower = upper[::-1], lower[::-1]
    height, wide = patch.shape[:2]
    columns = np.arange(wide, dtype=np.float32)
    top, bottom = (np.interp(columns, *part.T).astype(np.float32) for part in (upper, lower))
    opening = np.maximum(bottom - top, PAINTED_LEAST * width)

    def row(y: FloatArray) -> FloatArray:
        """The patch at heights y (w,), one for each column: (1, w, 3)."""
        at = np.clip(y, 0, height - 1)[None].astype(np.float32)
        return np.asarray(cv2.remap(patch, columns[None], at, cv2.INTER_LINEAR), np.float32)

    edge = row(top)[0]
    dark = edge[np.argsort(edge.sum(1))[: max(1, wide // DARKEST)]].mean(0)
    down = (np.arange(height, dtype=np.float32)[:, None] - top) / opening
    line = np.clip(1 - np.abs(down - LASH_AT) / LASH_REACH, 0, 1)[..., None]
    above, below = row(top - SKIN_ABOVE * opening), row(bottom + SKIN_BELOW * opening)
    skin = np.where((down < LASH_AT)[..., None], above, below)
    painted = skin + (dark - skin) * line
    soft = max(LASH_SOFT_LEAST, LASH_SOFT * width)
    cover = polygon_mask(_scaled(contour, COVERED_OPENING), (0, 0, wide, height), soft)
    return np.asarray(patch + (painted - patch) * cover[..., None], np.uint8)


def shut_eye(image: Image, eye: Eye, points: FloatArray, map_x: FloatArray, map_y: FloatArray) -> None:
    """Draw the lids of a shutting eye so that they meet in a line of lashes, in place.

    Between two lids that touch, the warp's maps jump over the whole eye, and pixels there would show it.

    Args:
        image: (H, W, 3) uint8, the warped picture.
        eye: The portrait's eye.
        points: (478, 2), the target's landmarks in pixels of `image`.
        map_x: (H, W), x of each pixel's source in the portrait.
        map_y: (H, W), y of each pixel's source.
    """
    contour = points[eye.ring]
    shut = 1 - _openness(eye, _opening_height(contour))
    if shut <= 0:
        return
    width = _eye_width(contour)
    box = patch_box(contour, SHUT_MARGIN * width, image.shape)
    if box is None:
        return
    part = (slice(box[1], box[3]), slice(box[0], box[2]))
    at = (map_x[part] - eye.corner[0], map_y[part] - eye.corner[1])
    lids = cv2.remap(eye.lashes, *at, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    middle = (contour[OUTER] + contour[INNER]) / 2 - box[:2]
    across, down = SHUT_ELLIPSE
    x = (np.arange(lids.shape[1], dtype=np.float32) - middle[0]) / (across * width)
    y = (np.arange(lids.shape[0], dtype=np.float32) - middle[1]) / (down * width)
    near = np.sqrt(x * x + (y * y)[:, None])
    blend(image, box, np.asarray(lids, np.uint8), shut * np.clip((1 - near) / SHUT_FADE, 0, 1))


def paint_eye(image: Image, eye: Eye, points: FloatArray) -> None:
    """Paint the eyeball between the target's lids, in place; points (478, 2) in pixels of `image`."""
    contour = points[eye.ring]
    height = _opening_height(contour)
    box = patch_box(contour, EDGE_MARGIN, image.shape)
    openness = _openness(eye, height)
    if box is None or openness <= 0:
        return
    moved = dist(_backwards(eye, contour, points[eye.iris]), eye.centre.tolist())
    if abs(height - eye.height) < UNCHANGED * eye.height and moved < UNCHANGED * eye.radius:
        return
    alpha = polygon_mask(_scaled(contour, SHOWN_OPENING), box, EDGE_SOFT)
    map_x, map_y = _eyeball_maps(eye, contour, points[eye.iris], box)
    content = cv2.remap(eye.texture, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    blend(image, box, np.asarray(content, np.float32), alpha if openness == 1 else alpha * openness)


def _openness(eye: Eye, height: float) -> float:
    """1 while the eye is open, falling to 0 as its lids meet; height: of the opening in pixels."""
    return min(max((height / eye.height - SHUT) / OPENS, 0.0), 1.0)


def _similarity(eye: Eye, contour: FloatArray) -> tuple[complex, complex]:
    """The similarity from target to portrait by the eye's corners: z * a + b over complex points."""
    # Plain numbers: arrays of two take ten times as long.
    outer, inner = (complex(*point) for point in (contour[OUTER].tolist(), contour[INNER].tolist()))
    outer_end, inner_end = (complex(*point) for point in eye.ends.tolist())
    a = (inner_end - outer_end) / (inner - outer + EPSILON)
    return a, outer_end - a * outer


def _backwards(eye: Eye, contour: FloatArray, point: FloatArray) -> tuple[float, float]:
    """The x and y of a point (2,) of the target in pixels of the portrait."""
    a, b = _similarity(eye, contour)
    z = a * complex(*point.tolist()) + b
    return z.real, z.imag


def _eyeball_maps(
    eye: Eye, contour: FloatArray, iris: FloatArray, box: tuple[int, int, int, int]
) -> tuple[FloatArray, FloatArray]:
    """The source, x and y, of each pixel of the box in the eyeball texture: rigid at the iris, still at the corners."""
    a, b = _similarity(eye, contour)
    x = np.arange(box[0], box[2], dtype=np.float32)
    y = np.arange(box[1], box[3], dtype=np.float32)[:, None]
    source_x = (a.real * x + b.real) - a.imag * y
    source_y = (a.imag * x + b.imag) + a.real * y
    seen_x, seen_y = _backwards(eye, contour, iris)
    far = cv2.magnitude(source_x - seen_x, source_y - seen_y)
    hold = eased(np.clip((STILL - far * (1 / eye.radius)) * (1 / LETS_GO), 0, 1))
    shift_x, shift_y = float(eye.centre[0]) - seen_x, float(eye.centre[1]) - seen_y
    source_x += shift_x * hold - eye.corner[0]
    source_y += shift_y * hold - eye.corner[1]
    return source_x, source_y
