"""Worker processes: started afresh, watched, stopped at once, and replaced when they end."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import psutil

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


class Worker:
    """One process, a fresh interpreter in a session of its own."""

    def __init__(self, settings: Settings, log: Path) -> None:
        """Start it; `wait_ready` tells when it can take a job. log: file for what libraries print."""
        environment = {name: value for name, value in os.environ.items() if name != "GIOCONDA_TOKEN"}
        with log.open("wb") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "gioconda.web.worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=environment,
                cwd=settings.data,
                start_new_session=True,
            )
        self.pid = self._process.pid
        self.jobs = 0
        self._settings = settings
        self._messages: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read, name="gioconda-reports", daemon=True)
        self._reader.start()
        limits = {"nice": settings.nice, "memory_bytes": settings.memory_bytes, "file_bytes": 8 * 2**30}
        self._send(limits)

    def _read(self) -> None:
        assert self._process.stdout is not None
        with contextlib.suppress(ValueError, OSError):
            for line in self._process.stdout:
                self._messages.put(json.loads(line))
        self._messages.put(None)

    def _send(self, order: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):  # that it has ended is seen by its reports
            self._process.stdin.write(json.dumps(order).encode() + b"\n")
            self._process.stdin.flush()

    def _next(self, seconds: float) -> dict[str, Any] | None:
        """The next report; an empty one if none came. None when the process has ended."""
        try:
            return self._messages.get(timeout=seconds)
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
        return self._process.poll() is None

    def memory(self) -> int:
        """Resident bytes; 0 if it has ended."""
        try:
            return int(psutil.Process(self.pid).memory_info().rss)
        except psutil.Error:
            return 0

    def kill(self) -> None:
        """End it, and whatever it started, at once."""
        with contextlib.suppress(OSError):
            if sys.platform == "win32":
                self._process.kill()
            else:
                os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()
        self._reader.join(1.0)
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()

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
        code = self._process.wait()
        what = f"signal {-code}" if code < 0 else f"exit code {code}"
        return f"the worker process ended unexpectedly ({what})"


def _outcome(message: dict[str, Any]) -> Outcome:
    if "done" in message:
        return Outcome("done", result=Output.model_validate(message["done"]))
    if "cancelled" in message:
        return Outcome("cancelled")
    return Outcome("failed", str(message.get("failed")))
