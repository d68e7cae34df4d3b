"""The command line: `gioconda animate`, `speak`, `edit`, `export`, `track`, `verify`, `batch`, `serve` and so on.

For those who train: `prepare`, `train`, `export-weights`, `evaluate`.
"""

from __future__ import annotations

import errno
import io
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
from gioconda.cli.examples import epilog
from gioconda.cli.hints import correction
from gioconda.errors import GiocondaError
from gioconda.runtime import deadline
from gioconda.runtime.debug import debugging

for _command in app.registered_commands:
    _command.epilog = epilog(str(_command.name or getattr(_command.callback, "__name__", "")))

__all__ = ["app", "main", "run"]

# Exit code that shells expect after Ctrl-C: 128 plus the number of SIGINT.
_STOPPED = 130
# Exit code of a command line that cannot be parsed.
_USAGE = 2


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command line and print any error on standard error.

    Args:
        arguments: The words after `gioconda`; those of this process if None.

    Returns:
        The exit code: 0 for success, 1 for a bug, 2 for wrong options, 130 after Ctrl-C, or the code of the error.
    """
    try:
        code = app(args=arguments, prog_name="gioconda", standalone_mode=False)
    except GiocondaError as error:
        return _print_error(str(error), error.exit_code, error)
    except typer.TyperException as error:
        typed = sys.argv[1:] if arguments is None else arguments
        return _print_error(_usage_message(error, typed), _USAGE, error)
    except (KeyboardInterrupt, typer.Abort):
        code = _STOPPED
    # Any other error is a bug in gioconda.
    except Exception as error:
        if isinstance(error, OSError) and error.errno == errno.EPIPE:
            return _end_without_reader()
        return _print_error(f"{_first_line(error)}\n{_BUG_HINT}", 1, error)
    if code == _STOPPED:
        return _print_error("stopped", _STOPPED)
    return code if isinstance(code, int) else 0


def main() -> None:
    """Run the command line of this process and exit with its code."""
    signal.signal(signal.SIGTERM, _as_interrupt)
    for stream in (sys.stdout, sys.stderr):
        # Names of files may hold what the terminal cannot show.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    code = run()
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        code = _end_without_reader()
    if deadline.any_left():
        os._exit(code)
    sys.exit(code)


_BUG_HINT = "This is a bug in gioconda. Please report it with the traceback that GIOCONDA_DEBUG=1 prints."


def _print_error(message: str, code: int, error: BaseException | None = None) -> int:
    """Print a message on standard error, after the traceback if GIOCONDA_DEBUG is set, and return `code`."""
    # A service may have no standard error.
    if sys.stderr is None:
        return code
    if error is not None and debugging():
        traceback.print_exception(error)
    sys.stderr.write(f"gioconda: {message}\n")
    return code


def _usage_message(error: typer.TyperException, typed: Sequence[str]) -> str:
    """Say what is wrong with the options, what to type instead, and which command explains them."""
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "gioconda"
    problem = error.format_message().replace("Value error, ", "")
    lines = [problem, correction(context, typed), f"See '{command} --help'."]
    return "\n".join(filter(None, lines))


def _first_line(error: Exception) -> str:
    """The type of an error and the first line of its message."""
    text = str(error).strip().split("\n")[0]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _end_without_reader() -> int:
    """Drop further output after the program that reads it has ended, so that Python does not flush and fail again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 1


def _as_interrupt(_signal: int, _frame: FrameType | None) -> None:
    """Treat SIGTERM as Ctrl-C, so that temporary files are removed."""
    raise KeyboardInterrupt
