"""Load a film that Gioconda made and that has not changed since."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from gioconda import media, provenance
from gioconda.errors import InputError
from gioconda.provenance import Ingredient, Verdict
from gioconda.types import OPAQUE, Image, PathLike, Progress

# Seconds of a video that are searched for the watermark: each frame carries it, and more would only take longer.
VERIFY_SECONDS = 4.0


@dataclass(frozen=True, eq=False)
class Film:
    """A film of Gioconda, unchanged since it was signed.

    Attributes:
        path: Of the file.
        size: (width, height) in pixels.
        times: Times of the frames, (T,) float64, seconds, increasing.
        has_sound: Whether it has a sound track.
        transparent: Whether it has an alpha channel that hides something.
        ingredient: Its entry in the manifest of a file that is made from it.
        engine: The name of the engine that rendered it.
        networks: File name and SHA-256 of each network that rendered it.
        rights: The right to the likeness that its maker declared, or None.
        payload: The watermark's, as its manifest names it.
        marked: Whether the watermark can be read in its frames.
    """

    path: Path
    size: tuple[int, int]
    times: npt.NDArray[np.float64]
    has_sound: bool
    transparent: bool
    ingredient: Ingredient
    engine: str
    networks: tuple[tuple[str, str], ...]
    rights: str | None
    payload: int
    marked: bool


def load_film(source: PathLike, progress: Progress) -> Film:
    """Check and load a film.

    Args:
        source: Path of the film.
        progress: Called with the stage "read", the frames read and their estimated number.

    Raises:
        InputError: The file is not a film, or not one that Gioconda made and that is unchanged.
        LimitError: It exceeds a limit.
    """
    path = media.check_input(source)
    if not media.is_video(path):
        raise InputError(f"{path} is not a film; give a video that Gioconda made")
    verdict = provenance.verify(path, marked_pictures)
    manifest = verdict.manifest or {}
    payload = provenance.parse_payload(manifest.get("watermark"))
    if verdict.status != "ours" or payload is None or not provenance.is_payload(payload):
        raise InputError(f"{path} cannot be exported: {_reason(verdict)}")
    with media.read_frames(path) as frames:
        first = next(frames)
        times = [first.time]
        for frame in frames:
            times.append(frame.time)
            progress("read", len(times), frames.info.frames)
        info = frames.info
    thumbnail = media.thumbnail(first.image)
    return Film(
        path=path,
        size=(info.width, info.height),
        times=np.array(times),
        has_sound=info.has_audio,
        transparent=first.alpha is not None and bool(first.alpha.min() < OPAQUE),
        ingredient=Ingredient(path.name, media.sha256_file(path), "film", media.mime_of(path), thumbnail),
        engine=str(manifest.get("engine")),
        networks=_networks(manifest.get("weights") or ()),
        rights=manifest.get("rights"),
        payload=payload,
        marked=(verdict.watermark or {}).get("payload") == manifest["watermark"],
    )


def _reason(verdict: Verdict) -> str:
    """Why a file is not exported, and what to do."""
    if verdict.status == "unsigned":
        return "its signed manifest is missing; put its .c2pa file into the same folder"
    because = {
        "altered": "it was changed after Gioconda signed it",
        "invalid": "its signed manifest is not valid, so it was changed",
        "unmarked": "Gioconda did not make it",
    }.get(verdict.status, "it cannot be read")
    return f"{because}; give a film as Gioconda wrote it"


def _networks(weights: Sequence[dict[str, str]]) -> tuple[tuple[str, str], ...]:
    """File name and SHA-256 of each network of a manifest."""
    return tuple((str(entry.get("name")), str(entry.get("sha256"))) for entry in weights)


def marked_pictures(path: Path) -> Iterator[Image]:
    """The pictures of a file in which a watermark is searched: its only one, or those of a video's first seconds."""
    if not media.is_video(path):
        # The watermark lies under what is transparent, too.
        yield media.read_picture(path, flatten=False)[0]
        return
    with media.read_frames(path) as frames:
        for frame in frames:
            if frame.time > VERIFY_SECONDS:
                return
            yield np.asarray(frame.image)
