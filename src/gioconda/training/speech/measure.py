"""How well a mouth follows a voice: on whole clips, against the tracked mouth."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gioconda.speech import features
from gioconda.speech.listen import OUT_HERTZ
from gioconda.speech.mouth import LIPS, LOWER, POINTS, UPPER
from gioconda.training.speech.data import Take
from gioconda.types import FloatArray

Predict = Callable[[FloatArray], FloatArray]
"""Levelled spectra (2 * T, BANDS) -> lips and chin (T, 44, 2) off their rest."""

_PLACE = {int(point): k for k, point in enumerate(POINTS)}
_UPPER, _LOWER = ([_PLACE[int(p)] for p in side] for side in (UPPER, LOWER))
OFFSETS = range(-15, 16)  # outputs: up to 300 ms either way
STILL = 0.004  # inter-ocular units; mouths that open by less, over a clip, do not speak


@dataclass(frozen=True)
class Followed:
    """One clip. correlation: of the opening (nan where the mouth is still); distance: of the lips, mean, inter-ocular
    units; curves: correlation at each of OFFSETS; opening, tracked: (T,).
    """

    name: str
    identity: str
    correlation: float
    distance: float
    curves: FloatArray
    opening: FloatArray
    tracked: FloatArray


def gap(points: Any) -> Any:
    """Change of the opening (..., T) of lips and chin (..., T, 44, 2), an array or a tensor."""
    return (points[..., _LOWER, 1] - points[..., _UPPER, 1]).mean(-1)


def follow(take: Take, predict: Predict, late: float = 0.0) -> Followed:
    """One clip, its sound late by so many seconds."""
    mel = take.mel
    if late:
        mel = np.full_like(take.mel, np.log(features.FLOOR))
        shift = round(late * features.HERTZ)
        mel[shift:] = take.mel[: len(mel) - shift]
    made = predict(features.levelled(mel))[: len(take)]
    opening, tracked = gap(made), gap(take.points)
    lips = slice(0, len(LIPS))
    far = float(np.linalg.norm(made[:, lips] - take.points[:, lips], axis=2).mean())
    curves = np.array([correlation(opening, tracked, k) for k in OFFSETS], np.float32)
    return Followed(take.name, take.identity, curves[len(OFFSETS) // 2], far, curves, opening, tracked)


def correlation(made: FloatArray, true: FloatArray, late: int = 0) -> float:
    """Pearson's, with `made` taken `late` frames later; nan where one of them stands still."""
    if late > 0:
        made, true = made[late:], true[: len(true) - late]
    elif late < 0:
        made, true = made[:late], true[-late:]
    if len(made) < 10 or true.std() < STILL or made.std() < 1e-6:
        return float("nan")
    return float(np.corrcoef(made, true)[0, 1])


def by_person(clips: Sequence[Followed]) -> dict[str, dict[str, float]]:
    """For each person the mean correlation over clips, that over all frames at once, the distance, the best offset
    in seconds (positive: the mouth is late), and the correlation there: films may be off their sound. People whose
    mouths are always still are left out.
    """
    told = {}
    for who in sorted({c.identity for c in clips if np.isfinite(c.curves).all()}):
        own = [c for c in clips if c.identity == who and np.isfinite(c.curves).all()]
        curve = np.mean([c.curves for c in own], 0)
        told[who] = {
            "correlation": float(np.mean([c.correlation for c in own])),
            "pooled": correlation(
                np.concatenate([c.opening for c in own]), np.concatenate([c.tracked for c in own])
            ),
            "distance": float(np.mean([c.distance for c in own])),
            "offset": OFFSETS[int(curve.argmax())] / OUT_HERTZ,
            "in_time": float(curve.max()),
        }
    return told
