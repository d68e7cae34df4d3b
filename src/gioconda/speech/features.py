"""Input of the speech networks: log-mel spectra at 100 Hz, and the 28 features of Synthesizing Obama.

librosa offers both, but would bring a compiler to every installation.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from gioconda.types import FloatArray

# Hertz, of the samples.
RATE = 16000
# Samples: 10 ms, 25 ms, 25 ms.
HOP, WINDOW, FFT = 160, 400, 400
# Spectra a second.
HERTZ = RATE // HOP
# Number of bands, and their range in hertz: those of Whisper.
BANDS, LOWEST, HIGHEST = 80, 0.0, 8000.0
# Power added to each band, for samples in -1..1: keeps the logarithm of silence finite.
FLOOR = 1e-6
# Frames to either side over which the loudness is measured: 3 s, long enough to contain a loud syllable.
REACH = 300
# Frames of the average that the loudness is the maximum of, and of the average for the energy: 50 ms, 30 ms.
LOUD_FRAMES, ENERGY_FRAMES = 5, 3
# Log power; quieter sounds are not made louder.
QUIETEST = -10.0
# Log power up to which a sound is a quiet room's hiss, and over how much more it fades in.
HISS, HISS_FADE = -12.5, 1.5
# Offset and divisor that bring levelled spectra to about -3..3.
LEVEL_OFFSET, LEVEL_SCALE = 3.5, 3
# Log power below the loudness, about 35 dB, at which the energy is 0.
ENERGY_RANGE = 8
# Cepstral coefficients (Suwajanakorn et al. 2017).
CEPSTRA = 13
# Slaney's mel is linear up to LINEAR_HERTZ, which is LINEAR_MEL, at 3 mel per 200 Hz; above, it is logarithmic, at 27
# mel per factor of 6.4.
LINEAR_HERTZ, LINEAR_MEL, LOG_STEP = 1000, 15, np.log(6.4) / 27


def log_mel(samples: npt.NDArray[Any]) -> FloatArray:
    """Log-mel spectra of a sound; frame k is centred on sample k * HOP, beyond the ends is silence.

    Args:
        samples: Mono (n,), -1 to 1, at RATE.

    Returns:
        (T, BANDS) float32, natural logarithms of power; T = ceil(n / HOP), at least 1.
    """
    count = max(1, -(-len(samples) // HOP))
    padded = np.zeros((count - 1) * HOP + WINDOW, np.float32)
    start = WINDOW // 2
    room = len(padded) - start
    padded[start : start + min(len(samples), room)] = samples[:room]
    frames = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::HOP]
    power = np.abs(np.fft.rfft(frames * _window(), FFT, axis=1)) ** 2
    return np.asarray(np.log(power.astype(np.float32) @ mel_filters() + FLOOR), np.float32)


@lru_cache(maxsize=1)
def _window() -> FloatArray:
    """A periodic Hann window, (WINDOW,)."""
    return np.hanning(WINDOW + 1)[:-1].astype(np.float32)


@lru_cache(maxsize=1)
def mel_filters() -> FloatArray:
    """Triangular filters (FFT / 2 + 1, BANDS) float32, evenly spaced in Slaney's mel, each of peak 1 / WINDOW."""
    edges = _mel_edges()
    bins = np.arange(FFT // 2 + 1)[:, None] * RATE / FFT
    left, middle, right = edges[:-2], edges[1:-1], edges[2:]
    shape = np.minimum((bins - left) / (middle - left), (right - bins) / (right - middle))
    return np.asarray(np.maximum(shape, 0) / WINDOW, np.float32)


def mel_widths() -> FloatArray:
    """Half the width of each filter in hertz, (BANDS,) float32; other programs scale the filters to equal area."""
    edges = _mel_edges()
    return np.asarray((edges[2:] - edges[:-2]) / 2, np.float32)


def _mel_edges() -> npt.NDArray[np.float64]:
    """Edges of the filters, (BANDS + 2,) hertz: filter k begins at edge k, peaks at k + 1 and ends at k + 2."""
    low, high = (
        hz * 3 / 200 if hz < LINEAR_HERTZ else LINEAR_MEL + np.log(hz / LINEAR_HERTZ) / LOG_STEP
        for hz in (LOWEST, HIGHEST)
    )
    mel = np.linspace(low, high, BANDS + 2)
    above = LINEAR_HERTZ * np.exp(LOG_STEP * (mel - LINEAR_MEL))
    return np.asarray(np.where(mel < LINEAR_MEL, mel * 200 / 3, above), np.float64)


def loudness(mel: FloatArray) -> FloatArray:
    """Loudness around each frame, (T,) float32 log power: the loudest 50 ms within REACH frames, QUIETEST at least."""
    from scipy.ndimage import maximum_filter1d, uniform_filter1d

    power = np.log(np.exp(mel).mean(1))
    smooth = uniform_filter1d(power, LOUD_FRAMES, mode="nearest")
    loudest: FloatArray = maximum_filter1d(smooth, 2 * REACH + 1, mode="nearest")
    return np.asarray(np.maximum(loudest, QUIETEST), np.float32)


def levelled(mel: FloatArray) -> FloatArray:
    """Spectra (T, BANDS) brought to the same loudness, about -3..3."""
    return np.asarray((mel - loudness(mel)[:, None] + LEVEL_OFFSET) / LEVEL_SCALE, np.float32)


def energy(mel: FloatArray) -> FloatArray:
    """Energy of each frame relative to the loudness around it, (T,) float32 in 0..1.

    It is 0 from 35 dB below the loudness, and for a quiet room's hiss.
    """
    from scipy.ndimage import uniform_filter1d

    power = uniform_filter1d(np.log(np.exp(mel).mean(1)), ENERGY_FRAMES, mode="nearest")
    audible = np.clip((power - HISS) / HISS_FADE, 0, 1)
    return np.asarray(audible * np.clip(1 + (power - loudness(mel)) / ENERGY_RANGE, 0, 1), np.float32)


def cepstra(mel: FloatArray) -> FloatArray:
    """13 cepstra, log energy, and the first differences of both, (T, 28) float32 (Suwajanakorn et al. 2017, 3.1)."""
    from scipy.fft import dct

    power = np.log(np.exp(mel).mean(1, keepdims=True))
    static = np.concatenate([dct(mel, norm="ortho", axis=1)[:, :CEPSTRA], power], 1)
    return np.asarray(np.concatenate([static, np.diff(static, axis=0, prepend=static[:1])], 1), np.float32)
