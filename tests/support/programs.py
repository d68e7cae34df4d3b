"""Programs that tests start and stop: none outlives its test, whatever happens in it."""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

Found = TypeVar("Found")
# Seconds in which a killed program is gone, and in which a server begins to listen.
KILLED_SECONDS = 60
LISTENING_SECONDS = 240


def wait_for(condition: Callable[[], Found], seconds: float = 30.0) -> Found:
    """The first true value of `condition()`."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if found := condition():
            return found
        time.sleep(0.02)
    raise AssertionError("it did not happen in time")


@contextlib.contextmanager
def running(command: list[str], **options: Any) -> Iterator[subprocess.Popen[Any]]:
    """A program, killed at the end. `with Popen(...)` would wait for ever for one that a failed test leaves behind.

    Args:
        command: The program and its arguments.
        options: Of Popen.
    """
    process = subprocess.Popen(command, **options)
    try:
        yield process
    finally:
        process.kill()
        process.wait(KILLED_SECONDS)
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                stream.close()


def address_of(process: subprocess.Popen[Any], log: Path) -> str:
    """The address of `gioconda serve`, once it listens.

    Args:
        process: The server.
        log: What it writes to standard error: a pipe that nobody reads would stop it.
    """
    wait_for(lambda: _serves(log) or process.poll() is not None, LISTENING_SECONDS)
    assert _serves(log), log.read_text()
    return log.read_text().split()[1]


def _serves(log: Path) -> bool:
    """Whether a server has said that it listens."""
    first, ended, _ = log.read_text().partition("\n")
    return bool(ended) and first.startswith("serving http")
