"""`gioconda batch`: what is done is skipped, the rest is carried out, and one summary says what came of all."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

import gioconda
from gioconda import cluster, media
from gioconda.batch.jobs import Job, as_typed
from gioconda.batch.record import Digests, Record, hashes
from gioconda.batch.work import MACHINE_HINT, Task, Told, late, perform
from gioconda.cluster import Crew, Lost
from gioconda.errors import GiocondaError, InputError
from gioconda.media import owners

OFF = "off"
SHARED_SECONDS = 5.0  # that a shared folder may take until it shows a file of another machine


@dataclass(frozen=True)
class Settings:
    """How a batch is run. workers: jobs at once, one a core if None. retries: of a job whose process was lost.

    ray: a cluster's address (`cluster.crew`), "off" for plain processes, None for Ray on this machine if it is
    installed. seconds: that a job may take. again: redo what is done.
    """

    workers: int | None = None
    ray: str | None = None
    retries: int = cluster.RETRIES
    seconds: float | None = None
    again: bool = False


@dataclass(frozen=True)
class Line:
    """A job of the summary: line in the table, output as it stands there, what came of it."""

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
    """What came of a batch. lost: tries that ended with their process and were made again. seconds: of all.

    place: where the work was done; empty where nothing had to be. stopped: by Ctrl-C.
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
        """Frames that were made."""
        return sum(one.frames for one in self.done)

    @property
    def rate(self) -> float:
        """Frames a second, over all."""
        return self.frames / self.seconds if self.seconds > 0 else 0.0

    def write(self, path: Path) -> None:
        """Write it as JSON; OutputError."""
        told = asdict(self) | {"version": gioconda.__version__, "frames": self.frames}
        told |= {"frames_per_second": round(self.rate, 3), "seconds": round(self.seconds, 3)}
        media.write_whole(path, (json.dumps(told, indent=1, ensure_ascii=False) + "\n").encode())


Tell = Callable[[str, int, int, Summary], None]  # stage, done, total, what came of the jobs so far
Note = Callable[[str], None]


def pending(
    jobs: Sequence[Job], record: Record, digests: Digests, *, again: bool, tell: Tell, summary: Summary
) -> list[Job]:
    """The jobs that have to be made; others go to the summary as skipped."""
    todo = []
    for count, job in enumerate(jobs, 1):
        digest = digests.of(job)
        entry = None if again else record.done(job, digest)
        if entry is None:
            todo.append(job)
        else:
            summary.skipped.append(Line(job.line, job.name, frames=entry.frames))
        tell("compare", count, len(jobs), summary)
    return todo


def run(
    table: Path,
    jobs: Sequence[Job],
    settings: Settings,
    *,
    tell: Tell = lambda *_: None,
    note: Note = lambda _: None,
    summary: Summary | None = None,
) -> Summary:
    """Carry out the jobs of a table. summary: filled as jobs end, so that a caller has it whatever happens.

    tell: told of progress. note: told what people should know. Raises InputError where there is no such cluster, or
    where another run has the table's record, OutputError where that cannot be written.
    """
    summary = Summary(len(jobs)) if summary is None else summary
    since = time.perf_counter()
    try:
        with Record(table) as record:
            digests = Digests()
            todo = pending(jobs, record, digests, again=settings.again, tell=tell, summary=summary)
            if todo:
                _carry_out(table, todo, record, digests, settings, summary, tell, note)
    except KeyboardInterrupt:
        summary.stopped = True
        raise
    finally:
        summary.seconds = time.perf_counter() - since
    return summary


def _carry_out(
    table: Path,
    todo: Sequence[Job],
    record: Record,
    digests: Digests,
    settings: Settings,
    summary: Summary,
    tell: Tell,
    note: Note,
) -> None:
    tasks = [_task(job, settings) for job in todo]
    job_of = {job.line: job for job in todo}
    try:
        with _crew(settings, len(todo), note) as crew:
            summary.place = crew.place
            tell("jobs", 0, len(todo), summary)

            def lost(_task: Task) -> None:
                summary.lost += 1

            ended = cluster.attempt(
                crew, perform, tasks, retries=settings.retries, seconds=settings.seconds, lost=lost
            )
            for count, (task, told) in enumerate(ended, 1):
                job = job_of[task.line]
                line = _line(table, job, _lost(told, settings) if isinstance(told, Lost) else told)
                if not line.error and isinstance(told, Told) and digests.still(job):
                    record.add(job, digests.of(job), told.made, told.frames)
                (summary.failed if line.error else summary.done).append(line)
                tell("jobs", count, len(todo), summary)
    finally:
        for folder in {job.out.parent for job in todo}:
            owners.sweep(folder)  # what processes left that were killed


def _task(job: Job, settings: Settings) -> Task:
    sizes = tuple((path, path.stat().st_size) for path in dict.fromkeys(job.inputs))
    return Task(job.line, job.order, job.out, sizes, settings.seconds)


@contextmanager
def _crew(settings: Settings, jobs: int, note: Note) -> Iterator[Crew]:
    """Ray on this machine unless something else is asked for; plain processes where it is not to be had."""
    workers = settings.workers
    with ExitStack() as stack:
        if settings.ray not in (None, OFF):
            yield stack.enter_context(cluster.crew(settings.ray, workers))
            return
        workers = min(workers or os.cpu_count() or 1, jobs)
        crew: Crew | None = None
        if settings.ray is None:
            try:
                crew = stack.enter_context(cluster.crew(cluster.LOCAL, workers))
            except InputError as error:  # not installed, or it does not start
                note(f"plain processes do the work: {error}")
        yield crew or stack.enter_context(cluster.crew(None, workers))


def _lost(lost: Lost, settings: Settings) -> Told:
    if lost.late and settings.seconds is not None:
        return Told(late(settings.seconds))
    times = "" if lost.tries == 1 else f", {lost.tries} times"
    return Told(f"{lost.reason}{times}; is there memory for so many at once? --workers takes fewer")


def _line(table: Path, job: Job, told: Told) -> Line:
    """What came of a job, and whether this machine sees the same."""
    error = as_typed(told.error, table)
    if not error and not _arrived(job, told):
        error = f"it was made on machine {told.machine} and is not to be seen here: {MACHINE_HINT}"
    return Line(
        job.line,
        job.name,
        error,
        told.frames,
        round(told.seconds, 3),
        told.warnings,
        told.machine,
        told.process,
    )


def _arrived(job: Job, told: Told) -> bool:
    until = time.monotonic() + SHARED_SECONDS
    while True:
        with suppress(GiocondaError):
            if hashes(job.out) == told.made:
                return True
        if time.monotonic() > until:
            return False
        time.sleep(0.2)
