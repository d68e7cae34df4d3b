"""Meta-learning of the few-shot talking head, as a task of the shared loop: `gioconda train fewshot`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from math import cos, pi
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from gioconda.errors import InputError
from gioconda.training import device
from gioconda.training.config import as_dict
from gioconda.training.device import launched, update_ema, use_threads
from gioconda.training.fewshot.content import Content, OrientedEnergy
from gioconda.training.fewshot.data import FewshotBatch, Heads
from gioconda.training.fewshot.model import (
    Discriminator,
    Shape,
    TalkingHead,
    channels_last,
    critic_loss,
    generator_adversarial_loss,
    match_loss,
)
from gioconda.training.fewshot.shards import Shards
from gioconda.training.fewshot.weights import load_pretrained
from gioconda.training.loop import ProcessGroup, Schedule, contact_sheet, fit
from gioconda.types import Image

DEV_SAMPLES, GRID_SAMPLES = 32, 8
# Steps of the learning rates' warm-up
WARM = 200
GROUPS = ("person", "video")


@dataclass(frozen=True)
class FewshotSettings:
    """All settings of a run: the paper's by default; presets hold differences, and unknown keys are refused.

    The weights of the losses are those of the paper's text; the preset `paper_b` has the second set in use.
    """

    steps: int = 500_000
    minutes: float = 0.0
    size: int = 256
    width: int = 64
    blocks: int = 5
    fold: int = 1
    skips: int = 0
    batch: int = 48
    shots: int = 8
    fewest: int = 8  # each step draws from here to `shots` photos a person
    group: str = "video"  # whose photos belong together: those of a video, or of a person
    people: int = 0  # of the train split; 0: all
    seed: int = 0
    learning_rate: float = 5e-5
    critic_rate: float = 2e-4
    beta1: float = 0.0
    decay: float = 1.0  # of the learning rates, by a half cosine; 0: constant
    critic_steps: int = 2
    critic_from: float = 0.0  # share of the run after which the discriminator takes part; 1: never
    ema: float = 0.999
    vgg19: float = 1e-2
    vggface: float = 2e-3
    squeeze: float = 1.0
    pixel: float = 0.0
    structure: float = 0.0  # of 1 - SSIM
    energy: float = 0.0  # of `OrientedEnergy`
    details: float = 5.0  # how many times more it and L1 count in eyes and mouth
    matching: float = 10.0
    columns: float = 80.0  # of L_MCH; 0 for the feed-forward variant
    adversarial: float = 1.0
    features: str = ""  # SqueezeNet's file
    vgg19_file: str = ""
    vggface_file: str = ""
    precision: str = "auto"  # or Fabric's: 32-true, bf16-mixed
    accelerator: str = "auto"
    threads: int = 0  # of the processor; 0: one a core, at most 8
    start: str = ""  # an exported .safetensors of the same width to go on from
    validate_every: int = 1000
    save_seconds: float = 120.0

    @property
    def shape(self) -> Shape:
        """The size of the networks."""
        return Shape(self.size, self.width, self.blocks, self.fold, self.skips)

    def schedule(self) -> Schedule:
        """The length and the intervals of the run."""
        return Schedule(
            self.steps, self.minutes, validate_every=self.validate_every, save_seconds=self.save_seconds
        )

    def content(self) -> Content:
        """The content losses, with the feature losses whose files are given."""
        named = (("squeeze", self.features), ("vgg19", self.vgg19_file), ("vggface", self.vggface_file))
        return Content(
            self.pixel, {kind: (file, getattr(self, kind)) for kind, file in named}, self.structure
        )

    def check(self) -> None:
        """Raise InputError for impossible values."""
        if self.steps < 1 or self.batch < 1 or not 1 <= self.fewest <= self.shots:
            raise InputError("steps, batch and fewest must be at least 1, and fewest at most shots")
        if self.size % (16 * self.fold) or self.fold not in (1, 2):
            raise InputError(f"size {self.size}: must divide by {16 * max(self.fold, 1)}, and fold be 1 or 2")
        if self.skips not in (0, 1):
            raise InputError(f"skips {self.skips}: 1 for networks with them, 0 for those without")
        if self.group not in GROUPS:
            raise InputError(f"group {self.group!r}: use {' or '.join(GROUPS)}")


class FewshotTask:
    """The networks, optimisers and heads of one run; several processes share each batch and average gradients."""

    def __init__(self, settings: FewshotSettings, data: Path, fabric: Fabric) -> None:
        self._s, self._fabric = settings, fabric
        self.settings: Mapping[str, Any] = as_dict(settings)
        torch.manual_seed(settings.seed)
        self._train = Heads(
            Shards(data, "train"), settings.size, group=settings.group, people=settings.people
        )
        self._dev = _dev_batch(data, settings)
        self.talking_head = TalkingHead(settings.shape)
        self.critic = Discriminator(settings.shape, len(self._train.people))
        if settings.start:
            load_pretrained(Path(settings.start), self.talking_head, self.critic)
        for net in (self.talking_head, self.critic):
            device.to_channels_last(net.to(fabric.device))
        betas = (settings.beta1, 0.999)
        self._optimizer = torch.optim.Adam(self.talking_head.parameters(), 1.0, betas)
        self._critic_optimizer = torch.optim.Adam(self.critic.parameters(), 1.0, betas)
        self.ema = deepcopy(self.talking_head).requires_grad_(False).eval()
        self._content = settings.content().to(fabric.device)
        self._energy = OrientedEnergy().to(fabric.device)
        self._rows = slice(fabric.global_rank, None, fabric.world_size)

    def step(self, index: int, fraction: float) -> dict[str, float]:
        """Take one step of embedder and generator, and of the discriminator once it takes part; return the losses."""
        s = self._s
        batch = self._batch(index)
        photos, true, landmarks, person_index = self._tensors(batch)
        self._set_rates(index, fraction)
        with self._fabric.autocast():
            generated, embedding = self.talking_head(photos, landmarks)
        counts = 1 + s.details * torch.from_numpy(batch.details).to(self._fabric.device)
        parts = {"content": self._content_loss(generated, true, counts)}
        if s.energy:
            parts["energy"] = s.energy * self._energy(generated.float(), true, counts)
        critic_on = fraction >= s.critic_from
        if critic_on:
            parts |= self._critic_parts(generated, true, landmarks, embedding, person_index)
        self._update(self.talking_head, self._optimizer, torch.stack(list(parts.values())).sum())
        update_ema(self.ema, self.talking_head, index, s.ema)
        logged = {name: float(value.detach()) for name, value in parts.items()}
        if critic_on:
            for _ in range(s.critic_steps):
                logged["critic"] = self._critic_step(generated.detach(), true, landmarks, person_index)
        return logged

    def _batch(self, index: int) -> FewshotBatch:
        s = self._s
        batch = self._train.batch(s.seed, index, s.batch, self._shots(index), self._rows)
        self._train.expect(s.seed, index + 1, s.batch, self._shots(index + 1), self._rows)
        return batch

    def _shots(self, index: int) -> int:
        random = np.random.default_rng((self._s.seed, index, 1))
        return int(random.integers(self._s.fewest, self._s.shots + 1))

    def _tensors(self, batch: FewshotBatch) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        photos, target, person_index = (
            torch.from_numpy(part).to(self._fabric.device)
            for part in (batch.photos, batch.target, batch.person)
        )
        return photos, channels_last(target[:, 0]), channels_last(target[:, 1]), person_index

    def _set_rates(self, index: int, fraction: float) -> None:
        share = min(1.0, (index + 1) / WARM) * (1 - self._s.decay * (1 - cos(pi * fraction)) / 2)
        pairs = ((self._optimizer, self._s.learning_rate), (self._critic_optimizer, self._s.critic_rate))
        for optimizer, rate in pairs:
            for group in optimizer.param_groups:
                group["lr"] = rate * max(share, 0.01)

    def _content_loss(self, generated: Tensor, true: Tensor, counts: Tensor | float = 1.0) -> Tensor:
        with self._fabric.autocast():
            loss: Tensor = self._content(generated, true, counts)
        return loss.float()

    def _critic_parts(
        self, generated: Tensor, true: Tensor, landmarks: Tensor, embedding: Tensor, person_index: Tensor
    ) -> dict[str, Tensor]:
        s = self._s
        with torch.no_grad():
            person = self.critic.identity_embeddings(person_index)
        with self._fabric.autocast():
            score, match = generator_adversarial_loss(self.critic, generated, true, landmarks, person)
        parts = {"adversarial": s.adversarial * score, "matching": s.matching * match}
        if s.columns:
            parts["columns"] = s.columns * match_loss(embedding, person)
        return parts

    def _critic_step(self, generated: Tensor, true: Tensor, landmarks: Tensor, person_index: Tensor) -> float:
        with self._fabric.autocast():
            loss = critic_loss(
                self.critic, generated, true, landmarks, self.critic.identity_embeddings(person_index)
            )
        self._update(self.critic, self._critic_optimizer, loss)
        return float(loss.detach())

    def _update(self, net: nn.Module, optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        _average_gradients(self._fabric, net.parameters())
        nn.utils.clip_grad_norm_(net.parameters(), 5.0)
        optimizer.step()

    def _generated(self) -> tuple[Tensor, Tensor]:
        photos, true, landmarks, _ = self._tensors(self._dev)
        with torch.no_grad(), self._fabric.autocast():
            generated, _ = self.ema(photos, landmarks)
        return generated.float(), true

    def validate(self) -> dict[str, float]:
        """Compute feed-forward metrics on fixed dev samples; score: content and L1 relative to the first photo's."""
        generated, true = self._generated()
        copy = torch.from_numpy(self._dev.photos[:, 0, 0]).to(true.device)
        with torch.no_grad():
            metrics = {
                "l1": float(F.l1_loss(generated, true)),
                "l1_copy": float(F.l1_loss(copy, true)),
                "content": float(self._content_loss(generated, true)),
                "content_copy": float(self._content_loss(copy, true)),
            }
        score = metrics["l1"] / metrics["l1_copy"] + metrics["content"] / metrics["content_copy"]
        return {**metrics, "score": score / 2}

    def grid(self) -> Image:
        """A contact sheet of the first dev samples: photo, landmarks, generated, true; RGB uint8."""
        generated, _ = self._generated()
        rows = []
        for k in range(min(GRID_SAMPLES, len(generated))):
            tiles = [
                self._dev.photos[k, 0, 0],
                self._dev.target[k, 1],
                generated[k].cpu().numpy(),
                self._dev.target[k, 0],
            ]
            rows.append(np.concatenate(tiles, 2))
        return contact_sheet(rows)

    def state(self) -> dict[str, Any]:
        """All tensors that steps change."""
        return {
            "trio": self.talking_head.state_dict(),
            "ema": self.ema.state_dict(),
            "critic": self.critic.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "critic_optimizer": self._critic_optimizer.state_dict(),
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Load what `state` returned."""
        self.talking_head.load_state_dict(state["trio"])
        self.ema.load_state_dict(state["ema"])
        self.critic.load_state_dict(state["critic"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._critic_optimizer.load_state_dict(state["critic_optimizer"])


def _dev_batch(data: Path, s: FewshotSettings) -> FewshotBatch:
    """Fixed samples of the dev split, or of the train split if there is no dev split."""
    has_dev = any(clip.split == "dev" for clip in Shards(data).clips)
    shards = Shards(data, "dev" if has_dev else "train")
    return Heads(shards, s.size, group=s.group).fixed(DEV_SAMPLES, s.shots)


def _average_gradients(fabric: Fabric, parameters: Iterable[nn.Parameter]) -> None:
    """Average the gradients over all processes, in one message."""
    if fabric.world_size == 1:
        return
    gradients = [p.grad for p in parameters if p.grad is not None]
    flat = torch.cat([g.flatten() for g in gradients])
    mean = fabric.all_reduce(flat, reduce_op="mean")
    assert isinstance(mean, Tensor)
    for gradient, part in zip(gradients, torch.split(mean, [g.numel() for g in gradients]), strict=True):
        gradient.copy_(part.view_as(gradient))


def train(
    settings: FewshotSettings,
    data: Path,
    run: Path,
    *,
    dry_run: bool = False,
    progress: Any = lambda *_: None,
) -> int:
    """Train the few-shot networks.

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
    settings.check()
    use_threads(settings.threads)
    fabric = launched(settings.accelerator, settings.precision)
    task = FewshotTask(settings, data, fabric)
    if dry_run:
        for index in range(2):
            progress("train", index + 1, 2)
            task.step(index, max(settings.critic_from, 0.0) if index else 0.0)
        task.validate()
        return 2
    processes = ProcessGroup(fabric.is_global_zero, lambda opinion: bool(fabric.broadcast(opinion)))
    if fabric.world_size == 1:
        processes = ProcessGroup()
    return fit(task, run, settings.schedule(), progress=progress, processes=processes)
