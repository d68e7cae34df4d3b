"""Search a picture for faces: upright ones in the whole picture first, then small and rotated ones."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import replace

import cv2
import numpy as np

from gioconda.face.blazeface import FULL, SHORT, Detection, detect
from gioconda.face.region import Region
from gioconda.limits import LIMITS
from gioconda.types import Image

# The short-range detector responds to animals: a dog scores 0.72, paintings score 0.78 and more.
SHORT_RANGE_SCORE = 0.8
# Share of the picture's longer side. If the largest face is smaller, the first search may have missed others.
SMALL = 0.12
# Share of the picture's longer side. The search of the whole picture would have found a larger face.
LARGEST_IN_TILE = 0.3
# Pixels; the detectors resolve no more of a picture anyway.
SMALLEST_TILE = 128
# Pixels of the longer side to which a picture is shrunk first; the detectors see 192 and fewer.
NETWORK_SIDE = 640
# Common area, as a share of the smaller box, from which two boxes show the same face.
ONE_FACE = 0.4
# Angles of the search in degrees. The detectors find faces that lean by up to about 50 degrees, so that these cover
# the circle.
ANGLES = (180, 90, 270, 135, 225, 45, 315)


def find_upright(image: Image) -> list[Detection]:
    """Find faces in the whole picture (H, W, 3) uint8 RGB, largest first; cheap."""
    return _distinct(_detections(image))


def find_rotated(image: Image) -> list[Detection]:
    """Find leaning, lying and upside-down faces in a picture (H, W, 3) uint8 RGB; a face may come several times."""
    return [detection for degrees in ANGLES for detection in _detections(image, degrees)]


def find_everywhere(image: Image) -> list[Detection]:
    """Find faces in a picture (H, W, 3) uint8 RGB, also small and rotated ones, largest first.

    The search goes on only while it has found no large face, so that difficult pictures take longer.
    """
    upright = find_upright(image)
    if upright and upright[0].box.width >= SMALL * max(image.shape[:2]):
        return upright
    side = min(*image.shape[:2], -(-max(image.shape[:2]) // 2))
    return (
        _distinct([*upright, *_detections_in_tiles(image, side)])
        or _distinct(find_rotated(image))
        or _distinct(_detections_in_tiles(image, -(-side // 2)))
    )


def _detections(image: Image, degrees: int = 0) -> Iterator[Detection]:
    """Detections of both detectors in a picture rotated by some degrees."""
    small, scale = _shrunk(image, NETWORK_SIDE)
    height, width = small.shape[:2]
    # A picture at an oblique angle needs a square as large as its diagonal.
    side = max(height, width) if degrees % 90 == 0 else math.hypot(height, width)
    region = Region(width / 2, height / 2, side, side, math.radians(degrees))
    for model, least_score in ((FULL, FULL.score), (SHORT, SHORT_RANGE_SCORE)):
        for detection in detect(model, small, region):
            if detection.score >= least_score:
                yield _enlarged(detection, 1 / scale)


def _detections_in_tiles(image: Image, side: int) -> Iterator[Detection]:
    """Detections of small faces in overlapping squares of the picture, `side` pixels each."""
    side = max(side, SMALLEST_TILE)
    largest = LARGEST_IN_TILE * max(image.shape[:2])
    for top in _starts(image.shape[0], side):
        for left in _starts(image.shape[1], side):
            for detection in _detections(image[top : top + side, left : left + side]):
                if detection.box.width < largest:
                    yield _moved(detection, left, top)


def _starts(length: int, side: int) -> list[int]:
    """First pixels of tiles along a length; neighbours overlap by half a side or more."""
    steps = -(-2 * (length - side) // side) if length > side else 0
    return [round(k * (length - side) / steps) for k in range(steps + 1)] if steps else [0]


def _shrunk(image: Image, longest: int) -> tuple[Image, float]:
    """The picture with its longer side at most `longest` pixels, by area averaging, and the scale."""
    height, width = image.shape[:2]
    scale = longest / max(height, width)
    if scale >= 1:
        return np.ascontiguousarray(image), 1.0
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8), scale


def _enlarged(detection: Detection, scale: float) -> Detection:
    """The detection in pixels of a picture that is `scale` times as large."""
    box = detection.box.scaled(scale)
    box = replace(box, x=box.x * scale, y=box.y * scale)
    return Detection(box, detection.key_points * scale, detection.score)


def _moved(detection: Detection, x: int, y: int) -> Detection:
    """The detection in pixels of the picture of which a tile has its corner at (x, y)."""
    box = replace(detection.box, x=detection.box.x + x, y=detection.box.y + y)
    return Detection(box, (detection.key_points + np.array([x, y], np.float32)), detection.score)


def _distinct(detections: Iterable[Detection]) -> list[Detection]:
    """Each face once, by its best detection, largest first."""
    kept: list[Detection] = []
    for detection in sorted(detections, key=lambda d: d.score, reverse=True):
        if not any(same_face(detection, other) for other in kept):
            kept.append(detection)
    kept.sort(key=lambda d: d.box.width, reverse=True)
    return kept[: LIMITS.faces]


def same_face(a: Detection, b: Detection) -> bool:
    """Whether the boxes of two detections overlap so far that they show the same face."""
    return _overlap(a.box, b.box) >= ONE_FACE


def _overlap(a: Region, b: Region) -> float:
    """Intersection over the smaller area, so that a box within a box counts as one face; angles are ignored."""
    width = min(a.x + a.width / 2, b.x + b.width / 2) - max(a.x - a.width / 2, b.x - b.width / 2)
    height = min(a.y + a.height / 2, b.y + b.height / 2) - max(a.y - a.height / 2, b.y - b.height / 2)
    if width <= 0 or height <= 0:
        return 0.0
    return width * height / min(a.width * a.height, b.width * b.height)
