"""Errors of the server: one class for each kind of refusal, which the API answers with a status of its own."""

from __future__ import annotations

from gioconda.errors import InputError, LimitError


class UnknownJobError(InputError):
    """No job has this id, or the job has expired."""

    def __init__(self) -> None:
        super().__init__("this job does not exist or has expired")


class NoSidecarError(InputError):
    """The job's result has no sidecar."""

    def __init__(self) -> None:
        super().__init__("this result has no sidecar: what it records about its making is in the file itself")


class QueueFullError(LimitError):
    """The queue, or another bounded place, is full.

    Attributes:
        retry_after: Seconds after which to try again.
    """

    def __init__(self, message: str, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class KeyBusyError(InputError):
    """A request with the same idempotency key is still being uploaded.

    Attributes:
        retry_after: Seconds after which to try again.
    """

    def __init__(self, retry_after: int) -> None:
        super().__init__("a request with this Idempotency-Key is still being uploaded; try again later")
        self.retry_after = retry_after


class KeyReusedError(InputError):
    """An idempotency key belongs to a job of another request."""

    def __init__(self) -> None:
        super().__init__(
            "this Idempotency-Key belongs to a job with other fields or files; send a new key for a new job"
        )


class NotDoneError(InputError):
    """The job has no result: it has not ended, has failed or was cancelled."""


class UnfitFileError(InputError):
    """The content of a file is not of a kind that its role accepts."""


class MalformedError(InputError):
    """The request is malformed and cannot be parsed."""


class ClosingError(InputError):
    """The server is shutting down."""

    def __init__(self) -> None:
        super().__init__("the server is shutting down; try again later")
