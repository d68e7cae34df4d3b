"""Runs jobs in several processes, on this machine or a Ray cluster; a crash costs at most one clip.

A job writes the index of its current clip into its marker. A clip at which a process dies twice is left out.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from itertools import count
from multiprocessing import get_context, parent_process
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Protocol, TypeVar

from gioconda.cluster import RETRIES, WorkerLost, on_device, open_executor
from gioconda.cluster.executor import Raised
from gioconda.errors import GiocondaError

# Seconds between checks of the jobs' progress
TICK = 1.0


class ResumableJob(Protocol):
    """A job that writes the index of its current clip into the file `marker`."""

    @property
    def marker(self) -> Path:
        """The file; it exists while the job runs, and after a crash."""

    def __len__(self) -> int: ...

    def without(self: AnyJob, index: int) -> AnyJob:
        """The same job without one clip."""


AnyJob = TypeVar("AnyJob", bound=ResumableJob)
# Called with the number of clips finished since the last call, and with 0 at each tick
Watch = Callable[[int], None]

_stop: Event | None = None


def stopped() -> bool:
    """Whether this process should end before the next clip."""
    return _stop is not None and _stop.is_set()


def reached(marker: Path) -> int | None:
    """Index of a job's current clip; None if its marker is not readable."""
    try:
        return int(marker.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None


def in_processes(jobs: Sequence[AnyJob], make: Callable[[AnyJob], None], workers: int, watch: Watch) -> None:
    """Run jobs in processes of this machine; an error of `make` stops all and is raised.

    Raises GiocondaError if processes die before they start, or if a job crashes again and again.
    """
    left = list(jobs)
    while left:
        before, left = len(left), _pool(left, make, workers, watch)
        suspects = [job for job in left if job.marker.exists()]
        if not suspects and len(left) == before:
            raise GiocondaError(
                "the worker processes die before they start; use fewer --workers if memory is short"
            )
        # One by one, so that a crash has one possible cause
        for job in suspects:
            _alone(job, make, watch)
        left = [job for job in left if job not in suspects]


def _alone(job: AnyJob, make: Callable[[AnyJob], None], watch: Watch) -> None:
    """Run a job that was active at a crash, if necessary without the clips that cause crashes."""
    last = reached(job.marker)
    for _ in range(2 * len(job) + 2):
        if not _pool([job], make, 1, watch):
            return
        at = reached(job.marker)
        if at is not None and at == last:
            job = job.without(at)
        last = at
    raise GiocondaError(f"{job.marker.stem} crashes again and again; check this machine's memory")


def _pool(jobs: Sequence[AnyJob], make: Callable[[AnyJob], None], workers: int, watch: Watch) -> list[AnyJob]:
    """Run jobs; return those that are not done because a process crashed."""
    context = get_context("spawn")
    stop = context.Event()
    pool = ProcessPoolExecutor(min(workers, len(jobs)), context, _begin, (stop,))
    done: set[Future[None]] = set()
    of: dict[Future[None], AnyJob] = {}
    try:
        with contextlib.suppress(BrokenProcessPool):
            of |= {pool.submit(on_device(make), job): job for job in jobs}
            pending = set(of)
            while pending:
                finished, pending = wait(pending, TICK, FIRST_COMPLETED)
                watch(0)
                for future in finished:
                    future.result()
                    done.add(future)
                    watch(len(of[future]))
    except BaseException:
        stop.set()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
    finished_jobs = {id(of[future]) for future in done}
    return [job for job in jobs if id(job) not in finished_jobs]


def _begin(stop: Event) -> None:
    """Set up a process: it ends with its parent, and only the parent reacts to Ctrl-C."""
    global _stop  # noqa: PLW0603 (one for each process, set once)
    _stop = stop
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def over_ray(
    jobs: Sequence[AnyJob],
    make: Callable[[AnyJob], None],
    address: str,
    workers: int | None,
    watch: Watch,
) -> None:
    """Run jobs on a Ray cluster whose machines see the same files under the same paths.

    Args:
        jobs: The jobs.
        make: Runs one job.
        address: "auto" for the cluster that this machine belongs to, "local" for a temporary one, or HOST:PORT.
        workers: The most jobs at once; None for the size of the cluster.
        watch: Called with finished clips.

    Raises:
        MissingFileError: Ray is not installed.
        InputError: There is no cluster at the address.
        GiocondaError: A job is lost again and again.
    """
    waiting = list(reversed(jobs))
    running: dict[int, AnyJob] = {}
    lost: Counter[Path] = Counter()
    with open_executor(address, workers) as executor:
        for number in count():
            if not (waiting or running):
                return
            if waiting and len(running) < max(1, executor.size()):
                running[number] = waiting.pop()
                executor.submit(number, on_device(make), running[number])
                continue
            for done, outcome in executor.finished(TICK):
                job = running.pop(done)
                if isinstance(outcome, Raised):
                    raise outcome.error from None
                if isinstance(outcome, WorkerLost):
                    lost[job.marker] += 1
                    waiting.append(_again(job, lost[job.marker], outcome.reason))
                else:
                    watch(len(job))
            watch(0)


def _again(job: AnyJob, times: int, reason: str) -> AnyJob:
    """A job for another try, without the clip at which its process was lost 1 + RETRIES times."""
    if times % (1 + RETRIES):
        return job
    at = reached(job.marker)
    if at is None or times > (1 + RETRIES) * len(job):
        raise GiocondaError(f"{job.marker.stem} is lost on the cluster again and again: {reason}")
    return job.without(at)
