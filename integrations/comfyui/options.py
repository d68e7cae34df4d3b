"""Inputs of nodes, derived from the options that `gioconda.requests` declares."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from gioconda.requests import Option, Place, options_of
from gioconda.requests.values import Choice, FaceChoice, Flag, Number, Whole

AUTO = "auto"
"""The choice that stands for a default which is no choice."""
# Pictures of ComfyUI have no transparency; the right to the likeness belongs to the portrait; texts and files have
# inputs of their own.
_ELSEWHERE = ("background", "rights", "text")
# Step of the arrows beside a number.
_STEP = 0.05


def node_options(kind: type[Any]) -> Iterator[Option]:
    """The options of a kind of request that a node offers."""
    for option in options_of(kind, Place.HTTP):
        if option.media is None and option.name not in _ELSEWHERE:
            yield option


def inputs_of(kind: type[Any]) -> dict[str, tuple[Any, dict[str, Any]]]:
    """The optional inputs of a node that carries out a kind of request, as ComfyUI declares them."""
    return {option.name: _input(option) for option in node_options(kind)}


def _input(option: Option) -> tuple[Any, dict[str, Any]]:
    """The type and the widget of an option."""
    value, default, tip = option.value, option.default, {"tooltip": option.help}
    if isinstance(value, Flag):
        return "BOOLEAN", {"default": default, **tip}
    if isinstance(value, Number):
        # 0 stands for a default that is no number.
        low = 0.0 if default is None else value.low
        return "FLOAT", {"default": default or 0.0, "min": low, "max": value.high, "step": _STEP, **tip}
    if isinstance(value, Whole):
        low = 0 if default is None else value.low
        return "INT", {"default": default or 0, "min": low, "max": value.high, **tip}
    if isinstance(value, Choice):
        words = [*([AUTO] if default is None else []), *value.served]
        return words, {"default": AUTO if default is None else default, **tip}
    return "STRING", {"default": str(default or ("0" if isinstance(value, FaceChoice) else "")), **tip}


def read_options(kind: type[Any], typed: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a request, by name, from the values of a node's inputs.

    Raises:
        InputError: A value is not valid.
    """
    values: dict[str, Any] = {}
    for option in node_options(kind):
        value = typed.get(option.name)
        if value is None or (option.default is None and value in (AUTO, 0, "")):
            continue
        values[option.name] = option.value.parse(value) if isinstance(option.value, FaceChoice) else value
    return values
