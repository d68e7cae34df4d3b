"""Pictures of high dynamic range, by the standards' own equations."""

import numpy as np

from gioconda.media.colour import PEAK, PQ, REFERENCE_WHITE, SCREEN_GAMMA

TO_2020 = np.array([[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]])


def as_pq(nits):
    """SMPTE ST 2084, the inverse of what the reader does."""
    share = np.power(np.clip(nits, 0, None) / 10000, 0.1593017578125)
    return np.power((0.8359375 + 18.8515625 * share) / (1 + 18.6875 * share), 78.84375)


def as_hlg(scene):
    """ITU-R BT.2100, the scene's light in 0..1."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    return np.where(scene <= 1 / 12, np.sqrt(3 * scene), a * np.log(np.maximum(12 * scene - b, 1e-9)) + c)


def graded(picture, transfer):
    """A picture of standard range as a film of high dynamic range holds it, white at 203 cd/m^2."""
    light = np.power(picture / 255, SCREEN_GAMMA) @ TO_2020.T
    if transfer == PQ:
        code = as_pq(light * REFERENCE_WHITE)
    else:
        display = light * REFERENCE_WHITE / PEAK
        luminance = np.maximum(display @ [0.2627, 0.6780, 0.0593], 1e-9)
        code = as_hlg(display * np.power(luminance, 1 / 1.2 - 1)[..., None])
    return np.round(np.clip(code, 0, 1) * 65535).astype(np.uint16)
