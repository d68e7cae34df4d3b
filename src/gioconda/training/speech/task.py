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
from gioconda.training.loop import Schedule, fit
from gioconda.training.machine import follow as average
from gioconda.training.machine import launched, use_threads
from gioconda.training.speech import data as prepared
from gioconda.training.speech.ear import begin
from gioconda.training.speech.measure import STILL, Followed, Predict, by_person, follow, gap
from gioconda.training.speech.model import COMPONENTS, LipNet, ObamaNet, lips_of_coefficients
from gioconda.types import FloatArray, Image

MOUTH_WEIGHT = 2.0  # of the opening's height, beside single points
GRID_CLIPS, GRID_SIZE = 12, (400, 120)


@dataclass(frozen=True)
class Settings:
    """All that decides a run; presets hold differences. network: lips, or obama for the recurrent baseline.

    ear: Smart Turn's file, or a speech.onnx, whose ear to start from; empty: the packaged one. ear_rate: how fast it
    learns, as a share of the learning rate. readers: how many share the ear. unlike: weight of one less the
    correlation of the openings, sample by sample; points, speed and coefficients alone leave mouths too still.
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
    precision: str = "bf16-mixed"
    accelerator: str = "auto"
    threads: int = 0
    validate_every: int = 500
    save_seconds: float = 120.0

    def schedule(self) -> Schedule:
        """What the loop needs of this."""
        return Schedule(
            self.steps, self.minutes, validate_every=self.validate_every, save_seconds=self.save_seconds
        )


class SpeechTask:
    """Network, optimiser and clips of one run."""

    def __init__(self, settings: Settings, data: Path) -> None:
        self._s = settings
        self.settings: Mapping[str, Any] = as_dict(settings)
        torch.manual_seed(settings.seed)
        self._fabric = launched(settings.accelerator, settings.precision, together=False)
        self._device = self._fabric.device
        self._train = prepared.Voices(
            prepared.load(data, "train"), people=settings.people, without=settings.without
        )
        self._dev = prepared.load(data, "dev")
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
            begin(net.ear, s.ear)
            return net
        if s.network != "obama":
            raise InputError(f"network = {s.network!r}: lips or obama")
        lips = np.concatenate([t.points.reshape(len(t), -1) for t in self._train.takes])
        mean = lips.mean(0)
        _, _, components = np.linalg.svd(lips[:: max(1, len(lips) // 20000)] - mean, full_matrices=False)
        batches = [self._train.batch(s.seed, k, s.batch, augment=s.augment).mel for k in range(6)]
        heard = np.concatenate([seen(one) for mel in batches for one in mel])
        return ObamaNet(mean, components[:COMPONENTS], heard.mean(0), heard.std(0) + 1e-3)

    def _groups(self, net: nn.Module) -> list[dict[str, Any]]:
        """Parameters by how fast they learn."""
        ear = list(net.ear.parameters()) if isinstance(net, LipNet) else []
        own = {id(p) for p in ear}
        rest = [p for p in net.parameters() if id(p) not in own]
        return [
            {"params": rest, "share": 1.0},
            *([{"params": ear, "share": self._s.ear_rate}] if ear else []),
        ]

    def step(self, index: int, progress: float) -> dict[str, float]:
        """One step."""
        s = self._s
        batch = self._train.batch(s.seed, index, s.batch, augment=s.augment)
        rate = s.learning_rate * min(1.0, (index + 1) / 200) * (0.02 + 0.98 * (1 + cos(pi * progress)) / 2)
        for group in self._optimizer.param_groups:
            group["lr"] = rate * group["share"]
        self._net.train()
        mel, wanted, points = (
            torch.from_numpy(a).to(self._device) for a in (batch.mel, batch.coefficients, batch.points)
        )
        parts = self._recurrent(mel, points) if s.network == "obama" else self._mouth(mel, wanted, points)
        self._optimizer.zero_grad()
        self._fabric.backward(torch.stack(list(parts.values())).sum())
        self._fabric.clip_gradients(self._net, self._optimizer, max_norm=10.0, error_if_nonfinite=False)
        self._optimizer.step()
        average(self._ema, self._net.module, index, s.ema)
        return {name: float(value.detach()) for name, value in parts.items()}

    def _mouth(self, mel: Tensor, wanted: Tensor, points: Tensor) -> dict[str, Tensor]:
        """Coefficients, the lips that they make, and how these move, against the true ones."""
        s = self._s
        with self._fabric.autocast():
            made = self._net.module.each(mel).float()
        lips = torch.einsum("rntc,cpd->rntpd", made, self._lips)
        far = (lips - points).abs()
        speed = (lips[:, :, 1:] - lips[:, :, :-1] - points[:, 1:] + points[:, :-1]).abs()
        return {
            "coefficients": s.coefficients * (made - wanted).abs().mean(),
            "points": s.points * (far[..., 0].mean() + MOUTH_WEIGHT * far[..., 1].mean()),
            "speed": s.speed * speed.mean(),
            "unlike": s.unlike * unlike(gap(lips), gap(points)),
        }

    def _recurrent(self, mel: Tensor, points: Tensor) -> dict[str, Tensor]:
        """The squared distance of the principal components, as its authors train it."""
        net = self._net.module
        wanted = (points.flatten(2) - net.mean) @ net.components.T
        with self._fabric.autocast():
            made = net.principal(mel)
        return {"components": 100 * (made - wanted).square().mean()}

    def predict(self, mel: FloatArray) -> FloatArray:
        """Lips and chin (T, 44, 2) for levelled spectra (2 * T, BANDS), by the averaged network."""
        if not isinstance(self._ema, ObamaNet):
            return predictor(self._ema)(mel)
        with torch.no_grad():
            heard = torch.from_numpy(mel)[None].to(self._device)
            return np.asarray(self._ema.eval().lips(heard)[0].cpu().numpy(), np.float32)

    def _followed(self) -> list[Followed]:
        return [follow(take, self.predict) for take in self._dev]

    def validate(self) -> dict[str, float]:
        """Figures on the dev people; score: one less the mean over people of the correlation."""
        people = by_person(self._followed()).values()
        told = {k: float(np.nanmean([p[k] for p in people])) for k in ("correlation", "pooled", "distance")}
        return {**told, "score": 1 - told["correlation"]}

    def grid(self) -> Image:
        """The opening over time, tracked in grey and made in red, of some dev clips."""
        step = max(1, len(self._dev) // GRID_CLIPS)
        shown = [plotted(follow(t, self.predict)) for t in self._dev[::step][:GRID_CLIPS]]
        return np.concatenate(
            [np.concatenate(shown[k : k + 2], 1) for k in range(0, len(shown) // 2 * 2, 2)] or shown
        )

    def state(self) -> dict[str, Any]:
        """All that steps change."""
        return {
            "net": self._net.module.state_dict(),
            "ema": self._ema.state_dict(),
            "optimizer": self._optimizer.state_dict(),
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Take over what `state` gave."""
        self._net.module.load_state_dict(state["net"])
        self._ema.load_state_dict(state["ema"])
        self._optimizer.load_state_dict(state["optimizer"])


def unlike(made: Tensor, true: Tensor) -> Tensor:
    """One less the correlation of openings (R, N, T) and (N, T), the mean where the true mouth moves."""
    a, b = (x - x.mean(-1, keepdim=True) for x in (made, true))
    like = (a * b).mean(-1) / (a.square().mean(-1) * b.square().mean(-1) + 1e-8).sqrt()
    speaks = (b.square().mean(-1) > STILL**2).float()
    return ((1 - like) * speaks).mean(0).sum() / speaks.sum().clamp(min=1)


def seen(mel: FloatArray) -> FloatArray:
    """The recurrent net's 28 features of levelled spectra (T, BANDS), before they are centred."""
    return cepstra(3 * mel)


def plotted(clip: Followed) -> Image:
    """A clip's opening over time: tracked grey, made red, RGB uint8."""
    width, height = GRID_SIZE
    picture = np.full((height, width, 3), 255, np.uint8)
    top = max(float(clip.tracked.max()), 0.05)
    for curve, colour in ((clip.tracked, (120, 120, 120)), (clip.opening, (200, 0, 0))):
        x = np.linspace(0, width - 1, len(curve))
        y = (height - 5) * (1 - np.clip(curve / top, -0.1, 1.2) / 1.3) - 5
        cv2.polylines(picture, [np.stack([x, y], 1).astype(np.int32)], False, colour, 1, cv2.LINE_AA)
    return picture


def train(
    settings: Settings,
    data: Path,
    out: Path,
    *,
    dry_run: bool = False,
    report: Callable[[str, int, int], None] = lambda *_: None,
) -> int:
    """Train a speech network in the folder `out`; two steps and nothing written with dry_run. The steps done."""
    use_threads(settings.threads)
    task = SpeechTask(settings, data)
    if dry_run:
        for index in range(2):
            task.step(index, 0.0)
        return 2
    return fit(task, out, settings.schedule(), report=report)


def predictor(net: nn.Module) -> Predict:
    """A network as `measure.follow` wants it."""
    lips = lips_of_coefficients().numpy()
    device = next(net.parameters()).device

    def coefficients(mel: FloatArray) -> FloatArray:
        with torch.no_grad():
            made = net.eval()(torch.from_numpy(mel)[None].to(device))[0]
        return np.asarray(made.float().cpu().numpy(), np.float32)

    return lambda mel: np.einsum("tc,cpd->tpd", in_stretches(coefficients, mel), lips)
