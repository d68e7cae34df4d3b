"""Batches for meta-learning: of each person some photos and one more, every draw by the step's number alone."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from gioconda.engines.fewshot import crop
from gioconda.errors import InputError
from gioconda.training.fewshot.shards import Shards
from gioconda.types import FloatArray, Image

SAME_CLIP_SHARE = 0.25  # of the samples whose photos may come from the target's own clip
SCALE, SHIFT, TURN = 0.07, 0.04, 4.0  # of jitter: share of size, share of side, degrees
LIT_SHARE, GREY_SHARE = 0.6, 0.08  # of the samples that get other light, and lose their colour
DETAILS = (crop.RIGHT_EYE, crop.LEFT_EYE, crop.OUTER_LIPS)
RIM = 0.03  # of the square's side, by which eyes and mouth are taken larger than their outlines
CACHE_BYTES = 6 * 2**30  # of decoded pictures that are kept; beyond, they are decoded at each draw


@dataclass(frozen=True)
class Batch:
    """photos (N, K, 2, 3, S, S): picture and landmark picture; target (N, 2, 3, S, S); who (N,): person's index.

    float32 in -1..1. details (N, 1, S, S): 1 in eyes and mouth of the target, else 0.
    """

    photos: FloatArray
    target: FloatArray
    details: FloatArray
    who: npt.NDArray[np.int64]


@dataclass(frozen=True)
class Look:
    """How one sample is changed: mirrored or not, and a table (256, 3) of colours, or None."""

    mirror: bool
    colours: npt.NDArray[np.uint8] | None
    grey: bool


class Heads:
    """Prepared heads of one split, at `size` pixels.

    group: what counts as one person's set of pictures, `person` or `video`. people: how many sets to keep,
    drawn at random; 0 for all. Raises MissingFileError or InputError where there is nothing to draw.
    """

    def __init__(self, shards: Shards, size: int, *, group: str = "person", people: int = 0) -> None:
        self._shards, self.size = shards, size
        self._stored = round(size * shards.margin)
        sets: dict[str, list[int]] = {}
        for index, clip in enumerate(shards.clips):
            sets.setdefault(
                clip.identity if group == "person" else f"{clip.identity}/{clip.video}", []
            ).append(index)
        names = sorted(name for name, clips in sets.items() if sum(shards.clips[k].count for k in clips) > 1)
        if 0 < people < len(names):
            order = np.random.default_rng(people).permutation(len(names))
            names = sorted(names[k] for k in order[:people])
        if not names:
            raise InputError("the prepared folder holds no person with two pictures in this split")
        self.people = names
        self.clips = [sets[name] for name in names]
        frames = np.array([sum(shards.clips[k].count for k in clips) for clips in self.clips], np.float64)
        self._odds = np.sqrt(frames) / np.sqrt(frames).sum()
        self._pool = ThreadPoolExecutor(2, "gioconda-heads")
        self._ahead = ThreadPoolExecutor(1, "gioconda-batch")
        self._next: tuple[object, Future[Batch]] | None = None
        total = int(frames.sum()) * self._stored**2 * 3
        self._cache: dict[tuple[int, int], Image] | None = {} if total < CACHE_BYTES else None
        self._landmarks: dict[int, FloatArray] = {}

    def batch(self, seed: int, index: int, size: int, shots: int, part: slice = slice(None)) -> Batch:
        """The batch of step `index`, `shots` photos each; part: the rows that this process takes."""
        key = (seed, index, size, shots, part.start, part.step)
        if self._next is not None and self._next[0] == key:
            return self._next[1].result()
        return self._draw(seed, index, size, shots, part)

    def expect(self, seed: int, index: int, size: int, shots: int, part: slice = slice(None)) -> None:
        """Begin to make a batch that will be asked for next."""
        key = (seed, index, size, shots, part.start, part.step)
        self._next = (key, self._ahead.submit(self._draw, seed, index, size, shots, part))

    def _draw(self, seed: int, index: int, size: int, shots: int, part: slice) -> Batch:
        random = np.random.default_rng((seed, index))
        who = random.choice(len(self.people), size, p=self._odds)
        seeds = random.integers(1 << 62, size=size)
        rows = list(range(size))[part]
        made = list(self._pool.map(lambda k: self._sample(int(who[k]), int(seeds[k]), shots), rows))
        photos, targets, details = (np.stack([one[side] for one in made]) for side in range(3))
        return Batch(photos, targets, details, who[rows].astype(np.int64))

    def fixed(self, size: int, shots: int) -> Batch:
        """The same `size` samples at each call, people in turn, photos from other clips, nothing changed."""
        photos, targets, details, who = [], [], [], []
        for k in range(size):
            person, turn = k % len(self.people), k // len(self.people)
            clips = self.clips[person]
            clip = clips[(turn * 7 + 3) % len(clips)]
            frame = (turn * 5 + 2) % self._shards.clips[clip].count
            chosen = self._spread(person, clip, shots)
            photos.append(np.stack([self._seen(*one, STRAIGHT) for one in chosen]))
            targets.append(self._seen(clip, frame, STRAIGHT))
            details.append(self._details(clip, frame, STRAIGHT))
            who.append(person)
        return Batch(np.stack(photos), np.stack(targets), np.stack(details), np.array(who, np.int64))

    def _spread(self, person: int, but: int, shots: int) -> list[tuple[int, int]]:
        clips = [c for c in self.clips[person] if c != but] or [but]
        chosen = [
            clips[(k * len(clips)) // shots] if len(clips) >= shots else clips[k % len(clips)]
            for k in range(shots)
        ]
        return [(c, (k * 3) % self._shards.clips[c].count) for k, c in enumerate(chosen)]

    def _sample(self, person: int, seed: int, shots: int) -> tuple[FloatArray, FloatArray, FloatArray]:
        random = np.random.default_rng(seed)
        clips = self.clips[person]
        clip = int(random.choice(clips))
        frame = int(random.integers(self._shards.clips[clip].count))
        look = _look(random)
        chosen = self._photos(clips, clip, frame, shots, random)
        photos = [self._seen(c, f, jittered(random, mirror=look.mirror), look) for c, f in chosen]
        place = jittered(random, mirror=look.mirror)
        return np.stack(photos), self._seen(clip, frame, place, look), self._details(clip, frame, place)

    def _photos(
        self, clips: Sequence[int], clip: int, frame: int, shots: int, random: np.random.Generator
    ) -> list[tuple[int, int]]:
        """Photos of the person: of other clips mostly, never the target itself unless there is no other."""
        others = [c for c in clips if c != clip]
        if not others or random.random() < SAME_CLIP_SHARE:
            others = [*others[: len(others) // 4], clip]
        found = []
        for _ in range(shots):
            c = int(random.choice(others))
            count = self._shards.clips[c].count
            f = int(random.integers(count))
            found.append((c, (f + 1) % count if (c, f) == (clip, frame) else f))
        return found

    def _stored_picture(self, clip: int, frame: int) -> Image:
        found = None if self._cache is None else self._cache.get((clip, frame))
        if found is None:
            whole = self._shards.picture(clip, frame)
            found = np.asarray(cv2.resize(whole, (self._stored,) * 2, interpolation=cv2.INTER_AREA), np.uint8)
            if self._cache is not None:
                self._cache[clip, frame] = found
        return found

    def _stored_points(self, clip: int, frame: int) -> FloatArray:
        if clip not in self._landmarks:
            scale = self._stored / self._shards.size
            points = self._shards.landmarks(clip)[..., :2]
            self._landmarks[clip] = ((points + 0.5) * scale - 0.5).astype(np.float32)
        return np.asarray(self._landmarks[clip][frame], np.float32)

    def _seen(self, clip: int, frame: int, place: Place, look: Look | None = None) -> FloatArray:
        image, points = self._stored_picture(clip, frame), self._stored_points(clip, frame)
        return seen(image, points, self.size, place, look)

    def _details(self, clip: int, frame: int, place: Place) -> FloatArray:
        return eyes_and_mouth(self._stored_points(clip, frame), self._stored, self.size, place)


@dataclass(frozen=True)
class Place:
    """How a head's square is moved about its middle: linear (2, 2), shift (2,) as a share of its side."""

    linear: FloatArray
    shift: FloatArray

    def matrix(self, stored: int, size: int) -> FloatArray:
        """The map (2, 3) from the pixels of a stored picture of this side to those of the one in use."""
        offset = (size - 1) / 2 + self.shift * size - self.linear @ np.full(2, (stored - 1) / 2, np.float32)
        return np.asarray(np.concatenate([self.linear, offset[:, None]], 1), np.float32)


STRAIGHT = Place(np.eye(2, dtype=np.float32), np.zeros(2, np.float32))


def jittered(random: np.random.Generator, *, mirror: bool = False) -> Place:
    """A small turn, another scale, a shift."""
    turn = np.deg2rad(random.normal(0, TURN / 2))
    scale = float(np.exp(random.normal(0, SCALE / 2)))
    cos, sin, side = scale * np.cos(turn), scale * np.sin(turn), -1.0 if mirror else 1.0
    linear = np.array([[cos * side, -sin], [sin * side, cos]], np.float32)
    return Place(linear, random.normal(0, SHIFT / 2, 2).astype(np.float32))


def seen(image: Image, points: FloatArray, size: int, place: Place, look: Look | None = None) -> FloatArray:
    """Picture and landmark picture (2, 3, size, size) of a stored head.

    image: (s, s, 3), crop.MARGIN times the square in use; points (478, 2) in its pixels.
    """
    matrix = place.matrix(len(image), size)
    how = cv2.INTER_LINEAR
    cut = cv2.warpAffine(image, matrix, (size, size), flags=how, borderMode=cv2.BORDER_REPLICATE)
    head = np.asarray(cut, np.uint8)
    moved = points @ place.linear.T + matrix[:, 2]
    head = head if look is None else _coloured(head, look)
    return np.stack([crop.planes(head), crop.planes(crop.draw(np.asarray(moved, np.float32), size))])


def eyes_and_mouth(points: FloatArray, stored: int, size: int, place: Place) -> FloatArray:
    """Where eyes and mouth, with a rim, of a head stored in `stored` pixels are seen: (1, size, size), 0 or 1."""
    points = points @ place.linear.T + place.matrix(stored, size)[:, 2]
    mask = np.zeros((size, size), np.uint8)
    for outline in DETAILS:
        cv2.fillConvexPoly(mask, cv2.convexHull(np.rint(points[list(outline)]).astype(np.int32)), (1,))
    reach = 1 + 2 * max(1, round(RIM * size))
    return np.asarray(cv2.dilate(mask, np.ones((reach, reach), np.uint8))[None], np.float32)


def _look(random: np.random.Generator) -> Look:
    mirror, grey = bool(random.integers(2)), random.random() < GREY_SHARE
    if random.random() >= LIT_SHARE:
        return Look(mirror, None, grey)
    levels = np.arange(256, dtype=np.float32)[:, None] / 255
    gamma, gain = np.exp(random.normal(0, 0.2)), np.exp(random.normal(0, 0.08, 3))
    table = np.clip(levels**gamma * gain * 255, 0, 255)
    return Look(mirror, np.asarray(table, np.uint8), grey)


def _coloured(image: Image, look: Look) -> Image:
    if look.colours is not None:
        image = np.asarray(cv2.LUT(image, look.colours[:, None, :].transpose(1, 0, 2)), np.uint8)
    if look.grey:
        image = np.repeat(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None], 3, 2).astype(np.uint8)
    return image
