"""Maps a function over many items, in processes of this machine or as Ray tasks; items of lost processes are retried.

Functions and items are pickled, so a function must be defined in a module and an item must be a plain value.
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

from gioconda.cluster.executor import Executor, Raised, WorkerLost
from gioconda.errors import GiocondaError
from gioconda.runtime.devices import CPU
from gioconda.runtime.onnx import chosen_device, use_device

__all__ = ["LOCAL", "RETRIES", "Executor", "WorkerLost", "attempt", "each", "on_device", "open_executor"]

# The address for Ray on this machine, started for the purpose.
LOCAL = "local"
# Retries of an item whose process or machine is lost.
RETRIES = 2
# Seconds between checks of running tasks.
TICK = 0.5
# Seconds beyond its limit after which a task's process ends itself.
GRACE = 10.0

Item = TypeVar("Item")
Result = TypeVar("Result")


@contextlib.contextmanager
def open_executor(address: str | None, workers: int | None = None) -> Iterator[Executor]:
    """Open an executor; tasks that still run at the end of the context are stopped.

    Args:
        address: None for processes of this machine, "local" for Ray on this machine, "auto" for the Ray cluster of this
            machine, or HOST:PORT.
        workers: Most tasks at once; one per core if None.

    Yields:
        The executor.

    Raises:
        MissingFileError: Ray is not installed.
        InputError: No cluster answers.
    """
    if address is None:
        from gioconda.cluster.processes import ProcessExecutor

        executor: Executor = ProcessExecutor(workers or os.cpu_count() or 1)
    else:
        from gioconda.cluster.over_ray import connect

        executor = connect(address, workers)
    try:
        yield executor
    finally:
        executor.close()


def each(
    function: Callable[[Item], Result], items: Sequence[Item], workers: int | None, ray: str | None = None
) -> Iterator[tuple[Item, Result]]:
    """Call a function for each item.

    Args:
        function: The function; what it raises is raised here.
        items: The items.
        workers: Most calls at once; one per core if None. A single worker without Ray is this process.
        ray: The address of a cluster, as for `open_executor`.

    Yields:
        Each item and its result, in the order in which they are done.

    Raises:
        GiocondaError: The process of an item was lost in every attempt.
    """
    if not items:
        return
    if workers == 1 and ray is None:
        yield from ((item, function(item)) for item in items)
        return
    if ray is None:
        workers = min(workers or os.cpu_count() or 1, len(items))
    with open_executor(ray, workers) as executor:
        for item, result in attempt(executor, function, items):
            if isinstance(result, WorkerLost):
                raise GiocondaError(
                    f"{result.reason}, {result.tries} times; if memory is short, use fewer --workers"
                )
            yield item, result


def attempt(
    executor: Executor,
    function: Callable[[Item], Result],
    items: Sequence[Item],
    *,
    retries: int = RETRIES,
    seconds: float | None = None,
    on_lost: Callable[[Item], None] = lambda _: None,
) -> Iterator[tuple[Item, Result | WorkerLost]]:
    """Call a function for each item; the result of an item that is lost for good is a `WorkerLost`.

    Args:
        executor: Runs the tasks.
        function: The function; what it raises is raised here.
        items: The items.
        retries: How often an item is retried whose process was lost.
        seconds: What an item may take; None for any time. The function has to stop in time by itself. After GRACE more
            seconds its process is ended, and the item is not retried.
        on_lost: Called with each item that is going to be retried.

    Yields:
        Each item and its result, in the order in which they are done.
    """
    waiting, tries, since = deque(range(len(items))), Counter[int](), dict[int, float]()
    task = on_device(function)
    if seconds is not None:
        task = partial(_limited, task, seconds + GRACE)
    while waiting or since:
        while waiting and len(since) < max(1, executor.size()):
            k = waiting.popleft()
            since[k] = time.monotonic()
            executor.submit(k, task, items[k])
        for k, outcome in executor.finished(TICK):
            took = time.monotonic() - since.pop(k)
            if isinstance(outcome, Raised):
                raise outcome.error
            if isinstance(outcome, WorkerLost):
                tries[k] += 1
                late = seconds is not None and took >= seconds + GRACE
                if tries[k] <= retries and not late:
                    # Behind the others, since it may be what took the memory.
                    waiting.append(k)
                    on_lost(items[k])
                    continue
                yield items[k], WorkerLost(outcome.reason, tries[k], late)
            else:
                yield items[k], outcome.value


def on_device(function: Callable[[Item], Result]) -> Callable[[Item], Result]:
    """The function, for other processes: they run their networks on the device that this process was asked to use."""
    name = chosen_device()
    return function if name == CPU else partial(_on_device, name, function)


def _on_device(name: str, function: Callable[[Any], Any], item: Any) -> Any:
    """The function's result, with a device; InputError if this machine does not have it."""
    use_device(name)
    return function(item)


def _limited(function: Callable[[Any], Any], seconds: float, item: Any) -> Any:
    """The function's result; the process ends itself if the function takes longer than `seconds`."""
    with Path(os.devnull).open("w", encoding="ascii") as nowhere:
        faulthandler.dump_traceback_later(seconds, exit=True, file=nowhere)
        try:
            return function(item)
        finally:
            faulthandler.cancel_dump_traceback_later()
