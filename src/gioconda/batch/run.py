"""Runs the jobs of a table, skips those that are done, and summarises the outcome."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

import gioconda
from gioconda import cluster, media
from gioconda.batch.jobs import BatchJob, as_typed
from gioconda.batch.record import Digests, Record, hashes
from gioconda.batch.work import MACHINE_HINT, BatchTask, TaskResult, perform, timeout_message
from gioconda.cluster import Executor, WorkerLost
from gioconda.errors import GiocondaError, InputError
from gioconda.media import owners
from gioconda.runtime.cores import machine_cores
from gioconda.runtime.text import readable

# The value of `ray` for plain processes.
OFF = "off"
# Seconds that a shared folder may take to show a file of another machine, and between checks.
SHARED_SECONDS = 5.0
_SHARED_CHECK_SECONDS = 0.2


@dataclass(frozen=True)
class BatchSettings:
    """How a batch is run.

    Attributes:
        workers: Jobs at once; one per core if None.
        ray: A cluster's address (see `cluster.open_executor`), "off" for plain processes, None for Ray on this machine
            if it is installed.
        retries: Retries of a job whose process is lost.
        seconds: What a job may take; None for any time.
        again: Whether jobs that are done are done again.
    """

    workers: int | None = None
    ray: str | None = None
    retries: int = cluster.RETRIES
    seconds: float | None = None
    again: bool = False


@dataclass(frozen=True)
class Line:
    """The outcome of one job.

    Attributes:
        line: The job's line in the table.
        out: The output as the table names it.
        error: Why it failed; empty if it did not.
        frames: Frames that were made.
        seconds: What the work took.
        warnings: The warnings of the pipeline.
        machine: The name of the machine that did the work.
        process: The id of the process that did the work.
    """

    line: int
    out: str
    error: str = ""
    frames: int = 0
    seconds: float = 0.0
    warnings: tuple[str, ...] = ()
    machine: str = ""
    process: int = 0


@dataclass
class Summary:
    """The outcome of a batch.

    Attributes:
        jobs: Jobs of the table.
        done: Jobs that were done.
        skipped: Jobs that were already done.
        failed: Jobs that failed.
        lost: Attempts that were repeated because their process was lost.
        seconds: What the batch took.
        place: Where the work was done, for people; empty if there was none.
        stopped: Whether Ctrl-C stopped the batch.
    """

    jobs: int
    done: list[Line] = field(default_factory=list)
    skipped: list[Line] = field(default_factory=list)
    failed: list[Line] = field(default_factory=list)
    lost: int = 0
    seconds: float = 0.0
    place: str = ""
    stopped: bool = False

    @property
    def frames(self) -> int:
        """The frames that were made."""
        return sum(line.frames for line in self.done)

    @property
    def rate(self) -> float:
        """Frames per second over the whole batch."""
        return self.frames / self.seconds if self.seconds > 0 else 0.0

    def write(self, path: Path) -> None:
        """Write the summary as JSON; OutputError if that fails."""
        content = asdict(self) | {"version": gioconda.__version__, "frames": self.frames}
        content |= {"frames_per_second": round(self.rate, 3), "seconds": round(self.seconds, 3)}
        text = readable(json.dumps(content, indent=1, ensure_ascii=False))
        media.write_whole(path, f"{text}\n".encode())


BatchProgress = Callable[[str, int, int, Summary], None]
"""Called with the stage, the jobs done, the jobs in all and the summary so far."""
Note = Callable[[str], None]
"""Called with a sentence for people."""


def pending(
    jobs: Sequence[BatchJob],
    record: Record,
    digests: Digests,
    *,
    again: bool,
    progress: BatchProgress,
    summary: Summary,
) -> list[BatchJob]:
    """Return the jobs that are not done; add the others to the summary as skipped.

    Args:
        jobs: The jobs of a table.
        record: The table's record.
        digests: Computes the jobs' digests.
        again: Whether jobs that are done are done again.
        progress: Called after each job.
        summary: Gets the skipped jobs.

    Raises:
        InputError: An input can no longer be read.
    """
    todo = []
    for count, job in enumerate(jobs, 1):
        digest = digests.of(job)
        entry = None if again else record.done(job, digest)
        if entry is None:
            todo.append(job)
        else:
            summary.skipped.append(Line(job.line, job.name, frames=entry.frames))
        progress("compare", count, len(jobs), summary)
    return todo


def run(
    table: Path,
    jobs: Sequence[BatchJob],
    settings: BatchSettings,
    *,
    progress: BatchProgress = lambda *_: None,
    note: Note = lambda _: None,
    summary: Summary | None = None,
) -> Summary:
    """Run the jobs of a table.

    Args:
        table: The path of the table.
        jobs: Its jobs.
        settings: How they are run.
        progress: Called with stage, jobs done, jobs in all and the summary so far.
        note: Called with sentences for people.
        summary: Filled as jobs end, so that the caller has it whatever happens.

    Raises:
        InputError: No cluster answers, or another run has the table's record.
        OutputError: The record cannot be written.
    """
    summary = Summary(len(jobs)) if summary is None else summary
    since = time.perf_counter()
    try:
        with Record(table) as record:
            digests = Digests()
            todo = pending(jobs, record, digests, again=settings.again, progress=progress, summary=summary)
            if todo:
                _carry_out(table, todo, record, digests, settings, summary, progress, note)
    except KeyboardInterrupt:
        summary.stopped = True
        raise
    finally:
        summary.seconds = time.perf_counter() - since
    return summary


def _carry_out(
    table: Path,
    todo: Sequence[BatchJob],
    record: Record,
    digests: Digests,
    settings: BatchSettings,
    summary: Summary,
    progress: BatchProgress,
    note: Note,
) -> None:
    """Run jobs and record those that are done."""
    share = max(machine_cores() // _at_once(settings, len(todo)), 1) if settings.ray in (None, OFF) else 1
    tasks = [_task(job, settings, share) for job in todo]
    job_of = {job.line: job for job in todo}
    try:
        with _executor(settings, len(todo), note) as executor:
            summary.place = executor.place
            progress("jobs", 0, len(todo), summary)

            def on_lost(_task: BatchTask) -> None:
                summary.lost += 1

            outcomes = cluster.attempt(
                executor, perform, tasks, retries=settings.retries, seconds=settings.seconds, on_lost=on_lost
            )
            for count, (task, outcome) in enumerate(outcomes, 1):
                job = job_of[task.line]
                result = _lost_result(outcome, settings) if isinstance(outcome, WorkerLost) else outcome
                line = _line(table, job, result)
                if not line.error and digests.unchanged(job):
                    record.add(job, digests.of(job), result.output_hashes, result.frames)
                (summary.failed if line.error else summary.done).append(line)
                progress("jobs", count, len(todo), summary)
    finally:
        for folder in {job.out.parent for job in todo}:
            owners.sweep(folder)


def _at_once(settings: BatchSettings, jobs: int) -> int:
    """The number of jobs that run at once on this machine, of `jobs` in all."""
    return min(settings.workers or machine_cores(), jobs)


def _task(job: BatchJob, settings: BatchSettings, share: int = 1) -> BatchTask:
    """The job as it is sent to a process, which may use `share` cores."""
    sizes = tuple((path, path.stat().st_size) for path in dict.fromkeys(job.inputs))
    return BatchTask(job.line, job.request, sizes, settings.seconds, share)


@contextmanager
def _executor(settings: BatchSettings, jobs: int, note: Note) -> Iterator[Executor]:
    """The executor that the settings name; by default Ray on this machine, or plain processes without Ray."""
    workers = settings.workers
    with ExitStack() as stack:
        if settings.ray not in (None, OFF):
            yield stack.enter_context(cluster.open_executor(settings.ray, workers))
            return
        workers = _at_once(settings, jobs)
        executor: Executor | None = None
        if settings.ray is None:
            try:
                executor = stack.enter_context(cluster.open_executor(cluster.LOCAL, workers))
            # Ray is not installed, or does not start.
            except InputError as error:
                note(f"plain processes run the jobs: {error}")
        yield executor or stack.enter_context(cluster.open_executor(None, workers))


def _lost_result(lost: WorkerLost, settings: BatchSettings) -> TaskResult:
    """The result of a job that was lost too often, or took too long."""
    if lost.late and settings.seconds is not None:
        return TaskResult(timeout_message(settings.seconds))
    times = "" if lost.tries == 1 else f", {lost.tries} times"
    return TaskResult(f"{lost.reason}{times}; if memory is short, run fewer at once with --workers")


def _line(table: Path, job: BatchJob, result: TaskResult) -> Line:
    """The outcome of a job; an error if this machine does not see the output."""
    error = as_typed(result.error, table)
    if not error and not _arrived(job, result):
        error = f"it was made on machine {result.machine}, but this machine does not see it: {MACHINE_HINT}"
    return Line(
        job.line,
        job.name,
        error,
        result.frames,
        round(result.seconds, 3),
        result.warnings,
        result.machine,
        result.process,
    )


def _arrived(job: BatchJob, result: TaskResult) -> bool:
    """Whether this machine sees the output, which may take a moment in a shared folder."""
    until = time.monotonic() + SHARED_SECONDS
    while True:
        with suppress(GiocondaError):
            if hashes(job.out) == result.output_hashes:
                return True
        if time.monotonic() > until:
            return False
        time.sleep(_SHARED_CHECK_SECONDS)
