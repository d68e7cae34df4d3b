"""Run an iterator in a thread of its own, a few items ahead, so that stages overlap on two cores."""

from __future__ import annotations

import itertools
import queue
import threading
from collections.abc import Generator, Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")


def run_ahead(items: Iterable[T], depth: int = 4) -> Generator[T, None, None]:
    """The same items in the same order; errors come where they would have come.

    When the consumer stops early, the thread ends at its next item. `items` is closed if it can be.
    """
    ready: queue.Queue[tuple[bool, object]] = queue.Queue(depth)
    stop = threading.Event()

    def offer(item: tuple[bool, object]) -> bool:
        while not stop.is_set():
            try:
                ready.put(item, timeout=0.1)
                return True
            except queue.Full:
                continue
        return False

    def work() -> None:
        try:
            for item in items:
                if not offer((True, item)):
                    return
            offer((False, None))
        except BaseException as error:  # handed over to the consumer's thread
            offer((False, error))
        finally:
            close = getattr(items, "close", None)
            if close is not None:
                close()

    thread = threading.Thread(target=work, name="gioconda-ahead", daemon=True)
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


def shared(items: Iterable[T], count: int) -> list[Iterator[T]]:
    """As many iterators over the same items, each for a thread of its own; they hold what others have yet to take."""
    lock = threading.Lock()

    def taken(branch: Iterator[T]) -> Iterator[T]:
        while True:
            with lock:
                try:
                    item = next(branch)
                except StopIteration:
                    return
            yield item

    return [taken(branch) for branch in itertools.tee(items, count)]
