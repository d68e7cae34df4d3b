"""The routes for the page's scripts: pictures of a session, motion files. They are not part of the public API."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi import Path as InPath
from pydantic import BaseModel, ValidationError
from starlette.exceptions import HTTPException

from gioconda.errors import LimitError
from gioconda.web.errors import MalformedError
from gioconda.web.live import slider_values, wire
from gioconda.web.live.sessions import Sessions

# Seconds that a body may take.
_BODY_SECONDS = 10.0
# Most bytes of a JSON body, and characters of the message about one that is not valid.
_JSON_BYTES = 256 * 2**10
_MESSAGE_CHARACTERS = 200

_Answer = TypeVar("_Answer")
Name = Annotated[str, InPath(pattern=r"^[A-Za-z0-9_-]{22}$")]

router = APIRouter(prefix="/v1/live", include_in_schema=False)


def add(app: FastAPI, sessions: Sessions) -> None:
    """Add the routes to an app. The caller stops `sessions`."""
    app.state.live = sessions
    app.state.metrics.watch(sessions)
    app.include_router(router)


@router.post("/{name}/look")
async def look(name: Name, request: Request) -> Response:
    """Draw the values of the sliders."""
    values = _read(slider_values.SliderValues, await _body(request, _JSON_BYTES))
    return await _pictured(request, name, {"look": values.model_dump()}, b"")


@router.post("/{name}/play")
async def play(name: Name, request: Request) -> Response:
    """Draw a moment of keyframes."""
    values = _read(slider_values.KeyframeMoment, await _body(request, _JSON_BYTES))
    return await _pictured(request, name, values.model_dump(), b"")


@router.post("/{name}/follow")
async def follow(name: Name, request: Request, calibrate: bool = False) -> Response:
    """Move the portrait as the face in a webcam picture moves; 204 where the picture shows no face."""
    jpeg = await _body(request, wire.FRAME_BYTES)
    wire.check_jpeg(jpeg)
    return await _pictured(request, name, {"follow": True, "calibrate": calibrate}, jpeg)


@router.post("/{name}/end", status_code=204)
async def end(name: Name, request: Request) -> Response:
    """End a session and free its memory."""
    sessions = _sessions(request)
    await _in_thread(sessions, lambda: sessions.close(name))
    return Response(status_code=204)


@router.post("/motion")
async def motion(request: Request) -> Response:
    """Save keyframes as a motion file for `gioconda animate --motion` and the tab Animate."""
    values = _read(slider_values.Keyframes, await _body(request, _JSON_BYTES))
    data = await _in_thread(
        _sessions(request), lambda: _motion_file([key.model_dump() for key in values.keys])
    )
    headers = {"Content-Disposition": 'attachment; filename="keyframes.npz"'}
    return Response(data, media_type="application/octet-stream", headers=headers)


def _motion_file(keys: list[dict[str, Any]]) -> bytes:
    """The bytes of a motion file (.npz) of keyframes."""
    from gioconda.motion import store

    with tempfile.TemporaryDirectory(prefix="gioconda-keyframes-") as folder:
        path = Path(folder) / "keyframes.npz"
        store.save(slider_values.keyframed(keys), path)
        return path.read_bytes()


async def _pictured(request: Request, name: str, header: dict[str, Any], payload: bytes) -> Response:
    """Answer with a session's picture, and with the session's header as HTTP headers."""
    sessions = _sessions(request)
    answer, picture = await _in_thread(sessions, lambda: sessions.get(name).ask(header, payload))
    headers = {f"X-{key}": str(value).lower() for key, value in answer.items()}
    if not picture:
        return Response(status_code=204, headers=headers)
    return Response(picture, media_type="image/jpeg", headers=headers)


async def _in_thread(sessions: Sessions, work: Callable[[], _Answer]) -> _Answer:
    """Call a function in one of the sessions' threads."""
    return await asyncio.get_running_loop().run_in_executor(sessions.pool, work)


def _sessions(request: Request) -> Sessions:
    """The app's sessions."""
    sessions: Sessions = request.app.state.live
    return sessions


async def _body(request: Request, most: int) -> bytes:
    """Read the whole body; LimitError beyond `most` bytes, status 408 if it takes too long."""

    async def read() -> bytes:
        held = bytearray()
        async for piece in request.stream():
            held += piece
            if len(held) > most:
                raise LimitError(f"the body exceeds the limit of {most:,} bytes")
        return bytes(held)

    try:
        return await asyncio.wait_for(read(), _BODY_SECONDS)
    except asyncio.TimeoutError:
        raise HTTPException(408, "the request took too long; send it again") from None


_Model = TypeVar("_Model", bound=BaseModel)


def _read(kind: type[_Model], data: bytes) -> _Model:
    """Parse a JSON body; MalformedError names the first field that is not valid."""
    try:
        return kind.model_validate_json(data)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_context=False, include_input=False)[0]
        message = f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}"
        raise MalformedError(message[:_MESSAGE_CHARACTERS]) from None
