"""Faces of a still picture, whose landmarks are averaged over several runs of the network."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from gioconda.face.blazeface import Detection
from gioconda.face.detector import find_everywhere, find_rotated, find_upright, same_face
from gioconda.face.mesh import PRESENT, find_landmarks_in
from gioconda.face.region import Region, around_landmarks
from gioconda.landmarks import LEFT_IRIS, RIGHT_IRIS
from gioconda.types import Face, FloatArray, Image

# Crops of the second pass, (scale, degrees), relative to the usual one; each is used straight and mirrored.
SECOND_PASS = ((0.93, 4.0), (1.0, -4.0))
# Mean disagreement of the passes, in distances between the eyes, from which a face may be the other way up: right
# ones have 0.01 to 0.03, wrong ones 0.04 and more (benchmarks/landmarks.py).
DOUBT = 0.03
# Least and largest width of the landmarks relative to the detector's box. On a dog's muzzle, the two disagree more.
AGREEMENT = (0.5, 1.6)
# Pixels; keeps the division by the distance of irises that coincide finite.
TINY = 1e-6


def detect_faces(image: Image, *, thorough: bool = True) -> list[Face]:
    """Find all faces of a still picture, at any angle.

    A first pass decides how to crop each face; a second pass averages the landmarks of several crops, since those of
    single crops differ by more than a hundredth of the distance between the eyes.

    Args:
        image: (H, W, 3) uint8 RGB.
        thorough: Whether to search for small, rotated and upside-down faces; takes up to half a second.

    Returns:
        The faces, largest first; landmarks in pixels.
    """
    fits = _fits(image, find_everywhere(image) if thorough else find_upright(image))
    doubtful = [fit for fit in fits if fit.disagreement > DOUBT]
    if thorough and doubtful:
        rotated = _fits(image, find_rotated(image))
        fits = [_best_fit(fit, rotated) if fit in doubtful else fit for fit in fits]
    faces = [Face(fit.landmarks, fit.detection.score) for fit in fits if fit.present]
    return sorted(faces, key=lambda face: float(np.ptp(face.landmarks[:, 0])), reverse=True)


@dataclass(frozen=True, eq=False)
class _MeshFit:
    """The mesh network's result for a detection.

    Attributes:
        detection: The detector's.
        landmarks: (478, 3) float32, pixels.
        disagreement: Mean distance between the landmarks of both passes, in distances between the eyes; infinite if
            the detection is not a face.
    """

    detection: Detection
    landmarks: FloatArray
    disagreement: float

    @property
    def present(self) -> bool:
        """Whether the detection is a face."""
        return bool(np.isfinite(self.disagreement))


def _fits(image: Image, detections: Sequence[Detection]) -> list[_MeshFit]:
    """Run both passes on each detection, also on those that turn out not to be faces."""
    if not detections:
        return []
    first, presence = find_landmarks_in(image, [d.crop for d in detections], [False] * len(detections))
    second = _second_pass(image, [around_landmarks(points) for points in first])
    return [
        _MeshFit(d, after, _disagreement(before, after) if p > PRESENT and _agree(d, after) else math.inf)
        for d, before, after, p in zip(detections, first, second, presence, strict=True)
    ]


def _disagreement(first: FloatArray, second: FloatArray) -> float:
    """Mean distance between the landmarks (478, 3) of two passes, in distances between the eyes."""
    distance = float(np.linalg.norm((first - second)[:, :2], axis=1).mean())
    return distance / max(float(np.linalg.norm((second[RIGHT_IRIS] - second[LEFT_IRIS])[:2])), TINY)


def _best_fit(fit: _MeshFit, others: Sequence[_MeshFit]) -> _MeshFit:
    """Of a fit and the others of the same face, the one whose passes differ least."""
    same = [other for other in others if same_face(other.detection, fit.detection)]
    return min([fit, *same], key=lambda candidate: candidate.disagreement)


def _second_pass(image: Image, crops: list[Region]) -> FloatArray:
    """Landmarks (N, 478, 3) of N faces, each averaged over the crops of SECOND_PASS."""
    regions = [
        replace(crop.scaled(scale), angle=crop.angle + math.radians(degrees))
        for crop in crops
        for scale, degrees in SECOND_PASS
        for _ in range(2)
    ]
    points, _ = find_landmarks_in(image, regions, [k % 2 == 1 for k in range(len(regions))])
    return np.asarray(points.reshape(len(crops), -1, *points.shape[1:]).mean(axis=1), np.float32)


def _agree(detection: Detection, landmarks: FloatArray) -> bool:
    """Whether landmarks (478, 3) are about as wide as the detector's box."""
    width = float(np.ptp(landmarks[:, :2] @ detection.box.axes[:, 0]))
    return AGREEMENT[0] < width / detection.box.width < AGREEMENT[1]
