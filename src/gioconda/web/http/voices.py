"""The voices that say a text: their names, their languages, and a spoken sample of each."""

from __future__ import annotations

import io
import wave
from functools import lru_cache
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Query, Response
from fastapi import Path as InPath
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from gioconda import speech
from gioconda.errors import InputError
from gioconda.requests import Speak, option_of
from gioconda.web.http.problems import documented

router = APIRouter(prefix="/v1/voices", tags=["voices"])

# The name in addresses of a language's own voice, which requests name "".
_USUAL = "usual"
_ENGLISH = "Good evening. This is how I sound."
# Every language reads digits in its own words.
_DIGITS = "1, 2, 3, 4, 5."
# Samples in memory at most, of some 150 kB each.
_SAMPLES = 64
# Seconds that a browser may keep a sample: a day.
_KEEP_SECONDS = 86_400
# Magnitude of the largest 16-bit sample, and bytes of one.
_FULL_SCALE, _SAMPLE_BYTES = 32767, 2

_WAV: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The sample, mono.",
        "content": {"audio/wav": {"schema": {"type": "string", "format": "binary"}}},
    }
}


class Language(BaseModel):
    """A language that can be spoken."""

    code: str = Field(description="The value of the field `language`.", examples=["en"])
    name: str = Field(examples=["English (Great Britain)"])


class Voices(BaseModel):
    """The voices and languages of the field `text`."""

    voices: list[str] = Field(description="Values of the field `voice`, for any language.", examples=[["f2"]])
    languages: list[Language]


@router.get("", responses=documented())
def list_voices() -> Voices:
    """Return the voices and languages in which `speak` says a text."""
    voices = list(_voices())
    languages = [Language(code=code, name=name) for code, name in speech.voices().items()]
    return Voices(voices=voices, languages=languages)


@router.get("/{voice}/sample", response_class=Response, responses={**documented(404, 422), **_WAV})
def get_sample(
    voice: Annotated[
        str,
        InPath(description=f"One of the voices, or `{_USUAL}` for the language's own.", examples=["f2"]),
    ],
    language: Annotated[str, Query(description="The code of a language.", examples=["en"])] = "en",
) -> Response:
    """Return a short spoken sentence as WAV; clients may keep it for a day."""
    name = "" if voice == _USUAL else voice
    if name and name not in _voices():
        raise HTTPException(404, "no such voice; GET /v1/voices lists them")
    headers = {"Cache-Control": f"public, max-age={_KEEP_SECONDS}"}
    return Response(_sample(name, language), media_type="audio/wav", headers=headers)


@lru_cache(maxsize=1)
def _voices() -> tuple[str, ...]:
    """The voices that requests can name."""
    return tuple(name for name in speech.variants() if _is_nameable(name))


def _is_nameable(voice: str) -> bool:
    """Whether the field `voice` accepts a name."""
    try:
        option_of(Speak, "voice").value.check(voice)
    except InputError:
        return False
    return True


@lru_cache(maxsize=_SAMPLES)
def _sample(voice: str, language: str) -> bytes:
    """A spoken sentence as a WAV file; InputError for an unknown language."""
    text = _ENGLISH if language.partition("-")[0] == "en" else _DIGITS
    spoken = speech.say(text, voice, language)
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(_SAMPLE_BYTES)
        sound.setframerate(spoken.rate)
        levels = np.rint(np.clip(spoken.samples, -1, 1) * _FULL_SCALE).astype("<i2")
        sound.writeframes(levels.tobytes())
    return file.getvalue()
