"""Few-shot fine-tuning: the networks of meta-learning fitted to one person's photos (Zakharov et al. 2019, 3.3).

psi and w0 + e become free parameters, started from P e; L_MCH is dropped; generator and discriminator are tuned.
Each photo's psi may lie elsewhere, after the appearance embeddings of Martin-Brualla et al., *NeRF in the Wild*, CVPR
2021, so that another room or hairdo is not taken for what the head's turn does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from gioconda.engines.fewshot import crop
from gioconda.engines.fewshot.engine import PSI
from gioconda.engines.fewshot.network import WEIGHTS
from gioconda.errors import InputError
from gioconda.training import machine
from gioconda.training.fewshot.content import Content, OrientedEnergy
from gioconda.training.fewshot.data import STRAIGHT, eyes_and_mouth, jittered, seen
from gioconda.training.fewshot.model import Discriminator, Trio, channels_last, critic_loss, judged
from gioconda.training.fewshot.weights import COLUMNS, folded, shape_of, take_over
from gioconda.training.machine import use_threads
from gioconda.types import FloatArray, Image, Portrait
from gioconda.weights import asset_path

MOST_PHOTOS = 256
STEPS = (120, 60, 480)  # at least, for each doubling of the photos, at most


@dataclass(frozen=True)
class Settings:
    """How a person is fitted. steps: 0 for a number that grows with the photos. features: SqueezeNet's file.

    weights: an exported fewshot.safetensors; empty: the packaged one. jitter: photos are shifted, turned and scaled.
    energy: weight of `OrientedEnergy`; details: how many times more it and L1 count in eyes and mouth.
    """

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
    weights: str = ""
    threads: int = 0
    seed: int = 0


Progress = Callable[[str, int, int], None]


def adapt(
    photos: Sequence[Portrait], settings: Settings | None = None, *, report: Progress = lambda *_: None
) -> dict[str, npt.NDArray[Any]]:
    """Fit the networks to 1 to MOST_PHOTOS photos of a person: the generator's weights by name, and psi (style,).

    The person looks as in the first photo. float16. What `Portrait.fitted` takes. Raises InputError,
    MissingFileError or WeightsError.
    """
    s = settings or Settings()
    if not 1 <= len(photos) <= MOST_PHOTOS:
        raise InputError(f"{len(photos)} photos: give 1 to {MOST_PHOTOS} of one person")
    use_threads(s.threads)
    fit = Fit(photos, s)
    steps = s.steps or _steps(len(photos))
    for index in range(steps):
        fit.step(index, index / steps)
        report("adapt", index + 1, steps)
    return fit.result()


def _steps(photos: int) -> int:
    least, each, most = STEPS
    return min(most, round(least + each * float(np.log2(photos))))


@dataclass(frozen=True)
class Head:
    """A photo's head with some margin (s, s, 3), and its landmarks (478, 2) there."""

    image: Image
    points: FloatArray


def stored(photo: Portrait, size: int) -> Head:
    """A photo as training stores it: the head's square and a margin, at the scale of `size` pixels a square."""
    square = crop.head_square(photo.face.landmarks).enlarged(crop.MARGIN)
    side = round(size * crop.MARGIN)
    return Head(crop.cut(photo.image, square, side), crop.into(photo.face.landmarks, square, side)[:, :2])


class Fit:
    """One person's networks while they are fitted."""

    def __init__(self, photos: Sequence[Portrait], s: Settings) -> None:
        self._s = s
        file = Path(s.weights) if s.weights else asset_path(WEIGHTS)
        shape = shape_of(file)
        self._heads, self._size = [stored(photo, shape.size) for photo in photos], shape.size
        torch.manual_seed(s.seed)
        trio, self._critic = folded(Trio(shape)), Discriminator(shape, 1)
        assert isinstance(trio, Trio)
        take_over(file, trio, self._critic)
        self._generator = trio.generator
        for net in (trio, self._critic):
            machine.lay_out(net)
        with torch.no_grad():
            plain = np.stack([seen(head.image, head.points, self._size, STRAIGHT) for head in self._heads])
            embedding = trio.embed(torch.from_numpy(plain)[None])
            psi = trio.projection(embedding)
        self._psi, self._person = nn.Parameter(psi), nn.Parameter(embedding)
        self._looks = nn.Parameter(torch.zeros(len(self._heads), psi.shape[1]))  # each photo's, added to psi
        free = [*self._generator.parameters(), self._psi, self._looks]
        self._optimizer = torch.optim.Adam(free, 1.0, (0.5, 0.999))
        own = [p for name, p in self._critic.named_parameters() if name != COLUMNS]
        self._critic_optimizer = torch.optim.Adam([*own, self._person], 1.0, (0.5, 0.999))
        self._energy = OrientedEnergy()
        self._content = Content(s.pixel, {"squeeze": (s.features, s.squeeze)}, s.structure)

    def step(self, index: int, progress: float) -> dict[str, float]:
        """One step of the generator and one of the discriminator; the losses."""
        which = self._photos(index)
        true, landmarks, details = self._batch(index, which)
        rate = min(1.0, (index + 1) / 10) * max(1.0 - progress, 0.05)
        for optimizer, most in (
            (self._optimizer, self._s.learning_rate),
            (self._critic_optimizer, self._s.critic_rate),
        ):
            for group in optimizer.param_groups:
                group["lr"] = rate * most
        counts = 1 + self._s.details * details
        with torch.autocast("cpu", torch.bfloat16):
            made = self._generator(landmarks, self._psi + self._looks[which])
            parts = self._losses(made, true, landmarks, counts)
        if self._s.energy:
            parts["energy"] = self._s.energy * self._energy(made, true, counts)
        self._optimizer.zero_grad()
        torch.stack(list(parts.values())).sum().backward()  # type: ignore[no-untyped-call]
        self._optimizer.step()
        parts["critic"] = self._critic_step(made.detach(), true, landmarks)
        return {name: float(value.detach()) for name, value in parts.items()}

    def _photos(self, index: int) -> list[int]:
        """Which photos a step sees: all in turn."""
        total, count = len(self._heads), min(self._s.batch, max(len(self._heads), 4))
        order = np.random.default_rng((self._s.seed, index * count // total)).permutation(total)
        return [int(order[(index * count + k) % total]) for k in range(count)]

    def _batch(self, index: int, which: Sequence[int]) -> tuple[Tensor, Tensor, Tensor]:
        """Photos, each a little moved: pictures and landmark pictures (N, 3, S, S), details (N, 1, S, S)."""
        random = np.random.default_rng((self._s.seed, index))
        pairs, masks = [], []
        for head in (self._heads[k] for k in which):
            place = jittered(random) if self._s.jitter else STRAIGHT
            pairs.append(seen(head.image, head.points, self._size, place))
            masks.append(eyes_and_mouth(head.points, len(head.image), self._size, place))
        both = torch.from_numpy(np.stack(pairs))
        return channels_last(both[:, 0]), channels_last(both[:, 1]), torch.from_numpy(np.stack(masks))

    def _losses(self, made: Tensor, true: Tensor, landmarks: Tensor, counts: Tensor) -> dict[str, Tensor]:
        s, person = self._s, self._person.detach().expand(len(true), -1)
        score, match = judged(self._critic, made, true, landmarks, person)
        return {
            "content": self._content(made, true, counts).float(),
            "matching": s.matching * match,
            "adversarial": s.adversarial * score,
        }

    def _critic_step(self, made: Tensor, true: Tensor, landmarks: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            loss = critic_loss(self._critic, made, true, landmarks, self._person.expand(len(true), -1))
        self._critic_optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self._critic_optimizer.step()
        return loss

    def result(self) -> dict[str, npt.NDArray[Any]]:
        """What `Portrait.fitted` takes, float16."""
        state = {f"generator.{k}": v for k, v in self._generator.state_dict().items()}
        state[PSI] = (self._psi + self._looks[:1]).detach()[0]
        return {k: v.detach().cpu().numpy().astype(np.float16) for k, v in state.items()}
