"""The page: its look, the declaration that is asked for once a session, its tabs."""

from __future__ import annotations

from typing import Any

import gradio as gr

import gioconda
from gioconda.web.live.sessions import Sessions
from gioconda.web.page import adapt, animate, consent, edit, look, speak, verify
from gioconda.web.page import live as live_tab
from gioconda.web.page.context import Context, Running
from gioconda.web.queue.jobs import JobQueue
from gioconda.web.settings import ServerSettings

TABS = (
    ("Animate", animate),
    ("Speak", speak),
    ("Edit", edit),
    ("Live", live_tab),
    ("Verify", verify),
    ("Adapt", adapt),
)
"""In the order in which they stand; each module builds its own."""


def build(settings: ServerSettings, queue: JobQueue, live: Sessions) -> gr.Blocks:
    """The whole page. Uploads lie where GRADIO_TEMP_DIR says."""
    page = gr.Blocks(title="Gioconda", analytics_enabled=False)
    with page:
        gr.HTML(look.header(gioconda.__version__), elem_id="header")
        rights = consent.build()
        context = Context(settings, queue, rights, live, Running(queue))
        with gr.Tabs(elem_id="tabs"):
            for name, tab in TABS:
                with gr.Tab(name, id=name.lower()):
                    tab.build(context)
        gr.HTML(look.FOOTER, elem_id="footer")
        page.unload(context.running.leave)
    page.queue(max_size=settings.queue + 64, default_concurrency_limit=None, api_open=False)
    return page


def looks() -> dict[str, Any]:
    """Theme, style and script, for the mounting."""
    return {"theme": look.theme(), "css": look.CSS, "js": look.SCRIPT, "head": look.HEAD}
