"""The protocol of all renderers. The module `output` adds marks, encodes, writes and signs."""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt

from gioconda.media import SoundTrack
from gioconda.provenance import Ingredient
from gioconda.types import FloatArray, Image, Word


@dataclass
class Clock:
    """A clock that adds up the time of each stage.

    Attributes:
        start: Value of `time.perf_counter` at the start.
        stages: Seconds by stage.
    """

    start: float = field(default_factory=time.perf_counter)
    stages: dict[str, float] = field(default_factory=dict)

    def add(self, stage: str, since: float) -> float:
        """Add the time since `since` (`time.perf_counter`) to a stage, and return the time now."""
        now = time.perf_counter()
        self.stages[stage] = self.stages.get(stage, 0.0) + now - since
        return now


@dataclass(frozen=True, eq=False)
class Rendered:
    """A finished frame, without marks unless it comes from a signed film.

    Attributes:
        image: (H, W, 3) uint8 RGB, or (H, W, 4) RGBA of a transparent renderer.
        faces: Landmarks (N, 2 or 3) of each face in pixels; a visible label keeps clear of them.
        time: Seconds from the first frame.
        marked: Whether it is a frame of a signed film, whose watermark is legible and has the renderer's payload.
    """

    image: Image
    faces: Sequence[FloatArray]
    time: float
    marked: bool = False


class Renderer(Protocol):
    """A loaded and checked job, which renders frames and provides what the manifest records of them."""

    @property
    def engine(self) -> str:
        """The engine's name."""

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of the pictures in pixels."""

    @property
    def times(self) -> npt.NDArray[np.float64]:
        """Times of the frames, (T,) float64, seconds, increasing."""

    @property
    def sound(self) -> SoundTrack | None:
        """The sound that the video gets, or None."""

    @property
    def inputs(self) -> tuple[Ingredient, ...]:
        """The manifest's entries of the inputs."""

    @property
    def action(self) -> str:
        """The manifest's action: "created" or "edited"."""

    @property
    def payload(self) -> int:
        """The watermark's payload, of `job_payload`."""

    @property
    def label(self) -> bool:
        """Whether to write a visible label."""

    @property
    def networks(self) -> tuple[tuple[str, str], ...]:
        """File name and SHA-256 of each network that runs, except the face tracker's."""

    @property
    def bridged(self) -> int:
        """Number of frames without a face, which are interpolated from their neighbours."""

    @property
    def warnings(self) -> tuple[str, ...]:
        """Sentences for the user."""

    @property
    def words(self) -> tuple[Word, ...]:
        """The words that are spoken, each with its time, where they are known."""

    @property
    def transparent(self) -> bool:
        """Whether the pictures have an alpha channel."""

    @property
    def clock(self) -> Clock:
        """Records the seconds of each stage."""

    def moments(self) -> Generator[Rendered, None, None]:
        """Render the frames in order, each when it is requested."""


@dataclass(frozen=True, eq=False)
class Still:
    """A renderer of a single finished picture; its other attributes are those of every renderer.

    Attributes:
        image: (H, W, 3) uint8 RGB.
    """

    image: Image
    engine: str
    inputs: tuple[Ingredient, ...]
    payload: int
    action: str = "created"
    sound: None = None
    label: bool = False
    networks: tuple[tuple[str, str], ...] = ()
    bridged: int = 0
    warnings: tuple[str, ...] = ()
    words: tuple[Word, ...] = ()
    clock: Clock = field(default_factory=Clock)
    transparent: bool = False

    @property
    def times(self) -> npt.NDArray[np.float64]:
        """The time of the only frame, (1,) float64: 0 seconds."""
        return np.zeros(1)

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of the picture in pixels."""
        return (self.image.shape[1], self.image.shape[0])

    def moments(self) -> Generator[Rendered, None, None]:
        """The finished picture."""
        yield Rendered(self.image, (), 0.0)
