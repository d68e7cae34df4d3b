"""Says what to type instead of a command line that cannot be parsed."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from gioconda.cli.examples import EXAMPLES


def correction(context: Any, arguments: Sequence[str]) -> str:
    """Return the line that was meant, or an example of the command; "" where there is neither.

    Words that no argument takes fill the required options that are missing, in the order of the help.

    Args:
        context: The context of the command, as Typer's error holds it; None for none.
        arguments: The words after `gioconda`.
    """
    name = str(getattr(context, "info_name", ""))
    if name not in EXAMPLES or name not in arguments:
        return ""
    typed = list(arguments[list(arguments).index(name) + 1 :])
    words, options = _split(typed, context.command.params)
    places = [param for param in context.command.params if param.param_type_name == "argument"]
    missing = list(_missing(name, context.command.params, options, words))
    taken = len(places)
    if any(place.nargs == -1 for place in places):
        taken = len(words) - len(missing) if len(words) > len(missing) else len(words)
    spare = words[taken:]
    if not spare or len(spare) > len(missing):
        return f"For example: {EXAMPLES[name][0]}"
    values = [*spare, *(["FILE"] * (len(missing) - len(spare)))]
    filled = [part for pair in zip(_flags(missing, values), values, strict=True) for part in pair]
    return f"Type: {shlex.join(['gioconda', name, *words[:taken], *filled, *options])}"


def _split(typed: Iterable[str], params: Sequence[Any]) -> tuple[list[str], list[str]]:
    """The words that are neither options nor their values, and the others."""
    valued = {flag for param in params if not getattr(param, "is_flag", True) for flag in param.opts}
    words: list[str] = []
    options: list[str] = []
    waiting = False
    for part in typed:
        is_option = part.startswith("-") and len(part) > 1
        (options if waiting or is_option else words).append(part)
        waiting = not waiting and part in valued
    return words, options


def _missing(name: str, params: Sequence[Any], options: Sequence[str], words: Sequence[str]) -> Iterator[str]:
    """The flags of required options that were not given; for `speak` also that of what it says."""
    given = {option.partition("=")[0] for option in options}
    if name == "speak" and not given & {"--audio", "--text"} and len(words) > 1:
        yield "--text"
    for param in params:
        if param.param_type_name == "option" and param.required and not given & set(param.opts):
            yield param.opts[0]


def _flags(missing: Sequence[str], values: Sequence[str]) -> list[str]:
    """The missing flags, `--audio` for a text that is a file's name."""
    return [
        "--audio" if flag == "--text" and Path(value).suffix and " " not in value else flag
        for flag, value in zip(missing, values, strict=True)
    ]
