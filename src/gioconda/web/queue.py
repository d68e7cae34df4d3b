"""The queue of jobs, as the API and the page use it: hand in, look, wait, cancel, fetch.

`submit` a request with its files, iterate over `events` until the job has ended, and read `result_path`.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from gioconda.errors import GiocondaError
from gioconda.web import files
from gioconda.web.files import PREVIEW, Folders
from gioconda.web.refusals import ClosingError, NotDoneError, QueueFullError, UnknownJobError
from gioconda.web.requests import JobRequest
from gioconda.web.settings import Settings
from gioconda.web.slots import Live, Slot
from gioconda.web.state import JobState
from gioconda.web.store import Store
from gioconda.web.workers import Outcome, Worker

LOG = logging.getLogger("gioconda.web")

STRAY_SECONDS = 3600.0  # after which an upload that never became a job is deleted


class JobQueue:
    """Jobs, from their files to their results. One object a server; every method may be called from any thread.

    Jobs run in worker processes in the order in which they came, and outlive the server: those that wait or ran
    when it ended are run by the next one with the same `settings.data`.
    """

    def __init__(self, settings: Settings) -> None:
        """Open the folder of data and start the workers.

        Raises InputError if another server uses the folder, OutputError if it cannot be written.
        """
        settings = self.settings = replace(settings, data=settings.data.absolute())
        self.folders = Folders(settings.data, reserve=settings.reserve_bytes)
        self._store = Store(settings.data / "jobs.sqlite")
        self._changed = threading.Condition()
        self._stopping = threading.Event()
        self._live: dict[str, Live] = {}
        self.counts: dict[tuple[str, str], int] = {}
        """Jobs that ended since the start, by kind and state."""
        self.restarts = 0
        """Workers that ended under a job since the start."""
        self._seconds = 10.0  # that a job takes, on the whole
        self._recover()
        self._slots = [
            Slot(settings, number, self._stopping, self._work) for number in range(settings.workers)
        ]
        self._sweeper = threading.Thread(target=self._sweep, name="gioconda-sweeper", daemon=True)
        for thread in (*self._slots, self._sweeper):
            thread.start()

    def submit(self, request: JobRequest, files_by_role: Mapping[str, Sequence[Path]]) -> str:
        """Queue a job and return its id, which nobody can guess: whoever knows it may see and cancel the job.

        files_by_role: paths on this machine by role, such as {"portrait": [path], "photo": [a, b]}; the roles of a
        kind of job are its `roles`. They are copied at once, under names of ours, and deleted when the job ends.
        Raises QueueFullError, LimitError (too large), InputError (missing, unfit, a link) or OutputError (disk).
        """
        request.check_files({role: len(paths) for role, paths in files_by_role.items()})
        self.check_room()
        job, folder = self.folders.fresh()
        try:
            files.adopt(folder, files_by_role, self.settings.upload_bytes)
            self.enqueue(job, request)
        except BaseException:
            self.folders.discard(job)
            raise
        return job

    def enqueue(self, job: str, request: JobRequest) -> None:
        """Queue a job whose files lie in its incoming folder already, as `Folders.fresh` made it."""
        with self._changed:
            self.check_room()
            self.folders.publish(job)
            self._store.add(job, request.kind, request.model_dump_json())
            self._changed.notify_all()
        LOG.info("job queued", extra={"job": job[:8], "kind": request.kind})

    def check_room(self) -> None:
        """QueueFullError if as many jobs wait as may; OutputError if the disk is nearly full; ClosingError."""
        if self.closed:
            raise ClosingError
        waiting = self._store.waiting()
        if waiting >= self.settings.queue:
            seconds = self._seconds * (waiting / max(1, self.settings.workers)) / 4
            raise QueueFullError(
                f"{waiting} jobs wait already, which is the limit; try again later",
                int(min(300, max(1, seconds))),
            )
        self.folders.check_space()

    def state(self, job: str) -> JobState:
        """Where a job stands now; UnknownJobError if there is none of this id."""
        self.folders.of(job)
        found = self._store.state(job)
        if found is None:
            raise UnknownJobError
        live = self._live.get(job)
        if live is not None and found.state == "running":
            return found.model_copy(update={"progress": live.progress})
        return found

    def events(self, job: str, *, every: float = 0.25) -> Iterator[JobState]:
        """The job's state now and whenever it has changed, looked at each `every` seconds, until it has ended.

        Blocks in between. Ends early if the queue is closed or the job is forgotten; UnknownJobError as `state`.
        """
        last = None
        while not self._stopping.is_set():
            now = self.state(job)
            if now != last:
                yield now
            if now.final:
                return
            last = now
            self._stopping.wait(every)

    def cancel(self, job: str) -> JobState:
        """Stop a job, whose files are gone when this returns; one that has ended already stays as it is.

        Returns its state, "cancelled" unless it had ended before. Takes a second at most. UnknownJobError.
        """
        self.state(job)
        with self._changed:
            live = self._live.get(job)
            if live is None:
                self._finish(job, Outcome("cancelled"))
        if live is not None:
            live.cancelled.set()
            with self._changed:
                self._changed.wait_for(lambda: job not in self._live or self._stopping.is_set(), timeout=10.0)
        return self.state(job)

    def forget(self, job: str) -> None:
        """Cancel a job if it has not ended, and delete all that is known of it; UnknownJobError."""
        self.cancel(job)
        self.folders.discard(job)
        self._store.forget(job)
        with self._changed:
            self._changed.notify_all()

    def result_path(self, job: str) -> Path:
        """The result's file: a video, a picture, or for `verify` the verdict as JSON.

        It is there until `JobState.expires`. UnknownJobError, or NotDoneError.
        """
        state = self.state(job)
        if state.state != "done":
            raise NotDoneError(f"the job is {state.state}; it has no result")
        suffixes = (".mp4", ".webm", ".gif", ".png", ".jpg", ".webp", ".json", ".safetensors")
        for suffix in suffixes:
            if (path := self.folders.inside(job, f"result{suffix}")) is not None:
                return path
        raise UnknownJobError

    def sidecar_path(self, job: str) -> Path | None:
        """The manifest's file, where the result's own format cannot hold it; None if the result holds it."""
        self.result_path(job)
        return self.folders.inside(job, "result.c2pa")

    def preview(self, job: str) -> bytes | None:
        """The latest frame of a film that is being made, as a small JPEG; None while there is none."""
        path = self.folders.inside(job, PREVIEW)
        try:
            return path.read_bytes() if path is not None else None
        except OSError:  # the job has ended meanwhile
            return None

    @property
    def waiting(self) -> int:
        """How many jobs are queued."""
        return self._store.waiting()

    @property
    def running(self) -> int:
        """How many jobs are in a worker's hands."""
        return len(self._live)

    @property
    def closed(self) -> bool:
        """Whether the queue takes no more jobs and runs none."""
        return self._stopping.is_set()

    def worker_memory(self) -> dict[int, int]:
        """Resident bytes of each worker process, by its process id."""
        return {one.pid: one.memory() for slot in self._slots if (one := slot.worker) is not None}

    @property
    def workers_up(self) -> int:
        """How many worker processes can take jobs, or have one."""
        return sum(one.alive for slot in self._slots if (one := slot.worker) is not None)

    def stop(self) -> None:
        """Take no more jobs, and let the workers stop; returns at once, and may be called by a signal's handler."""
        self._stopping.set()

    def close(self) -> None:
        """Stop the workers and wait for them. Jobs that run are queued again, for the next server of this folder."""
        self.stop()
        with self._changed:
            self._changed.notify_all()
        for thread in (*self._slots, self._sweeper):
            thread.join(15.0)
        self._store.close()

    def _recover(self) -> None:
        """Jobs that ran when the last server died are queued again, unless they were begun too often."""
        for job, attempts in self._store.orphans():
            self._again_or_fail(job, attempts, "the server ended")

    def _work(self, worker: Worker) -> None:
        """Carry out the next job, or wait a moment for one."""
        with self._changed:
            taken = self._store.take()
            if taken is None:
                self._changed.wait(1.0)
                return
            job, request = taken
            live = self._live[job] = Live()
            self._changed.notify_all()
        began = time.monotonic()
        self.folders.keep_inputs(job)
        try:
            outcome = worker.run(
                self.folders.of(job),
                request,
                cancelled=live.cancelled,
                stopping=self._stopping,
                report=live.update,
            )
        except Exception as error:  # a slot must not end with a job in its hands
            LOG.exception("a job broke its slot")
            worker.kill()
            outcome = Outcome("ended", f"a defect of gioconda ({type(error).__name__})")
        self._seconds += 0.2 * (time.monotonic() - began - self._seconds)
        self._settle(job, outcome)

    def _settle(self, job: str, outcome: Outcome) -> None:
        """Book how a job ended; once its worker has, it is run again."""
        with self._changed:
            if outcome.how == "stopped":
                self._store.again(job, counted=False)
            elif outcome.how == "ended":
                self.restarts += 1
                LOG.warning("a worker ended under a job: %s", outcome.error, extra={"job": job[:8]})
                found = self._store.state(job)
                self._again_or_fail(job, found.attempts if found else 0, outcome.error or "")
            else:
                self._finish(job, outcome)
            self._live.pop(job, None)
            self._changed.notify_all()

    def _again_or_fail(self, job: str, attempts: int, why: str) -> None:
        if attempts < self.settings.attempts:
            self._store.again(job, counted=True)
            return
        message = f"{why}, {attempts} times in a row; the job is given up: try other files or a smaller size"
        self._finish(job, Outcome("failed", message))

    def _finish(self, job: str, outcome: Outcome) -> None:
        """Keep a result, or delete all files, and book how a job ended; one that had ended before stays as it was."""
        found = self._store.state(job)
        if found is None or found.final:
            return
        if outcome.how == "done":
            self.folders.keep_results(job)
        else:
            self.folders.discard(job)
        self._store.finish(
            job, outcome.how, self.settings.keep_seconds, error=outcome.error, result=outcome.result
        )
        key = (found.kind, outcome.how)
        self.counts[key] = self.counts.get(key, 0) + 1
        LOG.info("job %s", outcome.how, extra={"job": job[:8], "kind": found.kind, "error": outcome.error})

    def _sweep(self) -> None:
        """Delete what has expired, now and again."""
        while not self._stopping.is_set():
            try:
                self.sweep()
            except (OSError, GiocondaError):
                LOG.exception("expired files could not be deleted")
            self._stopping.wait(min(60.0, self.settings.keep_seconds / 4))

    def sweep(self) -> None:
        """Delete jobs whose time is over, and files that belong to none."""
        for job in self._store.expired():
            self.folders.discard(job)
            self._store.forget(job)
        for stray in list(self.folders.strays(self._store.known(), STRAY_SECONDS)):
            self.folders.discard(stray)
