"""The face brought to one place and size, and what the refiner is told of it: pictures and geometry in one crop.

Shared by use and training, so that a network sees in both the same crop.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

from gioconda.engines import affine
from gioconda.engines.affine import Box, moved
from gioconda.engines.warp.mesh import load_topology
from gioconda.engines.warp.mouth import Fill
from gioconda.types import FloatArray, Image
from gioconda.weights import asset_path

WIDTH, HEIGHT = 128, 160  # pixels of the crop: 1.6 by 2 inter-ocular distances, from the brows to an open jaw
UNIT = 80  # pixels an inter-ocular distance
ORIGIN = (64.0, 40.0)  # where the point between the outer eye corners lies
# of the landmarks, what a jaw that opens moves little
STEADY = np.array([33, 133, 362, 263, 168, 6, 197, 195, 4, 98, 327, 61, 291])
BROWS = ((70, 63, 105, 66, 107), (300, 293, 334, 296, 336))
IRISES = ((468, 469), (473, 474))  # centre, and a point of the rim
SUBPIXEL = 4  # fractional bits of drawn points

MOUTH_REACH, EYE_REACH = 0.24, 0.14  # inter-ocular units around lips and lids that may be repaired
EDGE = 0.07  # over which that fades out
EYE_ROWS = 70  # of the crop, where light alone may change: a network lends eyes the colours of other people's
IRIS_REACH = 1.25  # radii around an iris that keep the photo's own: the warp moves it, and none is sharper
STRETCH_MOST = 2.0  # powers of two of the warp's area that are told apart

# Channels of the network's input: three pictures, then geometry.
WARPED, REFERENCE, LAST = slice(0, 3), slice(3, 6), slice(6, 9)
OPENING, LINES, STRETCH, FILL, WINDOW = range(9, 14)
CHANNELS = 14

FILL_MODEL, FILL_BORROWED = 0.5, 1.0  # what the fill's channel says of its source


@dataclass(frozen=True)
class Geometry:
    """What is known of a crop without seeing it, each (HEIGHT, WIDTH) float32.

    openings: 1 between lids and between lips. lines: contours. stretch: log2 of the warp's change of area over
    STRETCH_MOST, -1..1, negative where pixels were torn apart. fill: 0 where the portrait's own pixels are,
    else FILL_MODEL or FILL_BORROWED by coverage. window: 1 where the network may change the picture.
    """

    openings: FloatArray
    lines: FloatArray
    stretch: FloatArray
    fill: FloatArray
    window: FloatArray


@lru_cache(maxsize=1)
def _steady_targets() -> npt.NDArray[np.complex128]:
    with np.load(asset_path("expression_basis.npz"), allow_pickle=False) as data:
        points = data["neutral"][STEADY, :2].astype(np.float64) * UNIT + ORIGIN
    return np.asarray(points @ np.array([1.0, 1.0j]), np.complex128)


def alignment(landmarks: FloatArray) -> FloatArray:
    """The turn, scale and shift (2, 3) that take points of a picture into the crop; landmarks (478, 2 or more)."""
    target = _steady_targets()
    source = landmarks[STEADY, :2].astype(np.float64) @ np.array([1.0, 1.0j])
    centred = source - source.mean()
    turn = (centred.conj() @ (target - target.mean())) / max(float((np.abs(centred) ** 2).sum()), 1e-9)
    shift = target.mean() - turn * source.mean()
    return np.array([[turn.real, -turn.imag, shift.real], [turn.imag, turn.real, shift.imag]], np.float32)


def cut(image: Image, matrix: FloatArray) -> Image:
    """The crop (HEIGHT, WIDTH, 3) of a picture; averaged first where it is much larger."""
    return affine.cut(image, matrix, (WIDTH, HEIGHT))


def crop_box(matrix: FloatArray, shape: tuple[int, ...]) -> Box | None:
    """Whole-pixel box of the picture that the crop shows; None if nothing of it is there."""
    return affine.shown_box(matrix, (WIDTH, HEIGHT), shape)


def geometry(points: FloatArray, stretch: FloatArray, fill: FloatArray) -> Geometry:
    """All channels that tell of the target's landmarks, points (478, 2) in the crop."""
    return Geometry(_openings(points), _lines(points), stretch, fill, _window(points))


def _drawn(points: FloatArray) -> npt.NDArray[np.int32]:
    return np.asarray(np.rint(points * (1 << SUBPIXEL)), np.int32)


def _openings(points: FloatArray) -> FloatArray:
    topology = load_topology()
    canvas = np.zeros((HEIGHT, WIDTH), np.uint8)
    for ring in (topology.inner_lips, topology.right_eye, topology.left_eye):
        cv2.fillPoly(canvas, [_drawn(points[ring])], (255,), cv2.LINE_AA, SUBPIXEL)
    return canvas.astype(np.float32) / 255


def _lines(points: FloatArray) -> FloatArray:
    topology = load_topology()
    canvas = np.zeros((HEIGHT, WIDTH), np.uint8)
    closed = (topology.outer_lips, topology.inner_lips, topology.right_eye, topology.left_eye, topology.oval)
    rings = [_drawn(points[ring]) for ring in closed]
    cv2.polylines(canvas, rings, True, (255,), 1, cv2.LINE_AA, SUBPIXEL)
    brows = [_drawn(points[list(brow)]) for brow in BROWS]
    cv2.polylines(canvas, brows, False, (160,), 1, cv2.LINE_AA, SUBPIXEL)
    for centre, rim in IRISES:
        at, size = _drawn(points[centre]), round(iris_radius(points, centre, rim) * (1 << SUBPIXEL))
        cv2.circle(canvas, (int(at[0]), int(at[1])), size, (255,), 1, cv2.LINE_AA, SUBPIXEL)
    return canvas.astype(np.float32) / 255


def iris_radius(points: FloatArray, centre: int, rim: int) -> float:
    """Of an iris of IRISES, pixels of the crop, at least 1."""
    return max(float(np.linalg.norm(points[rim] - points[centre])), 1.0)


def _window(points: FloatArray) -> FloatArray:
    """1 on lips and lids and close around them, 0 on irises and elsewhere: brush strokes are never touched."""
    topology = load_topology()
    canvas = np.zeros((HEIGHT, WIDTH), np.uint8)
    for ring, reach in (
        (topology.outer_lips, MOUTH_REACH),
        (topology.right_eye, EYE_REACH),
        (topology.left_eye, EYE_REACH),
    ):
        hull = np.rint(cv2.convexHull(points[ring])).astype(np.int32)
        cv2.fillConvexPoly(canvas, hull, (255,))
        cv2.polylines(canvas, [hull], True, (255,), round(2 * reach * UNIT))
    soft = cv2.GaussianBlur(canvas, (0, 0), EDGE * UNIT)
    frame = np.zeros_like(canvas)
    frame[8:-8, 8:-8] = 255
    window = cv2.multiply(soft, cv2.blur(frame, (13, 13)), scale=1 / 255)
    window = cv2.multiply(window, cv2.bitwise_not(_seen_irises(points)), scale=1 / 255)
    return np.asarray(window, np.float32) / 255


def _seen_irises(points: FloatArray) -> npt.NDArray[np.uint8]:
    """255 where an iris and its rim show between the lids, (HEIGHT, WIDTH)."""
    topology = load_topology()
    irises, between = (np.zeros((HEIGHT, WIDTH), np.uint8) for _ in range(2))
    for centre, rim in IRISES:
        x, y = _drawn(points[centre])
        radius = round(IRIS_REACH * iris_radius(points, centre, rim) * (1 << SUBPIXEL))
        cv2.circle(irises, (int(x), int(y)), radius, (255,), -1, cv2.LINE_AA, SUBPIXEL)
    for ring in (topology.right_eye, topology.left_eye):
        cv2.fillPoly(between, [_drawn(points[ring])], (255,), cv2.LINE_AA, SUBPIXEL)
    return np.asarray(cv2.blur(cv2.min(irises, between), (3, 3)), np.uint8)


def stretch_of(map_x: FloatArray, map_y: FloatArray, matrix: FloatArray) -> FloatArray:
    """log2 of the area that a crop's pixel takes from the portrait, over STRETCH_MOST: -1..1, (HEIGHT, WIDTH).

    map_x, map_y: (h, w), the portrait's pixel shown by each pixel of an array that `matrix` takes to the crop.
    """
    size = (WIDTH, HEIGHT)
    x, y = (cv2.warpAffine(m, matrix, size, borderMode=cv2.BORDER_REPLICATE) for m in (map_x, map_y))
    slopes = [cv2.Sobel(m, cv2.CV_32F, dx, 1 - dx, ksize=3, scale=1 / 8) for m in (x, y) for dx in (1, 0)]
    area = slopes[0] * slopes[3] - slopes[1] * slopes[2]
    area *= float(np.linalg.det(matrix[:, :2]))
    logs = np.log2(np.maximum(np.abs(area), 2.0**-STRETCH_MOST)) / STRETCH_MOST
    return np.asarray(np.where(area > 0, np.clip(logs, -1, 1), -1), np.float32)


def fill_of(fill: Fill | None, matrix: FloatArray) -> FloatArray:
    """The fill's channel (HEIGHT, WIDTH); matrix: from the array that was filled to the crop."""
    if fill is None:
        return np.zeros((HEIGHT, WIDTH), np.float32)
    there = cv2.warpAffine(fill.alpha, moved(matrix, fill.box[:2]), (WIDTH, HEIGHT))
    return np.asarray(there, np.float32) * (FILL_BORROWED if fill.borrowed else FILL_MODEL)


def stack(
    warped: Image, reference: Image, last: FloatArray | None, told: Geometry
) -> npt.NDArray[np.float32]:
    """The network's input (1, CHANNELS, HEIGHT, WIDTH) float32; pictures -1..1, `last` in the same range.

    last: (3, HEIGHT, WIDTH), the refined crop of the frame before, or None at the start.
    """
    planes = np.zeros((1, CHANNELS, HEIGHT, WIDTH), np.float32)
    planes[0, WARPED] = warped.transpose(2, 0, 1)
    planes[0, REFERENCE] = reference.transpose(2, 0, 1)
    planes[0, 0:6] *= 1 / 127.5
    planes[0, 0:6] -= 1
    if last is not None:
        planes[0, LAST] = last
    for k, plane in enumerate((told.openings, told.lines, told.stretch, told.fill, told.window)):
        planes[0, OPENING + k] = plane
    return planes
