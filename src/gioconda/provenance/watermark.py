"""An invisible mark of 32 bits in the luma of every frame, which outlives re-encoding, resizing and cropping.

Spread spectrum (Cox et al., "Secure spread spectrum watermarking for multimedia", 1997) in a tile that repeats: one
band-limited noise pattern to find the tile by, and eight more, each moved to one of 251 places, so that the place is
a digit. The eight are a Reed-Solomon code of the payload's four. All frames have the same mark: any stretch tells.

Who reads this source can remove the mark or put it on a picture of their own: it informs, it does not prove.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import combinations, islice, product
from math import ceil, cos, radians, sin
from typing import Any, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt
from scipy import fft

from gioconda.provenance.payload import WatermarkReading, is_payload
from gioconda.types import FloatArray, Image

TILE = 128  # canonical pixels; two fit into a picture of 256
CANONICAL, MIDDLE = 512, 2048  # shorter sides above the first carry larger tiles; canonical pixels looked at
SMALLEST, SHRUNK = 64, 200  # pixels of the shorter side below which no mark is looked for, or a finer one
THRESHOLD = 7.93  # see `read_watermark` for the false alarms that it bounds
_SYMBOLS, _DATA, _PRIME = 8, 4, 251  # of the code; digits are below the prime
_PLACES, _STEP = 16, TILE // 16  # of each pattern, both ways, and the pixels between them
_BAND = (0.03, 0.12)  # cycles a canonical pixel: below, pictures are loud; above, codecs and resizing cut
_SYNC_WEIGHT, _GUESSES = 1.8, 2  # of the first pattern beside the others; digits tried at each position
_ANYWHERE, _ALONE = 0.94, 0.75  # deviations: what an unknown place costs, what digits may lack
# How tiles lie: matrix (3, 3) from canonical to the field's pixels, and how many down and across
_View: TypeAlias = tuple[npt.NDArray[np.float64], tuple[int, int]]
_STRENGTH, _FLAT, _BUSY = 2.3, 1, 3  # grey levels: deviation, and at most on plain and on textured ground


@lru_cache(maxsize=1)
def _band() -> tuple[npt.NDArray[np.int64], ...]:
    """Rows, columns and radii (K,) of the mark's bins in half a tile's spectrum."""
    rows, columns = np.fft.fftfreq(TILE, 1 / TILE), np.arange(TILE // 2 + 1)
    radius = np.hypot(rows[:, None], columns)
    y, x = np.nonzero((radius >= _BAND[0] * TILE) & (radius <= _BAND[1] * TILE))
    return rows[y].astype(np.int64), x, radius[y, x].astype(np.int64)


@lru_cache(maxsize=1)
def _patterns() -> tuple[FloatArray, Any]:
    """Nine patterns (9, TILE, TILE) of unit variance, the first to find the tile by, and their spectra (9, K)."""
    raw = np.frombuffer(hashlib.shake_256(b"gioconda luma 1").digest(9 * TILE * TILE), np.uint8)
    rows, columns, _ = _band()
    spectra = np.zeros((9, TILE, TILE // 2 + 1), np.complex128)
    spectra[:, rows, columns] = fft.rfft2(raw.reshape(9, TILE, TILE) - 127.5)[:, rows, columns]
    patterns = fft.irfft2(spectra)
    patterns /= patterns.std((1, 2), keepdims=True)
    return patterns.astype(np.float32), fft.rfft2(patterns)[:, rows, columns].astype(np.complex64)


@lru_cache(maxsize=1)
def _interpolators() -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Sets (70, 4) of positions, and for each the matrix (4, 8) from its digits to all eight, modulo _PRIME."""
    sets = np.array(list(combinations(range(_SYMBOLS), _DATA)))
    matrices = np.ones((len(sets), _DATA, _SYMBOLS), np.int64)
    for chosen, matrix in zip(sets, matrices, strict=True):
        for row, x in enumerate(chosen):
            for other in chosen[chosen != x]:  # Lagrange's basis
                factor = (np.arange(_SYMBOLS) - other) * pow(int(x - other), -1, _PRIME)
                matrix[row] = matrix[row] * factor % _PRIME
    return sets, matrices


def _tile(payload: int) -> FloatArray:
    """The mark of one payload, (TILE, TILE) float32 of unit variance."""
    digits = np.array([payload // _PRIME**i % _PRIME for i in range(_DATA)])
    code, patterns = digits @ _interpolators()[1][0] % _PRIME, _patterns()[0]
    tile = _SYNC_WEIGHT * patterns[0]
    for pattern, digit in zip(patterns[1:], code, strict=True):
        tile = tile + np.roll(pattern, np.array(divmod(int(digit), _PLACES)) * _STEP, (0, 1))
    return np.asarray(tile / tile.std(), np.float32)


class Watermarker:
    """Marks frames of one size with one payload; safe to use from several threads."""

    def __init__(self, size: tuple[int, int], payload: int) -> None:
        """size: (width, height) in pixels; payload: of `job_payload`."""
        if not is_payload(payload):
            raise ValueError(f"payload {payload:#x} was not made by job_payload")
        scale = max(1.0, min(size) / CANONICAL)
        repeats = tuple(int(side / scale / TILE) + 2 for side in size[::-1])
        to_tile = np.array([[scale, 0, 0], [0, scale, 0]], np.float32)
        tiles = np.tile(_tile(payload) * _STRENGTH, repeats)
        levels = np.rint(cv2.warpAffine(tiles, to_tile, size, flags=cv2.INTER_CUBIC))
        self.size = size
        self._up, self._down = (np.clip(sign * levels, 0, 255).astype(np.uint8) for sign in (1, -1))

    def apply(self, image: Image) -> Image:
        """A marked copy of `image`, (H, W, 3) uint8 RGB; the same is added to all three channels."""
        if image.shape != (self.size[1], self.size[0], 3):
            raise ValueError(f"image has shape {image.shape}, expected {(self.size[1], self.size[0], 3)}")
        limit = _local_limit(image)
        marked = cv2.add(image, cv2.cvtColor(cv2.min(self._up, limit), cv2.COLOR_GRAY2RGB))
        down = cv2.cvtColor(cv2.min(self._down, limit), cv2.COLOR_GRAY2RGB)
        return np.asarray(cv2.subtract(marked, down, dst=marked), np.uint8)


def _local_limit(image: Image) -> Image:
    """Grey levels that the ground hides, (H, W) uint8, from the texture of every fourth green sample."""
    sparse = np.ascontiguousarray(image[::4, ::4, 1])
    texture = cv2.blur(cv2.absdiff(sparse, cv2.blur(sparse, (5, 5))), (5, 5))
    texture = cv2.erode(texture, np.ones((5, 5), np.uint8))  # smooth ground beside one edge hides nothing
    limit = np.clip(texture, _FLAT, _BUSY)  # skin's own grain hides no more than plain ground does
    return np.asarray(cv2.resize(limit, image.shape[1::-1], interpolation=cv2.INTER_LINEAR), np.uint8)


def read_watermark(frames: Iterable[Image]) -> WatermarkReading:
    """Look for the mark in some seconds of video, or in one picture; frames (H, W, 3) uint8 RGB of one size.

    A payload is believed when its patterns together stand THRESHOLD deviations above the noise. If that is Gaussian,
    one plain file in 300,000 passes, of 2**26 payloads: all nine patterns at 5 * TILE**2 places of the common
    scales, 3.1e-19 each, and eight at the 24 places that the first one is searched with, 1.1e-15 each.
    """
    (field, count), best = _accumulate(frames), 0.0
    for spectrum, searched in () if field is None or not np.any(field) else _spectra(field):
        (score, payload), beneath = max(_decode(spectrum, searched))
        if score >= THRESHOLD:
            return WatermarkReading(payload, score, count, beneath)
        best = max(best, score)
    return WatermarkReading(None, best, count)


def _accumulate(frames: Iterable[Image]) -> tuple[FloatArray | None, int]:
    """The sum of what the frames hold beyond smooth content, evened out locally, and how many were used."""
    total: FloatArray | None = None
    count, shape = 0, tuple[int, ...]()
    for index, image in enumerate(islice(frames, 117)):
        if total is None and min(image.shape[:2]) >= SMALLEST:
            shape, total = image.shape, np.zeros_like(_residual(image))
        # The first 24 and then every fourth, 48 in all: neighbours tell little that is new
        if total is not None and image.shape == shape and (index < 24 or index % 4 == 0):
            total += _residual(image)
            count += 1
    return total, count


def _residual(image: Image) -> FloatArray:
    size, most = np.array(image.shape[:2]), MIDDLE * max(1.0, min(image.shape[:2]) / CANONICAL)
    top, left = np.maximum((size - most) / 2, 0).astype(int)
    middle = image[top : size[0] - top, left : size[1] - left]
    luma = cv2.cvtColor(middle, cv2.COLOR_RGB2GRAY).astype(np.float32)
    if (shrink := CANONICAL / min(luma.shape)) < 1:
        luma = cv2.resize(luma, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA).astype(np.float32)
    sides = (5, 7 if min(luma.shape) < SHRUNK else 11)
    near, far = (cv2.medianBlur(luma.astype(np.uint8), side).astype(np.float32) for side in sides)
    rest = luma - (near + far) / 2  # medians keep edges, which would drown the mark
    # Divided by the variance, as a matched filter in noise of uneven loudness asks
    return np.asarray(rest / (cv2.GaussianBlur(rest**2, (0, 0), 2) + 4), np.float32)


def _spectra(field: FloatArray) -> Iterator[tuple[Any, bool]]:
    """What to try (K,), the likeliest and cheapest first, at last what the first pattern is searched with (True)."""
    for scale in (1, 1 / 2, 2 / 3, 3 / 4, 1 / 3):
        yield _spectrum(field, _view(field, scale, 0, 8), TILE), False
    tries, scale = [], 1.6
    while scale > max(0.3, min(field.shape) / CANONICAL / 2):
        blurred = np.asarray(cv2.GaussianBlur(field, (0, 0), 1.2 * scale), np.float32)
        step = max(0.012, 0.048 * TILE * scale / max(field.shape))  # a pixel or so at the edge
        for degrees in np.arange(-2.8, 2.9, 58 * step):
            tries.append((_fit(blurred, _view(field, scale, degrees, 4)), scale, degrees))
        scale *= 1 - step
    for _, scale, degrees in sorted(tries, reverse=True)[:6]:
        blurred = np.asarray(cv2.GaussianBlur(field, (0, 0), 1.2 * scale), np.float32)
        yield _spectrum(field, _climb(blurred, _view(field, scale, degrees, 8)), TILE), True


def _view(field: FloatArray, scale: float, degrees: float, most: int) -> _View:
    """Tiles of that scale and turn over the field, at most `most` each way, in its middle."""
    tiles = tuple(min(ceil(side / scale / TILE), most) for side in field.shape)
    a, b = scale * cos(radians(degrees)), scale * sin(radians(degrees))
    matrix = np.array([[a, -b, 0], [b, a, 0], [0, 0, 1]])
    matrix[:2, 2] = np.rint(np.array(field.shape[::-1]) / 2 - matrix[:2, :2] @ tiles[::-1] * TILE / 2)
    return matrix, (tiles[0], tiles[1])


def _climb(field: FloatArray, view: _View) -> _View:
    """The view turned, grown, stretched, sheared and tilted until the first pattern fits best."""
    signs = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])
    turned, tilted, best = signs[:, ::-1], signs.prod(1, keepdims=True), _fit(field, view)
    moves = [signs, turned * (-1, 1), signs * (1, -1), turned, tilted * (1, 0), tilted * (0, 1)]
    corners = ((signs + 1) / 2 * TILE * view[1][::-1]).astype(np.float32)
    for step in (4, 2, 1):
        for move in [sign * m for m in moves for sign in (step, -step)] * 2:
            bend = cv2.getPerspectiveTransform(corners, (corners + move).astype(np.float32))
            while (fit := _fit(field, bent := (view[0] @ bend, view[1]))) > best:
                view, best = bent, fit
    return view


def _fit(field: FloatArray, view: _View) -> float:
    """How far the first pattern stands out, in deviations; every fourth pixel is enough for the band."""
    return float(_surfaces(_spectrum(field, view, TILE // 4), slice(1), TILE // 2).max())


def _spectrum(field: FloatArray, view: _View, samples: int) -> Any:
    """The band (K,) of the spectrum of all tiles laid over each other, every ring of frequencies equally loud."""
    matrix, (down, across) = view[0] @ np.diag([TILE / samples, TILE / samples, 1]), view[1]
    flags, size = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, (across * samples, down * samples)
    bent = np.any(matrix[2, :2])
    tiles = (cv2.warpPerspective if bent else cv2.warpAffine)(field, matrix[: 2 + bent], size, flags=flags)
    rows, columns, rings = _band()
    spectrum = fft.rfft2(tiles.reshape(down, samples, across, samples).sum((0, 2)))[rows, columns]
    power = np.bincount(rings, np.abs(spectrum) ** 2) / np.maximum(np.bincount(rings), 1)
    return spectrum / (power[rings] + 1e-6 * power.max() + 1e-12)


def _surfaces(spectrum: Any, which: slice, samples: int) -> FloatArray:
    """How well patterns fit at each place of the tile, (n, samples, samples), in deviations."""
    planes = np.zeros((len(_patterns()[1][which]), samples, samples // 2 + 1), np.complex64)
    planes[:, _band()[0], _band()[1]] = np.conj(_patterns()[1][which]) * spectrum
    surfaces = fft.irfft2(planes)
    return np.asarray(surfaces / (surfaces.std((1, 2), keepdims=True) + 1e-12), np.float32)


def _decode(spectrum: Any, searched: bool) -> Iterator[list[tuple[float, int]]]:
    """The two best payloads, six digits or more apart, at each of four places, after their scores in deviations."""
    surfaces = _surfaces(spectrum, slice(None), TILE)
    sets, matrices = _interpolators()
    picks = np.array(list(product(range(_GUESSES), repeat=_DATA)))
    first, cost = (0, 0) if searched else (_SYNC_WEIGHT, _ANYWHERE)
    for place in np.argpartition(surfaces[0], -4, axis=None)[-4:]:
        moved = np.roll(surfaces[1:], (-(place // TILE), -(place % TILE)), (1, 2))
        heights = moved[:, ::_STEP, ::_STEP].reshape(_SYMBOLS, -1)[:, :_PRIME]
        top = np.argsort(heights, axis=1)[:, -_GUESSES:]  # four of eight good ones suffice
        codes = (top[sets[:, None, :], picks] @ matrices % _PRIME).reshape(-1, _SYMBOLS)
        sums = heights[np.arange(_SYMBOLS), codes].sum(1)
        both = (sums + first * surfaces[0].flat[place]) / np.hypot(first, np.sqrt(_SYMBOLS)) - cost
        scores = np.minimum(both, sums / np.sqrt(_SYMBOLS) + _ALONE)
        best = int(scores.argmax())
        other = int(np.where((codes != codes[best]).sum(1) > 5, scores, 0).argmax())
        numbers = [sum(int(d) * _PRIME**i for i, d in enumerate(codes[one, :_DATA])) for one in (best, other)]
        marks = zip(scores[[best, other]].tolist(), numbers, strict=True)
        yield [(score if is_payload(number) else 0.0, number) for score, number in marks]
