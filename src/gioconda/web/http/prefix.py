"""The prefix under which a proxy serves the app, such as /gio for https://example.org/gio/."""

from __future__ import annotations

import re

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADER = "x-forwarded-prefix"
_PREFIX = re.compile(r"(/[A-Za-z0-9._~-]+)+")
# Most characters of a prefix.
_CHARACTERS = 200


def valid_prefix(text: str) -> str | None:
    """Return a prefix without its final slash, "" for the root, or None if the text is not a valid prefix."""
    prefix = text.strip().rstrip("/")
    valid = not prefix or (len(prefix) <= _CHARACTERS and _PREFIX.fullmatch(prefix))
    # Relative steps would lead out of the prefix.
    return prefix if valid and not {".", ".."} & set(prefix.split("/")) else None


class Prefixed:
    """ASGI middleware that makes the app's own addresses begin with the prefix, whether or not the proxy strips it.

    The prefix is `root_path` or, without one, the request's header X-Forwarded-Prefix.
    """

    def __init__(self, app: ASGIApp, *, root_path: str = "") -> None:
        self._app, self._root_path = app, root_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, with its prefix as ASGI's root_path."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        prefix = self._root_path or valid_prefix(Headers(scope=scope).get(HEADER, "")) or ""
        if prefix:
            scope["root_path"] = prefix
            scope["path"] = _with_prefix(scope["path"], prefix)

        async def send_varying(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).add_vary_header(HEADER)
            await send(message)

        await self._app(scope, receive, send if self._root_path else send_varying)


def route_path(scope: Scope) -> str:
    """Return the path of a request as the app's routes name it, without the prefix."""
    path: str = scope["path"]
    return path.removeprefix(scope.get("root_path", "")) or "/"


def _with_prefix(path: str, prefix: str) -> str:
    """A path with the prefix, which the proxy may have stripped."""
    return path if path == prefix or path.startswith(f"{prefix}/") else prefix + path
