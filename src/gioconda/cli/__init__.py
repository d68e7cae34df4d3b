"""The command line: `gioconda animate`, `speak`, `track`, `edit`, `verify`, `batch`, `serve`, `doctor`, `demo`.

For those who train: `prepare`, `train`, `export`, `evaluate`.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from types import FrameType

import typer

from gioconda.cli import (  # noqa: F401  (their commands join the others)
    adaptation,
    batching,
    evaluation,
    serving,
    speaking,
    training,
)
from gioconda.cli.commands import app
from gioconda.errors import GiocondaError

__all__ = ["app", "main", "run"]

_STOPPED = 130  # what a shell expects after Ctrl-C
_USAGE = 2


def run(arguments: Sequence[str] | None = None) -> int:
    """Carry out one command line and return its exit code; all that is wrong is told on standard error."""
    try:
        code = app(args=arguments, prog_name="gioconda", standalone_mode=False)
    except GiocondaError as error:
        return _tell(str(error), error.exit_code, error)
    except typer.TyperException as error:
        return _tell(_usage_message(error), _USAGE, error)
    except (KeyboardInterrupt, typer.Abort):
        code = _STOPPED
    except Exception as error:  # the last net: whatever slips through is a defect of ours
        if isinstance(error, OSError) and error.errno == errno.EPIPE:
            return _reader_left()
        return _tell(f"{_unexpected(error)}\n{_REPORT}", 1, error)
    if code == _STOPPED:
        return _tell("stopped", _STOPPED)
    return code if isinstance(code, int) else 0


def main() -> None:
    """Entry point of the console script."""
    signal.signal(signal.SIGTERM, _as_interrupt)
    code = run()
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        code = _reader_left()
    sys.exit(code)


_REPORT = "This is a defect of gioconda: please report it, with GIOCONDA_DEBUG=1 for the details."


def _tell(message: str, code: int, error: BaseException | None = None) -> int:
    """Write a message on standard error, with the traceback if GIOCONDA_DEBUG asks for it."""
    if sys.stderr is None:  # a service may run without
        return code
    if error is not None and os.environ.get("GIOCONDA_DEBUG", "0") not in ("", "0"):
        traceback.print_exception(error)
    sys.stderr.write(f"gioconda: {message}\n")
    return code


def _usage_message(error: typer.TyperException) -> str:
    """What is wrong with the options, and where they are explained."""
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "gioconda"
    problem = error.format_message().replace("Value error, ", "")
    return f"{problem}\nSee '{command} --help'."


def _unexpected(error: Exception) -> str:
    """One line about an error that nobody foresaw."""
    text = str(error).strip().split("\n")[0]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _reader_left() -> int:
    """The program that read our output has ended: end quietly too, and keep Python from flushing again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 1


def _as_interrupt(_signal: int, _frame: FrameType | None) -> None:
    """Treat a polite request to end as Ctrl-C, so that temporary files are removed."""
    raise KeyboardInterrupt
