"""Errors as answers of the API: a status, a message for people and the request's id."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.routing import Match

from gioconda.errors import GiocondaError, InputError, LimitError, OutputError
from gioconda.web.errors import (
    ClosingError,
    KeyBusyError,
    MalformedError,
    NoSidecarError,
    NotDoneError,
    QueueFullError,
    UnfitFileError,
    UnknownJobError,
)
from gioconda.web.live.sessions import EndedError
from gioconda.web.validation import must_be

LOG = logging.getLogger("gioconda.web")
# Most characters of a message about a parameter.
_MESSAGE_CHARACTERS = 300

# The first class that matches decides.
_STATUS: tuple[tuple[type[GiocondaError], int], ...] = (
    (UnknownJobError, 404),
    (NoSidecarError, 404),
    (NotDoneError, 409),
    (KeyBusyError, 409),
    (QueueFullError, 429),
    (UnfitFileError, 415),
    (MalformedError, 400),
    (ClosingError, 503),
    (LimitError, 413),
    (InputError, 422),
    (OutputError, 507),
)

_MEANINGS = {
    400: "The request is malformed, or its Host header names another server.",
    401: "The bearer token is missing or wrong.",
    403: "The request comes from a page of another site.",
    404: "What is asked for does not exist or has expired.",
    405: "This address does not accept the method.",
    408: "The upload took too long.",
    409: "The job has no result: it has not ended, has failed or was cancelled.",
    413: "The request or a file exceeds a limit.",
    415: "A file, or the body, is of a kind that is not accepted.",
    416: "The range is outside the file.",
    422: "The request is not valid; the message says why.",
    429: "The queue is full; Retry-After says when to try again.",
    500: "A bug in the server.",
    503: "The server is shutting down, or no worker is running.",
    507: "The server's disk is full.",
}


class Problem(BaseModel):
    """An error."""

    error: str = Field(description="What is wrong and what to do, for people.")
    request_id: str = Field(description="The id of this request in the server's log.")


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return OpenAPI's entries for answers with these statuses, and with those that any request may get."""
    entries: dict[int | str, dict[str, Any]] = {}
    for status in sorted({*statuses, 400, 403, 500}):
        entries[status] = {"model": Problem, "description": _MEANINGS[status]}
    if 429 in entries:
        schema = {"type": "integer", "minimum": 1}
        entries[429]["headers"] = {"Retry-After": {"description": "Seconds.", "schema": schema}}
    return entries


def problem(
    request: Request, status: int, message: str, headers: Mapping[str, str] | None = None
) -> JSONResponse:
    """Return the answer for an error."""
    body = Problem(error=message, request_id=getattr(request.state, "request_id", ""))
    return JSONResponse(body.model_dump(), status_code=status, headers=dict(headers or {}))


def add_handlers(app: FastAPI) -> None:
    """Make an app answer every error as a `Problem`, never with a traceback."""
    app.add_exception_handler(GiocondaError, _on_gioconda_error)
    app.add_exception_handler(HTTPException, _on_http)
    app.add_exception_handler(RequestValidationError, _on_invalid)


async def _on_gioconda_error(request: Request, error: Exception) -> JSONResponse:
    """Answer an error of Gioconda."""
    status = next((status for kind, status in _STATUS if isinstance(error, kind)), 500)
    headers = (
        {"Retry-After": str(error.retry_after)} if isinstance(error, (QueueFullError, KeyBusyError)) else {}
    )
    return problem(request, status, str(error), headers)


async def _on_http(request: Request, error: Exception) -> JSONResponse:
    """Answer an error of HTTP, such as an unknown address."""
    assert isinstance(error, HTTPException)
    headers = dict(error.headers or {})
    # A route lists only its own methods; others may share its address.
    if error.status_code == 405:
        headers["Allow"] = ", ".join(sorted(_methods(request)))
    return problem(request, error.status_code, str(error.detail), headers)


def _methods(request: Request) -> set[str]:
    """Collect the methods of all routes at a request's address."""
    methods: set[str] = set()
    for route in request.app.routes:
        if route.matches(request.scope)[0] is not Match.NONE:
            methods |= getattr(route, "methods", None) or set()
    return methods


async def _on_invalid(request: Request, error: Exception) -> JSONResponse:
    """Answer a parameter that is not valid; an id of the wrong form is an unknown job."""
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    if first["loc"][0] == "path":
        unknown = EndedError() if first["loc"][1] == "session" else UnknownJobError()
        return await _on_gioconda_error(request, unknown)
    place = " ".join(map(str, first["loc"]))
    return problem(request, 422, f"{place}: {must_be(first) or first['msg']}"[:_MESSAGE_CHARACTERS])
