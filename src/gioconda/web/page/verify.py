"""The tab Verify: whether a file was made by Gioconda, and what its marks say."""

from __future__ import annotations

import json
from html import escape

import gradio as gr

from gioconda.errors import InputError
from gioconda.provenance import Verdict
from gioconda.provenance.explain import explain
from gioconda.web.page.context import Context
from gioconda.web.page.parts import files, one
from gioconda.web.page.runs import Ask, Panel
from gioconda.web.queue.jobs import JobQueue
from gioconda.web.queue.state import JobState

_HEADLINES = {
    "ours": ("good", "Made with Gioconda, and not changed since"),
    "altered": ("warned", "Made with Gioconda, and changed since"),
    "unsigned": ("warned", "Made with Gioconda; its manifest is missing"),
    "invalid": ("bad", "Credentials that do not hold"),
    "unmarked": ("open", "No mark of Gioconda found"),
    "unreadable": ("open", "This file cannot be read"),
}


def build(context: Context) -> None:
    """The tab."""
    with gr.Row():
        with gr.Column(min_width=300):
            file = files("Video or picture", "verify-file", types=["image", "video"])
            sidecar = files("Its manifest (.c2pa), if it came beside it", "verify-sidecar", types=[".c2pa"])
        with gr.Column(min_width=300):
            panel = Panel(context, "Verify", name="verify", show=_verdict)
    panel.wire(_ask, [file, sidecar])


def _ask(file: str | None, sidecar: str | None) -> Ask:
    if not file:
        raise InputError("choose a video or picture first")
    return {"kind": "verify"}, {"file": one(file), "sidecar": one(sidecar)}


def _verdict(queue: JobQueue, state: JobState) -> str:
    """The verdict in plain words, with all that was found below."""
    verdict = json.loads(queue.result_path(state.id).read_text(encoding="utf-8"))
    fields = {name: value for name, value in verdict.items() if name not in ("schema", "exit_code")}
    colour, headline = _HEADLINES[verdict["status"]]
    sentences = "".join(f"<p>{escape(line)}</p>" for line in explain(Verdict(**fields)).split("\n"))
    whole = escape(json.dumps(verdict, indent=2, ensure_ascii=False))
    return (
        f'<section class="verdict {colour}" aria-label="Verdict"><h2>{headline}</h2>{sentences}'
        f'<details><summary>All that was found</summary><pre tabindex="0">{whole}</pre></details></section>'
    )
