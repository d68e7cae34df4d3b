"""The protocol of executors: tasks are submitted with a number and end with an outcome."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

# Tasks after which a process is replaced, so that its memory cannot grow without limit.
RENEWED = 100


@dataclass(frozen=True)
class Returned:
    """The value that a task returned."""

    value: Any


@dataclass(frozen=True)
class Raised:
    """The error that a task raised."""

    error: BaseException


@dataclass(frozen=True)
class WorkerLost:
    """A task whose process or machine was lost.

    Attributes:
        reason: What happened, for people.
        tries: How often the task was started.
        late: Whether the task took too long.
    """

    reason: str
    tries: int = 1
    late: bool = False


Outcome: TypeAlias = Returned | Raised | WorkerLost


class Executor(Protocol):
    """Processes that run tasks."""

    @property
    def place(self) -> str:
        """Where the tasks run, for people."""
        ...

    def size(self) -> int:
        """Return how many tasks can run at once at present."""
        ...

    def submit(self, number: int, function: Callable[[Any], Any], item: Any) -> None:
        """Start a task; fewer than `size` tasks may be running."""
        ...

    def finished(self, seconds: float) -> list[tuple[int, Outcome]]:
        """Wait for tasks to end, for `seconds` at most, and return their numbers and outcomes."""
        ...

    def close(self) -> None:
        """Stop running tasks, and end all processes that were started."""
        ...
