"""The state of a job: its phase, progress and result."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

Kind: TypeAlias = Literal["animate", "speak", "edit", "export", "verify", "adapt"]
Phase: TypeAlias = Literal["queued", "running", "done", "failed", "cancelled"]

FINAL: tuple[Phase, ...] = ("done", "failed", "cancelled")

Seconds = Annotated[float, Field(description="Seconds since 1970.", examples=[1767225600.0])]


@dataclass(frozen=True)
class Submission:
    """What a client sends with a job's request.

    Attributes:
        key: The idempotency key, or None.
        fingerprint: A hash of the request and its files, by which a repeated request is recognised.
        webhook: The address to which the job's final state is sent, or None.
    """

    key: str | None = None
    fingerprint: str | None = None
    webhook: str | None = None


class Progress(BaseModel):
    """The progress of a running job in its present stage."""

    model_config = ConfigDict(frozen=True)

    stage: str = Field(description="The stage: track, listen, render, adapt, ...", examples=["render"])
    done: int = Field(ge=0, description="Frames, or other units of the stage, that are done.")
    total: int = Field(ge=0, description="Units in all; 0 if unknown.")
    rate: float | None = Field(default=None, ge=0, description="Units per second.")
    seconds_left: float | None = Field(default=None, ge=0, description="Seconds until this stage ends.")


class SpokenWord(BaseModel):
    """A word that is spoken, in seconds from the beginning."""

    model_config = ConfigDict(frozen=True)

    text: str
    start: float = Field(ge=0)
    end: float = Field(ge=0)


class Output(BaseModel):
    """The file of a result."""

    model_config = ConfigDict(frozen=True)

    media_type: str = Field(examples=["video/mp4"])
    bytes: int = Field(ge=0)
    frames: int = Field(default=0, ge=0)
    width: int = Field(default=0, ge=0)
    height: int = Field(default=0, ge=0)
    seconds: float = Field(default=0.0, ge=0, description="Duration; 0 unless the result is a video.")
    words: tuple[SpokenWord, ...] = Field(
        default=(), description="The words of a spoken text, where their times are known."
    )
    sidecar: bool = Field(default=False, description="Whether the manifest is a file of its own.")
    warnings: tuple[str, ...] = Field(default=(), description="Remarks on a result that is otherwise fine.")


class JobState(BaseModel):
    """The present state of a job."""

    model_config = ConfigDict(frozen=True)

    id: str
    kind: Kind
    state: Phase
    position: int | None = Field(default=None, ge=1, description="Position in the queue, from 1.")
    progress: Progress | None = None
    error: str | None = Field(default=None, description="Why the job failed, for people.")
    result: Output | None = None
    attempts: int = Field(default=0, ge=0, description="How often the job was started.")
    created: Seconds
    started: Seconds | None = None
    finished: Seconds | None = None
    expires: Seconds | None = Field(default=None, description="When the job and its result are deleted.")

    @property
    def final(self) -> bool:
        """Whether the job has ended."""
        return self.state in FINAL
