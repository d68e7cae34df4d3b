"""The options of `animate`, `edit` and `speak`, for type checkers; the functions tell what each means."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

from gioconda.sources import PathLike, Progress
from gioconda.types import Image


class Marked(TypedDict, total=False):
    """Of whatever is written."""

    label: bool
    rights: str | None
    key: PathLike | None
    certificate: PathLike | None


class Pictured(Marked, total=False):
    """Of what is drawn from a picture."""

    refine: bool | PathLike
    crop: bool
    size: int | None


class Filmed(Pictured, total=False):
    """Of what moves."""

    weights: PathLike | None
    photos: Sequence[PathLike | Image]
    face: int | str
    strength: float
    progress: Progress | None


class Animated(Filmed, total=False):
    """Of `animate`."""

    engine: str
    absolute: bool
    region: str
    audio: bool


class Spoken(Filmed, total=False):
    """Of `speak`."""

    audio: PathLike | None
    text: str | None
    voice: str
    language: str
    seed: int
    engine: str | None
    bank: PathLike | None


class Edited(Pictured, total=False):
    """Of `edit`."""

    yaw: float
    pitch: float
    roll: float
    gaze_x: float
    gaze_y: float
    coefficients: dict[str, float] | None
    face: int
