"""Lips that meet where a text's phones say so: what a network hears late or weakly is put right around them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from gioconda.types import ARKIT_INDEX, FloatArray

Curve = npt.NDArray[np.float64]

STOPS, VOICED_STOPS, NASALS = "p", "bɓ", "m"
LABIODENTALS = "fvʋɱ"
SILENT = 0.045  # seconds before its burst, where espeak-ng's p begins, in which the lips are met already
MURMUR = (
    0.05  # seconds from a b's beginning to its burst; where it is shorter, its murmur was the m's before it
)
LETS_GO = 0.03  # seconds before an m's end in which the lips part
CLOSES, OPENS = 0.08, 0.07  # seconds of the way there and back

JAW_KEPT = 0.35  # of the jaw's opening: lips reach each other over a jaw that hardly follows
CLOSE_OF_JAW = 0.81  # mouthClose that takes back what jawOpen parts (`gioconda.motion.expression`'s basis)
# Of mouthClose beyond that; lips at rest are met, and pressed harder would count as parted at rest
PRESSED = 0.012
PARTING = (
    *("mouthFunnel", "mouthLowerDownLeft", "mouthLowerDownRight", "mouthUpperUpLeft", "mouthUpperUpRight"),
    *("mouthShrugUpper", "jawForward"),
)  # fmt: skip
# F and V: the lower lip lies on the upper teeth
ON_TEETH = {
    "jawOpen": 0.05,
    "mouthRollLower": 0.5,
    "mouthUpperUpLeft": 0.18,
    "mouthUpperUpRight": 0.18,
    **dict.fromkeys(("mouthLowerDownLeft", "mouthLowerDownRight", "mouthFunnel", "mouthPucker"), 0.0),
    **dict.fromkeys(("mouthClose", "mouthShrugUpper", "mouthShrugLower", "jawForward"), 0.0),
}

Phones = Sequence[tuple[float, str]]
Span = tuple[float, float]
Reach = Callable[[float, float, str], Span | None]


def close_lips(expression: FloatArray, times: Curve, phones: Phones, end: float) -> FloatArray:
    """Coefficients (T, 52) at `times` (T,) whose lips meet on p, b and m, and the lower one the teeth on f and v.

    phones: seconds at which each begins, and its name in IPA; the last one lasts until `end`.
    """
    made = expression.astype(np.float64)
    teeth = _weights(times, _held(phones, end, _on_teeth))[:, None]
    columns = [ARKIT_INDEX[name] for name in ON_TEETH]
    made[:, columns] += teeth * (np.array(list(ON_TEETH.values())) - made[:, columns])
    met = _weights(times, _held(phones, end, lips_met))
    jaw, close = ARKIT_INDEX["jawOpen"], ARKIT_INDEX["mouthClose"]
    made[:, [ARKIT_INDEX[name] for name in PARTING]] *= (1 - met)[:, None]
    made[:, jaw] *= 1 - (1 - JAW_KEPT) * met
    made[:, close] += met * (CLOSE_OF_JAW * made[:, jaw] + PRESSED - made[:, close])
    return np.clip(made, 0, 1).astype(np.float32)


def lips_met(begin: float, end: float, name: str) -> Span | None:
    """Between which seconds the lips are together in a phone, None if they never are."""
    if any(c in name for c in NASALS):
        return begin, max(begin + 0.02, end - LETS_GO)
    if any(c in name for c in VOICED_STOPS) and end - begin >= MURMUR:
        return begin, begin + 0.9 * MURMUR
    if any(c in name for c in STOPS + VOICED_STOPS):
        return begin - SILENT, begin
    return None


def _on_teeth(begin: float, end: float, name: str) -> Span | None:
    return (begin, max(begin + 0.02, end - LETS_GO)) if any(c in name for c in LABIODENTALS) else None


def _held(phones: Phones, end: float, when: Reach) -> list[Span]:
    ends = [time for time, _ in phones[1:]] + [end]
    spans = (when(begin, stop, name) for (begin, name), stop in zip(phones, ends, strict=True))
    return [span for span in spans if span is not None]


def _weights(times: Curve, spans: Sequence[Span]) -> Curve:
    """Weight (T,) in 0..1: 1 within spans, each of which reaches at least the nearest frame, smooth beside them."""
    weights = np.zeros(len(times))
    for first, last in spans:
        nearest = float(times[np.argmin(np.abs(times - (first + last) / 2))])
        begin, stop = min(first, nearest), max(last, nearest)
        part = slice(*np.searchsorted(times, [begin - CLOSES, stop + OPENS]))
        up = np.clip((times[part] - begin) / CLOSES + 1, 0, 1)
        share = np.minimum(up, np.clip(1 - (times[part] - stop) / OPENS, 0, 1))
        weights[part] = np.maximum(weights[part], share * share * (3 - 2 * share))
    return weights
