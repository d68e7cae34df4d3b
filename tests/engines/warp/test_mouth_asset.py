"""The packaged pictures of teeth and tongue: where they lie, and that they look like teeth."""

from __future__ import annotations

import numpy as np
import pytest

from gioconda.assets import asset_path
from gioconda.motion.expression import load_basis

PARTS = ("upper", "lower", "tongue")


@pytest.fixture(scope="module")
def mouth() -> dict[str, np.ndarray]:
    with np.load(asset_path("mouth.npz"), allow_pickle=False) as data:
        return dict(data)


@pytest.mark.parametrize("name", PARTS)
def test_sprites_fit_their_boxes_behind_the_lips(mouth, name):
    sprite, (x0, y0, x1, y1) = mouth[f"{name}_sprite"], mouth[f"{name}_box"]
    assert sprite.dtype == np.uint8
    assert sprite.shape[1:] == (256, 4)
    assert np.isclose(sprite.shape[0] / 256, (y1 - y0) / (x1 - x0), rtol=0.02)
    assert np.isclose(x0, -x1, atol=1e-3)
    lips = load_basis().neutral
    assert y0 < lips[13, 1] + 0.02 < y1 + 0.02
    assert 0.6 < (x1 - x0) / (lips[291, 0] - lips[61, 0]) < 1.4
    assert lips[13, 2] < mouth[f"{name}_z"] < 0.3, "behind the lips, before the throat"


def test_the_jaw_carries_lower_teeth_and_tongue_down(mouth):
    assert np.allclose(mouth["upper_shift"], 0)
    for name in ("lower", "tongue"):
        assert 0.2 < mouth[f"{name}_shift"][1] < 0.4
        assert 0.3 < mouth[f"{name}_turn"] < 0.6
    jaw = load_basis().offsets[17]
    assert abs(mouth["lower_shift"][1] - jaw[17, 1]) < 0.1, "with the lower lip"


def test_teeth_are_light_in_front_and_dark_at_the_back(mouth):
    sprite, depth = mouth["upper_sprite"].astype(float), mouth["upper_depth"].astype(float)
    solid = sprite[..., 3] > 250
    light = sprite[..., :3].mean(axis=2)
    front, back = solid & (np.abs(np.arange(256) - 128) < 40), solid & (np.abs(np.arange(256) - 128) > 85)
    assert np.percentile(light[front], 80) > 180
    assert np.percentile(light[back], 80) < 120
    assert depth[front].mean() < depth[back].mean() - 0.1
    red = sprite[..., 0] - sprite[..., 2]
    assert red[60, 128] < 60, "enamel is near white"
    assert (mouth["tongue_sprite"][..., 0].astype(float) - mouth["tongue_sprite"][..., 2])[60, 128] > 30


def test_edges_are_antialiased(mouth):
    for name in PARTS:
        alpha = mouth[f"{name}_sprite"][..., 3]
        assert ((alpha > 10) & (alpha < 245)).sum() > 200
        assert alpha[:, 0].max() < 10
