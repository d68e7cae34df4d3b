"""What goes wrong, as answers of the API: a message for people and the request's id, under the status that fits."""

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
from gioconda.web.refusals import (
    ClosingError,
    MalformedError,
    NotDoneError,
    QueueFullError,
    UnfitFileError,
    UnknownJobError,
)

LOG = logging.getLogger("gioconda.web")

# the first that fits counts
_STATUS: tuple[tuple[type[GiocondaError], int], ...] = (
    (UnknownJobError, 404),
    (NotDoneError, 409),
    (QueueFullError, 429),
    (UnfitFileError, 415),
    (MalformedError, 400),
    (ClosingError, 503),
    (LimitError, 413),
    (InputError, 422),
    (OutputError, 507),
)

_MEANINGS = {
    400: "The request cannot be taken apart, or its Host is not this server's.",
    401: "The bearer token is missing or wrong.",
    403: "A page of another site asks.",
    404: "No such job, or it has expired.",
    405: "This address does not take the method.",
    408: "The upload takes too long.",
    409: "There is no result: the job has not ended, or failed, or was cancelled.",
    413: "Too large.",
    415: "A file, or the body, is of a kind that is not taken.",
    416: "The range lies outside the file.",
    422: "What is asked for does not hold together; the message says why.",
    429: "As many jobs wait as may; Retry-After tells when to ask again.",
    500: "A defect of the server.",
    503: "The server is about to end, or no worker is up.",
    507: "The disk is full.",
}


class Problem(BaseModel):
    """What went wrong."""

    error: str = Field(description="For people.")
    request_id: str = Field(description="Under which the server's log tells more.")


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Entries of OpenAPI for answers with these statuses, and those that any request may get."""
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
    """An answer that tells what went wrong."""
    told = Problem(error=message, request_id=getattr(request.state, "request_id", ""))
    return JSONResponse(told.model_dump(), status_code=status, headers=dict(headers or {}))


def add_handlers(app: FastAPI) -> None:
    """Let an app answer errors as problems, never with a traceback."""
    app.add_exception_handler(GiocondaError, _on_ours)
    app.add_exception_handler(HTTPException, _on_http)
    app.add_exception_handler(RequestValidationError, _on_invalid)


async def _on_ours(request: Request, error: Exception) -> JSONResponse:
    status = next((status for kind, status in _STATUS if isinstance(error, kind)), 500)
    headers = {"Retry-After": str(error.retry_after)} if isinstance(error, QueueFullError) else {}
    return problem(request, status, str(error), headers)


async def _on_http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    headers = dict(error.headers or {})
    if error.status_code == 405:  # a route tells its own methods alone; others may share its address
        headers["Allow"] = ", ".join(sorted(_methods(request)))
    return problem(request, error.status_code, str(error.detail), headers)


def _methods(request: Request) -> set[str]:
    """The methods of all routes at a request's address."""
    found: set[str] = set()
    for route in request.app.routes:
        if route.matches(request.scope)[0] is not Match.NONE:
            found |= getattr(route, "methods", None) or set()
    return found


async def _on_invalid(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    if first["loc"][0] == "path":
        return await _on_ours(request, UnknownJobError())
    return problem(request, 422, f"{'.'.join(map(str, first['loc']))}: {first['msg']}"[:300])
