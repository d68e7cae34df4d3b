"""The audio encoder hears what Whisper hears, takes its weights from the file that holds them, and follows a voice."""

import numpy as np
import onnx
import pytest
import torch
from onnx import helper, numpy_helper
from torch import nn

from gioconda.errors import MissingFileError, WeightsError
from gioconda.speech import features
from gioconda.training.speech import audio_encoder
from gioconda.training.speech.stored import PREFIX, stored_weights


@pytest.fixture(scope="module")
def encoder():
    torch.manual_seed(3)
    made = audio_encoder.AudioEncoder().eval()
    audio_encoder.load_pretrained(made, "")
    return made


def torchs_own(layer):
    """A layer of PyTorch's own transformer with the same weights."""
    other = nn.TransformerEncoderLayer(
        audio_encoder.CHANNELS,
        audio_encoder.HEADS,
        audio_encoder.INNER,
        0.0,
        "gelu",
        batch_first=True,
        norm_first=True,
    )
    parts = (layer.query.weight, layer.key.weight, layer.value.weight)
    biases = (layer.query.bias, torch.zeros(audio_encoder.CHANNELS), layer.value.bias)
    state = {"self_attn.in_proj_weight": torch.cat(parts), "self_attn.in_proj_bias": torch.cat(biases)}
    for name, part in {
        "self_attn.out_proj": layer.out, "linear1": layer.inner, "linear2": layer.outer,
        "norm1": layer.norm, "norm2": layer.norm2,
    }.items():  # fmt: skip
        state |= {f"{name}.weight": part.weight, f"{name}.bias": part.bias}
    other.load_state_dict(state)
    return other.eval()


def test_its_layers_are_those_of_a_transformer(encoder):
    x = torch.randn(2, 50, audio_encoder.CHANNELS, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        for layer in encoder.layers:
            assert torch.allclose(layer(x), torchs_own(layer)(x), atol=1e-4)


def whispers(sound):
    """Whisper's own spectra (T, 80) of a sound, written from its paper: areas of one, power of ten, a quarter."""
    even = (sound - sound.mean()) / sound.std()
    frames = np.lib.stride_tricks.sliding_window_view(np.pad(even, 200), 400)[::160]
    power = np.abs(np.fft.rfft(frames * np.hanning(401)[:-1], axis=1)) ** 2
    hertz = np.arange(201) * 40.0
    slaney = np.where(
        hertz < 1000, hertz * 3 / 200, 15 + np.log(np.maximum(hertz, 1) / 1000) * 27 / np.log(6.4)
    )
    ends = np.linspace(0, 15 + np.log(8) * 27 / np.log(6.4), 82)
    edges = np.interp(ends, np.linspace(0, 60, 60001), _hertz(np.linspace(0, 60, 60001)))
    assert np.all(np.diff(slaney) > 0)
    bank = np.stack(
        [
            np.minimum((hertz - a) / (b - a), (c - hertz) / (c - b)).clip(0) * 2 / (c - a)
            for a, b, c in zip(edges[:-2], edges[1:-1], edges[2:], strict=True)
        ]
    )
    return np.log10(np.maximum(power @ bank.T, 1e-10)) / 4 + 1


def _hertz(mel):
    return np.where(mel < 15, mel * 200 / 3, 1000 * np.exp((mel - 15) * np.log(6.4) / 27))


def test_it_is_given_the_spectra_that_whisper_learnt_from(encoder, monkeypatch):
    random = np.random.default_rng(0)
    t = np.arange(2 * features.RATE) / features.RATE
    pulses = (np.sin(2 * np.pi * 120 * t) > 0.97) * np.abs(np.sin(2 * np.pi * 3 * t))
    sound = 0.2 * pulses + 0.002 * random.normal(0, 1, len(t))
    given = []
    monkeypatch.setattr(
        encoder, "layered", lambda own: given.append(own) or [torch.zeros(1, 1, audio_encoder.CHANNELS)] * 4
    )
    encoder(torch.from_numpy(features.levelled(features.log_mel(sound)))[None])
    ours, theirs = given[0][0].numpy()[5:195, 2:], whispers(sound)[5:195, 2:]  # Whisper takes the mean away
    loud = theirs > np.quantile(theirs, 0.5)
    off = (ours - theirs)[loud]
    assert off.std() < 0.03
    assert abs(np.median(off)) < 0.25  # as loud as a voice; a buzz is another


def test_a_voice_moves_what_it_says(encoder):
    """Outputs differ over a changing sound far more than over a steady one."""
    t = np.arange(2 * features.RATE) / features.RATE
    steady = 0.1 * np.sin(2 * np.pi * 300 * t)
    changing = steady * (np.sin(2 * np.pi * 3 * t) > 0)
    spread = []
    for sound in (steady, changing):
        mel = features.levelled(features.log_mel(sound))
        with torch.no_grad():
            told = encoder(torch.from_numpy(mel)[None])[0, :, 25:-25]
        spread.append(float(told.std(1).mean()))
    assert spread[1] > 2 * spread[0]


def stored(weights):
    """A graph that holds weights in 8 bits as Smart Turn's does: matrices have lost their names, biases have not."""
    nodes, tensors = [], []

    def held(name, value, axis):
        shape = [-1 if k == axis else 1 for k in range(value.ndim)]
        scale = np.abs(value).max(tuple(k for k in range(value.ndim) if k != axis)) / 127
        whole = np.round(value / scale.reshape(shape)).astype(np.int8)
        for suffix, part in (("", whole), ("_scale", scale), ("_zero", np.zeros(len(scale), np.int8))):
            tensors.append(numpy_helper.from_array(part, f"{name}_quantized{suffix}"))
        inputs = [f"{name}_quantized{suffix}" for suffix in ("", "_scale", "_zero")]
        out = f"{name}_DequantizeLinear_Output"
        nodes.append(helper.make_node("DequantizeLinear", inputs, [out], axis=axis))
        return out

    def linear(name, matrix, bias):
        out = held(f"val_{name}", matrix.T, 1)
        nodes.append(helper.make_node("MatMul", ["x", out], [f"{name}_out"]))
        if bias is not None:
            nodes.append(helper.make_node("QuantizeLinear", [f"{name}_out", "s", "z"], [f"{name}_q"]))
            nodes.append(helper.make_node("DequantizeLinear", [f"{name}_q", "s", "z"], [f"{name}_d"]))
            nodes.append(helper.make_node("Add", [f"{name}_d", f"inner.encoder.{bias}"], [f"{name}_sum"]))

    for name, value in weights.items():
        if name.startswith("conv") and name.endswith("weight"):
            held(f"inner.encoder.{name}", value, 0)
        elif value.ndim == 2 and "embed" not in name:
            bias = name.removesuffix("weight") + "bias"
            linear(name.replace(".", "_"), value, bias if bias in weights else None)
        else:
            tensors.append(numpy_helper.from_array(value, f"inner.encoder.{name}"))
    tensors += [numpy_helper.from_array(np.array(v), n) for n, v in (("s", np.float32(1)), ("z", np.int8(0)))]
    return helper.make_model(helper.make_graph(nodes, "g", [], [], tensors))


def test_it_takes_over_weights_that_a_file_holds_in_eight_bits(tmp_path):
    torch.manual_seed(5)
    given, taken = audio_encoder.AudioEncoder(), audio_encoder.AudioEncoder()
    nn.init.normal_(given.place)
    state = given.state_dict()
    weights = {theirs: state[ours].numpy() for ours, theirs in audio_encoder._names().items()}
    file = tmp_path / "net.onnx"
    onnx.save(stored(weights), file)
    assert set(stored_weights(file)) >= {f"{PREFIX}{name}" for name in weights}
    audio_encoder.load_pretrained(taken, str(file))
    for name in audio_encoder._names():
        one, other = state[name], taken.state_dict()[name]
        assert (one - other).abs().max() <= one.abs().max() / 200 + 1e-7, name


def test_what_is_not_the_network_is_told(encoder, tmp_path):
    with pytest.raises(MissingFileError, match="does not exist"):
        audio_encoder.load_pretrained(encoder, str(tmp_path / "none.onnx"))
    (tmp_path / "bad.onnx").write_bytes(b"\x08\x07nonsense")
    with pytest.raises(WeightsError, match=r"bad\.onnx"):
        audio_encoder.load_pretrained(encoder, str(tmp_path / "bad.onnx"))
    onnx.save(helper.make_model(helper.make_graph([], "g", [], [])), tmp_path / "empty.onnx")
    with pytest.raises(WeightsError, match="neither Smart Turn's"):
        audio_encoder.load_pretrained(encoder, str(tmp_path / "empty.onnx"))
