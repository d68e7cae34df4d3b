"""What people type, checked and turned into values."""

from __future__ import annotations

import math
from collections.abc import Iterable
from difflib import get_close_matches

from gioconda.errors import InputError


def number(name: str, value: float, low: float, high: float, unit: str = "") -> float:
    """`value` if it is finite and within low..high, else an InputError that says so."""
    if not (math.isfinite(value) and low <= value <= high):
        raise InputError(f"{name} {value:g} is outside {low:g} to {high:g}{' ' + unit if unit else ''}")
    return value


def face_choice(text: str) -> int | str:
    """The face to animate: "all", or an index from 0 (the largest)."""
    if text == "all":
        return "all"
    if text.isascii() and text.isdigit():
        return int(text)
    raise InputError(f"--face {text}: give 0 for the largest face, 1 for the next, or all")


def coefficients(settings: Iterable[str]) -> dict[str, float]:
    """`NAME=VALUE` settings -> ARKit name to coefficient (0..1); unknown names come with near matches."""
    chosen: dict[str, float] = {}
    for setting in settings:
        name, equals, text = (part.strip() for part in setting.partition("="))
        if not equals:
            raise InputError(f"--set {setting}: write NAME=VALUE, for example jawOpen=0.4")
        chosen[_arkit_name(name)] = number(f"--set {name}", _real(name, text), 0.0, 1.0)
    return chosen


def _arkit_name(name: str) -> str:
    from gioconda.types import ARKIT_INDEX, ARKIT_NAMES

    if name in ARKIT_INDEX:
        return name
    by_lower = {known.lower(): known for known in ARKIT_NAMES}
    near = [by_lower[match] for match in get_close_matches(name.lower(), by_lower, n=3)]
    hint = f"did you mean {' or '.join(near)}?" if near else "gioconda edit --list prints the names"
    raise InputError(f"--set {name}: no such expression; {hint}")


def _real(name: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise InputError(f"--set {name}={text}: {text or 'nothing'} is not a number") from None
