"""The command `adapt`: keeps photos of a person, fits networks to them (needs gioconda[train]), or collects mouths."""

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
    "Prepare photos, networks or mouths of a person.",
    "Write a file of one person for later films.\n\n"
    "For photos (the default), keeps photos, or frames of a film, in a person file. It goes in as a portrait, and each "
    "frame of a later film is drawn from the nearest photo.\n\n"
    "For fewshot, fits networks that you trained (--weights) to photos, for `animate --engine fewshot`.\n\n"
    "For speech, collects mouths from videos for `speak --bank`, in about a sixth of their duration.",
)
