"""A voice -> all that its speaker's face does: the mouth by the network, the rest by the idle model."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from math import gcd

import numpy as np

from gioconda.speech.closing import close_lips
from gioconda.speech.features import RATE
from gioconda.speech.idle import Performance, idle
from gioconda.speech.listen import Heard, listen
from gioconda.speech.voice import Voice
from gioconda.types import FloatArray

FPS = 25.0


def perform(blocks: Iterable[FloatArray], fps: float = FPS, seed: int = 0) -> Performance:
    """What a face does that speaks mono blocks (n,) in -1..1 at 16 kHz; in silence the mouth is shut.

    The same for the same seed. InputError for no sound at all.
    """
    heard = listen(blocks, fps)
    return _acted(heard, heard.expression, fps, seed)


def perform_said(voice: Voice, fps: float = FPS, seed: int = 0) -> Performance:
    """As `perform`, for a text said, whose phones are known: on p, b and m the lips meet."""
    from scipy.signal import resample_poly

    common = gcd(RATE, voice.rate)
    sound = resample_poly(voice.samples, RATE // common, voice.rate // common)
    heard = listen([np.asarray(sound, np.float32)], fps)
    return _acted(heard, close_lips(heard.expression, heard.times, voice.phones, voice.seconds), fps, seed)


def _acted(heard: Heard, mouth: FloatArray, fps: float, seed: int) -> Performance:
    beside = idle(heard.energy, heard.voiced, fps, seed)
    together = np.clip(mouth + beside.expression, 0, 1).astype(np.float32)
    return replace(beside, times=heard.times, expression=together)
