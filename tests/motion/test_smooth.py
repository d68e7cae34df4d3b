"""Smoothing over time, live filtering, and bridged gaps."""

from __future__ import annotations

import numpy as np
import pytest

from gioconda.motion.pose import euler_from_rotation, rotation_from_euler
from gioconda.motion.smooth import OneEuro, bridge, gaussian, nearest_rotation, smooth_rotations


def test_gaussian_keeps_constants_and_does_not_lag():
    assert np.allclose(gaussian(np.full((9, 4, 2), 3.5), 1.5), 3.5, atol=1e-5)
    bump = np.exp(-0.5 * ((np.arange(61) - 30) / 4) ** 2)[:, None]
    smoothed = gaussian(bump, 2.0)[:, 0]
    assert smoothed.argmax() == 30
    assert np.allclose(smoothed, smoothed[::-1], atol=1e-6)
    assert np.isclose(smoothed[30], 4 / np.hypot(4, 2), atol=0.01), "variances of Gaussians add"


def test_gaussian_agrees_with_scipy_inside_the_clip():
    from scipy.ndimage import gaussian_filter1d

    noise = np.random.default_rng(0).normal(size=(200, 5))
    expected = gaussian_filter1d(noise, 1.3, axis=0, truncate=4 / 1.3)
    assert np.abs(gaussian(noise, 1.3) - expected)[5:-5].max() < 2e-3


def test_gaussian_is_the_same_in_pieces(monkeypatch):
    values = np.random.default_rng(1).normal(size=(100, 7, 3)).astype(np.float32)
    whole = gaussian(values, 2)
    monkeypatch.setattr("gioconda.motion.smooth.CHUNK_VALUES", 64)
    assert np.allclose(gaussian(values, 2), whole, atol=1e-6)


def test_gaussian_in_place_is_the_same_in_pieces_shorter_than_its_reach(monkeypatch):
    values = np.random.default_rng(3).normal(size=(50, 4)).astype(np.float32)
    times = np.cumsum(np.random.default_rng(4).uniform(0.02, 0.06, 50))
    whole = gaussian(values, 1.3, times)
    monkeypatch.setattr("gioconda.motion.smooth.CHUNK_VALUES", 12)
    gaussian(values, 1.3, times, in_place=True)
    assert np.array_equal(values, whole)


def test_neighbours_far_away_in_time_hardly_count():
    times = np.array([0, 0.04, 0.08, 3.0, 3.04, 3.08])
    values = np.array([0, 0, 0, 1, 1, 1.0])[:, None]
    assert np.abs(gaussian(values, 0.7, times)[:, 0] - values[:, 0]).max() < 0.05
    assert gaussian(values, 0.7)[2, 0] > 0.1


@pytest.mark.parametrize("count", [1, 2, 3])
def test_short_clips_and_no_smoothing(count):
    values = np.arange(count * 2, dtype=np.float32).reshape(count, 2)
    assert gaussian(values, 3.0).shape == values.shape
    assert np.array_equal(gaussian(values, 0), values)


def test_smoothed_rotations_stay_rotations_and_lose_noise():
    rng = np.random.default_rng(2)
    yaw = 30 * np.sin(np.arange(200) / 25)
    rough = rotation_from_euler(yaw + rng.normal(0, 1, 200), rng.normal(0, 1, 200), 10)
    smooth = smooth_rotations(rough, 2.0)
    assert np.allclose(smooth @ np.swapaxes(smooth, 1, 2), np.eye(3), atol=1e-5)
    assert np.allclose(np.linalg.det(smooth), 1, atol=1e-5)
    errors = [np.abs(euler_from_rotation(r)[0] - yaw).mean() for r in (rough, smooth)]
    assert errors[1] < 0.5 * errors[0]


def test_nearest_rotation_mends_reflections():
    assert np.isclose(np.linalg.det(nearest_rotation(np.diag([1.0, 1.0, -0.2]))), 1)


def test_bridge_interpolates_inside_and_holds_at_the_ends():
    confidence = np.array([0, 1, 0, 0, 0, 1, 0])
    values = np.array([9, 0, 9, 9, 9, 4, 9.0])[:, None]
    turns = rotation_from_euler(np.array([0, -20, 0, 0, 0, 60, 0.0]), 0, 0)
    filled, turned = bridge(confidence, values, turns)
    assert np.allclose(filled[:, 0], [0, 0, 1, 2, 3, 4, 4])
    assert np.allclose(euler_from_rotation(turned)[0], [-20, -20, 0, 20, 40, 60, 60], atol=1e-3)
    assert values[2, 0] == 9, "what was given is left alone"


def test_bridge_between_equal_rotations_and_without_gaps():
    turns = rotation_from_euler(np.full(3, 12.0), 5, 0)
    (filled,) = bridge(np.array([1, 0, 1]), turns)
    assert np.allclose(filled, turns, atol=1e-6)
    (same,) = bridge(np.ones(3), turns)
    assert np.array_equal(same, turns)
    with pytest.raises(ValueError, match="confidence 0"):
        bridge(np.zeros(3), turns)


def test_one_euro_calms_jitter_and_follows_fast_motion():
    rng = np.random.default_rng(4)
    still = 0.003 * rng.normal(size=(200, 6))
    quiet = OneEuro(1.5, 1.0)
    calm = np.stack([quiet(v, i / 30) for i, v in enumerate(still)])
    assert calm[50:].std() < 0.5 * still[50:].std()
    follow = OneEuro(1.5, 40)
    ramp = np.stack([follow(np.array([v]), i / 30) for i, v in enumerate(np.linspace(0, 10, 60))])
    assert abs(ramp[-1, 0] - 10) < 0.02 * 10


def test_one_euro_starts_at_the_first_value_and_refuses_time_travel():
    live = OneEuro()
    assert np.array_equal(live(np.array([3.0, 4.0]), 1.0), [3, 4])
    with pytest.raises(ValueError, match="must increase"):
        live(np.array([3.0, 4.0]), 1.0)
    live.reset()
    assert np.array_equal(live(np.array([7.0]), 0.0), [7])
    with pytest.raises(ValueError, match="above 0"):
        OneEuro(0)
