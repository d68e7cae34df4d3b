"""The state of a server's job, as a client sees it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, TypeVar

T = TypeVar("T")

_FINAL = ("done", "failed", "cancelled")
# The beginning of a server-sent event's line with data.
_DATA = "data:"


@dataclass(frozen=True)
class JobProgress:
    """The progress of a running job in its present stage.

    Attributes:
        stage: The stage, such as "render".
        done: Frames, or other units of the stage, that are done.
        total: Units in all; 0 if unknown.
        rate: Units per second, or None.
        seconds_left: Seconds until this stage ends, or None.
    """

    stage: str
    done: int
    total: int
    rate: float | None = None
    seconds_left: float | None = None


@dataclass(frozen=True)
class JobOutput:
    """The file of a job that is done.

    Attributes:
        media_type: Its MIME type.
        bytes: Its size.
        frames: Number of frames; 0 if it has none.
        width: Of the pictures, in pixels.
        height: Of the pictures, in pixels.
        seconds: Duration; 0 unless it is a video.
        words: The words of a spoken text, each with `text`, `start` and `end` in seconds; empty where unknown.
        sidecar: Whether the manifest is a file of its own.
        warnings: Sentences for the user.
    """

    media_type: str
    bytes: int
    frames: int = 0
    width: int = 0
    height: int = 0
    seconds: float = 0.0
    words: tuple[Mapping[str, Any], ...] = ()
    sidecar: bool = False
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class JobState:
    """The state of a job on a server.

    Attributes:
        id: Of the job; whoever knows it can see, fetch and cancel the job.
        kind: Such as "animate".
        state: "queued", "running", "done", "failed" or "cancelled".
        position: In the queue, from 1; None once the job has left it.
        progress: Of a running job, or None.
        error: Why the job failed, or None.
        result: What a job that is done has made, or None.
        attempts: How often the job was started.
        created: Seconds since 1970.
        started: Seconds since 1970, or None.
        finished: Seconds since 1970, or None.
        expires: When the server deletes the job, in seconds since 1970, or None.
    """

    id: str
    kind: str
    state: str
    position: int | None = None
    progress: JobProgress | None = None
    error: str | None = None
    result: JobOutput | None = None
    attempts: int = 0
    created: float = 0.0
    started: float | None = None
    finished: float | None = None
    expires: float | None = None

    @property
    def final(self) -> bool:
        """Whether the job has ended."""
        return self.state in _FINAL


def read_state(values: Mapping[str, Any]) -> JobState:
    """Read a state from its JSON; fields that a later server adds are ignored."""
    parts = {"progress": JobProgress, "result": JobOutput}
    known = {
        name: _known(kind, values[name]) if values.get(name) is not None else None
        for name, kind in parts.items()
    }
    return _known(JobState, {**values, **known})


def _known(kind: type[T], values: Mapping[str, Any]) -> T:
    """A dataclass of the values whose names it has."""
    names = {field.name for field in fields(kind)}  # type: ignore[arg-type]
    return kind(
        **{
            name: tuple(value) if isinstance(value, list) else value
            for name, value in values.items()
            if name in names
        }
    )


def read_event(line: str) -> JobState | None:
    """Read a state from a line of a stream of server-sent events; None for a line without one."""
    return read_state(json.loads(line.removeprefix(_DATA))) if line.startswith(_DATA) else None
