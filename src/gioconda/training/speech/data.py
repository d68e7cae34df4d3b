"""Batches of spectra and mouths from prepared clips; every draw depends on the step's number alone."""

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
from gioconda.training.speech.augment import augment_mel
from gioconda.training.speech.prepare import read_index
from gioconda.types import FloatArray

# Outputs of a sample: 1.2 and 2.4 s
SHORT, LONG = 60, 120
# Share of the samples that are augmented
AUGMENTED_SHARE = 0.6
# Range of the factor by which augmented samples are spoken faster
PACES = (0.9, 1.12)
# Share of a person's frames, those with the closest lips, that give the mouth at rest
SHUT_SHARE = 0.1


@dataclass(frozen=True)
class SpeechClip:
    """One clip, with T outputs at OUT_HERTZ.

    Attributes:
        name: The clip's name.
        identity: The person's name.
        mel: Log power (2 * T, BANDS).
        coefficients: ARKit coefficients of jaw and mouth (T, 27), 0..1.
        points: Lips and chin relative to their rest (T, 44, 2), in inter-ocular units.
        rest: The person's face with its mouth shut (478, 3), canonical head frame.
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
    """Distance of the inner lips (...,), in the unit of the landmarks (..., 478, 2 or 3)."""
    return np.asarray((points[..., LOWER, 1] - points[..., UPPER, 1]).mean(-1), np.float32)


def load_clips(folder: Path, split: str) -> list[SpeechClip]:
    """Load all clips of a split, sorted by name; InputError if there is none.

    All clips of a person together give the face at rest.
    """
    clips = {}
    for entry in read_index(folder):
        if entry.split == split:
            with np.load(folder / entry.file, allow_pickle=False) as data:
                clips[entry.clip] = (entry.identity, data["samples"], data["points"], data["times"])
    if not clips:
        raise InputError(f"{folder} has no clip of the split {split}")
    rests = {
        person: _rest([c[2] for c in clips.values() if c[0] == person])
        for person in {c[0] for c in clips.values()}
    }
    return [
        _take(name, person, samples, points, times, rests[person])
        for name, (person, samples, points, times) in sorted(clips.items())
    ]


def _rest(clips: list[FloatArray]) -> FloatArray:
    """A person's face (478, 3) with its lips together: the mean over the frames with the closest lips."""
    points = np.concatenate([c.astype(np.float32) for c in clips])
    gap = opening(points)
    return np.asarray(points[gap <= np.quantile(gap, SHUT_SHARE)].mean(0), np.float32)


def _take(
    name: str, person: str, samples: FloatArray, points: FloatArray, times: FloatArray, rest: FloatArray
) -> SpeechClip:
    mel = features.log_mel(samples.astype(np.float32) / 32767)
    seconds = min(len(samples) / features.RATE, float(times[-1]) + 0.5 / OUT_HERTZ)
    count = max(2, int(seconds * OUT_HERTZ))
    moved = points.astype(np.float32) - rest
    output_times = np.arange(count) / OUT_HERTZ
    coefficients = between(times, solve(moved, steps=150, tolerance=1e-3)[:, COLUMNS], output_times)
    full = np.zeros((2 * count, features.BANDS), np.float32) + np.log(features.FLOOR)
    full[: min(len(mel), 2 * count)] = mel[: 2 * count]
    return SpeechClip(
        name,
        person,
        full.astype(np.float32),
        coefficients,
        between(times, moved[:, POINTS, :2], output_times),
        rest,
    )


def between(times: npt.NDArray[Any], values: FloatArray, new_times: npt.NDArray[Any]) -> FloatArray:
    """Interpolate values (T, ...) at `times` (T,) linearly at `new_times`; constant beyond the ends."""
    at = np.interp(new_times, times, np.arange(len(times)))
    low = np.minimum(at.astype(int), len(times) - 1)
    high = np.minimum(low + 1, len(times) - 1)
    share = (at - low).reshape(-1, *[1] * (values.ndim - 1))
    return np.asarray(values[low] * (1 - share) + values[high] * share, np.float32)


@dataclass(frozen=True)
class SpeechBatch:
    """One batch, float32: levelled mel (N, 2 * T, BANDS), coefficients (N, T, 27), points (N, T, 44, 2)."""

    mel: FloatArray
    coefficients: FloatArray
    points: FloatArray


class Voices:
    """Clips to draw from; each person's weight is the square root of that person's amount of data.

    people: how many to keep, drawn at random; 0 for all. without: a pattern of names to leave out. Raises InputError
    if nobody is left.
    """

    def __init__(self, takes: list[SpeechClip], *, people: int = 0, without: str = "") -> None:
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

    def batch(self, seed: int, index: int, size: int, *, augment: bool = True) -> SpeechBatch:
        """The batch of step `index`; every third batch has samples of LONG instead of SHORT outputs."""
        random = np.random.default_rng((seed, index))
        long = index % 3 == 2 and self._long is not None
        chosen = random.choice(len(self.takes), size, p=self._long if long else self._odds)
        rows = [self._sample(self.takes[k], LONG if long else SHORT, random, augment) for k in chosen]
        return SpeechBatch(*(np.stack(part) for part in zip(*rows, strict=True)))

    def _sample(
        self, take: SpeechClip, length: int, random: np.random.Generator, augment: bool
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        augment = augment and random.random() < AUGMENTED_SHARE
        pace = float(random.uniform(*PACES)) if augment else 1.0
        pace = min(pace, max((len(take) - 1) / length, 0.7))
        first = random.uniform(0, max(len(take) - 1 - length * pace, 0))
        at = first + pace * np.arange(length)
        mel = between(np.arange(len(take.mel)), take.mel, 2 * first + pace * np.arange(2 * length))
        if augment:
            other = self.takes[int(random.integers(len(self.takes)))]
            mel = augment_mel(mel, other.mel, random)
        frames = np.arange(len(take))
        return (
            features.levelled(mel),
            between(frames, take.coefficients, at),
            between(frames, take.points, at),
        )
