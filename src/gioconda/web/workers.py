"""Worker processes: started afresh, watched, stopped at once, and replaced when they end."""

from __future__ import annotations

import contextlib
import json
import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from gioconda.web.child import Child
from gioconda.web.settings import Settings
from gioconda.web.state import Output

TICK = 0.1  # seconds between looks at a running job
GRACE = 0.6  # seconds in which a cancelled job may clean up by itself
START_SECONDS = 120.0


@dataclass(frozen=True)
class Outcome:
    """How a job ended: "ended" means that its worker did, under it."""

    how: Literal["done", "failed", "cancelled", "stopped", "ended"]
    error: str | None = None
    result: Output | None = None


def _reports(lines: Iterable[bytes]) -> Iterator[dict[str, Any]]:
    return (json.loads(line) for line in lines)


class Worker:
    """One process, a fresh interpreter in a session of its own."""

    def __init__(self, settings: Settings, log: Path) -> None:
        """Start it; `wait_ready` tells when it can take a job. log: file for what libraries print."""
        with log.open("wb") as errors:
            self._child = Child("gioconda.web.worker", settings.data, errors, _reports)
        self.pid = self._child.pid
        self.jobs = 0
        self._settings = settings
        limits = {"nice": settings.nice, "memory_bytes": settings.memory_bytes, "file_bytes": 8 * 2**30}
        self._send(limits)

    def _send(self, order: dict[str, Any]) -> None:
        with contextlib.suppress(OSError):  # that it has ended is seen by its reports
            self._child.stdin.write(json.dumps(order).encode() + b"\n")
            self._child.stdin.flush()

    def _next(self, seconds: float) -> dict[str, Any] | None:
        """The next report; an empty one if none came. None when the process has ended."""
        try:
            return self._child.messages.get(timeout=seconds)
        except queue.Empty:
            return {}

    def wait_ready(self, stopping: threading.Event) -> bool:
        """Whether it came up."""
        until = time.monotonic() + START_SECONDS
        while time.monotonic() < until and not stopping.is_set():
            message = self._next(TICK)
            if message is None:
                return False
            if "ready" in message:
                return True
        return False

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self._child.alive

    def memory(self) -> int:
        """Resident bytes; 0 if it has ended."""
        return self._child.memory()

    def kill(self) -> None:
        """End it, and whatever it started, at once."""
        self._child.end()

    def run(
        self,
        folder: Path,
        request: str,
        *,
        cancelled: threading.Event,
        stopping: threading.Event,
        report: Callable[[str, int, int], None],
    ) -> Outcome:
        """Carry out one job and tell how it ended; the process may have been killed for that."""
        self.jobs += 1
        settings = self._settings
        order = {
            "folder": str(folder),
            "request": request,
            "media_seconds": settings.media_seconds,
        }
        self._send(order)
        until = time.monotonic() + settings.job_seconds
        while True:
            message = self._next(TICK)
            if message is None:
                return Outcome("ended", self._how_it_ended())
            if "progress" in message:
                report(*message["progress"])
            elif message:
                return _outcome(message)
            if stopping.is_set() or cancelled.is_set():
                self._stop_job()
                return Outcome("stopped" if stopping.is_set() else "cancelled")
            if refusal := self._beyond_limits(until):
                self.kill()
                return Outcome("failed", refusal)

    def _stop_job(self) -> None:
        """Ask the job to end, and end the process if it does not heed."""
        self._send({"cancel": True})
        until = time.monotonic() + GRACE
        while (left := until - time.monotonic()) > 0:
            message = self._next(left)
            if message is None:
                break
            if message and "progress" not in message:
                return
        self.kill()

    def _beyond_limits(self, until: float) -> str | None:
        settings = self._settings
        if time.monotonic() > until:
            return f"the job took longer than {settings.job_seconds:.0f} s, the limit of this server; hand in less"
        if self.memory() > settings.memory_bytes:
            bound = settings.memory_bytes // 2**20
            return f"the job needs more than {bound:,} MiB of memory, the limit of this server; choose a smaller size"
        return None

    def _how_it_ended(self) -> str:
        code = self._child.wait()
        what = f"signal {-code}" if code < 0 else f"exit code {code}"
        return f"the worker process ended unexpectedly ({what})"


def _outcome(message: dict[str, Any]) -> Outcome:
    if "done" in message:
        return Outcome("done", result=Output.model_validate(message["done"]))
    if "cancelled" in message:
        return Outcome("cancelled")
    return Outcome("failed", str(message.get("failed")))
