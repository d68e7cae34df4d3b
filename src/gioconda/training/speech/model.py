"""The networks from a voice to the movements of a mouth. T counts outputs, 50 per second; inputs are 100 per second."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from scipy.fft import dct
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from gioconda.motion.expression import load_basis
from gioconda.speech.features import BANDS, CEPSTRA
from gioconda.speech.mouth import COLUMNS, MOVED, POINTS
from gioconda.training.speech.audio_encoder import CHANNELS, AudioEncoder
from gioconda.training.state_keys import keep_keys
from gioconda.types import FloatArray

# Inputs that the recurrent network hears ahead: 200 ms (Suwajanakorn et al. 2017)
DELAY = 20
UNITS, COMPONENTS = 60, 20
DILATIONS = (1, 2, 4, 8, 1, 2, 4, 8)


def lips_of_coefficients() -> Tensor:
    """The effect of each coefficient of MOVED on lips and chin: (27, 44, 2), in inter-ocular units."""
    return torch.from_numpy(np.ascontiguousarray(load_basis().offsets[COLUMNS][:, POINTS, :2]))


class DilatedConvBlock(nn.Module):
    """Residual block: a dilated convolution over time and a pointwise mix of channels."""

    def __init__(self, width: int, dilation: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.around = nn.Conv1d(width, width, 3, padding=dilation, dilation=dilation)
        self.mix = nn.Conv1d(width, width, 1)
        self.drop = nn.Dropout1d(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """(N, W, T) -> the same."""
        y = self.norm(x.transpose(1, 2)).transpose(1, 2)
        return torch.as_tensor(x + self.drop(self.mix(F.gelu(self.around(y)))))


class Decoder(nn.Module):
    """Levelled spectra (N, 2 * T, BANDS), and the features of an audio encoder -> coefficients (N, T, 27) in 0..1."""

    def __init__(self, width: int, dropout: float, dilations: Sequence[int] = DILATIONS) -> None:
        super().__init__()
        self.first = nn.Conv1d(BANDS, width, 5, padding=2)
        self.halve = nn.Conv1d(width, width, 4, stride=2, padding=1)
        self.said = nn.Conv1d(CHANNELS, width, 3, padding=1)
        self.layers = nn.ModuleList(DilatedConvBlock(width, d, dropout) for d in dilations)
        self.norm = nn.LayerNorm(width)
        self.last = nn.Linear(width, len(MOVED))
        self.drop = nn.Dropout1d(dropout)
        nn.init.constant_(self.last.bias, -3.0)

    def forward(self, mel: Tensor, features: Tensor) -> Tensor:
        """Coefficients."""
        x = self.drop(F.gelu(self.first(mel.transpose(1, 2))))
        x = F.gelu(self.halve(x)) + self.said(self.drop(features))
        for layer in self.layers:
            x = layer(x)
        return torch.sigmoid(self.last(self.norm(self.drop(x).transpose(1, 2))))


class LipNet(nn.Module):
    """Levelled log-mel spectra (N, 2 * T, BANDS) -> coefficients (N, T, 27) in 0..1; T at most 400, eight seconds.

    It has an audio encoder, pretrained on many more people than the videos show, and decoders, whose mean is the
    output.
    """

    def __init__(self, width: int = 128, dropout: float = 0.2, decoders: int = 1) -> None:
        super().__init__()
        self.encoder = AudioEncoder()
        self.decoders = nn.ModuleList(Decoder(width, dropout) for _ in range(decoders))
        keep_keys(self, {"encoder": "ear", "decoders": "readers"})

    def each(self, mel: Tensor) -> Tensor:
        """The coefficients of each decoder, (R, N, T, 27)."""
        features = self.encoder(mel)
        return torch.stack([decoder(mel, features) for decoder in self.decoders])

    def forward(self, mel: Tensor) -> Tensor:
        """Coefficients."""
        return self.each(mel).mean(0)


class Ensemble(nn.Module):
    """Several networks on the same input; the output is their mean."""

    def __init__(self, nets: Sequence[nn.Module]) -> None:
        super().__init__()
        self.nets = nn.ModuleList(nets)

    def forward(self, mel: Tensor) -> Tensor:
        """Coefficients (N, T, 27) in 0..1 of levelled log-mel spectra (N, 2 * T, BANDS)."""
        return torch.stack([net(mel) for net in self.nets]).mean(0)


class ObamaNet(nn.Module):
    """The recurrent network of *Synthesizing Obama* (Suwajanakorn, Seitz, Kemelmacher-Shlizerman 2017, 3.1).

    28 features at 100 Hz, one LSTM layer of 60 units, linear output 200 ms late, 20 principal components of the lip
    points. `forward` returns coefficients like LipNet's: those whose lips are closest to the network's.
    """

    mean: Tensor
    components: Tensor
    centre: Tensor
    spread: Tensor
    cosines: Tensor
    nearest: Tensor

    def __init__(
        self, mean: FloatArray, components: FloatArray, centre: FloatArray, spread: FloatArray
    ) -> None:
        """Mean (44 * 2,), components (20, 44 * 2); centre and spread (28,) of the features."""
        super().__init__()
        self.lstm = nn.LSTM(2 * (CEPSTRA + 1), UNITS, batch_first=True)
        self.last = nn.Linear(UNITS, COMPONENTS)
        cosines = dct(np.eye(BANDS), norm="ortho", axis=1)[:, :CEPSTRA]
        basis = lips_of_coefficients().numpy().reshape(len(MOVED), -1).astype(np.float64)
        hold = 0.02 * np.trace(basis @ basis.T) / len(basis) * np.eye(len(basis))
        nearest = np.linalg.solve(basis @ basis.T + hold, basis).T
        for name, value in {
            "mean": mean, "components": components, "centre": centre, "spread": spread,
            "cosines": cosines, "nearest": nearest,
        }.items():  # fmt: skip
            self.register_buffer(name, torch.from_numpy(np.asarray(value, np.float32)))

    def principal(self, mel: Tensor) -> Tensor:
        """Components (N, T, 20) of levelled spectra (N, 2 * T, BANDS)."""
        # Back to log power
        logs = 3 * mel
        power = torch.logsumexp(logs, 2, keepdim=True) - math.log(BANDS)
        own = torch.cat([logs @ self.cosines, power], 2)
        change = torch.cat([torch.zeros_like(own[:, :1]), own[:, 1:] - own[:, :-1]], 1)
        features = (torch.cat([own, change], 2) - self.centre) / self.spread
        later = F.pad(features, (0, 0, 0, DELAY))
        return torch.as_tensor(self.last(self.lstm(later)[0][:, DELAY::2]))

    def lips(self, mel: Tensor) -> Tensor:
        """Lips and chin (N, T, 44, 2)."""
        flat = self.principal(mel) @ self.components + self.mean
        return flat.view(*flat.shape[:2], len(POINTS), 2)

    def forward(self, mel: Tensor) -> Tensor:
        """Coefficients (N, T, 27) in 0..1."""
        flat = self.principal(mel) @ self.components + self.mean
        return (flat @ self.nearest).clamp(0, 1)
