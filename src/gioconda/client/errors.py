"""The errors of a client of a server; a request that the server finds wrong raises InputError, as everywhere."""

from __future__ import annotations

from gioconda.client.state import JobState
from gioconda.errors import GiocondaError


class ServerError(GiocondaError, ConnectionError):
    """A server cannot be reached, or refuses a request.

    Attributes:
        status: Of the server's answer; 0 without one.
    """

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class JobError(GiocondaError, RuntimeError):
    """A job of a server failed or was cancelled.

    Attributes:
        state: The job's last state.
    """

    def __init__(self, message: str, state: JobState) -> None:
        super().__init__(message)
        self.state = state
