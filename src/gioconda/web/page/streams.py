"""Keeps the page's event streams whole: no answer is missed between two of them, and all end with the server."""

from __future__ import annotations

import asyncio
import json
import time
from collections import OrderedDict
from urllib.parse import parse_qs

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gioconda.web.http.prefix import route_path
from gioconda.web.queue.jobs import JobQueue

_API = "/gradio_api/"
STREAM, JOIN, HEARTBEAT = f"{_API}queue/data", f"{_API}queue/join", f"{_API}heartbeat/"
_LATELY, _WAIT = 2.0, 0.3  # seconds after a stream's end in which answers wait, and for how long
SESSIONS = 1024  # whose ends are remembered
_LOOK_SECONDS = 0.25  # between looks at whether the server ends


class Streams:
    """Gradio's app; the body of a request is handed to it whole, in one message.

    Its page asks once an event, when it learns the event's id, whether a stream is open. If it then has yet to read
    that the stream has ended, the event's outcome is never seen. So ids wait until the page has read it.
    """

    def __init__(self, gradio: ASGIApp, queue: JobQueue) -> None:
        self._gradio, self._queue = gradio, queue
        self.ended: OrderedDict[str, float] = OrderedDict()
        """When streams ended, by session, the last ones."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        path = route_path(scope).rstrip("/")
        if path == STREAM or path.startswith(HEARTBEAT):
            await self._follow(scope, receive, send)
        elif path == JOIN:
            await self._join(scope, receive, send)
        else:
            await self._gradio(scope, receive, send)

    async def _follow(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a stream on, until it or the server ends."""
        session = parse_qs(scope["query_string"].decode("latin-1")).get("session_hash", [""])[0]
        self.ended.pop(session, None)
        unfinished = False

        async def watched(message: Message) -> None:
            nonlocal unfinished
            unfinished = message["type"] == "http.response.start" or message.get("more_body", False)
            if b'"close_stream"' in message.get("body", b""):
                self.ended[session] = time.monotonic()
                self.ended.move_to_end(session)
                if len(self.ended) > SESSIONS:
                    self.ended.popitem(last=False)
            await send(message)

        await self._gradio(scope, _until(self._queue, receive), watched)
        if unfinished:
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _join(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand an event in, and give its id once the page knows whether a stream is open."""
        session = ""

        async def overheard() -> Message:
            nonlocal session
            message = await receive()
            session = session or _session(message.get("body", b""))
            return message

        async def patient(message: Message) -> None:
            if message["type"] == "http.response.start":
                ended = self.ended.get(session)
                if ended is not None and time.monotonic() - ended < _LATELY:
                    await asyncio.sleep(_WAIT)
            await send(message)

        await self._gradio(scope, overheard, patient)


def _session(body: bytes) -> str:
    try:
        payload = json.loads(body)
    except (ValueError, RecursionError):
        return ""
    session = payload.get("session_hash") if isinstance(payload, dict) else None
    return session if isinstance(session, str) else ""


def _until(queue: JobQueue, receive: Receive) -> Receive:
    """What comes from the client, who is taken to leave when the server ends."""

    async def received() -> Message:
        coming = asyncio.ensure_future(receive())
        try:
            while not queue.closed:
                await asyncio.wait([coming], timeout=_LOOK_SECONDS)
                if coming.done():
                    return coming.result()
            return {"type": "http.disconnect"}
        finally:
            coming.cancel()

    return received
