"""The three networks and the losses of few-shot adversarial talking heads.

Zakharov, Shysheya, Burkov and Lempitsky, *Few-Shot Adversarial Learning of Realistic Neural Talking Head Models*,
ICCV 2019 (arXiv 1905.08233). Blocks after Brock et al. 2019, attention after Zhang et al. 2019, spectral norm after
Miyato et al. 2018, AdaIN after Huang and Belongie 2017. Pictures are RGB in -1..1; comments give shapes for the
paper's size of 256 pixels and width of 64; other sizes have fewer halvings.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import log2

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torch.nn.utils.parametrizations import spectral_norm

from gioconda.training.state_keys import keep_keys

WIDEST = 8  # channels of the widest level over those of the first
POOLED = 16  # positions that sums over space count as, whatever the size: 4 x 4 in the paper


@dataclass(frozen=True)
class Shape:
    """The size of the networks.

    Attributes:
        size: Side of the pictures, in pixels.
        width: Channels of the first level.
        blocks: Residual blocks with AdaIN.
        fold: Side of the squares of pixels that become channels at the input and are unfolded at the output, so that
            little is computed at full resolution; 1 for none, as in the paper.
        skips: 1 for skip connections from the downsampling to the upsampling levels (Ronneberger et al. 2015), which
            keep lines of one pixel in place past the narrow middle; 0 for none, as in the paper.
    """

    size: int = 256
    width: int = 64
    blocks: int = 5
    fold: int = 1
    skips: int = 0

    @property
    def embedding(self) -> int:
        """Length of a person's embedding."""
        return self.levels(4)[-1]

    def levels(self, smallest: int) -> list[int]:
        """Channels of each downsampling level, down to a side of about `smallest` pixels."""
        count = max(2, round(log2(self.size / self.fold / smallest)))
        return [self.width * min(2**level, WIDEST) for level in range(count)]


class Attention(nn.Module):
    """Self-attention over all positions (Zhang et al. 2019): (N, C, H, W) -> the same shape."""

    def __init__(self, channels: int, *, spectral: bool) -> None:
        super().__init__()
        few = max(channels // 8, 1)
        self.query, self.key, self.value = (_conv(channels, c, 1, spectral) for c in (few, few, channels))
        self.gamma = nn.Parameter(torch.zeros(()))
        keep_keys(self, {"query": "ask", "key": "tell", "value": "give", "gamma": "strength"})

    def forward(self, x: Tensor) -> Tensor:
        """Add the attended values, scaled by gamma: a gamma of 0 changes nothing."""
        parts = (self.query, self.key, self.value)
        query, key, value = (part(x).flatten(2).transpose(1, 2) for part in parts)  # (N, H * W, C / 8 or C)
        attended = F.scaled_dot_product_attention(query, key, value, scale=1.0)  # (N, H * W, C)
        return x + self.gamma * attended.transpose(1, 2).reshape(x.shape)


def _conv(into: int, out: int, side: int, spectral: bool) -> nn.Module:
    conv = nn.Conv2d(into, out, side, padding=side // 2)
    return spectral_norm(conv) if spectral else conv


def adaptive_norm(x: Tensor, style: Tensor) -> Tensor:
    """AdaIN: set the mean and standard deviation of each channel of x (N, C, H, W) by style (N, 2 * C)."""
    shift, gain = style[:, :, None, None].float().chunk(2, 1)
    # PyTorch's instance norm would leave the memory layout in which convolutions are fast
    spread, mean = torch.var_mean(x.float(), (2, 3), correction=0, keepdim=True)
    scale = (spread + 1e-5).rsqrt() * (1 + gain)
    return x * scale.to(x.dtype) + (shift - mean * scale).to(x.dtype)


class Norm(nn.Module):
    """Instance norm with a learnt mean and deviation per channel: AdaIN with one style for all people."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.style = nn.Parameter(torch.zeros(1, 2 * channels))

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> the same shape."""
        return adaptive_norm(x, self.style)


class DownResBlock(nn.Module):
    """Residual block that halves the side: (N, into, H, W) -> (N, out, H / 2, W / 2).

    normal: instance norm, as in the generator; else spectral norm. first: whether the input is a picture. side: the
    kernel's side in pixels. halve: whether to downsample.
    """

    def __init__(
        self, into: int, out: int, *, normal: bool, first: bool = False, side: int = 3, halve: bool = True
    ) -> None:
        super().__init__()
        self.first, self.halve = first, halve
        self.norm1 = Norm(into) if normal and not first else nn.Identity()
        self.norm2 = Norm(out) if normal else nn.Identity()
        self.conv1 = _conv(into, out, side, not normal)
        self.conv2 = _conv(out, out, 3, not normal)
        self.skip = _conv(into, out, 1, not normal)

    def forward(self, x: Tensor) -> Tensor:
        """Pre-activation, except in the block that takes the picture."""
        y = x if self.first else F.relu(self.norm1(x))
        y = self.conv2(F.relu(self.norm2(self.conv1(y))))
        if self.halve:
            x, y = F.avg_pool2d(x, 2), F.avg_pool2d(y, 2)
        output: Tensor = y + self.skip(x)
        return output


class Trunk(nn.Module):
    """The convolutions of the embedder, and of the discriminator: pictures with landmarks (N, 6, 256, 256) -> features.

    64 at 128, 128 at 64, 256 at 32, attention, 512 at 16, 512 at 8, 512 at 4; the feature maps in that order.
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        plan = shape.levels(4)
        self.fold = shape.fold
        steps: list[nn.Module] = [DownResBlock(6 * shape.fold**2, plan[0], normal=False, first=True)]
        steps += [DownResBlock(a, b, normal=False) for a, b in pairwise(plan)]
        self.steps = nn.ModuleList(steps)
        # The level whose feature maps have an eighth of the side
        self.attention_level = min(3 - shape.fold, len(plan) - 1)
        self.attention = Attention(plan[self.attention_level], spectral=True)

    def forward(self, picture: Tensor, landmarks: Tensor) -> list[Tensor]:
        """Picture and landmark picture (N, 3, H, W) each -> feature maps, finest first."""
        x = F.pixel_unshuffle(torch.cat([picture, landmarks], 1), self.fold)
        features = []
        for index, step in enumerate(self.steps):
            x = step(x)
            x = self.attention(x) if index == self.attention_level else x
            features.append(x)
        return features


def _pooled(x: Tensor) -> Tensor:
    """ReLU and the sum over positions, (N, C, H, W) -> (N, C), scaled as if over 4 x 4 positions."""
    return F.relu(x).float().mean((2, 3)) * POOLED


class Embedder(nn.Module):
    """A photo and its landmark picture, (N, 3, 256, 256) each -> the person's embedding, (N, 512)."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.trunk = Trunk(shape)

    def forward(self, picture: Tensor, landmarks: Tensor) -> Tensor:
        """Embed one photo; the mean over photos is the person's embedding."""
        return _pooled(self.trunk(picture, landmarks)[-1])


class AdaINResBlock(nn.Module):
    """Residual block with AdaIN: (N, into, H, W) -> (N, out, H, W), or twice the side with `upsample`."""

    def __init__(self, into: int, out: int, *, upsample: bool) -> None:
        super().__init__()
        self.conv1, self.conv2 = _conv(into, out, 3, False), _conv(out, out, 3, False)
        self.skip = nn.Identity() if into == out and not upsample else _conv(into, out, 1, False)
        self.upsample, self.widths = upsample, (into, out)

    def forward(self, x: Tensor, style1: Tensor, style2: Tensor, skipped: Tensor | None = None) -> Tensor:
        """Styles of (N, 2 * into) and (N, 2 * out) numbers, before the first and the second convolution.

        skipped: from a skip connection, added between the two; of the shape that is returned.
        """
        y = F.relu(adaptive_norm(x, style1))
        # A 1 x 1 convolution gives the same before upsampling, at a quarter of the cost
        x = self.skip(x)
        if self.upsample:
            x, y = (F.interpolate(part, scale_factor=2.0, mode="nearest") for part in (x, y))
        y = self.conv1(y) if skipped is None else self.conv1(y) + skipped
        output: Tensor = x + self.conv2(F.relu(adaptive_norm(y, style2)))
        return output


class Generator(nn.Module):
    """A landmark picture (N, 3, 256, 256) and a person's AdaIN parameters (N, style) -> picture (N, 3, 256, 256).

    Down: 64 at 128 (kernel 9), 128 at 64, 256 at 32, attention, 512 at 16, 512 at 8. Five blocks of 512.
    Up: 512 at 16, 256 at 32, 128 at 64, attention, 64 at 128, 64 at 256, 3.
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        plan = shape.levels(8)
        self.fold, folded = shape.fold, 3 * shape.fold**2
        downs: list[nn.Module] = [
            DownResBlock(folded, plan[0], normal=True, first=True, side=9 if folded == 3 else 5)
        ]
        downs += [DownResBlock(a, b, normal=True) for a, b in pairwise(plan)]
        self.downs = nn.ModuleList(downs)
        self.attention_level_down = min(3 - shape.fold, len(plan) - 1)
        self.attention_down = Attention(plan[self.attention_level_down], spectral=False)
        self.middle = nn.ModuleList(
            AdaINResBlock(plan[-1], plan[-1], upsample=False) for _ in range(shape.blocks)
        )
        ups = [*reversed(plan), plan[0]]
        self.ups = nn.ModuleList(AdaINResBlock(a, b, upsample=True) for a, b in pairwise(ups))
        skips = _skip_connections([*reversed(plan[:-1]), folded], ups[1:]) if shape.skips else ()
        self.skip_connections = nn.ModuleList(skips)
        # the level of a quarter of the side; folded, of an eighth
        self.attention_level_up = max(len(plan) - 2 - shape.fold, 0)
        self.attention_up = Attention(ups[self.attention_level_up + 1], spectral=False)
        self.last = _conv(ups[-1], folded, 3, False)
        keep_keys(self, {"skip_connections": "hints"})
        self.sizes = [2 * c for block in self._styled_blocks() for c in block.widths] + [2 * ups[-1]]

    def _styled_blocks(self) -> Iterator[AdaINResBlock]:
        for block in (*self.middle, *self.ups):
            assert isinstance(block, AdaINResBlock)
            yield block

    @property
    def style(self) -> int:
        """How many AdaIN parameters a person has."""
        return sum(self.sizes)

    def forward(self, landmarks: Tensor, psi: Tensor) -> Tensor:
        """The drawn picture, -1..1."""
        styles = iter(torch.split(psi, self.sizes, 1))
        x = F.pixel_unshuffle(landmarks, self.fold)
        # Finest first; each has the output size of one upsampling block
        inputs = []
        for index, down in enumerate(self.downs):
            inputs.append(x)
            x = down(x)
            x = self.attention_down(x) if index == self.attention_level_down else x
        for block in self.middle:
            x = block(x, next(styles), next(styles))
        for index, up in enumerate(self.ups):
            skipped = self.skip_connections[index](inputs[-1 - index]) if self.skip_connections else None
            x = up(x, next(styles), next(styles), skipped)
            x = self.attention_up(x) if index == self.attention_level_up else x
        x = self.last(F.relu(adaptive_norm(x, next(styles)))).float()
        return torch.tanh(F.pixel_shuffle(x, self.fold))


def _skip_connections(widths: Sequence[int], ups: Sequence[int]) -> Iterator[nn.Module]:
    """A convolution of a downsampling level for each upsampling block, coarsest first; zero before training."""
    for index, (into, out) in enumerate(zip(widths, ups, strict=True)):
        # The last one takes the landmark picture itself, so it has a larger kernel
        last = index == len(ups) - 1
        conv = _conv(into, out, 5 if last else 3, False)
        for parameter in conv.parameters():
            nn.init.zeros_(parameter)
        yield conv


class Projection(nn.Module):
    """The projection matrix P: a person's embedding, (N, 512) -> all AdaIN parameters, (N, style)."""

    def __init__(self, shape: Shape, style: int) -> None:
        super().__init__()
        self.linear = nn.Linear(shape.embedding, style)
        nn.init.normal_(self.linear.weight, std=0.3 / shape.embedding**0.5)
        nn.init.zeros_(self.linear.bias)

    def forward(self, embedding: Tensor) -> Tensor:
        """The parameters psi = P e."""
        psi: Tensor = self.linear(embedding)
        return psi


class TalkingHead(nn.Module):
    """Embedder, projection and generator: the networks that draw a person."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.embedder, self.generator = Embedder(shape), Generator(shape)
        self.projection = Projection(shape, self.generator.style)

    def embed(self, photos: Tensor) -> Tensor:
        """Photos (N, K, 2, 3, S, S) -> each person's embedding, the mean over the photos, (N, E)."""
        flat = photos.flatten(0, 1)
        each: Tensor = self.embedder(channels_last(flat[:, 0]), channels_last(flat[:, 1]))
        return each.view(*photos.shape[:2], -1).mean(1)

    def forward(self, photos: Tensor, landmarks: Tensor) -> tuple[Tensor, Tensor]:
        """The drawn pictures (N, 3, S, S), and the embeddings (N, E)."""
        embedding = self.embed(photos)
        return self.generator(landmarks, self.projection(embedding)), embedding


def channels_last(x: Tensor) -> Tensor:
    """The tensor in the memory layout in which convolutions of few channels are fastest."""
    return x.contiguous(memory_format=torch.channels_last)


class Discriminator(nn.Module):
    """Scores how real a picture is, given its landmarks and the video: r = v . (W_i + w0) + b.

    videos: number of identity embeddings, the columns of W. In adaptation, `person` (N, 512) replaces W_i.
    """

    def __init__(self, shape: Shape, videos: int) -> None:
        super().__init__()
        self.trunk = Trunk(shape)
        self.more = DownResBlock(shape.embedding, shape.embedding, normal=False, halve=False)
        self.identity_embeddings = nn.Embedding(videos, shape.embedding)
        self.common = nn.Parameter(torch.randn(shape.embedding) * 0.02)
        self.bias = nn.Parameter(torch.zeros(()))
        nn.init.normal_(self.identity_embeddings.weight, std=0.02)
        keep_keys(self, {"identity_embeddings": "columns"})

    def forward(self, picture: Tensor, landmarks: Tensor, person: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Scores (N,) and the trunk's feature maps, for persons (N, 512)."""
        features = self.trunk(picture, landmarks)
        pooled = _pooled(self.more(features[-1]))  # v, (N, 512)
        return (pooled * (person + self.common)).sum(1) / POOLED + self.bias, features


def hinge_loss(real: Tensor, fake: Tensor) -> Tensor:
    """The discriminator's hinge loss, a scalar, from scores (N,) of true and of generated pictures."""
    return F.relu(1 - real).mean() + F.relu(1 + fake).mean()


def feature_matching_loss(generated: Sequence[Tensor], true: Sequence[Tensor]) -> Tensor:
    """Feature matching (Wang et al. 2018): mean over levels of the mean absolute difference."""
    parts = [(a.float() - b.detach().float()).abs().mean() for a, b in zip(generated, true, strict=True)]
    return torch.stack(parts).mean()


def match_loss(embeddings: Tensor, identity_embeddings: Tensor) -> Tensor:
    """L_MCH: mean absolute difference of embeddings (N, 512) and the discriminator's identity embeddings W_i."""
    return (embeddings - identity_embeddings).abs().mean()


def generator_adversarial_loss(
    critic: Discriminator, generated: Tensor, true: Tensor, landmarks: Tensor, person: Tensor
) -> tuple[Tensor, Tensor]:
    """The generator's adversarial loss on generated pictures, and its feature matching loss.

    Args:
        critic: The discriminator; it gets no gradient.
        generated: Pictures of the generator, (N, 3, H, W) in -1..1.
        true: The target pictures, of the same shape.
        landmarks: Landmark pictures, of the same shape.
        person: Identity embeddings, (N, E).

    Returns:
        The mean of the negative scores, and the feature matching loss, scalars.
    """
    critic.requires_grad_(False)
    score, features = critic(generated, landmarks, person)
    with torch.no_grad():
        _, true_features = critic(true, landmarks, person)
    critic.requires_grad_(True)
    return -score.float().mean(), feature_matching_loss(features, true_features)


def critic_loss(
    critic: Discriminator, generated: Tensor, true: Tensor, landmarks: Tensor, person: Tensor
) -> Tensor:
    """The discriminator's hinge loss on true and generated pictures, shapes as in `generator_adversarial_loss`."""
    both = channels_last(torch.cat([true, generated]))
    scores, _ = critic(both, torch.cat([landmarks, landmarks]), torch.cat([person, person]))
    return hinge_loss(*scores.float().chunk(2))
