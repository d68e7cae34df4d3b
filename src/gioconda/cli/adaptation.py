"""The command that prepares for one person: the few-shot networks (needs gioconda[train]), or a bank of mouths."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from gioconda.cli.commands import app
from gioconda.cli.options import OutOption
from gioconda.cli.progress import plural, watch
from gioconda.cli.training import need_torch
from gioconda.errors import InputError


class AdaptedFor(str, Enum):
    """What a person is prepared for."""

    FEWSHOT = "fewshot"
    SPEECH = "speech"


@app.command(short_help="Fit the few-shot networks, or collect mouths, of a person.")
def adapt(
    photos: Annotated[
        list[Path],
        typer.Argument(help="Photos, videos, or folders of videos, of one person.", show_default=False),
    ],
    out: OutOption,
    purpose: Annotated[
        AdaptedFor, typer.Option("--for", help="Photos that move, or a video that says other words.")
    ] = AdaptedFor.FEWSHOT,
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
    """Write a file of one person, for `animate --engine fewshot`, or for `speak --bank`.

    For fewshot, networks are fitted to photos. For speech, mouths are collected, in about a sixth of the videos' time.
    """
    if purpose is AdaptedFor.SPEECH:
        if steps or features or weights:
            raise InputError("--steps, --features and --weights are for fewshot; mouths are only collected")
        _collect(photos, out)
        return
    need_torch()
    from gioconda.training.fewshot.adapt import Settings
    from gioconda.training.fewshot.person import adapt_person

    settings = Settings(steps=steps, features=str(features or ""), weights=str(weights or ""), seed=seed)
    with watch() as progress:
        made = adapt_person(photos, out, settings, frames=frames, report=progress or (lambda *_: None))
    for line in made.left_out:
        typer.echo(f"left out: {line}", err=True)
    typer.echo(f"{made.path}: {plural(made.photos, 'photo')}, fitted in {made.seconds:.1f} s")


def _collect(videos: list[Path], out: Path) -> None:
    """A bank of mouths of the videos, and what it holds."""
    from gioconda import mouths

    with watch() as progress:
        made = mouths.adapt_speech(videos, out, progress or (lambda *_: None))
    told = f"{plural(len(made), 'mouth')} of {plural(int(made.about['frames']), 'frame')}"
    typer.echo(f"{out}: {told}")
