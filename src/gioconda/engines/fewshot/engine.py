"""Draws the head of a portrait from landmarks alone, as a network has learnt it, and lays it into the picture."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from dataclasses import dataclass

import cv2
import numpy as np

from gioconda.engines import affine
from gioconda.engines.affine import Box
from gioconda.engines.fewshot import crop
from gioconda.engines.fewshot.network import Graph, Networks
from gioconda.errors import WeightsError
from gioconda.graphs import Tensors
from gioconda.types import FloatArray, Image, Patch, Portrait, Shot

PSI = "psi"  # of a person's fitted weights, the AdaIN parameters; all others are the generator's
FEATHER = 0.08  # of the square's side, over which what is drawn passes into the picture


@dataclass(frozen=True)
class FewshotIdentity:
    """One person: the generator, fitted or not, AdaIN parameters psi (1, style), and where the head lies.

    box: whole pixels (left, top, right, bottom) of the square that the picture shows; weight: (h, w), how much of
    what is drawn shows there.
    """

    generator: Graph
    psi: FloatArray
    picture: Image
    square: crop.Square
    box: Box
    weight: FloatArray


class FewshotEngine:
    """Few-shot adversarial talking heads: embedder, then a generator under AdaIN. Holds networks and no person.

    named: file name and hash of each network's file, for the manifest.
    """

    name = "fewshot"

    def __init__(self, networks: Networks, named: tuple[tuple[str, str], ...] = ()) -> None:
        self._networks = networks
        self.networks = named

    def prepare(self, portrait: Portrait) -> FewshotIdentity:
        """Embed the person's photos, or take the weights fitted to them; WeightsError where these do not fit."""
        if portrait.fitted is None:
            generator, psi = self._networks.generator, self._embedded(portrait)
        else:
            generator, psi = self._fitted(portrait.name, portrait.fitted)
        square = crop.head_square(portrait.face.landmarks)
        box = _inside(square, portrait.image.shape)
        weight = _weight(square, box, portrait.image.shape)
        return FewshotIdentity(generator, psi, portrait.image, square, box, weight)

    def _fitted(self, name: str, weights: Tensors) -> tuple[Graph, FloatArray]:
        psi = np.asarray(weights.get(PSI, ()), np.float32)[None]
        if psi.shape != (1, self._networks.style):
            raise WeightsError(f"{name} was adapted for other networks; adapt the person again")
        return self._networks.fitted({k: v for k, v in weights.items() if k != PSI}), psi

    def _embedded(self, portrait: Portrait) -> FloatArray:
        """The mean over all photos of the person; the projection is linear, so it may be taken after it."""
        size, found = self._networks.size, []
        for one in (portrait, *portrait.others):
            square = crop.head_square(one.face.landmarks)
            drawn = crop.draw(crop.into(one.face.landmarks, square, size), size)
            found.append(
                self._networks.embed(crop.planes(crop.cut(one.image, square, size)), crop.planes(drawn))
            )
        return np.asarray(np.mean(found, 0), np.float32)

    def render(
        self, who: FewshotIdentity, shots: Iterable[Shot], *, ahead: bool = False
    ) -> Generator[Patch, None, None]:
        """One patch a shot, in order; nothing is done ahead."""
        left, top, right, bottom = who.box
        still = who.picture[top:bottom, left:right].astype(np.float32)
        for shot in shots:
            made = laid(self.drawn(who, shot.landmarks), who.square, who.box)
            mixed = still + (made - still) * who.weight[..., None]
            yield Patch(np.rint(mixed).astype(np.uint8), (left, top), shot.time, who.weight)

    def drawn(self, who: FewshotIdentity, landmarks: FloatArray) -> Image:
        """The head's square as the network draws it, (size, size, 3); landmarks (478, 3) of the portrait's picture."""
        size = self._networks.size
        points = crop.into(landmarks, who.square, size)
        plane = crop.planes(crop.draw(points, size))
        return crop.picture(who.generator(landmarks=plane[None], psi=who.psi)[0])


def _inside(square: crop.Square, shape: tuple[int, ...]) -> Box:
    """The square's whole pixels within a picture."""
    right, bottom = (int(np.floor(edge + square.side)) for edge in (square.left, square.top))
    left, top = (max(int(np.ceil(edge)), 0) for edge in (square.left, square.top))
    return left, top, max(min(right, shape[1]), left + 1), max(min(bottom, shape[0]), top + 1)


def laid(image: Image, square: crop.Square, box: Box) -> FloatArray:
    """A square's picture (size, size, 3) at the pixels of the box, (h, w, 3) float32."""
    size = (box[2] - box[0], box[3] - box[1])
    inverse = affine.moved(square.matrix(len(image)), box[:2])  # to the square, which is what cv2 asks for
    how = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    made = cv2.warpAffine(image, inverse, size, flags=how, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(made, np.float32)


def _weight(square: crop.Square, box: Box, shape: tuple[int, ...]) -> FloatArray:
    """1 within, falling to 0 at those edges of the box beyond which the picture goes on."""
    left, top, right, bottom = box
    soft = FEATHER * square.side

    def ramp(count: int, before: bool, after: bool) -> FloatArray:
        at = np.arange(count, dtype=np.float32) + 0.5
        first = np.clip(at / soft, 0, 1) if before else np.ones(count, np.float32)
        last = np.clip((count - at) / soft, 0, 1) if after else np.ones(count, np.float32)
        return np.asarray(first * last, np.float32)

    across = ramp(right - left, left > 1, right < shape[1] - 1)
    down = ramp(bottom - top, top > 1, bottom < shape[0] - 1)
    return np.asarray(down[:, None] * across[None], np.float32)
