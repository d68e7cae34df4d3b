"""The request to prepare for one person: `Adapt`, and what comes of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from gioconda.errors import InputError
from gioconda.registry import EngineEntry, adapters, needing_files
from gioconda.requests.fields import OptionError, Place, check_options, option, option_of, options_of
from gioconda.requests.kinds import RIGHTS, SEEDS
from gioconda.requests.values import Choice, LocalFile, Media, Whole

if TYPE_CHECKING:
    from gioconda.types import PathLike, Progress

SOURCES = 256
"""Photos and videos of a person, at most."""
_FITTED = ("steps", "features", "weights", "seed")
_UNUSED = {"photos": _FITTED, "speech": ("frames", *_FITTED)}


@dataclass(frozen=True)
class Adapted:
    """The file of a person.

    Attributes:
        path: Where it lies.
        summary: What it holds, for people.
        left_out: Why a source was left out, a line each.
    """

    path: Path
    summary: str
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True)
class Adapt:
    """Prepare for one person: keep photos, fit the few-shot networks to them, or collect the mouths of videos.

    Args:
        sources: Paths of photos and videos of one person; for speech, of videos or of folders of videos.
        out: The file to write (.safetensors).
        progress: Is called with (stage, done, total); whatever it raises ends the work.
    """

    kind: ClassVar[str] = "adapt"

    sources: Sequence[PathLike] = option(
        Media("source", "Photos or videos of one person.", most=SOURCES),
        "Photos, videos, or folders of videos, of one person.",
    )
    out: PathLike | None = None
    _: KW_ONLY
    purpose: str = option(
        Choice(tuple(adapters()), needing_files(adapters())),
        "Photos that are drawn from (photos), or a video whose person says other words (speech).",
        default="photos",
        flag="for",
    )
    frames: int = option(
        Whole(0, 256), "How many frames of each video are used; 0 chooses: 32 as photos, 8 to fit.", default=0
    )
    steps: int = option(
        Whole(0, 2000),
        "How many steps of fitting; 0 chooses by the number of photos.",
        default=0,
        places=Place.LOCAL,
    )
    features: PathLike | None = option(
        LocalFile(), "SqueezeNet 1.1's file, for a perceptual loss.", default=None, places=Place.LOCAL
    )
    weights: PathLike | None = option(
        LocalFile(),
        "The fewshot.safetensors of networks that you trained; fewshot fits them to the photos, and needs it.",
        default=None,
        places=Place.LOCAL,
    )
    seed: int = option(Whole(0, SEEDS - 1), "Seed of the fitting.", default=0, places=Place.LOCAL)
    rights: str | None = option(
        RIGHTS, "What entitles you to this likeness; recorded in the file.", default=None
    )
    progress: Progress | None = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        check_options(self)
        if not self.sources:
            raise InputError("give at least one photo or video of the person")
        unused = _UNUSED.get(self.purpose, ())
        for one in options_of(self):
            if one.name in unused and getattr(self, one.name) != one.default:
                raise OptionError(one, f"does not apply to {self.purpose}: nothing is fitted; leave it out")
        if problem := self.entry.lack(vars(self)):
            raise OptionError(option_of(self, "purpose"), f"{self.purpose} {problem}")

    @property
    def entry(self) -> EngineEntry:
        """The engine that the person is prepared for."""
        return adapters()[self.purpose]
