"""A voice -> movements of mouth and jaw, stretch by stretch: the first are known before the voice has ended."""

from __future__ import annotations

import numpy as np

from gioconda.assets import asset_path
from gioconda.speech import features
from gioconda.speech.closing import Phones, close_lips
from gioconda.speech.listen import CONTEXT, MARGIN, WEIGHTS, expression_at, network, voiced_at
from gioconda.types import ARKIT_NAMES, FloatArray

FPS = 25.0
"""Frames a second of the movements."""
# Spectra per frame.
_STEP = round(features.HERTZ / FPS)
# Spectra of sound that must follow those that are turned into movements, while the voice still comes in: lips close
# this long before a pause.
LOOKAHEAD = 24
# Fewest and most spectra that are turned into movements at once; the first stretch of a known voice is short.
LEAST, FIRST, MOST = 12, 80, 200


class StreamingListener:
    """Turns a voice into movements while it comes in. Not for several threads at once.

    Attributes:
        expression: (T, 52) float32 ARKit coefficients of the frames that are known, 0 to 1; only jaw and mouth move.
        ended: Whether the voice is complete.
    """

    def __init__(self) -> None:
        """Open the network; WeightsError if it is missing or damaged."""
        self._network = network(asset_path(WEIGHTS))
        self.expression = np.zeros((0, len(ARKIT_NAMES)), np.float32)
        self.ended = False
        # Samples from spectrum `_first` on; the next spectrum to turn into movements.
        self._samples = np.zeros(0, np.float32)
        self._first = self._next = 0

    def feed(self, samples: FloatArray) -> None:
        """Take the next samples, mono (n,) float32, -1 to 1, at 16 kHz."""
        self._samples = np.concatenate([self._samples, samples])

    def end(self) -> None:
        """Note that the voice is complete."""
        self.ended = True

    @property
    def finished(self) -> bool:
        """Whether all movements of a complete voice are known."""
        return self.ended and self._next >= self._heard

    @property
    def _heard(self) -> int:
        """Number of spectra that the samples give."""
        return self._first + len(self._samples) // features.HOP // _STEP * _STEP

    def advance(self) -> bool:
        """Turn the next stretch into movements; returns whether there was enough sound."""
        heard = self._heard
        known = heard if self.ended else heard - LOOKAHEAD
        stop = min(known // _STEP * _STEP, self._next + (MOST if self._next else FIRST))
        if stop - self._next < (1 if self.ended else LEAST):
            return False
        mel = features.log_mel(self._samples)
        begin = max(self._next - CONTEXT, self._first) - self._first
        end = min(stop + CONTEXT - self._first, len(mel))
        coefficients = self._network(features.levelled(mel)[begin : end - (end - begin) % 2])
        voiced = voiced_at(features.energy(mel))[begin:end]
        times = np.arange(self._next - self._first - begin, stop - self._first - begin, _STEP)
        self.expression = np.concatenate(
            [self.expression, expression_at(coefficients, voiced, times / features.HERTZ)]
        )
        self._next = stop
        self._forget()
        return True

    def _forget(self) -> None:
        """Drop samples that no later movement depends on."""
        dropped = (self._next - MARGIN - self._first) // _STEP * _STEP
        if dropped > 0:
            self._samples = self._samples[dropped * features.HOP :]
            self._first += dropped


def with_lips_closed(expression: FloatArray, phones: Phones, seconds: float) -> FloatArray:
    """The first frames (T, 52) of a synthesised voice of some seconds, whose lips close where its phones need it."""
    frames = max(round(seconds * FPS), len(expression))
    whole = np.zeros((frames, expression.shape[1]), np.float32)
    whole[: len(expression)] = expression
    return close_lips(whole, np.arange(frames) / FPS, phones, seconds)[: len(expression)]
