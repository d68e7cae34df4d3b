"""Runs the server until Ctrl-C or SIGTERM."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import uvicorn
from fastapi import FastAPI

from gioconda.errors import InputError, OutputError
from gioconda.web import telemetry
from gioconda.web.capacity import capacity
from gioconda.web.http.api import build_app
from gioconda.web.settings import ServerSettings

LOG = logging.getLogger("gioconda.web")

TOKEN_VARIABLE = "GIOCONDA_TOKEN"  # noqa: S105 (a name, not a token)
# Seconds between two looks at whether the server has to stop. Only on Windows may Ctrl-C fail to wake what waits.
_TICK_SECONDS = 1.0 if os.name == "nt" else None
# Largest message of a WebSocket in bytes; a camera's picture has fewer.
_MESSAGE_BYTES = 2**20
# Fewest characters of a token: 16 random letters cannot be guessed.
_SHORTEST_TOKEN = 16
# Bytes of a token file that are read.
_TOKEN_BYTES = 4096


def serve(settings: ServerSettings, ready: Callable[[str], None], *, page: bool = True) -> None:
    """Serve until Ctrl-C or SIGTERM.

    Args:
        settings: The server's settings.
        ready: Called with the server's address once it listens.
        page: Whether "/" shows a page for people.

    Raises:
        InputError: The port is in use, or another server uses the data folder.
        OutputError: The data folder cannot be written.
    """
    with _listening(settings) as listener:
        telemetry.log_to_stderr()
        app = build_app(settings, mount=_page() if page else None)
        host, port = listener.getsockname()[:2]
        ready(f"http://{f'[{host}]' if ':' in host else host}:{port}")
        LOG.info("workers: %d; this machine grants %s", settings.workers, capacity())
        try:
            _Server(_config(app), lambda: _begin_stop(app)).run(sockets=[listener])
        # Uvicorn raises the interrupt again once it has shut down.
        except KeyboardInterrupt:
            pass
        finally:
            app.state.queue.close()


def _config(app: FastAPI) -> uvicorn.Config:
    """How uvicorn serves the app."""
    return uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        # `Guard` adds the date.
        date_header=False,
        proxy_headers=False,
        limit_concurrency=256,
        timeout_keep_alive=15,
        timeout_graceful_shutdown=3,
        h11_max_incomplete_event_size=32 * 1024,
        ws="websockets-sansio",
        ws_max_size=_MESSAGE_BYTES,
        # Pictures are compressed already, and compression would cost time for each of them.
        ws_per_message_deflate=False,
        lifespan="on",
    )


def _begin_stop(app: FastAPI) -> None:
    """Tell the queue and the sessions that the server stops; requests that wait for them end then."""
    app.state.queue.stop()
    # A signal may interrupt a thread that holds the sessions' lock.
    threading.Thread(target=app.state.sessions.stop, name="gioconda-stop").start()


def _page() -> Callable[[FastAPI], None]:
    """The function that mounts the page."""
    from gioconda.web.page.mount import mount

    return mount


class _Server(uvicorn.Server):
    """A server that ends streams of events when it is asked to stop; they would wait for the end of their jobs."""

    def __init__(self, config: uvicorn.Config, on_exit: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_exit = on_exit
        self._wake: Callable[[], object] = lambda: None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Handle a signal that asks the server to stop."""
        self._on_exit()
        super().handle_exit(sig, frame)
        self._wake()

    async def main_loop(self) -> None:
        """Wait until the server has to stop; Uvicorn itself would look ten times a second."""
        leaving, loop = asyncio.Event(), asyncio.get_running_loop()
        self._wake = lambda: loop.call_soon_threadsafe(leaving.set)
        while not await self.on_tick(0):
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(leaving.wait(), _TICK_SECONDS)


def _listening(settings: ServerSettings) -> socket.socket:
    """A listening socket, bound before anything else starts; port 0 takes a free one."""
    where = f"{settings.host} port {settings.port}"
    try:
        family = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)[0][0]
        listener = socket.create_server((settings.host, settings.port), family=family, backlog=256)
        # Connections inherit this. Without it, a small message waits up to 40 ms for the acknowledgement of the last.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return listener
    except socket.gaierror:
        raise InputError(
            f"--host {settings.host} is not an address of this machine; choose one that is"
        ) from None
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise InputError(f"{where} is in use by another program; choose another with --port") from None
        raise OutputError(
            f"the server cannot listen on {where} ({error.strerror}); choose another with --host or --port"
        ) from None


def read_token(file: Path | None) -> str | None:
    """Read the token that clients must send.

    Args:
        file: The file with the token; the environment variable GIOCONDA_TOKEN if None.

    Returns:
        The token; None if there is neither file nor variable.

    Raises:
        InputError: The file cannot be read, or the token is not valid.
    """
    if file is None:
        token = os.environ.get(TOKEN_VARIABLE, "").strip()
        origin = TOKEN_VARIABLE
        if not token:
            return None
    else:
        origin = str(file)
        try:
            token = file.read_bytes()[:_TOKEN_BYTES].decode("ascii").strip()
        except OSError as error:
            raise InputError(
                f"{file} cannot be read ({error.strerror}); give the file that holds the token"
            ) from None
        except UnicodeDecodeError:
            raise InputError(
                f"{file} must contain the token and nothing else, in letters and digits"
            ) from None
    if len(token) < _SHORTEST_TOKEN or not token.isascii() or not token.isprintable() or " " in token:
        raise InputError(
            f"the token in {origin} must have at least {_SHORTEST_TOKEN} letters or digits and no spaces; make one "
            "with: python -c 'import secrets; print(secrets.token_urlsafe())'"
        )
    return token
