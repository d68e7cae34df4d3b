"""The text messages of a session's WebSocket."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

# Most characters of a text to say at once.
_TEXT_CHARACTERS = 2000
_Name = Annotated[str, Field(max_length=40)]


class _Control(BaseModel):
    """A text message."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Calibrate(_Control):
    """Takes what comes next as the driver's neutral face."""

    type: Literal["calibrate"]


class Record(_Control):
    """Begins a new recording of the motion, or ends it."""

    type: Literal["record"]
    on: bool


class Say(_Control):
    """Speaks a text after those that wait."""

    type: Literal["say"]
    text: Annotated[str, Field(min_length=1, max_length=_TEXT_CHARACTERS)]
    voice: _Name = ""
    language: _Name = "en"
    emotion: Annotated[str, Field(max_length=200)] = ""


class Interrupt(_Control):
    """Stops speaking and forgets what waits."""

    type: Literal["interrupt"]


class EndOfSpeech(_Control):
    """Says that the streamed sound is complete."""

    type: Literal["end_of_speech"]


SPEECH = (Say, Interrupt, EndOfSpeech)
"""The messages of sessions that speak."""
Control: TypeAlias = Calibrate | Record | Say | Interrupt | EndOfSpeech
CONTROL: TypeAdapter[Control] = TypeAdapter(Annotated[Control, Field(discriminator="type")])
"""Reads a message from JSON; the field `type` decides which."""
