"""Inputs of files: what is dropped or recorded, handed on unread."""

from __future__ import annotations

from typing import Any, TypeVar

import gradio as gr
from gradio.components import Component


def picture(label: str, name: str) -> gr.Image:
    """A picture, dropped, chosen, pasted or taken; its path, or None."""
    return unread(
        gr.Image(
            label=label,
            sources=["upload", "webcam", "clipboard"],
            type="filepath",
            image_mode=None,
            height=320,
            elem_id=name,
            webcam_options=gr.WebcamOptions(mirror=False),
        )
    )


C = TypeVar("C", bound=Component)


def unread(component: C) -> C:
    """The component, whose handlers get a file's path (None without one): decoding is the workers' business."""
    setattr(component, "preprocess", _path)  # noqa: B010 (mypy takes methods for fixed)
    return component


def _path(payload: Any) -> str | None:
    return None if payload is None else str(payload.path)
