"""Perceptual distance of pictures by features of SqueezeNet 1.1, similar to LPIPS.

Zhang et al., *The Unreasonable Effectiveness of Deep Features as a Perceptual Metric*, CVPR 2018: features of
several layers, each pixel's vector scaled to unit length, squared differences. There are no learned weights here, so
the distances are not plain LPIPS.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from gioconda.errors import MissingFileError, WeightsError

SHA256 = "30b64a48bfecfaccbba1d4cc4f18581a573a28a1fd7f66b89239a9c90fdac9f9"
MEAN_BGR = (103.939, 116.779, 123.68)
LAYERS = ("conv1", "fire3", "fire5", "fire6", "fire7", "fire8", "fire9")
POOL_AFTER = ("conv1", "fire3", "fire5")


class Fire(nn.Module):
    """SqueezeNet's block: 1x1 to few channels, then 1x1 and 3x3 side by side."""

    def __init__(self, into: int, few: int, out: int) -> None:
        super().__init__()
        self.squeeze1x1 = nn.Conv2d(into, few, 1)
        self.expand1x1 = nn.Conv2d(few, out, 1)
        self.expand3x3 = nn.Conv2d(few, out, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, into, H, W) -> (N, 2 * out, H, W)."""
        x = F.relu(self.squeeze1x1(x))
        return torch.cat([F.relu(self.expand1x1(x)), F.relu(self.expand3x3(x))], 1)


class SqueezeFeatures(nn.Module):
    """Features of SqueezeNet 1.1 (Iandola et al. 2016), convolutions only, frozen.

    Args:
        weights: A safetensors file with the names conv1 and fire2 to fire9, for BGR 0..255 minus the mean.
        layers: The layers whose features `forward` returns.

    Raises:
        MissingFileError: The file does not exist.
        WeightsError: Its SHA-256 is not the known one.
    """

    def __init__(self, weights: Path, layers: Sequence[str] = LAYERS) -> None:
        super().__init__()
        if not weights.is_file():
            raise MissingFileError(
                f"{weights} does not exist; give the path of SqueezeNet 1.1's file for the perceptual distance"
            )
        digest = hashlib.sha256(weights.read_bytes()).hexdigest()
        if digest != SHA256:
            raise WeightsError(f"{weights} is not the known SqueezeNet 1.1 (SHA-256 {digest[:12]})")
        self.conv1 = nn.Conv2d(3, 64, 3, stride=2)
        into = 64
        for k, few in zip(range(2, 10), (16, 16, 32, 32, 48, 48, 64, 64), strict=True):
            self.add_module(f"fire{k}", Fire(into, few, 4 * few))
            into = 8 * few
        self.load_state_dict(load_file(weights))
        self.requires_grad_(False)
        self.eval()
        self.names = ("conv1", *(f"fire{k}" for k in range(2, 10)))
        self.layers = frozenset(layers)
        self.names = self.names[: max(self.names.index(layer) for layer in layers) + 1]
        mean = torch.tensor(MEAN_BGR).view(1, 3, 1, 1)
        self.register_buffer("mean", mean, persistent=False)
        self.mean: Tensor

    def forward(self, rgb: Tensor) -> dict[str, Tensor]:
        """Pictures (N, 3, H, W) RGB in -1..1 -> layer name -> features (N, C, h, w)."""
        x = (rgb.flip(1) + 1) * 127.5 - self.mean
        features = {}
        for name in self.names:
            x = getattr(self, name)(x)
            x = F.relu(x) if name == "conv1" else x
            if name in self.layers:
                features[name] = x
            if name in POOL_AFTER:
                x = F.max_pool2d(x, 3, stride=2, ceil_mode=True)
        return features


def feature_distance(
    first: dict[str, Tensor], second: dict[str, Tensor], weights: Tensor | None = None
) -> Tensor:
    """Sum over layers of the mean squared difference of unit feature vectors, a scalar; 0 for equal pictures.

    weights: (N, 1, H, W), how much each pixel counts, at the pictures' size; None: all alike.
    """
    total = torch.zeros((), device=next(iter(first.values())).device)
    for name, a in first.items():
        apart = 2 * (1 - _cosine(a.float(), second[name].float()))
        if weights is None:
            total = total + apart.mean()
        else:
            share = F.adaptive_avg_pool2d(weights, (apart.shape[-2], apart.shape[-1]))[:, 0]
            total = total + (apart * share).sum() / share.sum().clamp(min=1e-6)
    return total


def _cosine(a: Tensor, b: Tensor) -> Tensor:
    """Cosine (N, h, w) of each pixel's features: |a / |a| - b / |b||^2 = 2 - 2 cos costs fewer passes than it reads."""
    lengths = (a * a).sum(1) * (b * b).sum(1)
    return (a * b).sum(1) * (lengths + 1e-6).rsqrt()
