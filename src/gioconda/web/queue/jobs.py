"""The queue of jobs for the API and the page: submit, watch, cancel, fetch.

`submit` a request with its files, iterate over `events` until the job has ended, and read `result_path`.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

from gioconda.errors import GiocondaError
from gioconda.media import PICTURE_SUFFIXES, VIDEO_SUFFIXES
from gioconda.web import files
from gioconda.web.errors import ClosingError, KeyReusedError, NotDoneError, QueueFullError, UnknownJobError
from gioconda.web.files import PREVIEW, Folders
from gioconda.web.queue.slots import RunningJob, Slot
from gioconda.web.queue.state import JobState, Submission
from gioconda.web.queue.store import Store
from gioconda.web.queue.watchers import Watchers
from gioconda.web.queue.webhooks import SENDERS, Sender
from gioconda.web.queue.workers import Outcome, Worker
from gioconda.web.requests import JobRequest
from gioconda.web.settings import ServerSettings

LOG = logging.getLogger("gioconda.web")

# Seconds after which an upload that never became a job is deleted.
STRAY_SECONDS = 3600.0
# Seconds that a job takes, before any has been measured, and the weight of each new job in the running mean.
_FIRST_GUESS_SECONDS = 10.0
_MEAN_WEIGHT = 0.2
# Most seconds that Retry-After asks for.
_MOST_RETRY_SECONDS = 300
# Seconds to wait for a cancelled job, and for a thread at the end.
_CANCEL_SECONDS = 10.0
_JOIN_SECONDS = 15.0
# Most seconds between searches for expired files.
_SWEEP_SECONDS = 60.0
_ALONE = Submission()


class JobQueue:
    """All jobs of a server, from their files to their results. Every method may be called from any thread.

    Jobs run in worker processes in the order of their submission, and survive the server: the next server with the same
    `settings.data` runs those that waited or ran when it ended.

    Attributes:
        settings: The server's settings, with an absolute data folder.
        folders: The folders of the jobs.
        counts: Jobs that ended since the start, by kind and state.
        restarts: Workers that died during a job since the start.
    """

    def __init__(self, settings: ServerSettings) -> None:
        """Open the data folder and start the workers.

        Raises:
            InputError: Another server uses the folder, or the database is damaged.
            OutputError: The folder cannot be written.
        """
        settings = self.settings = replace(settings, data=settings.data.absolute())
        self.folders = Folders(settings.data, reserve=settings.reserve_bytes)
        self._store = Store(settings.data / "jobs.sqlite")
        # Reentrant, so that a change can be told by whoever makes it.
        self._changed = threading.Condition(threading.RLock())
        self._watchers = Watchers()
        self._stopping = threading.Event()
        self._running: dict[str, RunningJob] = {}
        self.counts: dict[tuple[str, str], int] = {}
        self.restarts = 0
        self._seconds = _FIRST_GUESS_SECONDS
        self._recover()
        self._slots = [
            Slot(settings, number, self._stopping, self._work, self._tell_change)
            for number in range(settings.workers)
        ]
        self._senders = self._webhook_senders()
        self._sweeper = threading.Thread(target=self._sweep, name="gioconda-sweeper", daemon=True)
        for thread in (*self._slots, *self._senders, self._sweeper):
            thread.start()

    def _tell_change(self) -> None:
        """Wake the threads and the clients that wait for a change."""
        with self._changed:
            self._changed.notify_all()
        self._watchers.tell()

    def watch(self, job: str, call: Callable[[], None]) -> AbstractContextManager[None]:
        """A context in which a function is called when the state of a job may have changed.

        Args:
            job: The job's id.
            call: Called in any thread; it has to return at once.
        """
        return self._watchers.watch(job, call)

    def _webhook_senders(self) -> list[Sender]:
        """The threads that send webhooks; none where no host is allowed."""
        token, hosts = self.settings.token, self.settings.webhook_hosts
        if not hosts:
            return []
        assert token is not None
        return [Sender(self._store, token, hosts, self._changed, self._stopping) for _ in range(SENDERS)]

    def submit(self, request: JobRequest, files_by_role: Mapping[str, Sequence[Path]]) -> str:
        """Copy a job's files and queue the job.

        Args:
            request: The request.
            files_by_role: Paths on this machine by role, such as {"portrait": [path], "photo": [a, b]}. The copies are
                deleted when the job ends.

        Returns:
            The job's unguessable id. Whoever knows it can see and cancel the job.

        Raises:
            QueueFullError: The queue is full.
            ClosingError: The server is shutting down.
            LimitError: The files are too large.
            InputError: A file is missing, is a link or is of a kind that its role does not accept.
            OutputError: The disk is nearly full.
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

    def enqueue(self, job: str, request: JobRequest, submission: Submission = _ALONE) -> str:
        """Queue a job whose files are already in the folder that `Folders.fresh` made.

        Args:
            job: The job's id.
            request: The request.
            submission: What came with it.

        Returns:
            The job's id, or that of the job that an earlier request with the same idempotency key has made; then the
            files are deleted.

        Raises:
            KeyReusedError: The key belongs to a job of another request.
            QueueFullError, ClosingError, OutputError: As `check_room`.
        """
        with self._changed:
            if submission.key is not None and (made := self._store.by_key(submission.key)) is not None:
                self.folders.discard(job)
                if made[1] != submission.fingerprint:
                    raise KeyReusedError
                return made[0]
            self.check_room()
            self.folders.publish(job)
            self._store.add(job, request.kind, request.model_dump_json(), submission)
            self._tell_change()
        LOG.info("job queued", extra={"job": job[:8], "kind": request.kind})
        return job

    def knows(self, key: str) -> bool:
        """Whether a job has this idempotency key."""
        return self._store.by_key(key) is not None

    def check_room(self) -> None:
        """Check that a job can be queued.

        Raises:
            QueueFullError: The queue is full.
            ClosingError: The server is shutting down.
            OutputError: The disk is nearly full.
        """
        if self.closed:
            raise ClosingError
        waiting = self._store.waiting()
        if waiting >= self.settings.queue:
            seconds = self._seconds * (waiting / max(1, self.settings.workers)) / 4
            raise QueueFullError(
                f"{waiting} jobs wait already, the limit of this server; try again later",
                int(min(_MOST_RETRY_SECONDS, max(1, seconds))),
            )
        self.folders.check_space()

    def state(self, job: str) -> JobState:
        """Return the present state of a job; UnknownJobError if it does not exist."""
        self.folders.of(job)
        state = self._store.state(job)
        if state is None:
            raise UnknownJobError
        running_job = self._running.get(job)
        if running_job is not None and state.state == "running":
            return state.model_copy(update={"progress": running_job.progress})
        return state

    def events(self, job: str, *, every: float = 0.25) -> Iterator[JobState]:
        """Yield the job's state now and at each change, until the job has ended. Blocks in between.

        Args:
            job: The job's id.
            every: Seconds between checks.

        Raises:
            UnknownJobError: The job does not exist, or no longer.
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
        """Stop a job and delete its files. A job that has ended stays as it is.

        Returns:
            The job's state: "cancelled", unless the job had ended before.

        Raises:
            UnknownJobError: The job does not exist.
        """
        self.state(job)
        with self._changed:
            running_job = self._running.get(job)
            if running_job is None:
                self._finish(job, Outcome("cancelled"))
                self._tell_change()
        if running_job is not None:
            running_job.cancelled.set()
            with self._changed:
                self._changed.wait_for(
                    lambda: job not in self._running or self._stopping.is_set(), timeout=_CANCEL_SECONDS
                )
        return self.state(job)

    def forget(self, job: str) -> None:
        """Cancel a job if it has not ended, and delete everything about it; UnknownJobError if it does not exist."""
        self.cancel(job)
        self.folders.discard(job)
        self._store.forget(job)
        self._tell_change()

    def result_path(self, job: str) -> Path:
        """Return the path of the result: a video, a picture, an adapted person or a verdict as JSON.

        Raises:
            UnknownJobError: The job does not exist, or has expired.
            NotDoneError: The job has not ended, has failed or was cancelled.
        """
        state = self.state(job)
        if state.state != "done":
            raise NotDoneError(f"the job is {state.state} and has no result")
        suffixes = (*VIDEO_SUFFIXES, *PICTURE_SUFFIXES, ".json", ".safetensors")
        for suffix in suffixes:
            if (path := self.folders.inside(job, f"result{suffix}")) is not None:
                return path
        raise UnknownJobError

    def sidecar_path(self, job: str) -> Path | None:
        """Return the path of the manifest if the result's format cannot hold it, else None; errors as `result_path`."""
        self.result_path(job)
        return self.folders.inside(job, "result.c2pa")

    def preview(self, job: str) -> bytes | None:
        """Return the latest frame of a running job as a small JPEG; None while there is none."""
        path = self.folders.inside(job, PREVIEW)
        try:
            return path.read_bytes() if path is not None else None
        # The job has just ended.
        except OSError:
            return None

    @property
    def waiting(self) -> int:
        """The number of jobs that wait."""
        return self._store.waiting()

    @property
    def running(self) -> int:
        """The number of jobs that run."""
        return len(self._running)

    @property
    def closed(self) -> bool:
        """Whether the queue accepts no more jobs."""
        return self._stopping.is_set()

    def worker_memory(self) -> dict[int, int]:
        """Return the resident bytes of each worker process, by process id."""
        workers = [slot.worker for slot in self._slots]
        return {worker.pid: worker.memory() for worker in workers if worker is not None}

    @property
    def workers_up(self) -> int:
        """The number of worker processes that are running."""
        return sum(worker.alive for slot in self._slots if (worker := slot.worker) is not None)

    def stop(self) -> None:
        """Accept no more jobs and stop the workers. Returns at once, so that signal handlers may call it."""
        self._stopping.set()
        # Idle threads wait on until `close`: a signal may interrupt one that holds their lock.
        self._watchers.tell()

    def close(self) -> None:
        """Stop the workers and wait for them. Running jobs are queued again, for the next server of this folder."""
        self.stop()
        self._tell_change()
        for thread in (*self._slots, *self._senders, self._sweeper):
            thread.join(_JOIN_SECONDS)
        self._store.close()

    def _recover(self) -> None:
        """Queue jobs again that ran when the last server died, unless they were started too often."""
        for job, attempts in self._store.orphans():
            self._requeue_or_fail(job, attempts, "the server ended")

    def _work(self, worker: Worker) -> None:
        """Wait for the next job and run it. Return without one when the worker has ended or the queue stops.

        Nothing has to be looked up from time to time: no other process may write the database, and all that adds a job
        or ends a worker tells the waiting slots.
        """
        with self._changed:
            while (taken := self._store.take()) is None:
                if not worker.alive or self._stopping.is_set():
                    return
                self._changed.wait()
            job, request = taken
            running_job = self._running[job] = RunningJob(self._watchers.of(job))
            self._tell_change()
        began = time.monotonic()
        self.folders.keep_inputs(job)
        try:
            outcome = worker.run(
                self.folders.of(job),
                request,
                cancelled=running_job.cancelled,
                stopping=self._stopping,
                progress=running_job.update,
            )
        # The slot has to survive, whatever happens to the job.
        except Exception as error:
            LOG.exception("a job broke its slot")
            worker.kill()
            outcome = Outcome("ended", f"a bug in gioconda ({type(error).__name__})")
        self._seconds += _MEAN_WEIGHT * (time.monotonic() - began - self._seconds)
        self._settle(job, outcome)

    def _settle(self, job: str, outcome: Outcome) -> None:
        """Record how a job ended, or queue it again where the server stopped or the worker died."""
        with self._changed:
            if outcome.how == "stopped":
                self._store.requeue(job, counted=False)
            elif outcome.how == "ended":
                self.restarts += 1
                LOG.warning("a worker died during a job: %s", outcome.error, extra={"job": job[:8]})
                state = self._store.state(job)
                self._requeue_or_fail(job, state.attempts if state else 0, outcome.error or "")
            else:
                self._finish(job, outcome)
            self._running.pop(job, None)
            self._tell_change()

    def _requeue_or_fail(self, job: str, attempts: int, reason: str) -> None:
        """Queue a job again whose worker died, or give it up after too many attempts."""
        if attempts < self.settings.attempts:
            self._store.requeue(job, counted=True)
            return
        message = f"{reason}, {attempts} times in a row; try other files or a smaller size"
        self._finish(job, Outcome("failed", message))

    def _finish(self, job: str, outcome: Outcome) -> None:
        """Keep the result or delete all files, and record how a job ended. A job that has ended stays as it is."""
        state = self._store.state(job)
        if state is None or state.final:
            return
        if outcome.how == "done":
            self.folders.keep_results(job)
        else:
            self.folders.discard(job)
        self._store.finish(
            job, outcome.how, self.settings.keep_seconds, error=outcome.error, result=outcome.result
        )
        key = (state.kind, outcome.how)
        self.counts[key] = self.counts.get(key, 0) + 1
        LOG.info("job %s", outcome.how, extra={"job": job[:8], "kind": state.kind, "error": outcome.error})

    def _sweep(self) -> None:
        """Delete expired jobs from time to time, until the queue stops."""
        while not self._stopping.is_set():
            try:
                self.sweep()
            except (OSError, GiocondaError):
                LOG.exception("expired files could not be deleted")
            self._stopping.wait(min(_SWEEP_SECONDS, self.settings.keep_seconds / 4))

    def sweep(self) -> None:
        """Delete expired jobs, and files that belong to no job."""
        for job in self._store.expired():
            self.folders.discard(job)
            self._store.forget(job)
        for stray in list(self.folders.strays(self._store.known(), STRAY_SECONDS)):
            self.folders.discard(stray)
