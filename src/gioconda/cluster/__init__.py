"""One function over many items: in processes of this machine, or as tasks on Ray; a lost process costs a retry.

Functions and items are sent to other processes, so functions are those of a module, items plain values.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from gioconda.cluster.crew import Crew, Lost, Raised
from gioconda.errors import GiocondaError

__all__ = ["LOCAL", "RETRIES", "Crew", "Lost", "attempt", "crew", "each"]

LOCAL = "local"  # Ray, started on this machine for the purpose
RETRIES = 2  # where a process or a machine is lost
TICK = 0.5  # seconds between looks
GRACE = 10.0  # seconds beyond its time after which a task's process is ended from within

Item = TypeVar("Item")
Result = TypeVar("Result")


@contextlib.contextmanager
def crew(address: str | None, workers: int | None = None) -> Iterator[Crew]:
    """Those who work, for as long as the context lasts; what still runs at its end is stopped.

    address: None for processes of this machine, "local" for Ray on this machine, "auto" for the Ray cluster that this
    machine belongs to, or HOST:PORT. workers: at most so many at once; a core each if None.
    Raises MissingFileError without Ray, InputError without a cluster.
    """
    if address is None:
        from gioconda.cluster.processes import Processes

        members: Crew = Processes(workers or os.cpu_count() or 1)
    else:
        from gioconda.cluster.over_ray import join

        members = join(address, workers)
    try:
        yield members
    finally:
        members.close()


def each(
    function: Callable[[Item], Result], items: Sequence[Item], workers: int | None, ray: str | None = None
) -> Iterator[tuple[Item, Result]]:
    """Items and what the function gives for them, in the order in which they are done.

    workers, ray: as for `crew`; without Ray a single worker is this process. Raises what the function raises, and
    GiocondaError for an item whose process was lost again and again.
    """
    if not items:
        return
    if workers == 1 and ray is None:
        yield from ((item, function(item)) for item in items)
        return
    if ray is None:
        workers = min(workers or os.cpu_count() or 1, len(items))
    with crew(ray, workers) as members:
        for item, result in attempt(members, function, items):
            if isinstance(result, Lost):
                raise GiocondaError(f"{result.reason}, again and again; is there memory for so many?")
            yield item, result


def attempt(
    members: Crew,
    function: Callable[[Item], Result],
    items: Sequence[Item],
    *,
    retries: int = RETRIES,
    seconds: float | None = None,
    lost: Callable[[Item], None] = lambda _: None,
) -> Iterator[tuple[Item, Result | Lost]]:
    """As `each`, but an item that was lost 1 + `retries` times gives a `Lost`, as does one that takes too long.

    seconds: that an item may take. The function has to see to it by itself; GRACE later its process is ended, and it
    is not tried again. lost: told of each item that is to be tried again.
    """
    waiting, tries, since = deque(range(len(items))), Counter[int](), dict[int, float]()
    task = function if seconds is None else partial(_limited, function, seconds + GRACE)
    while waiting or since:
        while waiting and len(since) < max(1, members.size()):
            k = waiting.popleft()
            since[k] = time.monotonic()
            members.submit(k, task, items[k])
        for k, outcome in members.finished(TICK):
            took = time.monotonic() - since.pop(k)
            if isinstance(outcome, Raised):
                raise outcome.error
            if isinstance(outcome, Lost):
                tries[k] += 1
                late = seconds is not None and took >= seconds + GRACE
                if tries[k] <= retries and not late:
                    waiting.append(k)  # behind the others: it may be what took the memory
                    lost(items[k])
                    continue
                yield items[k], Lost(outcome.reason, tries[k], late)
            else:
                yield items[k], outcome.value


def _limited(function: Callable[[Any], Any], seconds: float, item: Any) -> Any:
    """The function's result; the process ends, whatever it does, if that takes longer."""
    with Path(os.devnull).open("w", encoding="ascii") as nowhere:
        faulthandler.dump_traceback_later(seconds, exit=True, file=nowhere)
        try:
            return function(item)
        finally:
            faulthandler.cancel_dump_traceback_later()
