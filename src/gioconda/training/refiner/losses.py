"""What the refiner is asked for: nearness in the window, features alike, steadiness over time, and later texture."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from gioconda.engines.warp.aligned import OPENING, WINDOW

INSIDE_WEIGHT = 3.0  # how much more a pixel between lips or lids counts


def pixel_weights(inputs: Tensor) -> Tensor:
    """(N, CHANNELS, H, W) -> (N, 1, H, W) of mean 1 a sample: the window, and more at the openings and their rims."""
    opening, window = (inputs[:, k : k + 1].contiguous() for k in (OPENING, WINDOW))
    weights = window * (1 + INSIDE_WEIGHT * F.max_pool2d(opening, 7, 1, 3))
    return weights / weights.mean((1, 2, 3), keepdim=True).clamp(min=1e-4)


def pixel_loss(made: Tensor, true: Tensor, weights: Tensor) -> Tensor:
    """Weighted mean absolute difference; pictures (N, 3, H, W) in -1..1."""
    return ((made - true).abs() * weights).mean()


def temporal_loss(made: Tensor, before: Tensor, true: Tensor, true_before: Tensor, weights: Tensor) -> Tensor:
    """How differently the made pictures change from one moment to the next than the true ones do."""
    return (((made - before) - (true - true_before)).abs() * weights).mean()


def critic_loss(real: Tensor, fake: Tensor) -> Tensor:
    """Hinge loss of the critic."""
    return F.relu(1 - real).mean() + F.relu(1 + fake).mean()


def matching_loss(made: list[Tensor], true: list[Tensor]) -> Tensor:
    """Mean absolute difference of the critic's features (Wang et al., pix2pixHD, 2018)."""
    return torch.stack([(a - b.detach()).abs().mean() for a, b in zip(made, true, strict=True)]).mean()
