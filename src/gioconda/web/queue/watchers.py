"""Who waits for changes of jobs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Watchers:
    """Functions to call when a job may have changed. Every method may be called from any thread, and from signals."""

    def __init__(self) -> None:
        self._calls: dict[object, tuple[str, Callable[[], None]]] = {}

    @contextmanager
    def watch(self, job: str, call: Callable[[], None]) -> Iterator[None]:
        """A context in which a function is called at each change of a job; it has to return at once."""
        ticket = object()
        self._calls[ticket] = job, call
        try:
            yield
        finally:
            del self._calls[ticket]

    def tell(self, job: str | None = None) -> None:
        """Call the functions of a job; all if None, since a change of one job may move others in the queue."""
        # A copy, which is made at once: functions come and go meanwhile.
        for watched, call in list(self._calls.values()):
            if job in (None, watched):
                call()

    def of(self, job: str) -> Callable[[], None]:
        """A function that tells the watchers of a job."""
        return lambda: self.tell(job)
