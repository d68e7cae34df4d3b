"""What every tab is given."""

from __future__ import annotations

import contextlib
import threading
from dataclasses import dataclass

import gradio as gr

from gioconda.errors import GiocondaError
from gioconda.web.live.sessions import Sessions
from gioconda.web.queue.jobs import JobQueue
from gioconda.web.settings import ServerSettings


class Running:
    """Jobs that were begun on the page and have not ended, by session: they are cancelled with it."""

    def __init__(self, queue: JobQueue) -> None:
        self._queue = queue
        self._jobs: dict[str, set[str]] = {}
        self._lock = threading.Lock()

    def add(self, session: str, job: str) -> None:
        """A job has been queued."""
        with self._lock:
            self._jobs.setdefault(session, set()).add(job)

    def drop(self, session: str, job: str) -> None:
        """A job has ended."""
        with self._lock:
            jobs = self._jobs.get(session, set())
            jobs.discard(job)
            if not jobs:
                self._jobs.pop(session, None)

    def leave(self, request: gr.Request) -> None:
        """A session's page was closed: nobody could fetch what its jobs would give."""
        with self._lock:
            jobs = self._jobs.pop(request.session_hash or "", set())
        for job in jobs:
            with contextlib.suppress(GiocondaError):
                self._queue.cancel(job)


@dataclass(frozen=True)
class Context:
    """One page's parts that its tabs share.

    rights: holds the right to use a likeness, as the visitor declared it in this session; "" until then. A `Panel`
    takes it by itself, other handlers as an input of theirs. live: portraits that answer at once.
    running: jobs of the sessions that are open.
    """

    settings: ServerSettings
    queue: JobQueue
    rights: gr.State
    live: Sessions
    running: Running
