"""All errors that Gioconda raises on purpose; each is also a builtin, and has an exit code."""

from __future__ import annotations

from pathlib import Path

# Words in the messages of libraries that ran out of memory, in lower case.
OUT_OF_MEMORY = (
    "cannot allocate memory",
    "failed to allocate",
    "bad_alloc",
    "bad allocation",
    "insufficient memory",
    "out of memory",
    "failed to map segment",
    "can't start new thread",
)


class GiocondaError(Exception):
    """Base of all errors whose message is for users: what is wrong, with which file, what to do.

    Attributes:
        exit_code: Of the command line.
    """

    exit_code = 1


class InputError(GiocondaError, ValueError):
    """A file or option that cannot be used as given."""

    exit_code = 2


class MissingFileError(InputError, FileNotFoundError):
    """A path that does not exist."""


def missing_file(path: Path) -> MissingFileError:
    """Return the error for a path that does not exist; it says so where the path is an address of the web."""
    # A path holds one slash where an address has two.
    scheme, colon, rest = str(path).partition(":/")
    if colon and len(scheme) > 1 and scheme.isalnum():
        address = f"{scheme}://{rest.lstrip('/')}"
        return MissingFileError(
            f"{address} is an address, and gioconda downloads nothing; save the file, and give its path"
        )
    return MissingFileError(f"{path} does not exist; check the spelling of the path")


class LimitError(InputError):
    """An input exceeds one of `limits.Limits`."""


class NoFaceError(InputError):
    """A picture or video shows no human face where one is needed."""


class OutputError(GiocondaError, OSError):
    """The result cannot be written, for want of a folder, permissions or disk space."""

    exit_code = 5


class WeightsError(GiocondaError, RuntimeError):
    """A network or asset that is absent, damaged, or does not match its hash."""

    exit_code = 6


def lacks_memory(error: BaseException | None) -> bool:
    """Whether an error, or one that caused it, reports that memory ran out; each library words this differently."""
    while error is not None:
        if isinstance(error, MemoryError) or any(words in str(error).lower() for words in OUT_OF_MEMORY):
            return True
        error = error.__cause__ or error.__context__
    return False
