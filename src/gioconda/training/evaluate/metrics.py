"""Metrics of a method's pictures of a person against the truth, and features for the Frechet distance.

AKD, AED and APD are circular: the tracker that gave the landmarks also reads the results.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import numpy.typing as npt

from gioconda import composite, media
from gioconda.errors import MissingFileError, WeightsError
from gioconda.face import FaceTracker
from gioconda.motion.expression import solve
from gioconda.motion.pose import fit_poses
from gioconda.training import metrics
from gioconda.training.evaluate.protocol import Stretch
from gioconda.types import Face, FloatArray, Image

if TYPE_CHECKING:
    from gioconda.training.perceptual import SqueezeFeatures

# Side in pixels to which smaller squares are enlarged before tracking; AKD counts these pixels
TRACKED_SIDE = 256
# Share of the square's side, inside a face's outline, that counts as its contour
CONTOUR = 0.03
# PSNR of equal pictures, in dB
MOST_PSNR = 60.0
EMBEDDERS = {"45b55928589d7a6dac6752c29a4e8e18a9a87aedc6aaa91423c576c0798aa7e3": "MobileFaceNet"}
SQUEEZE = "SqueezeNet 1.1"

PAIRED = ("L1", "L1 face", "PSNR", "SSIM", "AKD", "AED", "APD", "flicker", "lost")
"""Metrics that need no network."""


@dataclass(frozen=True)
class Score:
    """The score of a method on one person: metrics by name, the truth's own flicker, features (n, 512) or None."""

    metrics: dict[str, float]
    still: float
    features: FloatArray | None


@dataclass(frozen=True, eq=False)
class TrackedStretch:
    """One stretch as the tracker sees it: pictures, at TRACKED_SIDE or more, and the face found in each."""

    pictures: tuple[Image, ...]
    faces: tuple[Face | None, ...]


class Judge:
    """Scores pictures.

    Args:
        embedder: An ONNX network for CSIM; None to leave CSIM out.
        features: SqueezeNet's file; None to leave perceptual and Frechet distance out.

    Raises:
        MissingFileError: A file does not exist.
        WeightsError: A file is not such a network.
    """

    def __init__(self, embedder: Path | None = None, features: Path | None = None) -> None:
        self.csim = self.perceptual = self.contour = self.frechet = ""
        self.networks: dict[str, dict[str, str]] = {}
        self._embedder: metrics.FaceEmbedder | None = None
        self._features: SqueezeFeatures | None = None
        if embedder is not None:
            self._embedder = _open_embedder(embedder)
            digest = media.sha256_file(embedder)
            label = EMBEDDERS.get(digest, f"other network {digest[:8]}")
            self.csim = f"CSIM ({label})"
            self.networks["embedder"] = {"name": label, "file": embedder.name, "sha256": digest}
        if features is not None:
            if not features.is_file():
                raise MissingFileError(
                    f"{features} does not exist; give the path of SqueezeNet 1.1's safetensors to --features"
                )
            from gioconda.training.perceptual import SHA256, SqueezeFeatures

            self._features = SqueezeFeatures(features)
            self.perceptual, self.frechet = f"perceptual ({SQUEEZE})", f"FID ({SQUEEZE})"
            self.contour = f"perceptual of hair and contour ({SQUEEZE})"
            self.networks["features"] = {"name": SQUEEZE, "file": features.name, "sha256": SHA256}

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all metrics, the Frechet distance first."""
        ordered = (self.frechet, "SSIM", self.csim, self.perceptual, self.contour, *PAIRED)
        return tuple(dict.fromkeys(name for name in ordered if name))

    def track(self, pictures: Sequence[Image]) -> TrackedStretch:
        """Track the face in successive pictures (size, size, 3)."""
        side = max(TRACKED_SIDE, pictures[0].shape[0])
        large = tuple(composite.resize(picture, (side, side)) for picture in pictures)
        with FaceTracker() as tracker:
            return TrackedStretch(
                large, tuple(next(iter(tracker.process(picture)), None) for picture in large)
            )

    def score(
        self, outputs: Sequence[Sequence[Image]], held: Sequence[Stretch], truths: Sequence[TrackedStretch]
    ) -> Score:
        """Score one method on one person.

        Args:
            outputs: The method's pictures (size, size, 3) for each held-out stretch.
            held: The held-out stretches.
            truths: The same stretches, tracked.

        Returns:
            The means over all frames.
        """
        rows: list[dict[str, float]] = []
        features = []
        for pictures, stretch, true in zip(outputs, held, truths, strict=True):
            shared = _flicker(pictures, stretch.truth)
            if self._features is not None:
                shared[self.perceptual], pooled = _perceptual(self._features, pictures, stretch.truth)
                beside = _with_true_faces(pictures, stretch.truth, true.faces)
                shared[self.contour] = _perceptual(self._features, beside, stretch.truth)[0]
                features.append(pooled)
            rows += [row | shared for row in self._rows(pictures, stretch, true)]
        values = {name: _mean([row[name] for row in rows]) for name in rows[0]}
        return Score(values, values.pop("still"), np.concatenate(features) if features else None)

    def _rows(
        self, pictures: Sequence[Image], stretch: Stretch, true: TrackedStretch
    ) -> list[dict[str, float]]:
        """The metrics of each frame of a stretch."""
        tracked = self.track(pictures)
        rows = [
            _picture_metrics(picture, truth, face) | face_row
            for picture, truth, face, face_row in zip(
                pictures, stretch.truth, true.faces, _face_rows(tracked, true, stretch), strict=True
            )
        ]
        if self._embedder is not None:
            for row, value in zip(rows, self._likeness(tracked, true), strict=True):
                row[self.csim] = value
        return rows

    def features_of(self, held: Sequence[Stretch]) -> FloatArray | None:
        """Features (n, 512) of the true pictures for the Frechet distance; None without the network."""
        if self._features is None:
            return None
        parts = [_perceptual(self._features, stretch.truth, stretch.truth)[1] for stretch in held]
        return np.concatenate(parts)

    def _likeness(self, tracked: TrackedStretch, true: TrackedStretch) -> list[float]:
        """CSIM of each frame: at the truth's landmarks if the output has no face, nan if the truth has none."""
        assert self._embedder is not None
        values = []
        for picture, own_face, true_picture, true_face in zip(
            tracked.pictures, tracked.faces, true.pictures, true.faces, strict=True
        ):
            if true_face is None:
                values.append(float("nan"))
                continue
            points = (own_face or true_face).landmarks
            pair = (
                self._embedder.embed(picture, points),
                self._embedder.embed(true_picture, true_face.landmarks),
            )
            values.append(metrics.csim(*pair))
        return values


def _open_embedder(path: Path) -> metrics.FaceEmbedder:
    if not path.is_file():
        raise MissingFileError(
            f"{path} does not exist; give the path of a MobileFaceNet .onnx for CSIM to --embedder"
        )
    try:
        embedder = metrics.FaceEmbedder(path)
        embedder.embed(np.zeros((112, 96, 3), np.uint8), np.random.default_rng(0).random((478, 3)) * 90)
    # onnxruntime raises many types for damaged and foreign files
    except Exception as error:
        raise WeightsError(f"{path} is not a face embedder: {str(error).splitlines()[0][:120]}") from None
    return embedder


def _picture_metrics(picture: Image, truth: Image, face: Face | None) -> dict[str, float]:
    """L1, PSNR and SSIM of one picture, and L1 within the true face, from forehead to chin."""
    mask = None if face is None else _face_mask(face, truth.shape[0])
    return {
        "L1": metrics.l1(picture, truth),
        "L1 face": float("nan") if mask is None else metrics.l1(picture, truth, mask),
        "PSNR": min(metrics.psnr(picture, truth), MOST_PSNR),
        "SSIM": metrics.ssim(picture, truth),
    }


def _face_mask(face: Face, size: int) -> metrics.Mask:
    points = face.landmarks[:, :2] * (size / max(TRACKED_SIDE, size))
    hull = cv2.convexHull(points.round().astype(np.int32))
    return np.asarray(cv2.fillConvexPoly(np.zeros((size, size), np.uint8), hull, (1,))).astype(bool)


def _with_true_faces(
    pictures: Sequence[Image], truth: Sequence[Image], faces: Sequence[Face | None]
) -> list[Image]:
    """The pictures with the truth inside the face, so that only hair, contour and what is beside them differs."""
    mixed = []
    for picture, true, face in zip(pictures, truth, faces, strict=True):
        mixed.append(picture.copy())
        if face is not None:
            inner = _inner_face(face, len(true))
            mixed[-1][inner] = true[inner]
    return mixed


def _inner_face(face: Face, size: int) -> metrics.Mask:
    """The face without its contour, (size, size) bool."""
    side = 2 * round(CONTOUR * size) + 1
    mask = _face_mask(face, size).astype(np.uint8)
    return np.asarray(cv2.erode(mask, np.ones((side, side), np.uint8), borderValue=0) > 0)


def _face_rows(tracked: TrackedStretch, true: TrackedStretch, stretch: Stretch) -> list[dict[str, float]]:
    """AKD (pixels of TRACKED_SIDE), AED, APD (degrees) and lost of each frame; nan where a face is lost."""
    rows = [
        {"AKD": float("nan"), "AED": float("nan"), "APD": float("nan"), "lost": float(face is None)}
        for face in tracked.faces
    ]
    both = [k for k, pair in enumerate(zip(tracked.faces, true.faces, strict=True)) if None not in pair]
    if not both:
        return rows
    points = [np.stack([faces[k].landmarks for k in both]) for faces in (tracked.faces, true.faces)]  # type: ignore[union-attr]
    read = [_expression_and_pose(landmarks, stretch.neutral) for landmarks in points]
    unit = TRACKED_SIDE / tracked.pictures[0].shape[0]
    for at, k in enumerate(both):
        rows[k] |= {
            "AKD": metrics.akd(points[0][at], points[1][at]) * unit,
            "AED": metrics.aed(read[0][0][at], read[1][0][at]),
            "APD": metrics.apd(read[0][1][at], read[1][1][at]),
        }
    return rows


def _expression_and_pose(points: FloatArray, neutral: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Coefficients (n, 52) and rotations (n, 3, 3) of landmarks (n, 478, 3), without smoothing over frames."""
    rotation, scale, origin = fit_poses(points, neutral)
    canonical = (points - origin[:, None]) @ rotation / scale[:, None, None]
    return solve(canonical - neutral), rotation


def _flicker(pictures: Sequence[Image], truth: Sequence[Image]) -> dict[str, float]:
    """Flicker of output and truth, in grey levels of 255; nan for fewer than three frames."""
    flicker = metrics.Flicker()
    for pair in zip(pictures, truth, strict=True):
        flicker.push(*pair)
    return {"flicker": flicker.output, "still": flicker.truth}


def _perceptual(
    network: SqueezeFeatures, pictures: Sequence[Image], truth: Sequence[Image]
) -> tuple[float, FloatArray]:
    """Mean perceptual distance to the truth, and the pooled last features (n, 512) of `pictures`."""
    import torch

    from gioconda.training.perceptual import feature_distance

    with torch.inference_mode():
        first, second = (network(torch.from_numpy(_planes(row))) for row in (pictures, truth))
        distance = float(feature_distance(first, second))
        pooled: npt.NDArray[Any] = first["fire9"].mean((2, 3)).numpy()
    return distance, np.asarray(pooled, np.float32)


def _planes(pictures: Sequence[Image]) -> FloatArray:
    """Stack pictures to (n, 3, H, W) float32 in -1..1."""
    stacked = np.stack(pictures).transpose(0, 3, 1, 2)
    return np.ascontiguousarray(stacked, np.float32) / np.float32(127.5) - 1


def _mean(values: Sequence[float]) -> float:
    """The mean of the finite values; nan if there is none."""
    finite = [value for value in values if np.isfinite(value)]
    return float(np.mean(finite)) if finite else float("nan")
