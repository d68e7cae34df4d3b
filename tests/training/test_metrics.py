"""The figures of merit against independent implementations, and against cases whose answer is known."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from skimage import data, transform
from skimage import metrics as reference

from gioconda.errors import MissingFileError
from gioconda.training import metrics
from gioconda.types import LANDMARKS

RNG = np.random.default_rng(7)


def _worsened(image: np.ndarray, kind: str) -> np.ndarray:
    if kind == "noise":
        return np.clip(image + RNG.normal(0, 20, image.shape), 0, 255).astype(np.uint8)
    if kind == "blur":
        return cv2.GaussianBlur(image, (0, 0), 2.0)
    if kind == "shift":
        return np.roll(image, 3, axis=1)
    return (image // 2).astype(np.uint8)


@pytest.fixture(scope="module")
def astronaut() -> np.ndarray:
    return data.astronaut()[:200, 120:370]


@pytest.mark.parametrize("kind", ["noise", "blur", "shift", "dark"])
def test_ssim_agrees_with_skimage(astronaut: np.ndarray, kind: str) -> None:
    worse = _worsened(astronaut, kind)
    expected = reference.structural_similarity(
        astronaut, worse, channel_axis=-1, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
    )
    assert metrics.ssim(astronaut, worse) == pytest.approx(expected, abs=2e-5)


@pytest.mark.parametrize("kind", ["noise", "blur", "shift", "dark"])
def test_psnr_and_l1_agree_with_skimage_and_numpy(astronaut: np.ndarray, kind: str) -> None:
    worse = _worsened(astronaut, kind)
    expected = reference.peak_signal_noise_ratio(astronaut, worse)
    assert metrics.psnr(astronaut, worse) == pytest.approx(expected, abs=1e-6)
    expected = np.abs(astronaut / 255.0 - worse / 255.0).mean()
    assert metrics.l1(astronaut, worse) == pytest.approx(expected, abs=1e-7)


def test_equal_pictures_are_perfect(astronaut: np.ndarray) -> None:
    assert metrics.psnr(astronaut, astronaut) == float("inf")
    assert metrics.ssim(astronaut, astronaut) == pytest.approx(1.0, abs=1e-6)
    assert metrics.l1(astronaut, astronaut) == 0.0


def test_a_mask_hides_what_differs(astronaut: np.ndarray) -> None:
    other = astronaut.copy()
    other[150:, :60] = 0
    mask = np.ones(astronaut.shape[:2], bool)
    mask[140:, :70] = False  # half a window more than what differs
    assert metrics.l1(astronaut, other) > 0
    assert metrics.l1(astronaut, other, mask) == 0
    assert metrics.psnr(astronaut, other, mask) == float("inf")
    assert metrics.ssim(astronaut, other, mask) == pytest.approx(1.0, abs=1e-6)


def test_pictures_of_two_sizes_are_refused(astronaut: np.ndarray) -> None:
    for figure in (metrics.l1, metrics.psnr, metrics.ssim):
        with pytest.raises(ValueError, match="cannot be compared"):
            figure(astronaut, astronaut[:-1])


def test_landmark_distance_is_the_shift_and_ignores_depth() -> None:
    points = RNG.normal(0, 50, (4, LANDMARKS, 3))
    moved = points + np.array([3.0, 4.0, 99.0])
    assert metrics.akd(points, moved) == pytest.approx(5.0)


def test_expression_distance_is_a_mean_over_coefficients() -> None:
    first = np.zeros((10, 52))
    second = first.copy()
    second[:, 17] = 0.52
    assert metrics.aed(first, second) == pytest.approx(0.01)


@pytest.mark.parametrize("degrees", [0.0, 1e-4, 0.5, 12.0, 90.0, 179.0])
def test_pose_distance_is_the_angle_that_scipy_gives(degrees: float) -> None:
    start = Rotation.random(20, random_state=3)
    axes = RNG.normal(size=(20, 3))
    axes /= np.linalg.norm(axes, axis=1, keepdims=True)
    turned = start * Rotation.from_rotvec(np.radians(degrees) * axes)
    expected = np.degrees((start.inv() * turned).magnitude())
    got = metrics.pose_angles(start.as_matrix(), turned.as_matrix())
    assert got == pytest.approx(expected, abs=1e-6)
    assert metrics.apd(start.as_matrix(), turned.as_matrix()) == pytest.approx(degrees, abs=1e-6)


def test_correlation_agrees_with_numpy_and_a_still_series_counts_nothing() -> None:
    first = RNG.normal(size=100)
    second = 0.4 * first + RNG.normal(size=100)
    assert metrics.pearson(first, second) == pytest.approx(np.corrcoef(first, second)[0, 1])
    assert metrics.pearson(first, np.full(100, 0.3)) == 0.0


def test_alignment_agrees_with_skimage() -> None:
    source = RNG.normal(100, 40, (5, 2))
    got = metrics.similarity_transform(source, metrics.FIVE_TARGETS)
    expected = transform.SimilarityTransform.from_estimate(source, metrics.FIVE_TARGETS)
    assert got == pytest.approx(np.asarray(expected.params)[:2], abs=1e-5)
    with pytest.raises(ValueError, match="all points are equal"):
        metrics.similarity_transform(np.ones((5, 2)), metrics.FIVE_TARGETS)


def test_an_aligned_face_lands_on_the_five_points(astronaut: np.ndarray) -> None:
    landmarks = np.zeros((LANDMARKS, 3))
    turn = Rotation.from_euler("z", 30, degrees=True).as_matrix()[:2, :2]
    spots = (metrics.FIVE_TARGETS - 50) @ turn.T * 1.5 + 100
    image = np.zeros_like(astronaut)
    for group, spot in zip(metrics.FIVE_POINTS, spots, strict=True):
        landmarks[list(group), :2] = spot
        cv2.circle(image, (round(spot[0] * 16), round(spot[1] * 16)), 4 * 16, (255, 255, 255), -1, shift=4)
    aligned = metrics.FaceEmbedder.align(image, landmarks)
    assert aligned.shape == (112, 96, 3)
    for x, y in metrics.FIVE_TARGETS:
        assert aligned[round(float(y)), round(float(x))].min() > 200


def test_cosine_similarity_knows_same_opposite_and_unrelated() -> None:
    assert metrics.csim([3.0, 4.0], [6.0, 8.0]) == pytest.approx(1.0)
    assert metrics.csim([3.0, 4.0], [-3.0, -4.0]) == pytest.approx(-1.0)
    assert metrics.csim([1.0, 0.0], [0.0, 2.0]) == pytest.approx(0.0)


def test_an_absent_embedder_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match=r"absent\.onnx"):
        metrics.FaceEmbedder(tmp_path / "absent.onnx")


@pytest.mark.slow
def test_the_embedder_tells_people_apart(shared_data: Path) -> None:
    pytest.importorskip("onnxruntime")
    from gioconda.face import FaceTracker
    from gioconda.media import read_frames

    embedder = metrics.FaceEmbedder(shared_data / "metrics" / "mobilefacenet_112x96.onnx")
    people = []
    for identity in ("id02", "id10", "id20"):
        for clip in sorted((shared_data / "lrw_ar" / identity).glob("*.mp4"))[::20][:2]:
            with FaceTracker() as tracker:
                image = next(iter(read_frames(clip))).image
                people.append((identity, embedder.embed(image, tracker.process(image)[0].landmarks)))
    pairs = [(a == b, metrics.csim(u, v)) for k, (a, u) in enumerate(people) for b, v in people[:k]]
    same, other = ([value for alike, value in pairs if alike is wanted] for wanted in (True, False))
    assert len(same) == 3
    assert min(same) > 0.5
    assert min(same) > max(other) + 0.05


def test_flicker_of_a_still_picture_is_the_noise_that_was_added(astronaut: np.ndarray) -> None:
    flicker, steady = metrics.Flicker(), metrics.Flicker()
    grey = np.full((64, 64, 3), 120, np.uint8)
    for step in range(40):
        shimmer = grey + np.uint8(6 * (step % 2))
        flicker.push(shimmer, grey)
        steady.push(grey, grey)
    assert flicker.output == pytest.approx(12.0)  # 6 - 2 * 0 + 6
    assert steady.output == 0.0
    assert flicker.truth == 0.0


def test_flicker_leaves_out_what_moves_in_the_truth() -> None:
    flicker = metrics.Flicker()
    for step in range(30):
        truth = RNG.normal(120, 0.7, (64, 64, 1)).repeat(3, axis=2).round().astype(np.uint8)
        output = truth.copy()
        truth[:, 32:] = 40 * (step % 3)  # moves: whatever the output does there does not count
        output[:, 32:] = 0
        flicker.push(output, truth)
    assert flicker.ratio == pytest.approx(1.0, abs=0.02)


def test_flicker_of_two_frames_is_not_a_number(astronaut: np.ndarray) -> None:
    flicker = metrics.Flicker()
    flicker.push(astronaut, astronaut)
    flicker.push(astronaut, astronaut)
    assert np.isnan(flicker.output)
    assert np.isnan(flicker.ratio)
