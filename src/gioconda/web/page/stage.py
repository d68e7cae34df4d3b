"""What the tabs Edit and Live share: a stage that a script of ours draws on, and the session behind it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import gradio as gr

from gioconda.errors import InputError
from gioconda.web.live.models import Use
from gioconda.web.page.context import Context

_HERE = Path(__file__).parent


def stage(use: Use, template: str) -> gr.HTML:
    """The stage of a tab, with its .css and .js; shown once its value names a session."""
    return gr.HTML(
        html_template=template,
        css_template=(_HERE / f"{use}.css").read_text(encoding="utf-8"),
        js_on_load=(_HERE / f"{use}.js").read_text(encoding="utf-8"),
        apply_default_css=False,
        elem_id=f"{use}-stage",
        value=None,
    )


async def opened(context: Context, use: Use, path: str | None, rights: str) -> dict[str, Any]:
    """A fresh session, as the tab's script takes it; GiocondaError."""
    if not rights:
        raise InputError("first declare above what entitles you to use this likeness")
    if not path:
        raise InputError("first choose a portrait")
    loop = asyncio.get_running_loop()
    live = context.live
    name, _ = await loop.run_in_executor(live.pool, live.open, use, Path(path), rights)
    return {"session": name}
