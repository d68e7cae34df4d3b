"""Every error that Gioconda raises on purpose; each is also a builtin, and carries an exit code."""

from __future__ import annotations


class GiocondaError(Exception):
    """Base of all errors with a message meant for people: what is wrong, with which file, what to do."""

    exit_code = 1


class InputError(GiocondaError, ValueError):
    """A file or option that cannot be used as given."""

    exit_code = 2


class MissingFileError(InputError, FileNotFoundError):
    """A path that does not exist."""


class LimitError(InputError):
    """An input beyond a cap of `limits.Limits`."""


class NoFaceError(InputError):
    """No human face where one is needed."""


class OutputError(GiocondaError, OSError):
    """The result cannot be written: folder, permissions, disk space."""

    exit_code = 5


class WeightsError(GiocondaError, RuntimeError):
    """A network or asset that is absent, damaged, or not what its hash says."""

    exit_code = 6
