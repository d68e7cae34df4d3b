"""The neural refiner at use: repairs mouth and eyes of each warped frame, and leaves every other pixel alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np

from gioconda.engines import affine
from gioconda.engines.warp import aligned
from gioconda.engines.warp.mesh import load_topology
from gioconda.engines.warp.mouth import Fill
from gioconda.errors import WeightsError
from gioconda.graphs import open_graph, run_graph
from gioconda.types import FloatArray, Image, Portrait
from gioconda.weights import asset_path

NETWORK = "refiner.onnx"
THREADS = 1  # the other core is busy with the frames before and after
SMALLEST_UNIT = 16.0  # pixels an inter-ocular distance; a face below shows nothing to repair
GREY = 4.0  # grey levels between a picture's channels, on average, below which it has no colour to keep
SHIMMER = (
    10.0  # grey levels: where a repair may be, a difference from the last frame that is let through whole
)
LEAST = 0.3  # share that is let through of the smallest difference
STILL, MOVED = 0.1, 0.5  # pixels of the crop: at rest the photo itself shows, a face that moved is repaired
SWITCH = 0.8  # another photo must be this much nearer before the reference changes, else it would flicker


@dataclass(frozen=True)
class Reference:
    """A photo of the person as the network sees it: crop (H, W, 3) uint8, shape (N, 2) of lips and lids."""

    crop: Image
    shape: FloatArray


def build_references(portrait: Portrait) -> tuple[Reference, ...]:
    """The portrait and the person's further photos, these in the portrait's light."""
    own = _reference(portrait)
    return (own, *(_in_light_of(own, _reference(other)) for other in portrait.others))


def _reference(portrait: Portrait) -> Reference:
    matrix = aligned.alignment(portrait.face.landmarks)
    crop = aligned.cut(portrait.image, matrix)
    return Reference(crop, _shape(affine.apply(matrix, portrait.face.landmarks)))


def _shape(points: FloatArray) -> FloatArray:
    topology = load_topology()
    rings = (topology.inner_lips, topology.outer_lips, topology.right_eye, topology.left_eye)
    return points[np.concatenate(rings)]


def _in_light_of(first: Reference, other: Reference) -> Reference:
    """Mean and spread of each colour as in the first: photos of one person come from many lamps."""
    a, b = (r.crop.reshape(-1, 3).astype(np.float32) for r in (first, other))
    gain = np.clip(a.std(0) / np.maximum(b.std(0), 1), 0.5, 2)
    lit = (b - b.mean(0)) * gain + a.mean(0)
    return Reference(np.clip(lit, 0, 255).astype(np.uint8).reshape(other.crop.shape), other.shape)


class Network:
    """The packaged network in onnxruntime; may be run from several threads."""

    def __init__(self, file: Path, threads: int) -> None:
        self._file = file
        try:
            self._session = open_graph(file, threads)
        except ValueError as error:
            cure = "reinstall gioconda" if file == asset_path(NETWORK) else "export it again"
            raise WeightsError(f"{file} cannot be loaded ({str(error)[:120]}); {cure}") from None
        self._input: str = self._session.get_inputs()[0].name

    def __call__(self, planes: FloatArray) -> FloatArray:
        """(1, CHANNELS, H, W) -> refined picture (3, H, W), -1..1; WeightsError of a network for other pictures."""
        try:
            made = run_graph(self._session, {self._input: planes})
            if made.shape != (1, 3, *planes.shape[2:]) or made.dtype != np.float32:
                raise ValueError(f"it gives {made.dtype} {made.shape}")
        except ValueError as error:
            raise WeightsError(f"{self._file} is no refiner ({str(error)[:120]}); export it again") from None
        return np.asarray(np.nan_to_num(made[0]))


@lru_cache(maxsize=4)
def load_network(file: Path | None = None) -> Network:
    """The packaged refiner, or another one of the same kind."""
    return Network(file or asset_path(NETWORK), THREADS)


@dataclass
class Repair:
    """One running job's refiner: the network, the person's photos, and what the last frame looked like."""

    network: Network
    references: Sequence[Reference]
    _last: FloatArray | None = field(default=None, init=False)
    _shown: Image | None = field(default=None, init=False)
    _chosen: int = field(default=0, init=False)
    _is_grey: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        colours = self.references[0].crop.astype(np.float32)
        self._is_grey = float(np.ptp(colours, axis=2).mean()) < GREY

    def apply(
        self,
        image: Image,
        maps: tuple[FloatArray, FloatArray],
        fill: Fill | None,
        landmarks: FloatArray,
        corner: tuple[int, int],
    ) -> None:
        """Repair a warped stage (h, w, 3) in place.

        maps: the portrait's x and y of each of its pixels. landmarks: (478, 3), the shot's, in the portrait's
        picture, in which the stage's pixel (0, 0) lies at `corner`.
        """
        matrix = aligned.alignment(landmarks)
        stage = affine.moved(matrix, corner)
        if aligned.UNIT / float(np.hypot(*stage[:, 0])) < SMALLEST_UNIT:
            return
        points = affine.apply(matrix, landmarks)
        told = aligned.geometry(points, aligned.stretch_of(*maps, stage), aligned.fill_of(fill, stage))
        crop = aligned.cut(image, stage)
        planes = aligned.stack(crop, self._reference(points).crop, self._last, told)
        self._last = np.clip(self.network(planes), -1, 1)
        change = np.ascontiguousarray(((self._last - planes[0, aligned.WARPED]) * 127.5).transpose(1, 2, 0))
        if self._is_grey:
            change[:] = change.mean(2, keepdims=True)
        change *= self._share(points)
        self._add(image, change, told.window, stage)

    def _share(self, points: FloatArray) -> float:
        """How much of the repair shows: none while lips and lids are where the photo has them."""
        way = float(np.abs(_shape(points) - self.references[0].shape).mean())
        return float(np.clip((way - STILL) / (MOVED - STILL), 0, 1))

    def _reference(self, points: FloatArray) -> Reference:
        """The photo whose lips and lids are most like the target's, with some persistence."""
        if len(self.references) > 1:
            shape = _shape(points)
            far = [float(np.abs(r.shape - shape).mean()) for r in self.references]
            best = int(np.argmin(far))
            if far[best] < SWITCH * far[self._chosen]:
                self._chosen = best
        return self.references[self._chosen]

    def _add(self, image: Image, change: FloatArray, window: FloatArray, matrix: FloatArray) -> None:
        """Add a crop's change (H, W, 3), in grey levels, to the stage that `matrix` takes to it, in place.

        Within the window (H, W), what hardly differs from the last frame is held back, so that nothing shimmers.
        """
        box = aligned.crop_box(matrix, image.shape)
        if box is None:
            return
        left, top, right, bottom = box
        inner, size = affine.moved(matrix, (left, top)), (right - left, bottom - top)
        how = cv2.INTER_CUBIC if np.hypot(*matrix[:, 0]) < 1 else cv2.INTER_LINEAR
        flags = how | cv2.WARP_INVERSE_MAP
        there = np.asarray(cv2.warpAffine(change, inner, size, flags=flags), np.float32)
        part = image[top:bottom, left:right]
        if self._shown is None or self._shown.shape != image.shape:
            cv2.add(part, there, dst=part, dtype=cv2.CV_8U)
        else:
            there += part
            new = there - self._shown[top:bottom, left:right]
            held = np.abs(new)
            held *= -1 / SHIMMER
            held += 1
            np.clip(held, 0, 1 - LEAST, out=held)
            held *= np.clip(cv2.warpAffine(window, inner, size, flags=flags), 0, 1)[..., None]
            held *= new
            cv2.subtract(there, held, dst=part, dtype=cv2.CV_8U)
        self._shown = image.copy()
