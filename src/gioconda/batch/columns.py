"""The columns of a table of jobs: which kinds have them, and how their cells become values."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from gioconda.engines import ENGINES
from gioconda.errors import InputError
from gioconda.limits import LIMITS
from gioconda.motion.retarget import REGIONS
from gioconda.types import ARKIT_INDEX

Reader: TypeAlias = Callable[[str], Any]

KINDS = ("animate", "speak", "edit")
FILMED = ("animate", "speak")
SEVERAL = "|"  # between the values of one cell
SEEDS = 2**31
RIGHTS = (3, 500)  # characters

_YES, _NO = ("yes", "true", "1"), ("no", "false", "0")


@dataclass(frozen=True)
class Column:
    """An option: its name in the Python API, the kinds that have it, what reads a cell (InputError).

    file: whether its value is the path of a file.
    """

    option: str
    kinds: tuple[str, ...]
    read: Reader
    file: bool = False


def _flag(text: str) -> bool:
    if text.lower() in _YES:
        return True
    if text.lower() in _NO:
        return False
    raise InputError(f"{text!r} is neither yes nor no")


def _not(text: str) -> bool:
    return not _flag(text)


def _number(low: float, high: float) -> Reader:
    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            raise InputError(f"{text!r} is not a number") from None
        if not (math.isfinite(value) and low <= value <= high):
            raise InputError(f"{text} is outside {low:g} to {high:g}")
        return value

    return read


def _whole(low: int, high: int) -> Reader:
    def read(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise InputError(f"{text!r} is not a whole number") from None
        if not low <= value <= high:
            raise InputError(f"{text} is outside {low} to {high}")
        return value

    return read


def _one_of(*known: str) -> Reader:
    def read(text: str) -> str:
        if text not in known:
            raise InputError(f"{text!r} is not known; choose one of {', '.join(known)}")
        return text

    return read


def _characters(low: int, high: int) -> Reader:
    def read(text: str) -> str:
        if not low <= len(text) <= high:
            raise InputError(f"{len(text):,} characters are not {low} to {high:,}")
        return text

    return read


def _face(text: str) -> int | str:
    if text == "all":
        return text
    try:
        return int(_whole(0, LIMITS.faces - 1)(text))
    except InputError:
        raise InputError(f"{text!r}: give 0 for the largest face, up to {LIMITS.faces - 1}, or all") from None


def _coefficients(text: str) -> dict[str, float]:
    chosen = {}
    for part in text.replace(SEVERAL, " ").split():
        name, equals, value = part.partition("=")
        if not equals or name not in ARKIT_INDEX:
            raise InputError(f"{part!r}: write NAME=VALUE, with a name of gioconda edit --list")
        chosen[name] = float(_number(0, 1)(value))
    return chosen


_DEGREES, _GAZE = _number(-90, 90), _number(-1, 1)

OPTIONS: Mapping[str, tuple[Column, ...]] = {
    "engine": (
        Column("engine", ("animate",), _one_of(*ENGINES)),
        Column("engine", ("speak",), _one_of(*ENGINES, "lipsync")),
    ),
    "refine": (Column("refine", KINDS, _flag),),
    "no-refine": (Column("refine", KINDS, _not),),
    "weights": (Column("weights", FILMED, str, file=True),),
    "absolute": (Column("absolute", ("animate",), _flag),),
    "face": (Column("face", FILMED, _face),),
    "region": (Column("region", ("animate",), _one_of(*REGIONS)),),
    "strength": (Column("strength", FILMED, _number(0, 2)),),
    "crop": (Column("crop", KINDS, _flag),),
    "size": (Column("size", KINDS, _whole(64, LIMITS.output_side)),),
    "no-audio": (Column("audio", ("animate",), _not),),
    "label": (Column("label", KINDS, _flag),),
    "rights": (Column("rights", KINDS, _characters(*RIGHTS)),),
    "key": (Column("key", KINDS, str, file=True),),
    "certificate": (Column("certificate", KINDS, str, file=True),),
    "text": (Column("text", ("speak",), _characters(1, LIMITS.text_characters)),),
    "voice": (Column("voice", ("speak",), str),),
    "language": (Column("language", ("speak",), str),),
    "seed": (Column("seed", ("speak",), _whole(0, SEEDS - 1)),),
    "yaw": (Column("yaw", ("edit",), _DEGREES),),
    "pitch": (Column("pitch", ("edit",), _DEGREES),),
    "roll": (Column("roll", ("edit",), _DEGREES),),
    "gaze-x": (Column("gaze_x", ("edit",), _GAZE),),
    "gaze-y": (Column("gaze_y", ("edit",), _GAZE),),
    "set": (Column("coefficients", ("edit",), _coefficients),),
}
"""Options by the names of the command line; one may mean something else for another kind."""

FILES = ("portrait", "photo", "motion", "template", "audio", "bank")
NAMES = ("kind", "out", *FILES, *OPTIONS)
"""All columns that a table may have."""
