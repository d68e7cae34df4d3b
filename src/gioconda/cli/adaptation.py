"""The command `adapt`: fits the few-shot networks to a person (needs gioconda[train]) or collects their mouths."""

from __future__ import annotations

from dataclasses import replace

import typer

from gioconda.cli.commands import app
from gioconda.cli.progress import watch
from gioconda.cli.requests import add_command
from gioconda.requests import Adapt


def _adapt(request: Adapt) -> None:
    """Write the file of a person, and print what it holds."""
    request.entry.check_adapts()
    with watch() as progress:
        adapted = request.entry.adapt(replace(request, progress=progress))
    for line in adapted.left_out:
        typer.echo(f"left out: {line}", err=True)
    typer.echo(f"{adapted.path}: {adapted.summary}")


add_command(
    app,
    Adapt,
    _adapt,
    "Fit the few-shot networks, or collect mouths, of a person.",
    "Write a file of one person, for `animate --engine fewshot`, or for `speak --bank`.\n\n"
    "For fewshot, fits networks to photos. "
    "For speech, collects mouths from videos, in about a sixth of their duration.",
)
