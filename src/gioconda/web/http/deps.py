"""What routes receive from the app."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request

from gioconda.web.queue.jobs import JobQueue
from gioconda.web.settings import ServerSettings


def _queue(request: Request) -> JobQueue:
    """The app's queue."""
    queue: JobQueue = request.app.state.queue
    return queue


def _settings(request: Request) -> ServerSettings:
    """The server's settings."""
    settings: ServerSettings = request.app.state.settings
    return settings


Queue = Annotated[JobQueue, Depends(_queue)]
Settings = Annotated[ServerSettings, Depends(_settings)]
