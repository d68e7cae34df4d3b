"""Run iterators and functions in threads, a few items ahead of their consumer: stages overlap on several cores."""

from __future__ import annotations

import atexit
import itertools
import queue
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from typing import TypeVar

from gioconda.runtime.helpers import Helpers

T = TypeVar("T")
R = TypeVar("R")

# Seconds after which a thread that waits for room checks whether the consumer has stopped.
CHECK_SECONDS = 0.1
# Calls that each helper has, in work and waiting, and results that wait for those before them.
LEAD = 3
# Seconds that a thread may take to end when Python ends.
LEAVE_SECONDS = 10.0

# The threads of `run_ahead` whose consumer has not closed it, and what stops each.
_open: dict[threading.Thread, threading.Event] = {}


def run_ahead(items: Iterable[T], depth: int = 4) -> Generator[T, None, None]:
    """Iterate in a thread of its own.

    An error of `items` is raised at the item where it occurred. When the consumer stops early, the thread ends at its
    next item. Finally, `items` is closed if it has a method `close`.

    Args:
        items: To iterate over.
        depth: Number of items that may wait for the consumer.

    Yields:
        The same items in the same order.
    """
    ready: queue.Queue[tuple[bool, object]] = queue.Queue(depth)
    stop = threading.Event()
    thread = threading.Thread(target=_produce, args=(items, ready, stop), name="gioconda-ahead", daemon=True)
    _open[thread] = stop
    thread.start()
    try:
        while True:
            more, item = ready.get()
            if not more:
                if isinstance(item, BaseException):
                    raise item
                return
            yield item  # type: ignore[misc]
    finally:
        stop.set()
        thread.join()
        _open.pop(thread, None)


def _end_open_threads() -> None:
    """End the threads of iterators that nobody has closed."""
    for stop in _open.values():
        stop.set()
    for thread in list(_open):
        thread.join(LEAVE_SECONDS)


# Python would otherwise end these threads within other libraries' code, which aborts the process, or wait for ever for
# the pools that they use. Those wait at the end of `threading`, and so before `atexit`.
getattr(threading, "_register_atexit", atexit.register)(_end_open_threads)


def _produce(items: Iterable[T], ready: queue.Queue[tuple[bool, object]], stop: threading.Event) -> None:
    """Put (True, item) for each item, then (False, the error that ended them or None)."""
    try:
        for item in items:
            if not _offer(ready, (True, item), stop):
                return
        _offer(ready, (False, None), stop)
    # The consumer's thread raises it.
    except BaseException as error:
        _offer(ready, (False, error), stop)
    finally:
        close = getattr(items, "close", None)
        if close is not None:
            close()


def _offer(ready: queue.Queue[tuple[bool, object]], item: tuple[bool, object], stop: threading.Event) -> bool:
    """Put an item as soon as there is room; False once the consumer has stopped."""
    while not stop.is_set():
        try:
            ready.put(item, timeout=CHECK_SECONDS)
            return True
        except queue.Full:
            continue
    return False


def map_ahead(
    function: Callable[[T], R], items: Iterable[T], workers: int, helpers: Helpers | None = None
) -> Generator[R, None, None]:
    """Call a function for each item in several threads, or in other processes.

    An error, of the function or of `items`, is raised where its result would come. When the consumer stops early, calls
    that have begun still end. Finally, `items` is closed if it has a method `close`.

    Args:
        function: Called for each item. Calls run at the same time, so none may depend on another.
        items: To iterate over, in a thread of its own.
        workers: Number of calls at once in threads; memory holds the results of one more.
        helpers: Processes that call the function instead once they are ready; memory holds LEAD results of each.

    Yields:
        The results in the order of the items.
    """
    waiting: deque[Future[R]] = deque()
    with ThreadPoolExecutor(workers, "gioconda-map") as pool, closing(run_ahead(items, depth=1)) as ahead:
        try:
            more = True
            while more or waiting:
                while more and len(waiting) <= max(workers, LEAD * helpers.ready if helpers else 0):
                    more = _submit(pool, helpers, function, ahead, waiting)
                if waiting:
                    yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def _submit(
    pool: ThreadPoolExecutor,
    helpers: Helpers | None,
    function: Callable[[T], R],
    items: Iterator[T],
    waiting: deque[Future[R]],
) -> bool:
    """Append the call for the next item, or the error that ends the items; False where there is no further item."""
    try:
        item = next(items)
    except StopIteration:
        return False
    # It is raised after the results before it.
    except BaseException as error:
        failed: Future[R] = Future()
        failed.set_exception(error)
        waiting.append(failed)
        return False
    helped = None if helpers is None else helpers.submit(function, item)
    waiting.append(pool.submit(function, item) if helped is None else helped)
    return True


def shared(items: Iterable[T], count: int) -> list[Iterator[T]]:
    """Iterate over the same items in several threads.

    Args:
        items: To iterate over. Memory holds the items that the slowest iterator has not yet taken.
        count: Number of iterators.

    Returns:
        The iterators, one for each thread.
    """
    lock = threading.Lock()

    def locked(branch: Iterator[T]) -> Iterator[T]:
        """The items of a branch of `tee`, which is not thread-safe by itself."""
        while True:
            with lock:
                try:
                    item = next(branch)
                except StopIteration:
                    return
            yield item

    return [locked(branch) for branch in itertools.tee(items, count)]
