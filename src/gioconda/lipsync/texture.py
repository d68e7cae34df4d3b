"""The texture of a mouth: the weighted median of mouths like it, with the detail of one of them, the proxy."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from gioconda.lipsync.database import MouthDatabase
from gioconda.lipsync.warp import FacePlaneGrid, RBFWarp
from gioconda.types import FloatArray, Image

# Inter-ocular units: finer detail comes from the proxy alone, all else from the median.
DETAIL = 0.02
# The same between the lips: 17 px of the mouths of Suwajanakorn 2017.
TEETH = 0.05
# Pixels an inter-ocular unit that the median needs at most, since the proxy adds detail.
MEDIAN_UNIT = 90.0
# Relative difference of light below which a mouth's light stays as it is.
EVEN = 0.005
# Pictures of a database that are held decoded.
KEPT = 64
# Pixels (sigma) by which pictures are blurred at least.
BLUR_LEAST = 0.8
# Sum of whole-number weights, so that sums of weights fit in one byte.
TOTAL = 255


class MouthCache:
    """The pictures of a database; those used last stay decoded."""

    def __init__(self, database: MouthDatabase) -> None:
        """Open the pictures of `database`; none is decoded yet."""
        self.bank = database
        self._held: dict[int, Image] = {}

    def __getitem__(self, index: int) -> Image:
        """Picture of mouth `index`, (h, w, 3) uint8 RGB."""
        picture = self._held.pop(index, None)
        if picture is None:
            picture = self.bank.picture(index)
        self._held[index] = picture
        if len(self._held) > KEPT:
            del self._held[next(iter(self._held))]
        return picture


def median_mouth(
    mouths: MouthCache,
    plane: FacePlaneGrid,
    warp: RBFWarp,
    shape: FloatArray,
    index: npt.NDArray[np.intp],
    weights: FloatArray,
    shrink: int,
) -> FloatArray:
    """Compute the weighted median of mouths, each warped to one shape.

    Args:
        mouths: The database's pictures.
        plane: The box of the frame.
        warp: Displacements around the shape's points.
        shape: (P, 2), the desired points in the face's plane.
        index: (n,), indices of the mouths.
        weights: (n,) float32, their weights.
        shrink: Computes the median at this fraction of the box's size, then enlarges it.

    Returns:
        (h, w, 3) float32, 0 to 255, of the box's size.
    """
    size = (plane.size[0] // shrink, plane.size[1] // shrink)
    stack = np.empty((len(index), size[1], size[0], 3), np.uint8)
    colour = mouths.bank.colour[index]
    gain = weights @ colour / np.maximum(colour, 1.0)
    for k, mouth in enumerate(index.tolist()):
        stack[k] = _warped(mouths, plane, warp, shape, mouth, size, cv2.INTER_LINEAR)
        if np.abs(gain[k] - 1).max() > EVEN:
            stack[k] = cv2.transform(stack[k], np.diag(gain[k]))
    median = weighted_median(stack, weights)
    return np.asarray(cv2.resize(median, plane.size, interpolation=cv2.INTER_CUBIC), np.float32)


def proxy_mouth(
    mouths: MouthCache, plane: FacePlaneGrid, warp: RBFWarp, shape: FloatArray, proxy: int
) -> FloatArray:
    """Warp mouth `proxy` to a shape (P, 2) in the face's plane; returns (h, w, 3) float32, 0 to 255."""
    return _warped(mouths, plane, warp, shape, proxy, plane.size, cv2.INTER_CUBIC).astype(np.float32)


def low_frequencies(picture: FloatArray, sigma: float) -> FloatArray:
    """Remove detail finer than `sigma` pixels from a picture (h, w, 3) float32."""
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), max(BLUR_LEAST, sigma)), np.float32)


def with_tooth_detail(median: FloatArray, proxy: FloatArray, inside: FloatArray, unit: float) -> FloatArray:
    """Combine the median's low frequencies with the proxy's teeth.

    The median of teeth that are a little displaced is a smear. Between the lips, the proxy therefore replaces the
    frequencies of teeth (Suwajanakorn 2017).

    Args:
        median: (h, w, 3) float32.
        proxy: (h, w, 3) float32.
        inside: (h, w), 0 to 1, the opening between the lips.
        unit: The inter-ocular distance in pixels.

    Returns:
        (h, w, 3) float32, without detail finer than DETAIL.
    """
    smooth = low_frequencies(median, DETAIL * unit)
    apart = proxy - median
    band = low_frequencies(apart, DETAIL * unit) - low_frequencies(apart, TEETH * unit)
    return np.asarray(smooth + band * inside[..., None], np.float32)


def _warped(
    mouths: MouthCache,
    plane: FacePlaneGrid,
    warp: RBFWarp,
    shape: FloatArray,
    index: int,
    size: tuple[int, int],
    how: int,
) -> Image:
    """Mouth `index` with its points moved to `shape`, as the box shows it, (h, w, 3) at `size`."""
    moved = plane.coarse + warp.field(mouths.bank.points[index] - shape)
    places = cv2.resize(mouths.bank.grid.pixels(moved), size, interpolation=cv2.INTER_LINEAR)
    x, y = cv2.split(places)
    return np.asarray(cv2.remap(mouths[index], x, y, how, borderMode=cv2.BORDER_REPLICATE), np.uint8)


def whole_weights(weights: FloatArray) -> npt.NDArray[np.uint8]:
    """Round weights (n,) >= 0 to whole numbers that sum to TOTAL, by largest remainders; returns (n,) uint8."""
    share = np.asarray(weights, np.float64)
    share = share / share.sum() * TOTAL
    whole = np.floor(share).astype(np.int64)
    short = TOTAL - int(whole.sum())
    whole[np.argsort(whole - share, kind="stable")[:short]] += 1
    return np.asarray(whole, np.uint8)


def weighted_median(pictures: npt.NDArray[np.uint8], weights: FloatArray) -> npt.NDArray[np.uint8]:
    """The weighted median of pictures (n, ...) uint8 with weights (n,); returns (...) uint8.

    It is the smallest value that, with all below it, holds half of the weight. The search runs bit by bit from the
    highest, which takes eight passes and no sorting.
    """
    whole = whole_weights(weights)
    kept = np.flatnonzero(whole)
    median = np.zeros(pictures.shape[1:], np.uint8)
    trial, below = np.empty_like(median), np.empty_like(median)
    less = np.empty(median.shape, bool)
    part = np.empty_like(median)
    for bit in (128, 64, 32, 16, 8, 4, 2, 1):
        np.bitwise_or(median, np.uint8(bit), out=trial)
        below[...] = 0
        for i in kept:
            np.less(pictures[i], trial, out=less)
            np.multiply(less.view(np.uint8), whole[i], out=part)
            below += part
        np.copyto(median, trial, where=below <= TOTAL // 2)
    return median
