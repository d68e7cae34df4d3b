"""Metrics for talking heads: the distance of a picture, a face or a movement from the true one.

Pictures are RGB uint8 (H, W, 3); all three channels count. A mask is a bool array (H, W), True
where a pixel counts. Landmarks are the 478 points of `Face`, in pixels of their picture.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from gioconda.errors import MissingFileError
from gioconda.runtime.onnx import open_graph
from gioconda.types import FloatArray, Image

Mask = npt.NDArray[np.bool_]

SSIM_WINDOW = 11  # pixels, with sigma 1.5: the Gaussian window of the paper
SSIM_SIGMA = 1.5
SSIM_C1 = (0.01 * 255.0) ** 2
SSIM_C2 = (0.03 * 255.0) ** 2

# Corners of each eye, tip of the nose, corners of the mouth; from the viewer's left to the right.
FIVE_POINTS: tuple[tuple[int, ...], ...] = ((33, 133), (362, 263), (4,), (61,), (291,))
FIVE_TARGETS = np.array(
    [(30.29, 51.70), (65.53, 51.50), (48.03, 71.74), (33.55, 92.37), (62.73, 92.20)], np.float32
)
EMBEDDER_SIZE = (96, 112)  # width and height in pixels of the embedder's input


def _same_shape(first: Image, second: Image) -> None:
    if first.shape != second.shape:
        raise ValueError(f"pictures of shapes {first.shape} and {second.shape} cannot be compared")


def _absolute_difference(first: Image, second: Image, mask: Mask | None) -> FloatArray:
    """|first - second| of the pixels that count, (N, 3) float32 in 0..255."""
    _same_shape(first, second)
    difference = cv2.absdiff(first, second).astype(np.float32)
    return np.asarray(difference.reshape(-1, 3) if mask is None else difference[mask], np.float32)


def l1(first: Image, second: Image, mask: Mask | None = None) -> float:
    """Mean absolute difference of all channels, 0..1."""
    return float(_absolute_difference(first, second, mask).mean(dtype=np.float64)) / 255.0


def psnr(first: Image, second: Image, mask: Mask | None = None) -> float:
    """Peak signal-to-noise ratio in dB over all channels; infinite for equal pictures."""
    square = np.square(_absolute_difference(first, second, mask)).mean(dtype=np.float64)
    return float("inf") if square == 0 else float(10.0 * np.log10(255.0**2 / square))


def ssim_map(first: Image, second: Image) -> FloatArray:
    """Structural similarity of every pixel and channel, (H, W, 3) float32 in -1..1.

    Gaussian window of 11 pixels and sigma 1.5, K1 = 0.01, K2 = 0.03 (Wang, Bovik, Sheikh, Simoncelli:
    Image quality assessment, IEEE TIP 2004), with the population's variance.
    """
    _same_shape(first, second)

    def blur(picture: npt.NDArray[Any]) -> npt.NDArray[Any]:
        window = (SSIM_WINDOW, SSIM_WINDOW)
        return cv2.GaussianBlur(picture, window, SSIM_SIGMA, borderType=cv2.BORDER_REFLECT)

    # Around mid-grey, squares stay small enough for float32.
    a, b = first.astype(np.float32) - 128.0, second.astype(np.float32) - 128.0
    mean_a, mean_b = blur(a), blur(b)
    variance_sum = blur(a * a + b * b) - mean_a * mean_a - mean_b * mean_b
    covariance = blur(a * b) - mean_a * mean_b
    mean_a, mean_b = mean_a + 128.0, mean_b + 128.0
    light = (2 * mean_a * mean_b + SSIM_C1) / (mean_a * mean_a + mean_b * mean_b + SSIM_C1)
    return np.asarray(light * (2 * covariance + SSIM_C2) / (variance_sum + SSIM_C2), np.float32)


def ssim(first: Image, second: Image, mask: Mask | None = None) -> float:
    """Mean structural similarity over RGB, -1..1; the outer 5 pixels, half a window, do not count."""
    half = SSIM_WINDOW // 2
    inner = (slice(half, -half), slice(half, -half))
    similarity = ssim_map(first, second)[inner]
    if mask is not None:
        similarity = similarity[mask[inner]]
    if similarity.size == 0:
        raise ValueError(f"no pixel counts; pictures must be larger than {SSIM_WINDOW} pixels")
    return float(similarity.mean(dtype=np.float64))


def akd(first: npt.ArrayLike, second: npt.ArrayLike) -> float:
    """Average keypoint distance: mean over landmarks (..., N, 2 or more) of their distance in x and y."""
    difference = np.asarray(first, np.float64)[..., :2] - np.asarray(second, np.float64)[..., :2]
    return float(np.linalg.norm(difference, axis=-1).mean())


def aed(first: npt.ArrayLike, second: npt.ArrayLike) -> float:
    """Average expression distance: mean absolute difference of ARKit coefficients (..., 52), 0..1."""
    return float(np.abs(np.asarray(first, np.float64) - np.asarray(second, np.float64)).mean())


def pose_angles(first: npt.ArrayLike, second: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Angle in degrees, 0..180, of the rotation from `first` to `second`, both (..., 3, 3); shape (...,)."""
    difference = np.asarray(first, np.float64) - np.asarray(second, np.float64)
    # The chord |A - B| = 2 sqrt(2) sin(angle / 2) is exact near 0, where arccos of the trace is not.
    chord = np.linalg.norm(difference, axis=(-2, -1)) / np.sqrt(8.0)
    return np.asarray(np.degrees(2.0 * np.arcsin(np.clip(chord, 0.0, 1.0))), np.float64)


def apd(first: npt.ArrayLike, second: npt.ArrayLike) -> float:
    """Average pose distance: mean geodesic angle between head rotations (..., 3, 3), in degrees."""
    return float(pose_angles(first, second).mean())


def pearson(first: npt.ArrayLike, second: npt.ArrayLike) -> float:
    """Pearson's correlation of two series (T,), -1..1; 0 if one of them is constant."""
    a, b = (np.asarray(series, np.float64) for series in (first, second))
    a, b = a - a.mean(), b - b.mean()
    size = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / size if size > 1e-12 else 0.0


def similarity_transform(source: npt.ArrayLike, target: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """The rotation, scale and translation (2, 3) that map points `source` (N, 2) closest to `target` (N, 2).

    Least squares in closed form, without reflection, on points as complex numbers. Raises ValueError if all source
    points are equal.
    """
    a = np.asarray(source, np.float64) @ np.array([1.0, 1.0j])
    b = np.asarray(target, np.float64) @ np.array([1.0, 1.0j])
    centred = a - a.mean()
    spread = float(np.sum(np.abs(centred) ** 2))
    if spread == 0:
        raise ValueError("all points are equal, so they have no size to align")
    # The argument is the angle, the magnitude the scale
    factor = np.sum(np.conj(centred) * (b - b.mean())) / spread
    translation = b.mean() - factor * a.mean()
    return np.array(
        [[factor.real, -factor.imag, translation.real], [factor.imag, factor.real, translation.imag]]
    )


def five_points(landmarks: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Centres of the eyes, tip of the nose and corners of the mouth (5, 2), from landmarks (478, 2 or more)."""
    points = np.asarray(landmarks, np.float64)[:, :2]
    return np.stack([points[list(group)].mean(axis=0) for group in FIVE_POINTS])


class FaceEmbedder:
    """A face's identity as a unit vector of 128 numbers; the cosine of two of them is CSIM.

    model: the path of MobileFaceNet as ONNX, input (n, 3, 112, 96), RGB, (x - 127.5) / 128. Gioconda does not ship
    it, because only measuring needs it. Raises MissingFileError if the file does not exist.
    """

    def __init__(self, model: str | Path, *, threads: int = 1) -> None:
        if not Path(model).is_file():
            raise MissingFileError(f"{model} does not exist; give the path of the network for CSIM")
        self._session = open_graph(Path(model), threads)
        self._input: str = self._session.get_inputs()[0].name

    @staticmethod
    def align(image: Image, landmarks: npt.ArrayLike) -> Image:
        """Align the face to the embedder's five points; (112, 96, 3) uint8."""
        matrix = similarity_transform(five_points(landmarks), FIVE_TARGETS)
        return np.asarray(cv2.warpAffine(image, matrix, EMBEDDER_SIZE, flags=cv2.INTER_LINEAR), np.uint8)

    def embed(self, image: Image, landmarks: npt.ArrayLike) -> FloatArray:
        """The identity (128,) float32, of length 1, of the face at `landmarks` in `image`."""
        face = (self.align(image, landmarks).astype(np.float32) - 127.5) / 128.0
        batch = np.ascontiguousarray(face.transpose(2, 0, 1)[None])
        vector = np.asarray(self._session.run(None, {self._input: batch})[0], np.float32)[0]
        return np.asarray(vector / max(float(np.linalg.norm(vector)), 1e-12), np.float32)


def csim(first: npt.ArrayLike, second: npt.ArrayLike) -> float:
    """Cosine similarity of two embeddings (D,), -1..1."""
    a, b = np.asarray(first, np.float64), np.asarray(second, np.float64)
    return float(a @ b / max(float(np.linalg.norm(a) * np.linalg.norm(b)), 1e-12))


class Flicker:
    """Flicker of pixels that should be still: the mean absolute second difference over time.

    A pixel counts if the truth is still there: if the truth's own second difference in brightness, averaged over
    5x5 pixels to ignore grain, is below `threshold` (0..255).
    """

    def __init__(self, threshold: float = 1.5) -> None:
        self.threshold = threshold
        self._frames: list[tuple[FloatArray, FloatArray]] = []
        # Sums over the output and over the truth, and the number of pixels
        self._sums = np.zeros(3)

    def push(self, output: Image, truth: Image, mask: Mask | None = None) -> None:
        """Add the next frame of both; a pixel outside the mask (H, W) does not count."""
        _same_shape(output, truth)
        pair = [cv2.cvtColor(p, cv2.COLOR_RGB2GRAY).astype(np.float32) for p in (output, truth)]
        self._frames = [*self._frames[-2:], (pair[0], pair[1])]
        if len(self._frames) < 3:
            return
        before, now, after = self._frames
        moved_output, moved_truth = (np.abs(after[k] - 2 * now[k] + before[k]) for k in (0, 1))
        still = cv2.blur(moved_truth, (5, 5)) < self.threshold
        if mask is not None:
            still = still & mask
        self._sums += (moved_output[still].sum(), moved_truth[still].sum(), still.sum())

    @property
    def output(self) -> float:
        """Flicker of the output, in grey levels of 255; nan if no pixel was still."""
        return float(self._sums[0] / self._sums[2]) if self._sums[2] else float("nan")

    @property
    def truth(self) -> float:
        """Flicker of the truth over the same pixels, in grey levels of 255; nan if no pixel was still."""
        return float(self._sums[1] / self._sums[2]) if self._sums[2] else float("nan")

    @property
    def ratio(self) -> float:
        """Flicker of the output relative to the truth's; 1 is as steady as the truth, nan if no pixel was still."""
        return float(self._sums[0] / self._sums[1]) if self._sums[1] else float("nan")
