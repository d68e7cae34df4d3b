"""Decides what a client does about a lost connection and about a refusal: wait and try again, or raise."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from gioconda.client.errors import ServerError
from gioconda.errors import InputError, LimitError
from gioconda.runtime.extras import require

if TYPE_CHECKING:
    import httpx

PATIENCE_SECONDS = 300.0
"""How long a call is tried again after the connection is lost or the server has stopped."""
# Seconds of the first pause and of the longest one; each is twice the last.
_FIRST_PAUSE, _MOST_PAUSE = 0.25, 5.0
# Seconds after which a server that has never answered counts as absent.
_ABSENT_SECONDS = 5.0
# Seconds that a connection, a piece of an answer and a piece of a body may take. Streams of events have a comment every
# 15 seconds.
_CONNECT, _READ, _WRITE = 5.0, 20.0, 60.0
# Statuses of a server, or of the proxy before it, that is busy or starts again.
_BUSY = (429, 502, 503, 504)
_CONFLICT, _ABSENT = 409, 404
_ERRORS = {400: InputError, 413: LimitError, 415: InputError, 422: InputError}


class Patience:
    """Counts the pauses of one operation since it last succeeded."""

    def __init__(self) -> None:
        self.renew()

    def renew(self) -> None:
        """Begin again, after a success."""
        self._since: float | None = None
        self._pause = _FIRST_PAUSE

    def pause(self, problem: ServerError, seconds: float, least: float = 0.0) -> float:
        """Choose a pause before the next try.

        Args:
            problem: Raised once patience has ended.
            seconds: How long to try in all.
            least: Seconds of the pause at least.

        Returns:
            Seconds.
        """
        now = time.monotonic()
        if self._since is None:
            self._since = now
        if now - self._since >= seconds:
            raise problem
        pause, self._pause = self._pause, min(2 * self._pause, _MOST_PAUSE)
        return max(pause, least)


@dataclass
class Connection:
    """The address of a server, and what is known of it.

    Attributes:
        url: The address.
        token: What the server asks for, or None.
        seconds: How long an operation is tried again after the connection is lost.
        met: Whether the server has ever been reached.
    """

    url: str
    token: str | None
    seconds: float
    met: bool = False

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise InputError(f"{self.url!r} is not the address of a server; write http://127.0.0.1:7860")

    def arguments(self) -> dict[str, Any]:
        """The arguments of httpx's clients; MissingFileError if httpx is not installed."""
        require("client", "gioconda.Client")
        import httpx

        headers = {} if self.token is None else {"Authorization": f"Bearer {self.token}"}
        timeout = httpx.Timeout(connect=_CONNECT, read=_READ, write=_WRITE, pool=None)
        return {"base_url": self.url, "headers": headers, "timeout": timeout}

    def lost(self, patience: Patience, error: httpx.TransportError) -> float:
        """The seconds to wait after the connection failed; ServerError once patience has ended."""
        import httpx

        self.met |= not isinstance(error, (httpx.ConnectError, httpx.ConnectTimeout))
        reason = str(error) or type(error).__name__
        problem = f"the server {self.url} cannot be reached ({reason}); check the address and that it runs"
        seconds = self.seconds if self.met else min(self.seconds, _ABSENT_SECONDS)
        return patience.pause(ServerError(problem), seconds)

    def left(self, patience: Patience) -> float:
        """The seconds to wait after the server ended a stream early; ServerError once patience has ended."""
        return patience.pause(
            ServerError(f"the server {self.url} ends its streams; try again later"), self.seconds
        )

    def answered(
        self, patience: Patience, answer: httpx.Response, *, may_be_absent: bool = False
    ) -> float | None:
        """Judge an answer whose body, if it is an error, was read.

        Args:
            patience: Of the operation.
            answer: The answer.
            may_be_absent: Whether status 404 is a success.

        Returns:
            None for a success; else the seconds to wait before the next try.

        Raises:
            InputError: The server refuses the request.
            ServerError: The server refuses the request for another reason, or patience has ended.
        """
        self.met = True
        status = answer.status_code
        if answer.is_success or (may_be_absent and status == _ABSENT):
            return None
        message = _message(answer)
        retry_after = answer.headers.get("Retry-After", "")
        if status in _BUSY or (status == _CONFLICT and retry_after):
            least = float(retry_after) if retry_after.isdigit() else 0.0
            return patience.pause(ServerError(message, status), self.seconds, least)
        if status in _ERRORS:
            raise _ERRORS[status](message)
        raise ServerError(message, status)


def _message(answer: httpx.Response) -> str:
    """What the server says about an error."""
    try:
        return str(answer.json()["error"])
    except (ValueError, KeyError, TypeError):
        return f"the server answers with status {answer.status_code}, which Gioconda's does not; check the address"
