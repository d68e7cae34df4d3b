"""The tab Animate: a portrait, or photos of one person, and a motion give a film."""

from __future__ import annotations

from typing import Any

import gradio as gr

from gioconda.errors import InputError
from gioconda.motion.templates import TEMPLATES
from gioconda.registry import describe_motions, motions
from gioconda.requests import Animate
from gioconda.web.page.context import Context
from gioconda.web.page.parts import QUIET, FilmOptions, bounds_of, files, one, portrait, video, words_of
from gioconda.web.page.runs import Ask, Panel

_TEMPLATE, _VIDEO, _FILE = "A template", "A video or a recording", "A picture, a voice or a saved motion"
_ENGINES = (("Warp: the picture itself moves", "warp"), ("Few-shot: a network draws the head", "fewshot"))


def build(context: Context) -> None:
    """The tab."""
    with gr.Row():
        with gr.Column(min_width=300):
            face = portrait("animate")
            with gr.Accordion("More photos of the person, or an identity file", open=False):
                photos = files(
                    "Further photos of the same person", "animate-photos", several=True, types=["image"]
                )
                identity = files(
                    "Identity file of Adapt, instead of a portrait",
                    "animate-identity",
                    types=[".safetensors"],
                )
            kind, motion = _motion()
            strength = gr.Slider(
                *bounds_of(Animate, "strength"),
                1,
                step=0.05,
                label="Strength of the motion",
                elem_id="animate-strength",
            )
            with gr.Accordion("Options", open=False):
                region = gr.Radio(
                    words_of(Animate, "region"),
                    value="all",
                    label="What is passed on",
                    elem_id="animate-region",
                )
                absolute = gr.Checkbox(
                    label="Take the driver's own pose and expression, not changes from rest",
                    elem_id="animate-absolute",
                )
                engine = gr.Radio(list(_ENGINES), value="warp", label="Engine", elem_id="animate-engine")
                options = FilmOptions("animate")
        with gr.Column(min_width=300):
            panel = Panel(context, "Animate", name="animate")
    inputs = [face, photos, identity, kind, *motion, strength, region, absolute, engine, *options.inputs]
    panel.wire(_ask, inputs)


def _motion() -> tuple[gr.Radio, list[Any]]:
    """Where the motion comes from, and the inputs of the three ways, of which one is seen."""
    kind = gr.Radio([_TEMPLATE, _VIDEO, _FILE], value=_TEMPLATE, label="Motion", elem_id="animate-motion")
    template = gr.Radio(list(TEMPLATES), value="smile", label="Template", elem_id="animate-template")
    film = video("Video of a face, or record yourself", "animate-video", visible=False)
    saved = files(
        f"A picture of an expression, a sound to speak, {describe_motions()}",
        "animate-file",
        types=["image", "audio", *motions()],
        visible=False,
    )
    ways = {_TEMPLATE: template, _VIDEO: film, _FILE: saved}
    kind.change(
        lambda chosen: [gr.update(visible=chosen == way) for way in ways], kind, list(ways.values()), **QUIET
    )
    return kind, list(ways.values())


def _ask(
    face: str | None,
    photos: list[str] | None,
    identity: str | None,
    kind: str,
    template: str,
    film: str | None,
    saved: str | None,
    strength: float,
    region: str,
    absolute: bool,
    engine: str,
    *options: Any,
) -> Ask:
    """The request for the tab's inputs; InputError where one is missing."""
    if not face and not identity:
        raise InputError("choose a portrait first, or use the example")
    given = film if kind == _VIDEO else saved
    if kind != _TEMPLATE and not given:
        raise InputError(
            "choose a video, or record yourself"
            if kind == _VIDEO
            else "choose a picture, a sound or a motion"
        )
    fields = {
        "kind": "animate",
        "strength": float(strength),
        "region": region,
        "absolute": absolute,
        "engine": "fewshot" if identity else engine,
        **FilmOptions.fields(*options),
        **({"template": template} if kind == _TEMPLATE else {}),
    }
    motion = [] if kind == _TEMPLATE else one(given)
    return fields, {"portrait": one(identity or face), "photo": photos or [], "motion": motion}
