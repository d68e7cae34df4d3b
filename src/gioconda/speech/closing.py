"""Close the lips on the phones of a text that need it; the network alone closes them too late or too little."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from gioconda.runtime.easing import eased
from gioconda.types import ARKIT_INDEX, Curve, FloatArray

STOPS, VOICED_STOPS, NASALS = "p", "bɓ", "m"
LABIODENTALS = "fvʋɱ"
# Seconds for which the lips are shut before the burst of a p; espeak-ng's p begins with the burst.
SILENT = 0.045
# Seconds from the beginning of a b to its burst. If a b is shorter, the m before it has made its murmur.
MURMUR = 0.05
# Share of a b's murmur for which the lips are shut; they part just before the burst.
MURMUR_SHUT = 0.9
# Seconds before the end of an m, f or v in which the lips part, and the least time for which they are shut.
RELEASE, LEAST_HELD = 0.03, 0.02
# Seconds that the lips take to close and to open.
CLOSES, OPENS = 0.08, 0.07

# Share of the jaw's opening that remains while the lips are shut: lips reach each other over a jaw that hardly follows.
JAW_KEPT = 0.35
# mouthClose per jawOpen that compensates its opening, by the basis of `gioconda.motion.expression`.
CLOSE_OF_JAW = 0.81
# mouthClose beyond that. Lips at rest touch; if they were pressed harder here, rest would count as parted.
PRESSED = 0.012
# Coefficients that part the lips, which are set to 0 while the lips are shut.
PARTING = (
    *("mouthFunnel", "mouthLowerDownLeft", "mouthLowerDownRight", "mouthUpperUpLeft", "mouthUpperUpRight"),
    *("mouthShrugUpper", "jawForward"),
)  # fmt: skip
# Coefficients of f and v: the lower lip touches the upper teeth.
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
    """Close the lips on p, b and m, and put the lower lip to the teeth on f and v.

    Args:
        expression: (T, 52), 0 to 1.
        times: (T,), seconds.
        phones: Seconds at which each begins, and its name in IPA.
        end: Seconds at which the last phone ends.

    Returns:
        (T, 52) float32, 0 to 1.
    """
    closed = expression.astype(np.float64)
    on_teeth = _weights(times, _spans(phones, end, _lip_on_teeth))[:, None]
    columns = [ARKIT_INDEX[name] for name in ON_TEETH]
    closed[:, columns] += on_teeth * (np.array(list(ON_TEETH.values())) - closed[:, columns])
    shut = _weights(times, _spans(phones, end, lips_shut))
    jaw, close = ARKIT_INDEX["jawOpen"], ARKIT_INDEX["mouthClose"]
    closed[:, [ARKIT_INDEX[name] for name in PARTING]] *= (1 - shut)[:, None]
    closed[:, jaw] *= 1 - (1 - JAW_KEPT) * shut
    closed[:, close] += shut * (CLOSE_OF_JAW * closed[:, jaw] + PRESSED - closed[:, close])
    return np.clip(closed, 0, 1).astype(np.float32)


def lips_shut(begin: float, end: float, name: str) -> Span | None:
    """The time for which the lips are shut in a phone, in seconds; None if they never are.

    Args:
        begin: Of the phone, seconds.
        end: Of the phone, seconds.
        name: Of the phone, in IPA.
    """
    if any(c in name for c in NASALS):
        return begin, max(begin + LEAST_HELD, end - RELEASE)
    if any(c in name for c in VOICED_STOPS) and end - begin >= MURMUR:
        return begin, begin + MURMUR_SHUT * MURMUR
    if any(c in name for c in STOPS + VOICED_STOPS):
        return begin - SILENT, begin
    return None


def _lip_on_teeth(begin: float, end: float, name: str) -> Span | None:
    """As `lips_shut`, for the lower lip on the upper teeth."""
    return (begin, max(begin + LEAST_HELD, end - RELEASE)) if any(c in name for c in LABIODENTALS) else None


def _spans(phones: Phones, end: float, span_of: Reach) -> list[Span]:
    """The spans of all phones that have one."""
    ends = [time for time, _ in phones[1:]] + [end]
    spans = (span_of(begin, stop, name) for (begin, name), stop in zip(phones, ends, strict=True))
    return [span for span in spans if span is not None]


def _weights(times: Curve, spans: Sequence[Span]) -> Curve:
    """Weights (T,): 1 within each span, which covers one frame at least, and a smooth fall to 0 on either side."""
    weights = np.zeros(len(times))
    for first, last in spans:
        nearest = float(times[np.argmin(np.abs(times - (first + last) / 2))])
        begin, stop = min(first, nearest), max(last, nearest)
        part = slice(*np.searchsorted(times, [begin - CLOSES, stop + OPENS]))
        up = np.clip((times[part] - begin) / CLOSES + 1, 0, 1)
        share = np.minimum(up, np.clip(1 - (times[part] - stop) / OPENS, 0, 1))
        weights[part] = np.maximum(weights[part], eased(share))
    return weights
