"""What of Gradio's own server is let through: the page, its events and uploads, within bounds; no other file."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import time
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.routing import Match, Mount
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gioconda.web.errors import QueueFullError
from gioconda.web.http import bodies
from gioconda.web.http.prefix import route_path
from gioconda.web.page.streams import Streams
from gioconda.web.queue.jobs import JobQueue

_OWN = "/gradio_api/"
_FILE = f"{_OWN}file="
_UPLOAD = f"{_OWN}upload"
_READ = re.compile(
    r"/|/(config|theme\.css|favicon\.ico|manifest\.json|robots\.txt)/?|/(assets|static|svelte)/.+"
    r"|/gradio_api/(info|app_id|startup-events|theme\.css|queue/data|upload_progress|heartbeat/\w+|user|token)/?"
    r"|/gradio_api/(file=|stream/).+"
)
_SENT = re.compile(r"/gradio_api/(queue/join|cancel|reset|upload|component_server|stream/\w+(/close)?)/?")
_EVENT_BYTES = 16 * 2**20  # of what is sent beside uploads
_ADDRESS = re.compile(r"\s*[a-z][a-z0-9+.-]*://", re.IGNORECASE)


class Page(Mount):
    """Gradio's app under "/", for the addresses that the page needs; all others are the server's."""

    def __init__(self, gradio: ASGIApp, app: FastAPI, queue: JobQueue, uploads: Path) -> None:
        super().__init__("", app=_Bounded(gradio, app, queue, uploads))

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Whether Gradio is asked for something that is its own."""
        if scope["type"] != "http":
            return Match.NONE, {}
        allowed = (
            _READ if scope["method"] in ("GET", "HEAD") else _SENT if scope["method"] == "POST" else None
        )
        if allowed is None or not allowed.fullmatch(route_path(scope)):
            return Match.NONE, {}
        return super().matches(scope)


class _Bounded:
    """Holds requests to bounds, and to files that were uploaded."""

    def __init__(self, gradio: ASGIApp, app: FastAPI, queue: JobQueue, uploads: Path) -> None:
        self._gradio, self._app, self._queue = Streams(gradio, queue), app, queue
        self._uploads = Path(os.path.realpath(uploads))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on to Gradio; raises what the server tells as a problem."""
        path, settings = route_path(scope), self._queue.settings
        if scope["method"] != "POST":
            if path.startswith(_FILE) and not self._uploaded(path[len(_FILE) :]):
                raise HTTPException(404, "no such file, or it has expired")
            await self._gradio(scope, receive, send)
        elif path.rstrip("/") != _UPLOAD:
            body = await _whole(receive)
            if _names_address(body):
                raise HTTPException(400, "files of other machines are not fetched; upload the file")
            await self._gradio(scope, _again(body, receive), send)
        else:
            length = Headers(scope=scope).get("content-length", "")
            if not length.isdigit():
                raise HTTPException(411, "an upload has to tell its length")
            if int(length) > settings.upload_bytes + 2**20:
                raise bodies.too_large(settings)
            await asyncio.to_thread(self._queue.folders.check_space)
            gate: asyncio.Semaphore = self._app.state.uploads
            if gate.locked():
                raise QueueFullError("too many uploads at once; try again later", 5)
            async with gate:
                try:
                    await asyncio.wait_for(self._gradio(scope, receive, send), settings.upload_seconds)
                except asyncio.TimeoutError:
                    raise HTTPException(408, "the upload takes too long") from None

    def _uploaded(self, name: str) -> bool:
        """Whether a path leads to a file among the uploads, links followed."""
        try:
            found = Path(os.path.realpath(name))
        except (OSError, ValueError):
            return False
        return found.is_relative_to(self._uploads) and found.is_file()


async def _whole(receive: Receive) -> bytes:
    """A request's body, within bounds."""
    body = bytearray()
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            break
        body += message.get("body", b"")
        if len(body) > _EVENT_BYTES:
            raise HTTPException(413, "this is too large for the page")
        more = message.get("more_body", False)
    return bytes(body)


def _again(body: bytes, receive: Receive) -> Receive:
    """Hands a body out that was read already, then what else comes."""
    answered = False

    async def replayed() -> Message:
        nonlocal answered
        if answered:
            return await receive()
        answered = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replayed


def _names_address(body: bytes) -> bool:
    """Whether JSON holds a file whose path is an address, which Gradio would fetch."""
    try:
        return _holds_address(json.loads(body))
    except (ValueError, RecursionError):
        return False


def _holds_address(value: Any) -> bool:
    if isinstance(value, dict):
        path = value.get("path")
        if isinstance(path, str) and _ADDRESS.match(path):
            return True
        return any(_holds_address(one) for one in value.values())
    return isinstance(value, list) and any(_holds_address(one) for one in value)


def empty(folder: Path, older_than: float) -> None:
    """Delete what lies in a folder, and what is left of uploads that broke off, once it is older than some seconds."""
    oldest = time.time() - older_than
    for entry in os.scandir(folder):
        try:
            if entry.stat(follow_symlinks=False).st_mtime > oldest:
                continue
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path, ignore_errors=True)
            else:
                Path(entry.path).unlink(missing_ok=True)
        except OSError:
            continue
