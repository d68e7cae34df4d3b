"""What the program says of itself goes into the site's pages as it is built, so that it cannot go stale.

A page holds a marker, `<!-- commands -->` and so on (`WRITERS`), which its text takes the place of.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import typer
from typer.cli import get_docs_for_click
from typer.main import get_command

import gioconda
from gioconda.cli import app

ROOT = Path(__file__).resolve().parents[1]
PROGRAM = "gioconda"
FIGURES = re.compile(r"<!-- figures: \S+ -->\n(.*?)<!-- end of figures -->", re.DOTALL)


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


def _directives(wanted: Callable[[object], bool]) -> str:
    """A directive of mkdocstrings for each public name of a kind."""
    names = [name for name in gioconda.__all__ if wanted(getattr(gioconda, name))]
    return "\n\n".join(f"::: gioconda.{name}" for name in names)


def _is_error(value: object) -> bool:
    return inspect.isclass(value) and issubclass(value, Exception)


def _is_type(value: object) -> bool:
    return inspect.isclass(value) and not _is_error(value)


def figures() -> str:
    """The tables of figures in the README, each with the command that makes it."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    return "\n\n---\n\n".join(FIGURES.findall(readme))


WRITERS: dict[str, Callable[[], str]] = {
    "<!-- commands -->": commands,
    "<!-- functions -->": lambda: _directives(inspect.isfunction),
    "<!-- types -->": lambda: _directives(_is_type),
    "<!-- errors -->": lambda: _directives(_is_error),
    "<!-- figures -->": figures,
}


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Put texts where a page's markers are; called by MkDocs."""
    for marker, write in WRITERS.items():
        if marker in markdown:
            markdown = markdown.replace(marker, write())
    return markdown
