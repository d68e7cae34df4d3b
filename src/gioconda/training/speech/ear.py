"""The part of the speech network that has heard many people before: Whisper's smallest encoder, as layers.

Radford, Kim, Xu, Brockman, McLeavey, Sutskever, "Robust Speech Recognition via Large-Scale Weak Supervision",
ICML 2023; as Smart Turn (Daily, 2025) has trained it on for stretches of eight seconds. It tells 50 times a second.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from gioconda.errors import WeightsError
from gioconda.speech.features import BANDS, mel_widths
from gioconda.training.speech.stored import PREFIX, Arrays, stored_weights
from gioconda.weights import asset_path

HEARD = 384  # channels that come out
HEADS, INNER, LAYERS = 6, 1536, 4
LONGEST = 400  # outputs, 8 s
# Log power of a levelled spectrum's zero, so that voices are about as loud as those it learnt from
LOUD = 4.18


class Attend(nn.Module):
    """One layer of a transformer that hears all of a stretch, normed before each part."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(HEARD)
        self.query, self.value, self.out = (nn.Linear(HEARD, HEARD) for _ in range(3))
        self.key = nn.Linear(HEARD, HEARD, bias=False)
        self.norm2 = nn.LayerNorm(HEARD)
        self.inner, self.outer = nn.Linear(HEARD, INNER), nn.Linear(INNER, HEARD)

    def forward(self, x: Tensor) -> Tensor:
        """(N, T, HEARD) -> the same."""
        y = self.norm(x)
        parts = [
            p.unflatten(2, (HEADS, -1)).transpose(1, 2) for p in (self.query(y), self.key(y), self.value(y))
        ]
        x = x + self.out(F.scaled_dot_product_attention(*parts).transpose(1, 2).flatten(2))
        return torch.as_tensor(x + self.outer(F.gelu(self.inner(self.norm2(x)))))


class Ear(nn.Module):
    """Levelled log-mel spectra (N, 2 * T, BANDS) -> what is said (N, HEARD, T); T at most LONGEST."""

    widths: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv1d(BANDS, HEARD, 3, padding=1)
        self.halve = nn.Conv1d(HEARD, HEARD, 3, stride=2, padding=1)
        self.place = nn.Parameter(torch.zeros(LONGEST, HEARD))
        self.layers = nn.ModuleList(Attend() for _ in range(LAYERS))
        self.norms = nn.ModuleList(nn.LayerNorm(HEARD, elementwise_affine=False) for _ in range(LAYERS))
        self.share = nn.Parameter(torch.zeros(LAYERS))
        self.register_buffer("widths", torch.from_numpy(mel_widths()))

    def forward(self, mel: Tensor) -> Tensor:
        """What is said: all of its layers, each evened out, by shares that are learnt."""
        logs = (3 * mel.float() + LOUD - self.widths.log()) / np.log(10)
        shares = torch.softmax(self.share, 0)
        told = [norm(x) for norm, x in zip(self.norms, self.layered(logs / 4 + 1), strict=True)]
        return torch.stack([s * t for s, t in zip(shares, told, strict=True)]).sum(0).transpose(1, 2)

    def layered(self, own: Tensor) -> list[Tensor]:
        """Its own spectra (N, 2 * T, BANDS) -> what each layer gives, (N, T, HEARD) each."""
        x = F.gelu(self.halve(F.gelu(self.first(own.transpose(1, 2))))).transpose(1, 2)
        spare = LONGEST - x.shape[1]
        start = int(torch.randint(spare + 1, ())) if self.training else spare // 2
        x = x + self.place[start : start + x.shape[1]]
        told = []
        for layer in self.layers:
            x = layer(x)
            told.append(x)
        return told


def begin(ear: Ear, file: str) -> None:
    """Let an ear start from Smart Turn's file or an exported speech.onnx; where none is named, from the packaged one.

    MissingFileError, or WeightsError for another file.
    """
    path = Path(file) if file else asset_path("speech.onnx")
    stored = stored_weights(path)
    first = next((f for f in ("ear.", "nets.0.ear.") if f"{f}place" in stored), None)
    try:
        own = {name: stored[first + name] for name in ear.state_dict()} if first else _from_whisper(stored)
        ear.load_state_dict(
            {name: torch.from_numpy(np.array(value, np.float32)) for name, value in own.items()}, strict=False
        )
    except (KeyError, RuntimeError) as error:
        raise WeightsError(
            f"{path} is neither Smart Turn's network nor a speech network: {str(error).splitlines()[0][:120]}"
        ) from None


def _from_whisper(stored: Arrays) -> Arrays:
    """Weights under our own names; KeyError where one is missing."""
    return {ours: stored[f"{PREFIX}{theirs}"] for ours, theirs in _names().items()}


def _names() -> dict[str, str]:
    """Our names of what is taken over, and Whisper's."""
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
