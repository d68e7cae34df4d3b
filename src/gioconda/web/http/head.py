"""Answers HEAD wherever GET is answered, with the same status and headers and without a body."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send


class HeadAnswers:
    """ASGI middleware that sends a HEAD request to the route of GET and ends it once the headers are sent."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return
        # The server reads the method of its own scope, and must go on seeing HEAD.
        inner = {**scope, "method": "GET"}

        async def send_head(message: Message) -> None:
            await send(message)
            await send({"type": "http.response.body", "body": b"", "more_body": False})
            # Neither a long file is read nor a stream of events awaited.
            raise _HeadersSent

        try:
            await self._app(inner, receive, send_head)
        except _HeadersSent:
            pass
        finally:
            if "route" in inner:
                scope["route"] = inner["route"]


class _HeadersSent(Exception):  # noqa: N818 (a signal, not an error)
    """The headers are sent, and the rest of the work for the answer is not needed."""
