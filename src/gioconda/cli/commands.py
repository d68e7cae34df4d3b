"""The commands: they check what was typed, call the pipeline, and tell what came of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gioconda import __version__
from gioconda.cli import doctor as checkup
from gioconda.cli import values
from gioconda.cli.options import (
    AbsoluteOption,
    CertificateOption,
    CropOption,
    DegreesOption,
    EngineOption,
    FaceOption,
    GazeOption,
    KeyOption,
    LabelOption,
    MotionOption,
    NoAudioOption,
    OutOption,
    PhotoOption,
    PortraitArgument,
    RefineOption,
    Region,
    RegionOption,
    RightsOption,
    SizeOption,
    StrengthOption,
    WeightsOption,
)
from gioconda.cli.progress import plural, watch
from gioconda.errors import InputError
from gioconda.limits import LIMITS

if TYPE_CHECKING:
    from gioconda.pipeline import Result
    from gioconda.provenance import Verdict

app = typer.Typer(
    help="Brings a portrait to life: one photo and a motion give a video that says it is synthetic.",
    invoke_without_command=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"gioconda {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


@app.command(short_help="Animate a portrait.")
def animate(
    portrait: PortraitArgument,
    motion: MotionOption,
    out: OutOption,
    engine: EngineOption = "warp",
    refine: RefineOption = True,
    weights: WeightsOption = None,
    photo: PhotoOption = None,
    absolute: AbsoluteOption = False,
    face: FaceOption = "0",
    region: RegionOption = Region.ALL,
    strength: StrengthOption = 1.0,
    crop: CropOption = False,
    size: SizeOption = None,
    no_audio: NoAudioOption = False,
    label: LabelOption = False,
    rights: RightsOption = None,
    key: KeyOption = None,
    certificate: CertificateOption = None,
) -> None:
    """Animate a portrait: .mp4, .webm or .gif, as the name of the output says."""
    values.number("--strength", strength, 0.0, 2.0)
    check_size(size)
    chosen = values.face_choice(face)
    from gioconda import pipeline

    with watch() as progress:
        made = pipeline.animate(
            portrait,
            motion,
            out,
            engine=engine,
            refine=refine,
            weights=weights,
            photos=photo or (),
            absolute=absolute,
            face=chosen,
            region=region.value,
            strength=strength,
            crop=crop,
            size=size,
            audio=not no_audio,
            label=label,
            rights=rights,
            key=key,
            certificate=certificate,
            progress=progress,
        )
    tell_result(made)


@app.command(short_help="Read the motion off a video.")
def track(
    video: Annotated[Path, typer.Argument(help="Video of a face.", show_default=False)],
    out: OutOption,
) -> None:
    """Read the motion off a video: .npz, or .csv with Live Link Face's columns."""
    from gioconda import pipeline

    with watch() as progress:
        motion = pipeline.track(video, out, progress=progress)
    typer.echo(f"{out}: {plural(len(motion), 'frame')}{_bridged(motion.bridged)}")


def _print_names(wanted: bool) -> None:
    if wanted:
        from gioconda.types import ARKIT_NAMES

        typer.echo("\n".join(ARKIT_NAMES))
        raise typer.Exit


@app.command(short_help="Turn the head, eyes and mouth of a still.")
def edit(
    portrait: PortraitArgument,
    out: OutOption,
    yaw: DegreesOption = 0.0,
    pitch: DegreesOption = 0.0,
    roll: DegreesOption = 0.0,
    gaze_x: GazeOption = 0.0,
    gaze_y: GazeOption = 0.0,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="An ARKit expression, 0 to 1; may be repeated."),
    ] = None,
    refine: RefineOption = True,
    crop: CropOption = False,
    size: SizeOption = None,
    label: LabelOption = False,
    rights: RightsOption = None,
    key: KeyOption = None,
    certificate: CertificateOption = None,
    names: Annotated[
        bool,
        typer.Option("--list", callback=_print_names, is_eager=True, help="Print the names for --set."),
    ] = False,
) -> None:
    """Turn the head, move the eyes, change the expression of a still picture."""
    for name, angle in (("--yaw", yaw), ("--pitch", pitch), ("--roll", roll)):
        values.number(name, angle, -90.0, 90.0, "degrees")
    for name, look in (("--gaze-x", gaze_x), ("--gaze-y", gaze_y)):
        values.number(name, look, -1.0, 1.0)
    check_size(size)
    coefficients = values.coefficients(settings or [])
    from gioconda import pipeline

    result = pipeline.edit(
        portrait,
        out,
        yaw=yaw,
        pitch=pitch,
        roll=roll,
        gaze_x=gaze_x,
        gaze_y=gaze_y,
        coefficients=coefficients,
        refine=refine,
        crop=crop,
        size=size,
        label=label,
        rights=rights,
        key=key,
        certificate=certificate,
    )
    typer.echo(f"{result.path}: {result.size[0]}x{result.size[1]} in {result.seconds:.1f} s")


@app.command(short_help="Tell whether gioconda made a file.")
def verify(
    file: Annotated[Path, typer.Argument(help="Picture or video.", show_default=False)],
    as_json: Annotated[bool, typer.Option("--json", help="Print the verdict as JSON.")] = False,
    in_words: Annotated[
        bool, typer.Option("--explain", help="Tell in plain sentences what it means, and what not.")
    ] = False,
) -> None:
    """Tell whether a file was made by gioconda.

    Exit code 0: made here, untouched. 10: made here by its watermark, altered since. 3: no mark found.
    4: a manifest that does not hold. 2: cannot be read.
    """
    from gioconda import pipeline
    from gioconda.provenance import explain

    if in_words and as_json:
        raise InputError("--explain and --json ask for two things; choose one")
    verdict = pipeline.verify(file)
    if in_words:
        typer.echo(f"{verdict.path}:\n{explain(verdict)}")
    elif as_json:
        typer.echo(json.dumps(verdict.to_json(), indent=2))
    else:
        # Standard error for what could not be read, like any other failure.
        typer.echo(_told(verdict), err=verdict.status == "unreadable")
    raise typer.Exit(verdict.exit_code)


@app.command(short_help="Tell versions, weights, cores and GPU.")
def doctor() -> None:
    """Tell versions, weights, cores and GPU; exit code 1 if something essential is broken."""
    raise typer.Exit(checkup.examine())


@app.command(short_help="Animate a packaged portrait.")
def demo(
    out: Annotated[Path, typer.Option("--out", "-o", help="File to write.")] = Path("gioconda_demo.mp4"),
    motion: MotionOption = "talk",
) -> None:
    """Animate a packaged portrait, without any file of yours, and verify the result."""
    from gioconda import pipeline, weights

    with watch() as progress:
        result = pipeline.animate(weights.asset_path("astronaut.jpg"), motion, out, progress=progress)
    tell_result(result)
    typer.echo("of which, some at the same time:")
    for stage, seconds in result.stages.items():
        typer.echo(f"  {stage:<10} {seconds:6.2f} s")
    verdict = pipeline.verify(result.path)
    typer.echo(f"verified: {_told(verdict)}")
    raise typer.Exit(verdict.exit_code)


_VERDICTS = {
    "ours": "made by gioconda, untouched since",
    "altered": "made by gioconda, altered since",
    "unmarked": "no mark of gioconda found",
    "invalid": "it carries a manifest that does not hold",
    "unreadable": "it cannot be read",
}


def _told(verdict: Verdict) -> str:
    """The verdict in a line, and its reasons, one a line."""
    head = f"{verdict.path}: {_VERDICTS.get(verdict.status, verdict.status)}"
    return "\n".join([head, *(f"  {reason}" for reason in verdict.reasons)])


def check_size(size: int | None) -> None:
    """InputError for a --size out of range."""
    if size is not None:
        values.number("--size", size, 64, LIMITS.output_side, "pixels")


def tell_result(result: Result) -> None:
    """Say what was written, and what people should know of it."""
    for warning in result.warnings:
        typer.echo(f"note: {warning}", err=True)
    rate = result.frames / result.seconds if result.seconds > 0 else 0.0
    told = f"{result.path}: {plural(result.frames, 'frame')}, {result.size[0]}x{result.size[1]}"
    typer.echo(f"{told}, in {result.seconds:.1f} s ({rate:.1f} frames/s){_bridged(result.bridged)}")


def _bridged(count: int) -> str:
    if not count:
        return ""
    return f"; {plural(count, 'frame')} without a face {'was' if count == 1 else 'were'} bridged"
