"""The values that the stages share: frozen, shape-checked, numpy only.

Pictures are RGB uint8 arrays (H, W, 3). Picture coordinates are pixels, x to the right, y down, z away
from the viewer in the same unit. The canonical head frame has the same axes, its origin midway between
the outer eye corners of the neutral face, and the inter-ocular distance (between those corners) as unit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]
Image = npt.NDArray[np.uint8]

LANDMARKS = 478  # MediaPipe Face Mesh with irises

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


@dataclass(frozen=True, eq=False)
class Frame:
    """One picture of a video: image (H, W, 3) uint8 RGB, time in seconds from the first frame."""

    image: Image
    time: float

    def __post_init__(self) -> None:
        _check("image", self.image, (None, None, 3))


@dataclass(frozen=True, eq=False)
class Face:
    """One tracked face: landmarks (478, 3) float32 in pixels, score in 0..1."""

    landmarks: FloatArray
    score: float = 1.0

    def __post_init__(self) -> None:
        _check("landmarks", self.landmarks, (LANDMARKS, 3))


@dataclass(frozen=True, eq=False)
class Portrait:
    """A picture and the face in it that is to live.

    image: (H, W, 3) uint8 RGB, upright. sha256: of the source file's bytes ("" if made in memory).
    person: (H, W) float32 in 0..1, how surely a pixel belongs to a person, or None.
    others: further photos of the same person, which show what this one hides.
    fitted: weights that an engine was fitted with to this person, by name, or None.
    """

    image: Image
    face: Face
    name: str = "portrait"
    sha256: str = ""
    person: FloatArray | None = None
    others: tuple[Portrait, ...] = ()
    fitted: Mapping[str, npt.NDArray[Any]] | None = None

    def __post_init__(self) -> None:
        _check("image", self.image, (None, None, 3))
        if self.person is not None:
            _check("person", self.person, self.image.shape[:2])


@dataclass(frozen=True, eq=False)
class Motion:
    """What a face does over time, apart from whose face it is. T frames.

    times: (T,) float64, seconds, increasing.
    rotation: (T, 3, 3), canonical head frame to picture axes.
    translation: (T, 2), where the canonical origin lies in the picture, in units of `unit` pixels.
    scale: (T,), inter-ocular distance in units of `unit` pixels (1 where the head is as near as usual).
    expression: (T, 52) ARKit coefficients (`ARKIT_NAMES`), 0..1.
    residual: (T, 478, 3) float16 or None, what the coefficients do not tell of the landmarks' offsets
        from `neutral`, canonical frame, inter-ocular units.
    gaze: (T, 2), -1..1, x to the viewer's right, y up; 0 looks ahead of the head.
    confidence: (T,), 0..1; 0 where no face was found and the frame was bridged.
    neutral: (478, 3), the mover's own face at rest in the canonical frame, or None (no tracked face).
    unit: pixels an inter-ocular distance, in the picture that was tracked.
    frame_size: (width, height) in pixels of the picture that was tracked; (0, 0) if none was.
    reference: index of the most neutral frame.
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

    def __len__(self) -> int:
        return len(self.times)

    @property
    def bridged(self) -> int:
        """How many frames had no face and were filled in from their neighbours."""
        return int((self.confidence <= 0).sum())

    def with_(self, **changes: Any) -> Motion:
        """A copy with some fields changed."""
        return replace(self, **changes)


@dataclass(frozen=True, eq=False)
class Mouth:
    """A mouth to borrow: image (H, W, 3) uint8 RGB of a driver, landmarks (478, 3) in its pixels.

    rest: the same driver at rest, against which creases are seen, or None.
    """

    image: Image
    landmarks: FloatArray
    rest: Mouth | None = None


@dataclass(frozen=True, eq=False)
class Shot:
    """One moment of a motion, laid on one portrait: what an engine renders as one frame.

    landmarks: (478, 3) float32, where the portrait's points shall lie, in pixels of its picture.
    turn (3, 3), grow, shift (3,): how whatever moves rigidly with the head moves; a point p of the portrait,
        pixels with depth, goes to grow * p @ turn.T + shift.
    expression: (52,) ARKit coefficients of the moment, 0..1. mouth: the driver's, where there is one.
    creases: how strongly its creases show, 0 to 2.
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
    """A rendered part of a picture: image (h, w, 3) uint8 RGB, its top left corner (x, y) in pixels, time.

    weight: (h, w) float32 in 0..1, where the patch differs from the still picture; for blending several.
    """

    image: Image
    corner: tuple[int, int]
    time: float
    weight: FloatArray
