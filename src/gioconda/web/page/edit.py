"""The tab Edit: sliders that the picture follows at once, keyframes, a signed still."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import gradio as gr

from gioconda.errors import GiocondaError, InputError
from gioconda.web.live.models import SIDES
from gioconda.web.live.slider_values import LONGEST_SECONDS, MOST_KEYS
from gioconda.web.page import sliders, telling
from gioconda.web.page.context import Context
from gioconda.web.page.parts import QUIET, portrait
from gioconda.web.page.runs import Ask, Panel
from gioconda.web.page.stage import opened, stage

_WHOLE, _FACE = "The whole picture", "The face, 512 pixels"


def build(context: Context) -> None:
    """The tab."""
    with gr.Row():
        with gr.Column(scale=2, min_width=280):
            chosen = portrait("edit")
        with gr.Column(scale=3, min_width=280):
            gr.HTML(
                "<p>Take a portrait, then move its face with the sliders. What you see while you do so is a preview; "
                "what you save as a picture is signed.</p>"
            )
            start = gr.Button("Start editing", variant="primary", elem_id="edit-open")
            said = gr.HTML(elem_id="edit-open-said", elem_classes="said")
    shown = stage("edit", _template())
    with gr.Row():
        extent = gr.Radio([_WHOLE, _FACE], value=_WHOLE, label="What is saved", elem_id="edit-extent")
        kind = gr.Radio(["png", "jpg", "webp"], value="png", label="Format", elem_id="edit-format")
    panel = Panel(context, "Save as a signed picture", name="edit")
    panel.wire(_ask, [shown, chosen, extent, kind])

    async def begin(rights: str, path: str | None, now: Any) -> AsyncIterator[tuple[Any, str]]:
        yield gr.skip(), telling.say("Setting the portrait up")
        if isinstance(now, dict) and isinstance(now.get("session"), str):
            await asyncio.to_thread(context.live.close, now["session"])
        try:
            yield await opened(context, "edit", path, rights), telling.say("Ready: move the sliders")
        except GiocondaError as error:
            yield {"session": ""}, telling.say(str(error), wrong=True)

    inputs, outputs = [context.rights, chosen, shown], [shown, said]
    start.click(begin, inputs, outputs, **QUIET)
    shown.restart(begin, inputs, outputs, **QUIET)


def _ask(shown: Any, portrait: str | None, extent: str, kind: str) -> Ask:
    look = shown.get("look") if isinstance(shown, dict) else None
    if not isinstance(look, dict):
        raise InputError("first start editing, and move the sliders")
    crop = {"crop": True, "size": SIDES["edit"]} if extent == _FACE else {}
    fields = {name: look[name] for name in ("yaw", "pitch", "roll", "gaze_x", "gaze_y", "coefficients")}
    return {"kind": "edit", "format": kind, **crop, **fields}, {"portrait": [portrait] if portrait else []}


def _template() -> str:
    """The preview and all sliders; nothing in it is filled in, so that it is never drawn anew."""
    side = SIDES["edit"]
    return f"""
<div class="editor" hidden>
  <div class="stage">
    <div class="shown">
      <canvas width="{side}" height="{side}" role="img" aria-label="Preview of the portrait as the sliders have it">
      </canvas><span class="badge" aria-hidden="true">AI-generated preview</span>
    </div>
    <p class="told" role="status"></p>
  </div>
  <div class="panel">
    <div class="presets" role="group" aria-label="Presets">{sliders.preset_buttons()}</div>
    {sliders.groups()}
    <fieldset class="keys"><legend>Keyframes</legend>
      <p class="hint">A motion begins at rest and goes through the looks that you add, each at its second.</p>
      <div class="row"><label for="edit-key-time">Second</label>
        <input type="number" id="edit-key-time" min="0.1" max="{LONGEST_SECONDS:g}" step="0.1" value="1">
        <button type="button" class="add">Add this look</button></div>
      <table hidden><caption>Keyframes, in order of time</caption>
        <thead><tr><th scope="col">Second</th><th scope="col">Look</th><th scope="col">Do</th></tr></thead>
        <tbody data-most="{MOST_KEYS}"></tbody></table>
      <div class="row"><button type="button" class="play" disabled>Play</button>
        <button type="button" class="save" disabled>Save as a motion file</button></div>
    </fieldset>
  </div>
</div>"""
