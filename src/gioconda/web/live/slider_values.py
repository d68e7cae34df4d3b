"""The sliders' values as the page sends them, for one moment or as keyframes, and the motions that they describe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from gioconda.requests import DEGREES, GAZE

if TYPE_CHECKING:
    from gioconda.types import Motion

# Most keyframes, and the latest time of one in seconds.
MOST_KEYS = 100
LONGEST_SECONDS = 120.0

Degrees = Annotated[float, Field(ge=DEGREES.low, le=DEGREES.high)]
Gaze = Annotated[float, Field(ge=GAZE.low, le=GAZE.high)]
Seconds = Annotated[float, Field(ge=0, le=LONGEST_SECONDS, allow_inf_nan=False)]


class SliderValues(BaseModel):
    """The fields of `Edit` that move the face."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    yaw: Degrees = 0.0
    pitch: Degrees = 0.0
    roll: Degrees = 0.0
    gaze_x: Gaze = 0.0
    gaze_y: Gaze = 0.0
    coefficients: Annotated[dict[str, Annotated[float, Field(ge=0, le=1)]], Field(max_length=52)] = {}


class Keyframe(SliderValues):
    """The sliders' values at a time in seconds."""

    time: Seconds


class Keyframes(BaseModel):
    """Several keyframes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    keys: Annotated[list[Keyframe], Field(min_length=1, max_length=MOST_KEYS)]


class KeyframeMoment(Keyframes):
    """Keyframes, and the time in seconds at which they are shown."""

    at: Seconds


def slider_motion(values: Mapping[str, Any]) -> Motion:
    """Return the motion, of one moment, for the fields of a `SliderValues`; InputError for unknown coefficients."""
    from gioconda.motion.edit import still_motion

    yaw, pitch, roll, x, y = (
        float(values.get(name, 0.0)) for name in ("yaw", "pitch", "roll", "gaze_x", "gaze_y")
    )
    return still_motion(yaw, pitch, roll, x, y, dict(values.get("coefficients", {})))


def keyframed(keys: Sequence[Mapping[str, Any]]) -> Motion:
    """Return the motion for the fields of several `Keyframe`s; InputError for times that are too close."""
    from gioconda.motion.keyframes import keyframed_motion

    return keyframed_motion([(float(key["time"]), slider_motion(key)) for key in keys])
