"""One job, in the process that carries it out, perhaps on another machine: what came of it, as plain values."""

from __future__ import annotations

import os
import platform
import time
from dataclasses import dataclass
from pathlib import Path

import cv2

import gioconda
from gioconda import media
from gioconda.batch.record import hashes
from gioconda.errors import GiocondaError, InputError, OutputError
from gioconda.orders import Order, carry_out
from gioconda.threads import hold_blas

MACHINE_HINT = "every machine needs the same files under the same paths, as in a shared folder"


@dataclass(frozen=True)
class Task:
    """What is sent out: the line of the table, the order, its output, bytes of each input.

    seconds: that it may take, None for any. version, machine: of the program that sends it.
    """

    line: int
    order: Order
    out: Path
    sizes: tuple[tuple[Path, int], ...]
    seconds: float | None = None
    version: str = gioconda.__version__
    machine: str = platform.node()


@dataclass(frozen=True)
class Told:
    """How it ended: the error's sentence, or none and what was made. seconds: of work."""

    error: str = ""
    frames: int = 0
    seconds: float = 0.0
    made: tuple[str, str | None] = ("", None)  # SHA-256 of output and sidecar
    warnings: tuple[str, ...] = ()
    machine: str = ""
    process: int = 0


class _LateError(GiocondaError):
    """The job takes longer than it may."""


def perform(task: Task) -> Told:
    """Carry out a task. Raises nothing but what ends the process: all errors are told."""
    cv2.setNumThreads(1)  # other jobs use the other cores
    hold_blas()
    here = platform.node()
    try:
        _check(task, here)
        since = time.monotonic()

        def report(_stage: str, _done: int, _total: int) -> None:
            if task.seconds is not None and time.monotonic() - since > task.seconds:
                raise _LateError(late(task.seconds))

        result = carry_out(task.order, task.out, report)
        return Told("", result.frames, result.seconds, hashes(task.out), result.warnings, here, os.getpid())
    except GiocondaError as error:
        return Told(str(error), machine=here)
    except MemoryError:
        return Told(
            "it needs more memory than there is; choose a smaller size, or fewer workers", machine=here
        )
    except Exception as error:  # the last net: one job must not end the others
        return Told(f"a defect of gioconda ({type(error).__name__}: {error}); please report it", machine=here)


def late(seconds: float) -> str:
    """What people are told of a job that takes too long."""
    return f"it took longer than {seconds:g} s and was stopped; give more with --timeout"


def _check(task: Task, here: str) -> None:
    """InputError or OutputError where this machine is not set up as the one that sends the task."""
    if task.version != gioconda.__version__:
        raise InputError(
            f"machine {here} has gioconda {gioconda.__version__}, not {task.version}; install that"
        )
    for path, size in task.sizes:
        try:
            found = media.check_input(path).stat().st_size
        except InputError as error:
            if here == task.machine:
                raise
            raise InputError(f"{error}, seen from machine {here}: {MACHINE_HINT}") from None
        if found != size:
            raise InputError(f"{path} changed while the batch ran, or is another file on machine {here}")
    if not task.out.parent.is_dir() and here != task.machine:
        raise OutputError(f"the folder {task.out.parent} is not there on machine {here}: {MACHINE_HINT}")
