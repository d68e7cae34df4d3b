"""The command that fits the few-shot networks to one person. It needs gioconda[train]."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gioconda.cli.commands import app
from gioconda.cli.options import OutOption
from gioconda.cli.progress import plural, watch
from gioconda.cli.training import need_torch


@app.command(short_help="Fit the few-shot networks to a person.")
def adapt(
    photos: Annotated[
        list[Path], typer.Argument(help="Photos, or videos, of one person.", show_default=False)
    ],
    out: OutOption,
    frames: Annotated[int, typer.Option(min=1, max=256, help="How many of each video to take.")] = 8,
    steps: Annotated[int, typer.Option(min=0, help="Of fitting; 0: by the number of photos.")] = 0,
    features: Annotated[
        Path | None,
        typer.Option(help="SqueezeNet 1.1's file, for a perceptual loss.", show_default=False),
    ] = None,
    weights: Annotated[
        Path | None,
        typer.Option(help="Another exported fewshot.safetensors.", show_default=False),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the fitting.")] = 0,
) -> None:
    """Fit the few-shot networks to one person and write an identity file for `animate --engine fewshot`."""
    need_torch()
    from gioconda.training.fewshot.adapt import Settings
    from gioconda.training.fewshot.person import adapt_person

    settings = Settings(steps=steps, features=str(features or ""), weights=str(weights or ""), seed=seed)
    with watch() as progress:
        made = adapt_person(photos, out, settings, frames=frames, report=progress or (lambda *_: None))
    for line in made.left_out:
        typer.echo(f"left out: {line}", err=True)
    typer.echo(f"{made.path}: {plural(made.photos, 'photo')}, fitted in {made.seconds:.1f} s")
