"""The hairline of the side of a face that its portrait hides: the near side's, mirrored.

The mesh reaches up to the ears, but hair covers its border. Where the portrait shows hair beside the far cheek, and
hair covers the near side of the face at the same height, the face ends at the hairline.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from gioconda.engines.warp.background_warp import smoothstep
from gioconda.engines.warp.mesh import IntArray, load_topology
from gioconda.engines.warp.outline import face_axes, neutral_oval, outwards, oval_sides, smoothed_along
from gioconda.engines.warp.visibility import continued, layout
from gioconda.engines.warp.wrinkles import SIDE, cosines
from gioconda.landmarks import inter_ocular
from gioconda.types import FloatArray, Portrait

# Distances outside the outline at which colours are sampled, in inter-ocular units.
BESIDE = np.arange(0.06, 0.36, 0.04, dtype=np.float32)
# The number of them, from the outline on, that show what covers the border.
CLOSE = 4
# Height in the neutral face above which the colour beside the outline is the hair's.
UPPER = 0.2
# Samples that it takes to measure the hair's colour.
SAMPLES = 8
# Height in the neutral face down to which hair beside a cheek is sought.
LOWEST = 0.95
# Share of the person's mask from which a pixel is the person's.
PERSON = 0.7
# Log ratios from which hair and skin are distinct.
DISTINCT = (0.6, 0.9)
# Share of the difference from skin to hair from which a pixel is hair.
LIKE_HAIR = (0.55, 0.75)
# Cosine from which the near side is seen well enough.
WELL_SEEN = (0.2, 0.4)
# Share of the layout's width that hair covers at most, on one side.
WIDEST = 0.14
# Pixels of the layout, up and down, within which gaps of a hairline are closed.
DIP = 25
# Pixels of the layout (sigma), up and down, by which the hairline is smoothed.
SMOOTH = 5.0
# Pixels of the layout that hair covers at its widest, below which there is none.
LEAST = 1.5
# Distance of seen skin from the border, in widths of the hair, from which both sides may be alike.
ROOM = (1.0, 1.6)
# Cosine from which the hairline begins to be the face's outline, and from which it is wholly.
FACES = (0.05, 0.35)
# Share of the layout's width, to each side of the middle, where a face shows its skin.
CENTRE = 0.2
# Cosine of the surface from which its skin's colour is measured.
SKIN_SEEN = (0.4, 0.6)
# Share of the hair beside the outline from which it counts for a row of the layout.
EVIDENCE = (0.3, 0.7)
# Grey levels added before logarithms, so that noise in shadows weighs little.
DARK = 8.0


@dataclass(frozen=True)
class Hairline:
    """The hairline of the hidden side, for each of the K points of the mesh's border.

    Attributes:
        corners: (K, 3) int32, points of the mesh around the hairline.
        weights: (K, 3) float32, their barycentric weights.
        share: (K,) float32, 0 where no hair covers the border, to 1.
        side: -1 where the viewer's left side is hidden, else 1.
    """

    corners: IntArray
    weights: FloatArray
    share: FloatArray
    side: int


@dataclass(frozen=True)
class Hair:
    """How much each part of a face looks like the portrait's hair, 0 to 1.

    Attributes:
        near: (SIDE, SIDE), on the layout, like the hair of the near side.
        far: (SIDE, SIDE), on the layout, like the hair of the far side.
        beside: (K,), outside the far side's outline.
    """

    near: FloatArray
    far: FloatArray
    beside: FloatArray


def hair_of(
    portrait: Portrait, contour: FloatArray, colours: FloatArray, seen: FloatArray, far: int
) -> Hair | None:
    """Find where a portrait shows hair.

    Args:
        portrait: The portrait, with the person's mask.
        contour: (K, 3), the outline of its face, in pixels.
        colours: (SIDE, SIDE, 3), the unwrapped portrait, 0 to 255.
        seen: (SIDE, SIDE), its visibility.
        far: -1 where the viewer's left side is hidden, else 1.

    Returns:
        The hair; None where the portrait shows none beside both sides of the face.
    """
    if portrait.person is None:
        return None
    flat, soft = layout(), np.asarray(cv2.GaussianBlur(np.log(colours + DARK), (0, 0), 1.0), np.float32)
    aside = np.abs(np.arange(SIDE) - (SIDE - 1) / 2) / SIDE
    weight = smoothstep(*SKIN_SEEN, seen) * flat.skin * (aside < CENTRE)
    skin = continued(soft, np.asarray(weight, np.float32))
    middle = np.asarray(skin[flat.skin > 0].mean(0), np.float32)
    logs, person = _beside(portrait, contour)
    unlike = person & (np.linalg.norm(logs - middle, axis=-1) > DISTINCT[0])
    side, height = oval_sides()[0], neutral_oval()[:, 1]
    near, own = (_tone(logs, unlike & ((side == s) & (height < UPPER))[:, None]) for s in (-far, far))
    if near is None or own is None:
        return None
    beside = np.where(unlike, _likeness(logs, middle, own), 0)[:, :CLOSE].mean(1)
    beside = beside * (height < LOWEST) * (side == far)
    return Hair(_likeness(soft, skin, near), _likeness(soft, skin, own), np.asarray(beside, np.float32))


def find_hairline(hair: Hair, seen: FloatArray, far: int) -> Hairline | None:
    """Find the hairline of a portrait's hidden side.

    Args:
        hair: The portrait's hair.
        seen: (SIDE, SIDE), its visibility.
        far: -1 where the viewer's left side is hidden, else 1.

    Returns:
        The hairline; None where hair covers nothing of that side.
    """
    well = smoothstep(*WELL_SEEN, seen) * layout().plain
    near = np.ascontiguousarray((hair.near * well)[:, ::-1])
    width = _width(near, (1 - hair.far) * well, far) * _by_row(hair.beside, oval_sides()[0] == far)
    return None if width.max() < LEAST else _on_mesh(width, far)


def _beside(portrait: Portrait, contour: FloatArray) -> tuple[FloatArray, npt.NDArray[np.bool_]]:
    """Log colours (K, N, 3) outside the outline, and whether the person is there, (K, N)."""
    unit = inter_ocular(portrait.face.landmarks)
    line = contour[:, None, :2] + outwards(contour)[:, None] * (unit * BESIDE[:, None])
    at = line.astype(np.float32)
    person = np.asarray(portrait.person, np.float32)
    colours = cv2.remap(
        portrait.image, at[..., 0], at[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    there = cv2.remap(person, at[..., 0], at[..., 1], cv2.INTER_LINEAR)
    return np.log(colours.astype(np.float32) + np.float32(DARK)), np.asarray(there > PERSON)


def _tone(logs: FloatArray, mine: npt.NDArray[np.bool_]) -> FloatArray | None:
    """The median colour (3,) of the samples in a mask, None where there are too few."""
    if mine.sum() < SAMPLES:
        return None
    return np.asarray(np.median(logs[mine], axis=0), np.float32)


def _likeness(logs: FloatArray, skin: FloatArray, hair: FloatArray) -> FloatArray:
    """How much log colours (..., 3) look like hair rather than skin, 0 to 1."""
    axis = hair - skin
    length = np.linalg.norm(axis, axis=-1)
    way = ((logs - skin) * axis).sum(-1) / np.maximum(length, 1e-3) ** 2
    likeness = smoothstep(*LIKE_HAIR, np.asarray(way, np.float32))
    return np.asarray(likeness * smoothstep(*DISTINCT, np.asarray(length, np.float32)), np.float32)


def _width(hair: FloatArray, skin: FloatArray, far: int) -> FloatArray:
    """Pixels from the layout's border that hair covers on the hidden side, by row, (SIDE,).

    Args:
        hair: (SIDE, SIDE), of the near side, mirrored.
        skin: (SIDE, SIDE), where the far side shows its skin.
        far: -1 where the viewer's left side is hidden, else 1.
    """
    # columns run from the border inwards
    face, hair, skin = (values[:, ::far][:, ::-1] for values in (layout().face, hair, skin))
    from_border = np.cumsum(face, axis=1)
    width = (hair * (face > 0) * (from_border <= WIDEST * SIDE)).sum(1, keepdims=True).astype(np.float32)
    # eyes and brows hide nothing of a hairline that goes on above and below them
    closed = cv2.morphologyEx(cv2.medianBlur(width, 5), cv2.MORPH_CLOSE, np.ones((DIP, 1)))
    width = np.asarray(closed, np.float32)
    # skin beside the place where hair would begin: the sides of this head are not alike
    room = np.where((skin > 0.5) & (face > 0), from_border, SIDE).min(1, keepdims=True)
    covered = width > LEAST
    if not covered.any():
        return np.zeros(SIDE, np.float32)
    alike = smoothstep(*ROOM, np.float32((room / np.maximum(width, 1))[covered].min()))
    return np.asarray(cv2.GaussianBlur(width * alike, (0, 0), SMOOTH)[:, 0], np.float32)


def _by_row(evidence: FloatArray, mine: npt.NDArray[np.bool_]) -> FloatArray:
    """The evidence (K,) of the outline's points on one side, for each row of the layout, (SIDE,)."""
    heights = layout().points[load_topology().oval[mine], 1]
    order = np.argsort(heights)
    rows = np.interp(np.arange(SIDE), heights[order], evidence[mine][order]).astype(np.float32)[:, None]
    return smoothstep(*EVIDENCE, np.asarray(cv2.GaussianBlur(rows, (0, 0), SMOOTH), np.float32)[:, 0])


def _on_mesh(width: FloatArray, far: int) -> Hairline:
    """The hairline on the mesh, from its distance (SIDE,) to the layout's border, in pixels by row."""
    flat, topology = layout(), load_topology()
    border = flat.points[topology.oval]
    side, share = oval_sides()
    wide = np.interp(border[:, 1], np.arange(SIDE), width) * share * (side == far)
    # the border itself may lie between pixels
    at = border + np.stack([-far * (wide + 1), np.zeros_like(wide)], -1)
    x, y = np.clip(np.rint(at), 0, SIDE - 1).astype(int).T
    triangle = np.maximum(flat.index[y, x] - 1, 0)
    corners = topology.triangles[triangle]
    a, b, c = flat.points[corners].transpose(1, 0, 2)
    total = _twice_area(b - a, c - a)
    weights = np.stack(
        [_twice_area(b - at, c - at), _twice_area(c - at, a - at), _twice_area(a - at, b - at)], 1
    )
    on_face = (flat.index[y, x] > 0) & (wide > 0)
    covered = smoothstep(0, LEAST, np.asarray(wide, np.float32)) * on_face
    return Hairline(corners, (weights / total[:, None]).astype(np.float32), covered, far)


def _twice_area(u: FloatArray, v: FloatArray) -> FloatArray:
    """The signed area (K,) of the parallelograms between vectors (K, 2)."""
    return np.asarray(u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0], np.float32)


def at_hairline(hairline: Hairline, landmarks: FloatArray, contour: FloatArray) -> FloatArray:
    """Move a face's outline in to the hairline, as far as the hairline faces the viewer.

    Args:
        hairline: The portrait's.
        landmarks: (468 or more, 3), the face at any moment, in pixels.
        contour: (K, 3), its outline.

    Returns:
        (K, 3), the outline.
    """
    across = face_axes(landmarks)[0]
    place = (landmarks[hairline.corners][..., :2] * hairline.weights[..., None]).sum(1)
    turned = smoothstep(*FACES, cosines(landmarks, hairline.corners))
    way = hairline.side * ((contour[:, :2] - place) @ across)
    shift = smoothed_along(np.maximum(way, 0) * hairline.share * turned)
    result = contour.copy()
    result[:, :2] -= hairline.side * shift[:, None] * across
    return result
