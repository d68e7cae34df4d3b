"""The sessions of the HTTP API, under /v1/sessions: prepared portraits that answer at once. And files of keyframes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias, TypeVar

from fastapi import APIRouter, Depends, Request, Response, WebSocket
from fastapi import Path as InPath
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from gioconda.errors import InputError, LimitError
from gioconda.registry import MotionEntry, motions
from gioconda.web.errors import ClosingError, MalformedError
from gioconda.web.http import bodies, uploads
from gioconda.web.http.problems import documented
from gioconda.web.http.submission import Arrivals
from gioconda.web.live import slider_values
from gioconda.web.live.models import SessionRequest, SessionState
from gioconda.web.live.sessions import FILE_SECONDS, EndedError, Sessions
from gioconda.web.live.stream import serve_stream
from gioconda.web.queue.jobs import JobQueue
from gioconda.web.validation import body_refusal

# Seconds that a JSON body may take, and its most bytes.
_BODY_SECONDS = 10.0
_JSON_BYTES = 256 * 2**10
# The name of the field of a multipart body, and of its file.
_FIELD, _PORTRAIT = "session", "portrait"

_Answer = TypeVar("_Answer")
SessionId = Annotated[
    str,
    InPath(
        pattern=r"^[A-Za-z0-9_-]{22}$",
        description="The id in the answer to the opening.",
        examples=["w" * 22],
    ),
]
MotionFormat: TypeAlias = Literal["npz", "csv"]

router = APIRouter(prefix="/v1", tags=["sessions"])
# FastAPI's scheme of the token, which documents the other routes, does not take WebSockets.
sockets = APIRouter(prefix="/v1")


def _sessions(request: Request) -> Sessions:
    """The app's sessions."""
    sessions: Sessions = request.app.state.sessions
    return sessions


Live = Annotated[Sessions, Depends(_sessions)]


def _parse_session(data: bytes, counts: Mapping[str, int]) -> SessionRequest:
    """Parse the JSON of a session, and check that there is one portrait."""
    try:
        request = SessionRequest.model_validate_json(data)
    except ValidationError as error:
        raise body_refusal(error, f"{_FIELD}.") from None
    if counts.get(_PORTRAIT, 0) != 1:
        raise InputError(f"send one file {_PORTRAIT!r} in the same body as the field {_FIELD}")
    return request


_FORM = uploads.Form(_FIELD, (_PORTRAIT,), _parse_session)


@router.post(
    "/sessions",
    status_code=201,
    response_model=SessionState,
    responses={
        **documented(404, 408, 413, 415, 422, 429, 503, 507),
        201: {
            "headers": {"Location": {"description": "The session's address.", "schema": {"type": "string"}}}
        },
    },
    openapi_extra=bodies.SESSION_FORM,
)
async def open_session(request: Request, response: Response, live: Live) -> SessionState:
    """Open a session: a field `session` with JSON, and the file `portrait`. It takes some seconds."""
    queue: JobQueue = request.app.state.queue
    boundary = bodies.boundary_of(request.headers, queue.settings)
    arrivals: Arrivals = request.app.state.arrivals
    name, folder = live.fresh()
    try:
        async with arrivals.admit(None):
            opening = await _receive(request, queue, folder, boundary)
        state = await in_thread(live, lambda: live.start(name, opening))
    finally:
        live.discard(folder)
    if await request.is_disconnected():
        await in_thread(live, lambda: live.close(name))
    response.headers["Location"] = f"{request.scope['root_path']}/v1/sessions/{name}"
    return state


async def _receive(request: Request, queue: JobQueue, folder: Path, boundary: bytes) -> SessionRequest:
    """Read a request's body; the portrait goes into the folder."""
    settings = queue.settings
    intake = uploads.Intake(_FORM, folder, boundary, settings.upload_bytes, queue.folders.check_space)
    return await uploads.receive(request.stream(), intake, settings.upload_seconds, settings.idle_seconds)


@router.get("/sessions/{session}", response_model=SessionState, responses=documented(404))
def see_session(session: SessionId, live: Live) -> SessionState:
    """Return the state of a session. Its WebSocket, which OpenAPI cannot describe, has the address /stream below this.

    docs/live.md says what goes through it.
    """
    return live.state(session)


@router.get(
    "/sessions/{session}/picture", response_class=Response, responses={**documented(404), **bodies.JPEG}
)
def see_rest(session: SessionId, live: Live) -> Response:
    """Return the portrait in its own pose."""
    return Response(live.get(session).rest, media_type="image/jpeg")


@router.delete("/sessions/{session}", status_code=204, responses=documented(404))
async def end_session(session: SessionId, live: Live) -> Response:
    """End a session and free its memory."""
    live.get(session)
    await in_thread(live, lambda: live.close(session))
    return Response(status_code=204)


_DRAWN: dict[int | str, dict[str, Any]] = {**documented(404, 408, 413, 422, 429), **bodies.JPEG}


@router.post(
    "/sessions/{session}/look",
    response_class=Response,
    responses=_DRAWN,
    openapi_extra=bodies.json_body(slider_values.Look),
)
async def look(session: SessionId, request: Request, live: Live) -> Response:
    """Draw one picture: sliders and an emotion, or a moment of a template."""
    values = read(slider_values.Look, await body(request, _JSON_BYTES))
    return await pictured(live, session, {"look": values.model_dump()})


@router.post(
    "/sessions/{session}/play",
    response_class=Response,
    responses=_DRAWN,
    openapi_extra=bodies.json_body(slider_values.KeyframeMoment),
)
async def play(session: SessionId, request: Request, live: Live) -> Response:
    """Draw a moment of keyframes."""
    values = read(slider_values.KeyframeMoment, await body(request, _JSON_BYTES))
    return await pictured(live, session, values.model_dump())


@sockets.websocket("/sessions/{session}/stream")
async def stream_session(socket: WebSocket, session: SessionId) -> None:
    """Drive a session's portrait, and receive its pictures."""
    try:
        await serve_stream(socket, socket.app.state.sessions, session)
    except EndedError as error:
        await socket.send_denial_response(JSONResponse({"error": str(error)}, 404))


@router.get(
    "/sessions/{session}/recording",
    response_class=Response,
    responses={**documented(404, 422, 429), **bodies.MOTION},
)
async def get_recording(session: SessionId, live: Live, format: MotionFormat = "npz") -> Response:  # noqa: A002
    """Return the motion that the stream has recorded, for jobs of kind `animate`."""
    entry = motions()[f".{format}"]
    header = {"recording": entry.suffix}
    _, data = await in_thread(live, lambda: live.get(session).ask(header, seconds=FILE_SECONDS))
    return _file(data, entry, "recording")


@router.post(
    "/motions",
    response_class=Response,
    responses={**documented(408, 413, 422), **bodies.MOTION},
    openapi_extra=bodies.json_body(slider_values.Keyframes),
)
async def save_keyframes(request: Request, live: Live, format: MotionFormat = "npz") -> Response:  # noqa: A002
    """Turn keyframes into a motion file, for jobs of kind `animate`."""
    values = read(slider_values.Keyframes, await body(request, _JSON_BYTES))
    keys = [key.model_dump() for key in values.keys]
    entry = motions()[f".{format}"]
    data = await in_thread(live, lambda: entry.as_bytes(slider_values.keyframed(keys)))
    return _file(data, entry, "keyframes")


def _file(data: bytes, entry: MotionEntry, name: str) -> Response:
    """Answer with a motion file that the browser saves as `name`."""
    headers = {"Content-Disposition": f'attachment; filename="{name}{entry.suffix}"'}
    return Response(data, media_type=entry.mime, headers=headers)


async def pictured(live: Sessions, session: str, header: dict[str, Any], payload: bytes = b"") -> Response:
    """Answer with a session's picture, and with the session's header as HTTP headers; 204 without a picture."""
    answer, picture = await in_thread(live, lambda: live.get(session).ask(header, payload))
    headers = {f"X-{key}": str(value).lower() for key, value in answer.items()}
    if not picture:
        return Response(status_code=204, headers=headers)
    return Response(picture, media_type="image/jpeg", headers=headers)


async def in_thread(live: Sessions, work: Callable[[], _Answer]) -> _Answer:
    """Call a function in one of the sessions' threads; ClosingError at the server's end."""
    try:
        return await asyncio.get_running_loop().run_in_executor(live.pool, work)
    except RuntimeError:
        # The threads take no more work.
        if live.stopping:
            raise ClosingError from None
        raise


async def body(request: Request, most: int) -> bytes:
    """Read the whole body; LimitError beyond `most` bytes, status 408 if it takes too long."""

    async def whole() -> bytes:
        held = bytearray()
        async for piece in request.stream():
            held += piece
            if len(held) > most:
                raise LimitError(f"the body exceeds the limit of {most:,} bytes")
        return bytes(held)

    try:
        return await asyncio.wait_for(whole(), _BODY_SECONDS)
    except asyncio.TimeoutError:
        raise HTTPException(408, "the request took too long; send it again") from None
    except ClientDisconnect:
        raise MalformedError("the request was interrupted; send it again") from None


_Model = TypeVar("_Model", bound=BaseModel)


def read(kind: type[_Model], data: bytes) -> _Model:
    """Parse a JSON body; InputError says what its fields must be."""
    try:
        return kind.model_validate_json(data)
    except ValidationError as error:
        raise body_refusal(error) from None
