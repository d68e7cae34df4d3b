"""The refiner's input: the face aligned to a crop of one place and size, with pictures and geometry as channels.

Inference and training share this module, so that the network sees the same crop in both.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import log

import cv2
import numpy as np
import numpy.typing as npt

from gioconda.assets import asset_path
from gioconda.engines import affine
from gioconda.engines.affine import Box, moved
from gioconda.engines.warp.mesh import load_topology
from gioconda.engines.warp.mouth import Fill
from gioconda.types import FloatArray, Image

# Pixels of the crop: 1.6 by 2 inter-ocular distances, from the brows to an open jaw.
WIDTH, HEIGHT = 128, 160
# Pixels an inter-ocular distance.
UNIT = 80
# The place in the crop of the point between the outer eye corners, in pixels.
ORIGIN = (64.0, 40.0)
# Landmarks that an opening jaw moves little.
STEADY = np.array([33, 133, 362, 263, 168, 6, 197, 195, 4, 98, 327, 61, 291])
BROWS = ((70, 63, 105, 66, 107), (300, 293, 334, 296, 336))
# The centre of each iris, and a point of its rim.
IRISES = ((468, 469), (473, 474))
# Fractional bits of drawn points.
SUBPIXEL = 4

# Inter-ocular units around lips and lids that may be repaired.
MOUTH_REACH, EYE_REACH = 0.24, 0.14
# Inter-ocular units (sigma) over which the window fades out.
EDGE = 0.07
# Inter-ocular units around the lids that belong to them, and pixels of the crop over which this fades out.
LID_REACH, LID_FADE = 0.08, 7
# Rows of the crop in which only light may change: a network would give eyes the colours of other people's.
EYE_ROWS = 70
# Radii around an iris that stay as the warp has them, since nothing is sharper.
IRIS_REACH = 1.25
# Grey level of the brows' lines, fainter than the other contours.
BROW_TONE = 160
# Pixels at the border of the crop that stay unchanged, and the window over which this fades.
BORDER, BORDER_FADE = 8, 13
# Powers of two of the warp's change of area at which the channel saturates.
STRETCH_MOST = 2.0

# Channels of the network's input: three pictures, then geometry.
WARPED, REFERENCE, LAST = slice(0, 3), slice(3, 6), slice(6, 9)
OPENING, LINES, STRETCH, FILL, WINDOW = range(9, 14)
CHANNELS = 14

# Values of the fill's channel: a modelled mouth, a mouth borrowed from the driver.
FILL_MODEL, FILL_BORROWED = 0.5, 1.0


@dataclass(frozen=True)
class Geometry:
    """What the network knows of a crop apart from its pictures, (HEIGHT, WIDTH) float32 each.

    Attributes:
        openings: 1 between lids and between lips.
        lines: Contours of the target's landmarks, 0 to 1.
        stretch: log2 of the warp's change of area over STRETCH_MOST, -1 to 1, negative where pixels were torn apart.
        fill: 0 where the portrait's own pixels are, else FILL_MODEL or FILL_BORROWED times the coverage.
        window: 1 where the network may change the picture.
    """

    openings: FloatArray
    lines: FloatArray
    stretch: FloatArray
    fill: FloatArray
    window: FloatArray


@lru_cache(maxsize=1)
def _steady_targets() -> npt.NDArray[np.complex128]:
    """The places of STEADY in the crop, as complex numbers."""
    with np.load(asset_path("expression_basis.npz"), allow_pickle=False) as data:
        points = data["neutral"][STEADY, :2].astype(np.float64) * UNIT + ORIGIN
    return np.asarray(points @ np.array([1.0, 1.0j]), np.complex128)


def alignment(landmarks: FloatArray) -> FloatArray:
    """Fit the similarity that brings a face into the crop.

    Args:
        landmarks: (478, 2 or more), in pixels of the picture.

    Returns:
        (2, 3) float32, from the picture's pixels to the crop's.
    """
    target = _steady_targets()
    source = landmarks[STEADY, :2].astype(np.float64) @ np.array([1.0, 1.0j])
    centred = source - source.mean()
    turn = (centred.conj() @ (target - target.mean())) / max(float((np.abs(centred) ** 2).sum()), 1e-9)
    shift = target.mean() - turn * source.mean()
    return np.array([[turn.real, -turn.imag, shift.real], [turn.imag, turn.real, shift.imag]], np.float32)


def cut(image: Image, matrix: FloatArray) -> Image:
    """Crop a picture under a map (2, 3): (HEIGHT, WIDTH, 3) uint8, averaged first where the picture is much larger."""
    return affine.cut(image, matrix, (WIDTH, HEIGHT))


def crop_box(matrix: FloatArray, shape: tuple[int, ...]) -> Box | None:
    """The box of a picture of `shape` (H, W, ...) that the crop shows; None where it shows nothing of the picture."""
    return affine.shown_box(matrix, (WIDTH, HEIGHT), shape)


def geometry(points: FloatArray, stretch: FloatArray, fill: FloatArray) -> Geometry:
    """Draw all channels that depend on the target's landmarks.

    Args:
        points: (478, 2), in pixels of the crop.
        stretch: (HEIGHT, WIDTH), of `stretch_of`.
        fill: (HEIGHT, WIDTH), of `fill_of`.
    """
    return Geometry(_openings(points), _lines(points), stretch, fill, _window(points))


def _drawn(points: FloatArray) -> npt.NDArray[np.int32]:
    """Points as whole numbers with SUBPIXEL fractional bits."""
    return np.asarray(np.rint(points * (1 << SUBPIXEL)), np.int32)


def _openings(points: FloatArray) -> FloatArray:
    """1 between lids and between lips, (HEIGHT, WIDTH)."""
    topology = load_topology()
    canvas = np.zeros((HEIGHT, WIDTH), np.uint8)
    for ring in (topology.inner_lips, topology.right_eye, topology.left_eye):
        cv2.fillPoly(canvas, [_drawn(points[ring])], (255,), cv2.LINE_AA, SUBPIXEL)
    return canvas.astype(np.float32) / np.float32(255)


def _lines(points: FloatArray) -> FloatArray:
    """The contours of lips, lids, face, brows and irises, (HEIGHT, WIDTH), 0 to 1."""
    topology = load_topology()
    canvas = np.zeros((HEIGHT, WIDTH), np.uint8)
    closed = (topology.outer_lips, topology.inner_lips, topology.right_eye, topology.left_eye, topology.oval)
    rings = [_drawn(points[ring]) for ring in closed]
    cv2.polylines(canvas, rings, True, (255,), 1, cv2.LINE_AA, SUBPIXEL)
    brows = [_drawn(points[list(brow)]) for brow in BROWS]
    cv2.polylines(canvas, brows, False, (BROW_TONE,), 1, cv2.LINE_AA, SUBPIXEL)
    for centre, rim in IRISES:
        at, size = _drawn(points[centre]), round(iris_radius(points, centre, rim) * (1 << SUBPIXEL))
        cv2.circle(canvas, (int(at[0]), int(at[1])), size, (255,), 1, cv2.LINE_AA, SUBPIXEL)
    return canvas.astype(np.float32) / np.float32(255)


def iris_radius(points: FloatArray, centre: int, rim: int) -> float:
    """The radius of an iris of IRISES, in pixels of the crop, at least 1."""
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
        _fill_grown(canvas, points[ring], reach)
    # Of 8 bits, OpenCV's own Gaussian blur takes ten times as long; results differ by a level at most.
    soft = cv2.sepFilter2D(canvas, -1, _edge_kernel(), _edge_kernel())
    window = cv2.multiply(soft, _soft_border(), scale=1 / 255)
    window = cv2.multiply(window, cv2.bitwise_not(_seen_irises(points)), scale=1 / 255)
    return np.asarray(window, np.float32) / np.float32(255)


def _fill_grown(canvas: Image, ring: FloatArray, reach: float) -> None:
    """Write 255 into a canvas within a ring's hull, points (N, 2), and `reach` inter-ocular units around it."""
    hull = np.rint(cv2.convexHull(ring)).astype(np.int32)
    cv2.fillConvexPoly(canvas, hull, (255,))
    cv2.polylines(canvas, [hull], True, (255,), round(2 * reach * UNIT))


def lids(points: FloatArray) -> FloatArray:
    """1 on eyes and lids and right beside them, 0 on the skin around, (HEIGHT, WIDTH); points: as for `geometry`."""
    topology = load_topology()
    canvas = np.zeros((HEIGHT, WIDTH), np.uint8)
    for ring in (topology.right_eye, topology.left_eye):
        _fill_grown(canvas, points[ring], LID_REACH)
    return np.asarray(cv2.blur(canvas, (LID_FADE, LID_FADE)), np.float32) / np.float32(255)


@lru_cache(maxsize=1)
def _soft_border() -> Image:
    """255 within the crop, fading to 0 towards its border, (HEIGHT, WIDTH) uint8."""
    frame = np.zeros((HEIGHT, WIDTH), np.uint8)
    frame[BORDER:-BORDER, BORDER:-BORDER] = 255
    return np.asarray(cv2.blur(frame, (BORDER_FADE, BORDER_FADE)), np.uint8)


@lru_cache(maxsize=1)
def _edge_kernel() -> FloatArray:
    """The taps (K, 1) float32 of a Gaussian with EDGE's sigma, as far as three sigmas."""
    sigma = EDGE * UNIT
    return np.asarray(cv2.getGaussianKernel(round(6 * sigma + 1) | 1, sigma, cv2.CV_32F), np.float32)


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
    """Measure how the warp changes areas.

    Args:
        map_x: (h, w), x of each pixel's source in the portrait.
        map_y: (h, w), y of each pixel's source.
        matrix: (2, 3), from the pixels of the maps to those of the crop.

    Returns:
        (HEIGHT, WIDTH) float32, log2 of the portrait's area in a pixel of the crop, over STRETCH_MOST, -1 to 1.
    """
    size = (WIDTH, HEIGHT)
    x, y = (cv2.warpAffine(m, matrix, size, borderMode=cv2.BORDER_REPLICATE) for m in (map_x, map_y))
    slopes = [cv2.Sobel(m, cv2.CV_32F, dx, 1 - dx, ksize=3, scale=1 / 8) for m in (x, y) for dx in (1, 0)]
    area = slopes[0] * slopes[3] - slopes[1] * slopes[2]
    (a, b), (c, d) = matrix[:, :2].tolist()
    area *= a * d - b * c
    # What is turned over counts as torn apart.
    np.clip(area, 2.0**-STRETCH_MOST, 2.0**STRETCH_MOST, out=area)
    # OpenCV's logarithm takes a quarter of numpy's time.
    logs = np.asarray(cv2.log(area), np.float32)
    logs *= 1 / (log(2) * STRETCH_MOST)
    return logs


def fill_of(fill: Fill | None, matrix: FloatArray) -> FloatArray:
    """The fill's channel, (HEIGHT, WIDTH) float32; matrix: (2, 3), from the filled array to the crop."""
    if fill is None:
        return np.zeros((HEIGHT, WIDTH), np.float32)
    there = cv2.warpAffine(fill.alpha, moved(matrix, fill.box[:2]), (WIDTH, HEIGHT))
    return np.asarray(there, np.float32) * (FILL_BORROWED if fill.borrowed else FILL_MODEL)


def stack(
    warped: Image, reference: Image, last: FloatArray | None, channels: Geometry
) -> npt.NDArray[np.float32]:
    """Stack pictures and geometry to the network's input.

    Args:
        warped: (HEIGHT, WIDTH, 3) uint8, the warped crop.
        reference: (HEIGHT, WIDTH, 3) uint8, a crop of the person.
        last: (3, HEIGHT, WIDTH) float32, -1 to 1, the refined crop of the frame before; None at the start.
        channels: The geometry of the crop.

    Returns:
        (1, CHANNELS, HEIGHT, WIDTH) float32; pictures are in -1 to 1.
    """
    planes = np.zeros((1, CHANNELS, HEIGHT, WIDTH), np.float32)
    planes[0, WARPED] = warped.transpose(2, 0, 1)
    planes[0, REFERENCE] = reference.transpose(2, 0, 1)
    planes[0, 0:6] *= 1 / 127.5
    planes[0, 0:6] -= 1
    if last is not None:
        planes[0, LAST] = last
    for k, plane in enumerate(
        (channels.openings, channels.lines, channels.stretch, channels.fill, channels.window)
    ):
        planes[0, OPENING + k] = plane
    return planes
