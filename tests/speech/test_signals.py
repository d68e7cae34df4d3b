"""Peaks and sample rates, against SciPy's."""

from math import gcd

import numpy as np
import pytest
from scipy.signal import find_peaks, resample_poly

from gioconda.speech.signals import peaks, resample


@pytest.mark.parametrize(("rate", "wanted"), [(22050, 16000), (16000, 22050), (48000, 16000), (8000, 16000)])
@pytest.mark.parametrize("count", [1, 7, 1000, 70_001])
def test_sounds_are_resampled_as_by_scipy(rate, wanted, count):
    sound = np.random.default_rng(count).normal(size=count).astype(np.float32)
    common = gcd(rate, wanted)
    expected = resample_poly(sound, wanted // common, rate // common)
    resampled = resample(sound, rate, wanted)
    assert resampled.dtype == np.float32
    assert resampled == pytest.approx(expected, abs=5e-6)
    assert resample(sound, rate, rate) is sound


def test_a_tone_keeps_its_pitch():
    rate, wanted, hertz = 22050, 16000, 440.0
    tone = np.sin(2 * np.pi * hertz * np.arange(rate) / rate).astype(np.float32)
    same = np.sin(2 * np.pi * hertz * np.arange(wanted) / wanted)
    assert resample(tone, rate, wanted)[1000:-1000] == pytest.approx(same[1000:-1000], abs=2e-3)


@pytest.mark.parametrize("seed", range(100))
def test_peaks_are_those_of_scipy(seed):
    """Few digits make plateaus."""
    random = np.random.default_rng(seed)
    smooth = np.convolve(random.normal(size=200), np.ones(random.integers(1, 6)) / 3, "same")
    rise = random.uniform(0.1, 1.5)
    for curve, apart in ((smooth.round(1), 1.0), (smooth, random.uniform(1, 12)), (smooth[:1], 3.0)):
        found, prominences = peaks(curve, apart, rise)
        expected, properties = find_peaks(curve, distance=apart, prominence=rise)
        assert found.tolist() == expected.tolist()
        assert prominences == pytest.approx(properties["prominences"])


def test_the_higher_of_two_near_peaks_stays():
    curve = np.array([0, 2, 0, 3, 0, 0, 0, 1, 1, 1, 0.0])
    assert peaks(curve, 3, 0.5)[0].tolist() == [3, 8]
    assert peaks(curve, 1, 0.5)[0].tolist() == [1, 3, 8]
    assert peaks(curve, 1, 1.5)[1].tolist() == [2, 3]
