"""High dynamic range: what a screen of standard range shows of it, against the standards' own equations."""

import numpy as np
import pytest

from gioconda.media.colour import HLG, PEAK, PQ, REFERENCE_WHITE, SCREEN_GAMMA, to_standard_range
from hdr_world import TO_2020, as_hlg, as_pq, graded


@pytest.mark.parametrize("transfer", [PQ, HLG])
def test_tones_below_white_stay_as_they_are(transfer, flat_chart):
    picture = np.minimum(flat_chart, 200).astype(np.uint8)
    shown = to_standard_range(graded(picture, transfer), transfer)
    assert np.abs(shown.astype(int) - picture).max() <= 3


@pytest.mark.parametrize("transfer", [PQ, HLG])
def test_highlights_roll_off_without_a_change_of_hue(transfer):
    light = np.linspace(0.2, PEAK / REFERENCE_WHITE, 40)[None, :, None] * np.array([1.0, 0.6, 0.3])
    if transfer == PQ:
        code = as_pq(light @ TO_2020.T * REFERENCE_WHITE)
    else:
        display = light @ TO_2020.T * REFERENCE_WHITE / PEAK
        luminance = np.maximum(display @ [0.2627, 0.6780, 0.0593], 1e-9)
        code = as_hlg(np.minimum(display * np.power(luminance, 1 / 1.2 - 1)[..., None], 1))
    shown = to_standard_range(np.round(np.clip(code, 0, 1) * 65535).astype(np.uint16), transfer)[0]
    red = shown[:, 0].astype(int)
    assert (np.diff(red) >= 0).all()
    assert 240 < red[-1] <= 255
    linear = np.power(shown / 255, SCREEN_GAMMA)
    below = slice(0, 30)  # HLG's channels end at their top before the brightest
    np.testing.assert_allclose(linear[below, 1] / linear[below, 0], 0.6, atol=0.02)
