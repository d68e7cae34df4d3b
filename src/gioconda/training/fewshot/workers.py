"""Jobs in several processes, of this machine or of a Ray cluster, such that one that crashes costs one clip at most.

A job writes the index of the clip it is at into its marker. A clip in which a process ends twice is left out.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import signal
import socket
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from importlib.util import find_spec
from multiprocessing import get_context, parent_process
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any, Protocol, TypeVar

from gioconda.errors import GiocondaError, InputError, MissingFileError

TICK = 1.0  # seconds between looks at how far the jobs are
PATIENCE = 10.0  # seconds for a cluster to answer
RETRIES = 2  # by Ray itself, where a process or a machine is lost


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
    ray = _ray()
    own = not ray.is_initialized()
    if own:
        _join(ray, address, workers)
    try:
        _on_cluster(ray, list(jobs), make, workers, watch)
    finally:
        if own:
            ray.shutdown()


def _ray() -> Any:
    if find_spec("ray") is None:
        raise MissingFileError("a cluster needs Ray: pip install 'gioconda[cluster]'")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is told to anybody
    return importlib.import_module("ray")


def _join(ray: Any, address: str, workers: int | None) -> None:
    """Connect to a cluster, or start one; InputError where none answers."""
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    if address == "local":
        options |= {"num_cpus": workers or os.cpu_count() or 1, "include_dashboard": False}
    before = signal.getsignal(signal.SIGTERM)
    try:
        if address not in ("auto", "local"):
            _knock(address)
        ray.init(address=address, **options)
    except (OSError, RuntimeError, ValueError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise InputError(
            f"no Ray cluster answers at {address} ({reason}); start one with ray start --head, or use local"
        ) from None
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, before)  # Ray puts its own there, which would end us with another code


def _knock(address: str) -> None:
    """OSError or ValueError where nobody listens: Ray itself would wait for ten minutes."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        raise ValueError("not HOST:PORT")
    socket.create_connection((host, int(port)), PATIENCE).close()


def _on_cluster(
    ray: Any, waiting: list[AnyJob], make: Callable[[AnyJob], None], workers: int | None, watch: Watch
) -> None:
    """Keep so many tasks going (all at once if not said); one whose process is lost is sent off again."""
    task = ray.remote(num_cpus=1, max_retries=RETRIES)(make)
    running: dict[Any, AnyJob] = {}
    lost: dict[Path, int] = {}
    waiting.reverse()
    try:
        while waiting or running:
            while waiting and (workers is None or len(running) < workers):
                job = waiting.pop()
                running[task.remote(job)] = job
            finished, _ = ray.wait(list(running), timeout=TICK)
            watch(0)
            for reference in finished:
                job = running.pop(reference)
                try:
                    ray.get(reference)
                    watch(len(job))
                except ray.exceptions.RayTaskError as error:
                    raise error.cause from None
                except ray.exceptions.RayError as error:
                    lost[job.marker] = lost.get(job.marker, 0) + 1
                    waiting.append(_again(job, lost[job.marker], error))
    except BaseException:
        for reference in running:
            ray.cancel(reference)
        raise


def _again(job: AnyJob, times: int, error: Exception) -> AnyJob:
    """A job for another try, without the clip at which its process was lost, RETRIES and more times."""
    at = reached(job.marker)
    if at is None or times > len(job):
        raise GiocondaError(f"{job.marker.stem} is lost on the cluster again and again: {error}") from None
    return job.without(at)
