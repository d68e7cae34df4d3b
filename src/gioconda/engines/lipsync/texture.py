"""The picture of a wanted mouth: the median of mouths like it, and the detail of one of them."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from gioconda.engines.lipsync.bank import Bank
from gioconda.engines.lipsync.fields import Bend, Plane
from gioconda.engines.lipsync.median import weighted_median
from gioconda.types import FloatArray, Image

DETAIL = 0.02  # inter-ocular units: what is finer comes from the proxy alone, all else from the median
TEETH = 0.05  # the same between the lips (17 px of the mouths of Suwajanakorn 2017)
MEDIAN_UNIT = 90.0  # pixels an inter-ocular unit that the median needs at most, since detail comes on top
EVEN = 0.005  # relative; light that differs by less is left as it is
KEPT = 64  # pictures of a bank that are held unpacked


class Mouths:
    """A bank's pictures, those used lately held unpacked."""

    def __init__(self, bank: Bank) -> None:
        self.bank = bank
        self._held: dict[int, Image] = {}

    def __getitem__(self, index: int) -> Image:
        """Mouth `index` of the bank, RGB (h, w, 3) uint8."""
        picture = self._held.pop(index, None)
        if picture is None:
            picture = self.bank.picture(index)
        self._held[index] = picture
        if len(self._held) > KEPT:
            del self._held[next(iter(self._held))]
        return picture


def median_mouth(
    mouths: Mouths,
    plane: Plane,
    bend: Bend,
    wanted: FloatArray,
    index: npt.NDArray[np.intp],
    weights: FloatArray,
    shrink: int,
) -> FloatArray:
    """Weighted median (h, w, 3) of mouths `index` (n,) of a bank, each bent into the wanted shape (P, 2).

    shrink: worked out at a `shrink`-th of the box's size, and brought to it.
    """
    size = (plane.size[0] // shrink, plane.size[1] // shrink)
    stack = np.empty((len(index), size[1], size[0], 3), np.uint8)
    colour = mouths.bank.colour[index]
    gain = weights @ colour / np.maximum(colour, 1.0)
    for k, one in enumerate(index.tolist()):
        stack[k] = _bent(mouths, plane, bend, wanted, one, size, cv2.INTER_LINEAR)
        if np.abs(gain[k] - 1).max() > EVEN:
            stack[k] = cv2.transform(stack[k], np.diag(gain[k]))
    median = weighted_median(stack, weights)
    return np.asarray(cv2.resize(median, plane.size, interpolation=cv2.INTER_CUBIC), np.float32)


def proxy_mouth(mouths: Mouths, plane: Plane, bend: Bend, wanted: FloatArray, proxy: int) -> FloatArray:
    """One mouth of a bank, bent into the wanted shape, (h, w, 3)."""
    return _bent(mouths, plane, bend, wanted, proxy, plane.size, cv2.INTER_CUBIC).astype(np.float32)


def coarse_part(picture: FloatArray, sigma: float) -> FloatArray:
    """A picture without what is finer than some pixels."""
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), max(0.8, sigma)), np.float32)


def toothed(median: FloatArray, proxy: FloatArray, inside: FloatArray, unit: float) -> FloatArray:
    """The median's coarse part, but between the lips (`inside`, (h, w) in 0..1) only what is coarser than teeth.

    A median of teeth that stand a little apart is a smear: there, more is left to the proxy (Suwajanakorn 2017).
    """
    smooth = coarse_part(median, DETAIL * unit)
    apart = proxy - median
    band = coarse_part(apart, DETAIL * unit) - coarse_part(apart, TEETH * unit)
    return np.asarray(smooth + band * inside[..., None], np.float32)


def _bent(
    mouths: Mouths,
    plane: Plane,
    bend: Bend,
    wanted: FloatArray,
    index: int,
    size: tuple[int, int],
    how: int,
) -> Image:
    """Mouth `index` as the box shows it once its points lie where they are wanted, (h, w, 3) at `size`."""
    moved = plane.coarse + bend.field(mouths.bank.points[index] - wanted)
    places = cv2.resize(mouths.bank.grid.pixels(moved), size, interpolation=cv2.INTER_LINEAR)
    x, y = cv2.split(places)
    return np.asarray(cv2.remap(mouths[index], x, y, how, borderMode=cv2.BORDER_REPLICATE), np.uint8)
