"""High dynamic range to BT.709: PQ and HLG films of phones and cameras, as screens of standard range show them."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

from gioconda.types import FloatArray, Image

PQ, HLG = 16, 18
"""Codes of transfer characteristics (ITU-T H.273)."""

# cd/m^2 of diffuse white in both systems (ITU-R BT.2408), which standard range shows as its white
REFERENCE_WHITE = 203.0
# cd/m^2 of the display that HLG is laid out for, and of the brightest highlights that keep their shape
PEAK = 1000.0
# linear share of standard white up to which tones stay as they are; what is brighter rolls off towards white
KNEE = 0.75
# exponent of the screen on which standard range is looked at (ITU-R BT.1886), and of HLG's system at PEAK (BT.2100)
SCREEN_GAMMA, HLG_GAMMA = 2.4, 1.2
# share of BT.2020's red, green and blue in luminance
_LUMA = np.array([[0.2627, 0.6780, 0.0593]], np.float32)
# linear BT.2020 to linear BT.709 (ITU-R BT.2087)
_TO_709 = np.array(
    [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]], np.float32
)
# entries of the table that goes from linear light to code values
_STEPS = 4096


def is_hdr(transfer: int) -> bool:
    """Whether a film's transfer characteristics (ITU-T H.273) are PQ's or HLG's."""
    return transfer in (PQ, HLG)


def to_standard_range(pixels: npt.NDArray[np.uint16], transfer: int) -> Image:
    """The picture that a screen of standard range shows of a high dynamic range frame.

    Tones up to three quarters of diffuse white stay, highlights roll off; the largest channel sets how far, so that
    hues stay.

    Args:
        pixels: RGB code values with BT.2020 primaries, (H, W, 3), full range 0..65535.
        transfer: PQ or HLG.

    Returns:
        RGB with BT.709 primaries, (H, W, 3).
    """
    light = np.take(_linear(transfer), pixels)
    if transfer == HLG:
        # the system's gamma acts on luminance (BT.2100, table 5)
        luminance = cv2.transform(light, _LUMA)
        light = light * np.power(np.maximum(luminance, 1e-6), HLG_GAMMA - 1)[..., None]
        light *= np.float32(PEAK / REFERENCE_WHITE)
    light = np.maximum(cv2.transform(light, _TO_709), 0)
    brightest = light.max(2)
    scale = np.divide(_rolled_off(brightest), brightest, out=np.ones_like(brightest), where=brightest > KNEE)
    light *= scale[..., None]
    index = np.minimum(np.sqrt(light) * (_STEPS - 1) + 0.5, _STEPS - 1).astype(np.uint16)
    return np.asarray(np.take(_code_values(), index), np.uint8)


def _rolled_off(light: FloatArray) -> FloatArray:
    """Light relative to standard white, bent above KNEE so that PEAK becomes 1, with slope 1 at the knee."""
    above = np.maximum(light - KNEE, 0) / (1 - KNEE)
    most = (PEAK / REFERENCE_WHITE - KNEE) / (1 - KNEE)
    bent = KNEE + (1 - KNEE) * above * (1 + above / most**2) / (1 + above)
    return np.where(light > KNEE, np.minimum(bent, 1), light).astype(np.float32)


@lru_cache(maxsize=2)
def _linear(transfer: int) -> FloatArray:
    """Light of each 16-bit code value, (65536,): of PQ relative to standard white, of HLG the scene's in 0..1."""
    code = np.arange(65536, dtype=np.float64) / 65535
    if transfer == PQ:
        # SMPTE ST 2084, equation 4.1
        power = np.power(code, 1 / 78.84375)
        share = np.maximum(power - 0.8359375, 0) / (18.8515625 - 18.6875 * power)
        light = 10000 / REFERENCE_WHITE * np.power(share, 1 / 0.1593017578125)
    else:
        # ITU-R BT.2100, table 5
        a, b, c = 0.17883277, 0.28466892, 0.55991073
        light = np.where(code <= 0.5, code**2 / 3, (np.exp((code - c) / a) + b) / 12)
    return light.astype(np.float32)


@lru_cache(maxsize=1)
def _code_values() -> Image:
    """8-bit code values of the square root of linear light, in _STEPS even steps."""
    light = np.linspace(0, 1, _STEPS) ** 2
    return np.round(255 * np.power(light, 1 / SCREEN_GAMMA)).astype(np.uint8)
