"""What is told of a job: where it stands, how far it is, what came of it."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

Kind: TypeAlias = Literal["animate", "speak", "edit", "verify", "adapt"]
Phase: TypeAlias = Literal["queued", "running", "done", "failed", "cancelled"]

FINAL: tuple[Phase, ...] = ("done", "failed", "cancelled")

Seconds = Annotated[float, Field(description="Since 1970.", examples=[1767225600.0])]


class Progress(BaseModel):
    """How far a running job is in its present stage."""

    model_config = ConfigDict(frozen=True)

    stage: str = Field(description="track, listen, render, adapt, ...", examples=["render"])
    done: int = Field(ge=0, description="Frames, or other units of the stage.")
    total: int = Field(ge=0, description="0 where nobody knows.")
    rate: float | None = Field(default=None, ge=0, description="Units a second.")
    seconds_left: float | None = Field(default=None, ge=0, description="Of this stage.")


class Output(BaseModel):
    """The result's file."""

    model_config = ConfigDict(frozen=True)

    media_type: str = Field(examples=["video/mp4"])
    bytes: int = Field(ge=0)
    frames: int = Field(default=0, ge=0)
    width: int = Field(default=0, ge=0)
    height: int = Field(default=0, ge=0)
    sidecar: bool = Field(default=False, description="Whether the manifest lies in a file of its own.")
    warnings: tuple[str, ...] = Field(
        default=(), description="What people should know of a result that is fine."
    )


class JobState(BaseModel):
    """A job as it stands. Times are seconds since 1970."""

    model_config = ConfigDict(frozen=True)

    id: str
    kind: Kind
    state: Phase
    position: int | None = Field(default=None, ge=1, description="In the queue, from 1.")
    progress: Progress | None = None
    error: str | None = Field(default=None, description="What went wrong, for people.")
    result: Output | None = None
    attempts: int = Field(default=0, ge=0, description="How often it was begun.")
    created: Seconds
    started: Seconds | None = None
    finished: Seconds | None = None
    expires: Seconds | None = Field(default=None, description="When the job and its result are deleted.")

    @property
    def final(self) -> bool:
        """Whether nothing more will happen to it."""
        return self.state in FINAL
