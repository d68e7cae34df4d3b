"""Runs one job in a process, perhaps on another machine, and returns its outcome as plain values."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import gioconda
from gioconda import media, pipeline
from gioconda.batch.record import hashes
from gioconda.errors import GiocondaError, InputError, OutputError, lacks_memory
from gioconda.requests import Edit, Request
from gioconda.runtime.cores import use_cores

MACHINE_HINT = "every machine needs the same files under the same paths, as in a shared folder"


@dataclass(frozen=True)
class BatchTask:
    """A job as it is sent to a process.

    Attributes:
        line: The job's line in the table.
        request: The request.
        sizes: The path of each input and its size in bytes.
        seconds: What the job may take; None for any time.
        cores: The cores for it; other jobs use the others.
        version: The version of gioconda that sends the job.
        machine: The name of the machine that sends the job.
    """

    line: int
    request: Request
    sizes: tuple[tuple[Path, int], ...]
    seconds: float | None = None
    cores: int = 1
    version: str = gioconda.__version__
    machine: str = platform.node()

    @property
    def out(self) -> Path:
        """The output's path."""
        assert self.request.out is not None
        return Path(self.request.out)


@dataclass(frozen=True)
class TaskResult:
    """The outcome of a job.

    Attributes:
        error: The error's message; empty if there is none.
        frames: Frames that were made.
        seconds: What the work took.
        output_hashes: SHA-256 of the output and of its sidecar, in hex.
        warnings: The warnings of the pipeline.
        machine: The name of the machine that did the work.
        process: The id of the process that did the work.
    """

    error: str = ""
    frames: int = 0
    seconds: float = 0.0
    output_hashes: tuple[str, str | None] = ("", None)
    warnings: tuple[str, ...] = ()
    machine: str = ""
    process: int = 0


class _LateError(GiocondaError):
    """The job takes longer than it may."""


def perform(task: BatchTask) -> TaskResult:
    """Run a job. Errors become the `error` of the result, so that one job does not end the others."""
    use_cores(task.cores)
    here = platform.node()
    try:
        _check(task, here)
        since = time.monotonic()

        def progress(_stage: str, _done: int, _total: int) -> None:
            if task.seconds is not None and time.monotonic() - since > task.seconds:
                raise _LateError(timeout_message(task.seconds))

        result = pipeline.run(_watched(task.request, progress))
        return TaskResult(
            "", result.frames, result.seconds, hashes(task.out), result.warnings, here, os.getpid()
        )
    except GiocondaError as error:
        return TaskResult(str(error), machine=here)
    # Any other error is a bug in gioconda, unless memory is short.
    except Exception as error:
        if lacks_memory(error):
            message = "it needs more memory than there is; choose a smaller size, or fewer workers"
        else:
            message = f"a bug in gioconda ({type(error).__name__}: {error}); please report it"
        return TaskResult(message, machine=here)


def _watched(request: Request, progress: Callable[[str, int, int], None]) -> Request:
    """The request with a progress callback; edits of pictures have none."""
    return request if isinstance(request, Edit) else replace(request, progress=progress)


def timeout_message(seconds: float) -> str:
    """Return the error of a job that takes too long."""
    return f"it took longer than {seconds:g} s and was stopped; allow more with --timeout"


def _check(task: BatchTask, here: str) -> None:
    """Raise InputError or OutputError if this machine differs from the one that sends the job."""
    if task.version != gioconda.__version__:
        raise InputError(f"machine {here} has gioconda {gioconda.__version__}; install {task.version} there")
    for path, size in task.sizes:
        try:
            found_size = media.check_input(path).stat().st_size
        except InputError as error:
            if here == task.machine:
                raise
            raise InputError(f"{error}, seen from machine {here}: {MACHINE_HINT}") from None
        if found_size != size:
            raise InputError(
                f"{path} changed while the batch ran, or is another file on machine {here}; run the batch again"
            )
    if not task.out.parent.is_dir() and here != task.machine:
        raise OutputError(f"the folder {task.out.parent} does not exist on machine {here}: {MACHINE_HINT}")
