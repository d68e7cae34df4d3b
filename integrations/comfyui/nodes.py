"""The nodes: a portrait, a motion, a film of both, a film that speaks, and the check of a film."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

import gioconda
from gioconda.errors import InputError
from gioconda.motion.templates import TEMPLATES
from gioconda.provenance import explain
from gioconda.requests import Animate, Speak

from .files import film_frames, film_of, known_file, new_output, sound_of, to_arrays
from .options import inputs_of, read_options

CATEGORY = "Gioconda"
PORTRAIT, MOTION = "GIOCONDA_PORTRAIT", "GIOCONDA_MOTION"
FORMATS = ("mp4", "webm", "gif", "mov", "apng")
# Frames per second of a driving batch, unless the user says otherwise.
RATE = 25.0


@dataclass(frozen=True, eq=False)
class PortraitInput:
    """A person to animate.

    Attributes:
        picture: (H, W, 3) uint8 RGB.
        photos: Further pictures of the same person.
        rights: What entitles the user to the likeness.
    """

    picture: np.ndarray
    photos: tuple[np.ndarray, ...]
    rights: str


class GiocondaPortrait:
    """Takes a picture of a face as the portrait to animate."""

    CATEGORY, FUNCTION = CATEGORY, "load"
    RETURN_TYPES, RETURN_NAMES = (PORTRAIT,), ("portrait",)
    DESCRIPTION = "A picture of a face. Further pictures of the batch show the same person's mouth and eyes."

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802 (ComfyUI's name)
        """The inputs, as ComfyUI declares them."""
        tip = "What entitles you to this likeness; recorded in the signed manifest."
        return {
            "required": {
                "image": ("IMAGE",),
                "rights": (
                    "STRING",
                    {"default": "", "placeholder": "It is my own likeness.", "tooltip": tip},
                ),
            }
        }

    def load(self, image: torch.Tensor, rights: str) -> tuple[PortraitInput]:
        """Return the portrait; InputError without a declared right."""
        if not rights.strip():
            raise InputError("rights is empty; say what entitles you to this likeness")
        picture, *photos = to_arrays(image)
        return (PortraitInput(picture, tuple(photos), rights.strip()),)


class GiocondaMotion:
    """Takes a template, a file or the frames of a video as the motion."""

    CATEGORY, FUNCTION = CATEGORY, "load"
    RETURN_TYPES, RETURN_NAMES = (MOTION,), ("motion",)
    DESCRIPTION = "A template; or a driving video, as frames or as a file; or a saved motion."

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802 (ComfyUI's name)
        """The inputs, as ComfyUI declares them."""
        tip = "A video, a picture, a sound or a saved motion in ComfyUI's input folder, instead of the template."
        return {
            "required": {"template": (list(TEMPLATES), {"default": "smile"})},
            "optional": {
                "frames": ("IMAGE", {"tooltip": "Frames of a driving video, instead of the template."}),
                "fps": ("FLOAT", {"default": RATE, "min": 1.0, "max": 240.0, "step": 0.01}),
                "file": ("STRING", {"default": "", "tooltip": tip}),
            },
        }

    def load(
        self, template: str, frames: torch.Tensor | None = None, fps: float = RATE, file: str = ""
    ) -> tuple[str | Path]:
        """Return the motion; InputError for two of them, or for a file elsewhere."""
        if frames is not None and file:
            raise InputError("give either frames or a file of the motion, not both")
        if file:
            return (known_file(file),)
        return (template if frames is None else film_of(frames, fps),)


class _Film:
    """What the nodes share that write a film."""

    CATEGORY, FUNCTION = CATEGORY, "make"
    RETURN_TYPES, RETURN_NAMES = ("IMAGE", "FLOAT", "STRING"), ("frames", "fps", "file")
    OUTPUT_NODE = True

    def write(self, request: Animate | Speak, found: dict[str, str]) -> dict[str, Any]:
        """Carry out a request and return the film, for ComfyUI and for its page."""
        result = gioconda.run(request)
        frames, fps = film_frames(result.path)
        return {
            "ui": {"images": [found], "animated": (True,)},
            "result": (frames, fps, str(result.path)),
        }


def _film_inputs(required: dict[str, Any], optional: dict[str, Any], kind: type[Any]) -> dict[str, Any]:
    """The inputs of a node that writes a film."""
    prefix = ("STRING", {"default": "gioconda"})
    return {
        "required": {"portrait": (PORTRAIT,), **required},
        "optional": {
            **optional,
            "filename_prefix": prefix,
            "format": (list(FORMATS), {"default": FORMATS[0]}),
            **inputs_of(kind),
        },
    }


class GiocondaAnimate(_Film):
    """Animates a portrait with a motion, and writes a signed film."""

    DESCRIPTION = "Animates the portrait, and writes a signed film into ComfyUI's output folder."

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802 (ComfyUI's name)
        """The inputs, as ComfyUI declares them."""
        return _film_inputs({"motion": (MOTION,)}, {}, Animate)

    def make(
        self,
        portrait: PortraitInput,
        motion: str | Path,
        filename_prefix: str = "gioconda",
        format: str = FORMATS[0],  # noqa: A002 (the name in the HTTP API)
        **typed: Any,
    ) -> dict[str, Any]:
        """Write the film; errors as `gioconda.animate`."""
        out, found = new_output(filename_prefix, format)
        request = Animate(
            portrait.picture,
            motion,
            out,
            photos=portrait.photos,
            rights=portrait.rights,
            progress=_progress(),
            **read_options(Animate, typed),
        )
        return self.write(request, found)


class GiocondaSpeak(_Film):
    """Lets a portrait say a text or a sound, and writes a signed film with the voice."""

    DESCRIPTION = "Lets the portrait say a text, by an offline voice, or a sound; writes a signed film."

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802 (ComfyUI's name)
        """The inputs, as ComfyUI declares them."""
        text = ("STRING", {"default": "", "multiline": True, "tooltip": "A text to say; empty with a sound."})
        audio = ("AUDIO", {"tooltip": "A sound to speak, instead of a text."})
        return _film_inputs({"text": text}, {"audio": audio}, Speak)

    def make(
        self,
        portrait: PortraitInput,
        text: str,
        audio: dict[str, Any] | None = None,
        filename_prefix: str = "gioconda",
        format: str = FORMATS[0],  # noqa: A002 (the name in the HTTP API)
        **typed: Any,
    ) -> dict[str, Any]:
        """Write the film; errors as `gioconda.speak`."""
        out, found = new_output(filename_prefix, format)
        request = Speak(
            portrait.picture,
            out,
            text=text.strip() or None,
            audio=None if audio is None else sound_of(audio),
            photos=portrait.photos,
            rights=portrait.rights,
            progress=_progress(),
            **read_options(Speak, typed),
        )
        return self.write(request, found)


class GiocondaVerify:
    """Checks whether Gioconda made a film or picture, and whether it has changed since."""

    CATEGORY, FUNCTION = CATEGORY, "check"
    RETURN_TYPES, RETURN_NAMES = ("STRING", "STRING", "STRING"), ("status", "explanation", "json")
    OUTPUT_NODE = True
    DESCRIPTION = "Checks a file in one of ComfyUI's folders: made by Gioconda, unchanged since?"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802 (ComfyUI's name)
        """The inputs, as ComfyUI declares them."""
        return {"required": {"file": ("STRING", {"default": ""})}}

    @classmethod
    def IS_CHANGED(cls, file: str) -> float | str:  # noqa: N802 (ComfyUI's name)
        """What differs once the file has changed, so that it is checked again."""
        try:
            return known_file(file).stat().st_mtime
        except InputError as error:
            return str(error)

    def check(self, file: str) -> dict[str, Any]:
        """Return the verdict; InputError for a file elsewhere."""
        verdict = gioconda.verify(known_file(file))
        words = explain(verdict)
        return {
            "ui": {"text": (words,)},
            "result": (verdict.status, words, json.dumps(verdict.to_json(), indent=2)),
        }


def _progress() -> Any:
    """A progress callback that moves ComfyUI's bar, and ends the work when the user stops it; None elsewhere."""
    try:
        from comfy.model_management import throw_exception_if_processing_interrupted
        from comfy.utils import ProgressBar
    except ImportError:
        return None
    bar = ProgressBar(1)

    def progress(_stage: str, done: int, total: int) -> None:
        throw_exception_if_processing_interrupted()
        bar.update_absolute(done, max(total, 1))

    return progress


NODE_CLASS_MAPPINGS = {
    node.__name__: node
    for node in (GiocondaPortrait, GiocondaMotion, GiocondaAnimate, GiocondaSpeak, GiocondaVerify)
}
"""The nodes by the names that workflows keep."""
NODE_DISPLAY_NAME_MAPPINGS = {name: name.replace("Gioconda", "Gioconda ") for name in NODE_CLASS_MAPPINGS}
"""The names that people see."""
