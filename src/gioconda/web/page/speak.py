"""The tab Speak: a portrait, or the person of a video, says a text or what a voice says."""

from __future__ import annotations

from typing import Any

import gradio as gr

from gioconda.errors import InputError
from gioconda.limits import LIMITS
from gioconda.speech import voice as speech_voice
from gioconda.web.page.context import Context
from gioconda.web.page.parts import QUIET, FilmOptions, files, one, portrait, unread, video
from gioconda.web.page.runs import Ask, Panel

_PICTURE, _FILM = "A picture", "A video of the person"
_TEXT, _VOICE = "A text", "A voice"
_VOICES = (
    ("Plain", ""),
    ("Woman 1", "f1"),
    ("Woman 2", "f2"),
    ("Woman 3", "f3"),
    ("Man 1", "m1"),
    ("Man 3", "m3"),
)
_EXAMPLE = "Good evening. I have been waiting here for quite some time."


def build(context: Context) -> None:
    """The tab."""
    with gr.Row():
        with gr.Column(min_width=300):
            who, face, film, bank = _person()
            how, text, language, voice, sound = _words()
            with gr.Accordion("Options", open=False):
                seed = gr.Number(
                    0, precision=0, minimum=0, label="Seed of blinks and glances", elem_id="speak-seed"
                )
                options = FilmOptions("speak")
        with gr.Column(min_width=300):
            panel = Panel(context, "Speak", name="speak")
    panel.wire(_ask, [who, face, film, bank, how, text, language, voice, sound, seed, *options.inputs])


def _person() -> tuple[gr.Radio, gr.Image, gr.Video, gr.File]:
    who = gr.Radio([_PICTURE, _FILM], value=_PICTURE, label="Who speaks", elem_id="speak-who")
    with gr.Column() as still:
        face = portrait("speak")
    with gr.Column(visible=False) as moving:
        film = video("Video of the person", "speak-video")
        bank = files(
            "Mouths of this person, by Adapt (may be left out)", "speak-bank", types=[".safetensors"]
        )
    who.change(
        lambda chosen: [gr.update(visible=chosen == one) for one in (_PICTURE, _FILM)],
        who,
        [still, moving],
        **QUIET,
    )
    return who, face, film, bank


def _words() -> tuple[gr.Radio, gr.Textbox, gr.Dropdown, gr.Radio, gr.Audio]:
    how = gr.Radio([_TEXT, _VOICE], value=_TEXT, label="What is said", elem_id="speak-how")
    with gr.Column() as written:
        text = gr.Textbox(
            _EXAMPLE, lines=3, max_length=LIMITS.text_characters, label="Text", elem_id="speak-text"
        )
        language = gr.Dropdown(_languages(), value="en", label="Language", elem_id="speak-language")
        voice = gr.Radio(list(_VOICES), value="", label="Voice", elem_id="speak-voice")
    with gr.Column(visible=False) as heard:
        sound = unread(
            gr.Audio(
                label="Voice: a file, or your microphone",
                sources=["upload", "microphone"],
                type="filepath",
                editable=False,
                buttons=[],
                elem_id="speak-sound",
            )
        )
    how.change(
        lambda chosen: [gr.update(visible=chosen == one) for one in (_TEXT, _VOICE)],
        how,
        [written, heard],
        **QUIET,
    )
    return how, text, language, voice, sound


def _languages() -> list[tuple[str, str]]:
    """Names of languages with their codes, by name, each once."""
    codes: dict[str, str] = {}
    for code, name in sorted(speech_voice.voices().items(), key=lambda one: len(one[0])):
        codes.setdefault(name, code)
    return sorted(codes.items())


def _ask(
    who: str,
    face: str | None,
    film: str | None,
    bank: str | None,
    how: str,
    text: str,
    language: str,
    voice: str,
    sound: str | None,
    seed: float | None,
    *options: Any,
) -> Ask:
    """The request for the tab's inputs; InputError where one is missing."""
    person = film if who == _FILM else face
    if not person:
        raise InputError(
            "choose a video of the person first"
            if who == _FILM
            else "choose a portrait first, or use the example"
        )
    if how == _VOICE and not sound:
        raise InputError("choose a sound, or record your voice")
    if how == _TEXT and not (text or "").strip():
        raise InputError("write what is to be said")
    fields: dict[str, Any] = {"kind": "speak", "seed": int(seed or 0), **FilmOptions.fields(*options)}
    if how == _TEXT:
        fields |= {"text": text.strip(), "language": language, "voice": voice}
    banks = one(bank) if who == _FILM else []
    return fields, {"portrait": one(person), "bank": banks, "audio": one(sound) if how == _VOICE else []}
