"""BlazeFace (Bazarevsky et al. 2019): a picture -> boxes and key points of faces."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from itertools import starmap

import cv2
import numpy as np
import numpy.typing as npt

from gioconda.face.models import FULL_RANGE, SHORT_RANGE, run
from gioconda.face.region import FACE_MARGIN, Region
from gioconda.types import FloatArray, Image

# Intersection over union above which candidates are averaged; that of MediaPipe's graphs.
SAME_FACE = 0.3
# Indices of key points; left and right are the subject's own.
RIGHT_EYE, LEFT_EYE = 0, 1
# Logits are clipped to +-LARGEST_LOGIT, beyond which exp overflows float32.
LARGEST_LOGIT = 100


@dataclass(frozen=True)
class Model:
    """A detector network.

    Attributes:
        file: Name of the packaged file.
        side: Side of the network's input in pixels.
        grids: (cells in a row, anchors in a cell) of each grid of anchors.
        score: Least score of a candidate, 0 to 1.
    """

    file: str
    side: int
    grids: tuple[tuple[int, int], ...]
    score: float


# The scores are those of MediaPipe's graphs. They also decide which candidates a box is the mean of.
FULL = Model(FULL_RANGE, 192, ((48, 1),), 0.6)
SHORT = Model(SHORT_RANGE, 128, ((16, 2), (8, 6)), 0.5)


@dataclass(frozen=True)
class Detection:
    """A face that a detector found.

    Attributes:
        box: The face without the top of the forehead, at the angle of the region that was searched.
        key_points: (6, 2) float32, pixels: right eye, left eye, nose, mouth, right ear, left ear.
        score: 0 to 1.
    """

    box: Region
    key_points: FloatArray
    score: float

    @property
    def crop(self) -> Region:
        """The region that the mesh network takes as input."""
        across = self.key_points[LEFT_EYE] - self.key_points[RIGHT_EYE]
        side = FACE_MARGIN * max(self.box.width, self.box.height)
        angle = math.atan2(float(across[1]), float(across[0]))
        return Region(self.box.x, self.box.y, side, side, angle)


def detect(model: Model, image: Image, region: Region) -> list[Detection]:
    """Detect faces in a square region of a picture.

    Args:
        model: The detector.
        image: (H, W, 3) uint8 RGB.
        region: In the picture; beyond the picture's edges counts as black.

    Returns:
        The faces, best score first.
    """
    crop = region.crop(image, model.side, border=cv2.BORDER_CONSTANT)
    raw, logits = run(model.file, crop[None])
    passed = np.flatnonzero(logits[0] >= math.log(model.score / (1 - model.score)))
    scores = 1 / (1 + np.exp(-np.clip(logits[0, passed], -LARGEST_LOGIT, LARGEST_LOGIT)))
    # Centre, size and six key points; all but the size are relative to the anchor.
    values = raw[0, passed].reshape(-1, 8, 2) / model.side
    values[:, [0, 2, 3, 4, 5, 6, 7]] += _anchors(model)[passed][:, None]
    whole = (values[:, 1] >= 0).all(axis=1)
    return list(starmap(lambda v, s: _detection(region, v, s), _merged(values[whole], scores[whole])))


@lru_cache(maxsize=2)
def _anchors(model: Model) -> FloatArray:
    """Centres of the anchors, (A, 2) float32 in 0..1."""
    parts = []
    for cells, each in model.grids:
        y, x = np.mgrid[:cells, :cells].reshape(2, -1)
        parts.append(np.repeat((np.stack([x, y], axis=1) + 0.5) / cells, each, axis=0))
    return np.asarray(np.concatenate(parts), np.float32)


def _merged(values: FloatArray, scores: FloatArray) -> list[tuple[FloatArray, float]]:
    """Weighted non-maximum suppression: candidates that overlap the best one are averaged by their scores.

    Args:
        values: (N, 8, 2): centre, size and six key points of each candidate, unit square.
        scores: (N,), 0 to 1.

    Returns:
        (values (8, 2), best score) of each face.
    """
    remaining = np.argsort(-scores, kind="stable")
    merged = []
    while remaining.size:
        centres, sizes = values[remaining, 0], values[remaining, 1]
        low, high = centres - sizes / 2, centres + sizes / 2
        common = np.clip(np.minimum(high, high[0]) - np.maximum(low, low[0]), 0, None).prod(axis=1)
        areas = (high - low).prod(axis=1)
        same = common > SAME_FACE * (areas + areas[0] - common)
        same[0] = True
        chosen = remaining[same]
        weights = scores[chosen] / scores[chosen].sum()
        merged.append((np.tensordot(weights, values[chosen], 1), float(scores[remaining[0]])))
        remaining = remaining[~same]
    return merged


def _detection(region: Region, values: npt.NDArray[np.float32], score: float) -> Detection:
    """The detection of a candidate (8, 2) in the unit square of a region."""
    (x, y), *key_points = region.points(values[[0, *range(2, 8)]])
    width, height = values[1] * (region.width, region.height)
    box = Region(float(x), float(y), float(width), float(height), region.angle)
    return Detection(box, np.array(key_points, np.float32), min(1.0, score))
