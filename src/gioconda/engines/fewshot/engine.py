"""The few-shot engine: a generator draws the portrait's head from landmarks, which is blended into the picture."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from dataclasses import dataclass

import cv2
import numpy as np

from gioconda.engines import Ahead, affine
from gioconda.engines.affine import Box
from gioconda.engines.fewshot import crop
from gioconda.engines.fewshot.network import REFIT, Graph, Networks
from gioconda.errors import WeightsError
from gioconda.runtime.onnx import Tensors
from gioconda.types import FloatArray, Image, Patch, Portrait, TargetPose

# The name of the AdaIN parameters among a person's fitted weights; all others belong to the generator.
PSI = "psi"
# Share of the square's side over which the drawn head fades into the picture.
FEATHER = 0.08


@dataclass(frozen=True)
class FewshotIdentity:
    """What the few-shot engine keeps of a person.

    Attributes:
        generator: The generator, fitted to the person or not.
        psi: (1, style) float32, AdaIN parameters.
        picture: (H, W, 3) uint8 RGB, the portrait's picture.
        square: The square around the head.
        box: The part of the square inside the picture, in whole pixels.
        weight: (h, w) float32, 0 to 1, how much of the drawn head shows in the box.
    """

    generator: Graph
    psi: FloatArray
    picture: Image
    square: crop.Square
    box: Box
    weight: FloatArray


class FewshotEngine:
    """Few-shot adversarial talking heads: an embedder, then a generator with AdaIN. Holds networks and no person."""

    name = "fewshot"

    def __init__(self, networks: Networks, named: tuple[tuple[str, str], ...] = ()) -> None:
        """Open the engine; named: file name and SHA-256 of each network's file, for the manifest."""
        self._networks = networks
        self.networks = named

    def prepare(self, portrait: Portrait) -> FewshotIdentity:
        """Embed the person's photos, or use the weights that are fitted to the person.

        Raises:
            WeightsError: The weights were fitted for other networks.
        """
        if portrait.fitted is None:
            generator, psi = self._networks.generator, self._embedded(portrait)
        else:
            generator, psi = self._fitted(portrait.name, portrait.fitted)
        square = crop.head_square(portrait.face.landmarks)
        box = _inside(square, portrait.image.shape)
        weight = _weight(square, box, portrait.image.shape)
        return FewshotIdentity(generator, psi, portrait.image, square, box, weight)

    def _fitted(self, name: str, weights: Tensors) -> tuple[Graph, FloatArray]:
        """The generator with a person's own weights, and psi (1, style)."""
        psi = np.asarray(weights.get(PSI, ()), np.float32)[None]
        if psi.shape != (1, self._networks.style):
            raise WeightsError(f"{name} is fitted to other networks; {REFIT}")
        return self._networks.fitted({k: v for k, v in weights.items() if k != PSI}), psi

    def _embedded(self, portrait: Portrait) -> FloatArray:
        """The mean psi (1, style) of all photos. The projection is linear, so that the mean may follow it."""
        size, embedded = self._networks.size, []
        for photo in (portrait, *portrait.others):
            square = crop.head_square(photo.face.landmarks)
            drawn = crop.draw(crop.to_square(photo.face.landmarks, square, size), size)
            image = crop.cut_square(photo.image, square, size)
            embedded.append(self._networks.embed(crop.planes(image), crop.planes(drawn)))
        return np.asarray(np.mean(embedded, 0), np.float32)

    def render(
        self, identity: FewshotIdentity, target_poses: Iterable[TargetPose], *, ahead: Ahead = False
    ) -> Generator[Patch, None, None]:
        """Render the portrait in each target pose.

        Args:
            identity: What `prepare` returned.
            target_poses: The moments to render.
            ahead: Ignored: the engine draws each target pose when its patch is asked for.

        Yields:
            One patch of the portrait's picture for each target pose, in order.
        """
        left, top, right, bottom = identity.box
        still = identity.picture[top:bottom, left:right].astype(np.float32)
        for target_pose in target_poses:
            head = placed(self.drawn(identity, target_pose.landmarks), identity.square, identity.box)
            mixed = still + (head - still) * identity.weight[..., None]
            yield Patch(np.rint(mixed).astype(np.uint8), (left, top), target_pose.time, identity.weight)

    def drawn(self, identity: FewshotIdentity, landmarks: FloatArray) -> Image:
        """Draw the head's square, (size, size, 3) uint8, from landmarks (478, 3) in pixels of the portrait."""
        size = self._networks.size
        points = crop.to_square(landmarks, identity.square, size)
        plane = crop.planes(crop.draw(points, size))
        return crop.picture(identity.generator(landmarks=plane[None], psi=identity.psi)[0])


def _inside(square: crop.Square, shape: tuple[int, ...]) -> Box:
    """The whole pixels of the square inside a picture of `shape` (H, W, ...)."""
    right, bottom = (int(np.floor(edge + square.side)) for edge in (square.left, square.top))
    left, top = (max(int(np.ceil(edge)), 0) for edge in (square.left, square.top))
    return left, top, max(min(right, shape[1]), left + 1), max(min(bottom, shape[0]), top + 1)


def placed(image: Image, square: crop.Square, box: Box) -> FloatArray:
    """Resample a square's picture (size, size, 3) at the pixels of the box, (h, w, 3) float32."""
    size = (box[2] - box[0], box[3] - box[1])
    # from the box to the square: cv2 expects the inverse map
    inverse = affine.moved(square.matrix(len(image)), box[:2])
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    head = cv2.warpAffine(image, inverse, size, flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(head, np.float32)


def _weight(square: crop.Square, box: Box, shape: tuple[int, ...]) -> FloatArray:
    """1 inside the box, falling to 0 at those of its edges beyond which the picture goes on: (h, w) float32."""
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
