"""Where sliders are, as the page sends it: one look, or looks at moments; and the motions that they mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from gioconda.web.requests import Degrees, Gaze

if TYPE_CHECKING:
    from gioconda.types import Motion

MOST_KEYS = 100
LONGEST_SECONDS = 120.0

Seconds = Annotated[float, Field(ge=0, le=LONGEST_SECONDS, allow_inf_nan=False)]


class Look(BaseModel):
    """One look: the fields of `EditRequest` that move the face."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    yaw: Degrees = 0.0
    pitch: Degrees = 0.0
    roll: Degrees = 0.0
    gaze_x: Gaze = 0.0
    gaze_y: Gaze = 0.0
    coefficients: Annotated[dict[str, Annotated[float, Field(ge=0, le=1)]], Field(max_length=52)] = {}


class Key(Look):
    """A look at a moment."""

    time: Seconds


class Keys(BaseModel):
    """Keyframes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    keys: Annotated[list[Key], Field(min_length=1, max_length=MOST_KEYS)]


class Moment(Keys):
    """A moment of keyframes, to be seen."""

    at: Seconds


def still_look(look: Mapping[str, Any]) -> Motion:
    """The motion of one moment that the fields of a `Look` mean; InputError for unknown names."""
    from gioconda.motion.edit import still_motion

    yaw, pitch, roll, x, y = (
        float(look.get(name, 0.0)) for name in ("yaw", "pitch", "roll", "gaze_x", "gaze_y")
    )
    return still_motion(yaw, pitch, roll, x, y, dict(look.get("coefficients", {})))


def keyframed(keys: Sequence[Mapping[str, Any]]) -> Motion:
    """The motion that the fields of some `Key`s mean; InputError for times too close."""
    from gioconda.motion.keyframes import keyframed_motion

    return keyframed_motion([(float(key["time"]), still_look(key)) for key in keys])
