"""The refiner: a compact U-Net with gated convolutions that repairs mouth and eyes of a warped face.

Gated convolutions after Yu et al., *Free-Form Image Inpainting with Gated Convolution*, ICCV 2019. The crop is
folded to half its side first (as pixel unshuffle does), so little is computed at full resolution.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torch.nn.utils.parametrizations import spectral_norm

from gioconda.engines.warp.aligned import CHANNELS, EYE_ROWS, WARPED, WINDOW

# Filter taps with response 1 - sin^4(w / 2): flat at low frequencies, zero at a period of two pixels
EVEN = (-1 / 16, 4 / 16, 10 / 16, 4 / 16, -1 / 16)
# Slope of leaky rectifiers, which inference runtimes fuse into convolutions, unlike smoother activations
SLOPE = 0.1


class Stem(nn.Conv2d):
    """A 1x1 convolution of the input folded to half its side, as pixel unshuffle folds it."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, into / 4, H, W) -> (N, out, H / 2, W / 2)."""
        # The folded copy would take an eighth of the whole network's time
        weight = self.weight.reshape(self.out_channels, -1, 2, 2)
        return F.conv2d(x, weight, self.bias, stride=2)


class Gated(nn.Module):
    """A 3x3 convolution whose second half of channels gates the first half."""

    def __init__(self, into: int, out: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(into, 2 * out, 3, stride, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, into, H, W) -> (N, out, H / stride, W / stride)."""
        value, gate = self.conv(x).chunk(2, 1)
        return F.leaky_relu(value, SLOPE) * torch.sigmoid(gate)


class Residual(nn.Module):
    """Two 3x3 convolutions with a residual connection."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> the same shape."""
        residual: Tensor = self.second(F.leaky_relu(self.first(x), SLOPE))
        return x + residual


class Up(nn.Module):
    """Upsamples to twice the side and mixes in the skip connection of that level."""

    def __init__(self, into: int, beside: int, out: int) -> None:
        super().__init__()
        self.narrow = nn.Conv2d(into, out, 1)
        self.mix = nn.Conv2d(out + beside, out, 3, padding=1)

    def forward(self, x: Tensor, beside: Tensor) -> Tensor:
        """(N, into, H, W), (N, beside, 2H, 2W) -> (N, out, 2H, 2W)."""
        x = F.interpolate(self.narrow(x), scale_factor=2.0, mode="nearest")
        return F.leaky_relu(self.mix(torch.cat([x, beside], 1)), SLOPE)


class Evened(nn.Module):
    """Removes what alternates from pixel to pixel: the grid of pixel shuffle, to which no loss is very sensitive."""

    taps: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        taps = torch.tensor(EVEN).expand(channels, 1, 1, len(EVEN)).contiguous()
        self.register_buffer("taps", taps, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> the same shape."""
        taps, reach, groups = self.taps.to(x.dtype), len(EVEN) // 2, x.shape[1]
        x = F.conv2d(x, taps, padding=(0, reach), groups=groups)
        return F.conv2d(x, taps.transpose(2, 3), padding=(reach, 0), groups=groups)


class Refiner(nn.Module):
    """Input (N, CHANNELS, H, W), sides divisible by 16, as `aligned.stack` makes it -> picture (N, 3, H, W), -1..1.

    Outside the window, the output is the warped picture. Around the eyes, brightness changes but colour does not.
    width: channels of the first level.
    """

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        w1, w2, w3 = 3 * width, 6 * width, 10 * width
        self.stem = Stem(4 * CHANNELS, width, 1)
        self.level0 = Gated(width, width)  # (H/2, W/2)
        self.down1, self.level1 = Gated(width, w1, 2), Residual(w1)  # (H/4, W/4)
        self.down2, self.level2 = Gated(w1, w2, 2), Residual(w2)  # (H/8, W/8)
        self.down3, self.level3 = Gated(w2, w3, 2), nn.Sequential(Residual(w3), Residual(w3))  # (H/16, W/16)
        self.up2, self.up1, self.up0 = Up(w3, w2, w2), Up(w2, w1, w1), Up(w1, width, width)
        self.head = nn.Conv2d(width, 16, 3, padding=1)
        # Training starts from the unchanged warp
        nn.init.zeros_(self.head.weight)
        assert self.head.bias is not None
        nn.init.zeros_(self.head.bias)
        self.evened = Evened(3)

    def forward(self, x: Tensor) -> Tensor:
        """The refined picture."""
        # Planes of few channels are combined far faster when each is contiguous
        warped, window = x[:, WARPED].contiguous(), x[:, WINDOW:].contiguous()
        x0 = self.level0(F.leaky_relu(self.stem(x), SLOPE))
        x1 = self.level1(self.down1(x0))
        x2 = self.level2(self.down2(x1))
        x3 = self.level3(self.down3(x2))
        y = self.up0(self.up1(self.up2(x3, x2), x1), x0)
        y = F.pixel_shuffle(self.head(y).contiguous(), 2)
        change = window * self.evened(torch.sigmoid(y[:, 3:] + 2) * y[:, :3])
        eyes = change[:, :, :EYE_ROWS].mean(1, keepdim=True).expand(-1, 3, -1, -1)
        return warped + torch.cat([eyes, change[:, :, EYE_ROWS:]], 2)


class PatchCritic(nn.Module):
    """A patch discriminator (Isola et al. 2017) with spectral norm: picture and geometry -> scores and features."""

    def __init__(self, into: int, width: int = 32) -> None:
        super().__init__()
        sizes = (into, width, 2 * width, 4 * width)
        self.steps = nn.ModuleList(spectral_norm(nn.Conv2d(a, b, 4, 2, 1)) for a, b in pairwise(sizes))
        self.score = spectral_norm(nn.Conv2d(4 * width, 1, 3, padding=1))

    def forward(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """(N, into, H, W) -> scores (N, 1, H/8, W/8), features of each step."""
        features = []
        for step in self.steps:
            x = F.leaky_relu(step(x), 0.2)
            features.append(x)
        return self.score(x), features
