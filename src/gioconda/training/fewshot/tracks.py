"""One take of a video -> some of its frames, cut to one square, with their landmarks."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from gioconda import face, media
from gioconda.engines.fewshot import crop
from gioconda.engines.fewshot.crop import Square
from gioconda.errors import InputError
from gioconda.training.voxceleb import RATE, Boxes, Take, read_boxes
from gioconda.types import FloatArray, Frame, Image

MOST_FRAMES = 400  # from the start of a take that are looked at
MOST_TRACKED = 100  # of these that the tracker sees, evenly spread: a face moves little within four frames
LEAST_FRAMES = 4  # with a face
LONGEST_SIDE = 1920  # larger frames are scaled down: a head of 256 px has room in that
AROUND = 2.0  # sides of VoxCeleb's boxes in which a face is tracked
NEAR = 0.5  # of a box's sides, by which the face's middle may be off the box's
PAPER_SHARE = 224 / 256  # of the side that the frame takes, the rest is its repeated edge
PAPER_FACE = 1.6  # sides of a face's bounds in a track as VoxCeleb2 cuts it


@dataclass(frozen=True)
class Seen:
    """A frame with its face: image (H, W, 3) uint8, landmarks (478, 3) float32 in its pixels."""

    image: Image
    landmarks: FloatArray


def margin_of(kind: str) -> float:
    """How many times the side of its own square a stored picture has."""
    return crop.MARGIN if kind == "head" else 1 / PAPER_SHARE


class Reel:
    """Frames of one video after another; stretches of the same video, in order, take one pass over it."""

    def __init__(self) -> None:
        self._reader: media.VideoReader | None = None
        self._ahead: Frame | None = None

    def open(self, path: Path, start: float = 0.0) -> media.VideoInfo:
        """Bring a video to where its next frame is not later than `start` seconds, if it is not there already."""
        reader = self._reader
        if reader is None or reader.path != path or self._ahead is None or self._ahead.time > start:
            self.close()
            self._reader = reader = media.read_frames(path)
            self._ahead = next(reader, None)
        return reader.info

    def frames(self, start: float = 0.0, end: float = math.inf) -> Iterator[Frame]:
        """The frames from `start` to `end`, in seconds; the first one later than that is kept for next time."""
        while self._ahead is not None and self._ahead.time <= end:
            frame = self._ahead
            self._ahead = None if self._reader is None else next(self._reader, None)
            if frame.time >= start:
                yield frame

    def close(self) -> None:
        """Let go of the video."""
        if self._reader is not None:
            self._reader.close()
        self._reader, self._ahead = None, None


def cropped(reel: Reel, take: Take, frames: int, kind: str, size: int) -> tuple[list[Image], FloatArray]:
    """At most `frames` pictures (size, size, 3) of a take, evenly spread, and landmarks (n, 478, 3) in their pixels.

    kind: "head", the square around the head; "paper", the track as VoxCeleb2 cuts it with its edge repeated.
    Raises InputError where the video or its box file is damaged, or the face is found in too few frames.
    """
    boxes = None if take.boxes is None else read_boxes(take.boxes)
    seen, place = _seen(reel, take.clip.path, boxes, 2 * frames)
    if len(seen) < LEAST_FRAMES:
        found = f"a face in {len(seen)} frames alone" if seen else "no face found"
        raise InputError(f"{found}, {LEAST_FRAMES} are needed")
    chosen = [seen[k] for k in np.unique(np.linspace(0, len(seen) - 1, frames).round().astype(int))]
    landmarks = np.stack([one.landmarks for one in chosen])
    if kind == "head":
        square = crop.head_square(landmarks).enlarged(crop.MARGIN)
        return [crop.cut(one.image, square, size) for one in chosen], crop.into(landmarks, square, size)
    square = _track(take, chosen[0].image, landmarks, place)
    inner = round(size * PAPER_SHARE)
    before = (size - inner) // 2
    points = crop.into(landmarks, square, inner)
    points[..., :2] += before
    return [_framed(crop.cut(one.image, square, inner), before, size) for one in chosen], points


def _framed(image: Image, before: int, size: int) -> Image:
    after = size - before - image.shape[0]
    return np.asarray(cv2.copyMakeBorder(image, before, after, before, after, cv2.BORDER_REPLICATE), np.uint8)


def _track(take: Take, image: Image, landmarks: FloatArray, place: Square | None) -> Square:
    """The square of the track: the whole of a cropped picture, VoxCeleb's box, or one like it about the face."""
    if place is not None:
        return place
    height, width = image.shape[:2]
    if take.cropped:
        side = float(max(width, height))
        return Square((width - side) / 2, (height - side) / 2, side)
    low, high = landmarks[..., :2].min(1), landmarks[..., :2].max(1)
    side = PAPER_FACE * float(np.median((high - low).max(1)))
    x, y = np.median((low + high) / 2, axis=0)
    return Square(float(x) - side / 2, float(y) - side / 2, side)


def _seen(reel: Reel, path: Path, boxes: Boxes | None, most: int) -> tuple[list[Seen], Square | None]:
    """Frames with a face, fewer than twice `most` at any time, and the square of the boxes if there are some."""
    start, end = (0.0, math.inf) if boxes is None else _stretch(boxes)
    info = reel.open(path, start)
    expected = info.frames if boxes is None else round((end - start) * info.fps)
    stride = max(1, math.ceil(min(expected, MOST_FRAMES) / MOST_TRACKED))
    seen: list[Seen] = []
    looked, step, guide = 0, 1, None
    with face.FaceTracker() as tracker:
        for index, frame in enumerate(reel.frames(start, end)):
            if index >= MOST_FRAMES:
                break
            if index % stride:
                continue
            image, scale = _shrunk(frame.image)
            if boxes is not None and guide is None:
                guide = _Guide(boxes, frame.image.shape, scale)
            one = _look(tracker, image, guide, frame.time)
            looked += 1
            if one is None or (looked - 1) % step:
                continue
            seen.append(one)
            if len(seen) >= most:
                seen, step = seen[::2], 2 * step
    if not looked:
        raise InputError("its stretch lies beyond the end of the video")
    return seen, None if guide is None else guide.square


def _stretch(boxes: Boxes) -> tuple[float, float]:
    """From when to when the boxes go, MOST_FRAMES at most, in seconds."""
    half = 0.5 / RATE  # so that rounding loses neither the first frame nor the last
    start = float(boxes.times[0])
    end = min(float(boxes.times[-1]), start + (MOST_FRAMES - 1) / RATE)
    return max(0.0, start - half), end + half


class _Guide:
    """Where VoxCeleb's boxes want the face: a region of the picture to track in, and a box at each time."""

    def __init__(self, boxes: Boxes, shape: tuple[int, ...], scale: float) -> None:
        height, width = shape[:2]
        rows = boxes.pixels(width, height) * np.float32(scale)
        rows = rows[boxes.times <= boxes.times[0] + MOST_FRAMES / RATE]
        self._times, self._rows = boxes.times[: len(rows)], rows
        x, y, w, h = np.median(rows, axis=0)
        side = float(max(w, h))
        self.square = Square(float(x + w / 2) - side / 2, float(y + h / 2) - side / 2, side)
        grown = (AROUND - 1) / 2 * rows[:, 2:]
        limits = np.round(np.array([width, height]) * scale).astype(int)
        low = np.clip(np.floor((rows[:, :2] - grown).min(0)), 0, limits).astype(int)
        high = np.clip(np.ceil((rows[:, :2] + rows[:, 2:] + grown).max(0)), 0, limits).astype(int)
        if (high - low < 16).any():
            raise InputError(
                "its boxes lie outside the picture: is the video of the size that they count in?"
            )
        self.low, self.high = low, high

    def agrees(self, landmarks: FloatArray, time: float) -> bool:
        """Whether landmarks (478, 3) are those of the face in the box of `time`."""
        x, y, w, h = self._rows[np.abs(self._times - time).argmin()]
        middle = (landmarks[:, :2].min(0) + landmarks[:, :2].max(0)) / 2
        return bool((np.abs(middle - (x + w / 2, y + h / 2)) <= NEAR * np.array([w, h])).all())


def _look(tracker: face.FaceTracker, image: Image, guide: _Guide | None, time: float) -> Seen | None:
    """The frame with its face, if there is one, both eyes in the picture, where the boxes want it."""
    low = (0, 0) if guide is None else (int(guide.low[0]), int(guide.low[1]))
    part = image
    if guide is not None:
        part = np.ascontiguousarray(image[low[1] : guide.high[1], low[0] : guide.high[0]])
    for found in tracker.process(part):
        landmarks = found.landmarks + np.array([*low, 0], np.float32)
        if face.shows_both_eyes(found, part.shape) and (guide is None or guide.agrees(landmarks, time)):
            return Seen(image, landmarks)
    return None


def _shrunk(image: Image) -> tuple[Image, float]:
    """The picture with no side longer than LONGEST_SIDE, and its scale."""
    longest = max(image.shape[:2])
    if longest <= LONGEST_SIDE:
        return image, 1.0
    scale = LONGEST_SIDE / longest
    small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.uint8), scale
