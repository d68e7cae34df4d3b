"""The tab Live: the face before the webcam drives a portrait, in the page alone."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import gradio as gr

from gioconda.errors import GiocondaError
from gioconda.web.live.models import SIDES
from gioconda.web.live.sessions import MOST
from gioconda.web.page import telling
from gioconda.web.page.context import Context
from gioconda.web.page.parts import QUIET, portrait
from gioconda.web.page.stage import opened, stage


def build(context: Context) -> None:
    """The tab."""
    with gr.Row():
        with gr.Column(scale=2, min_width=280):
            chosen = portrait("live")
        with gr.Column(scale=3, min_width=280):
            gr.HTML(
                "<p>Your webcam moves the portrait, here in the page and nowhere else: there is no virtual camera. "
                "Every picture says that it is synthetic. The webcam's pictures go to the server of this page, "
                f"are looked at, and are not kept. {MOST['live']} people at a time can do this.</p>"
            )
            start = gr.Button("Start the webcam", variant="primary", elem_id="live-start")
            said = gr.HTML(elem_id="live-said", elem_classes="said")
    shown = stage("live", _template())

    async def begin(rights: str, path: str | None) -> AsyncIterator[tuple[Any, str]]:
        yield gr.skip(), telling.say("Setting the portrait up")
        try:
            yield await opened(context, "live", path, rights), ""
        except GiocondaError as error:
            yield gr.skip(), telling.say(str(error), wrong=True)

    start.click(begin, [context.rights, chosen], [shown, said], **QUIET)


def _template() -> str:
    """The portrait, the webcam small beside it; nothing in it is filled in, so that it is never drawn anew."""
    side = SIDES["live"]
    return f"""
<div class="live" hidden>
  <div class="shown">
    <canvas width="{side}" height="{side}" role="img" aria-label="The portrait, driven by the webcam"></canvas>
    <span class="badge" aria-hidden="true">AI-generated</span>
    <video muted playsinline aria-label="Your webcam"></video>
  </div>
  <p class="told" role="status"></p>
  <p class="figures"></p>
  <div class="row">
    <button type="button" class="stop">Stop</button>
    <button type="button" class="neutral">Take my face at rest</button>
    <label><input type="checkbox" class="mirror" checked> Like a mirror</label>
  </div>
  <p class="hint">Look straight ahead with a calm face and a shut mouth, then press “Take my face at rest”: the
    portrait moves as your face differs from that.</p>
</div>"""
