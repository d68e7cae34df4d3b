"""The middleware of every request: checks of host, origin and token; security headers, log and counters."""

from __future__ import annotations

import base64
import binascii
import hmac
import ipaddress
import json
import logging
import re
import secrets
import time
from email.utils import formatdate
from urllib.parse import unquote, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gioconda.web.http.prefix import route_path
from gioconda.web.settings import ServerSettings
from gioconda.web.telemetry import Metrics

LOG = logging.getLogger("gioconda.web")

# Paths that need no token.
OPEN_PATHS = ("/healthz",)
# Routes with many requests per second, which are logged at a lower level.
_FREQUENT = ("/v1/sessions/{session}/look", "/v1/sessions/{session}/play")
# What precedes the token, percent-encoded, in the name of a subprotocol.
_TOKEN_PROTOCOL = "gioconda.token."  # noqa: S105 (a name, not a token)
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_SAFE = ("GET", "HEAD", "OPTIONS")
_HEADERS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-embedder-policy": "require-corp",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "geolocation=(), payment=(), usb=()",
}
NO_CONTENT = "default-src 'none'; frame-ancestors 'none'; sandbox"
# Nothing may come from, or go to, another site. WebAssembly runs the networks that track a face in the browser.
PAGE_POLICY = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self' blob:; style-src 'self'; "
    "img-src 'self' data: blob:; media-src 'self' blob:; font-src 'self'; connect-src 'self' blob:; "
    "manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


class Guard:
    """ASGI middleware around the whole server, the page included.

    It uses these settings: `hosts` are the names under which clients reach the server, beside IP addresses and
    localhost; others are refused, which stops DNS rebinding. `token` is what clients send as a bearer token or, in a
    browser, as the password of any user. WebSockets pass the same checks; since a browser's scripts cannot send them a
    header, the token may come as a subprotocol.
    """

    def __init__(self, app: ASGIApp, *, settings: ServerSettings, metrics: Metrics) -> None:
        self._app, self._token, self._metrics = app, settings.token, metrics
        self._hosts = {host.lower() for host in settings.hosts} | {"localhost"}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        headers, path = Headers(scope=scope), route_path(scope)
        client_id = headers.get("x-request-id", "")
        request_id = client_id if _REQUEST_ID.fullmatch(client_id) else secrets.token_hex(8)
        scope.setdefault("state", {})["request_id"] = request_id
        refusal = self._refusal(scope, headers)
        if scope["type"] == "websocket":
            if refusal is None:
                await self._app(scope, receive, send)
            else:
                await _refuse_socket(scope, send, *refusal, request_id)
            return
        began, status = time.perf_counter(), 0

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                _add_headers(MutableHeaders(scope=message), path, request_id)
            await send(message)

        try:
            if refusal is None:
                await self._app(scope, receive, send_with_headers)
            else:
                await _refuse(send_with_headers, *refusal, request_id, browser=not path.startswith("/v1/"))
        except Exception:
            LOG.exception("a bug in gioconda", extra={"request_id": request_id})
            # The answer has begun, and its status is sent.
            if status:
                raise
            await _refuse(send_with_headers, 500, "a bug in the server; please report it", request_id)
        finally:
            self._log_request(scope, status, time.perf_counter() - began, request_id)

    def _refusal(self, scope: Scope, headers: Headers) -> tuple[int, str] | None:
        """Return the status and the message for a request that is refused; None for others."""
        if not self._is_own_host(headers.get("host", "")):
            return (
                400,
                "the Host header does not name this server; to accept it, start the server with --allow-host NAME",
            )
        if scope.get("method") not in _SAFE and _foreign(headers):
            return 403, "this server refuses requests from pages of other sites"
        guarded = self._token is not None and route_path(scope) not in OPEN_PATHS
        sent = headers.get("authorization", "") or _offered_token(scope)
        if guarded and not sent:
            return 401, "a token is required; send the header Authorization: Bearer TOKEN"
        if guarded and not self._has_token(sent):
            return 401, "the token is wrong; send the server's own in the header Authorization: Bearer TOKEN"
        return None

    def _is_own_host(self, host: str) -> bool:
        """Whether a Host header names this server: an IP address, localhost or an allowed name."""
        name = _name_of(host)
        if name is None:
            return False
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return name in self._hosts
        return True

    def _has_token(self, authorization: str) -> bool:
        """Whether the header holds the token; the comparison takes as long for a wrong one as for the right one."""
        scheme, _, value = authorization.partition(" ")
        if scheme.lower() == "basic":
            try:
                value = base64.b64decode(value, validate=True).decode().partition(":")[2]
            except (binascii.Error, UnicodeDecodeError):
                return False
        elif scheme.lower() != "bearer":
            return False
        assert self._token is not None
        return hmac.compare_digest(value.strip().encode(), self._token.encode())

    def _log_request(self, scope: Scope, status: int, seconds: float, request_id: str) -> None:
        """Count and log a request by its route, since paths hold ids, which are secret."""
        route = getattr(scope.get("route"), "path", "other")
        method = scope["method"] if scope["method"].isalpha() else "other"
        self._metrics.request(method, route, status, seconds)
        about = {"request_id": request_id, "method": method, "route": route, "status": status}
        level = logging.DEBUG if route.startswith(_FREQUENT) else logging.INFO
        LOG.log(level, "request", extra={**about, "seconds": round(seconds, 4)})


def _offered_token(scope: Scope) -> str:
    """A token among a WebSocket's subprotocols, as an Authorization header would give it; "" if there is none."""
    offered = scope.get("subprotocols", ()) if scope["type"] == "websocket" else ()
    tokens = (
        unquote(name.removeprefix(_TOKEN_PROTOCOL)) for name in offered if name.startswith(_TOKEN_PROTOCOL)
    )
    return next((f"Bearer {token}" for token in tokens), "")


def _name_of(host: str) -> str | None:
    """The name in a Host header, without its port; None for a malformed header."""
    if not host or set(host) & set("/\\@?# ,"):
        return None
    try:
        parts = urlsplit(f"//{host}")
        return parts.hostname if parts.port is None or parts.port else None
    except ValueError:
        return None


def _foreign(headers: Headers) -> bool:
    """Whether the browser says that a page of another site sent the request."""
    if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        return True
    origin = headers.get("origin")
    return origin is not None and urlsplit(origin).netloc != headers.get("host")


def _add_headers(headers: MutableHeaders, path: str, request_id: str) -> None:
    """Add the date, the request's id and the headers for security."""
    # Uvicorn's own date has to be renewed every second, by a server that is idle too.
    headers["date"] = formatdate(usegmt=True)
    for name, value in _HEADERS.items():
        headers.setdefault(name, value)
    headers["x-request-id"] = request_id
    if path.startswith("/v1/") or path in ("/healthz", "/metrics", "/openapi.json"):
        headers.setdefault("content-security-policy", NO_CONTENT)
        headers.setdefault("cache-control", "no-store")
    else:
        headers.setdefault("content-security-policy", PAGE_POLICY)


async def _refuse(send: Send, status: int, detail: str, request_id: str, *, browser: bool = False) -> None:
    """Answer without calling a route; with `browser`, the browser asks the user for the token as a password."""
    headers = [(b"content-type", b"application/json")]
    if status == 401:
        scheme = b'Basic realm="gioconda", charset="UTF-8"' if browser else b"Bearer"
        headers.append((b"www-authenticate", scheme))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    body = json.dumps({"error": detail, "request_id": request_id}).encode()
    await send({"type": "http.response.body", "body": body})


async def _refuse_socket(scope: Scope, send: Send, status: int, detail: str, request_id: str) -> None:
    """Refuse a WebSocket with a status and a message where the server can send them, else close it."""
    if "websocket.http.response" not in scope.get("extensions", {}):
        await send({"type": "websocket.close", "code": 1008, "reason": detail})
        return

    async def send_denial(message: Message) -> None:
        await send({**message, "type": f"websocket.{message['type']}"})

    await _refuse(send_denial, status, detail, request_id)
