"""The content losses: pixels, structure, energy of edges, and features of networks whose files the user gives."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from gioconda.errors import MissingFileError, WeightsError
from gioconda.training.metrics import SSIM_C1, SSIM_C2, SSIM_SIGMA, SSIM_WINDOW
from gioconda.training.perceptual import MEAN_BGR, SqueezeFeatures, feature_distance

# Convolutions of each block, and the layers (as torchvision counts them, after ReLU) whose features count
VGG19 = ((64, 64), (128, 128), (256,) * 4, (512,) * 4, (512,) * 4)
VGGFACE = ((64, 64), (128, 128), (256,) * 3, (512,) * 3, (512,) * 3)
LAYERS = {"vgg19": (1, 6, 11, 20, 29), "vggface": (1, 6, 11, 18, 25)}
PLANS = {"vgg19": VGG19, "vggface": VGGFACE}
VGGFACE_BGR = (93.594, 104.762, 129.186)
MEANS = {"vgg19": MEAN_BGR, "vggface": VGGFACE_BGR}
# Directions of edges and lines, and levels of the pyramid of halved pictures
DIRECTIONS, LEVELS = 6, 3
# Of a Gabor filter, in pixels: the period of its wave, the deviation of its window, and half its side
PERIOD, SPREAD, REACH = 3.5, 1.5, 4
SQUEEZE_LAYERS = ("fire3", "fire5", "fire7", "fire9")


def caffe_range(rgb: Tensor, mean: Sequence[float]) -> Tensor:
    """Convert pictures (N, 3, H, W) RGB in -1..1 to the range of Caffe's networks: BGR, 0..255, minus the mean."""
    return (rgb.flip(1) + 1) * 127.5 - torch.tensor(mean, device=rgb.device, dtype=rgb.dtype).view(1, 3, 1, 1)


class Squeeze(nn.Module):
    """Distance of SqueezeNet 1.1's features; file: safetensors, whose SHA-256 is checked."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.features = SqueezeFeatures(file, SQUEEZE_LAYERS)

    def forward(self, generated: Tensor, true: Tensor) -> Tensor:
        """Pictures (N, 3, H, W) in -1..1 -> scalar; only `generated` gets a gradient."""
        with torch.no_grad():
            true_features = self.features(true)
        return feature_distance(self.features(generated), true_features)


class Vgg(nn.Module):
    """L1 over features of VGG-19 or VGGFace (Simonyan and Zisserman 2015; Parkhi et al. 2015), in Caffe's range.

    Args:
        kind: vgg19 or vggface.
        file: A safetensors file or a state dict of torch with the convolutions of a Caffe model in order, under any
            names.

    Raises:
        MissingFileError: The file does not exist.
        WeightsError: It is not readable, or holds another network.
    """

    def __init__(self, kind: str, file: Path) -> None:
        super().__init__()
        self.mean, self.counted = MEANS[kind], LAYERS[kind]
        weights, layers, into = _convolutions(file), list[nn.Module](), 3
        for block in PLANS[kind]:
            for out in block:
                layers += [_loaded(into, out, weights, file), nn.ReLU()]
                into = out
            layers.append(nn.MaxPool2d(2))
        self.layers = nn.ModuleList(layers[: max(self.counted) + 1])
        self.requires_grad_(False)
        self.eval()

    def features(self, rgb: Tensor) -> list[Tensor]:
        """Pictures (N, 3, H, W) in -1..1 -> the features of the layers that count."""
        x, features = caffe_range(rgb, self.mean), []
        for index, layer in enumerate(self.layers):
            x = layer(x)
            if index in self.counted:
                features.append(x)
        return features

    def forward(self, generated: Tensor, true: Tensor) -> Tensor:
        """Pictures (N, 3, H, W) in -1..1 -> scalar, the sum over layers of the mean absolute difference."""
        with torch.no_grad():
            true_features = self.features(true)
        pairs = zip(self.features(generated), true_features, strict=True)
        return torch.stack([F.l1_loss(a.float(), b.float()) for a, b in pairs]).sum()


def _convolutions(file: Path) -> list[tuple[Tensor, Tensor]]:
    """Weights and biases of a file's convolutions, in the order of the numbers in their names."""
    if not file.is_file():
        raise MissingFileError(f"{file} does not exist; give the path of the feature network")
    try:
        state = (
            load_file(file)
            if file.suffix == ".safetensors"
            else torch.load(file, map_location="cpu", weights_only=True)
        )
        names = [k for k, v in state.items() if k.endswith(".weight") and v.ndim == 4]
        names.sort(key=lambda name: [int(part) for part in re.findall(r"\d+", name)])
        return [(state[name].float(), state[name[: -len("weight")] + "bias"].float()) for name in names]
    except (SafetensorError, OSError, RuntimeError, KeyError, AttributeError, EOFError, ValueError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0][:120]
        raise WeightsError(f"{file} cannot be read as a network's weights: {reason}") from None
    # torch's restricted reader refuses with many types
    except Exception as error:
        raise WeightsError(f"{file} is not a plain state dict ({type(error).__name__})") from None


def _loaded(into: int, out: int, weights: list[tuple[Tensor, Tensor]], file: Path) -> nn.Conv2d:
    """The next convolution of the file; WeightsError if it does not have these channels."""
    if not weights or tuple(weights[0][0].shape) != (out, into, 3, 3):
        there = tuple(weights[0][0].shape) if weights else "nothing"
        raise WeightsError(
            f"{file} is another network: expected a convolution {(out, into, 3, 3)}, found {there}"
        )
    conv = nn.Conv2d(into, out, 3, padding=1)
    weight, bias = weights.pop(0)
    conv.weight.data.copy_(weight)
    conv.bias.data.copy_(bias)  # type: ignore[union-attr]
    return conv


class OrientedEnergy(nn.Module):
    """Distance of pictures in the energy of edges and lines, by direction and size, nearly independent of small shifts.

    Energy: the magnitude of quadrature pairs of Gabor filters on grey (Adelson and Bergen, "Spatiotemporal energy
    models for the perception of motion", 1985), on the picture and its halved versions. Where L1 of pixels is unsure,
    it leaves a smear, and a smear has no energy. This loss needs no file of weights.
    """

    filters: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("filters", _gabor_pairs())

    def energies(self, pictures: Tensor) -> list[Tensor]:
        """Pictures (N, 3, H, W) -> LEVELS arrays (N, DIRECTIONS, h, w), averaged over 3 x 3 positions; float32."""
        grey, energies = pictures.float().mean(1, keepdim=True), []
        for _ in range(LEVELS):
            power = F.conv2d(F.pad(grey, (REACH,) * 4, "reflect"), self.filters).square()
            energies.append(F.avg_pool2d((power[:, ::2] + power[:, 1::2] + 1e-5).sqrt(), 3, 2))
            grey = F.avg_pool2d(grey, 2)
        return energies

    def forward(self, generated: Tensor, true: Tensor, weight: Tensor) -> Tensor:
        """Pictures (N, 3, H, W) in -1..1 and the weight of each pixel (N, 1, H, W) -> scalar."""
        with torch.autocast(generated.device.type, enabled=False):
            with torch.no_grad():
                true_energies = self.energies(true)
            apart = [
                (a - b).abs().mean(1) for a, b in zip(self.energies(generated), true_energies, strict=True)
            ]
            counts = [F.adaptive_avg_pool2d(weight, (a.shape[1], a.shape[2]))[:, 0] for a in apart]
            return torch.stack([(a * c).mean() for a, c in zip(apart, counts, strict=True)]).mean()


def _gabor_pairs() -> Tensor:
    """Gabor filters (2 * DIRECTIONS, 1, size, size): even and odd in turn, with zero mean and unit L1 norm."""
    y, x = torch.meshgrid(*[torch.arange(-REACH, REACH + 1, dtype=torch.float32)] * 2, indexing="ij")
    window = torch.exp(-(x**2 + y**2) / (2 * SPREAD**2))
    pairs = []
    for k in range(DIRECTIONS):
        angle = math.pi * k / DIRECTIONS
        phase = 2 * math.pi * (x * math.cos(angle) + y * math.sin(angle)) / PERIOD
        for wave in (torch.cos(phase), torch.sin(phase)):
            plain = window * (wave - (window * wave).sum() / window.sum())
            pairs.append(plain / plain.abs().sum())
    return torch.stack(pairs)[:, None]


def structural_similarity(generated: Tensor, true: Tensor) -> Tensor:
    """Mean structural similarity of pictures (N, C, H, W) in -1..1, a scalar; always computed in float32.

    It has the window of `metrics.ssim_map`, without padding (Wang, Bovik, Sheikh, Simoncelli 2004).
    """
    reach = torch.arange(SSIM_WINDOW, device=generated.device) - SSIM_WINDOW // 2
    window = torch.exp(-(reach**2) / (2 * SSIM_SIGMA**2))
    with torch.autocast(generated.device.type, enabled=False):
        a, b = generated.float(), true.float()
        blurred = _blurred(torch.cat([a, b, a * a, b * b, a * b], 1), window / window.sum())
        mean_a, mean_b, aa, bb, ab = blurred.chunk(5, 1)
        spread = (aa - mean_a**2).clamp(min=0) + (bb - mean_b**2).clamp(min=0)
        both, c1, c2 = ab - mean_a * mean_b, SSIM_C1 / 127.5**2, SSIM_C2 / 127.5**2
        # Means from black, to which the constants refer
        mean_a, mean_b = mean_a + 1, mean_b + 1
        light = (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)
        return (light * (2 * both + c2) / (spread + c2)).mean()


def _blurred(x: Tensor, window: Tensor) -> Tensor:
    channels = x.shape[1]
    kernel = window.expand(channels, 1, 1, -1)
    return F.conv2d(F.conv2d(x, kernel, groups=channels), kernel.transpose(2, 3), groups=channels)


class Content(nn.Module):
    """The weighted sum of L1, structural dissimilarity, and the feature losses whose files are given.

    Args:
        pixel: Weight of L1; at least 1 if there is no feature loss.
        files: File and weight by kind (squeeze, vgg19, vggface); an empty file for none.
        structure: Weight of 1 - SSIM.

    Raises:
        MissingFileError: A file does not exist.
        WeightsError: A file is not the network that it should be.
    """

    def __init__(self, pixel: float, files: Mapping[str, tuple[str, float]], structure: float = 0.0) -> None:
        super().__init__()
        named = {kind: (Path(file), weight) for kind, (file, weight) in files.items() if file and weight}
        self.parts = nn.ModuleList(
            Squeeze(file) if kind == "squeeze" else Vgg(kind, file) for kind, (file, _) in named.items()
        )
        self.weights = [weight for _, weight in named.values()]
        self.pixel = pixel if named else max(pixel, 1.0)
        self.structure = structure

    def forward(self, generated: Tensor, true: Tensor, counts: Tensor | float = 1.0) -> Tensor:
        """Pictures (N, 3, H, W) in -1..1 -> scalar. counts: the weight of each pixel in L1, (N, 1, H, W)."""
        loss = self.pixel * ((generated - true).abs() * counts).mean()
        for part, weight in zip(self.parts, self.weights, strict=True):
            loss = loss + weight * part(generated, true)
        if self.structure:
            loss = loss + self.structure * (1 - structural_similarity(generated, true))
        return loss
