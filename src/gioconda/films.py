"""Render a finished film again, in another shape or size: film -> pad -> scale."""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from gioconda import composite, media
from gioconda.face import networks as tracking_networks
from gioconda.inputs.film import Film
from gioconda.limits import EXPORT_SIDE
from gioconda.provenance import Ingredient
from gioconda.render import Clock, Rendered
from gioconda.requests import AS_IT_IS, SHAPES
from gioconda.runtime.prefetch import run_ahead
from gioconda.types import RGBA, Frame, Image, Word

# Longer side in pixels of the picture that is blurred, and standard deviation of the blur in it.
BLURRED_SIDE, BLUR = 48, 1.6
# Brightness that the blurred surroundings keep.
DARKENED = 0.4
# Frames that may wait for the encoder.
AHEAD = 2


@dataclass(frozen=True)
class ExportRenderer:
    """A renderer of a film's own frames.

    Attributes:
        film: The film.
        size: (width, height) of the pictures in pixels.
        inner: (width, height) of the film's picture in the middle of them.
        transparent: Whether the pictures have an alpha channel.
        warnings: Sentences for the user.
        clock: Records the seconds of each stage.
    """

    film: Film
    size: tuple[int, int]
    inner: tuple[int, int]
    transparent: bool
    warnings: tuple[str, ...] = ()
    clock: Clock = field(default_factory=Clock)
    action: str = "edited"
    # A label that the film has stays visible; a second one is never drawn.
    label: bool = False
    bridged: int = 0
    # A film does not record what is said in it.
    words: tuple[Word, ...] = ()

    @property
    def engine(self) -> str:
        """The name of the engine that rendered the film."""
        return self.film.engine

    @property
    def times(self) -> npt.NDArray[np.float64]:
        """Times of the frames, (T,) float64, seconds."""
        return self.film.times

    @property
    def sound(self) -> media.SoundTrack | None:
        """That of the film, if it has any."""
        return media.SoundTrack(self.film.path) if self.film.has_sound else None

    @property
    def inputs(self) -> tuple[Ingredient, ...]:
        """The manifest's entry of the film."""
        return (self.film.ingredient,)

    @property
    def payload(self) -> int:
        """The watermark's payload, which is the film's."""
        return self.film.payload

    @property
    def networks(self) -> tuple[tuple[str, str], ...]:
        """The networks that rendered the film, without the tracker's, which every manifest names."""
        return tuple(network for network in self.film.networks if network not in tracking_networks())

    def moments(self) -> Generator[Rendered, None, None]:
        """The film's frames in the new shape.

        Frames that stay as they are keep the film's watermark.
        """
        marked = self.film.marked and self.size == self.film.size
        with (
            media.read_frames(self.film.path) as frames,
            closing(run_ahead(frames, depth=AHEAD)) as ahead,
        ):
            for frame in ahead:
                since = time.perf_counter()
                image = self._placed(frame)
                self.clock.add("composite", since)
                yield Rendered(image, (), frame.time, marked=marked)

    def _placed(self, frame: Frame) -> Image:
        """A frame's picture in the middle of the new one."""
        picture = frame.image
        if self.transparent and frame.alpha is not None:
            picture = composite.cut_out(picture, frame.alpha)
        scaled = _scaled(picture, self.inner)
        if self.inner == self.size:
            return scaled
        width, height = self.size
        clear = np.zeros((height, width, RGBA), np.uint8)
        out = clear if scaled.shape[2] == RGBA else surroundings(picture, self.size)
        left, top = (width - self.inner[0]) // 2, (height - self.inner[1]) // 2
        out[top : top + self.inner[1], left : left + self.inner[0]] = scaled
        return out


def plan_export(film: Film, shape: str, size: int | None, out: Path | None) -> ExportRenderer:
    """Choose the geometry of an export.

    Args:
        film: The film.
        shape: One of SHAPES.
        size: Longer side of the result in pixels; None for the film's own size, or one that holds it.
        out: The output, whose format decides whether transparency is kept; None for frames.
    """
    keeps_alpha = out is None or out.suffix.lower() in media.ALPHA_SUFFIXES
    outer, inner = framed(film.size, shape, size)
    warnings = []
    if film.transparent and not keeps_alpha:
        warnings.append(f"{film.path.name} is transparent, which this format cannot hold; it lies over white")
    if inner[0] > film.size[0]:
        warnings.append(
            f"{film.path.name} has {film.size[0]}x{film.size[1]} pixels and is enlarged to {inner[0]}x{inner[1]}, "
            "which adds no detail"
        )
    return ExportRenderer(film, outer, inner, film.transparent and keeps_alpha, tuple(warnings))


def framed(film: tuple[int, int], shape: str, longest: int | None) -> tuple[tuple[int, int], tuple[int, int]]:
    """The size of an export, and that of the whole film in it; all sizes are (width, height) in pixels.

    Args:
        film: Size of the film.
        shape: One of SHAPES.
        longest: Longer side of the export; None for the film's size, or one that holds it, up to EXPORT_SIDE.
    """
    if shape == AS_IT_IS:
        size = film if longest is None else composite.fit_longest(film, longest)
        return size, size
    across, down = SHAPES[shape]
    # The least multiple of the shape that holds the film.
    unit = max(film[0] / across, film[1] / down)
    own = max(across, down) * unit
    side = longest or min(round(own), EXPORT_SIDE)
    outer = composite.fit_longest((across, down), side)
    scale = min(outer[0] / film[0], outer[1] / film[1])
    return outer, (min(outer[0], round(film[0] * scale)), min(outer[1], round(film[1] * scale)))


def surroundings(picture: Image, size: tuple[int, int]) -> Image:
    """A blurred, darkened copy of a picture that covers a larger one.

    Args:
        picture: (H, W, 3) uint8 RGB.
        size: (width, height) of the result in pixels.

    Returns:
        (height, width, 3) uint8 RGB.
    """
    height, width = picture.shape[:2]
    scale = min(width / size[0], height / size[1])
    across, down = max(1, round(size[0] * scale)), max(1, round(size[1] * scale))
    left, top = (width - across) // 2, (height - down) // 2
    small = (max(2, round(BLURRED_SIDE * side / max(size))) for side in size)
    middle = picture[top : top + down, left : left + across].astype(np.float32)
    blurred = cv2.GaussianBlur(cv2.resize(middle, tuple(small), interpolation=cv2.INTER_AREA), (0, 0), BLUR)
    covering = cv2.resize(blurred * DARKENED, size, interpolation=cv2.INTER_CUBIC)
    return np.rint(np.clip(covering, 0, 255)).astype(np.uint8)


def _scaled(picture: Image, size: tuple[int, int]) -> Image:
    """A picture scaled to (width, height) pixels; it stays sharp where it grows."""
    grows = size[0] > picture.shape[1]
    return composite.enlarge(picture, size) if grows else composite.resize(picture, size)
