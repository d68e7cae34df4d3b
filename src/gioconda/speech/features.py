"""What the speech networks hear: log-mel spectra at 100 Hz, and the 28 features of Synthesizing Obama.

Written out rather than taken from librosa, which would bring a compiler of its own to every installation.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.fft import dct
from scipy.ndimage import maximum_filter1d, uniform_filter1d

from gioconda.types import FloatArray

RATE = 16000
HOP, WINDOW, FFT = 160, 400, 400  # samples: 10 ms, 25 ms
HERTZ = RATE // HOP
BANDS, LOWEST, HIGHEST = 80, 0.0, 8000.0  # those of Whisper
FLOOR = 1e-6  # of a band's power, samples in -1..1
REACH = 300  # frames to either side over which the loudness is taken
QUIETEST = -10.0  # log power; below, nothing is made louder
HISS = -12.5  # log power; below, nobody speaks
CEPSTRA = 13


def log_mel(samples: npt.NDArray[Any]) -> FloatArray:
    """Log-mel spectra (T, BANDS) of mono samples (n,) in -1..1 at RATE; frame k is centred on sample k * HOP.

    T = ceil(n / HOP), at least 1; beyond the ends is silence.
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
    return np.hanning(WINDOW + 1)[:-1].astype(np.float32)


@lru_cache(maxsize=1)
def mel_filters() -> FloatArray:
    """Triangles (FFT / 2 + 1, BANDS) evenly spaced in Slaney's mel, each of peak 1 / WINDOW."""
    edges = _mel_edges()
    bins = np.arange(FFT // 2 + 1)[:, None] * RATE / FFT
    left, middle, right = edges[:-2], edges[1:-1], edges[2:]
    shape = np.minimum((bins - left) / (middle - left), (right - bins) / (right - middle))
    return np.asarray(np.maximum(shape, 0) / WINDOW, np.float32)


def mel_widths() -> FloatArray:
    """Half the width in hertz of each of the triangles, (BANDS,): others make them of equal area."""
    edges = _mel_edges()
    return np.asarray((edges[2:] - edges[:-2]) / 2, np.float32)


def _mel_edges() -> npt.NDArray[np.float64]:
    """Where triangles begin, peak and end, (BANDS + 2,) hertz: Slaney's mel is straight to 1 kHz, then logarithmic."""
    step = np.log(6.4) / 27
    ends = [hz * 3 / 200 if hz < 1000 else 15 + np.log(hz / 1000) / step for hz in (LOWEST, HIGHEST)]
    mel = np.linspace(ends[0], ends[1], BANDS + 2)
    return np.asarray(np.where(mel < 15, mel * 200 / 3, 1000 * np.exp(step * (mel - 15))), np.float64)


def loudness(mel: FloatArray) -> FloatArray:
    """How loud it is around each frame, (T,) log power: the loudest 50 ms within REACH frames."""
    power = np.log(np.exp(mel).mean(1))
    smooth = uniform_filter1d(power, 5, mode="nearest")
    loudest: FloatArray = maximum_filter1d(smooth, 2 * REACH + 1, mode="nearest")
    return np.asarray(np.maximum(loudest, QUIETEST), np.float32)


def levelled(mel: FloatArray) -> FloatArray:
    """Spectra (T, BANDS) as if spoken equally loud, about -3..3."""
    return np.asarray((mel - loudness(mel)[:, None] + 3.5) / 3, np.float32)


def energy(mel: FloatArray) -> FloatArray:
    """Loudness of each frame against that around it, (T,) in 0..1; 0 from 35 dB below, and for a quiet room's hiss."""
    power = uniform_filter1d(np.log(np.exp(mel).mean(1)), 3, mode="nearest")
    above = np.clip((power - HISS) / 1.5, 0, 1)
    return np.asarray(above * np.clip(1 + (power - loudness(mel)) / 8, 0, 1), np.float32)


def cepstra(mel: FloatArray) -> FloatArray:
    """13 cepstra, log energy, and the first differences of these, (T, 28) (Suwajanakorn et al. 2017, 3.1)."""
    power = np.log(np.exp(mel).mean(1, keepdims=True))
    own = np.concatenate([dct(mel, norm="ortho", axis=1)[:, :CEPSTRA], power], 1)
    return np.asarray(np.concatenate([own, np.diff(own, axis=0, prepend=own[:1])], 1), np.float32)
