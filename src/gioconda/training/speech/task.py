"""A speech network as a task of the shared loop: `gioconda train speech`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from math import cos, pi
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from gioconda.errors import InputError
from gioconda.speech.features import cepstra
from gioconda.speech.listen import in_stretches
from gioconda.training.config import as_dict
from gioconda.training.device import launched, update_ema, use_threads
from gioconda.training.loop import Schedule, fit
from gioconda.training.speech import data as prepared
from gioconda.training.speech.audio_encoder import load_pretrained
from gioconda.training.speech.evaluate import STILL, ClipMetrics, Predict, by_person, evaluate_clip, gap
from gioconda.training.speech.model import COMPONENTS, LipNet, ObamaNet, lips_of_coefficients
from gioconda.types import FloatArray, Image

# Weight of vertical distances relative to horizontal ones
MOUTH_WEIGHT = 2.0
GRID_CLIPS, GRID_SIZE = 12, (400, 120)


@dataclass(frozen=True)
class SpeechSettings:
    """All settings of a run; presets hold differences.

    Attributes:
        network: lips, or obama for the recurrent baseline.
        readers: Decoders that share the audio encoder.
        ear: Smart Turn's file, or a speech.onnx, whose audio encoder to start from; empty for the packaged one.
        ear_rate: The encoder's learning rate, as a share of `learning_rate`.
        points: Weight of the distance of lip points.
        speed: Weight of the distance of their speeds.
        coefficients: Weight of the distance of coefficients.
        unlike: Weight of one minus the correlation of the openings, per sample. The other three terms alone leave
            mouths too still.
    """

    network: str = "lips"
    steps: int = 6000
    minutes: float = 0.0
    batch: int = 32
    width: int = 128
    readers: int = 3
    seed: int = 0
    people: int = 0  # of the train split; 0: all
    without: str = ""  # a pattern of people that are not learnt from, such as drivers_*
    learning_rate: float = 1e-3
    decay: float = 0.02
    dropout: float = 0.25
    ear: str = ""
    ear_rate: float = 0.1
    ema: float = 0.998
    points: float = 10.0
    speed: float = 10.0
    coefficients: float = 1.0
    unlike: float = 0.5
    augment: bool = True
    precision: str = "auto"  # or Fabric's: 32-true, bf16-mixed
    accelerator: str = "auto"
    threads: int = 0
    validate_every: int = 500
    save_seconds: float = 120.0

    def schedule(self) -> Schedule:
        """The length and the intervals of the run."""
        return Schedule(
            self.steps, self.minutes, validate_every=self.validate_every, save_seconds=self.save_seconds
        )


class SpeechTask:
    """The network, the optimiser and the clips of one run."""

    def __init__(self, settings: SpeechSettings, data: Path) -> None:
        self._s = settings
        self.settings: Mapping[str, Any] = as_dict(settings)
        torch.manual_seed(settings.seed)
        self._fabric = launched(settings.accelerator, settings.precision, distributed=False)
        self._device = self._fabric.device
        self._train = prepared.Voices(
            prepared.load_clips(data, "train"), people=settings.people, without=settings.without
        )
        self._dev = prepared.load_clips(data, "dev")
        net = self._built()
        self._net, self._optimizer = self._fabric.setup(
            net, torch.optim.AdamW(self._groups(net), 1.0, (0.9, 0.99), weight_decay=settings.decay)
        )
        self._ema = deepcopy(net).requires_grad_(False).to(self._device)
        self._lips = lips_of_coefficients().to(self._device)

    def _built(self) -> nn.Module:
        s = self._s
        if s.network == "lips":
            net = LipNet(s.width, s.dropout, s.readers)
            load_pretrained(net.encoder, s.ear)
            return net
        if s.network != "obama":
            raise InputError(f"network = {s.network!r}: lips or obama")
        lips = np.concatenate([t.points.reshape(len(t), -1) for t in self._train.takes])
        mean = lips.mean(0)
        _, _, components = np.linalg.svd(lips[:: max(1, len(lips) // 20000)] - mean, full_matrices=False)
        batches = [self._train.batch(s.seed, k, s.batch, augment=s.augment).mel for k in range(6)]
        features = np.concatenate([recurrent_features(spectrum) for mel in batches for spectrum in mel])
        parts = (mean, components[:COMPONENTS], features.mean(0), features.std(0) + 1e-3)
        return ObamaNet(*(np.asarray(part, np.float32) for part in parts))

    def _groups(self, net: nn.Module) -> list[dict[str, Any]]:
        """Parameters in groups by their learning rate."""
        encoder = list(net.encoder.parameters()) if isinstance(net, LipNet) else []
        own = {id(p) for p in encoder}
        rest = [p for p in net.parameters() if id(p) not in own]
        return [
            {"params": rest, "share": 1.0},
            *([{"params": encoder, "share": self._s.ear_rate}] if encoder else []),
        ]

    def step(self, index: int, fraction: float) -> dict[str, float]:
        """Take one step; return the losses by name."""
        s = self._s
        batch = self._train.batch(s.seed, index, s.batch, augment=s.augment)
        rate = s.learning_rate * min(1.0, (index + 1) / 200) * (0.02 + 0.98 * (1 + cos(pi * fraction)) / 2)
        for group in self._optimizer.param_groups:
            group["lr"] = rate * group["share"]
        # Dropout and the encoder's place draw from PyTorch's own generator: a resumed run draws what a whole one does.
        torch.manual_seed(int(np.random.default_rng((s.seed, index, 1)).integers(2**63)))
        self._net.train()
        mel, target, points = (
            torch.from_numpy(a).to(self._device) for a in (batch.mel, batch.coefficients, batch.points)
        )
        parts = self._recurrent(mel, points) if s.network == "obama" else self._mouth(mel, target, points)
        self._optimizer.zero_grad()
        self._fabric.backward(torch.stack(list(parts.values())).sum())
        self._fabric.clip_gradients(self._net, self._optimizer, max_norm=10.0, error_if_nonfinite=False)
        self._optimizer.step()
        update_ema(self._ema, self._net.module, index, s.ema)
        return {name: float(value.detach()) for name, value in parts.items()}

    def _mouth(self, mel: Tensor, target: Tensor, points: Tensor) -> dict[str, Tensor]:
        """Losses of coefficients, of the lips that they give, and of the lips' speed and opening."""
        s = self._s
        with self._fabric.autocast():
            predicted = self._net.module.each(mel).float()
        lips = torch.einsum("rntc,cpd->rntpd", predicted, self._lips)
        far = (lips - points).abs()
        speed = (lips[:, :, 1:] - lips[:, :, :-1] - points[:, 1:] + points[:, :-1]).abs()
        return {
            "coefficients": s.coefficients * (predicted - target).abs().mean(),
            "points": s.points * (far[..., 0].mean() + MOUTH_WEIGHT * far[..., 1].mean()),
            "speed": s.speed * speed.mean(),
            "unlike": s.unlike * correlation_loss(gap(lips), gap(points)),
        }

    def _recurrent(self, mel: Tensor, points: Tensor) -> dict[str, Tensor]:
        """The squared distance of the principal components, as in the paper."""
        net = self._net.module
        target = (points.flatten(2) - net.mean) @ net.components.T
        with self._fabric.autocast():
            predicted = net.principal(mel)
        return {"components": 100 * (predicted - target).square().mean()}

    def predict(self, mel: FloatArray) -> FloatArray:
        """Predict lips and chin (T, 44, 2) from levelled spectra (2 * T, BANDS) with the averaged network."""
        if not isinstance(self._ema, ObamaNet):
            return predictor(self._ema)(mel)
        with torch.no_grad():
            levelled = torch.from_numpy(mel)[None].to(self._device)
            return np.asarray(self._ema.eval().lips(levelled)[0].cpu().numpy(), np.float32)

    def _evaluated(self) -> list[ClipMetrics]:
        return [evaluate_clip(take, self.predict) for take in self._dev]

    def validate(self) -> dict[str, float]:
        """Compute the metrics on the dev people; score: one minus the mean correlation over people."""
        people = by_person(self._evaluated()).values()
        means = {k: float(np.nanmean([p[k] for p in people])) for k in ("correlation", "pooled", "distance")}
        return {**means, "score": 1 - means["correlation"]}

    def grid(self) -> Image:
        """Plot the opening over time for some dev clips: tracked in grey, predicted in red; RGB uint8."""
        step = max(1, len(self._dev) // GRID_CLIPS)
        shown = [plotted(evaluate_clip(t, self.predict)) for t in self._dev[::step][:GRID_CLIPS]]
        return np.concatenate(
            [np.concatenate(shown[k : k + 2], 1) for k in range(0, len(shown) // 2 * 2, 2)] or shown
        )

    def state(self) -> dict[str, Any]:
        """All tensors that steps change."""
        return {
            "net": self._net.module.state_dict(),
            "ema": self._ema.state_dict(),
            "optimizer": self._optimizer.state_dict(),
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Load what `state` returned."""
        self._net.module.load_state_dict(state["net"])
        self._ema.load_state_dict(state["ema"])
        self._optimizer.load_state_dict(state["optimizer"])


def correlation_loss(predicted: Tensor, true: Tensor) -> Tensor:
    """One minus the correlation of openings (R, N, T) and (N, T), averaged over samples with a moving true mouth."""
    a, b = (x - x.mean(-1, keepdim=True) for x in (predicted, true))
    like = (a * b).mean(-1) / (a.square().mean(-1) * b.square().mean(-1) + 1e-8).sqrt()
    speaks = (b.square().mean(-1) > STILL**2).float()
    return ((1 - like) * speaks).mean(0).sum() / speaks.sum().clamp(min=1)


def recurrent_features(mel: FloatArray) -> FloatArray:
    """The recurrent network's features (T, 28) of levelled spectra (T, BANDS), before centring."""
    return cepstra(3 * mel)


def plotted(clip: ClipMetrics) -> Image:
    """Plot a clip's opening over time: tracked in grey, predicted in red; RGB uint8."""
    width, height = GRID_SIZE
    picture = np.full((height, width, 3), 255, np.uint8)
    top = max(float(clip.tracked.max()), 0.05)
    for curve, colour in ((clip.tracked, (120, 120, 120)), (clip.opening, (200, 0, 0))):
        x = np.linspace(0, width - 1, len(curve))
        y = (height - 5) * (1 - np.clip(curve / top, -0.1, 1.2) / 1.3) - 5
        cv2.polylines(picture, [np.stack([x, y], 1).astype(np.int32)], False, colour, 1, cv2.LINE_AA)
    return picture


def train(
    settings: SpeechSettings,
    data: Path,
    out: Path,
    *,
    dry_run: bool = False,
    progress: Callable[[str, int, int], None] = lambda *_: None,
) -> int:
    """Train a speech network.

    Args:
        settings: The settings of the run.
        data: The prepared folder.
        out: The run's folder; a stopped run in it continues.
        dry_run: Take two steps and write nothing.
        progress: Called with the stage, the steps done and the steps in all.

    Returns:
        The steps done.

    Raises:
        InputError: The folder or the settings cannot be used.
        MissingFileError: A file of the settings does not exist.
        WeightsError: A file of the settings is another kind of file, or the training diverged.
    """
    use_threads(settings.threads)
    task = SpeechTask(settings, data)
    if dry_run:
        for index in range(2):
            task.step(index, 0.0)
        return 2
    return fit(task, out, settings.schedule(), progress=progress)


def predictor(net: nn.Module) -> Predict:
    """Wrap a network for `evaluate_clip`."""
    lips = lips_of_coefficients().numpy()
    device = next(net.parameters()).device

    def coefficients(mel: FloatArray) -> FloatArray:
        with torch.no_grad():
            predicted = net.eval()(torch.from_numpy(mel)[None].to(device))[0]
        return np.asarray(predicted.float().cpu().numpy(), np.float32)

    return lambda mel: np.einsum("tc,cpd->tpd", in_stretches(coefficients, mel), lips)
