"""Augmentation of log-mel spectra: vocal tract length, microphones, rooms, noises and SpecAugment masks."""

from __future__ import annotations

import numpy as np
from scipy.signal import lfilter

from gioconda.speech.features import BANDS, FLOOR
from gioconda.types import FloatArray

# Largest share by which bands are compressed or stretched, as by a shorter or longer vocal tract
VTLP_RANGE = 0.06
# Largest shift of the spectrum, in bands
PITCH = 1.0
# Largest change of a band by a microphone, in log power
COLOUR = 0.8
# Standard deviation of the loudness, in log power
GAIN = 1.0
# Shares of the samples that get each change
NOISE_SHARE, ROOM_SHARE, MASKED_SHARE, PHONE_SHARE = 0.3, 0.2, 0.4, 0.05
# Range by which a noise is quieter than the voice, in log power
RATIO = (2.5, 8.0)


def augment_mel(mel: FloatArray, other: FloatArray, random: np.random.Generator) -> FloatArray:
    """Augment a log-mel spectrum.

    Args:
        mel: Log power (T, BANDS).
        other: The spectrum of another voice, for the background.
        random: The source of all draws.

    Returns:
        Log power (T, BANDS) float32.
    """
    mel = _perturb_vocal_tract(mel, random)
    mel = np.asarray(mel + _curve(random) * random.uniform(0, COLOUR) + random.normal(0, GAIN), np.float32)
    if random.random() < ROOM_SHARE:
        mel = _room(mel, random)
    if random.random() < NOISE_SHARE:
        mel = _noise(mel, other, random)
    if random.random() < PHONE_SHARE:
        mel = mel.copy()
        mel[:, int(random.integers(BANDS * 2 // 3, BANDS)) :] = np.log(FLOOR)
        mel[:, : int(random.integers(0, 5))] = np.log(FLOOR)
    if random.random() < MASKED_SHARE:
        mel = _mask(mel, random)
    return np.maximum(mel, np.log(FLOOR)).astype(np.float32)


def _perturb_vocal_tract(mel: FloatArray, random: np.random.Generator) -> FloatArray:
    """Vocal tract length perturbation (Jaitly and Hinton 2013): formants move a little up or down."""
    at = np.arange(BANDS) * (1 + random.uniform(-VTLP_RANGE, VTLP_RANGE)) + random.uniform(-PITCH, PITCH)
    at = np.clip(at, 0, BANDS - 1)
    low = np.minimum(at.astype(int), BANDS - 2)
    share = (at - low).astype(np.float32)
    return np.asarray(mel[:, low] * (1 - share) + mel[:, low + 1] * share, np.float32)


def _curve(random: np.random.Generator) -> FloatArray:
    """A smooth random curve over the bands, (BANDS,), about -1..1."""
    knots = random.normal(0, 0.7, 6)
    return np.interp(np.linspace(0, 5, BANDS), np.arange(6), knots).astype(np.float32)


def _room(mel: FloatArray, random: np.random.Generator) -> FloatArray:
    """Add reverberation: each band's power decays, as in a room with a reverberation time of 0.1 to 0.6 s."""
    fade = float(np.exp(-13.8 / (100 * random.uniform(0.1, 0.6))))
    wet = float(random.uniform(0.02, 0.25))
    power = np.exp(mel)
    rung = np.log(power + wet * lfilter([1.0], [1.0, -fade], power, axis=0) + FLOOR)
    return np.asarray(rung, np.float32)


def _noise(mel: FloatArray, other: FloatArray, random: np.random.Generator) -> FloatArray:
    """Add steady noise, or another voice in the background."""
    if random.random() < 0.5:
        noise = random.normal(0, 0.6, mel.shape) + 2 * _curve(random)
    else:
        start = int(random.integers(max(len(other) - len(mel), 0) + 1))
        noise = np.resize(other[start : start + len(mel)], mel.shape)
    loud = np.log(np.exp(mel).mean()) - np.log(np.exp(noise).mean())
    return np.asarray(np.logaddexp(mel, noise + loud - random.uniform(*RATIO)), np.float32)


def _mask(mel: FloatArray, random: np.random.Generator) -> FloatArray:
    """SpecAugment (Park et al. 2019): mask a range of time and ranges of bands with the mean."""
    mel, mean = mel.copy(), float(mel.mean())
    for axis, most in ((0, 12), (1, 12), (1, 8)):
        width = int(random.integers(0, most))
        start = int(random.integers(mel.shape[axis] - width))
        mel[(slice(None),) * axis + (slice(start, start + width),)] = mean
    return mel
