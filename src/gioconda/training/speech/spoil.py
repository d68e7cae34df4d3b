"""Other throats, microphones, rooms and noises, put upon log-mel spectra."""

from __future__ import annotations

import numpy as np
from scipy.signal import lfilter

from gioconda.speech.features import BANDS, FLOOR
from gioconda.types import FloatArray

THROAT = 0.06  # bands are squeezed or stretched by up to this share, as by a shorter or longer throat
PITCH = 1.0  # bands by which all is moved
COLOUR = 0.8  # log power by which a microphone changes a band
GAIN = 1.0
NOISE_SHARE, ROOM_SHARE, DEAF_SHARE, PHONE_SHARE = 0.3, 0.2, 0.4, 0.05
RATIO = (2.5, 8.0)  # log power by which a noise lies below the voice


def spoilt(mel: FloatArray, other: FloatArray, random: np.random.Generator) -> FloatArray:
    """A spectrum (T, BANDS) changed at random; other: that of a voice which may be heard behind."""
    mel = _throat(mel, random)
    mel = mel + _curve(random) * random.uniform(0, COLOUR) + random.normal(0, GAIN)
    if random.random() < ROOM_SHARE:
        mel = _room(mel, random)
    if random.random() < NOISE_SHARE:
        mel = _noise(mel, other, random)
    if random.random() < PHONE_SHARE:
        mel = mel.copy()
        mel[:, int(random.integers(BANDS * 2 // 3, BANDS)) :] = np.log(FLOOR)
        mel[:, : int(random.integers(0, 5))] = np.log(FLOOR)
    if random.random() < DEAF_SHARE:
        mel = _deaf(mel, random)
    return np.maximum(mel, np.log(FLOOR)).astype(np.float32)


def _throat(mel: FloatArray, random: np.random.Generator) -> FloatArray:
    """Formants moved: bands taken from a little above or below."""
    at = np.arange(BANDS) * (1 + random.uniform(-THROAT, THROAT)) + random.uniform(-PITCH, PITCH)
    at = np.clip(at, 0, BANDS - 1)
    low = np.minimum(at.astype(int), BANDS - 2)
    share = (at - low).astype(np.float32)
    return np.asarray(mel[:, low] * (1 - share) + mel[:, low + 1] * share, np.float32)


def _curve(random: np.random.Generator) -> FloatArray:
    """A smooth curve over the bands, (BANDS,), about -1..1."""
    knots = random.normal(0, 0.7, 6)
    return np.interp(np.linspace(0, 5, BANDS), np.arange(6), knots).astype(np.float32)


def _room(mel: FloatArray, random: np.random.Generator) -> FloatArray:
    """Echo: each band's power rings on, as in a room of 0.1 to 0.6 s."""
    fade = float(np.exp(-13.8 / (100 * random.uniform(0.1, 0.6))))
    wet = float(random.uniform(0.02, 0.25))
    power = np.exp(mel)
    rung = np.log(power + wet * lfilter([1.0], [1.0, -fade], power, axis=0) + FLOOR)
    return np.asarray(rung, np.float32)


def _noise(mel: FloatArray, other: FloatArray, random: np.random.Generator) -> FloatArray:
    """A steady noise, or another voice behind."""
    if random.random() < 0.5:
        noise = random.normal(0, 0.6, mel.shape) + 2 * _curve(random)
    else:
        start = int(random.integers(max(len(other) - len(mel), 0) + 1))
        noise = np.resize(other[start : start + len(mel)], mel.shape)
    loud = np.log(np.exp(mel).mean()) - np.log(np.exp(noise).mean())
    return np.logaddexp(mel, noise + loud - random.uniform(*RATIO)).astype(np.float32)


def _deaf(mel: FloatArray, random: np.random.Generator) -> FloatArray:
    """A stretch of time and a range of bands not heard (SpecAugment, Park et al. 2019)."""
    mel, mean = mel.copy(), float(mel.mean())
    for axis, most in ((0, 12), (1, 12), (1, 8)):
        width = int(random.integers(0, most))
        start = int(random.integers(mel.shape[axis] - width))
        mel[(slice(None),) * axis + (slice(start, start + width),)] = mean
    return mel
