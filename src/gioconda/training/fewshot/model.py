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

WIDEST = 8  # channels of the widest level over those of the first
POOLED = 16  # positions that sums over space count as, whatever the size: 4 x 4 in the paper


@dataclass(frozen=True)
class Shape:
    """How large the networks are. size: pixels of the picture; width: channels of the first level.

    blocks: residual blocks under AdaIN. fold: squares of so many pixels a side become channels at the entrance and
    come apart at the exit, so that little is computed at full size; 1, as in the paper: none. skips: 1 if the way up
    also sees what the way down saw at its size (Ronneberger et al. 2015), so that lines of a pixel keep their place
    past the narrow middle; 0, as in the paper: not.
    """

    size: int = 256
    width: int = 64
    blocks: int = 5
    fold: int = 1
    skips: int = 0

    @property
    def embedding(self) -> int:
        """Numbers that describe a person."""
        return self.levels(4)[-1]

    def levels(self, smallest: int) -> list[int]:
        """Channels of each halving on the way down to about `smallest` pixels."""
        count = max(2, round(log2(self.size / self.fold / smallest)))
        return [self.width * min(2**level, WIDEST) for level in range(count)]


class Attention(nn.Module):
    """Every place looks at every other: (N, C, H, W) -> the same shape."""

    def __init__(self, channels: int, *, spectral: bool) -> None:
        super().__init__()
        few = max(channels // 8, 1)
        self.ask, self.tell, self.give = (_conv(channels, c, 1, spectral) for c in (few, few, channels))
        self.strength = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        """Residual, so that a strength of 0 changes nothing."""
        ask, tell, give = (part(x).flatten(2).transpose(1, 2) for part in (self.ask, self.tell, self.give))
        seen = F.scaled_dot_product_attention(ask, tell, give, scale=1.0)  # (N, H * W, C)
        return x + self.strength * seen.transpose(1, 2).reshape(x.shape)


def _conv(into: int, out: int, side: int, spectral: bool) -> nn.Module:
    conv = nn.Conv2d(into, out, side, padding=side // 2)
    return spectral_norm(conv) if spectral else conv


def adaptive_norm(x: Tensor, style: Tensor) -> Tensor:
    """AdaIN: each channel of x (N, C, H, W) brought to the mean and spread that style (N, 2 * C) asks for."""
    shift, gain = style[:, :, None, None].float().chunk(2, 1)
    # by hand: the library's instance norm leaves the layout in which convolutions are fast
    spread, mean = torch.var_mean(x.float(), (2, 3), correction=0, keepdim=True)
    scale = (spread + 1e-5).rsqrt() * (1 + gain)
    return x * scale.to(x.dtype) + (shift - mean * scale).to(x.dtype)


class Norm(nn.Module):
    """Instance norm with a learnt mean and spread of each channel: AdaIN whose style is the same for everybody."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.style = nn.Parameter(torch.zeros(1, 2 * channels))

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> the same shape."""
        return adaptive_norm(x, self.style)


class Down(nn.Module):
    """Residual block that halves the side: (N, into, H, W) -> (N, out, H / 2, W / 2).

    normal: instance norm, in the generator; else spectral norm. first: the block sees pictures; side: its kernel.
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
        """Pre-activation, but for the block that sees pictures."""
        y = x if self.first else F.relu(self.norm1(x))
        y = self.conv2(F.relu(self.norm2(self.conv1(y))))
        if self.halve:
            x, y = F.avg_pool2d(x, 2), F.avg_pool2d(y, 2)
        made: Tensor = y + self.skip(x)
        return made


class Trunk(nn.Module):
    """What embedder and discriminator share in kind: picture and landmark picture (N, 6, 256, 256) -> features.

    64 at 128, 128 at 64, 256 at 32, attention, 512 at 16, 512 at 8, 512 at 4; the feature maps in that order.
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        plan = shape.levels(4)
        self.fold = shape.fold
        steps: list[nn.Module] = [Down(6 * shape.fold**2, plan[0], normal=False, first=True)]
        steps += [Down(a, b, normal=False) for a, b in pairwise(plan)]
        self.steps = nn.ModuleList(steps)
        self.looks = min(3 - shape.fold, len(plan) - 1)  # the level whose maps have an eighth of the side
        self.attention = Attention(plan[self.looks], spectral=True)

    def forward(self, picture: Tensor, landmarks: Tensor) -> list[Tensor]:
        """Picture and landmark picture (N, 3, H, W) each -> feature maps, finest first."""
        x = F.pixel_unshuffle(torch.cat([picture, landmarks], 1), self.fold)
        features = []
        for index, step in enumerate(self.steps):
            x = step(x)
            x = self.attention(x) if index == self.looks else x
            features.append(x)
        return features


def _pooled(x: Tensor) -> Tensor:
    """ReLU and the sum over space, (N, C, H, W) -> (N, C), as if over 4 x 4 places."""
    return F.relu(x).float().mean((2, 3)) * POOLED


class Embedder(nn.Module):
    """A photo and its landmark picture, (N, 3, 256, 256) each -> what describes the person, (N, 512)."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.trunk = Trunk(shape)

    def forward(self, picture: Tensor, landmarks: Tensor) -> Tensor:
        """The photo's description; the mean over several is the person's."""
        return _pooled(self.trunk(picture, landmarks)[-1])


class Mix(nn.Module):
    """Residual block under a style: (N, into, H, W) -> (N, out, H, W), or twice the side where it rises."""

    def __init__(self, into: int, out: int, *, rise: bool) -> None:
        super().__init__()
        self.conv1, self.conv2 = _conv(into, out, 3, False), _conv(out, out, 3, False)
        self.skip = nn.Identity() if into == out and not rise else _conv(into, out, 1, False)
        self.rise, self.widths = rise, (into, out)

    def forward(self, x: Tensor, style1: Tensor, style2: Tensor, hint: Tensor | None = None) -> Tensor:
        """Styles of (N, 2 * into) and (N, 2 * out) numbers, before the first and the second convolution.

        hint: what is added between the two, of the shape that is returned.
        """
        y = F.relu(adaptive_norm(x, style1))
        x = self.skip(x)  # a 1 x 1 convolution may as well come before the rise
        if self.rise:
            x, y = (F.interpolate(part, scale_factor=2.0, mode="nearest") for part in (x, y))
        y = self.conv1(y) if hint is None else self.conv1(y) + hint
        made: Tensor = x + self.conv2(F.relu(adaptive_norm(y, style2)))
        return made


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
            Down(folded, plan[0], normal=True, first=True, side=9 if folded == 3 else 5)
        ]
        downs += [Down(a, b, normal=True) for a, b in pairwise(plan)]
        self.downs = nn.ModuleList(downs)
        self.looks_down = min(3 - shape.fold, len(plan) - 1)
        self.attention_down = Attention(plan[self.looks_down], spectral=False)
        self.middle = nn.ModuleList(Mix(plan[-1], plan[-1], rise=False) for _ in range(shape.blocks))
        ups = [*reversed(plan), plan[0]]
        self.ups = nn.ModuleList(Mix(a, b, rise=True) for a, b in pairwise(ups))
        self.hints = nn.ModuleList(_hints([*reversed(plan[:-1]), folded], ups[1:]) if shape.skips else ())
        self.looks_up = max(len(plan) - 2 - shape.fold, 0)  # a quarter of the side; folded, an eighth
        self.attention_up = Attention(ups[self.looks_up + 1], spectral=False)
        self.last = _conv(ups[-1], folded, 3, False)
        self.sizes = [2 * c for mix in self._mixes() for c in mix.widths] + [2 * ups[-1]]

    def _mixes(self) -> Iterator[Mix]:
        for mix in (*self.middle, *self.ups):
            assert isinstance(mix, Mix)
            yield mix

    @property
    def style(self) -> int:
        """How many AdaIN parameters a person has."""
        return sum(self.sizes)

    def forward(self, landmarks: Tensor, psi: Tensor) -> Tensor:
        """The drawn picture, -1..1."""
        styles = iter(torch.split(psi, self.sizes, 1))
        x = F.pixel_unshuffle(landmarks, self.fold)
        seen = []  # finest first; each has the size that one of the rises leads to
        for index, down in enumerate(self.downs):
            seen.append(x)
            x = down(x)
            x = self.attention_down(x) if index == self.looks_down else x
        for block in self.middle:
            x = block(x, next(styles), next(styles))
        for index, up in enumerate(self.ups):
            hint = self.hints[index](seen[-1 - index]) if self.hints else None
            x = up(x, next(styles), next(styles), hint)
            x = self.attention_up(x) if index == self.looks_up else x
        x = self.last(F.relu(adaptive_norm(x, next(styles)))).float()
        return torch.tanh(F.pixel_shuffle(x, self.fold))


def _hints(seen: Sequence[int], ups: Sequence[int]) -> Iterator[nn.Module]:
    """Convolutions of what the way down saw, coarsest first, for each rise; of no effect before they have learnt."""
    for index, (into, out) in enumerate(zip(seen, ups, strict=True)):
        last = index == len(ups) - 1  # that of the picture itself, which nothing has looked at yet
        conv = _conv(into, out, 5 if last else 3, False)
        for parameter in conv.parameters():
            nn.init.zeros_(parameter)
        yield conv


class Projection(nn.Module):
    """The matrix P: what describes a person, (N, 512) -> all AdaIN parameters, (N, style)."""

    def __init__(self, shape: Shape, style: int) -> None:
        super().__init__()
        self.linear = nn.Linear(shape.embedding, style)
        nn.init.normal_(self.linear.weight, std=0.3 / shape.embedding**0.5)
        nn.init.zeros_(self.linear.bias)

    def forward(self, embedding: Tensor) -> Tensor:
        """The parameters psi = P e."""
        made: Tensor = self.linear(embedding)
        return made


class Trio(nn.Module):
    """What draws a person: embedder, projection, generator."""

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
    """The layout in which convolutions of few channels are fastest."""
    return x.contiguous(memory_format=torch.channels_last)


class Discriminator(nn.Module):
    """How real a picture is with its landmarks, for one video: r = v . (W_i + w0) + b.

    videos: number of columns of W. `person` (N, 512) may stand for W_i, as at adaptation.
    """

    def __init__(self, shape: Shape, videos: int) -> None:
        super().__init__()
        self.trunk = Trunk(shape)
        self.more = Down(shape.embedding, shape.embedding, normal=False, halve=False)
        self.columns = nn.Embedding(videos, shape.embedding)
        self.common = nn.Parameter(torch.randn(shape.embedding) * 0.02)
        self.bias = nn.Parameter(torch.zeros(()))
        nn.init.normal_(self.columns.weight, std=0.02)

    def forward(self, picture: Tensor, landmarks: Tensor, person: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Scores (N,) and the trunk's feature maps, for persons (N, 512)."""
        features = self.trunk(picture, landmarks)
        seen = _pooled(self.more(features[-1]))  # v, (N, 512)
        return (seen * (person + self.common)).sum(1) / POOLED + self.bias, features


def hinge(real: Tensor, fake: Tensor) -> Tensor:
    """The discriminator's loss, scores (N,) each."""
    return F.relu(1 - real).mean() + F.relu(1 + fake).mean()


def matching(made: Sequence[Tensor], true: Sequence[Tensor]) -> Tensor:
    """Feature matching (Wang et al. 2018): mean over levels of the mean absolute difference."""
    parts = [(a.float() - b.detach().float()).abs().mean() for a, b in zip(made, true, strict=True)]
    return torch.stack(parts).mean()


def match_columns(embeddings: Tensor, columns: Tensor) -> Tensor:
    """L_MCH: mean absolute difference of what describes a person (N, 512) and the discriminator's columns W_i."""
    return (embeddings - columns).abs().mean()


def judged(
    critic: Discriminator, made: Tensor, true: Tensor, landmarks: Tensor, person: Tensor
) -> tuple[Tensor, Tensor]:
    """What the discriminator says of made pictures, for the generator: -r, and feature matching, scalars both.

    made, true, landmarks: (N, 3, H, W); person (N, E). The discriminator gets no gradient.
    """
    critic.requires_grad_(False)
    score, features = critic(made, landmarks, person)
    with torch.no_grad():
        _, wanted = critic(true, landmarks, person)
    critic.requires_grad_(True)
    return -score.float().mean(), matching(features, wanted)


def critic_loss(
    critic: Discriminator, made: Tensor, true: Tensor, landmarks: Tensor, person: Tensor
) -> Tensor:
    """The discriminator's own loss on true and made pictures, of the same shapes as in `judged`."""
    both = channels_last(torch.cat([true, made]))
    scores, _ = critic(both, torch.cat([landmarks, landmarks]), torch.cat([person, person]))
    return hinge(*scores.float().chunk(2))
