"""Values that all stages share: frozen, with checked shapes, in numpy arrays alone.

Pictures are RGB uint8 arrays (H, W, 3). Picture coordinates are pixels, x to the right, y down, z away
from the viewer in the same unit. The canonical head frame has the same axes. Its origin is midway between
the outer eye corners of the neutral face, and its unit is their distance, the inter-ocular distance.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy as np
import numpy.typing as npt

from gioconda.errors import InputError

FloatArray = npt.NDArray[np.float32]
Image = npt.NDArray[np.uint8]
Curve = npt.NDArray[np.float64]

RGB, RGBA = 3, 4
"""Channels of a picture without and with alpha."""
OPAQUE = 255
"""Alpha of a pixel that hides what it lies over."""

# Points of the face mesh, irises included.
LANDMARKS = 478

ARKIT_NAMES: tuple[str, ...] = (
    "eyeBlinkLeft", "eyeLookDownLeft", "eyeLookInLeft", "eyeLookOutLeft", "eyeLookUpLeft",
    "eyeSquintLeft", "eyeWideLeft", "eyeBlinkRight", "eyeLookDownRight", "eyeLookInRight",
    "eyeLookOutRight", "eyeLookUpRight", "eyeSquintRight", "eyeWideRight", "jawForward",
    "jawLeft", "jawRight", "jawOpen", "mouthClose", "mouthFunnel", "mouthPucker", "mouthLeft",
    "mouthRight", "mouthSmileLeft", "mouthSmileRight", "mouthFrownLeft", "mouthFrownRight",
    "mouthDimpleLeft", "mouthDimpleRight", "mouthStretchLeft", "mouthStretchRight",
    "mouthRollLower", "mouthRollUpper", "mouthShrugLower", "mouthShrugUpper", "mouthPressLeft",
    "mouthPressRight", "mouthLowerDownLeft", "mouthLowerDownRight", "mouthUpperUpLeft",
    "mouthUpperUpRight", "browDownLeft", "browDownRight", "browInnerUp", "browOuterUpLeft",
    "browOuterUpRight", "cheekPuff", "cheekSquintLeft", "cheekSquintRight", "noseSneerLeft",
    "noseSneerRight", "tongueOut",
)  # fmt: skip
ARKIT_INDEX: dict[str, int] = {name: i for i, name in enumerate(ARKIT_NAMES)}


def _check(name: str, value: Any, shape: tuple[int | None, ...]) -> None:
    """Raise ValueError unless `value` is a finite array of `shape` (None: any length)."""
    got = np.shape(value)
    if len(got) != len(shape) or any(s is not None and s != g for s, g in zip(shape, got, strict=True)):
        raise ValueError(f"{name} has shape {got}, expected {shape}")
    if np.issubdtype(value.dtype, np.floating) and not np.isfinite(value).all():
        raise ValueError(f"{name} holds values that are not finite")


@dataclass(frozen=True)
class Word:
    """A word of a spoken text.

    Attributes:
        text: As it was written.
        start: When it begins, in seconds.
        end: When it ends, in seconds.
    """

    text: str
    start: float
    end: float


@dataclass(frozen=True, eq=False)
class Frame:
    """One picture of a video.

    Attributes:
        image: (H, W, 3) uint8 RGB, over white where the video is transparent; (H, W, 4) RGBA in a transparent result.
        time: Seconds from the first frame.
        alpha: (H, W) uint8, 255 where a video that was read is opaque; None if its format has no transparency.
    """

    image: Image
    time: float
    alpha: Image | None = None

    def __post_init__(self) -> None:
        _check(
            "image", self.image, (None, None, 4 if self.image.ndim == 3 and self.image.shape[2] == 4 else 3)
        )


@dataclass(frozen=True, eq=False)
class Face:
    """One tracked face.

    Attributes:
        landmarks: (478, 3) float32, pixels.
        score: Confidence that it is a face, 0 to 1.
    """

    landmarks: FloatArray
    score: float = 1.0

    def __post_init__(self) -> None:
        _check("landmarks", self.landmarks, (LANDMARKS, 3))


@dataclass(frozen=True, eq=False)
class Portrait:
    """A picture and the face in it to animate.

    Attributes:
        image: (H, W, 3) uint8 RGB, upright.
        face: The face, in pixels of the image.
        name: For messages, such as the file's name.
        sha256: Of the source file, in hex; "" without a file.
        person: (H, W) float32, 0 to 1: probability that a pixel belongs to the person; or None.
        others: Further photos of the same person, which show what this one hides.
        fitted: Weights of an engine that are fitted to this person, by name; or None.
        filmed: Whether it is a frame of a video, so that its background may move.
        same_view: Whether a further photo shows the portrait's room through the same camera, so that both pictures have
            one size and what stands still lies at the same pixels.
        cutout: (H, W, 4) uint8 RGBA: the picture's own colours and alpha, to move what is opaque over another
            background; or None.
    """

    image: Image
    face: Face
    name: str = "portrait"
    sha256: str = ""
    person: FloatArray | None = None
    others: tuple[Portrait, ...] = ()
    fitted: Mapping[str, npt.NDArray[Any]] | None = None
    filmed: bool = False
    same_view: bool = False
    cutout: Image | None = None

    def __post_init__(self) -> None:
        _check("image", self.image, (None, None, 3))
        if self.person is not None:
            _check("person", self.person, self.image.shape[:2])

    @property
    def stands_apart(self) -> bool:
        """Whether the person is segmented, and the background should stand still."""
        return self.person is not None and not self.filmed


@dataclass(frozen=True)
class Manner:
    """How a speaker moves beside speaking.

    Attributes:
        seed: The same seed gives the same movements.
        blink_rate: Blinks a minute outside pauses, 0 to 60.
    """

    seed: int = 0
    blink_rate: float = 16.2


USUAL_MANNER = Manner()


@dataclass(frozen=True)
class DrivingPart:
    """The part of a driving video that is used; all of the largest face by default.

    Attributes:
        driver_face: The face to follow, 0 for the largest.
        start: Seconds from the first frame at which the part begins.
        end: Seconds at which it ends, after `start`; None for the end of the video.

    Raises:
        InputError: The part ends before it begins.
    """

    driver_face: int = 0
    start: float = 0.0
    end: float | None = None

    def __post_init__(self) -> None:
        if self.end is not None and self.end <= self.start:
            raise InputError(f"the part of the driver must end after it begins; end is {self.end:g} s")

    @property
    def misplaced(self) -> str:
        """What is said of the first option that only a video has, where the motion is none; "" without one."""
        if self.driver_face:
            return "leave out --driver-face, which chooses a face of a video"
        return "leave out --start and --end, which trim a video" if self != WHOLE_DRIVER else ""


WHOLE_DRIVER = DrivingPart()


@dataclass(frozen=True, eq=False)
class Take:
    """A part of a motion between two cuts of its video, in which driver and framing stay the same.

    Attributes:
        start: Index of its first frame.
        reference: Index of the most neutral frame of its driver. Takes of one driver have the same.
        neutral: (478, 3) float32, the driver's neutral face in the canonical frame; None if no face was tracked.
        unit: Pixels per unit of `translation` and `scale` in this take.
        shift: Pixels (x, y) that are added to `translation * unit`. If another framing shows the same driver, unit and
            shift carry the difference, so that `translation` and `scale` go on as in the driver's first take.
    """

    start: int
    reference: int
    neutral: FloatArray | None
    unit: float
    shift: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True, eq=False)
class Motion:
    """Movements of a face over T frames, independent of whose face it is. Arrays are float32 unless stated otherwise.

    Attributes:
        times: (T,) float64, seconds, increasing.
        rotation: (T, 3, 3), canonical head frame to picture axes.
        translation: (T, 2), position of the canonical origin in the picture, in units of `unit` pixels.
        scale: (T,), inter-ocular distance in units of `unit` pixels; 1 at the usual distance from the camera.
        expression: (T, 52), ARKit's coefficients (`ARKIT_NAMES`), 0 to 1.
        gaze: (T, 2), -1 to 1, x to the viewer's right, y up; 0 is straight ahead of the head.
        confidence: (T,), 0 to 1; 0 where no face was found and the frame was bridged.
        residual: (T, 478, 3) float16 or None: the part of the landmarks' offsets from `neutral` that the coefficients
            do not explain, canonical frame, inter-ocular units.
        neutral: (478, 3), the driver's neutral face in the canonical frame; None if no face was tracked.
        unit: Pixels per inter-ocular distance, in the tracked picture.
        frame_size: (width, height) of the tracked picture in pixels; (0, 0) without one.
        reference: Index of the most neutral frame.
        name: For messages, such as the file's name.
        notes: Sentences for the user about how it was read.
        takes: The takes after the first cut; `neutral`, `unit` and `reference` are those of the first take.
    """

    times: npt.NDArray[np.float64]
    rotation: FloatArray
    translation: FloatArray
    scale: FloatArray
    expression: FloatArray
    gaze: FloatArray
    confidence: FloatArray
    residual: npt.NDArray[np.float16] | None = None
    neutral: FloatArray | None = None
    unit: float = 100.0
    frame_size: tuple[int, int] = (0, 0)
    reference: int = 0
    name: str = field(default="motion", compare=False)
    notes: tuple[str, ...] = field(default=(), compare=False)
    takes: tuple[Take, ...] = ()

    def __post_init__(self) -> None:
        n = len(self.times)
        if n == 0:
            raise ValueError("a motion needs at least one frame")
        _check("times", self.times, (n,))
        if (np.diff(self.times) <= 0).any():
            raise ValueError("times must increase")
        _check("rotation", self.rotation, (n, 3, 3))
        _check("translation", self.translation, (n, 2))
        _check("scale", self.scale, (n,))
        _check("expression", self.expression, (n, len(ARKIT_NAMES)))
        _check("gaze", self.gaze, (n, 2))
        _check("confidence", self.confidence, (n,))
        if self.residual is not None:
            _check("residual", self.residual, (n, LANDMARKS, 3))
        if self.neutral is not None:
            _check("neutral", self.neutral, (LANDMARKS, 3))
        if not 0 <= self.reference < n:
            raise ValueError(f"reference {self.reference} is not one of the {n} frames")
        starts = [0, *(take.start for take in self.takes), n]
        if any(after <= before for before, after in pairwise(starts)):
            raise ValueError("takes must start one after the other, within the motion")
        if not all(0 <= take.reference < n for take in self.takes):
            raise ValueError(f"the reference of a take is not one of the {n} frames")

    def __len__(self) -> int:
        return len(self.times)

    @property
    def bridged(self) -> int:
        """Number of frames without a face, which are interpolated from their neighbours."""
        return int((self.confidence <= 0).sum())

    @property
    def all_takes(self) -> tuple[Take, ...]:
        """The first take and `takes`."""
        return (Take(0, self.reference, self.neutral, self.unit), *self.takes)

    def take_at(self, index: int) -> Take:
        """The take of frame `index`."""
        takes = self.all_takes
        return takes[bisect_right(takes, index, key=lambda take: take.start) - 1]

    def frames_in(self, take: Take) -> range:
        """Indices of the frames of a take."""
        later = (other.start for other in self.takes if other.start > take.start)
        return range(take.start, next(later, len(self)))

    def frames_of(self, take: Take) -> npt.NDArray[np.intp]:
        """Indices of all frames of a take's driver, (n,): those of the takes with the same reference."""
        same = [self.frames_in(other) for other in self.all_takes if other.reference == take.reference]
        return np.concatenate([np.asarray(frames, np.intp) for frames in same])

    def with_(self, **changes: Any) -> Motion:
        """A copy with some fields changed."""
        return replace(self, **changes)


@dataclass(frozen=True, eq=False)
class Mouth:
    """A frame of a driver, from which an engine takes the texture of the mouth.

    Attributes:
        image: (H, W, 3) uint8 RGB.
        landmarks: (478, 3) float32, pixels of the image.
        rest: The same driver at rest, for comparison of the wrinkles; or None.
    """

    image: Image
    landmarks: FloatArray
    rest: Mouth | None = None


@dataclass(frozen=True, eq=False)
class TargetPose:
    """One moment of a motion, retargeted to one portrait, which an engine renders as one frame.

    What moves rigidly with the head moves by `turn`, `grow` and `shift`: a point p of the portrait, in pixels with
    depth, moves to grow * p @ turn.T + shift.

    Attributes:
        time: Seconds.
        landmarks: (478, 3) float32, target positions of the portrait's landmarks, in pixels of its picture.
        turn: (3, 3) float32, rotation.
        grow: Scale.
        shift: (3,) float32, translation in pixels.
        expression: (52,) float32 ARKit coefficients, 0 to 1.
        mouth: The driver's mouth, or None.
        creases: Strength of the driver's wrinkles, 0 to 2.
    """

    time: float
    landmarks: FloatArray
    turn: FloatArray
    grow: float
    shift: FloatArray
    expression: FloatArray
    mouth: Mouth | None = None
    creases: float = 1.0


@dataclass(frozen=True, eq=False)
class Patch:
    """A rendered part of a picture.

    Attributes:
        image: (h, w, 3) uint8 RGB.
        corner: Top left corner (x, y) in the picture, pixels.
        time: Seconds.
        weight: (h, w) float32, 0 to 1: where the patch differs from the still picture; blends several patches.
        alpha: (h, w) uint8, 255 where the patch is opaque; None if all of it is.
    """

    image: Image
    corner: tuple[int, int]
    time: float
    weight: FloatArray
    alpha: Image | None = None


PathLike: TypeAlias = str | Path
"""The path of a file."""

Progress: TypeAlias = Callable[[str, int, int], None]
"""Called with the name of a stage, the steps done and the steps in all; an exception that it raises ends the work."""


@runtime_checkable
class Watcher(Protocol):
    """A `Progress` that also receives the finished frames."""

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Receive progress, as every `Progress`."""

    def preview(self, image: Image) -> None:
        """Receive a marked frame (H, W, 3) uint8 RGB, which must not be changed."""
