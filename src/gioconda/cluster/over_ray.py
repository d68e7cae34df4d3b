"""A crew of Ray tasks: on this machine, or on a cluster whose machines see the same files under the same paths.

The only file that knows Ray (Moritz et al., OSDI 2018).
"""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import shutil
import signal
import socket
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import Any

from gioconda.cluster.crew import RENEWED, Lost, Outcome, Raised, Returned
from gioconda.errors import GiocondaError, InputError, MissingFileError

LOCAL = "local"
PATIENCE = 10.0  # seconds for a cluster to answer
LEAVE = 5.0  # seconds in which tasks that are stopped may clean up
STORE_BYTES = 100 * 2**20  # of shared memory that Ray takes at its start; our results are a few lines
REFRESH = 1.0  # seconds for which the cluster's size is remembered
SILENCE = 15.0  # seconds without an answer, after which a cluster is given up; Ray ends the process after 60


def join(address: str, workers: int | None) -> OnRay:
    """Connect to a cluster, or start one for the purpose where the address is "local".

    Raises MissingFileError without Ray, InputError where no cluster answers.
    """
    ray = _ray()
    if ray.is_initialized():
        return OnRay(ray, workers)
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.CRITICAL}
    folder: str | None = None
    if address == LOCAL:
        folder = tempfile.mkdtemp(prefix="gioconda-ray-")
        options |= {"num_cpus": workers or os.cpu_count() or 1, "include_dashboard": False}
        options |= {"object_store_memory": STORE_BYTES, "_temp_dir": folder}
        _own_token()
    before = signal.getsignal(signal.SIGTERM)
    try:
        if address not in ("auto", LOCAL):
            _knock(address)
        with warnings.catch_warnings(), _quiet():
            warnings.simplefilter("ignore")
            ray.init(address=address, **options)
    except Exception as error:  # it raises many kinds, plain Exception among them
        ray.shutdown()
        _remove(folder)
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        if address == LOCAL:
            raise InputError(f"Ray does not start on this machine ({reason})") from None
        raise InputError(
            f"no Ray cluster answers at {address} ({reason}); start one with ray start --head, or use local; where it "
            "asks for a token, set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN_PATH here as there"
        ) from None
    except BaseException:
        ray.shutdown()
        _remove(folder)
        raise
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, before)  # Ray puts its own there, which would end us with another code
    return OnRay(ray, workers, own=True, folder=folder)


def _ray() -> Any:
    if find_spec("ray") is None:
        raise MissingFileError("a cluster needs Ray: pip install 'gioconda[cluster]'")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is told to anybody
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import ray
        import ray._private.worker as inner

    if hasattr(inner, "print_to_stdstream"):  # it writes of every lost process, and no option stops that
        inner.print_to_stdstream = lambda *_, **__: None
    return ray


def _own_token() -> None:
    """Let Ray on this machine, made for the purpose, take orders from us alone; by itself it puts a token into the
    user's home folder, and keeps it there.
    """
    if not {"RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"} & set(os.environ):
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)  # the mode Ray sets by itself


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep what Ray's own libraries write while they start off the terminal."""
    try:
        kept = os.dup(2)
    except OSError:  # services may run without any standard error
        yield
        return
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    os.close(null)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _knock(address: str, patience: float = PATIENCE) -> None:
    """OSError or ValueError where nobody listens: Ray itself would wait for ten minutes."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        raise ValueError("not HOST:PORT")
    socket.create_connection((host, int(port)), patience).close()


def _remove(folder: str | None) -> None:
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)


class OnRay:
    """A crew of tasks, one processor each. own: whether the connection is ours to end; folder: of our own Ray."""

    def __init__(self, ray: Any, most: int | None, *, own: bool = False, folder: str | None = None) -> None:
        self._ray, self._most, self._own, self._folder = ray, most, own, folder
        self._task = ray.remote(num_cpus=1, max_retries=0, max_calls=RENEWED)(_carry_out)
        self._running: dict[Any, int] = {}
        self._known = (-REFRESH, 1)  # when it was asked, and the processors of the cluster then
        self._head: str = ray.get_runtime_context().gcs_address
        self._heard = time.monotonic()

    @property
    def place(self) -> str:
        """Where the work is done, for people."""
        machines = sum(1 for node in self._ray.nodes() if node.get("Alive"))
        cluster = "1 machine" if machines == 1 else f"{machines} machines"
        where = "on this machine" if self._folder is not None else f"on a cluster of {cluster}"
        tasks = "1 Ray task" if self.size() == 1 else f"{self.size()} Ray tasks"
        return f"{tasks} at once {where}"

    def size(self) -> int:
        """How many tasks can be carried out at once, now: machines come and go."""
        now = time.monotonic()
        if now - self._known[0] >= REFRESH and self._answers():
            self._known = (now, int(self._ray.cluster_resources().get("CPU", 0)))
        return self._known[1] if self._most is None else min(self._known[1], self._most)

    def submit(self, number: int, function: Callable[[Any], Any], item: Any) -> None:
        """Hand in a task."""
        self._running[self._task.remote(function, item)] = number

    def finished(self, seconds: float) -> list[tuple[int, Outcome]]:
        """The tasks that have ended since, waited for so long at most. GiocondaError once the cluster is gone."""
        if not self._answers() and time.monotonic() - self._heard > SILENCE:
            raise GiocondaError(
                f"the head of the Ray cluster, {self._head}, answers no more; start the cluster again, then give the "
                "same command again"
            )
        if not self._running:
            return []
        first, others = self._ray.wait(list(self._running), timeout=seconds)
        if first and others:
            first += self._ray.wait(others, num_returns=len(others), timeout=0)[0]
        return [(self._running.pop(reference), self._outcome(reference)) for reference in first]

    def _answers(self) -> bool:
        """Whether the cluster's head can be asked: Ray would wait for an answer, and end this process at last."""
        try:
            _knock(self._head, REFRESH)
        except (OSError, ValueError):
            return False
        self._heard = time.monotonic()
        return True

    def _outcome(self, reference: Any) -> Outcome:
        errors = self._ray.exceptions
        try:
            return Returned(self._ray.get(reference))
        except errors.RayTaskError as error:
            return Raised(_cause(error))
        except errors.RayError as error:
            what = "ran out of memory" if isinstance(error, errors.OutOfMemoryError) else "ended unexpectedly"
            return Lost(f"its process or machine {what}")

    def close(self) -> None:
        """Stop what still runs: a task gets a moment to remove its temporary files."""
        ray, running = self._ray, list(self._running)
        self._running = {}
        try:
            for reference in running:
                with contextlib.suppress(Exception):
                    ray.cancel(reference)
            if running:
                _, running = ray.wait(running, num_returns=len(running), timeout=LEAVE)
            for reference in running:
                with contextlib.suppress(Exception):
                    ray.cancel(reference, force=True)
        finally:
            if self._own:
                ray.shutdown()
            _remove(self._folder)


def _cause(error: Any) -> BaseException:
    """What a task raised; an InputError where a machine lacks what it needs to begin."""
    cause = error.cause if isinstance(error.cause, BaseException) else error
    if isinstance(cause, ImportError) or "ModuleNotFoundError" in str(cause):
        return InputError(
            f"a machine of the cluster lacks a module ({_last_line(cause)}); install gioconda there"
        )
    return cause


def _last_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[-1]


def _carry_out(function: Callable[[Any], Any], item: Any) -> Any:
    return function(item)
