"""Curves through keyframes, against SciPy's."""

import numpy as np
import pytest
from scipy.interpolate import PchipInterpolator

from gioconda.motion.monotone import interpolate


@pytest.mark.parametrize("count", [2, 3, 4, 12])
@pytest.mark.parametrize("digits", [0, 1, 8])
def test_curves_are_those_of_scipy(count, digits):
    """Few digits make steps of zero, and neighbours that are equal."""
    random = np.random.default_rng(count)
    for _ in range(20):
        key_times = np.cumsum(random.uniform(0.1, 2, count))
        values = random.normal(size=(count, 3)).round(digits)
        times = np.r_[key_times, random.uniform(key_times[0], key_times[-1], 50), key_times[-1] + 0.02]
        curves = interpolate(key_times, values, times)
        assert curves == pytest.approx(PchipInterpolator(key_times, values)(times), abs=1e-12)
        assert interpolate(key_times, values[:, 1], times) == pytest.approx(curves[:, 1], abs=1e-15)


def test_curves_stay_between_their_keyframes():
    random = np.random.default_rng(0)
    times = np.linspace(0, 9, 1000)
    values = random.normal(size=10)
    curve = interpolate(np.arange(10.0), values, times)
    before = np.minimum(times.astype(int), 8)
    low, high = np.minimum(values[:-1], values[1:])[before], np.maximum(values[:-1], values[1:])[before]
    assert (low - 1e-12 <= curve).all()
    assert (curve <= high + 1e-12).all()
