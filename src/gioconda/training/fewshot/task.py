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
from gioconda.training import machine
from gioconda.training.config import as_dict
from gioconda.training.fewshot.content import Content, OrientedEnergy
from gioconda.training.fewshot.data import Batch, Heads
from gioconda.training.fewshot.model import (
    Discriminator,
    Shape,
    Trio,
    channels_last,
    critic_loss,
    judged,
    match_columns,
)
from gioconda.training.fewshot.shards import Shards
from gioconda.training.fewshot.weights import take_over
from gioconda.training.loop import Crew, Schedule, contact_sheet, fit
from gioconda.training.machine import follow, launched, use_threads
from gioconda.types import Image

DEV_SAMPLES, GRID_SAMPLES = 32, 8
WARM = 200  # steps over which the learning rates rise
GROUPS = ("person", "video")


@dataclass(frozen=True)
class Settings:
    """All that decides a run; the defaults are the paper's, presets hold differences, unknown keys are refused.

    Weights of the losses: those of the paper's text; preset `paper_b` has the other set in use.
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
    precision: str = "bf16-mixed"
    accelerator: str = "auto"
    threads: int = 0  # of the processor; 0: one a core, at most 8
    start: str = ""  # an exported .safetensors of the same width to go on from
    validate_every: int = 1000
    save_seconds: float = 120.0

    @property
    def shape(self) -> Shape:
        """Of the networks."""
        return Shape(self.size, self.width, self.blocks, self.fold, self.skips)

    def schedule(self) -> Schedule:
        """What the loop needs of this."""
        return Schedule(
            self.steps, self.minutes, validate_every=self.validate_every, save_seconds=self.save_seconds
        )

    def content(self) -> Content:
        """The content losses whose files are named."""
        named = (("squeeze", self.features), ("vgg19", self.vgg19_file), ("vggface", self.vggface_file))
        return Content(
            self.pixel, {kind: (file, getattr(self, kind)) for kind, file in named}, self.structure
        )

    def check(self) -> None:
        """InputError for values that cannot be."""
        if self.steps < 1 or self.batch < 1 or not 1 <= self.fewest <= self.shots:
            raise InputError("steps, batch and fewest must be at least 1, and fewest at most shots")
        if self.size % (16 * self.fold) or self.fold not in (1, 2):
            raise InputError(f"size {self.size}: must divide by {16 * max(self.fold, 1)}, and fold be 1 or 2")
        if self.skips not in (0, 1):
            raise InputError(f"skips {self.skips}: 1 for networks with them, 0 for those without")
        if self.group not in GROUPS:
            raise InputError(f"group {self.group!r}: use {' or '.join(GROUPS)}")


class FewshotTask:
    """Networks, optimisers and heads of one run; several processes share each batch and average their gradients."""

    def __init__(self, settings: Settings, data: Path, fabric: Fabric) -> None:
        self._s, self._fabric = settings, fabric
        self.settings: Mapping[str, Any] = as_dict(settings)
        torch.manual_seed(settings.seed)
        self._train = Heads(
            Shards(data, "train"), settings.size, group=settings.group, people=settings.people
        )
        self._dev = _dev_batch(data, settings)
        self.trio = Trio(settings.shape)
        self.critic = Discriminator(settings.shape, len(self._train.people))
        if settings.start:
            take_over(Path(settings.start), self.trio, self.critic)
        for net in (self.trio, self.critic):
            machine.lay_out(net.to(fabric.device))
        betas = (settings.beta1, 0.999)
        self._optimizer = torch.optim.Adam(self.trio.parameters(), 1.0, betas)
        self._critic_optimizer = torch.optim.Adam(self.critic.parameters(), 1.0, betas)
        self.ema = deepcopy(self.trio).requires_grad_(False).eval()
        self._content = settings.content().to(fabric.device)
        self._energy = OrientedEnergy().to(fabric.device)
        self._rows = slice(fabric.global_rank, None, fabric.world_size)

    def step(self, index: int, progress: float) -> dict[str, float]:
        """One step of embedder and generator, and of the discriminator once it takes part."""
        s = self._s
        batch = self._batch(index)
        photos, true, landmarks, who = self._tensors(batch)
        self._set_rates(index, progress)
        with self._fabric.autocast():
            made, embedding = self.trio(photos, landmarks)
        counts = 1 + s.details * torch.from_numpy(batch.details).to(self._fabric.device)
        parts = {"content": self._content_loss(made, true, counts)}
        if s.energy:
            parts["energy"] = s.energy * self._energy(made.float(), true, counts)
        critic_on = progress >= s.critic_from
        if critic_on:
            parts |= self._critic_parts(made, true, landmarks, embedding, who)
        self._update(self.trio, self._optimizer, torch.stack(list(parts.values())).sum())
        follow(self.ema, self.trio, index, s.ema)
        logged = {name: float(value.detach()) for name, value in parts.items()}
        if critic_on:
            for _ in range(s.critic_steps):
                logged["critic"] = self._critic_step(made.detach(), true, landmarks, who)
        return logged

    def _batch(self, index: int) -> Batch:
        s = self._s
        made = self._train.batch(s.seed, index, s.batch, self._shots(index), self._rows)
        self._train.expect(s.seed, index + 1, s.batch, self._shots(index + 1), self._rows)
        return made

    def _shots(self, index: int) -> int:
        random = np.random.default_rng((self._s.seed, index, 1))
        return int(random.integers(self._s.fewest, self._s.shots + 1))

    def _tensors(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        photos, target, who = (
            torch.from_numpy(part).to(self._fabric.device) for part in (batch.photos, batch.target, batch.who)
        )
        return photos, channels_last(target[:, 0]), channels_last(target[:, 1]), who

    def _set_rates(self, index: int, progress: float) -> None:
        share = min(1.0, (index + 1) / WARM) * (1 - self._s.decay * (1 - cos(pi * progress)) / 2)
        pairs = ((self._optimizer, self._s.learning_rate), (self._critic_optimizer, self._s.critic_rate))
        for optimizer, rate in pairs:
            for group in optimizer.param_groups:
                group["lr"] = rate * max(share, 0.01)

    def _content_loss(self, made: Tensor, true: Tensor, counts: Tensor | float = 1.0) -> Tensor:
        with self._fabric.autocast():
            loss: Tensor = self._content(made, true, counts)
        return loss.float()

    def _critic_parts(
        self, made: Tensor, true: Tensor, landmarks: Tensor, embedding: Tensor, who: Tensor
    ) -> dict[str, Tensor]:
        s = self._s
        with torch.no_grad():
            person = self.critic.columns(who)
        with self._fabric.autocast():
            score, match = judged(self.critic, made, true, landmarks, person)
        parts = {"adversarial": s.adversarial * score, "matching": s.matching * match}
        if s.columns:
            parts["columns"] = s.columns * match_columns(embedding, person)
        return parts

    def _critic_step(self, made: Tensor, true: Tensor, landmarks: Tensor, who: Tensor) -> float:
        with self._fabric.autocast():
            loss = critic_loss(self.critic, made, true, landmarks, self.critic.columns(who))
        self._update(self.critic, self._critic_optimizer, loss)
        return float(loss.detach())

    def _update(self, net: nn.Module, optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        _average_gradients(self._fabric, net.parameters())
        nn.utils.clip_grad_norm_(net.parameters(), 5.0)
        optimizer.step()

    def _drawn(self) -> tuple[Tensor, Tensor]:
        photos, true, landmarks, _ = self._tensors(self._dev)
        with torch.no_grad(), self._fabric.autocast():
            made, _ = self.ema(photos, landmarks)
        return made.float(), true

    def validate(self) -> dict[str, float]:
        """Feed-forward figures on fixed samples of dev people; score: content and L1 over those of the first photo."""
        made, true = self._drawn()
        copy = torch.from_numpy(self._dev.photos[:, 0, 0]).to(true.device)
        with torch.no_grad():
            figures = {
                "l1": float(F.l1_loss(made, true)),
                "l1_copy": float(F.l1_loss(copy, true)),
                "content": float(self._content_loss(made, true)),
                "content_copy": float(self._content_loss(copy, true)),
            }
        score = figures["l1"] / figures["l1_copy"] + figures["content"] / figures["content_copy"]
        return {**figures, "score": score / 2}

    def grid(self) -> Image:
        """Rows of photo, landmarks, drawn, true, for the first dev samples, two abreast."""
        made, _ = self._drawn()
        rows = []
        for k in range(min(GRID_SAMPLES, len(made))):
            tiles = [
                self._dev.photos[k, 0, 0],
                self._dev.target[k, 1],
                made[k].cpu().numpy(),
                self._dev.target[k, 0],
            ]
            rows.append(np.concatenate(tiles, 2))
        return contact_sheet(rows)

    def state(self) -> dict[str, Any]:
        """All that steps change."""
        return {
            "trio": self.trio.state_dict(),
            "ema": self.ema.state_dict(),
            "critic": self.critic.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "critic_optimizer": self._critic_optimizer.state_dict(),
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Take over what `state` gave."""
        self.trio.load_state_dict(state["trio"])
        self.ema.load_state_dict(state["ema"])
        self.critic.load_state_dict(state["critic"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._critic_optimizer.load_state_dict(state["critic_optimizer"])


def _dev_batch(data: Path, s: Settings) -> Batch:
    """Fixed samples of people that are not learnt from; of the train split where there are none."""
    has_dev = any(clip.split == "dev" for clip in Shards(data).clips)
    shards = Shards(data, "dev" if has_dev else "train")
    return Heads(shards, s.size, group=s.group).fixed(DEV_SAMPLES, s.shots)


def _average_gradients(fabric: Fabric, parameters: Iterable[nn.Parameter]) -> None:
    """The mean over all processes, in one message."""
    if fabric.world_size == 1:
        return
    gradients = [p.grad for p in parameters if p.grad is not None]
    flat = torch.cat([g.flatten() for g in gradients])
    mean = fabric.all_reduce(flat, reduce_op="mean")
    assert isinstance(mean, Tensor)
    for gradient, part in zip(gradients, torch.split(mean, [g.numel() for g in gradients]), strict=True):
        gradient.copy_(part.view_as(gradient))


def train(
    settings: Settings, data: Path, run: Path, *, dry_run: bool = False, report: Any = lambda *_: None
) -> int:
    """Train in the folder `run`, going on where it stopped; dry_run: two steps and a validation, in memory."""
    settings.check()
    use_threads(settings.threads)
    fabric = launched(settings.accelerator, settings.precision)
    task = FewshotTask(settings, data, fabric)
    if dry_run:
        for index in range(2):
            report("train", index + 1, 2)
            task.step(index, max(settings.critic_from, 0.0) if index else 0.0)
        task.validate()
        return 2
    crew = Crew(fabric.is_global_zero, lambda opinion: bool(fabric.broadcast(opinion)))
    if fabric.world_size == 1:
        crew = Crew()
    return fit(task, run, settings.schedule(), report=report, crew=crew)
