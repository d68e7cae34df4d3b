"""The ear tells 50 times a second what the embedding that it comes from tells of each window, one at a time."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F  # noqa: N812

from gioconda.errors import MissingFileError, WeightsError
from gioconda.speech import features
from gioconda.training.speech import ear as ears

WINDOW = 76  # frames that the embedding was made for


@pytest.fixture(scope="module")
def ear():
    torch.manual_seed(3)
    made = ears.Ear().eval()
    ears.begin(made, "")
    return made


def strided(ear, window):
    """The embedding as published: plain convolutions, pooled with strides; (76, 32) -> (96,)."""
    x, block = torch.from_numpy(window)[None, None], 0
    for layer in ear.layers:
        if isinstance(layer, torch.nn.Conv2d):
            sides = (0, layer.kernel_size[1] // 2)
            x = F.conv2d(x, layer.weight, layer.bias, padding=sides)
            x = torch.maximum(F.leaky_relu(x, 0.2), torch.tensor(-0.4))
        else:
            x = F.max_pool2d(x, [(2, 2), (1, 2), (2, 2), (1, 2), (2, 2)][block])
            block += 1
    return F.conv2d(x, ear.last.weight).flatten().detach().numpy()


def test_each_moment_is_what_a_window_alone_would_tell(ear):
    own = np.random.default_rng(0).normal(2, 1.5, (160, 32)).astype(np.float32)
    with torch.no_grad():
        told = ear.embedded(torch.from_numpy(own)[None])[0].numpy()
    assert told.shape == (96, 80)
    for start in (0, 30, 84):
        moment = (start + ears.BEFORE) // 2
        assert np.allclose(told[:, moment], strided(ear, own[start : start + WINDOW]), atol=1e-3)


def test_its_bands_hear_a_tone_where_it_is(ear):
    t = np.arange(features.RATE) / features.RATE
    for hertz in (250.0, 1000.0, 3000.0):
        mel = features.log_mel(0.1 * np.sin(2 * np.pi * hertz * t))
        power = np.exp(mel[50]) @ ear.narrow.numpy()
        filters = ears._own_filters()
        assert (
            abs(int(power.argmax()) - int(filters[round(hertz * features.FFT / features.RATE)].argmax())) <= 1
        )


def test_a_voice_moves_what_it_says(ear):
    """Outputs differ over a changing sound far more than over a steady one."""
    t = np.arange(2 * features.RATE) / features.RATE
    steady = 0.1 * np.sin(2 * np.pi * 300 * t)
    changing = steady * (np.sin(2 * np.pi * 3 * t) > 0)
    spread = []
    for sound in (steady, changing):
        mel = features.levelled(features.log_mel(sound))
        with torch.no_grad():
            told = ear(torch.from_numpy(mel)[None])[0, :, 25:-25]
        spread.append(float(told.std(1).mean()))
    assert spread[1] > 2 * spread[0]


def test_what_is_not_the_embedding_is_told(ear, tmp_path):
    with pytest.raises(MissingFileError, match="does not exist"):
        ears.begin(ear, str(tmp_path / "none.onnx"))
    (tmp_path / "bad.onnx").write_bytes(b"\x08\x07nonsense")
    with pytest.raises(WeightsError, match=r"bad\.onnx"):
        ears.begin(ear, str(tmp_path / "bad.onnx"))
