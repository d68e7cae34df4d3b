"""Metrics of mouths from sound, on whole clips, against the tracked mouth."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gioconda.speech import features
from gioconda.speech.listen import OUT_HERTZ
from gioconda.speech.mouth import LIPS, LOWER, POINTS, UPPER
from gioconda.training.speech.data import SpeechClip
from gioconda.types import FloatArray

Predict = Callable[[FloatArray], FloatArray]
"""Levelled spectra (2 * T, BANDS) -> lips and chin (T, 44, 2) relative to their rest, inter-ocular units."""

_PLACE = {int(point): k for k, point in enumerate(POINTS)}
_UPPER, _LOWER = ([_PLACE[int(p)] for p in side] for side in (UPPER, LOWER))
# Time offsets to try, in outputs: up to 300 ms either way
OFFSETS = range(-15, 16)
# Deviation of the opening, in inter-ocular units, below which a mouth does not speak
STILL = 0.004


@dataclass(frozen=True)
class ClipMetrics:
    """The metrics of one clip.

    Attributes:
        name: The clip's name.
        identity: The person's name.
        correlation: Correlation of the opening with the tracked one, -1..1; nan if the mouth is still.
        distance: Mean distance of the lips, in inter-ocular units.
        curves: Correlation at each of OFFSETS.
        opening: The predicted opening (T,), in inter-ocular units.
        tracked: The tracked opening (T,), in inter-ocular units.
    """

    name: str
    identity: str
    correlation: float
    distance: float
    curves: FloatArray
    opening: FloatArray
    tracked: FloatArray


def gap(points: Any) -> Any:
    """The opening (..., T) of lips and chin (..., T, 44, 2) relative to rest, as an array or a tensor."""
    return (points[..., _LOWER, 1] - points[..., _UPPER, 1]).mean(-1)


def evaluate_clip(take: SpeechClip, predict: Predict, late: float = 0.0) -> ClipMetrics:
    """Compute the metrics of one clip; late: the delay of its sound in seconds."""
    mel = take.mel
    if late:
        mel = np.full_like(take.mel, np.log(features.FLOOR))
        shift = round(late * features.HERTZ)
        mel[shift:] = take.mel[: len(mel) - shift]
    predicted = predict(features.levelled(mel))[: len(take)]
    opening, tracked = gap(predicted), gap(take.points)
    lips = slice(0, len(LIPS))
    far = float(np.linalg.norm(predicted[:, lips] - take.points[:, lips], axis=2).mean())
    curves = np.array([correlation(opening, tracked, k) for k in OFFSETS], np.float32)
    return ClipMetrics(take.name, take.identity, curves[len(OFFSETS) // 2], far, curves, opening, tracked)


def correlation(predicted: FloatArray, true: FloatArray, late: int = 0) -> float:
    """Pearson's correlation, with `predicted` shifted by `late` frames; nan if one of them is still."""
    if late > 0:
        predicted, true = predicted[late:], true[: len(true) - late]
    elif late < 0:
        predicted, true = predicted[:late], true[-late:]
    if len(predicted) < 10 or true.std() < STILL or predicted.std() < 1e-6:
        return float("nan")
    return float(np.corrcoef(predicted, true)[0, 1])


def by_person(clips: Sequence[ClipMetrics]) -> dict[str, dict[str, float]]:
    """Metrics of each person, by name.

    Returns:
        For each person: `correlation`, the mean over clips; `pooled`, over all frames at once; `distance` of the lips;
        `offset`, the best time offset in seconds (positive: the mouth is late); `in_time`, the correlation there,
        because the sound of a video may be shifted. People whose mouths are always still are left out.
    """
    metrics = {}
    for person in sorted({c.identity for c in clips if np.isfinite(c.curves).all()}):
        own = [c for c in clips if c.identity == person and np.isfinite(c.curves).all()]
        curve = np.mean([c.curves for c in own], 0)
        metrics[person] = {
            "correlation": float(np.mean([c.correlation for c in own])),
            "pooled": correlation(
                np.concatenate([c.opening for c in own]), np.concatenate([c.tracked for c in own])
            ),
            "distance": float(np.mean([c.distance for c in own])),
            "offset": OFFSETS[int(curve.argmax())] / OUT_HERTZ,
            "in_time": float(curve.max()),
        }
    return metrics
