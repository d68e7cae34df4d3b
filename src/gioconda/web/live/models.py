"""The JSON of sessions: what opens one, and what it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

from gioconda.limits import LIMITS
from gioconda.requests.kinds import RIGHTS

Use: TypeAlias = Literal["edit", "live", "voice"]

# Sides of the pictures in pixels, unless the request chooses another.
SIDES: dict[Use, int] = {"edit": 512, "live": 384, "voice": 384}
LEAST_SIDE, LARGEST_SIDE = 64, 768
"""Bounds of that side in pixels."""

Side: TypeAlias = Annotated[int, Field(ge=LEAST_SIDE, le=LARGEST_SIDE)]


class SessionRequest(BaseModel):
    """What a session is for."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    use: Use = Field(description="edit: requests move the portrait; live: a face; voice: what it says.")
    rights: Annotated[str, Field(min_length=RIGHTS.least, max_length=RIGHTS.most)] = Field(
        description="What entitles you to this likeness."
    )
    face: Annotated[int, Field(ge=0, lt=LIMITS.faces)] = Field(
        default=0, description="The face to animate: 0 for the largest, 1 for the next."
    )
    side: Side | None = Field(
        default=None,
        description="Side of the square pictures in pixels; "
        f"by default {SIDES['edit']} to edit, {SIDES['live']} otherwise.",
    )

    @property
    def pixels(self) -> int:
        """Side of the pictures in pixels."""
        return self.side or SIDES[self.use]


class Box(BaseModel):
    """A rectangle in the portrait, in shares of the whole picture's width and height."""

    x: float = Field(ge=0, le=1, description="Left edge.")
    y: float = Field(ge=0, le=1, description="Top edge.")
    width: float = Field(ge=0, le=1)
    height: float = Field(ge=0, le=1)

    @classmethod
    def of(cls, place: Sequence[float]) -> Box:
        """Return the rectangle of left, top, width and height, cut off at the picture's edges."""
        left, top, width, height = place
        x, y = max(0.0, left), max(0.0, top)
        return cls(x=x, y=y, width=min(1.0, left + width) - x, height=min(1.0, top + height) - y)


class SessionState(BaseModel):
    """A session."""

    id: str = Field(description="Whoever knows it can use the session: keep it secret.")
    use: Use
    width: int = Field(description="Of the session's pictures, in pixels.")
    height: int
    face: int = Field(description="Which of the faces the session animates.")
    faces: list[Box] = Field(description="All faces of the portrait, in the order that `face` counts.")
    shown: Box = Field(description="The square of the portrait that the session's pictures show.")
    seconds_idle: float = Field(description="Seconds without a request after which the session ends.")
