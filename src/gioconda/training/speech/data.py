"""Prepared clips as batches of spectra and mouths; every draw by the step's number alone."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gioconda.errors import InputError
from gioconda.motion.expression import solve
from gioconda.speech import features
from gioconda.speech.listen import OUT_HERTZ
from gioconda.speech.mouth import COLUMNS, LOWER, POINTS, UPPER
from gioconda.training.speech.prepare import read_index
from gioconda.training.speech.spoil import spoilt
from gioconda.types import FloatArray

SHORT, LONG = 60, 120  # outputs of a sample: 1.2 and 2.4 s
SPOILT_SHARE = 0.6  # of the samples that are changed
PACES = (0.9, 1.12)  # how much faster these are spoken
SHUT_SHARE = 0.1  # of a person's frames, those in which the lips are nearest: its mouth at rest


@dataclass(frozen=True)
class Take:
    """One clip: mel (2 * T, BANDS) log power, coefficients (T, 27), points (T, 44, 2) of lips and chin off their rest
    in inter-ocular units, at OUT_HERTZ. rest: (478, 3), the person's face with its mouth shut.
    """

    name: str
    identity: str
    mel: FloatArray
    coefficients: FloatArray
    points: FloatArray
    rest: FloatArray

    def __len__(self) -> int:
        return len(self.points)


def opening(points: FloatArray) -> FloatArray:
    """How far the inner lips are apart (...,), of landmarks (..., 478, 2 or 3)."""
    return np.asarray((points[..., LOWER, 1] - points[..., UPPER, 1]).mean(-1), np.float32)


def load(folder: Path, split: str) -> list[Take]:
    """All clips of a split, in the order of their names. A person's rest is told from all of its clips."""
    clips = {}
    for entry in read_index(folder):
        if entry.split == split:
            with np.load(folder / entry.file, allow_pickle=False) as data:
                clips[entry.clip] = (entry.identity, data["samples"], data["points"], data["times"])
    if not clips:
        raise InputError(f"{folder} holds no clip of the split {split}")
    rests = {
        who: _rest([c[2] for c in clips.values() if c[0] == who]) for who in {c[0] for c in clips.values()}
    }
    return [
        _take(name, who, samples, points, times, rests[who])
        for name, (who, samples, points, times) in sorted(clips.items())
    ]


def _rest(clips: list[FloatArray]) -> FloatArray:
    """A person's face (478, 3) with its lips together: the mean over the frames in which they are nearest."""
    points = np.concatenate([c.astype(np.float32) for c in clips])
    gap = opening(points)
    return np.asarray(points[gap <= np.quantile(gap, SHUT_SHARE)].mean(0), np.float32)


def _take(
    name: str, who: str, samples: FloatArray, points: FloatArray, times: FloatArray, rest: FloatArray
) -> Take:
    mel = features.log_mel(samples.astype(np.float32) / 32767)
    seconds = min(len(samples) / features.RATE, float(times[-1]) + 0.5 / OUT_HERTZ)
    count = max(2, int(seconds * OUT_HERTZ))
    moved = points.astype(np.float32) - rest
    wanted = np.arange(count) / OUT_HERTZ
    coefficients = between(times, solve(moved, steps=150, tolerance=1e-3)[:, COLUMNS], wanted)
    full = np.zeros((2 * count, features.BANDS), np.float32) + np.log(features.FLOOR)
    full[: min(len(mel), 2 * count)] = mel[: 2 * count]
    return Take(
        name, who, full.astype(np.float32), coefficients, between(times, moved[:, POINTS, :2], wanted), rest
    )


def between(times: npt.NDArray[Any], values: FloatArray, wanted: npt.NDArray[Any]) -> FloatArray:
    """Values (T, ...) at `times` (T,) -> (len(wanted), ...) at `wanted`, by straight lines; held beyond the ends."""
    at = np.interp(wanted, times, np.arange(len(times)))
    low = np.minimum(at.astype(int), len(times) - 1)
    high = np.minimum(low + 1, len(times) - 1)
    share = (at - low).reshape(-1, *[1] * (values.ndim - 1))
    return np.asarray(values[low] * (1 - share) + values[high] * share, np.float32)


@dataclass(frozen=True)
class Batch:
    """mel (N, 2 * T, BANDS) levelled, coefficients (N, T, 27), points (N, T, 44, 2), float32."""

    mel: FloatArray
    coefficients: FloatArray
    points: FloatArray


class Voices:
    """Clips to draw from; people weigh by the square root of what there is of them.

    people: how many to keep, drawn at random; 0 for all. without: a pattern of names that are left out.
    """

    def __init__(self, takes: list[Take], *, people: int = 0, without: str = "") -> None:
        names = sorted({t.identity for t in takes if not fnmatch(t.identity, without)})
        if not names:
            raise InputError(f"without {without!r}, nobody is left to learn from")
        if 0 < people < len(names):
            order = np.random.default_rng(people).permutation(len(names))
            names = [names[k] for k in order[:people]]
        self.people = names
        self.takes = [t for t in takes if t.identity in names]
        own = {name: sum(len(t) for t in self.takes if t.identity == name) for name in names}
        odds = np.array([len(t) / np.sqrt(own[t.identity]) for t in self.takes])
        self._odds = odds / odds.sum()
        long = np.array([len(t) >= LONG for t in self.takes])
        self._long = self._odds * long / (self._odds * long).sum() if long.any() else None

    def batch(self, seed: int, index: int, size: int, *, augment: bool = True) -> Batch:
        """The batch of step `index`: every third one of longer samples."""
        random = np.random.default_rng((seed, index))
        long = index % 3 == 2 and self._long is not None
        chosen = random.choice(len(self.takes), size, p=self._long if long else self._odds)
        rows = [self._sample(self.takes[k], LONG if long else SHORT, random, augment) for k in chosen]
        return Batch(*(np.stack(part) for part in zip(*rows, strict=True)))

    def _sample(
        self, take: Take, length: int, random: np.random.Generator, augment: bool
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        augment = augment and random.random() < SPOILT_SHARE
        pace = float(random.uniform(*PACES)) if augment else 1.0
        pace = min(pace, max((len(take) - 1) / length, 0.7))
        first = random.uniform(0, max(len(take) - 1 - length * pace, 0))
        at = first + pace * np.arange(length)
        mel = between(np.arange(len(take.mel)), take.mel, 2 * first + pace * np.arange(2 * length))
        if augment:
            other = self.takes[int(random.integers(len(self.takes)))]
            mel = spoilt(mel, other.mel, random)
        frames = np.arange(len(take))
        return (
            features.levelled(mel),
            between(frames, take.coefficients, at),
            between(frames, take.points, at),
        )
