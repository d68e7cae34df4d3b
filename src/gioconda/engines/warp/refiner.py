"""The neural refiner at inference: it repairs mouth and eyes of each warped frame and leaves other pixels alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TypeAlias

import cv2
import numpy as np

from gioconda.assets import asset_path
from gioconda.engines import affine
from gioconda.engines.warp import aligned
from gioconda.engines.warp.mesh import load_topology
from gioconda.engines.warp.mouth import Fill
from gioconda.engines.warp.teeth import LIPS
from gioconda.engines.warp.tones import LUMA, Tones
from gioconda.errors import WeightsError
from gioconda.runtime.onnx import open_graph, run_graph
from gioconda.types import FloatArray, Image, Portrait

# The packaged network's file.
NETWORK = "refiner.onnx"
# Threads of the network: the other core warps the frames before and after.
THREADS = 1
# Networks that stay loaded.
CACHED_NETWORKS = 4
# Characters of another library's error that a message quotes.
QUOTED = 120

# Pixels an inter-ocular distance; a smaller face shows nothing to repair.
SMALLEST_UNIT = 16.0
# Mean difference between a picture's channels, in grey levels, below which it is grey.
GREY = 4.0
# Grey levels of change since the last frame that show in full where a repair may be; smaller ones are reduced.
SHIMMER = 10.0
# Share of the smallest change that still shows.
LEAST = 0.3
# Pixels of the crop by which lips and lids move: up to the first the photo itself shows, from the second the repair.
STILL, MOVED = 0.1, 0.5
# Mean light of a face, in grey levels, below which the network sees it brighter than it is, and the largest gain. The
# network has learnt from people by day, and would paint bright eyes and teeth in the dark.
DAYLIGHT, BRIGHTEN_MOST = 70.0, 6.0
# Share of the face's light by which the light of painted teeth may change, and of a driver's in a wide open mouth.
MODEL_MOST = 0.18
# Gap between the lips, in inter-ocular units, from which a mouth begins to be wide open, and at which it is. Talking
# people open it by less.
WIDE = (0.18, 0.32)
# Share of the face's light by which the skin beside the lids may become brighter.
LIDS_MOST = 0.08
# Distance of another photo, relative to the present reference's, below which it replaces it: more would flicker.
SWITCH = 0.8
# Bounds of the gain that matches the contrast of another photo to the portrait's.
CONTRAST_LEAST, CONTRAST_MOST = 0.5, 2
# Grey levels for one unit of the network's output, which is in -1 to 1.
OUTPUT_LEVELS = 127.5


Bases: TypeAlias = tuple[tuple[int, float], ...]
"""The photos that a frame is drawn from: the index of each photo's reference, and its share of the frame, 0 to 1."""
ONLY_PORTRAIT: Bases = ((0, 1.0),)


@dataclass(frozen=True)
class Reference:
    """A photo of the person as the network sees it.

    Attributes:
        crop: (HEIGHT, WIDTH, 3) uint8 RGB.
        shape: (N, 2) float32, the contours of lips and lids in pixels of the crop.
    """

    crop: Image
    shape: FloatArray


def build_references(portrait: Portrait) -> tuple[Reference, ...]:
    """Crop the portrait and the person's further photos, which get the portrait's light; the portrait is first."""
    own = _crop_reference(portrait)
    return (own, *(_match_light(own, _crop_reference(other)) for other in portrait.others))


def _crop_reference(portrait: Portrait) -> Reference:
    """The aligned crop of a photo."""
    matrix = aligned.alignment(portrait.face.landmarks)
    crop = aligned.cut(portrait.image, matrix)
    return Reference(crop, _shape(affine.apply(matrix, portrait.face.landmarks)))


def _shape(points: FloatArray) -> FloatArray:
    """The contours of lips and lids, (N, 2), of landmarks (478, 2) in pixels of the crop."""
    topology = load_topology()
    rings = (topology.inner_lips, topology.outer_lips, topology.right_eye, topology.left_eye)
    return points[np.concatenate(rings)]


def _match_light(portrait: Reference, other: Reference) -> Reference:
    """The other photo with the portrait's mean and spread of each channel: photos come from different lamps."""
    target, colours = (photo.crop.reshape(-1, 3).astype(np.float32) for photo in (portrait, other))
    gain = np.clip(target.std(0) / np.maximum(colours.std(0), 1), CONTRAST_LEAST, CONTRAST_MOST)
    matched = (colours - colours.mean(0)) * gain + target.mean(0)
    return Reference(np.clip(matched, 0, 255).astype(np.uint8).reshape(other.crop.shape), other.shape)


def _wide_open(points: FloatArray) -> float:
    """0 for a mouth that is open as usual to 1 for a wide open one; points: (478, 2), in pixels of the crop."""
    upper, lower = LIPS
    gap = float(np.linalg.norm(points[lower] - points[upper])) / aligned.UNIT
    return float(np.clip((gap - WIDE[0]) / (WIDE[1] - WIDE[0]), 0, 1))


def _limit_in_fill(change: FloatArray, share: FloatArray, most: float) -> FloatArray:
    """Limit a crop's change (H, W, 3) where something fills the mouth; share: (H, W), 0 to 1, how much it is limited.

    Teeth may become lighter or darker by up to `most` grey levels. Without the limit they vanish or turn black where a
    mouth is wider open than those that the network has learnt.
    """
    light = change @ LUMA
    correction = (most * np.tanh(light / most) - light) * share
    return np.asarray(change + correction[..., None], np.float32)


def _limit_in_shadow(change: FloatArray, cover: FloatArray, lip_light: float) -> FloatArray:
    """Limit how a crop's change (H, W, 3) lights a mouth in a shadow.

    The network has learnt mouths by day, and would make a second lip of a shaded tongue. cover: (H, W), 0 to 1, of the
    filled mouth. lip_light: share of the light between the lips.
    """
    light = np.maximum(change @ LUMA, 0)
    return np.asarray(change - ((1 - lip_light) * light * cover)[..., None], np.float32)


def _limit_beside_lids(change: FloatArray, points: FloatArray, most: float) -> None:
    """Limit how much a crop's change (H, W, 3) brightens the skin between lids and brows, in place.

    The network has learnt photos, and would clear the painted shadow below a brow that rises.

    Args:
        change: In grey levels.
        points: (478, 2), the target's landmarks in pixels of the crop.
        most: Grey levels by which the skin may become brighter.
    """
    eyes = change[: aligned.EYE_ROWS]
    beside = 1 - aligned.lids(points)[: aligned.EYE_ROWS, :, None]
    eyes -= beside * np.maximum(eyes - most * np.tanh(eyes / most), 0)


def _enlarged(change: FloatArray, matrix: FloatArray, size: tuple[int, int]) -> FloatArray:
    """Bring a crop's change (H, W, 3) to the pixels of the stage.

    Args:
        change: In grey levels.
        matrix: (2, 3), from the pixels of the stage's part to the crop's.
        size: Width and height of the part.

    Returns:
        (h, w, 3) float32, in grey levels.
    """
    scale = 1 / float(np.hypot(*matrix[:, 0]))
    if scale > 1:
        # Enlarging by rows and columns, then turning, takes half the time of turning with cubic interpolation.
        height, width = change.shape[:2]
        enlarged = (round(scale * width), round(scale * height))
        change = np.asarray(cv2.resize(change, enlarged, interpolation=cv2.INTER_CUBIC), np.float32)
        ratio = np.array([[enlarged[0] / width], [enlarged[1] / height]], np.float32)
        # The middles of pixels keep their places.
        matrix = matrix * ratio
        matrix[:, 2:] += ratio / 2 - 0.5
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(change, matrix, size, flags=flags), np.float32)


class Network:
    """A refiner in onnxruntime; several threads may call it at once."""

    def __init__(self, file: Path, threads: int) -> None:
        """Load a network.

        Args:
            file: Its ONNX file.
            threads: Threads of one call.

        Raises:
            WeightsError: The file is missing, damaged or of another kind.
        """
        self._file = file
        try:
            self._session = open_graph(file, threads)
        except ValueError as error:
            cure = "reinstall gioconda" if file == asset_path(NETWORK) else "export it again"
            raise WeightsError(f"{file} cannot be loaded ({str(error)[:QUOTED]}); {cure}") from None
        self._input: str = self._session.get_inputs()[0].name

    def __call__(self, planes: FloatArray) -> FloatArray:
        """Refine a crop.

        Args:
            planes: (1, CHANNELS, H, W) float32, of `aligned.stack`.

        Returns:
            (3, H, W) float32, the refined picture, -1 to 1.

        Raises:
            WeightsError: The network takes other inputs or returns another output.
        """
        try:
            refined = run_graph(self._session, {self._input: planes})
            if refined.shape != (1, 3, *planes.shape[2:]) or refined.dtype != np.float32:
                raise ValueError(f"its output is {refined.dtype} {refined.shape}")
        except ValueError as error:
            raise WeightsError(
                f"{self._file} is not a refiner ({str(error)[:QUOTED]}); export it again"
            ) from None
        return np.asarray(np.nan_to_num(refined[0]))


@lru_cache(maxsize=CACHED_NETWORKS)
def load_network(file: Path | None = None) -> Network:
    """Load a refiner once.

    Args:
        file: Its ONNX file; None for the packaged one.

    Raises:
        WeightsError: The file is missing, damaged or of another kind.
    """
    return Network(file or asset_path(NETWORK), THREADS)


@dataclass(frozen=True, eq=False)
class StageCrop:
    """A warped stage as the refiner sees it. It depends on no other frame.

    Attributes:
        picture: (HEIGHT, WIDTH, 3) uint8 RGB.
        points: (478, 2) float32, the target's landmarks in pixels of the crop.
        geometry: The channels beside the pictures.
        matrix: (2, 3) float32, from the stage's pixels to the crop's.
        held: (HEIGHT, WIDTH) float32, 1 where nothing may change; None lets every pixel change.
    """

    picture: Image
    points: FloatArray
    geometry: aligned.Geometry
    matrix: FloatArray
    held: FloatArray | None


def crop_stage(
    image: Image,
    maps: tuple[FloatArray, FloatArray],
    fill: Fill | None,
    landmarks: FloatArray,
    corner: tuple[int, int],
    hold: Image | None = None,
) -> StageCrop | None:
    """Crop a warped stage for the refiner.

    Args:
        image: (h, w, 3) uint8 RGB, the stage.
        maps: x and y, (h, w) each, of each pixel's source in the portrait.
        fill: The filled part of the mouth, or None.
        landmarks: (478, 3), the target's, in pixels of the portrait.
        corner: Left and top of the stage, in pixels of the portrait.
        hold: (h, w) uint8, 255 where nothing may change; None lets every pixel change.

    Returns:
        The crop; None where the face is too small to repair anything.
    """
    matrix = aligned.alignment(landmarks)
    stage = affine.moved(matrix, corner)
    if aligned.UNIT / float(np.hypot(*stage[:, 0])) < SMALLEST_UNIT:
        return None
    points = affine.apply(matrix, landmarks)
    geometry = aligned.geometry(points, aligned.stretch_of(*maps, stage), aligned.fill_of(fill, stage))
    held: FloatArray | None = None
    if hold is not None:
        cut = affine.cut(hold, stage, (aligned.WIDTH, aligned.HEIGHT))
        held = cut.astype(np.float32) * np.float32(1 / 255)
    return StageCrop(aligned.cut(image, stage), points, geometry, stage, held)


@dataclass
class Repair:
    """The refiner of one running job, which remembers the last frame.

    Attributes:
        network: Refines a crop.
        references: Crops of the person, the portrait first.
        tones: Of the portrait.
    """

    network: Network
    references: Sequence[Reference]
    tones: Tones = field(default_factory=Tones)
    _last: FloatArray | None = field(default=None, init=False)
    _shown: Image | None = field(default=None, init=False)
    _chosen: int = field(default=0, init=False)
    _is_grey: bool = field(default=False, init=False)
    _light_change_most: float = field(default=0.0, init=False)
    _light_beside_lids: float = field(default=0.0, init=False)
    _daylight_gain: float = field(default=1.0, init=False)

    def __post_init__(self) -> None:
        """Measure the portrait's colour and light."""
        colours = self.references[0].crop.astype(np.float32)
        self._is_grey = float(np.ptp(colours, axis=2).mean()) < GREY
        light = float((colours @ LUMA).mean())
        self._light_change_most = max(MODEL_MOST * light, 1.0)
        self._light_beside_lids = max(LIDS_MOST * light, 1.0)
        self._daylight_gain = float(np.clip(DAYLIGHT / max(light, 1.0), 1.0, BRIGHTEN_MOST))

    def repair(self, image: Image, crop: StageCrop, fill: Fill | None, bases: Bases = ONLY_PORTRAIT) -> None:
        """Repair a warped stage, in place; frames must come in their order.

        Args:
            image: (h, w, 3) uint8 RGB, the stage.
            crop: Its crop.
            fill: The filled part of the mouth, or None.
            bases: The photos that the stage is drawn from.
        """
        change = self._refined_change(crop, bases)
        if fill is not None:
            full = aligned.FILL_BORROWED if fill.borrowed else aligned.FILL_MODEL
            share = _wide_open(crop.points) if fill.borrowed else 1.0
            if share > 0:
                change = _limit_in_fill(change, crop.geometry.fill * (share / full), self._light_change_most)
        if fill is not None and fill.lip_light < 1:
            change = _limit_in_shadow(change, crop.geometry.fill / full, fill.lip_light)
        _limit_beside_lids(change, crop.points, self._light_beside_lids)
        if crop.held is not None:
            change *= 1 - crop.held[..., None]
        self._add(image, change, crop.geometry.window, crop.matrix)

    def _refined_change(self, crop: StageCrop, bases: Bases) -> FloatArray:
        """The change (H, W, 3), in grey levels, that the network makes to a crop."""
        reference = self._reference(crop.points).crop
        planes = aligned.stack(
            self._brightened(crop.picture), self._brightened(reference), self._last, crop.geometry
        )
        self._last = np.clip(self.network(planes), -1, 1)
        levels = np.float32(OUTPUT_LEVELS / self._daylight_gain)
        change = np.ascontiguousarray(((self._last - planes[0, aligned.WARPED]) * levels).transpose(1, 2, 0))
        if self._is_grey:
            change[:] = change.mean(2, keepdims=True)
        change *= sum(share * self._visible_share(crop.points, base) for base, share in bases if share)
        return self.tones.limit(change, crop.picture)

    def _brightened(self, crop: Image) -> Image:
        """A crop in the light that the network has learnt."""
        if self._daylight_gain == 1:
            return crop
        return np.asarray(cv2.convertScaleAbs(crop, alpha=self._daylight_gain), np.uint8)

    def _visible_share(self, points: FloatArray, base: int) -> float:
        """How much of the repair shows, 0 to 1: nothing while lips and lids are where the photo `base` has them."""
        distance = float(np.abs(_shape(points) - self.references[base].shape).mean())
        return float(np.clip((distance - STILL) / (MOVED - STILL), 0, 1))

    def _reference(self, points: FloatArray) -> Reference:
        """The photo whose lips and lids are nearest to the target's; it changes only for a clearly nearer one."""
        if len(self.references) > 1:
            shape = _shape(points)
            distances = [float(np.abs(photo.shape - shape).mean()) for photo in self.references]
            nearest = int(np.argmin(distances))
            if distances[nearest] < SWITCH * distances[self._chosen]:
                self._chosen = nearest
        return self.references[self._chosen]

    def _add(self, image: Image, change: FloatArray, window: FloatArray, matrix: FloatArray) -> None:
        """Add a crop's change (H, W, 3), in grey levels, to the stage, in place; matrix: (2, 3), from stage to crop.

        Within the window (H, W), 0 to 1, small differences from the last frame are reduced, so that nothing shimmers.
        """
        box = aligned.crop_box(matrix, image.shape)
        if box is None:
            return
        left, top, right, bottom = box
        inner, size = affine.moved(matrix, (left, top)), (right - left, bottom - top)
        repaired = _enlarged(change, inner, size)
        part = image[top:bottom, left:right]
        if self._shown is None or self._shown.shape != image.shape:
            cv2.add(part, repaired, dst=part, dtype=cv2.CV_8U)
        else:
            cv2.add(repaired, part, dst=repaired, dtype=cv2.CV_32F)
            difference = cv2.subtract(repaired, self._shown[top:bottom, left:right], dtype=cv2.CV_32F)
            reduction = np.abs(difference)
            reduction *= -1 / SHIMMER
            reduction += 1
            # OpenCV bounds the values in half of numpy's time.
            cv2.threshold(reduction, 1 - LEAST, 0, cv2.THRESH_TRUNC, dst=reduction)
            cv2.threshold(reduction, 0, 0, cv2.THRESH_TOZERO, dst=reduction)
            share = cv2.warpAffine(window, inner, size, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
            # Three equal channels multiply several times as fast as one that is repeated for each pixel.
            reduction *= cv2.cvtColor(share, cv2.COLOR_GRAY2RGB)
            reduction *= difference
            cv2.subtract(repaired, reduction, dst=part, dtype=cv2.CV_8U)
        self._shown = image.copy()
