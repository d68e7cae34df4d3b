"""What every tab is given."""

from __future__ import annotations

from dataclasses import dataclass

import gradio as gr

from gioconda.web.live.sessions import Sessions
from gioconda.web.queue import JobQueue
from gioconda.web.settings import Settings


@dataclass(frozen=True)
class Context:
    """One page's parts that its tabs share.

    rights: holds the right to use a likeness, as the visitor declared it in this session; "" until then. A `Panel`
    takes it by itself, other handlers as an input of theirs. live: portraits that answer at once.
    """

    settings: Settings
    queue: JobQueue
    rights: gr.State
    live: Sessions
