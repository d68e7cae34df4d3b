"""Speak: a portrait, or the person of a video, says what a sound holds or a text tells."""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from gioconda import media, pipeline
from gioconda.errors import InputError
from gioconda.pipeline import Result
from gioconda.provenance import Ingredient
from gioconda.sources import Loader, MotionSource, PathLike, Progress, listening, load_speech
from gioconda.speech import Voice, say
from gioconda.spoken import said_motion
from gioconda.types import Frame, Image, Portrait

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from gioconda.options import Spoken

LIPSYNC = "lipsync"


@overload
def speak(
    portrait: PathLike | Portrait | Image, out: None = None, **options: Unpack[Spoken]
) -> Iterator[Frame]: ...
@overload
def speak(portrait: PathLike | Portrait | Image, out: PathLike, **options: Unpack[Spoken]) -> Result: ...
def speak(
    portrait: PathLike | Portrait | Image,
    out: PathLike | None = None,
    *,
    audio: PathLike | None = None,
    text: str | None = None,
    voice: str = "",
    language: str = "en",
    seed: int = 0,
    engine: str | None = None,
    bank: PathLike | None = None,
    strength: float = 1.0,
    label: bool = False,
    rights: str | None = None,
    key: PathLike | None = None,
    certificate: PathLike | None = None,
    progress: Progress | None = None,
    **pictured: Any,
) -> Iterator[Frame] | Result:
    """Let a portrait speak: frames as they are made, or a signed file with the voice in it.

    audio: a sound file, or a video with sound; or else text: what an offline voice says, in a language such as "en",
    "fr", "cmn" or "ja", by a voice such as "f2" or "m3". seed: of blinks, brows and the head's movements.
    engine: "warp" or "fewshot"; or "lipsync", which None takes for a video: its person says the words with mouths of
    the video itself or of a `bank`, all else of the video kept. Everything else as for `animate`.
    Raises InputError, NoFaceError, LimitError, WeightsError or OutputError.
    """
    chosen = _engine(engine, portrait, out)
    if bank is not None and chosen != LIPSYNC:
        raise InputError("a bank of mouths is for the engine lipsync alone, and a video to speak")
    if out is not None:
        media.check_output(out)
    common: dict[str, Any] = {"strength": strength, "label": label, "progress": progress}
    signed: dict[str, Any] = {"rights": rights, "key": key, "certificate": certificate}
    with _words(audio, text, voice, language, seed, heard=out is not None) as words:
        if out is None:
            frames: Iterator[Frame] = pipeline.animate(portrait, words, engine=chosen, **common, **pictured)
            return frames
        if chosen != LIPSYNC:
            return pipeline.animate(portrait, words, out, engine=chosen, **common, **signed, **pictured)
        return pipeline.revoice(_video(portrait, pictured), words, out, bank=bank, **common, **signed)


def _engine(engine: str | None, portrait: PathLike | Portrait | Image, out: PathLike | None) -> str:
    """The engine asked for; if none is, that which suits a video or a picture."""
    if engine == LIPSYNC and out is None:
        raise InputError("the engine lipsync writes a file; name the output")
    if engine is not None:
        return engine
    given = not isinstance(portrait, (Portrait, np.ndarray)) and out is not None
    return LIPSYNC if given and media.is_video(portrait) else "warp"  # type: ignore[arg-type]


def _video(portrait: PathLike | Portrait | Image, pictured: Mapping[str, Any]) -> PathLike:
    """The path of the video whose person speaks; InputError for options that only pictures have."""
    if isinstance(portrait, (Portrait, np.ndarray)):
        raise InputError("the engine lipsync takes the path of a video")
    for name in ("photos", "weights", "face", "crop", "size"):
        if pictured.get(name):
            raise InputError(
                f"the engine lipsync keeps the whole video, and has no {name}; leave it out, or choose --engine warp"
            )
    return portrait


@contextmanager
def _words(
    audio: PathLike | None, text: str | None, voice: str, language: str, seed: int, *, heard: bool
) -> Generator[Loader, None, None]:
    """What loads the motion of a speaker; a text is said at once, into a file for as long as it is used, if `heard`."""
    if (audio is None) == (text is None):
        raise InputError("give either a sound to speak (audio) or a text to say (text)")
    if audio is not None:
        if voice:
            raise InputError("a voice is for a text; a sound has its own")
        yield partial(load_speech, media.check_input(audio), seed=seed)
        return
    assert text is not None
    said = say(text, voice, language)
    digest = hashlib.sha256(text.encode()).hexdigest()
    ingredient = Ingredient(f"text (espeak-ng, {language})", digest, "audio", "text/plain")
    with TemporaryDirectory(prefix="gioconda-") as folder:
        file = media.write_sound(Path(folder) / "voice.wav", said.samples, said.rate) if heard else None
        yield partial(_said, said, ingredient, file, seed)


def _said(
    voice: Voice, ingredient: Ingredient, sound: Path | None, seed: int, _report: Progress
) -> MotionSource:
    return MotionSource(
        said_motion(voice, seed=seed), None, ingredient, sound, speaks=True, networks=listening()
    )
