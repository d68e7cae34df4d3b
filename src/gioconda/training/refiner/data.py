"""Batches for the refiner: all people have the same weight, and every draw depends on the step's number alone."""

from __future__ import annotations

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from gioconda.engines.warp import aligned
from gioconda.errors import InputError, MissingFileError
from gioconda.training.refiner.augment import augment
from gioconda.training.refiner.pairs import MAP_SCALE
from gioconda.training.refiner.prepare import INDEX, Entry, load_arrays
from gioconda.types import FloatArray, Image

# Threads that make a batch's samples
LOADERS = 2


@dataclass(frozen=True)
class Batch:
    """Two successive frames: inputs (2, N, CHANNELS, H, W) without the last output, truths (2, N, 3, H, W)."""

    inputs: FloatArray
    truths: FloatArray


class Samples:
    """The prepared samples of one split, which stay on disk until they are drawn.

    Args:
        folder: The prepared folder.
        split: train or dev.
        people: How many people to keep, drawn at random; 0 for all.
        photo_share: The share of samples of people with photos but no videos, if there are people with videos too.

    Raises:
        MissingFileError: The folder was not prepared.
        InputError: It has no sample of the split.
    """

    def __init__(self, folder: Path, split: str, *, people: int = 0, photo_share: float = 0.25) -> None:
        entries = [e for e in read_index(folder) if e.split == split]
        self.people = _chosen(entries, people)
        if not self.people:
            raise InputError(f"{folder} has no sample of the split {split!r}")
        kept = [e for e in entries if e.identity in self.people]
        self._files = [load_arrays(folder / e.file) for e in kept]
        self._row_of = [(file, row) for file, e in enumerate(kept) for row in range(e.samples)]
        self._pool = ThreadPoolExecutor(LOADERS, "gioconda-samples")
        owners = np.repeat([self.people.index(e.identity) for e in kept], [e.samples for e in kept])
        self._of_person = [np.flatnonzero(owners == k) for k in range(len(self.people))]
        filmed = {e.identity for e in kept if not e.photos}
        self._weights = _weights([name in filmed for name in self.people], photo_share)

    def __len__(self) -> int:
        return len(self._row_of)

    def batch(
        self, seed: int, index: int, size: int, *, source_share: float = 0.5, style: bool = True
    ) -> Batch:
        """The batch of step `index`, of `size` samples.

        source_share: the share of samples whose reference is the portrait itself. style: whether to augment.
        """
        random = np.random.default_rng((seed, index))
        people = random.choice(len(self.people), size, p=self._weights)
        rows = [int(random.choice(self._of_person[k])) for k in people]
        seeds = random.integers(1 << 62, size=size).tolist()
        return self._stack(rows, seeds, source_share, style)

    def fixed(self, size: int) -> Batch:
        """The same `size` samples at each call: people in turn, the portrait itself as reference, no augmentation."""
        count = -(-size // len(self.people))
        rows = []
        for k in range(size):
            own = self._of_person[k % len(self.people)]
            rows.append(int(own[(2 * (k // len(self.people)) + 1) * len(own) // (2 * count)]))
        return self._stack(rows, None, 1.0, False)

    def _stack(
        self, rows: Sequence[int], seeds: Sequence[int] | None, source_share: float, style: bool
    ) -> Batch:
        """The batch of some rows; seeds: one per sample for its augmentation, or None for no augmentation."""
        shape = (2, len(rows), aligned.CHANNELS, aligned.HEIGHT, aligned.WIDTH)
        batch = Batch(np.empty(shape, np.float32), np.empty((*shape[:2], 3, *shape[3:]), np.float32))

        def fill(k: int) -> None:
            random = None if seeds is None else np.random.default_rng(seeds[k])
            crops, geometries, flip = self._sample(rows[k], random, source_share, style)
            for moment in range(2):
                planes = aligned.stack(crops[2 * moment], crops[4], None, geometries[moment])[0]
                truth = crops[2 * moment + 1].transpose(2, 0, 1) / np.float32(127.5) - 1
                batch.inputs[moment, k] = planes[..., ::-1] if flip else planes
                batch.truths[moment, k] = truth[..., ::-1] if flip else truth

        list(self._pool.map(fill, range(len(rows))))
        return batch

    def _sample(
        self, row: int, random: np.random.Generator | None, source_share: float, style: bool
    ) -> tuple[list[Image], list[aligned.Geometry], bool]:
        """Five crops (warped and true before, warped and true, reference), both geometries, whether to mirror."""
        file, inner = self._row_of[row]
        pictures, maps, points = (part[inner] for part in self._files[file])
        before, true_before, now, true_now, own, near = pictures
        reference = own if random is None or random.random() < source_share else near
        crops = [before, true_before, now, true_now, reference]
        geometries = [_geometry(maps[moment], points[moment]) for moment in range(2)]
        if random is None:
            return crops, geometries, False
        flip = bool(random.integers(2))
        return (augment(crops, geometries, random) if style else crops), geometries, flip


def _geometry(maps: npt.NDArray[np.int8], points: FloatArray) -> aligned.Geometry:
    stretch, fill = maps.astype(np.float32) / np.float32(MAP_SCALE)
    return aligned.geometry(points, stretch, fill)


def _weights(filmed: Sequence[bool], photo_share: float) -> npt.NDArray[np.float64]:
    """Probability of each person, (people,), with sum 1; filmed: whether there are videos of that person."""
    of_films = np.array(filmed)
    share = np.where(of_films, 1 - photo_share, photo_share)
    alike = np.where(of_films, of_films.sum(), (~of_films).sum())
    weights = share / alike if of_films.any() and not of_films.all() else np.ones(len(of_films))
    return np.asarray(weights / weights.sum(), np.float64)


def read_index(folder: Path) -> list[Entry]:
    """Read the index of a prepared folder; MissingFileError if there is none."""
    path = folder / INDEX
    if not path.is_file():
        command = f"gioconda prepare VIDEOS --for refiner -o {folder}"
        raise MissingFileError(f"{path} does not exist; run {command} first")
    return [Entry(**row) for row in json.loads(path.read_text(encoding="utf-8"))]


def _chosen(entries: Sequence[Entry], people: int) -> list[str]:
    names = sorted({entry.identity for entry in entries})
    if 0 < people < len(names):
        order = np.random.default_rng(people).permutation(len(names))
        names = sorted(names[k] for k in order[:people])
    return names
