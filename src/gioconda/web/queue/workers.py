"""The server's side of worker processes: starts, watches and stops them."""

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

from gioconda.web.queue.child import Child
from gioconda.web.queue.state import Output
from gioconda.web.settings import ServerSettings

# Seconds between checks of a running job.
TICK = 0.1
# Seconds in which a cancelled job may clean up by itself.
GRACE = 0.6
# Seconds in which a worker has to become ready.
START_SECONDS = 120.0
# Largest file in bytes that a worker may write.
_FILE_BYTES = 8 * 2**30


@dataclass(frozen=True)
class Outcome:
    """How a job ended. "stopped" means that the server stops, "ended" that the job's worker died."""

    how: Literal["done", "failed", "cancelled", "stopped", "ended"]
    error: str | None = None
    result: Output | None = None


def _reports(lines: Iterable[bytes]) -> Iterator[dict[str, Any]]:
    """Parse a worker's reports."""
    return (json.loads(line) for line in lines)


class Worker:
    """One worker process.

    Attributes:
        pid: The process id.
        jobs: Jobs that it was given.
    """

    def __init__(self, settings: ServerSettings, log: Path, on_end: Callable[[], None]) -> None:
        """Start the process; `wait_ready` waits until it can take a job.

        Args:
            settings: The server's settings.
            log: The file for what libraries print.
            on_end: Called in a thread of its own, once `alive` is False.
        """
        with log.open("wb") as errors:
            self._child = Child("gioconda.web.queue.worker", settings.data, errors, _reports, on_end)
        self.pid = self._child.pid
        self.jobs = 0
        self._settings = settings
        limits = {"nice": settings.nice, "memory_bytes": settings.memory_bytes, "file_bytes": _FILE_BYTES}
        self._send({"limits": limits, "device": settings.device})

    def _send(self, command: dict[str, Any]) -> None:
        """Send a command; the end of the reports shows that the process has ended."""
        with contextlib.suppress(OSError):
            self._child.stdin.write(json.dumps(command).encode() + b"\n")
            self._child.stdin.flush()

    def _next(self, seconds: float) -> dict[str, Any] | None:
        """The next report; empty if none came in time, None when the process has ended."""
        try:
            return self._child.messages.get(timeout=seconds)
        except queue.Empty:
            return {}

    def wait_ready(self, stopping: threading.Event) -> bool:
        """Wait until the worker can take a job; False if it does not become ready."""
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
        """Return the process's resident bytes; 0 if it has ended."""
        return self._child.memory()

    def kill(self) -> None:
        """Kill the process and everything that it has started."""
        self._child.end()

    def run(
        self,
        folder: Path,
        request: str,
        *,
        cancelled: threading.Event,
        stopping: threading.Event,
        progress: Callable[[str, int, int], None],
    ) -> Outcome:
        """Run one job; a job beyond its limits costs the process.

        Args:
            folder: The job's folder.
            request: The request as JSON.
            cancelled: Set when the job is cancelled.
            stopping: Set when the server stops.
            progress: Called with the stage, the units done and the units in all.

        Returns:
            How the job ended.
        """
        self.jobs += 1
        settings = self._settings
        command = {
            "folder": str(folder),
            "request": request,
            "media_seconds": settings.media_seconds,
            "signer": [path and str(path) for path in (settings.key, settings.certificate)],
        }
        self._send(command)
        until = time.monotonic() + settings.job_seconds
        while True:
            message = self._next(TICK)
            if message is None:
                return Outcome("ended", self._how_it_ended())
            if "progress" in message:
                progress(*message["progress"])
            elif message:
                return _outcome(message)
            if stopping.is_set() or cancelled.is_set():
                self._stop_job()
                return Outcome("stopped" if stopping.is_set() else "cancelled")
            if refusal := self._beyond_limits(until):
                self.kill()
                return Outcome("failed", refusal)

    def _stop_job(self) -> None:
        """Ask the job to end, and kill the process if it does not."""
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
        """The message about a limit that the job exceeds; None if it exceeds none."""
        settings = self._settings
        if time.monotonic() > until:
            return (
                f"the job took longer than {settings.job_seconds:.0f} s, the limit of this server; shorten it"
            )
        if self.memory() > settings.memory_bytes:
            bound = settings.memory_bytes // 2**20
            return f"the job needs more than {bound:,} MiB of memory, the limit of this server; choose a smaller size"
        return None

    def _how_it_ended(self) -> str:
        """The message about a process that has ended."""
        code = self._child.wait()
        reason = f"signal {-code}" if code < 0 else f"exit code {code}"
        return f"the worker process ended unexpectedly ({reason})"


def _outcome(message: dict[str, Any]) -> Outcome:
    """The outcome that a job's last report tells."""
    if "done" in message:
        return Outcome("done", result=Output.model_validate(message["done"]))
    if "cancelled" in message:
        return Outcome("cancelled")
    return Outcome("failed", str(message.get("failed")))
