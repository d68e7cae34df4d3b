"""Load the motion of a speaker from a sound or a text."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from gioconda import media
from gioconda.assets import asset_path, name_and_digest
from gioconda.errors import InputError
from gioconda.inputs.sources import Loader, MotionSource
from gioconda.motion.expression import coefficients_from_gaze
from gioconda.motion.pose import neck_swing, rotation_from_euler
from gioconda.provenance import Ingredient
from gioconda.speech import FPS, Performance, Voice, perform, perform_voice, say
from gioconda.speech.features import RATE
from gioconda.types import USUAL_MANNER, FloatArray, Manner, Motion, PathLike, Progress


def load_speech(path: PathLike, progress: Progress, *, manner: Manner = USUAL_MANNER) -> MotionSource:
    """Load the motion of a face that speaks the sound of a file.

    Args:
        path: Of a sound file, or a video with sound.
        progress: Called with ("listen", frames done, frames in all).
        manner: How the speaker moves beside speaking.

    Raises:
        InputError: The file has no sound that can be read.
        LimitError: It is larger or longer than the limits allow.
        WeightsError: The network is missing or damaged.
    """
    file = media.check_input(path)
    warnings: list[str] = []
    motion = motion_of_sound(file, progress, manner=manner, warn=warnings.append)
    ingredient = Ingredient(file.name, media.sha256_file(file), "audio", media.mime_of(file))
    return MotionSource(
        motion, None, ingredient, file, tuple(warnings), speaks=True, networks=speech_networks()
    )


def speech_networks() -> tuple[tuple[str, str], ...]:
    """File name and SHA-256 of the network that turns voices into motion; WeightsError without it."""
    from gioconda.speech.listen import WEIGHTS

    return (name_and_digest(asset_path(WEIGHTS)),)


def motion_of_sound(
    path: Path,
    progress: Progress,
    *,
    manner: Manner = USUAL_MANNER,
    warn: Callable[[str], None] | None = None,
) -> Motion:
    """The motion of a face that speaks the sound of a file, which is read as a stream.

    Args:
        path: Of a sound file, or a video with sound.
        progress: Called with ("listen", frames done, frames in all).
        manner: How the speaker moves beside speaking.
        warn: Called with a sentence for each defect of the file that was bridged.

    Raises:
        InputError: The file has no sound that can be read.
        LimitError: It is larger or longer than the limits allow.
        WeightsError: The network is missing or damaged.
    """
    seconds = media.probe_sound(path) or 0.0
    with media.read_sound(path, RATE, warn=warn) as blocks:
        performance = perform(_with_progress(blocks, seconds, progress), FPS, manner)
    return motion_of(performance, path.name)


def motion_of_voice(voice: Voice, *, manner: Manner = USUAL_MANNER) -> Motion:
    """The motion of a face that speaks a synthesised voice."""
    return motion_of(perform_voice(voice, FPS, manner), "text")


def _with_progress(blocks: Iterator[FloatArray], seconds: float, progress: Progress) -> Iterator[FloatArray]:
    """The same blocks; reports progress in frames."""
    samples = 0
    for block in blocks:
        samples += len(block)
        done = int(samples / RATE * FPS)
        progress("listen", done, max(int(seconds * FPS), done))
        yield block


def motion_of(performance: Performance, name: str) -> Motion:
    """A performance as a motion called `name`; its first frame is at rest."""
    rotation = rotation_from_euler(performance.yaw, performance.pitch, performance.roll)
    shift = np.stack([performance.x, performance.y], axis=1)
    gaze = np.asarray(performance.gaze, np.float32)
    expression = performance.expression + coefficients_from_gaze(gaze)
    return Motion(
        times=performance.times,
        rotation=rotation,
        translation=(neck_swing(rotation) + shift).astype(np.float32),
        scale=(1 + performance.near).astype(np.float32),
        expression=np.clip(expression, 0, 1).astype(np.float32),
        gaze=gaze,
        confidence=np.ones(len(performance.times), np.float32),
        name=name,
    )


@contextmanager
def speech_loader(
    *,
    audio: PathLike | None,
    text: str | None,
    voice: str,
    language: str,
    manner: Manner,
    with_sound: bool,
) -> Generator[Loader, None, None]:
    """A loader of the motion of a speaker, for use within the context.

    Args:
        audio: A sound to speak; or None.
        text: A text to say, if there is no `audio`.
        voice: One of `gioconda.speech.variants()`, "" for the usual one; only for a text.
        language: Of the text.
        manner: How the speaker moves beside speaking.
        with_sound: Whether to write the voice of a text to a file, which exists until the context ends.

    Raises:
        InputError: The sound does not exist, the text cannot be said, or the voice or language is unknown.
        LimitError: The text is too long.
        WeightsError: espeak-ng is missing or damaged.
    """
    if audio is not None:
        if voice:
            raise InputError("`voice` applies to a text only; leave it out for a sound")
        yield partial(load_speech, media.check_input(audio), manner=manner)
        return
    assert text is not None
    spoken = say(text, voice, language)
    digest = hashlib.sha256(text.encode()).hexdigest()
    ingredient = Ingredient(f"text (espeak-ng, {language})", digest, "audio", "text/plain")
    with TemporaryDirectory(prefix="gioconda-") as folder:
        file = (
            media.write_sound(Path(folder) / "voice.wav", spoken.samples, spoken.rate) if with_sound else None
        )
        yield partial(_load_voice, spoken, ingredient, file, manner)


def _load_voice(
    voice: Voice, ingredient: Ingredient, sound: Path | None, manner: Manner, _progress: Progress
) -> MotionSource:
    """The loaded motion of a synthesised voice."""
    motion = motion_of_voice(voice, manner=manner)
    return MotionSource(
        motion, None, ingredient, sound, speaks=True, networks=speech_networks(), words=voice.words
    )
