"""What the page's scripts ask of its sessions: pictures, motion files, an end. Not part of the API for programs."""

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
from gioconda.web.live import looks, wire
from gioconda.web.live.sessions import Sessions
from gioconda.web.refusals import MalformedError

_BODY_SECONDS = 10.0
_JSON_BYTES = 256 * 2**10

_Answer = TypeVar("_Answer")
Name = Annotated[str, InPath(pattern=r"^[A-Za-z0-9_-]{22}$")]

router = APIRouter(prefix="/v1/live", include_in_schema=False)


def add(app: FastAPI, sessions: Sessions) -> None:
    """Let an app answer for `sessions`, which the caller stops."""
    app.state.live = sessions
    app.state.metrics.watch(sessions)
    app.include_router(router)


@router.post("/{name}/look")
async def look(name: Name, request: Request) -> Response:
    """The picture of a look."""
    asked = _read(looks.Look, await _body(request, _JSON_BYTES))
    return await _pictured(request, name, {"look": asked.model_dump()}, b"")


@router.post("/{name}/play")
async def play(name: Name, request: Request) -> Response:
    """The picture of a moment of keyframes."""
    asked = _read(looks.Moment, await _body(request, _JSON_BYTES))
    return await _pictured(request, name, asked.model_dump(), b"")


@router.post("/{name}/follow")
async def follow(name: Name, request: Request, calibrate: bool = False) -> Response:
    """The portrait as the face of a webcam picture is; no content where that shows no face."""
    jpeg = await _body(request, wire.FRAME_BYTES)
    wire.check_jpeg(jpeg)
    return await _pictured(request, name, {"follow": True, "calibrate": calibrate}, jpeg)


@router.post("/{name}/end", status_code=204)
async def end(name: Name, request: Request) -> Response:
    """Free all that the session holds."""
    sessions = _sessions(request)
    await _waited(sessions, lambda: sessions.close(name))
    return Response(status_code=204)


@router.post("/motion")
async def motion(request: Request) -> Response:
    """Keyframes as a motion file, which `gioconda animate --motion` and the tab Animate take."""
    asked = _read(looks.Keys, await _body(request, _JSON_BYTES))
    data = await _waited(_sessions(request), lambda: _motion_file([key.model_dump() for key in asked.keys]))
    headers = {"Content-Disposition": 'attachment; filename="keyframes.npz"'}
    return Response(data, media_type="application/octet-stream", headers=headers)


def _motion_file(keys: list[dict[str, Any]]) -> bytes:
    from gioconda.motion import store

    with tempfile.TemporaryDirectory(prefix="gioconda-keyframes-") as folder:
        path = Path(folder) / "keyframes.npz"
        store.save(looks.keyframed(keys), path)
        return path.read_bytes()


async def _pictured(request: Request, name: str, header: dict[str, Any], payload: bytes) -> Response:
    """A session's answer: its picture, and what it tells as headers."""
    sessions = _sessions(request)
    told, picture = await _waited(sessions, lambda: sessions.get(name).ask(header, payload))
    headers = {f"X-{key}": str(value).lower() for key, value in told.items()}
    if not picture:
        return Response(status_code=204, headers=headers)
    return Response(picture, media_type="image/jpeg", headers=headers)


async def _waited(sessions: Sessions, work: Callable[[], _Answer]) -> _Answer:
    return await asyncio.get_running_loop().run_in_executor(sessions.pool, work)


def _sessions(request: Request) -> Sessions:
    sessions: Sessions = request.app.state.live
    return sessions


async def _body(request: Request, most: int) -> bytes:
    """The whole body; LimitError beyond `most` bytes, 408 for one that does not come."""

    async def read() -> bytes:
        held = bytearray()
        async for piece in request.stream():
            held += piece
            if len(held) > most:
                raise LimitError(f"this is more than {most:,} bytes, which are the most")
        return bytes(held)

    try:
        return await asyncio.wait_for(read(), _BODY_SECONDS)
    except asyncio.TimeoutError:
        raise HTTPException(408, "the request takes too long") from None


_Model = TypeVar("_Model", bound=BaseModel)


def _read(kind: type[_Model], data: bytes) -> _Model:
    try:
        return kind.model_validate_json(data)
    except ValidationError as error:
        one = error.errors(include_url=False, include_context=False, include_input=False)[0]
        raise MalformedError(f"{'.'.join(map(str, one['loc']))}: {one['msg']}"[:200]) from None
