"""Damaged copies of the seeds: each cut at 16 points, and bytes changed at random, the same for the same number."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from dataclasses import dataclass

import numpy as np

CUTS = 16
FLIPS = 1000  # of each seed, in the full set
_ODD = (0, 1, 2**31 - 1, 2**31, 2**32 - 1, 2**16, 2**24)  # numbers that lengths and sizes trip over


@dataclass(frozen=True)
class Case:
    """One file: the seed's name, `cut` or `flip` and which of them, or `whole`, undamaged."""

    seed: str
    how: str
    index: int

    def __str__(self) -> str:
        return f"{self.seed}:{self.how}:{self.index}"

    @classmethod
    def parse(cls, text: str) -> Case:
        """From what `str` gives."""
        seed, how, index = text.split(":")
        return cls(seed, how, int(index))


def cases(seeds: list[str], count: int | None, start: int = 0) -> list[Case]:
    """`count` cases, spread evenly over seeds and cuts; all of them if None. Others for another `start`."""
    cut = [Case(seed, "cut", i) for i in range(CUTS) for seed in seeds]
    flips = [Case(seed, "flip", start + i) for i in range(FLIPS) for seed in seeds]
    if count is None:
        return cut + flips
    cut = cut[: count * len(cut) // (len(cut) + 5 * len(seeds))] if count < 5 * len(cut) else cut
    return cut + flips[: max(count - len(cut), 0)]


def mutant(case: Case, data: bytes) -> bytes:
    """The damaged bytes of a case. Every second flip of a png or npz gets its checksums right again."""
    if case.how == "whole":
        return data
    if case.how == "cut":
        return data[: len(data) * case.index // CUTS]
    rng = np.random.default_rng([zlib.crc32(case.seed.encode()), case.index])
    if case.index % 2 and case.seed.endswith(".png"):
        return _with_sums(_flipped(data, rng))
    if case.index % 2 and case.seed.endswith(".npz"):
        return _packed_anew(data, rng)
    return _flipped(data, rng)


def _flipped(data: bytes, rng: np.random.Generator) -> bytes:
    """Some bytes changed: single ones, four at a time to an odd number, or a piece left out or doubled."""
    made = bytearray(data)
    for _ in range(int(2 ** rng.uniform(0, 5))):
        reach = len(made) if rng.random() < 0.5 else min(len(made), 200)  # headers matter more
        if reach < 8:
            return bytes(made)
        at, way = int(rng.integers(reach - 4)), rng.random()
        if way < 0.45:
            made[at] = int(rng.integers(256))
        elif way < 0.7:
            made[at] ^= 1 << int(rng.integers(8))
        elif way < 0.92:
            odd = _ODD[int(rng.integers(len(_ODD)))]
            made[at : at + 4] = struct.pack(">I" if rng.random() < 0.5 else "<I", odd)
        elif way < 0.96:
            del made[at : at + int(rng.integers(1, 64))]
        else:
            made[at:at] = made[at : at + int(rng.integers(1, 64))]
    return bytes(made)


def _with_sums(data: bytes) -> bytes:
    """A png whose parts' checksums are those of what they hold."""
    made, at = bytearray(data), 8
    while at + 12 <= len(made):
        end = at + 8 + int.from_bytes(made[at : at + 4], "big")
        if end + 4 > len(made):
            break
        made[end : end + 4] = struct.pack(">I", zlib.crc32(made[at + 4 : end]))
        at = end + 4
    return bytes(made)


def _packed_anew(data: bytes, rng: np.random.Generator) -> bytes:
    """An npz in which one array is damaged, and the archive around it sound."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
        names = old.namelist()
        chosen = names[int(rng.integers(len(names)))]
        for name in names:
            content = old.read(name)
            new.writestr(name, _flipped(content, rng) if name == chosen else content)
    return out.getvalue()
