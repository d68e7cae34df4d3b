"""Batches for meta-learning: some photos and a target of each person; every draw depends on the step's number alone."""

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

# Share of the samples whose photos may come from the target's own clip
SAME_CLIP_SHARE = 0.25
# Two deviations of the jitter: scale as a share, translation as a share of the side, rotation in degrees
SCALE, SHIFT, TURN = 0.07, 0.04, 4.0
# Shares of the samples that get other light, and that lose their colour
LIT_SHARE, GREY_SHARE = 0.6, 0.08
DETAILS = (crop.RIGHT_EYE, crop.LEFT_EYE, crop.OUTER_LIPS)
# Margin around the outlines of eyes and mouth, as a share of the square's side
RIM = 0.03
# Most bytes of decoded pictures to cache; a larger set is decoded at each draw
CACHE_BYTES = 6 * 2**30


@dataclass(frozen=True)
class FewshotBatch:
    """One batch, float32.

    Attributes:
        photos: Pictures and landmark pictures (N, K, 2, 3, S, S), -1..1.
        target: Picture and landmark picture (N, 2, 3, S, S), -1..1.
        details: 1 in eyes and mouth of the target, else 0, (N, 1, S, S).
        person: The person's index (N,), int64.
    """

    photos: FloatArray
    target: FloatArray
    details: FloatArray
    person: npt.NDArray[np.int64]


@dataclass(frozen=True)
class Augmentation:
    """The augmentation of one sample: whether to mirror, a table (256, 3) of colours or None, whether to grey."""

    mirror: bool
    colours: npt.NDArray[np.uint8] | None
    grey: bool


class Heads:
    """The prepared heads of one split.

    Args:
        shards: The prepared clips.
        size: Side of the pictures in pixels.
        group: The pictures that form one set: those of a `person`, or of a `video`.
        people: How many sets to keep, drawn at random; 0 for all.

    Raises:
        InputError: No set has two pictures.
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
            raise InputError("the prepared folder has no person with two pictures in this split")
        self.people = names
        self.clips = [sets[name] for name in names]
        frames = np.array([sum(shards.clips[k].count for k in clips) for clips in self.clips], np.float64)
        self._odds = np.sqrt(frames) / np.sqrt(frames).sum()
        self._pool = ThreadPoolExecutor(2, "gioconda-heads")
        self._ahead = ThreadPoolExecutor(1, "gioconda-batch")
        self._next: tuple[object, Future[FewshotBatch]] | None = None
        total = int(frames.sum()) * self._stored**2 * 3
        self._cache: dict[tuple[int, int], Image] | None = {} if total < CACHE_BYTES else None
        self._landmarks: dict[int, FloatArray] = {}

    def batch(self, seed: int, index: int, size: int, shots: int, part: slice = slice(None)) -> FewshotBatch:
        """The batch of step `index`, with `shots` photos per sample; part: the rows of this process."""
        key = (seed, index, size, shots, part.start, part.step)
        if self._next is not None and self._next[0] == key:
            return self._next[1].result()
        return self._draw(seed, index, size, shots, part)

    def expect(self, seed: int, index: int, size: int, shots: int, part: slice = slice(None)) -> None:
        """Start to make the next batch in the background."""
        key = (seed, index, size, shots, part.start, part.step)
        self._next = (key, self._ahead.submit(self._draw, seed, index, size, shots, part))

    def _draw(self, seed: int, index: int, size: int, shots: int, part: slice) -> FewshotBatch:
        random = np.random.default_rng((seed, index))
        people = random.choice(len(self.people), size, p=self._odds)
        seeds = random.integers(1 << 62, size=size)
        rows = list(range(size))[part]
        samples = list(self._pool.map(lambda k: self._sample(int(people[k]), int(seeds[k]), shots), rows))
        photos, targets, details = (np.stack([sample[side] for sample in samples]) for side in range(3))
        return FewshotBatch(photos, targets, details, people[rows].astype(np.int64))

    def fixed(self, size: int, shots: int) -> FewshotBatch:
        """The same `size` samples at each call: people in turn, photos from other clips, no augmentation."""
        photos, targets, details, indices = [], [], [], []
        for k in range(size):
            person, turn = k % len(self.people), k // len(self.people)
            clips = self.clips[person]
            clip = clips[(turn * 7 + 3) % len(clips)]
            frame = (turn * 5 + 2) % self._shards.clips[clip].count
            chosen = self._spread(person, clip, shots)
            photos.append(np.stack([self._input_pair(*photo, STRAIGHT) for photo in chosen]))
            targets.append(self._input_pair(clip, frame, STRAIGHT))
            details.append(self._details(clip, frame, STRAIGHT))
            indices.append(person)
        return FewshotBatch(
            np.stack(photos), np.stack(targets), np.stack(details), np.array(indices, np.int64)
        )

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
        augmentation = _random_augmentation(random)
        chosen = self._photos(clips, clip, frame, shots, random)
        photos = [
            self._input_pair(c, f, jittered(random, mirror=augmentation.mirror), augmentation)
            for c, f in chosen
        ]
        place = jittered(random, mirror=augmentation.mirror)
        return (
            np.stack(photos),
            self._input_pair(clip, frame, place, augmentation),
            self._details(clip, frame, place),
        )

    def _photos(
        self, clips: Sequence[int], clip: int, frame: int, shots: int, random: np.random.Generator
    ) -> list[tuple[int, int]]:
        """Draw photos of the person, mostly from other clips, and the target itself only if there is no other."""
        others = [c for c in clips if c != clip]
        if not others or random.random() < SAME_CLIP_SHARE:
            others = [*others[: len(others) // 4], clip]
        photos = []
        for _ in range(shots):
            c = int(random.choice(others))
            count = self._shards.clips[c].count
            f = int(random.integers(count))
            photos.append((c, (f + 1) % count if (c, f) == (clip, frame) else f))
        return photos

    def _stored_picture(self, clip: int, frame: int) -> Image:
        picture = None if self._cache is None else self._cache.get((clip, frame))
        if picture is None:
            whole = self._shards.picture(clip, frame)
            picture = np.asarray(
                cv2.resize(whole, (self._stored,) * 2, interpolation=cv2.INTER_AREA), np.uint8
            )
            if self._cache is not None:
                self._cache[clip, frame] = picture
        return picture

    def _stored_points(self, clip: int, frame: int) -> FloatArray:
        if clip not in self._landmarks:
            scale = self._stored / self._shards.size
            points = self._shards.landmarks(clip)[..., :2]
            self._landmarks[clip] = ((points + 0.5) * scale - 0.5).astype(np.float32)
        return np.asarray(self._landmarks[clip][frame], np.float32)

    def _input_pair(
        self, clip: int, frame: int, place: CropTransform, augmentation: Augmentation | None = None
    ) -> FloatArray:
        image, points = self._stored_picture(clip, frame), self._stored_points(clip, frame)
        return input_pair(image, points, self.size, place, augmentation)

    def _details(self, clip: int, frame: int, place: CropTransform) -> FloatArray:
        return eyes_and_mouth(self._stored_points(clip, frame), self._stored, self.size, place)


@dataclass(frozen=True)
class CropTransform:
    """A transform of a head's square around its centre: linear (2, 2), shift (2,) as a share of its side."""

    linear: FloatArray
    shift: FloatArray

    def matrix(self, stored: int, size: int) -> FloatArray:
        """The affine map (2, 3) from pixels of a picture of side `stored` to those of one of side `size`."""
        offset = (size - 1) / 2 + self.shift * size - self.linear @ np.full(2, (stored - 1) / 2, np.float32)
        return np.asarray(np.concatenate([self.linear, offset[:, None]], 1), np.float32)


STRAIGHT = CropTransform(np.eye(2, dtype=np.float32), np.zeros(2, np.float32))


def jittered(random: np.random.Generator, *, mirror: bool = False) -> CropTransform:
    """Draw a small rotation, scale and translation, mirrored if `mirror`."""
    turn = np.deg2rad(random.normal(0, TURN / 2))
    scale = float(np.exp(random.normal(0, SCALE / 2)))
    cos, sin, side = scale * np.cos(turn), scale * np.sin(turn), -1.0 if mirror else 1.0
    linear = np.array([[cos * side, -sin], [sin * side, cos]], np.float32)
    return CropTransform(linear, random.normal(0, SHIFT / 2, 2).astype(np.float32))


def input_pair(
    image: Image,
    points: FloatArray,
    size: int,
    place: CropTransform,
    augmentation: Augmentation | None = None,
) -> FloatArray:
    """Crop a stored head and draw its landmarks.

    Args:
        image: The stored picture (s, s, 3), whose square is crop.MARGIN times the one in use.
        points: Landmarks (478, 2), in pixels of the stored picture.
        size: Side of the result in pixels.
        place: The transform of the square.
        augmentation: The change of colours; None for none.

    Returns:
        Picture and landmark picture (2, 3, size, size) float32 in -1..1.
    """
    matrix = place.matrix(len(image), size)
    interpolation = cv2.INTER_LINEAR
    warped = cv2.warpAffine(image, matrix, (size, size), flags=interpolation, borderMode=cv2.BORDER_REPLICATE)
    head = np.asarray(warped, np.uint8)
    moved = points @ place.linear.T + matrix[:, 2]
    head = head if augmentation is None else _coloured(head, augmentation)
    return np.stack([crop.planes(head), crop.planes(crop.draw(np.asarray(moved, np.float32), size))])


def eyes_and_mouth(points: FloatArray, stored: int, size: int, place: CropTransform) -> FloatArray:
    """Mask of eyes and mouth with a margin, (1, size, size) float32, 0 or 1.

    points: landmarks (478, 2), in pixels of a stored picture of side `stored`.
    """
    points = points @ place.linear.T + place.matrix(stored, size)[:, 2]
    mask = np.zeros((size, size), np.uint8)
    for outline in DETAILS:
        cv2.fillConvexPoly(mask, cv2.convexHull(np.rint(points[list(outline)]).astype(np.int32)), (1,))
    reach = 1 + 2 * max(1, round(RIM * size))
    return np.asarray(cv2.dilate(mask, np.ones((reach, reach), np.uint8))[None], np.float32)


def _random_augmentation(random: np.random.Generator) -> Augmentation:
    mirror, grey = bool(random.integers(2)), random.random() < GREY_SHARE
    if random.random() >= LIT_SHARE:
        return Augmentation(mirror, None, grey)
    levels = np.arange(256, dtype=np.float32)[:, None] / 255
    gamma, gain = np.exp(random.normal(0, 0.2)), np.exp(random.normal(0, 0.08, 3))
    table = np.clip(levels**gamma * gain * 255, 0, 255)
    return Augmentation(mirror, np.asarray(table, np.uint8), grey)


def _coloured(image: Image, augmentation: Augmentation) -> Image:
    if augmentation.colours is not None:
        image = np.asarray(cv2.LUT(image, augmentation.colours[:, None, :].transpose(1, 0, 2)), np.uint8)
    if augmentation.grey:
        image = np.repeat(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None], 3, 2).astype(np.uint8)
    return image
