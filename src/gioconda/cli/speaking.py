"""The command `speak`: makes a portrait, or the person of a video, speak."""

from __future__ import annotations

from typing import Annotated

import typer

from gioconda.cli.commands import app
from gioconda.cli.requests import add_command, make
from gioconda.requests import Speak


def _print_voices(asked: bool) -> None:
    """Print the languages and voices and stop."""
    if asked:
        from gioconda.speech import variants, voices

        for code, name in voices().items():
            typer.echo(f"{code:<20} {name}")
        typer.echo(f"voices: {', '.join(variants())}")
        raise typer.Exit


add_command(
    app,
    Speak,
    make,
    "Make a portrait, or a video's person, speak.",
    "Make a portrait, or the person of a video, speak a sound or a text. The name of the output decides the format: "
    ".mp4, .webm, .mov (ProRes), or a silent .gif or .apng.",
    list=Annotated[
        bool,
        typer.Option("--list", callback=_print_voices, is_eager=True, help="Print languages and voices."),
    ],
)
