"""Inputs that several tabs share. Files are handed on unread: decoding is the workers' business."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import gradio as gr
from gradio.components import Component

from gioconda.assets import asset_path
from gioconda.media.containers import PLAYABLE_SUFFIXES
from gioconda.motion.emotion import EMOTIONS
from gioconda.requests import Adapt, Request, option_of
from gioconda.requests.values import Choice, Number, Whole

C = TypeVar("C", bound=Component)

QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
"""For events that only change what is seen."""
_EXAMPLE = "astronaut.jpg"
_ORDINALS = ("largest", "second largest", "third largest", "fourth largest")
_FACES: tuple[tuple[str, int | str], ...] = (
    *((f"The {word}", index) for index, word in enumerate(_ORDINALS)),
    ("All faces", "all"),
)
_SIDES = (("As it is", 0), ("256", 256), ("512", 512), ("720", 720), ("1080", 1080))


def unread(component: C) -> C:
    """The component; its handlers get a file's path, or a list of paths, or None."""
    setattr(component, "preprocess", _paths)  # noqa: B010 (mypy takes methods for fixed)
    return component


def _paths(payload: Any) -> str | list[str] | None:
    if payload is None:
        return None
    several = getattr(payload, "root", payload)
    return [one.path for one in several] if isinstance(several, list) else str(several.path)


def picture(label: str, name: str) -> gr.Image:
    """A picture, dropped, chosen, pasted or taken."""
    return unread(
        gr.Image(
            label=label,
            sources=["upload", "webcam", "clipboard"],
            type="filepath",
            image_mode=None,
            height=300,
            elem_id=name,
            buttons=[],
            webcam_options=gr.WebcamOptions(mirror=False),
        )
    )


def portrait(name: str) -> gr.Image:
    """The picture of a face, with a button that takes the packaged one."""
    found = picture("Portrait", f"{name}-portrait")
    example = gr.Button("Use the example portrait", size="sm", elem_id=f"{name}-example")
    example.click(example_portrait, None, found, **QUIET)
    return found


def example_portrait() -> str:
    """The packaged public-domain picture, where uploads lie: Gradio shows no other files."""
    folder = Path(os.environ["GRADIO_TEMP_DIR"]) / "example"
    folder.mkdir(exist_ok=True)
    shutil.copyfile(asset_path(_EXAMPLE), folder / _EXAMPLE)
    os.utime(folder)  # as young as an upload of this moment
    return str(folder / _EXAMPLE)


def video(label: str, name: str, **options: Any) -> gr.Video:
    """A video, dropped, chosen or recorded with the webcam."""
    return unread(
        gr.Video(
            label=label,
            sources=["upload", "webcam"],
            elem_id=name,
            buttons=[],
            webcam_options=gr.WebcamOptions(mirror=False),
            **options,
        )
    )


def files(label: str, name: str, *, several: bool = False, types: Sequence[str], **options: Any) -> gr.File:
    """One file, or several, of kinds such as ".npz" or "image"."""
    count: Any = "multiple" if several else "single"
    return unread(
        gr.File(label=label, file_count=count, file_types=list(types), elem_id=name, height=170, **options)
    )


def words_of(kind: type[Request], name: str) -> list[str]:
    """The words that an option of a request may be."""
    value = option_of(kind, name).value
    assert isinstance(value, Choice)
    return list(value.words)


def bounds_of(kind: type[Request | Adapt], name: str) -> tuple[float, float]:
    """The least and the largest number that an option of a request may be."""
    value = option_of(kind, name).value
    assert isinstance(value, (Number, Whole))
    return value.low, value.high


class FilmOptions:
    """What all films can be told: how they look and in what they are kept."""

    def __init__(self, name: str) -> None:
        self.crop = gr.Checkbox(label="Only the face, as a square", elem_id=f"{name}-crop")
        self.size = gr.Radio(list(_SIDES), value=0, label="Longest side, in pixels", elem_id=f"{name}-size")
        formats = [suffix.lstrip(".") for suffix in PLAYABLE_SUFFIXES]
        self.format = gr.Radio(formats, value=formats[0], label="Format", elem_id=f"{name}-format")
        self.face = gr.Dropdown(list(_FACES), value=0, label="Which face moves", elem_id=f"{name}-face")
        self.label = gr.Checkbox(label="Write a visible label into the picture", elem_id=f"{name}-label")
        self.refine = gr.Checkbox(
            value=True, label="Let a small network repair mouth and eyes", elem_id=f"{name}-refine"
        )
        moods = [("None", ""), *((word.capitalize(), word) for word in EMOTIONS)]
        self.emotion = gr.Dropdown(moods, value="", label="Emotion", elem_id=f"{name}-emotion")
        self.mood = gr.Slider(
            0, 1, 0.7, step=0.05, label="Strength of the emotion", elem_id=f"{name}-emotion-strength"
        )

    @property
    def inputs(self) -> list[Component]:
        """For a handler's last inputs."""
        seen = [self.crop, self.size, self.format, self.face, self.label, self.refine]
        return [*seen, self.emotion, self.mood]

    @staticmethod
    def fields(
        crop: bool,
        size: int,
        form: str,
        face: int | str,
        label: bool,
        refine: bool,
        emotion: str,
        mood: float,
    ) -> dict[str, Any]:
        """A request's fields, from the values of `inputs`."""
        fields = {"crop": crop, "format": form, "face": face, "label": label, "refine": refine}
        felt = {"emotion": f"{emotion}:{mood:g}"} if emotion else {}
        return fields | felt | ({"size": size} if size else {})


def one(path: str | None) -> list[str]:
    """A file, if there is one, as the files of a role."""
    return [path] if path else []
