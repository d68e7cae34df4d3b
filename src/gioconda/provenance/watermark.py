"""An invisible mark of 32 bits in the luma of every frame, which survives re-encoding, resizing and cropping.

The mark is a tile that repeats. One band-limited noise pattern locates the tile. Eight more patterns, each shifted to
one of 251 places, encode one digit each. The eight digits are a Reed-Solomon code of the payload's four. All frames
have the same mark, so that any part of a video is enough.

Anyone who reads this source can remove the mark or put it on another picture: it informs, it does not prove.

Source: Cox et al., "Secure spread spectrum watermarking for multimedia", 1997.
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

from gioconda.provenance.payload import WatermarkReading, is_payload
from gioconda.types import FloatArray, Image

# Side of the tile in canonical pixels; two fit into a picture of 256.
TILE = 128
# Shorter side in pixels above which tiles are enlarged, and canonical pixels in the middle that are searched.
CANONICAL, MIDDLE = 512, 2048
# Shorter side in pixels below which no mark is searched, and below which the search keeps finer detail.
SMALLEST, SHRUNK = 64, 200
# Standard deviations from which a mark counts; `read_watermark` says how few false alarms pass.
THRESHOLD = 7.93
# Digits of the code, digits of the payload, and the prime below which all digits are.
_SYMBOLS, _DATA, _PRIME = 8, 4, 251
# Places of each pattern in each direction, and the pixels between them.
_PLACES, _STEP = 16, TILE // 16
# Cycles per canonical pixel: below are the loud parts of pictures; above, codecs and resizing remove detail.
_BAND = (0.03, 0.12)
# Weight of the locating pattern beside the others, and the digits that are tried at each position.
_SYNC_WEIGHT, _GUESSES = 1.8, 2
# Standard deviations: the penalty for an unknown place, and what the digits alone may lack.
_ANYWHERE, _ALONE = 0.94, 0.75
# Frames of a video that are used: the first ones, then every fourth one up to the last.
_FIRST_FRAMES, _EVERY, _LAST_FRAME = 24, 4, 117
# Scales of the tile that are tried first.
_COMMON_SCALES = (1, 1 / 2, 2 / 3, 3 / 4, 1 / 3)
# Largest and smallest scale of the search.
_MOST_SCALE, _LEAST_SCALE = 1.6, 0.3
# Largest rotation of the search in degrees, and a number past it that ends the range.
_MOST_DEGREES, _PAST_DEGREES = 2.8, 2.9
# Blur of the search in canonical pixels: the band has no finer detail.
_SEARCH_BLUR = 1.2
# Steps of the search as a share of the scale: at least the first, else about a pixel at the edge. Degrees per step.
_LEAST_STEP, _EDGE_STEP, _DEGREES_PER_STEP = 0.012, 0.048, 58
# Most tiles in each direction, for the search and for the final reading, and the best views that are refined.
_SEARCH_TILES, _READ_TILES, _REFINED = 4, 8, 6
# The second mark must differ from the first in more digits than these.
_OTHER_DIGITS = 5
# Matrix (3, 3) from canonical pixels to the field's, and the number of tiles down and across.
_View: TypeAlias = tuple[npt.NDArray[np.float64], tuple[int, int]]
# Grey levels: standard deviation of the mark, and its most on plain and on textured ground.
_STRENGTH, _FLAT, _BUSY = 2.3, 1, 3


@lru_cache(maxsize=1)
def _band() -> tuple[npt.NDArray[np.int64], ...]:
    """Rows, columns and radii (K,) int64 of the mark's bins in half a tile's spectrum."""
    rows, columns = np.fft.fftfreq(TILE, 1 / TILE), np.arange(TILE // 2 + 1)
    radius = np.hypot(rows[:, None], columns)
    y, x = np.nonzero((radius >= _BAND[0] * TILE) & (radius <= _BAND[1] * TILE))
    return rows[y].astype(np.int64), x, radius[y, x].astype(np.int64)


@lru_cache(maxsize=1)
def _patterns() -> tuple[FloatArray, Any]:
    """Nine patterns (9, TILE, TILE) float32 of unit variance, the locating one first, and their spectra (9, K)."""
    raw = np.frombuffer(hashlib.shake_256(b"gioconda luma 1").digest(9 * TILE * TILE), np.uint8)
    rows, columns, _ = _band()
    spectra = np.zeros((9, TILE, TILE // 2 + 1), np.complex128)
    spectra[:, rows, columns] = np.fft.rfft2(raw.reshape(9, TILE, TILE) - 127.5)[:, rows, columns]
    patterns = np.fft.irfft2(spectra)
    patterns /= patterns.std((1, 2), keepdims=True)
    return patterns.astype(np.float32), np.fft.rfft2(patterns)[:, rows, columns].astype(np.complex64)


@lru_cache(maxsize=1)
def _interpolators() -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Sets (70, 4) of positions, and for each the matrix (4, 8) from its digits to all eight, modulo _PRIME."""
    sets = np.array(list(combinations(range(_SYMBOLS), _DATA)))
    matrices = np.ones((len(sets), _DATA, _SYMBOLS), np.int64)
    for chosen, matrix in zip(sets, matrices, strict=True):
        for row, x in enumerate(chosen):
            # Lagrange's basis.
            for other in chosen[chosen != x]:
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
    """Marks frames of one size with one payload. Several threads may use it.

    Attributes:
        size: Width and height of the frames in pixels.
    """

    def __init__(self, size: tuple[int, int], payload: int) -> None:
        """Prepare the mark.

        Args:
            size: Width and height of the frames in pixels.
            payload: The 32 bits, from `job_payload`.

        Raises:
            ValueError: The payload is not one of `job_payload`.
        """
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
        """Return a marked copy of a frame; all three channels change alike.

        Args:
            image: The frame (H, W, 3) uint8 RGB.

        Raises:
            ValueError: The frame has another size.
        """
        if image.shape != (self.size[1], self.size[0], 3):
            raise ValueError(f"image has shape {image.shape}, expected {(self.size[1], self.size[0], 3)}")
        limit = _local_limit(image)
        marked = cv2.add(image, cv2.cvtColor(cv2.min(self._up, limit), cv2.COLOR_GRAY2RGB))
        down = cv2.cvtColor(cv2.min(self._down, limit), cv2.COLOR_GRAY2RGB)
        return np.asarray(cv2.subtract(marked, down, dst=marked), np.uint8)


def _local_limit(image: Image) -> Image:
    """Grey levels (H, W) uint8 that the picture hides, from the texture of every fourth green sample."""
    sparse = np.ascontiguousarray(image[::4, ::4, 1])
    texture = cv2.blur(cv2.absdiff(sparse, cv2.blur(sparse, (5, 5))), (5, 5))
    # Smooth ground beside one edge hides nothing.
    texture = cv2.erode(texture, np.ones((5, 5), np.uint8))
    # The grain of skin hides no more than plain ground does.
    limit = np.clip(texture, _FLAT, _BUSY)
    return np.asarray(cv2.resize(limit, image.shape[1::-1], interpolation=cv2.INTER_LINEAR), np.uint8)


def read_watermark(frames: Iterable[Image]) -> WatermarkReading:
    """Search for the mark in a few seconds of video, or in one picture.

    A payload counts when its patterns together stand THRESHOLD standard deviations above the noise. If the noise is
    Gaussian, one unmarked file in 300,000 passes, over 2**26 payloads: all nine patterns at 5 * TILE**2 places of the
    common scales, 3.1e-19 each, and eight at the 24 places of the search, 1.1e-15 each.

    Args:
        frames: Frames (H, W, 3) uint8 RGB of one size.
    """
    (field, count), best = _accumulate(frames), 0.0
    for spectrum, searched in () if field is None or not np.any(field) else _spectra(field):
        (score, payload), beneath = max(_decode(spectrum, searched))
        if score >= THRESHOLD:
            return WatermarkReading(payload, score, count, beneath)
        best = max(best, score)
    return WatermarkReading(None, best, count)


def _accumulate(frames: Iterable[Image]) -> tuple[FloatArray | None, int]:
    """The sum (h, w) float32 of the frames' residuals, None without usable frames, and how many were used."""
    total: FloatArray | None = None
    count, shape = 0, tuple[int, ...]()
    for index, image in enumerate(islice(frames, _LAST_FRAME)):
        if total is None and min(image.shape[:2]) >= SMALLEST:
            shape, total = image.shape, np.zeros_like(_residual(image))
        # Neighbouring frames add little that is new.
        chosen = index < _FIRST_FRAMES or index % _EVERY == 0
        if total is not None and image.shape == shape and chosen:
            total += _residual(image)
            count += 1
    return total, count


def _residual(image: Image) -> FloatArray:
    """The middle of a frame (h, w) float32 without its smooth content, divided by its local variance."""
    size, most = np.array(image.shape[:2]), MIDDLE * max(1.0, min(image.shape[:2]) / CANONICAL)
    top, left = np.maximum((size - most) / 2, 0).astype(int)
    middle = image[top : size[0] - top, left : size[1] - left]
    luma = cv2.cvtColor(middle, cv2.COLOR_RGB2GRAY).astype(np.float32)
    if (shrink := CANONICAL / min(luma.shape)) < 1:
        luma = cv2.resize(luma, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA).astype(np.float32)
    sides = (5, 7 if min(luma.shape) < SHRUNK else 11)
    near, far = (cv2.medianBlur(luma.astype(np.uint8), side).astype(np.float32) for side in sides)
    # Medians keep edges, so that the difference is free of them.
    rest = luma - (near + far) / 2
    # A matched filter in noise of uneven variance divides by that variance.
    return np.asarray(rest / (cv2.GaussianBlur(rest**2, (0, 0), 2) + 4), np.float32)


def _spectra(field: FloatArray) -> Iterator[tuple[Any, bool]]:
    """Spectra (K,) to decode, the likeliest and cheapest first; True marks those that the search has found."""
    for scale in _COMMON_SCALES:
        yield _spectrum(field, _view(field, scale, 0, _READ_TILES), TILE), False
    tries, scale = [], _MOST_SCALE
    while scale > max(_LEAST_SCALE, min(field.shape) / CANONICAL / 2):
        blurred = np.asarray(cv2.GaussianBlur(field, (0, 0), _SEARCH_BLUR * scale), np.float32)
        step = max(_LEAST_STEP, _EDGE_STEP * TILE * scale / max(field.shape))
        for degrees in np.arange(-_MOST_DEGREES, _PAST_DEGREES, _DEGREES_PER_STEP * step):
            tries.append((_fit(blurred, _view(field, scale, degrees, _SEARCH_TILES)), scale, degrees))
        scale *= 1 - step
    for _, scale, degrees in sorted(tries, reverse=True)[:_REFINED]:
        blurred = np.asarray(cv2.GaussianBlur(field, (0, 0), _SEARCH_BLUR * scale), np.float32)
        yield _spectrum(field, _climb(blurred, _view(field, scale, degrees, _READ_TILES)), TILE), True


def _view(field: FloatArray, scale: float, degrees: float, most: int) -> _View:
    """The view of tiles of a scale and a rotation, at most `most` in each direction, in the middle of the field."""
    tiles = tuple(min(ceil(side / scale / TILE), most) for side in field.shape)
    a, b = scale * cos(radians(degrees)), scale * sin(radians(degrees))
    matrix = np.array([[a, -b, 0], [b, a, 0], [0, 0, 1]])
    matrix[:2, 2] = np.rint(np.array(field.shape[::-1]) / 2 - matrix[:2, :2] @ tiles[::-1] * TILE / 2)
    return matrix, (tiles[0], tiles[1])


def _climb(field: FloatArray, view: _View) -> _View:
    """Rotate, scale, stretch, shear and tilt a view until the locating pattern fits best."""
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
    """How far the locating pattern stands out, in standard deviations; the band needs only every fourth pixel."""
    return float(_surfaces(_spectrum(field, view, TILE // 4), slice(1), TILE // 2).max())


def _spectrum(field: FloatArray, view: _View, samples: int) -> Any:
    """The band (K,) complex of the spectrum of the sum of all tiles, with equal power in every ring of frequencies."""
    # Loading it takes longer than marking a hundred frames, which needs it not.
    from scipy import fft

    matrix, (down, across) = view[0] @ np.diag([TILE / samples, TILE / samples, 1]), view[1]
    flags, size = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, (across * samples, down * samples)
    bent = np.any(matrix[2, :2])
    tiles = (cv2.warpPerspective if bent else cv2.warpAffine)(field, matrix[: 2 + bent], size, flags=flags)
    rows, columns, rings = _band()
    spectrum = fft.rfft2(tiles.reshape(down, samples, across, samples).sum((0, 2)))[rows, columns]
    power = np.bincount(rings, np.abs(spectrum) ** 2) / np.maximum(np.bincount(rings), 1)
    return spectrum / (power[rings] + 1e-6 * power.max() + 1e-12)


def _surfaces(spectrum: Any, which: slice, samples: int) -> FloatArray:
    """How well patterns fit at each place of the tile, (n, samples, samples) float32, in standard deviations."""
    # Loading it takes longer than marking a hundred frames, which needs it not.
    from scipy import fft

    planes = np.zeros((len(_patterns()[1][which]), samples, samples // 2 + 1), np.complex64)
    planes[:, _band()[0], _band()[1]] = np.conj(_patterns()[1][which]) * spectrum
    surfaces = fft.irfft2(planes)
    return np.asarray(surfaces / (surfaces.std((1, 2), keepdims=True) + 1e-12), np.float32)


def _decode(spectrum: Any, searched: bool) -> Iterator[list[tuple[float, int]]]:
    """Scores and payloads of the two best marks, which differ in six digits or more, at each of four places."""
    surfaces = _surfaces(spectrum, slice(None), TILE)
    sets, matrices = _interpolators()
    picks = np.array(list(product(range(_GUESSES), repeat=_DATA)))
    first, cost = (0, 0) if searched else (_SYNC_WEIGHT, _ANYWHERE)
    for place in np.argpartition(surfaces[0], -4, axis=None)[-4:]:
        moved = np.roll(surfaces[1:], (-(place // TILE), -(place % TILE)), (1, 2))
        heights = moved[:, ::_STEP, ::_STEP].reshape(_SYMBOLS, -1)[:, :_PRIME]
        # Four good digits of eight are enough.
        top = np.argsort(heights, axis=1)[:, -_GUESSES:]
        codes = (top[sets[:, None, :], picks] @ matrices % _PRIME).reshape(-1, _SYMBOLS)
        sums = heights[np.arange(_SYMBOLS), codes].sum(1)
        both = (sums + first * surfaces[0].flat[place]) / np.hypot(first, np.sqrt(_SYMBOLS)) - cost
        scores = np.minimum(both, sums / np.sqrt(_SYMBOLS) + _ALONE)
        best = int(scores.argmax())
        other = int(np.where((codes != codes[best]).sum(1) > _OTHER_DIGITS, scores, 0).argmax())
        numbers = [sum(int(d) * _PRIME**i for i, d in enumerate(codes[k, :_DATA])) for k in (best, other)]
        marks = zip(scores[[best, other]].tolist(), numbers, strict=True)
        yield [(score if is_payload(number) else 0.0, number) for score, number in marks]
