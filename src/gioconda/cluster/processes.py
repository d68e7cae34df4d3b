"""An executor of plain processes, which are started on demand and replaced when they die."""

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

from gioconda.cluster.executor import RENEWED, Outcome, Raised, Returned, WorkerLost
from gioconda.runtime.debug import debugging
from gioconda.runtime.helpers import sendable

# Seconds in which a stopped process may clean up.
LEAVE = 5.0


class _Worker:
    """One process and the pipe to it; number: of its present task, None if it has none."""

    def __init__(self) -> None:
        context = get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs,), daemon=True)
        self.process.start()
        theirs.close()
        self.number: int | None = None
        self.tasks = 0

    def result(self) -> Outcome:
        """Return the outcome of its task."""
        try:
            answer = self.pipe.recv()
        except (EOFError, OSError):
            self.process.join(LEAVE)
            return WorkerLost(f"its process ended unexpectedly ({_exit_reason(self.process.exitcode)})")
        assert isinstance(answer, (Returned, Raised))
        return answer


class ProcessExecutor:
    """An executor of at most `most` processes."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._workers: list[_Worker] = []

    @property
    def place(self) -> str:
        """Where the tasks run, for people."""
        return "1 process" if self._most == 1 else f"{self._most} processes"

    def size(self) -> int:
        """Return how many tasks can run at once."""
        return self._most

    def submit(self, number: int, function: Callable[[Any], Any], item: Any) -> None:
        """Start a task; fewer than `size` tasks may be running."""
        worker = next((worker for worker in self._workers if worker.number is None), None)
        if worker is None:
            worker = _Worker()
            self._workers.append(worker)
        worker.number = number
        # `result` notices a process that has died.
        with contextlib.suppress(OSError):
            worker.pipe.send((function, item))

    def finished(self, seconds: float) -> list[tuple[int, Outcome]]:
        """Wait for tasks to end, for `seconds` at most, and return their numbers and outcomes."""
        busy = {worker.pipe: worker for worker in self._workers if worker.number is not None}
        outcomes: list[tuple[int, Outcome]] = []
        for pipe in wait(list(busy), seconds):
            assert isinstance(pipe, Connection)
            worker = busy[pipe]
            outcome = worker.result()
            assert worker.number is not None
            outcomes.append((worker.number, outcome))
            worker.number, worker.tasks = None, worker.tasks + 1
            if isinstance(outcome, WorkerLost) or worker.tasks == RENEWED:
                self._workers.remove(worker)
                _end([worker])
        return outcomes

    def close(self) -> None:
        """Stop running tasks; each gets a moment to remove its temporary files."""
        workers, self._workers = self._workers, []
        _end(workers)


def _end(workers: list[_Worker]) -> None:
    """End processes: idle ones leave when their pipe closes, others get a moment to clean up."""
    for worker in workers:
        if worker.number is None:
            worker.pipe.close()
        else:
            worker.process.terminate()
    for worker in workers:
        worker.process.join(LEAVE)
        if worker.process.is_alive():
            worker.process.kill()
            worker.process.join()
        worker.process.close()
        worker.pipe.close()


def _exit_reason(code: int | None) -> str:
    """How a process ended, for people."""
    if code is None:
        return "it no longer answers"
    return f"signal {-code}" if code < 0 else f"exit code {code}"


def _serve(pipe: Connection) -> None:
    """Run tasks in a process until its pipe is closed."""
    # Only the parent handles Ctrl-C.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _interrupt)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if not debugging():
        _mute()
    with contextlib.suppress(EOFError, OSError, KeyboardInterrupt):
        while True:
            function, item = pipe.recv()
            answer: Outcome
            try:
                answer = Returned(function(item))
            # The parent raises it again.
            except Exception as error:
                answer = Raised(sendable(error))
            pipe.send(answer)


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    """Treat SIGTERM as Ctrl-C."""
    raise KeyboardInterrupt


def _end_with_parent() -> None:
    """Exit when the parent has died."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _mute() -> None:
    """Discard what libraries print."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(null, 2)
    os.close(null)
