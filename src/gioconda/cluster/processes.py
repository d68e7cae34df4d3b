"""A crew of plain processes, started as they are needed, replaced where they end."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection, wait
from types import FrameType
from typing import Any

from gioconda.cluster.crew import RENEWED, Lost, Outcome, Raised, Returned
from gioconda.errors import GiocondaError

LEAVE = 5.0  # seconds in which a process that is stopped may clean up


class _Member:
    """One process and the pipe to it; number: of the task that it is at, None if none."""

    def __init__(self) -> None:
        context = get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs,), daemon=True)
        self.process.start()
        theirs.close()
        self.number: int | None = None
        self.tasks = 0

    def told(self) -> Outcome:
        """How its task ended."""
        try:
            answer = self.pipe.recv()
        except (EOFError, OSError):
            self.process.join(LEAVE)
            return Lost(f"its process ended unexpectedly ({_how(self.process.exitcode)})")
        assert isinstance(answer, (Returned, Raised))
        return answer


class Processes:
    """A crew of at most so many processes."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._members: list[_Member] = []

    @property
    def place(self) -> str:
        """Where the work is done, for people."""
        return "1 process" if self._most == 1 else f"{self._most} processes"

    def size(self) -> int:
        """How many tasks can be carried out at once."""
        return self._most

    def submit(self, number: int, function: Callable[[Any], Any], item: Any) -> None:
        """Hand in a task, when fewer than `size` are at work."""
        member = next((one for one in self._members if one.number is None), None)
        if member is None:
            member = _Member()
            self._members.append(member)
        member.number = number
        with contextlib.suppress(OSError):  # that it has ended is seen by what it tells
            member.pipe.send((function, item))

    def finished(self, seconds: float) -> list[tuple[int, Outcome]]:
        """The tasks that have ended since, waited for so long at most."""
        busy = {one.pipe: one for one in self._members if one.number is not None}
        found: list[tuple[int, Outcome]] = []
        for pipe in wait(list(busy), seconds):
            assert isinstance(pipe, Connection)
            member = busy[pipe]
            outcome = member.told()
            assert member.number is not None
            found.append((member.number, outcome))
            member.number, member.tasks = None, member.tasks + 1
            if isinstance(outcome, Lost) or member.tasks == RENEWED:
                self._members.remove(member)
                _end([member])
        return found

    def close(self) -> None:
        """Stop what still runs: a task gets a moment to remove its temporary files."""
        members, self._members = self._members, []
        _end(members)


def _end(members: list[_Member]) -> None:
    for member in members:
        if member.number is None:
            member.pipe.close()  # it leaves by itself
        else:
            member.process.terminate()
    for member in members:
        member.process.join(LEAVE)
        if member.process.is_alive():
            member.process.kill()
            member.process.join()
        member.process.close()
        member.pipe.close()


def _how(code: int | None) -> str:
    if code is None:
        return "it no longer answers"
    return f"signal {-code}" if code < 0 else f"exit code {code}"


def _serve(pipe: Connection) -> None:
    """A process's life: task after task, until the pipe is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent alone hears Ctrl-C
    signal.signal(signal.SIGTERM, _interrupt)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if os.environ.get("GIOCONDA_DEBUG", "0") in ("", "0"):
        _mute()
    with contextlib.suppress(EOFError, OSError, KeyboardInterrupt):
        while True:
            function, item = pipe.recv()
            answer: Outcome
            try:
                answer = Returned(function(item))
            except Exception as error:  # the parent raises it again
                answer = Raised(_sendable(error))
            pipe.send(answer)


def _sendable(error: Exception) -> Exception:
    """The error, or one that surely survives the way."""
    return error if isinstance(error, GiocondaError) else RuntimeError(f"{type(error).__name__}: {error}")


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _mute() -> None:
    """What libraries print goes nowhere."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(null, 2)
    os.close(null)
