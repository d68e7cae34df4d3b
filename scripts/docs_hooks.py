"""What the program says of itself goes into the site's pages as it is built, so that it cannot go stale.

A page holds a marker, `<!-- commands -->` and so on (`WRITERS`), which its text takes the place of.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any

import typer
from typer.cli import get_docs_for_click
from typer.main import get_command

import gioconda
from gioconda import requests
from gioconda.cli import app

PROGRAM = "gioconda"


def commands() -> str:
    """A table of all commands, then the help of each, as Typer tells it."""
    group = get_command(app)
    assert isinstance(group, typer.core.TyperGroup)
    context = typer.Context(group, info_name=PROGRAM)
    rows, sections = ["| command | does |", "|---|---|"], []
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        rows.append(f"| [`{name}`](#{PROGRAM}-{name}) | {command.get_short_help_str(limit=200)} |")
        sections.append(get_docs_for_click(obj=command, ctx=context, indent=1, call_prefix=PROGRAM))
    return "\n\n".join(["\n".join(rows), *sections])


def _of_requests() -> str:
    """The functions that take a request's fields: what each does, its signature, and a table of its options."""
    return "\n\n".join(_of_request(kind) for kind in requests.KINDS.values())


def _of_request(kind: type[requests.Request]) -> str:
    function = getattr(gioconda, kind.kind)
    unsigned = "    options:\n      show_signature: false\n      members: false\n      show_bases: false"
    signature = f"gioconda.{kind.kind}{inspect.signature(function)}".replace("'", "")
    shown = "\n".join(["```python", re.sub(r"(?<=[(,]) ?(?=[a-z*])", "\n    ", signature), "```"])
    table = ["| option | default | |", "|---|---|---|", *map(_row, requests.options_of(kind))]
    return "\n\n".join(
        [
            f"::: gioconda.{kind.kind}\n{unsigned}",
            shown,
            "\n".join(table),
            f"::: gioconda.{kind.__name__}\n{unsigned}",
        ]
    )


def _row(option: requests.Option) -> str:
    default = "" if option.required else f"`{option.default!r}`"
    bounds = getattr(option.value, "range", "") or ", ".join(getattr(option.value, "words", ()))
    told = (
        f"{option.help} {bounds[:1].upper()}{bounds[1:]}." if bounds and option.media is None else option.help
    )
    return f"| `{option.name}` | {default} | {told} |"


def _directives(wanted: Callable[[object], bool]) -> str:
    """A directive of mkdocstrings for each public name of a kind."""
    names = [name for name in gioconda.__all__ if wanted(getattr(gioconda, name))]
    return "\n\n".join(f"::: gioconda.{name}" for name in names)


def _is_error(value: object) -> bool:
    return inspect.isclass(value) and issubclass(value, Exception)


def _is_type(value: object) -> bool:
    return inspect.isclass(value) and not _is_error(value) and value not in requests.KINDS.values()


def _is_function(value: object) -> bool:
    return inspect.isfunction(value) and value.__name__ not in requests.KINDS


WRITERS: dict[str, Callable[[], str]] = {
    "<!-- commands -->": commands,
    "<!-- requests -->": _of_requests,
    "<!-- functions -->": lambda: _directives(_is_function),
    "<!-- types -->": lambda: _directives(_is_type),
    "<!-- errors -->": lambda: _directives(_is_error),
}


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Put texts where a page's markers are; called by MkDocs."""
    for marker, write in WRITERS.items():
        if marker in markdown:
            markdown = markdown.replace(marker, write())
    return markdown
