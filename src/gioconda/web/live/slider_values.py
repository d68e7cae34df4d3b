"""What a session is asked to draw: sliders, emotions, templates, keyframes; and the motions that they describe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from gioconda.motion.emotion import EMOTIONS
from gioconda.motion.templates import TEMPLATES
from gioconda.requests import DEGREES, GAZE
from gioconda.runtime.easing import EASINGS
from gioconda.web.live.models import Side

if TYPE_CHECKING:
    from gioconda.types import Motion

# Most keyframes, and the latest time of one in seconds.
MOST_KEYS = 100
LONGEST_SECONDS = 120.0

Degrees = Annotated[float, Field(ge=DEGREES.low, le=DEGREES.high)]
Gaze = Annotated[float, Field(ge=GAZE.low, le=GAZE.high)]
# A type checker cannot see these names.
Emotion: Any = Literal[EMOTIONS]
Template: Any = Literal[TEMPLATES]
Easing: Any = Literal[EASINGS]
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


class Look(SliderValues):
    """One picture: sliders and an emotion, or a moment of a template."""

    emotion: Emotion | None = Field(default=None, description="Is added to the sliders.")
    strength: Annotated[float, Field(ge=0, le=1)] = Field(default=1.0, description="Of the emotion.")
    template: Template | None = Field(default=None, description="Instead of sliders and an emotion.")
    at: Seconds = Field(default=0.0, description="Seconds from the template's beginning.")
    side: Side | None = Field(
        None,
        description="Side of this picture in pixels, at most the session's; smaller ones suit thumbnails.",
    )

    @model_validator(mode="after")
    def _alone(self) -> Look:
        """ValueError if a template is to be drawn together with something else."""
        others = self.model_fields_set - {"template", "at", "side"}
        if self.template is not None and others:
            raise ValueError(f"a template moves the whole face; leave out {', '.join(sorted(others))}")
        return self


class Keyframe(SliderValues):
    """The sliders' values at a time in seconds, and how the face moves to them from the keyframe before."""

    time: Seconds
    easing: Easing = EASINGS[0]


class Keyframes(BaseModel):
    """Several keyframes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    keys: Annotated[list[Keyframe], Field(min_length=1, max_length=MOST_KEYS)]


class KeyframeMoment(Keyframes):
    """Keyframes, and the time in seconds at which they are shown."""

    at: Seconds


def slider_motion(values: Mapping[str, Any]) -> Motion:
    """Return the motion, of one moment, for the fields of a `Look`; InputError for unknown coefficients."""
    from gioconda.inputs.still import load_edit

    yaw, pitch, roll, x, y = (
        float(values.get(name, 0.0)) for name in ("yaw", "pitch", "roll", "gaze_x", "gaze_y")
    )
    emotion = f"{values['emotion']}:{values['strength']:f}" if values.get("emotion") else ""
    return load_edit((yaw, pitch, roll, x, y), values.get("coefficients", {}), emotion=emotion).motion


@lru_cache(maxsize=len(TEMPLATES))
def template_motion(name: str) -> Motion:
    """Return the motion of a template; always the same object."""
    from gioconda.motion.templates import template

    return template(name)


def keyframed(keys: Sequence[Mapping[str, Any]]) -> Motion:
    """Return the motion for the fields of several `Keyframe`s; InputError for times that are too close."""
    from gioconda.motion.keyframes import keyframed_motion

    times = [float(key["time"]) for key in keys]
    easings = {time: key["easing"] for time, key in zip(times, keys, strict=True) if "easing" in key}
    return keyframed_motion([*zip(times, map(slider_motion, keys), strict=True)], easings)
