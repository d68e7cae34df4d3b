"""The refiner's losses: pixels within the window, steadiness over time, and later a critic."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from gioconda.engines.warp.aligned import OPENING, WINDOW

# How many times more a pixel at the openings of lips or lids counts
INSIDE_WEIGHT = 3.0


def pixel_weights(inputs: Tensor) -> Tensor:
    """Weights (N, 1, H, W), mean 1 per sample, of inputs (N, CHANNELS, H, W): the window, more at openings and rims."""
    opening, window = (inputs[:, k : k + 1].contiguous() for k in (OPENING, WINDOW))
    weights = window * (1 + INSIDE_WEIGHT * F.max_pool2d(opening, 7, 1, 3))
    return weights / weights.mean((1, 2, 3), keepdim=True).clamp(min=1e-4)


def pixel_loss(refined: Tensor, true: Tensor, weights: Tensor) -> Tensor:
    """Weighted mean absolute difference of pictures (N, 3, H, W) in -1..1, a scalar."""
    return ((refined - true).abs() * weights).mean()


def temporal_loss(
    refined: Tensor, before: Tensor, true: Tensor, true_before: Tensor, weights: Tensor
) -> Tensor:
    """Weighted mean absolute difference between the changes of the refined and of the true pictures over one frame."""
    return (((refined - before) - (true - true_before)).abs() * weights).mean()


def critic_loss(real: Tensor, fake: Tensor) -> Tensor:
    """Hinge loss of the critic, a scalar, from its scores of true and of refined pictures."""
    return F.relu(1 - real).mean() + F.relu(1 + fake).mean()


def matching_loss(refined: list[Tensor], true: list[Tensor]) -> Tensor:
    """Mean absolute difference of the critic's features (Wang et al., pix2pixHD, 2018)."""
    return torch.stack([(a - b.detach()).abs().mean() for a, b in zip(refined, true, strict=True)]).mean()
