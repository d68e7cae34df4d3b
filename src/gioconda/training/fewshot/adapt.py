"""Few-shot fine-tuning: the networks of meta-learning fitted to one person's photos (Zakharov et al. 2019, 3.3).

psi and w0 + e become free parameters, started from P e; L_MCH is dropped; generator and discriminator are tuned.
Each photo has its own offset to psi, after the appearance embeddings of Martin-Brualla et al., *NeRF in the Wild*, CVPR
2021, so the generator does not mistake another room or hairstyle for an effect of the head's rotation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from gioconda.engines.fewshot import crop
from gioconda.engines.fewshot.engine import PSI
from gioconda.errors import InputError
from gioconda.training import device
from gioconda.training.device import cpu_autocast, use_threads
from gioconda.training.fewshot.content import Content, OrientedEnergy
from gioconda.training.fewshot.data import STRAIGHT, eyes_and_mouth, input_pair, jittered
from gioconda.training.fewshot.model import (
    Discriminator,
    TalkingHead,
    channels_last,
    critic_loss,
    generator_adversarial_loss,
)
from gioconda.training.fewshot.weights import folded, load_pretrained, shape_of
from gioconda.types import FloatArray, Image, Portrait, Progress

MOST_PHOTOS = 256
# Steps for one photo, further steps for each doubling of the photos, and the most steps of all
STEPS = (120, 60, 480)


@dataclass(frozen=True)
class AdaptSettings:
    """How the networks are fitted to a person.

    Attributes:
        weights: Path of an exported fewshot.safetensors, whose networks are fitted.
        steps: Optimiser steps; 0 for a number that grows with the photos.
        pixel: Weight of L1.
        structure: Weight of 1 - SSIM.
        energy: Weight of `OrientedEnergy`.
        details: How many times more L1 and `OrientedEnergy` count in eyes and mouth.
        squeeze: Weight of the distance of SqueezeNet's features.
        jitter: Whether photos are shifted, rotated and scaled at random.
        features: Path of SqueezeNet's file; empty for no such loss.
        threads: Threads of PyTorch; 0 for its own choice, at most `device.MOST_THREADS`.
    """

    weights: str
    steps: int = 0
    batch: int = 8
    learning_rate: float = 1e-3
    critic_rate: float = 2e-4
    pixel: float = 2.0
    structure: float = 3.0
    energy: float = 30.0
    details: float = 5.0
    squeeze: float = 1.0
    matching: float = 2.0
    adversarial: float = 0.05
    jitter: bool = True
    features: str = ""
    threads: int = 0
    seed: int = 0


def adapt(
    photos: Sequence[Portrait], settings: AdaptSettings, *, progress: Progress = lambda *_: None
) -> dict[str, npt.NDArray[Any]]:
    """Fit the networks to photos of one person.

    Args:
        photos: 1 to MOST_PHOTOS photos. The result draws the person in the room and light of the first.
        settings: How to fit, and which networks.
        progress: Called with the stage, the steps done and the steps in all.

    Returns:
        The generator's weights by name, and psi (style,), float16: the value of `Portrait.fitted`.

    Raises:
        InputError: There is no photo, or more than MOST_PHOTOS.
        MissingFileError: A file of `settings` does not exist.
        WeightsError: A file of `settings` does not hold the weights that it should.
    """
    if not 1 <= len(photos) <= MOST_PHOTOS:
        raise InputError(f"{len(photos)} photos: give 1 to {MOST_PHOTOS} of one person")
    use_threads(settings.threads)
    fit = Fit(photos, settings)
    steps = settings.steps or _steps(len(photos))
    for index in range(steps):
        fit.step(index, index / steps)
        progress("adapt", index + 1, steps)
    return fit.result()


def _steps(photos: int) -> int:
    least, each, most = STEPS
    return min(most, round(least + each * float(np.log2(photos))))


@dataclass(frozen=True)
class Head:
    """A photo's head with a margin, (s, s, 3) RGB uint8, and its landmarks (478, 2) in pixels of that picture."""

    image: Image
    points: FloatArray


def stored(photo: Portrait, size: int) -> Head:
    """Crop a photo as training stores it: the head's square, `size` pixels wide, and a margin around it."""
    square = crop.head_square(photo.face.landmarks).enlarged(crop.MARGIN)
    side = round(size * crop.MARGIN)
    return Head(
        crop.cut_square(photo.image, square, side), crop.to_square(photo.face.landmarks, square, side)[:, :2]
    )


class Fit:
    """One person's networks while they are fitted."""

    def __init__(self, photos: Sequence[Portrait], s: AdaptSettings) -> None:
        self._s = s
        file = Path(s.weights)
        shape = shape_of(file)
        self._heads, self._size = [stored(photo, shape.size) for photo in photos], shape.size
        torch.manual_seed(s.seed)
        talking_head, self._critic = folded(TalkingHead(shape)), Discriminator(shape, 1)
        assert isinstance(talking_head, TalkingHead)
        load_pretrained(file, talking_head, self._critic)
        self._generator = talking_head.generator
        for net in (talking_head, self._critic):
            device.to_channels_last(net)
        with torch.no_grad():
            plain = np.stack(
                [input_pair(head.image, head.points, self._size, STRAIGHT) for head in self._heads]
            )
            embedding = talking_head.embed(torch.from_numpy(plain)[None])
            psi = talking_head.projection(embedding)
        self._psi, self._person = nn.Parameter(psi), nn.Parameter(embedding)
        # Each photo's own offset, added to psi
        self._psi_offsets = nn.Parameter(torch.zeros(len(self._heads), psi.shape[1]))
        free = [*self._generator.parameters(), self._psi, self._psi_offsets]
        self._optimizer = torch.optim.Adam(free, 1.0, (0.5, 0.999))
        own = [p for p in self._critic.parameters() if p is not self._critic.identity_embeddings.weight]
        self._critic_optimizer = torch.optim.Adam([*own, self._person], 1.0, (0.5, 0.999))
        self._energy = OrientedEnergy()
        self._content = Content(s.pixel, {"squeeze": (s.features, s.squeeze)}, s.structure)

    def step(self, index: int, fraction: float) -> dict[str, float]:
        """Take one step of the generator and one of the discriminator; return the losses by name."""
        which = self._photos(index)
        true, landmarks, details = self._batch(index, which)
        rate = min(1.0, (index + 1) / 10) * max(1.0 - fraction, 0.05)
        for optimizer, most in (
            (self._optimizer, self._s.learning_rate),
            (self._critic_optimizer, self._s.critic_rate),
        ):
            for group in optimizer.param_groups:
                group["lr"] = rate * most
        counts = 1 + self._s.details * details
        with cpu_autocast():
            generated = self._generator(landmarks, self._psi + self._psi_offsets[which])
            parts = self._losses(generated, true, landmarks, counts)
        if self._s.energy:
            parts["energy"] = self._s.energy * self._energy(generated, true, counts)
        self._optimizer.zero_grad()
        torch.stack(list(parts.values())).sum().backward()  # type: ignore[no-untyped-call]
        self._optimizer.step()
        parts["critic"] = self._critic_step(generated.detach(), true, landmarks)
        return {name: float(value.detach()) for name, value in parts.items()}

    def _photos(self, index: int) -> list[int]:
        """Indices of the photos of a step; all photos take turns."""
        total, count = len(self._heads), min(self._s.batch, max(len(self._heads), 4))
        order = np.random.default_rng((self._s.seed, index * count // total)).permutation(total)
        return [int(order[(index * count + k) % total]) for k in range(count)]

    def _batch(self, index: int, which: Sequence[int]) -> tuple[Tensor, Tensor, Tensor]:
        """Jittered photos: pictures and landmark pictures (N, 3, S, S), details (N, 1, S, S)."""
        random = np.random.default_rng((self._s.seed, index))
        pairs, masks = [], []
        for head in (self._heads[k] for k in which):
            place = jittered(random) if self._s.jitter else STRAIGHT
            pairs.append(input_pair(head.image, head.points, self._size, place))
            masks.append(eyes_and_mouth(head.points, len(head.image), self._size, place))
        both = torch.from_numpy(np.stack(pairs))
        return channels_last(both[:, 0]), channels_last(both[:, 1]), torch.from_numpy(np.stack(masks))

    def _losses(
        self, generated: Tensor, true: Tensor, landmarks: Tensor, counts: Tensor
    ) -> dict[str, Tensor]:
        s, person = self._s, self._person.detach().expand(len(true), -1)
        score, match = generator_adversarial_loss(self._critic, generated, true, landmarks, person)
        return {
            "content": self._content(generated, true, counts).float(),
            "matching": s.matching * match,
            "adversarial": s.adversarial * score,
        }

    def _critic_step(self, generated: Tensor, true: Tensor, landmarks: Tensor) -> Tensor:
        with cpu_autocast():
            loss = critic_loss(self._critic, generated, true, landmarks, self._person.expand(len(true), -1))
        self._critic_optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self._critic_optimizer.step()
        return loss

    def result(self) -> dict[str, npt.NDArray[Any]]:
        """The value of `Portrait.fitted`: arrays by name, float16."""
        state = {f"generator.{k}": v for k, v in self._generator.state_dict().items()}
        state[PSI] = (self._psi + self._psi_offsets[:1]).detach()[0]
        return {k: v.detach().cpu().numpy().astype(np.float16) for k, v in state.items()}
