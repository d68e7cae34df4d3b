"""The audio encoder of the speech network: Whisper's smallest encoder, pretrained on many speakers.

Radford, Kim, Xu, Brockman, McLeavey, Sutskever, "Robust Speech Recognition via Large-Scale Weak Supervision",
ICML 2023; as further trained by Smart Turn (Daily, 2025) on windows of eight seconds. It gives 50 outputs per second.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from gioconda.assets import asset_path
from gioconda.errors import WeightsError
from gioconda.speech.features import BANDS, mel_widths
from gioconda.training.speech.stored import PREFIX, Arrays, stored_weights

# Channels of the output
CHANNELS = 384
# Prefixes of the encoder's weights in a speech.onnx: of one network, and of an ensemble
STORED_PREFIXES = ("ear.", "nets.0.ear.")
HEADS, INNER, LAYERS = 6, 1536, 4
# Outputs of the longest window: 8 s
LONGEST = 400
# Log power of a levelled spectrum's zero: voices are then about as loud as in the encoder's pretraining
LOUD = 4.18


class TransformerBlock(nn.Module):
    """One pre-norm transformer layer with self-attention over the whole window."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(CHANNELS)
        self.query, self.value, self.out = (nn.Linear(CHANNELS, CHANNELS) for _ in range(3))
        self.key = nn.Linear(CHANNELS, CHANNELS, bias=False)
        self.norm2 = nn.LayerNorm(CHANNELS)
        self.inner, self.outer = nn.Linear(CHANNELS, INNER), nn.Linear(INNER, CHANNELS)

    def forward(self, x: Tensor) -> Tensor:
        """(N, T, CHANNELS) -> the same."""
        y = self.norm(x)
        parts = [
            p.unflatten(2, (HEADS, -1)).transpose(1, 2) for p in (self.query(y), self.key(y), self.value(y))
        ]
        x = x + self.out(F.scaled_dot_product_attention(*parts).transpose(1, 2).flatten(2))
        return torch.as_tensor(x + self.outer(F.gelu(self.inner(self.norm2(x)))))


class AudioEncoder(nn.Module):
    """Levelled log-mel spectra (N, 2 * T, BANDS) -> speech features (N, CHANNELS, T); T at most LONGEST."""

    widths: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv1d(BANDS, CHANNELS, 3, padding=1)
        self.halve = nn.Conv1d(CHANNELS, CHANNELS, 3, stride=2, padding=1)
        self.place = nn.Parameter(torch.zeros(LONGEST, CHANNELS))
        self.layers = nn.ModuleList(TransformerBlock() for _ in range(LAYERS))
        self.norms = nn.ModuleList(nn.LayerNorm(CHANNELS, elementwise_affine=False) for _ in range(LAYERS))
        self.share = nn.Parameter(torch.zeros(LAYERS))
        self.register_buffer("widths", torch.from_numpy(mel_widths()))

    def forward(self, mel: Tensor) -> Tensor:
        """Speech features: the normalised outputs of all layers, weighted by learnt shares."""
        logs = (3 * mel.float() + LOUD - self.widths.log()) / np.log(10)
        shares = torch.softmax(self.share, 0)
        normed = [norm(x) for norm, x in zip(self.norms, self.layered(logs / 4 + 1), strict=True)]
        return torch.stack([s * x for s, x in zip(shares, normed, strict=True)]).sum(0).transpose(1, 2)

    def layered(self, own: Tensor) -> list[Tensor]:
        """Spectra in Whisper's scale (N, 2 * T, BANDS) -> the output of each layer, (N, T, CHANNELS) each."""
        x = F.gelu(self.halve(F.gelu(self.first(own.transpose(1, 2))))).transpose(1, 2)
        spare = LONGEST - x.shape[1]
        start = int(torch.randint(spare + 1, ())) if self.training else spare // 2
        x = x + self.place[start : start + x.shape[1]]
        outputs = []
        for layer in self.layers:
            x = layer(x)
            outputs.append(x)
        return outputs


def load_pretrained(encoder: AudioEncoder, file: str) -> None:
    """Load an encoder's weights from Smart Turn's file or an exported speech.onnx.

    Args:
        encoder: The network to fill.
        file: The path; empty for the packaged speech.onnx.

    Raises:
        MissingFileError: `file` does not exist.
        WeightsError: `file` is another kind of file.
    """
    path = Path(file) if file else asset_path("speech.onnx")
    stored = stored_weights(path)
    prefix = next((f for f in STORED_PREFIXES if f"{f}place" in stored), None)
    try:
        own = (
            {name: stored[prefix + name] for name in encoder.state_dict()}
            if prefix
            else _from_whisper(stored)
        )
        encoder.load_state_dict(
            {name: torch.from_numpy(np.array(value, np.float32)) for name, value in own.items()}, strict=False
        )
    except (KeyError, RuntimeError) as error:
        raise WeightsError(
            f"{path} is neither Smart Turn's network nor a speech network: {str(error).splitlines()[0][:120]}"
        ) from None


def _from_whisper(stored: Arrays) -> Arrays:
    """Whisper's weights under our names; KeyError if one is missing."""
    return {ours: stored[f"{PREFIX}{theirs}"] for ours, theirs in _names().items()}


def _names() -> dict[str, str]:
    """Whisper's name of each pretrained weight, by our name."""
    names, parts = {"place": "embed_positions.weight"}, {"first": "conv1", "halve": "conv2"}
    for layer in (f"layers.{k}." for k in range(LAYERS)):
        names[f"{layer}key.weight"] = f"{layer}self_attn.k_proj.weight"
        for ours, theirs in (
            ("norm", "self_attn_layer_norm"), ("query", "self_attn.q_proj"), ("value", "self_attn.v_proj"),
            ("out", "self_attn.out_proj"), ("norm2", "final_layer_norm"), ("inner", "fc1"), ("outer", "fc2"),
        ):  # fmt: skip
            parts[layer + ours] = layer + theirs
    for ours, theirs in parts.items():
        names |= {f"{ours}.{kind}": f"{theirs}.{kind}" for kind in ("weight", "bias")}
    return names
