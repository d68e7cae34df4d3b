"""What a server refuses, each kind an error of its own, so that every caller can tell it in its way."""

from __future__ import annotations

from gioconda.errors import InputError, LimitError


class UnknownJobError(InputError):
    """No job has this id, or it has expired."""

    def __init__(self) -> None:
        super().__init__("no such job, or it has expired")


class QueueFullError(LimitError):
    """As many jobs wait, or are handed in, as may. retry_after: seconds after which to ask again."""

    def __init__(self, message: str, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class NotDoneError(InputError):
    """A result is asked for that is not there: the job has not ended, or failed, or was cancelled."""


class UnfitFileError(InputError):
    """A file that is not what its role asks for, by its content."""


class MalformedError(InputError):
    """A request that cannot be taken apart."""


class ClosingError(InputError):
    """The server is about to end."""

    def __init__(self) -> None:
        super().__init__("the server is about to end; try again later")
