"""What the two kinds of crew share: tasks handed in under a number, and how each ended."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

RENEWED = 100  # tasks after which a process makes room for a fresh one, so that memory cannot creep up


@dataclass(frozen=True)
class Returned:
    """What a task gave."""

    value: Any


@dataclass(frozen=True)
class Raised:
    """What a task raised."""

    error: BaseException


@dataclass(frozen=True)
class Lost:
    """A task whose process or machine ended under it: what is known of it, how often, whether it took too long."""

    reason: str
    tries: int = 1
    late: bool = False


Outcome: TypeAlias = Returned | Raised | Lost


class Crew(Protocol):
    """Processes that carry out tasks."""

    @property
    def place(self) -> str:
        """Where the work is done, for people."""
        ...

    def size(self) -> int:
        """How many tasks can be carried out at once, now."""
        ...

    def submit(self, number: int, function: Callable[[Any], Any], item: Any) -> None:
        """Hand in a task, when fewer than `size` are at work."""
        ...

    def finished(self, seconds: float) -> list[tuple[int, Outcome]]:
        """The tasks that have ended since, waited for so long at most."""
        ...

    def close(self) -> None:
        """Stop what still runs, and end all that was started."""
        ...
