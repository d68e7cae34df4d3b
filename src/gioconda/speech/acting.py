"""A voice -> all movements of its speaker's face: the mouth by the network, the rest by the idle model."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from gioconda.speech.closing import close_lips
from gioconda.speech.features import RATE
from gioconda.speech.idle import Performance, idle
from gioconda.speech.listen import Heard, listen
from gioconda.speech.signals import resample
from gioconda.speech.voice import Voice
from gioconda.types import USUAL_MANNER, FloatArray, Manner

# Frames a second of a performance, as in most video.
FPS = 25.0


def perform(blocks: Iterable[FloatArray], fps: float = FPS, manner: Manner = USUAL_MANNER) -> Performance:
    """Movements of a face that speaks a sound; in silence the mouth is shut.

    Args:
        blocks: Mono samples (n,) float32, -1 to 1, at 16 kHz.
        fps: Frames a second.
        manner: How the speaker moves beside speaking.

    Raises:
        InputError: The sound is empty.
    """
    heard = listen(blocks, fps)
    return _with_idle(heard, heard.expression, fps, manner)


def perform_voice(voice: Voice, fps: float = FPS, manner: Manner = USUAL_MANNER) -> Performance:
    """As `perform`, for a synthesised voice: since its phones are known, the lips meet on p, b and m."""
    heard = listen([resample(voice.samples, voice.rate, RATE)], fps)
    mouth = close_lips(heard.expression, heard.times, voice.phones, voice.seconds)
    return _with_idle(heard, mouth, fps, manner)


def _with_idle(heard: Heard, mouth: FloatArray, fps: float, manner: Manner) -> Performance:
    """The idle movements with the mouth's coefficients (T, 52) added."""
    performance = idle(heard.energy, heard.voiced, fps, manner)
    expression = np.clip(mouth + performance.expression, 0, 1).astype(np.float32)
    return replace(performance, times=heard.times, expression=expression)
