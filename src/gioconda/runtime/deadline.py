"""Calls with a deadline, for functions of libraries that may never return."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import ParamSpec, TypeVar

Inputs = ParamSpec("Inputs")
Result = TypeVar("Result")

_late: list[threading.Thread] = []


def within(
    seconds: float, function: Callable[Inputs, Result], *inputs: Inputs.args, **options: Inputs.kwargs
) -> Result:
    """Call a function in a thread of its own.

    Args:
        seconds: How long it may take.
        function: The function; what it raises is raised here.
        inputs: Its arguments.
        options: Its named arguments.

    Returns:
        What the function returns.

    Raises:
        TimeoutError: The function takes longer. Its thread is left behind.
    """
    answer: Future[Result] = Future()

    def call() -> None:
        try:
            answer.set_result(function(*inputs, **options))
        except BaseException as error:
            answer.set_exception(error)

    # The interpreter waits for all other threads before it ends.
    thread = threading.Thread(target=call, name="within", daemon=True)
    thread.start()
    try:
        return answer.result(seconds)
    finally:
        if not answer.done():
            _late.append(thread)


def any_left() -> bool:
    """Whether a thread that was left behind still runs; it may hold up or crash an interpreter that ends."""
    return any(thread.is_alive() for thread in _late)
