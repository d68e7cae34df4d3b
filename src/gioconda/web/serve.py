"""Runs the server until it is told to stop."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import uvicorn
from fastapi import FastAPI

from gioconda.errors import InputError, OutputError
from gioconda.web import telemetry
from gioconda.web.api import build_app
from gioconda.web.queue import JobQueue
from gioconda.web.settings import Settings

TOKEN_VARIABLE = "GIOCONDA_TOKEN"  # noqa: S105 (a name, not a token)
_SHORTEST_TOKEN = 16


def serve(settings: Settings, ready: Callable[[str], None], *, page: bool = True) -> None:
    """Serve until Ctrl-C or a request to end. ready: is told the address once it listens. page: for people, at "/".

    Raises InputError if the port is taken or another server uses the folder, OutputError if it cannot be written.
    """
    with _listening(settings) as listener:
        telemetry.log_to_stderr()
        app = build_app(settings, mount=_page() if page else None)
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            limit_concurrency=256,
            timeout_keep_alive=15,
            timeout_graceful_shutdown=3,
            h11_max_incomplete_event_size=32 * 1024,
            ws="none",
            lifespan="on",
        )
        host, port = listener.getsockname()[:2]
        ready(f"http://{f'[{host}]' if ':' in host else host}:{port}")
        try:
            _Server(config, app.state.queue.stop).run(sockets=[listener])
        except KeyboardInterrupt:  # uvicorn raises again, after its end, what ended it
            pass
        finally:
            app.state.queue.close()


def _page() -> Callable[[FastAPI, JobQueue], None]:
    from gioconda.web.page.mount import mount

    return mount


class _Server(uvicorn.Server):
    """Lets listeners go as soon as it is told to stop, since they would wait for their jobs' end."""

    def __init__(self, config: uvicorn.Config, on_exit: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_exit = on_exit

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Of a signal."""
        self._on_exit()
        super().handle_exit(sig, frame)


def _listening(settings: Settings) -> socket.socket:
    """A socket that listens, bound before anything else is begun; port 0 takes a free one."""
    where = f"{settings.host} port {settings.port}"
    try:
        family = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((settings.host, settings.port), family=family, backlog=256)
    except socket.gaierror:
        raise InputError(f"--host {settings.host} is no address of this machine") from None
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise InputError(f"{where} is taken by another program; choose another with --port") from None
        raise OutputError(f"{where} cannot be listened on ({error.strerror}); choose another") from None


def read_token(file: Path | None) -> str | None:
    """The token that callers have to show, from a file or the variable GIOCONDA_TOKEN; None if there is none."""
    if file is None:
        token = os.environ.get(TOKEN_VARIABLE, "").strip()
        origin = TOKEN_VARIABLE
        if not token:
            return None
    else:
        origin = str(file)
        try:
            token = file.read_bytes()[:4096].decode("ascii").strip()
        except OSError as error:
            raise InputError(
                f"{file} cannot be read ({error.strerror}); name the file of the token"
            ) from None
        except UnicodeDecodeError:
            raise InputError(
                f"{file} holds more than letters and digits; it has to hold the token alone"
            ) from None
    if len(token) < _SHORTEST_TOKEN or not token.isascii() or not token.isprintable() or " " in token:
        raise InputError(
            f"the token of {origin} has to be {_SHORTEST_TOKEN} or more letters and digits in one word; make one with"
            " python -c 'import secrets; print(secrets.token_urlsafe())'"
        )
    return token
