"""Worker slots: each keeps one worker process running and gives it jobs."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from gioconda.web.queue.state import Progress
from gioconda.web.queue.workers import Worker
from gioconda.web.settings import ServerSettings

LOG = logging.getLogger("gioconda.web")
# Seconds before the second attempt to start a worker; each further wait is twice as long, up to the most.
_FIRST_PAUSE = 1.0
_MOST_PAUSE = 30.0
# Seconds of a stage after which its rate is meaningful.
_RATE_SECONDS = 0.2


@dataclass
class RunningJob:
    """A running job.

    Attributes:
        on_progress: Called after each report.
        cancelled: Set once the job is cancelled.
        progress: How far its present stage is; None before the first report.
        since: The monotonic time in seconds at which the present stage began.
    """

    on_progress: Callable[[], None] = lambda: None
    cancelled: threading.Event = field(default_factory=threading.Event)
    progress: Progress | None = None
    since: float = 0.0

    def update(self, stage: str, done: int, total: int) -> None:
        """Note how far the job is, and how fast its stage has been."""
        now = time.monotonic()
        if self.progress is None or self.progress.stage != stage:
            self.since = now
        spent = now - self.since
        rate = done / spent if spent > _RATE_SECONDS else None
        left = max(0, total - done) / rate if rate and total else None
        self.progress = Progress(stage=stage, done=done, total=total, rate=rate, seconds_left=left)
        self.on_progress()


class Slot(threading.Thread):
    """A thread that keeps a worker running until `stopping` is set, and calls `work` to give it jobs.

    `work` returns after each job, when the worker has ended, and when `stopping` is set.

    Attributes:
        worker: The process that can take jobs; None while there is none.
    """

    def __init__(
        self,
        settings: ServerSettings,
        number: int,
        stopping: threading.Event,
        work: Callable[[Worker], None],
        on_end: Callable[[], None],
    ) -> None:
        """Prepare a slot.

        Args:
            settings: The server's settings.
            number: The slot's, from 0.
            stopping: Ends the thread.
            work: Gives a worker jobs.
            on_end: Called in some thread when a worker has ended.
        """
        super().__init__(name=f"gioconda-worker-{number}", daemon=True)
        self._settings, self._number, self._stopping, self._work = settings, number, stopping, work
        self._on_end = on_end
        self.worker: Worker | None = None

    def run(self) -> None:
        """Start workers and give them jobs until the server stops."""
        pause = _FIRST_PAUSE
        try:
            while not self._stopping.is_set():
                worker = self.worker
                if worker is None or not worker.alive or worker.jobs >= self._settings.recycle:
                    worker = self._replace()
                    if worker is None:
                        self._stopping.wait(pause)
                        pause = min(2 * pause, _MOST_PAUSE)
                        continue
                pause = _FIRST_PAUSE
                self._work(worker)
        finally:
            if self.worker is not None:
                self.worker.kill()

    def _replace(self) -> Worker | None:
        """Start a new worker in place of the last; None if it does not become ready."""
        if self.worker is not None:
            self.worker.kill()
            self.worker = None
        fresh = Worker(self._settings, self._settings.data / f"worker{self._number}.log", self._on_end)
        if fresh.wait_ready(self._stopping):
            self.worker = fresh
            return fresh
        fresh.kill()
        if not self._stopping.is_set():
            LOG.error("a worker does not start; its log says why", extra={"slot": self._number})
        return None
