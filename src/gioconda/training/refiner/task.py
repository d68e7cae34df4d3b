"""The refiner as a task of the shared loop: `gioconda train refiner`."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from math import cos, pi
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from gioconda.engines.warp.aligned import LAST, LINES, OPENING, REFERENCE, STRETCH, WARPED, WINDOW
from gioconda.errors import InputError, MissingFileError, WeightsError
from gioconda.training.config import as_dict
from gioconda.training.device import launched, to_channels_last, update_ema, use_threads
from gioconda.training.loop import Schedule, contact_sheet, fit
from gioconda.training.perceptual import SqueezeFeatures, feature_distance
from gioconda.training.refiner.data import Batch, Samples
from gioconda.training.refiner.losses import (
    critic_loss,
    matching_loss,
    pixel_loss,
    pixel_weights,
    temporal_loss,
)
from gioconda.training.refiner.network import PatchCritic, Refiner
from gioconda.types import Image

# Without conv1, which costs most and adds little to the pixel loss
LOSS_LAYERS = ("fire3", "fire5", "fire7", "fire9")
DEV_SAMPLES, GRID_SAMPLES = 64, 12


@dataclass(frozen=True)
class Settings:
    """All settings of a run; presets hold differences, and unknown keys are refused."""

    steps: int = 6000
    minutes: float = 0.0
    batch: int = 16
    width: int = 16
    seed: int = 0
    people: int = 0  # of the train split; 0: all
    photo_share: float = 0.25  # of samples, of people of whom there are photos alone
    learning_rate: float = 1e-3
    critic_rate: float = 4e-4
    ema: float = 0.998
    perceptual: float = 0.6
    temporal: float = 0.5
    adversarial: float = 0.02
    matching: float = 0.2
    critic_from: float = 0.7  # share of the run after which the critic takes part; 1: never
    reference: bool = True  # whether the network sees the person's photo
    last: bool = True  # whether it sees its last output
    geometry: bool = True  # whether it sees openings, contours and stretch
    style: bool = True  # whether samples are painted, lit, textured and damaged
    last_dropped: float = 0.3  # share of samples without a last output
    precision: str = "auto"  # or Fabric's: 32-true, bf16-mixed
    accelerator: str = "auto"
    threads: int = 0  # of the processor, for the networks; 0: one a core, at most 8
    start: str = ""  # an exported .safetensors of the same width to go on from
    features: str = ""  # SqueezeNet's file; without it, no perceptual loss
    validate_every: int = 500
    save_seconds: float = 120.0

    def schedule(self) -> Schedule:
        """The length and the intervals of the run."""
        return Schedule(
            self.steps, self.minutes, validate_every=self.validate_every, save_seconds=self.save_seconds
        )


class RefinerTask:
    """The networks, the optimisers and the samples of one run."""

    def __init__(self, settings: Settings, data: Path) -> None:
        self._s = settings
        self.settings: Mapping[str, Any] = as_dict(settings)
        torch.manual_seed(settings.seed)
        self._fabric = launched(settings.accelerator, settings.precision, distributed=False)
        self._device = self._fabric.device
        self._train = Samples(data, "train", people=settings.people, photo_share=settings.photo_share)
        self._dev = Samples(data, "dev").fixed(DEV_SAMPLES)
        net = to_channels_last(Refiner(settings.width))
        if settings.start:
            load_pretrained(net, Path(settings.start))
        critic = to_channels_last(PatchCritic(5))
        self._net, self._optimizer = self._fabric.setup(
            net, torch.optim.AdamW(net.parameters(), 1.0, (0.9, 0.99))
        )
        self._critic, self._critic_optimizer = self._fabric.setup(
            critic, torch.optim.AdamW(critic.parameters(), settings.critic_rate, (0.5, 0.99))
        )
        self._ema = deepcopy(net).requires_grad_(False)
        self._squeeze = self._features(settings.features)
        self._blank = blanked_channels(self.settings)

    def _features(self, file: str) -> nn.Module | None:
        if not file:
            return None
        features: nn.Module = SqueezeFeatures(Path(file), LOSS_LAYERS)
        return to_channels_last(features.to(self._device))

    @property
    def people(self) -> list[str]:
        """The people in the training data."""
        return self._train.people

    def step(self, index: int, fraction: float) -> dict[str, float]:
        """Take one step of the network and, late in the run, one of the critic; return the losses by name."""
        s = self._s
        batch = self._train.batch(s.seed, index, s.batch, style=s.style)
        rate = s.learning_rate * min(1.0, (index + 1) / 100) * (0.03 + 0.97 * (1 + cos(pi * fraction)) / 2)
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        before_in, now_in = (self._tensor(batch.inputs[k]) for k in (0, 1))
        true_before, true = (torch.from_numpy(batch.truths[k]).to(self._device) for k in (0, 1))
        keep = torch.from_numpy(np.random.default_rng((s.seed, index, 1)).random(s.batch) >= s.last_dropped)
        before = true_before.clone()
        with torch.no_grad():
            if keep.any():
                before[keep] = self._net(self._blanked(before_in[keep])).float().clamp(-1, 1)
        now_in[keep, LAST] = before[keep]
        refined = self._net(self._blanked(now_in)).float()
        weights = pixel_weights(now_in)
        parts = {
            "l1": pixel_loss(refined, true, weights),
            "temporal": temporal_loss(refined, before, true, true_before, weights) * self._s.temporal,
        }
        if self._squeeze is not None:
            with self._fabric.autocast():
                parts["perceptual"] = self._s.perceptual * self._perceptual_distance(refined, true)
        critic_on = fraction >= self._s.critic_from
        if critic_on:
            parts |= self._critic_parts(refined, true, now_in)
        self._optimizer.zero_grad()
        self._fabric.backward(torch.stack(list(parts.values())).sum())
        self._fabric.clip_gradients(self._net, self._optimizer, max_norm=1.0, error_if_nonfinite=False)
        self._optimizer.step()
        update_ema(self._ema, self._net.module, index, s.ema)
        logged = {name: float(value.detach()) for name, value in parts.items()}
        if critic_on:
            logged["critic"] = self._critic_step(refined.detach(), true, now_in)
        return logged

    def _perceptual_distance(self, refined: Tensor, true: Tensor) -> Tensor:
        assert self._squeeze is not None
        with torch.no_grad():
            true_features = self._squeeze(true)
        return feature_distance(self._squeeze(refined), true_features)

    def _critic_parts(self, refined: Tensor, true: Tensor, inputs: Tensor) -> dict[str, Tensor]:
        geometry = inputs[:, [OPENING, LINES]]
        self._critic.requires_grad_(False)
        scores, features = self._critic(torch.cat([refined, geometry], 1))
        with torch.no_grad():
            _, true_features = self._critic(torch.cat([true, geometry], 1))
        self._critic.requires_grad_(True)
        return {
            "adversarial": -self._s.adversarial * scores.float().mean(),
            "matching": self._s.matching * matching_loss(features, true_features).float(),
        }

    def _critic_step(self, refined: Tensor, true: Tensor, inputs: Tensor) -> float:
        geometry = inputs[:, [OPENING, LINES]]
        real, _ = self._critic(torch.cat([true, geometry], 1))
        fake, _ = self._critic(torch.cat([refined, geometry], 1))
        loss = critic_loss(real.float(), fake.float())
        self._critic_optimizer.zero_grad()
        self._fabric.backward(loss)
        self._critic_optimizer.step()
        return float(loss.detach())

    def _tensor(self, array: Any) -> Tensor:
        return torch.from_numpy(array).to(self._device, memory_format=torch.channels_last)

    def _blanked(self, inputs: Tensor) -> Tensor:
        if not self._blank:
            return inputs
        inputs = inputs.clone()
        inputs[:, self._blank] = 0
        return inputs

    def _refined(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Two successive outputs of the averaged network."""
        self._ema.eval()
        inputs = [self._tensor(batch.inputs[k]) for k in (0, 1)]
        with torch.no_grad(), self._fabric.autocast():
            before = self._ema(self._blanked(inputs[0])).float().clamp(-1, 1)
            inputs[1][:, LAST] = before
            return before, self._ema(self._blanked(inputs[1])).float().clamp(-1, 1)

    def validate(self) -> dict[str, float]:
        """Compute the metrics on fixed samples of the dev people; score: L1 and features relative to the warp's."""
        _, refined = self._refined(self._dev)
        inputs, true = (self._tensor(part[1]) for part in (self._dev.inputs, self._dev.truths))
        weights, warped = pixel_weights(inputs), inputs[:, WARPED]
        figures = {
            "l1": float(pixel_loss(refined, true, weights)),
            "l1_warp": float(pixel_loss(warped, true, weights)),
        }
        score = figures["l1"] / figures["l1_warp"]
        if self._squeeze is not None:
            with torch.no_grad():
                figures["features"] = float(self._perceptual_distance(refined, true))
                figures["features_warp"] = float(self._perceptual_distance(warped, true))
            score = (score + figures["features"] / figures["features_warp"]) / 2
        return {**figures, "score": score}

    def grid(self) -> Image:
        """A contact sheet of the first dev samples: reference, warped, refined, true, window; RGB uint8."""
        _, refined = self._refined(self._dev)
        inputs, true = self._dev.inputs[1], self._dev.truths[1]
        rows = []
        for k in range(min(GRID_SAMPLES, len(true))):
            window = np.repeat(inputs[k, WINDOW:] * 2 - 1, 3, axis=0)
            tiles = [inputs[k, REFERENCE], inputs[k, WARPED], refined[k].cpu().numpy(), true[k], window]
            rows.append(np.concatenate(tiles, 2))
        return contact_sheet(rows)

    def state(self) -> dict[str, Any]:
        """All tensors that steps change."""
        return {
            "net": self._net.module.state_dict(),
            "ema": self._ema.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "critic": self._critic.module.state_dict(),
            "critic_optimizer": self._critic_optimizer.state_dict(),
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Load what `state` returned."""
        self._net.module.load_state_dict(state["net"])
        self._ema.load_state_dict(state["ema"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._critic.module.load_state_dict(state["critic"])
        self._critic_optimizer.load_state_dict(state["critic_optimizer"])


def load_pretrained(net: Refiner, file: Path) -> None:
    """Load exported weights; MissingFileError or WeightsError if they cannot be used."""
    if not file.is_file():
        raise MissingFileError(f"{file} does not exist; give the .safetensors of an exported refiner")
    try:
        net.load_state_dict(load_file(file))
    except (SafetensorError, RuntimeError) as error:
        raise WeightsError(
            f"{file} is not a refiner of this width: {str(error).splitlines()[0][:120]}"
        ) from None


def blanked_channels(settings: Mapping[str, Any]) -> list[int]:
    """Channels of the network's input that a run leaves blank."""
    away: list[int] = []
    if not settings["reference"]:
        away += range(REFERENCE.start, REFERENCE.stop)
    if not settings["last"]:
        away += range(LAST.start, LAST.stop)
    if not settings["geometry"]:
        away += [OPENING, LINES, STRETCH]
    return away


def train(
    settings: Settings, data: Path, run: Path, *, dry_run: bool = False, progress: Any = lambda *_: None
) -> int:
    """Train the refiner.

    Args:
        settings: The settings of the run.
        data: The prepared folder.
        run: The run's folder; a stopped run in it continues.
        dry_run: Take two steps, validate, and write nothing.
        progress: Called with the stage, the steps done and the steps in all.

    Returns:
        The steps done.

    Raises:
        InputError: The folder or the settings cannot be used.
        MissingFileError: A file of the settings does not exist, or the folder was not prepared.
        WeightsError: A file of the settings is another kind of file, or the training diverged.
    """
    if settings.steps < 1 or settings.batch < 1:
        raise InputError("steps and batch must be at least 1")
    if not 0 <= settings.photo_share <= 1:
        raise InputError(f"photo_share {settings.photo_share:g} is out of range; use 0 to 1")
    use_threads(settings.threads)
    task = RefinerTask(settings, data)
    if dry_run:
        for index in range(2):
            progress("train", index + 1, 2)
            task.step(index, settings.critic_from if index else 0.0)
        task.validate()
        return 2
    return fit(task, run, settings.schedule(), progress=progress)
