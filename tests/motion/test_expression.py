"""ARKit coefficients and landmarks: meaning of the basis, and the bounded solver against scipy's."""

from __future__ import annotations

import time

import numpy as np
import pytest
from scipy.optimize import lsq_linear
from threadpoolctl import threadpool_limits

from gioconda.motion import expression
from gioconda.motion.expression import (
    coefficients_from_gaze,
    gaze_from_coefficients,
    load_basis,
    offsets,
    solve,
)
from gioconda.types import ARKIT_INDEX, ARKIT_NAMES


def one(**weights: float) -> np.ndarray:
    row = np.zeros((1, len(ARKIT_NAMES)), np.float32)
    for name, weight in weights.items():
        row[0, ARKIT_INDEX[name]] = weight
    return row


def test_neutral_face_is_in_the_canonical_frame():
    neutral = load_basis().neutral
    assert np.allclose((neutral[33] + neutral[263]) / 2, 0, atol=1e-5)
    assert np.isclose(np.linalg.norm(neutral[263] - neutral[33]), 1, atol=1e-5)
    assert neutral[263, 0] > 0 > neutral[33, 0], "the subject's left eye is at the viewer's right"
    assert neutral[152, 1] > neutral[13, 1] > neutral[1, 1] > 0 > neutral[10, 1]
    assert neutral[1, 2] < neutral[33, 2] < neutral[234, 2], "nose, eyes, ears from near to far"


@pytest.mark.parametrize(
    ("name", "landmark", "axis", "sign"),
    [
        ("jawOpen", 152, 1, 1),
        ("jawLeft", 152, 0, 1),
        ("eyeBlinkLeft", 386, 1, 1),
        ("eyeBlinkRight", 159, 1, 1),
        ("eyeWideLeft", 386, 1, -1),
        ("mouthSmileLeft", 291, 0, 1),
        ("mouthSmileLeft", 291, 1, -1),
        ("mouthSmileRight", 61, 0, -1),
        ("mouthFrownRight", 61, 1, 1),
        ("mouthPucker", 61, 0, 1),
        ("mouthUpperUpLeft", 269, 1, -1),
        ("mouthLowerDownRight", 181, 1, 1),
        ("browInnerUp", 107, 1, -1),
        ("browDownLeft", 296, 1, 1),
        ("browOuterUpRight", 70, 1, -1),
        ("eyeLookOutLeft", 473, 0, 1),
        ("eyeLookInLeft", 473, 0, -1),
        ("eyeLookOutRight", 468, 0, -1),
        ("eyeLookUpRight", 468, 1, -1),
        ("eyeLookDownLeft", 473, 1, 1),
    ],
)
def test_each_blendshape_moves_the_right_landmark_the_right_way(name, landmark, axis, sign):
    assert sign * offsets(one(**{name: 1.0}))[0, landmark, axis] > 0.01


def test_a_full_blink_closes_its_eye_and_leaves_the_other_open():
    face = load_basis().neutral + offsets(one(eyeBlinkLeft=1.0))[0]
    assert face[374, 1] - face[386, 1] < 0.02
    assert face[145, 1] - face[159, 1] > 0.09


def test_jaw_open_parts_the_lips_by_about_a_third_of_the_eyes_distance():
    face = load_basis().neutral + offsets(one(jawOpen=1.0))[0]
    assert 0.25 < face[14, 1] - face[13, 1] < 0.5
    assert np.isclose(face[13, 0], 0, atol=5e-3)


def test_single_blendshapes_are_recovered():
    solved = solve(offsets(np.eye(len(ARKIT_NAMES))))
    subtle = [ARKIT_INDEX[name] for name in (*expression.OPENERS, *expression.NARROWERS, "tongueOut")]
    kept = np.delete(np.diag(solved), subtle)
    assert kept.min() > 0.8
    plain = np.delete(solved, subtle, axis=0)
    diagonal = np.delete(np.eye(len(ARKIT_NAMES), dtype=bool), subtle, axis=0)
    assert plain[~diagonal].max() < 0.15, "no cross-talk but from what is put down to jaw and lids on purpose"
    for name in (
        "eyeBlinkLeft",
        "jawOpen",
        "mouthSmileRight",
        "browInnerUp",
        "browDownLeft",
        "eyeLookInRight",
    ):
        assert abs(solved[ARKIT_INDEX[name], ARKIT_INDEX[name]] - 1) < 0.1


def test_mixtures_survive_the_tracker_noise():
    truth = one(jawOpen=0.5, mouthSmileLeft=0.6, mouthSmileRight=0.4, eyeBlinkRight=0.8, browInnerUp=0.5)
    noise = np.random.default_rng(3).normal(0, 0.004, (50, 478, 3))
    solved = solve(offsets(np.repeat(truth, 50, 0)) + noise)
    assert np.abs(solved.mean(0) - truth[0]).max() < 0.15
    assert solved.min() >= 0
    assert solved.max() <= 1


def test_solver_agrees_with_scipy():
    rng = np.random.default_rng(5)
    truth = rng.random((20, 52)) * (rng.random((20, 52)) < 0.4)
    given = (offsets(truth) + rng.normal(0, 0.005, (20, 478, 3))).astype(np.float32)
    got = expression.least_squares(given, steps=2000, tolerance=1e-6, sparsity=0)
    normal, project, _ = expression._normal_equations(2e-3)
    lower = np.linalg.cholesky(normal.astype(np.float64))
    for frame, row in zip(given, got, strict=True):
        right = np.linalg.solve(lower, (frame.ravel() @ project).astype(np.float64))
        best = lsq_linear(lower.T, right, bounds=(0, 1), tol=1e-12).x
        assert np.abs(best - row).max() < 2e-3


def test_lips_part_as_far_as_the_landmarks_do():
    truth = np.concatenate(
        [one(jawOpen=0.4, mouthPucker=0.6), one(mouthFunnel=0.5, jawOpen=0.2), one(mouthClose=0.3)]
    )
    noise = np.random.default_rng(7).normal(0, 0.006, (3, 478, 3))
    seen = (offsets(truth) + noise).astype(np.float32)
    gaps = [
        expression._opened_gap_change(m)
        for m in (seen, offsets(solve(seen)), offsets(expression.least_squares(seen)))
    ]
    assert np.abs(gaps[1] - gaps[0]).max() < 5e-4
    assert np.abs(gaps[2] - gaps[0]).max() > 2e-3


def test_solver_is_fast_and_takes_no_frames():
    assert solve(np.zeros((0, 478, 3), np.float32)).shape == (0, 52)
    given = offsets(np.random.default_rng(1).random((2000, 52)) ** 4)
    # BLAS waits busily on a loaded machine, which counts as processor time.
    with threadpool_limits(1):
        solve(given[:600])
        start = time.process_time()
        solve(given)
    assert (time.process_time() - start) / 2000 < 1e-3, "0.15 ms a frame on an idle core"


def test_gaze_there_and_back():
    gaze = np.array([[0.5, -0.3], [-1, 1], [0, 0], [2, 0]], np.float32)
    coefficients = coefficients_from_gaze(gaze)
    assert np.allclose(gaze_from_coefficients(coefficients), np.clip(gaze, -1, 1), atol=1e-6)
    assert (
        coefficients[0, ARKIT_INDEX["eyeLookOutLeft"]]
        == coefficients[0, ARKIT_INDEX["eyeLookInRight"]]
        == 0.5
    )
    seen = solve(offsets(coefficients))
    assert np.allclose(gaze_from_coefficients(seen), np.clip(gaze, -1, 1), atol=0.1)
