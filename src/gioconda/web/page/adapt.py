"""The tab Adapt: photos or videos of one person give a file for later films of this person."""

from __future__ import annotations

from html import escape

import gradio as gr

from gioconda.errors import InputError
from gioconda.requests import Adapt
from gioconda.web.page import telling
from gioconda.web.page.context import Context
from gioconda.web.page.parts import bounds_of, files
from gioconda.web.page.runs import Ask, Panel
from gioconda.web.queue.jobs import JobQueue
from gioconda.web.queue.state import JobState

_PURPOSES = (
    ("Photos that move: an identity file for the few-shot engine", "fewshot"),
    ("A video that says other words: this person's mouths", "speech"),
)
_USE = "Identity files go into Animate, instead of a portrait; mouths go into Speak, beside a video of the person."


def build(context: Context) -> None:
    """The tab."""
    with gr.Row():
        with gr.Column(min_width=300):
            sources = files(
                "Photos or videos of one person", "adapt-sources", several=True, types=["image", "video"]
            )
            purpose = gr.Radio(list(_PURPOSES), value="fewshot", label="What for", elem_id="adapt-purpose")
            with gr.Accordion("Options", open=False):
                steps = _steps()
        with gr.Column(min_width=300):
            panel = Panel(context, "Adapt", name="adapt", show=_file)
    panel.wire(_ask, [sources, purpose, steps])


def _steps() -> gr.Number:
    least, most = bounds_of(Adapt, "steps")
    return gr.Number(
        0,
        precision=0,
        minimum=least,
        maximum=most,
        label="Steps of fitting (0: as many as the photos need)",
        elem_id="adapt-steps",
    )


def _ask(sources: list[str] | None, purpose: str, steps: float | None) -> Ask:
    if not sources:
        raise InputError("choose photos or videos of one person first")
    return {"kind": "adapt", "purpose": purpose, "steps": int(steps or 0)}, {"source": sources}


def _file(queue: JobQueue, state: JobState) -> str:
    """The file's download, and what it is for."""
    return f"{telling.result(queue, state)}<p>{escape(_USE)}</p>"
