"""Loaded inputs: a motion or a portrait, each with its entry in the manifest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from gioconda import composite, media
from gioconda.inputs.driver import Driver
from gioconda.provenance import Ingredient
from gioconda.types import Image, Motion, Portrait, Progress, Word

# Seconds from which the first face of a video counts as late.
LATE_SECONDS = 0.2


@dataclass(frozen=True)
class MotionSource:
    """A loaded motion.

    Attributes:
        motion: The motion.
        driver: What it was tracked in, or None.
        ingredient: Its entry in the manifest.
        sound: The file of the voice that it speaks with, or None.
        warnings: Sentences for the user.
        speaks: Whether it was made from a voice, so that silence shuts the mouth.
        networks: File name and SHA-256 of each network that turned the voice into motion.
        words: The words that it speaks, each with its time, where they are known.
    """

    motion: Motion
    driver: Driver | None
    ingredient: Ingredient
    sound: Path | None = None
    warnings: tuple[str, ...] = ()
    speaks: bool = False
    networks: tuple[tuple[str, str], ...] = ()
    words: tuple[Word, ...] = ()

    def sound_track(self) -> media.SoundTrack | None:
        """The sound that belongs to the motion: the voice, or that of a driver with sound; or None."""
        if self.driver is None:
            return None if self.sound is None else media.SoundTrack(self.sound)
        has_sound = media.probe(self.driver.path).has_audio
        return media.SoundTrack(self.driver.path, self.driver.part.start) if has_sound else None


@dataclass(frozen=True)
class PortraitSource:
    """A loaded portrait.

    Attributes:
        image: (H, W, 3) uint8 RGB, at output size.
        portraits: One for each face to animate, all with the same image.
        ingredient: Its entry in the manifest.
        box: The part of the source's picture that `image` shows, in pixels of the source.
        whole: Width and height of the source's picture in pixels.
        video: The video that it comes from, or None for a still picture.
        photos: Entries in the manifest of further photos of the person.
        seen: Seconds at which a video first shows the face.
        transparent: Whether the source is transparent somewhere; `image` lies over white there.
        found: Left, top, width and height of each face of the source, largest first, as shares of the whole picture.
    """

    image: Image
    portraits: tuple[Portrait, ...]
    ingredient: Ingredient
    box: composite.Box
    whole: tuple[int, int]
    video: Path | None = None
    photos: tuple[Ingredient, ...] = ()
    seen: float = 0.0
    transparent: bool = False
    found: tuple[tuple[float, float, float, float], ...] = ()

    @property
    def shown(self) -> tuple[float, float, float, float]:
        """Left, top, width and height of `box` as shares of the whole picture."""
        (left, top, right, bottom), (width, height) = self.box, self.whole
        return left / width, top / height, (right - left) / width, (bottom - top) / height


Loader: TypeAlias = Callable[[Progress], MotionSource]
"""Loads a motion when it is called, and reports its progress."""


def late_face_note(video: Path, seen: float, seconds: float) -> tuple[str, ...]:
    """A note for the user where a video's face appears late, else none.

    Args:
        video: The file.
        seen: When the face first appears, in seconds.
        seconds: Duration of the output.
    """
    if seen < LATE_SECONDS:
        return ()
    if seen < seconds:
        rest = "the frames before stay as they are"
    else:
        rest = f"the output of {seconds:.1f} s ends before; cut the video so that it begins later"
    return (f"{video.name}: the face first appears at {seen:.1f} s; {rest}",)


def video_ingredient(path: Path, role: str, digest: str) -> Ingredient:
    """A video's entry in the manifest, with its first frame as thumbnail.

    Args:
        path: Of the video.
        role: "portrait" or "motion".
        digest: SHA-256 of the file in hex.
    """
    with media.read_frames(path) as frames:
        first = next(iter(frames), None)
    thumbnail = None if first is None else media.thumbnail(first.image)
    return Ingredient(path.name, digest, role, media.mime_of(path), thumbnail)
