"""An executor of Ray tasks, on this machine or on a cluster whose machines see the same files under the same paths.

Source: Moritz et al., "Ray: A Distributed Framework for Emerging AI Applications", OSDI 2018.
"""

from __future__ import annotations

import atexit
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

from gioconda.cluster.executor import RENEWED, Outcome, Raised, Returned, WorkerLost
from gioconda.errors import GiocondaError, InputError, MissingFileError
from gioconda.runtime import deadline

# The address for Ray on this machine.
LOCAL = "local"
# Seconds in which a cluster has to answer.
PATIENCE = 10.0
# Seconds in which stopped tasks may clean up.
LEAVE = 5.0
# Bytes of shared memory that Ray takes when it starts; results are a few lines.
STORE_BYTES = 100 * 2**20
# Seconds for which the cluster's size is remembered.
REFRESH = 1.0
# Seconds without an answer after which a cluster counts as lost; Ray itself ends the process after 60.
SILENCE = 15.0


def connect(address: str, workers: int | None) -> RayExecutor:
    """Connect to a cluster, or start one on this machine.

    Args:
        address: "local" to start one, "auto" for the cluster of this machine, or HOST:PORT.
        workers: Most tasks at once; as many as the cluster has cores if None.

    Raises:
        MissingFileError: Ray is not installed.
        InputError: No cluster answers, or Ray does not start.
    """
    ray = _ray()
    if ray.is_initialized():
        return RayExecutor(ray, workers)
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
    # Ray raises many kinds of errors, plain Exception among them.
    except Exception as error:
        ray.shutdown()
        _remove(folder)
        raise _connection_error(address, error) from None
    except BaseException:
        ray.shutdown()
        _remove(folder)
        raise
    if threading.current_thread() is threading.main_thread():
        # Ray's own handler would end this process with another exit code.
        signal.signal(signal.SIGTERM, before)
    return RayExecutor(ray, workers, own=True, folder=folder)


def _connection_error(address: str, error: Exception) -> InputError:
    """The error for people about a cluster that does not answer, or a Ray that does not start."""
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
    if address == LOCAL:
        return InputError(f"Ray does not start on this machine ({reason})")
    return InputError(
        f"no Ray cluster answers at {address} ({reason}); start one with ray start --head, or use local; if the "
        "cluster requires a token, set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN_PATH here too"
    )


def _ray() -> Any:
    """The module `ray`; MissingFileError if it is not installed."""
    if find_spec("ray") is None:
        raise MissingFileError("a cluster needs Ray; run: pip install 'gioconda[cluster]'")
    # Ray sends no statistics of use.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import ray
        import ray._private.worker as inner

    # Ray prints a message about every lost process, and no option stops that.
    if hasattr(inner, "print_to_stdstream"):
        inner.print_to_stdstream = lambda *_, **__: None
    return ray


def _own_token() -> None:
    """Protect Ray on this machine with a random token; by itself Ray keeps a token in the user's home folder."""
    if not {"RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"} & set(os.environ):
        # With a token, Ray sets the mode by itself.
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Hide what Ray's libraries print while they start."""
    try:
        kept = os.dup(2)
    # A service may have no standard error.
    except OSError:
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
    """Raise OSError or ValueError if nothing listens at an address; Ray itself would wait for ten minutes."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        raise ValueError("not HOST:PORT")
    socket.create_connection((host, int(port)), patience).close()


def _remove(folder: str | None) -> None:
    """Remove the folder of a Ray that was started here."""
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)


class RayExecutor:
    """An executor of Ray tasks, one core each."""

    def __init__(self, ray: Any, most: int | None, *, own: bool = False, folder: str | None = None) -> None:
        """Use a connected Ray.

        Args:
            ray: The module `ray`.
            most: Most tasks at once; as many as the cluster has cores if None.
            own: Whether `close` ends the connection.
            folder: The folder of a Ray that was started here.
        """
        self._ray, self._most, self._own, self._folder = ray, most, own, folder
        self._task = ray.remote(num_cpus=1, max_retries=0, max_calls=RENEWED)(_call)
        self._running: dict[Any, int] = {}
        # The time of the last question for the cluster's cores, and the answer.
        self._known = (-REFRESH, 1)
        self._head: str = ray.get_runtime_context().gcs_address
        self._heard = time.monotonic()
        self._lost = False

    @property
    def place(self) -> str:
        """Where the tasks run, for people."""
        machines = sum(1 for node in self._ask(self._ray.nodes) if node.get("Alive"))
        cluster = "1 machine" if machines == 1 else f"{machines} machines"
        where = "on this machine" if self._folder is not None else f"on a cluster of {cluster}"
        tasks = "1 Ray task" if self.size() == 1 else f"{self.size()} Ray tasks"
        return f"{tasks} at once {where}"

    def size(self) -> int:
        """Return how many tasks can run at once at present; machines come and go."""
        now = time.monotonic()
        if now - self._known[0] >= REFRESH and self._answers():
            self._known = (now, int(self._ask(self._ray.cluster_resources).get("CPU", 0)))
        return self._known[1] if self._most is None else min(self._known[1], self._most)

    def submit(self, number: int, function: Callable[[Any], Any], item: Any) -> None:
        """Start a task."""
        self._running[self._ask(self._task.remote, function, item)] = number

    def finished(self, seconds: float) -> list[tuple[int, Outcome]]:
        """Wait for tasks to end, for `seconds` at most, and return their numbers and outcomes.

        Raises:
            GiocondaError: The cluster no longer answers.
        """
        if not self._answers() and time.monotonic() - self._heard > SILENCE:
            raise self._silent()
        if not self._running:
            return []
        ended, others = self._ask(self._ray.wait, list(self._running), timeout=seconds)
        if ended and others:
            ended += self._ask(self._ray.wait, others, num_returns=len(others), timeout=0)[0]
        return [(self._running.pop(reference), self._ask(self._outcome, reference)) for reference in ended]

    def _ask(self, function: Callable[..., Any], *inputs: Any, **options: Any) -> Any:
        """Call a function of Ray that waits for the cluster's head, for SILENCE seconds at most.

        Raises:
            GiocondaError: The cluster no longer answers.
        """
        try:
            return deadline.within(SILENCE, function, *inputs, **options)
        except TimeoutError:
            raise self._silent() from None

    def _silent(self) -> GiocondaError:
        """The error for people about a head that is lost; `close` does not ask it again."""
        self._lost = True
        return GiocondaError(
            f"the head of the Ray cluster, {self._head}, no longer answers; start the cluster again, then run the "
            "same command again"
        )

    def _answers(self) -> bool:
        """Whether the cluster's head answers; Ray itself would wait for an answer and at last end this process."""
        try:
            _knock(self._head, REFRESH)
        except (OSError, ValueError):
            return False
        self._heard = time.monotonic()
        return True

    def _outcome(self, reference: Any) -> Outcome:
        """The outcome of a task that has ended."""
        errors = self._ray.exceptions
        try:
            return Returned(self._ray.get(reference))
        except errors.RayTaskError as error:
            return Raised(_cause(error))
        except errors.RayError as error:
            reason = (
                "ran out of memory" if isinstance(error, errors.OutOfMemoryError) else "ended unexpectedly"
            )
            return WorkerLost(f"its process or machine {reason}")

    def close(self) -> None:
        """Stop running tasks; each gets a moment to remove its temporary files."""
        try:
            if not self._lost:
                self._ask(self._cancel)
        finally:
            if self._own:
                self._disconnect()
            _remove(self._folder)

    def _cancel(self) -> None:
        """Stop running tasks, in the end by force."""
        ray, running = self._ray, list(self._running)
        self._running = {}
        for reference in running:
            with contextlib.suppress(Exception):
                ray.cancel(reference)
        if running:
            _, running = ray.wait(running, num_returns=len(running), timeout=LEAVE)
        for reference in running:
            with contextlib.suppress(Exception):
                ray.cancel(reference, force=True)

    def _disconnect(self) -> None:
        """Leave the cluster; Ray itself would wait some minutes for a head that does not answer."""
        try:
            deadline.within(LEAVE if self._lost else SILENCE, self._ray.shutdown)
        except TimeoutError:
            # Ray would wait once more when the interpreter ends.
            atexit.unregister(self._ray.shutdown)


def _cause(error: Any) -> BaseException:
    """The error that a task raised; an InputError if a machine lacks a module."""
    cause = error.cause if isinstance(error.cause, BaseException) else error
    if isinstance(cause, ImportError) or "ModuleNotFoundError" in str(cause):
        return InputError(
            f"a machine of the cluster lacks a module ({_last_line(cause)}); install gioconda there"
        )
    return cause


def _last_line(error: BaseException) -> str:
    """The last line of an error's message, or its type."""
    return (str(error).strip().splitlines() or [type(error).__name__])[-1]


def _call(function: Callable[[Any], Any], item: Any) -> Any:
    """Call a function; this is what Ray runs."""
    return function(item)
