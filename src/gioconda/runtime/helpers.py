"""Processes that call functions beside this one. Unlike threads, they do not share one interpreter's lock.

They are started by `subprocess`: `multiprocessing` would run the main script of the user's program once more.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from importlib import import_module
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import Any

from gioconda.errors import GiocondaError
from gioconda.runtime.cores import cores
from gioconda.runtime.debug import debugging
from gioconda.runtime.threads import ONE_THREAD, hold_libraries

# Processes for one job: two draw faster than the rest of a job takes their pictures. That rest needs a core of its own.
COUNT, CORES = 2, 3
# Seconds in which a process may leave.
LEAVE = 5.0

# What a process runs: the modules of its parent, from the places where the parent finds them.
_PROGRAM = """
import sys
descriptor, *sys.path = sys.argv[1:]
from gioconda.runtime.helpers import serve
serve(int(descriptor))
"""

# What `use_no_helpers` has set: at most one value.
_none: list[bool] = []


def use_no_helpers() -> None:
    """Start no helpers in this process: it is one of several that share the cores and the memory."""
    _none[:] = [True]


def start_helpers(modules: Sequence[str]) -> Helpers | None:
    """Start helpers.

    Args:
        modules: What they import, so that they are ready for the first call.

    Returns:
        The helpers; None where they would not pay off or cannot be started.
    """
    # A program that was packed with its interpreter would be started itself.
    startable = os.name == "posix" and bool(sys.executable) and not getattr(sys, "frozen", False)
    if _none or not startable or cores() < CORES:
        return None
    try:
        return Helpers(COUNT, modules)
    # The system grants no more processes, or no memory for them.
    except OSError:
        return None


class Helpers:
    """Processes that take calls as soon as they are ready. They end with this object or with this process."""

    def __init__(self, count: int, modules: Sequence[str]) -> None:
        """Start processes.

        Args:
            count: How many.
            modules: What they import first.

        Raises:
            OSError: A process cannot be started.
        """
        self._helpers: list[_Helper] = []
        # The threads of the helpers know them, but not this object.
        self._close = weakref.finalize(self, _close_all, self._helpers)
        for _ in range(count):
            self._helpers.append(_Helper(modules))

    @property
    def ready(self) -> int:
        """The number of processes that take calls at present."""
        return sum(helper.ready for helper in self._helpers)

    def submit(self, function: Callable[[Any], Any], item: Any) -> Future[Any] | None:
        """Call a function in the process with the fewest calls.

        Args:
            function: A function of a module, or a `partial` of one; a process gets it once.
            item: Its argument.

        Returns:
            The result to come, or None if no process takes calls. If a process is lost, this one calls its functions.
        """
        for helper in sorted(self._helpers, key=lambda helper: helper.calls):
            answer = helper.submit(function, item)
            if answer is not None:
                return answer
        return None

    def close(self) -> None:
        """End the processes, after the calls that they have begun."""
        self._close()


class _Helper:
    """One process, the pipe to it, and the thread that reads its answers."""

    def __init__(self, modules: Sequence[str]) -> None:
        self.ready = False
        self._pipe, theirs = Pipe()
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _PROGRAM, str(theirs.fileno()), *sys.path],
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=None if debugging() else subprocess.DEVNULL,
                env={**os.environ, **ONE_THREAD},
            )
        except OSError:
            self._pipe.close()
            raise
        finally:
            theirs.close()
        self._sending = threading.Lock()
        self._functions: list[Callable[[Any], Any]] = []
        self._waiting: deque[tuple[Future[Any], Callable[[Any], Any], Any]] = deque()
        self._thread = threading.Thread(
            target=self._read, args=(tuple(modules),), name="gioconda-helper", daemon=True
        )
        self._thread.start()

    @property
    def calls(self) -> int:
        """The number of calls without an answer."""
        return len(self._waiting)

    def submit(self, function: Callable[[Any], Any], item: Any) -> Future[Any] | None:
        """Send a call; None if the process takes none."""
        answer: Future[Any] = Future()
        answer.set_running_or_notify_cancel()
        with self._sending:
            if not self.ready:
                return None
            self._waiting.append((answer, function, item))
            # The thread that reads notices that the process is lost, and answers.
            with suppress(OSError):
                self._pipe.send((self._number(function), item))
        return answer

    def _number(self, function: Callable[[Any], Any]) -> int:
        """The number by which the process knows a function; a new one is sent."""
        for number, known in enumerate(self._functions):
            if known is function:
                return number
        self._pipe.send((None, function))
        self._functions.append(function)
        return len(self._functions) - 1

    def _read(self, modules: tuple[str, ...]) -> None:
        """Read answers until the process ends; then answer what is left."""
        # Whatever happens to the process, each call gets an answer.
        with suppress(Exception):
            self._pipe.send(modules)
            self.ready = self._pipe.recv()
            while True:
                result, error = self._pipe.recv()
                _settle(self._waiting.popleft()[0], result, error)
        with self._sending:
            self.ready = False
        for answer, function, item in self._waiting:
            _settle(answer, *_outcome(function, item))

    def close(self) -> None:
        """End the process."""
        with self._sending:
            self.ready = False
            # It may have ended by itself.
            with suppress(OSError):
                self._pipe.send(None)
        try:
            self._process.wait(LEAVE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._thread.join()
        self._pipe.close()


def _close_all(helpers: list[_Helper]) -> None:
    """End processes."""
    for helper in helpers:
        helper.close()


def _settle(answer: Future[Any], result: Any, error: Exception | None) -> None:
    """Give an answer its result or its error."""
    if error is None:
        answer.set_result(result)
    else:
        answer.set_exception(error)


def _outcome(function: Callable[[Any], Any], item: Any) -> tuple[Any, Exception | None]:
    """What a function returns and None, or None and the error that it raises."""
    try:
        return function(item), None
    # The caller raises it again.
    except Exception as error:
        return None, sendable(error)


def sendable(error: Exception) -> Exception:
    """The error, or one in its place that can be sent to another process."""
    return error if isinstance(error, GiocondaError) else RuntimeError(f"{type(error).__name__}: {error}")


def serve(descriptor: int) -> None:
    """Call functions for a parent until it says that it needs no more, or ends.

    Args:
        descriptor: Of the pipe to the parent.
    """
    # Only the parent handles Ctrl-C.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    functions: list[Callable[[Any], Any]] = []
    with suppress(EOFError, OSError):
        pipe = Connection(descriptor)
        for module in pipe.recv():
            import_module(module)
        hold_libraries()
        pipe.send(True)
        while (message := pipe.recv()) is not None:
            number, item = message
            if number is None:
                functions.append(item)
            else:
                pipe.send(_outcome(functions[number], item))
    # Nothing is left to clean up.
    os._exit(0)
