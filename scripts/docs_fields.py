"""Lays docstrings out for the site: `name: what it is` of a parameter or field becomes an item of a list."""

from __future__ import annotations

import re
from typing import Any

import griffe


class Fields(griffe.Extension):
    """A Griffe extension; mkdocstrings loads it by this file's path."""

    def on_function(self, *, func: griffe.Function, **_: Any) -> None:
        _lay_out(func, {parameter.name for parameter in func.parameters})

    def on_class(self, *, cls: griffe.Class, **_: Any) -> None:
        _lay_out(cls, set(cls.attributes))


def _lay_out(what: griffe.Object, names: set[str]) -> None:
    if what.docstring is not None and names:
        what.docstring.value = laid_out(what.docstring.value, names)


def laid_out(text: str, names: set[str]) -> str:
    """Markdown of a docstring whose sentences `name: ...` explain `names`."""
    known = "|".join(sorted(map(re.escape, names), key=len, reverse=True))
    field = re.compile(rf"(?:(?<=^)|(?<=[.)] ))({known}): ")
    paragraphs = (" ".join(part.split()) for part in re.split(r"\n\s*\n", text))
    return "\n\n".join(_items(paragraph, field) for paragraph in paragraphs)


def _items(paragraph: str, field: re.Pattern[str]) -> str:
    """One paragraph: its fields as items, and what is raised or returned after them by itself."""
    split = field.sub(r"\n- `\1`: ", paragraph)
    if split == paragraph:
        return paragraph
    head, *items = (line.rstrip() for line in split.split("\n"))
    items[-1] = re.sub(r"(?<=\.) (Raises|Returns) ", r"\n\n\1 ", items[-1])
    return "\n".join([head, "", *items]).strip()
