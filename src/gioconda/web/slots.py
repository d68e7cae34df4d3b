"""Worker slots: each keeps one worker process up and hands it jobs; and what is known of a job in its hands."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from gioconda.web.settings import Settings
from gioconda.web.state import Progress
from gioconda.web.workers import Worker

LOG = logging.getLogger("gioconda.web")
_SLOWEST_RESTART = 30.0  # seconds between attempts to start a worker that does not come up
_MEASURED = 0.2  # seconds after which a rate means something


@dataclass
class Live:
    """A job in a worker's hands."""

    cancelled: threading.Event = field(default_factory=threading.Event)
    progress: Progress | None = None
    since: float = 0.0

    def update(self, stage: str, done: int, total: int) -> None:
        """Note how far it is, and how fast it went since its stage began."""
        now = time.monotonic()
        if self.progress is None or self.progress.stage != stage:
            self.since = now
        spent = now - self.since
        rate = done / spent if spent > _MEASURED else None
        left = max(0, total - done) / rate if rate and total else None
        self.progress = Progress(stage=stage, done=done, total=total, rate=rate, seconds_left=left)


class Slot(threading.Thread):
    """A thread that keeps a worker up until `stopping`, and lets `work` give it one job after the other."""

    def __init__(
        self, settings: Settings, number: int, stopping: threading.Event, work: Callable[[Worker], None]
    ) -> None:
        super().__init__(name=f"gioconda-worker-{number}", daemon=True)
        self._settings, self._number, self._stopping, self._work = settings, number, stopping, work
        self.worker: Worker | None = None
        """The process that can take jobs; None while there is none."""

    def run(self) -> None:
        """The slot's whole life."""
        pause = 1.0
        try:
            while not self._stopping.is_set():
                worker = self.worker
                if worker is None or not worker.alive or worker.jobs >= self._settings.recycle:
                    worker = self._replace()
                    if worker is None:
                        self._stopping.wait(pause)
                        pause = min(2 * pause, _SLOWEST_RESTART)
                        continue
                pause = 1.0
                self._work(worker)
        finally:
            if self.worker is not None:
                self.worker.kill()

    def _replace(self) -> Worker | None:
        """A fresh worker that is ready; None if it did not come up."""
        if self.worker is not None:
            self.worker.kill()
            self.worker = None
        fresh = Worker(self._settings, self._settings.data / f"worker{self._number}.log")
        if fresh.wait_ready(self._stopping):
            self.worker = fresh
            return fresh
        fresh.kill()
        if not self._stopping.is_set():
            LOG.error("a worker does not start; its log tells why", extra={"slot": self._number})
        return None
