"""An invisible mark of 32 bits in the luma of every frame, which outlives re-encoding, resizing and cropping.

Spread spectrum (Cox et al., "Secure spread spectrum watermarking for multimedia", 1997) in a tile that
repeats across the picture: one band-limited noise pattern to find the tile by, and eight more, each moved
to one of 256 places, so that the place is a byte. The eight bytes are a Reed-Solomon code of the payload's
four. The mark is the same in all frames, so that any stretch of a video tells.

Who reads this source can remove the mark or put it on a picture of their own: it informs, it does not prove.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations, product
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from gioconda.provenance.payload import PAYLOAD_VERSION
from gioconda.types import FloatArray, Image

TILE = 128  # canonical pixels; two fit into a picture of 256
CANONICAL = 512  # shorter sides above this carry a proportionally larger tile
SMALLEST = 64  # pixels of the shorter side, below which no mark is looked for
THRESHOLD = 8.5  # see `read_watermark` for the false alarms that it bounds
_SYMBOLS, _DATA = 8, 4
_PLACES, _STEP = 16, TILE // 16  # of each pattern, both ways, and the pixels between them
_BAND = (0.04, 0.15)  # cycles a canonical pixel: below, pictures are loud; above, codecs and resizing cut
_SYNC_WEIGHT = 1.8
_STRENGTH = 2.05  # grey levels, standard deviation before the local limit
_FLAT, _BUSY = 1, 4  # grey levels at most, on plain and on textured ground


@dataclass(frozen=True)
class WatermarkReading:
    """What was found: payload (32 bits) or None, score in noise deviations, frames used.

    scale: pixels a canonical pixel at which the tile was found, with the shorter side brought to 512 or less.
    """

    payload: int | None
    score: float
    frames: int
    scale: float = 0.0


@lru_cache(maxsize=1)
def _patterns() -> FloatArray:
    """The nine patterns (9, TILE, TILE) float32 of unit variance; the first finds the tile."""
    raw = np.frombuffer(hashlib.shake_256(b"gioconda luma 1").digest(9 * TILE * TILE), np.uint8)
    band = (_radius() >= _BAND[0]) & (_radius() <= _BAND[1])
    noise = np.fft.fft2(raw.reshape(9, TILE, TILE).astype(np.float64) - 127.5) * band
    patterns = np.fft.ifft2(noise).real
    return np.asarray(patterns / patterns.std((1, 2), keepdims=True), np.float32)


@lru_cache(maxsize=1)
def _pattern_spectra() -> npt.NDArray[np.complex128]:
    return np.conj(np.fft.fft2(_patterns()))


@lru_cache(maxsize=1)
def _radius() -> npt.NDArray[np.float64]:
    """Cycles a pixel of each bin of a tile's spectrum."""
    return np.hypot(*np.meshgrid(np.fft.fftfreq(TILE), np.fft.fftfreq(TILE)))


@lru_cache(maxsize=1)
def _products() -> npt.NDArray[np.int64]:
    """The multiplication table (256, 256) of GF(256) over 0x11D."""
    powers = [1]
    for _ in range(254):
        powers.append(powers[-1] << 1 ^ (0x11D if powers[-1] & 0x80 else 0))
    logarithm = np.argsort(powers)  # of 1 to 255
    table = np.zeros((256, 256), np.int64)
    table[1:, 1:] = np.array(powers)[np.add.outer(logarithm, logarithm) % 255]
    return table


@lru_cache(maxsize=1)
def _interpolators() -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Sets (70, 4) of positions, and for each the GF(256) matrix (70, 4, 8) from its symbols to all eight."""
    multiply = _products()
    inverse = np.argmax(multiply == 1, axis=1)
    sets = np.array(list(combinations(range(_SYMBOLS), _DATA)))
    matrices = np.ones((len(sets), _DATA, _SYMBOLS), np.int64)
    at = np.arange(_SYMBOLS)
    for chosen, matrix in zip(sets, matrices, strict=True):
        for row, x in enumerate(chosen):
            for other in chosen[chosen != x]:  # Lagrange's basis; subtraction is exclusive or
                matrix[row] = multiply[matrix[row], multiply[at ^ other, inverse[x ^ other]]]
    return sets, matrices


def _complete(symbols: npt.NDArray[np.int64], matrices: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """All eight symbols (..., 8) from four (..., 4) and matrices (..., 4, 8), in GF(256)."""
    return np.asarray(np.bitwise_xor.reduce(_products()[symbols[..., None], matrices], axis=-2))


def _tile(payload: int) -> FloatArray:
    """The mark of one payload, (TILE, TILE) float32 of unit variance."""
    code = _complete(np.array(list(payload.to_bytes(_DATA, "big"))), _interpolators()[1][0])
    tile = _SYNC_WEIGHT * _patterns()[0]
    for pattern, symbol in zip(_patterns()[1:], code, strict=True):
        tile = tile + np.roll(pattern, np.array(divmod(int(symbol), _PLACES)) * _STEP, (0, 1))
    return np.asarray(tile / tile.std(), np.float32)


class Watermarker:
    """Marks frames of one size with one payload; safe to use from several threads."""

    def __init__(self, size: tuple[int, int], payload: int) -> None:
        """size: (width, height) in pixels; payload: of `job_payload`."""
        if payload >> 28 != PAYLOAD_VERSION:
            raise ValueError(f"payload {payload:#x} was not made by job_payload")
        scale = max(1.0, min(size) / CANONICAL)
        repeats = tuple(int(side / scale / TILE) + 2 for side in size[::-1])
        to_tile = np.array([[scale, 0, 0], [0, scale, 0]], np.float32)
        tiles = np.tile(_tile(payload) * _STRENGTH, repeats)
        levels = np.rint(cv2.warpAffine(tiles, to_tile, size, flags=cv2.INTER_CUBIC))
        self.size = size
        self._up = np.clip(levels, 0, 255).astype(np.uint8)
        self._down = np.clip(-levels, 0, 255).astype(np.uint8)

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
    limit = np.minimum(np.asarray(texture, np.uint8) // 2 + _FLAT, _BUSY)
    return np.asarray(cv2.resize(limit, image.shape[1::-1], interpolation=cv2.INTER_LINEAR), np.uint8)


def read_watermark(frames: Iterable[Image]) -> WatermarkReading:
    """Look for the mark in some seconds of video, or in one picture; frames (H, W, 3) uint8 RGB of one size.

    A payload is believed when its eight patterns together stand THRESHOLD deviations above the noise. If the
    noise is Gaussian, plain pictures pass once in 10 million: 2**28 payloads, 44 places tried, 9.5e-18 each.
    """
    field, count = _accumulate(frames)
    best = WatermarkReading(None, 0.0, count)
    if field is None or not np.any(field):
        return best
    grid = 0.3 * np.exp(np.arange(210) * 0.008)  # to 1.6; finer steps follow around the best
    for scales in ([1.0], [1 / 3, 0.5, 2 / 3, 0.75], grid[min(field.shape) / grid >= SMALLEST].tolist()):
        for scale, spectrum in _likely_tiles(field, scales):
            for payload, score in _decode(spectrum):
                if score > best.score and payload >> 28 == PAYLOAD_VERSION:
                    best = WatermarkReading(payload, score, count, scale)
        if best.score >= THRESHOLD:
            return best
    return WatermarkReading(None, best.score, count, best.scale)


def _accumulate(frames: Iterable[Image]) -> tuple[FloatArray | None, int]:
    """The mean of what the frames hold beyond smooth content, evened out locally, and how many were used."""
    total: FloatArray | None = None
    shape: tuple[int, ...] = ()
    count = 0
    for image in _chosen(frames):
        if total is None and min(image.shape[:2]) >= SMALLEST:
            shape, total = image.shape, np.zeros_like(_residual(image))
        if total is not None and image.shape == shape:
            total += _residual(image)
            count += 1
    return total, count


def _chosen(frames: Iterable[Image]) -> Iterator[Image]:
    """The first 24 frames and then every fourth, 48 in all: neighbours tell little that is new."""
    for index, image in enumerate(frames):
        if index < 24 or index % 4 == 0:
            yield image
        if index >= 116:
            return


def _residual(image: Image) -> FloatArray:
    luma = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
    shrink = CANONICAL / min(luma.shape)
    if shrink < 1:
        luma = cv2.resize(luma, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA).astype(np.float32)
    rest = luma - cv2.GaussianBlur(luma, (0, 0), 1.4)
    # Divided by the variance, as a matched filter in noise of uneven loudness asks
    return np.asarray(rest / (cv2.GaussianBlur(rest * rest, (0, 0), 2) + 2), np.float32)


def _likely_tiles(field: FloatArray, scales: list[float]) -> Iterator[tuple[float, Any]]:
    """At most six (scale, whitened spectrum), the likeliest by the first pattern."""
    coarse = sorted(((_sync(_spectrum(field, s, 4 * TILE)).max(), s) for s in scales), reverse=True)
    fine = np.linspace(-0.006, 0.006, 1 + 2 * (max(field.shape) // 200)) if len(scales) > 9 else np.zeros(1)
    for _, scale in coarse[:6]:
        tries = ((s, _spectrum(field, s)) for s in scale * (1 + fine))
        yield max(tries, key=lambda t: float(_sync(t[1]).max()))


def _sync(spectrum: Any) -> FloatArray:
    """How well the first pattern fits at each place of the tile, (TILE, TILE), in deviations."""
    surface = np.fft.ifft2(spectrum * _pattern_spectra()[0]).real
    return np.asarray(surface / (surface.std() + 1e-12), np.float32)


def _spectrum(field: FloatArray, scale: float, middle: int | None = None) -> Any:
    """Spectrum (TILE, TILE) of all tiles laid over each other, every ring of frequencies made equally loud.

    middle: canonical pixels of the field's middle to use; None for all.
    """
    if middle is not None:
        top, left = (max(0, int(n - middle * scale) // 2) for n in field.shape)
        field = field[top : field.shape[0] - top, left : field.shape[1] - left]
    if scale != 1:
        method = cv2.INTER_AREA if scale > 1 else cv2.INTER_LINEAR
        resized = cv2.resize(field, None, fx=1 / scale, fy=1 / scale, interpolation=method)
        field = np.asarray(resized, np.float32)
    padded = np.pad(field, [(0, -n % TILE) for n in field.shape])
    spectrum = np.fft.fft2(padded.reshape(padded.shape[0] // TILE, TILE, -1, TILE).sum((0, 2)))
    rings = np.minimum((_radius() * TILE).astype(np.int64), TILE // 2)
    power = np.bincount(rings.ravel(), (np.abs(spectrum) ** 2).ravel()) / np.bincount(rings.ravel())
    return spectrum / (power[rings] + 1e-6 * power.max() + 1e-12)


def _decode(spectrum: Any) -> Iterator[tuple[int, float]]:
    """The best payload at each of four places of the tile, and its score in deviations of the noise."""
    surfaces = np.fft.ifft2(spectrum * _pattern_spectra()[1:]).real
    surfaces /= surfaces.std((1, 2), keepdims=True) + 1e-12
    sets, matrices = _interpolators()
    picks = np.array(list(product((0, 1), repeat=_DATA)))
    for place in np.argpartition(_sync(spectrum), -4, axis=None)[-4:]:
        moved = np.roll(surfaces, (-(place // TILE), -(place % TILE)), (1, 2))
        heights = moved[:, ::_STEP, ::_STEP].reshape(_SYMBOLS, -1)
        top = np.argsort(heights, axis=1)[:, -2:]  # two guesses a symbol: four of eight good ones suffice
        codes = _complete(top[sets[:, None, :], picks], matrices[:, None]).reshape(-1, _SYMBOLS)
        scores = heights[np.arange(_SYMBOLS), codes].sum(1) / np.sqrt(_SYMBOLS)
        best = int(scores.argmax())
        yield int.from_bytes(bytes(codes[best, :_DATA].tolist()), "big"), float(scores[best])
