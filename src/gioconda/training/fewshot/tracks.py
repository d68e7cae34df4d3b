"""One take of a video -> some of its frames, cropped to one square, with their landmarks."""

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

# Frames of a take that are read, from its start
MOST_FRAMES = 400
# Frames among them that are tracked, evenly spread: a face moves little within four frames
MOST_TRACKED = 100
# The fewest frames with a face
LEAST_FRAMES = 4
# Longest side in pixels; larger frames are scaled down, which is still enough for a head of 256 px
LONGEST_SIDE = 1920
# Side of the region in which a face is tracked, in sides of VoxCeleb's boxes
AROUND = 2.0
# Largest distance of the face's centre from the box's, in sides of the box
NEAR = 0.5
# Share of the side that the frame takes; the rest is its repeated edge
PAPER_SHARE = 224 / 256
# Side of a track in sides of the face's bounds, as VoxCeleb2 crops it
PAPER_FACE = 1.6


@dataclass(frozen=True)
class FaceFrame:
    """A frame with its face: image (H, W, 3) uint8, landmarks (478, 3) float32 in its pixels."""

    image: Image
    landmarks: FloatArray


def margin_of(kind: str) -> float:
    """Side of a stored picture's square relative to the one in use."""
    return crop.MARGIN if kind == "head" else 1 / PAPER_SHARE


class Reel:
    """Reads frames of one video after another; stretches of the same video, in order, take one pass over it."""

    def __init__(self) -> None:
        self._reader: media.VideoReader | None = None
        self._ahead: Frame | None = None

    def open(self, path: Path, start: float = 0.0) -> media.VideoInfo:
        """Open a video, or go back in it if its next frame is later than `start` seconds."""
        reader = self._reader
        if reader is None or reader.path != path or self._ahead is None or self._ahead.time > start:
            self.close()
            self._reader = reader = media.read_frames(path)
            self._ahead = next(reader, None)
        return reader.info

    def frames(self, start: float = 0.0, end: float = math.inf) -> Iterator[Frame]:
        """Yield the frames from `start` to `end`, in seconds; the first later frame stays for the next call."""
        while self._ahead is not None and self._ahead.time <= end:
            frame = self._ahead
            self._ahead = None if self._reader is None else next(self._reader, None)
            if frame.time >= start:
                yield frame

    def close(self) -> None:
        """Close the video."""
        if self._reader is not None:
            self._reader.close()
        self._reader, self._ahead = None, None


def cropped(reel: Reel, take: Take, frames: int, kind: str, size: int) -> tuple[list[Image], FloatArray]:
    """Crop evenly spread frames of a take.

    Args:
        reel: The reader of the videos.
        take: The take.
        frames: The most pictures.
        kind: "head" for the square around the head; "paper" for the track as VoxCeleb2 crops it, with its edge
            repeated.
        size: Side of the pictures in pixels.

    Returns:
        n pictures (size, size, 3) RGB uint8, and landmarks (n, 478, 3) in their pixels.

    Raises:
        InputError: The video or its box file is damaged, or too few frames show the face.
    """
    boxes = None if take.boxes is None else read_boxes(take.boxes)
    face_frames, place = _frames_with_faces(reel, take.clip.path, boxes, 2 * frames)
    if len(face_frames) < LEAST_FRAMES:
        problem = f"only {len(face_frames)} frames with a face" if face_frames else "no face found"
        raise InputError(f"{problem}, {LEAST_FRAMES} are needed")
    chosen = [
        face_frames[k] for k in np.unique(np.linspace(0, len(face_frames) - 1, frames).round().astype(int))
    ]
    landmarks = np.stack([frame.landmarks for frame in chosen])
    if kind == "head":
        square = crop.head_square(landmarks).enlarged(crop.MARGIN)
        return [crop.cut_square(frame.image, square, size) for frame in chosen], crop.to_square(
            landmarks, square, size
        )
    square = _track(take, chosen[0].image, landmarks, place)
    inner = round(size * PAPER_SHARE)
    before = (size - inner) // 2
    points = crop.to_square(landmarks, square, inner)
    points[..., :2] += before
    return [_framed(crop.cut_square(frame.image, square, inner), before, size) for frame in chosen], points


def _framed(image: Image, before: int, size: int) -> Image:
    after = size - before - image.shape[0]
    return np.asarray(cv2.copyMakeBorder(image, before, after, before, after, cv2.BORDER_REPLICATE), np.uint8)


def _track(take: Take, image: Image, landmarks: FloatArray, place: Square | None) -> Square:
    """The square of the track: VoxCeleb's box, a whole cropped picture, or a similar square around the face."""
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


def _frames_with_faces(
    reel: Reel, path: Path, boxes: Boxes | None, most: int
) -> tuple[list[FaceFrame], Square | None]:
    """Frames with a face, always fewer than twice `most`, and the square of the boxes if there are any."""
    start, end = (0.0, math.inf) if boxes is None else _stretch(boxes)
    info = reel.open(path, start)
    expected = info.frames if boxes is None else round((end - start) * info.fps)
    stride = max(1, math.ceil(min(expected, MOST_FRAMES) / MOST_TRACKED))
    face_frames: list[FaceFrame] = []
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
            face_frame = _find_face(tracker, image, guide, frame.time)
            looked += 1
            if face_frame is None or (looked - 1) % step:
                continue
            face_frames.append(face_frame)
            if len(face_frames) >= most:
                face_frames, step = face_frames[::2], 2 * step
    if not looked:
        raise InputError("its boxes begin after the end of the video")
    return face_frames, None if guide is None else guide.square


def _stretch(boxes: Boxes) -> tuple[float, float]:
    """Start and end of the boxes in seconds, at most MOST_FRAMES."""
    # Half a frame more on both sides, so that rounding loses neither the first frame nor the last
    half = 0.5 / RATE
    start = float(boxes.times[0])
    end = min(float(boxes.times[-1]), start + (MOST_FRAMES - 1) / RATE)
    return max(0.0, start - half), end + half


class _Guide:
    """The face's position by VoxCeleb's boxes: a region of the picture to track in, and a box at each time."""

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
                "its boxes are outside the picture; check that the video has the size to which they refer"
            )
        self.low, self.high = low, high

    def agrees(self, landmarks: FloatArray, time: float) -> bool:
        """Whether landmarks (478, 3) belong to the face in the box at `time`, in seconds."""
        x, y, w, h = self._rows[np.abs(self._times - time).argmin()]
        middle = (landmarks[:, :2].min(0) + landmarks[:, :2].max(0)) / 2
        return bool((np.abs(middle - (x + w / 2, y + h / 2)) <= NEAR * np.array([w, h])).all())


def _find_face(
    tracker: face.FaceTracker, image: Image, guide: _Guide | None, time: float
) -> FaceFrame | None:
    """Find the face of a frame that shows both eyes and agrees with the boxes; None if there is none."""
    low = (0, 0) if guide is None else (int(guide.low[0]), int(guide.low[1]))
    part = image
    if guide is not None:
        part = np.ascontiguousarray(image[low[1] : guide.high[1], low[0] : guide.high[0]])
    for candidate in tracker.process(part):
        landmarks = candidate.landmarks + np.array([*low, 0], np.float32)
        if face.shows_both_eyes(candidate, part.shape) and (guide is None or guide.agrees(landmarks, time)):
            return FaceFrame(image, landmarks)
    return None


def _shrunk(image: Image) -> tuple[Image, float]:
    """Scale a picture down to LONGEST_SIDE, if it is larger; return it and the scale."""
    longest = max(image.shape[:2])
    if longest <= LONGEST_SIDE:
        return image, 1.0
    scale = LONGEST_SIDE / longest
    small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.uint8), scale
