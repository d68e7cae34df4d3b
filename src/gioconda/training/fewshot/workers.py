"""Jobs in several processes, of this machine or of a Ray cluster, such that one that crashes costs one clip at most.

A job writes the index of the clip it is at into its marker. A clip in which a process ends twice is left out.
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

from gioconda.cluster import RETRIES, Lost, crew
from gioconda.cluster.crew import Raised
from gioconda.errors import GiocondaError

TICK = 1.0  # seconds between looks at how far the jobs are


class Job(Protocol):
    """A piece of work that tells in the file `marker` at which of its clips it is."""

    @property
    def marker(self) -> Path:
        """The file, there while the job is at work, or since it crashed."""

    def __len__(self) -> int: ...

    def without(self: AnyJob, index: int) -> AnyJob:
        """The same job, but for a clip."""


AnyJob = TypeVar("AnyJob", bound=Job)
Watch = Callable[[int], None]  # told of how many clips were finished since the last call, 0 at each tick

_stop: Event | None = None


def stopped() -> bool:
    """Whether this process was asked to end between two clips."""
    return _stop is not None and _stop.is_set()


def reached(marker: Path) -> int | None:
    """The index of the clip that a job is at, or None where that cannot be told."""
    try:
        return int(marker.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None


def in_processes(jobs: Sequence[AnyJob], make: Callable[[AnyJob], None], workers: int, watch: Watch) -> None:
    """Carry out jobs in so many processes of this machine; raises what `make` raises, and stops all then."""
    left = list(jobs)
    while left:
        before, left = len(left), _pool(left, make, workers, watch)
        suspects = [job for job in left if job.marker.exists()]
        if not suspects and len(left) == before:
            raise GiocondaError("the worker processes end before they begin; is there memory for so many?")
        for job in suspects:  # one by one, so that the crash is surely its own
            _alone(job, make, watch)
        left = [job for job in left if job not in suspects]


def _alone(job: AnyJob, make: Callable[[AnyJob], None], watch: Watch) -> None:
    """Carry out a job that was at work when a process crashed, if need be without the clips that cause it."""
    last = reached(job.marker)
    for _ in range(2 * len(job) + 2):
        if not _pool([job], make, 1, watch):
            return
        at = reached(job.marker)
        if at is not None and at == last:
            job = job.without(at)
        last = at
    raise GiocondaError(f"{job.marker.stem} crashes again and again; look at the memory of this machine")


def _pool(jobs: Sequence[AnyJob], make: Callable[[AnyJob], None], workers: int, watch: Watch) -> list[AnyJob]:
    """Carry out jobs; those that are left because a process crashed."""
    context = get_context("spawn")
    stop = context.Event()
    pool = ProcessPoolExecutor(min(workers, len(jobs)), context, _begin, (stop,))
    done: set[Future[None]] = set()
    of: dict[Future[None], AnyJob] = {}
    try:
        with contextlib.suppress(BrokenProcessPool):
            of |= {pool.submit(make, job): job for job in jobs}
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
    """Before a process's first job: it ends with its parent, which alone hears Ctrl-C."""
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
    """Carry out jobs on a Ray cluster whose machines see the same files under the same paths.

    address: "auto" for the cluster that this machine belongs to, "local" for one made for the purpose, or HOST:PORT.
    workers: at most so many at once. Raises MissingFileError without Ray, InputError without a cluster.
    """
    waiting = list(reversed(jobs))
    running: dict[int, AnyJob] = {}
    lost: Counter[Path] = Counter()
    with crew(address, workers) as members:
        for number in count():
            if not (waiting or running):
                return
            if waiting and len(running) < max(1, members.size()):
                running[number] = waiting.pop()
                members.submit(number, make, running[number])
                continue
            for done, outcome in members.finished(TICK):
                job = running.pop(done)
                if isinstance(outcome, Raised):
                    raise outcome.error from None
                if isinstance(outcome, Lost):
                    lost[job.marker] += 1
                    waiting.append(_again(job, lost[job.marker], outcome.reason))
                else:
                    watch(len(job))
            watch(0)


def _again(job: AnyJob, times: int, reason: str) -> AnyJob:
    """A job for another try; without the clip at which its process was lost, where that was 1 + RETRIES times."""
    if times % (1 + RETRIES):
        return job
    at = reached(job.marker)
    if at is None or times > (1 + RETRIES) * len(job):
        raise GiocondaError(f"{job.marker.stem} is lost on the cluster again and again: {reason}")
    return job.without(at)
