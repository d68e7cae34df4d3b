"""The part of the speech network that has heard many people before: Google's speech embedding, as layers.

Lin, Kilgour, Roblek, Sharifi, "Training keyword spotters with limited and synthesized speech data", ICASSP 2020. Its
strides in time are dilations here, so that it tells 50 times a second; otherwise the sums are the same.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from scipy.optimize import nnls
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from gioconda.errors import MissingFileError, WeightsError
from gioconda.speech.features import FFT, RATE, mel_filters
from gioconda.types import FloatArray
from gioconda.weights import asset_path

HEARD = 96  # channels that come out
LEAK, LEAST = 0.2, -0.4  # of its activations
BEFORE, AFTER = 38, 36  # of the 75 frames that it hears, those before and after the one told of
NARROW, LOWEST, HIGHEST = 32, 60.0, 3800.0  # its own mel bands
# Log power of a levelled spectrum's zero, so that voices are about as loud as those it learnt from
LOUD = -6.6
FLOOR = 1e-10
# Channels of each block, and its pooling: 2 halves (or dilates) time and halves frequency, 1 frequency alone.
BLOCKS = ((24, 2), (48, 1), (72, 2), (96, 1), (96, 2))


class Ear(nn.Module):
    """Levelled log-mel spectra (N, 2 * T, BANDS) -> what is said (N, HEARD, T)."""

    narrow: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.layers, dilation = nn.ModuleList(), 1
        into = 1
        for block, (width, pool) in enumerate(BLOCKS):
            kernels = [(3, 3), (1, 3), (3, 1)] if block == 0 else [(1, 3), (3, 1), (1, 3), (3, 1)]
            for kernel in kernels:
                apart = (dilation if kernel[0] > 1 else 1, 1)
                self.layers.append(
                    nn.Conv2d(into, width, kernel, padding=(0, kernel[1] // 2), dilation=apart)
                )
                into = width
            if block == 0:
                self.layers.append(nn.MaxPool2d(2))
            elif pool == 2:
                self.layers.append(nn.MaxPool2d(2, stride=(1, 2), dilation=(dilation, 1)))
                dilation *= 2
            else:
                self.layers.append(nn.MaxPool2d((1, 2)))
        self.last = nn.Conv2d(HEARD, HEARD, (3, 1), bias=False, dilation=(dilation, 1))
        self.norm = nn.BatchNorm1d(HEARD, affine=False, momentum=0.02)
        self.register_buffer("narrow", torch.from_numpy(_narrow()))

    def forward(self, mel: Tensor) -> Tensor:
        """What is said."""
        power = torch.exp(3 * mel.float() + LOUD) @ self.narrow
        own = torch.log10(power * 32767.0**2 + FLOOR) + 2
        return torch.as_tensor(self.norm(self.embedded(own)))

    def embedded(self, own: Tensor) -> Tensor:
        """Its own log-mel spectra (N, 2 * T, NARROW) -> (N, HEARD, T), before they are evened out."""
        x = F.pad(own[:, None], (0, 0, BEFORE, AFTER))
        for layer in self.layers:
            x = layer(x)
            if isinstance(layer, nn.Conv2d):
                x = F.leaky_relu(x, LEAK).clamp(min=LEAST)
        return torch.as_tensor(self.last(x)[..., 0])

    def take_over(self, file: Path) -> None:
        """Weights of `embedding_model.onnx`, as wake word packages carry it. MissingFileError or WeightsError."""
        weights = _weights(file)
        convolutions = [layer for layer in self.layers if isinstance(layer, nn.Conv2d)]
        try:
            for index, layer in enumerate(convolutions):
                name = f"model/conv2d{f'_{index}' if index else ''}/Conv2D"
                layer.weight.data.copy_(weights[f"{name}_weights_fused_bn"])
                assert layer.bias is not None
                layer.bias.data.copy_(weights[f"{name}_bias_fused_bn"])
            self.last.weight.data.copy_(weights[f"model/conv2d_{len(convolutions)}/Conv2D/ReadVariableOp:0"])
        except (KeyError, RuntimeError) as error:
            raise WeightsError(
                f"{file} is not Google's speech embedding: {str(error).splitlines()[0][:120]}"
            ) from None


def begin(ear: Ear, file: str) -> None:
    """Let an ear start from the embedding's own file, or where none is named from the packaged network's ear."""
    if file:
        ear.take_over(Path(file))
        return
    packaged = load_file(asset_path("speech.safetensors"))
    first = "nets.0.ear." if any(k.startswith("nets.") for k in packaged) else "ear."
    ear.load_state_dict({k.removeprefix(first): v for k, v in packaged.items() if k.startswith(first)})


def _weights(file: Path) -> dict[str, Tensor]:
    import onnx

    if not file.is_file():
        raise MissingFileError(f"{file} does not exist: name the file of the speech embedding")
    try:
        # what a file says to lie in others is not read
        graph = onnx.load(str(file), load_external_data=False).graph
        return {t.name: torch.from_numpy(np.array(onnx.numpy_helper.to_array(t))) for t in graph.initializer}
    except Exception as error:  # protobuf's own errors share no base class
        raise WeightsError(f"{file} is no ONNX file: {str(error)[:120]}") from None


def _narrow() -> FloatArray:
    """From the power of our bands to that of its own, (BANDS, NARROW): the nearest sums without negative parts."""
    ours, own = mel_filters().astype(np.float64), _own_filters()
    nearest = [nnls(ours, column)[0] for column in own.T]
    return np.asarray(np.stack(nearest, 1), np.float32)


def _own_filters() -> FloatArray:
    """Triangles (FFT / 2 + 1, NARROW) of equal area, even in Slaney's mel: straight to 1 kHz, then logarithmic."""
    step = np.log(6.4) / 27
    ends = [hz * 3 / 200 if hz < 1000 else 15 + np.log(hz / 1000) / step for hz in (LOWEST, HIGHEST)]
    mel = np.linspace(ends[0], ends[1], NARROW + 2)
    edges = np.where(mel < 15, mel * 200 / 3, 1000 * np.exp(step * (mel - 15)))
    left, middle, right = edges[:-2], edges[1:-1], edges[2:]
    bins = np.arange(FFT // 2 + 1)[:, None] * RATE / FFT
    shape = np.minimum((bins - left) / (middle - left), (right - bins) / (right - middle))
    return np.asarray(np.maximum(shape, 0) * 2 / (right - left), np.float64)
