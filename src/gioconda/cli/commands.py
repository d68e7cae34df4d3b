"""The commands for pictures and videos: each checks its options, calls the pipeline and prints the outcome."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gioconda import __version__
from gioconda.cli import doctor as checkup
from gioconda.cli.options import DeviceOption, MotionOption, OutOption, use_device
from gioconda.cli.progress import plural, watch
from gioconda.cli.requests import add_command, bridged, make, print_video_result
from gioconda.errors import InputError
from gioconda.requests import Animate, Edit, Export, option_of
from gioconda.runtime.devices import CPU

if TYPE_CHECKING:
    from gioconda.provenance import Verdict

app = typer.Typer(
    help="Brings a portrait to life: one photo and a motion give a video that says it is synthetic.",
    invoke_without_command=True,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def _print_version(asked: bool) -> None:
    """Print the version and stop."""
    if asked:
        typer.echo(f"gioconda {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Print the help where no command is given."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


add_command(
    app,
    Animate,
    make,
    "Animate a portrait.",
    "Animate a portrait. The name of the output decides the format: .mp4, .webm, .mov (ProRes), .gif or .apng.",
)


@app.command(short_help="Track the motion of a face in a video.")
def track(
    video: Annotated[Path, typer.Argument(help="Video of a face.", show_default=False)],
    out: OutOption,
    driver_face: Annotated[int, typer.Option(help=option_of(Animate, "driver_face").help)] = 0,
    start: Annotated[float, typer.Option(help=option_of(Animate, "start").help)] = 0.0,
    end: Annotated[float | None, typer.Option(help=option_of(Animate, "end").help)] = None,
    device: DeviceOption = CPU,
) -> None:
    """Track the motion of a face in a video and save it: .npz, or .csv with Live Link Face's columns."""
    from gioconda import pipeline

    use_device(device)
    with watch() as progress:
        motion = pipeline.track(video, out, driver_face=driver_face, start=start, end=end, progress=progress)
    for note in motion.notes:
        typer.echo(f"note: {note}", err=True)
    typer.echo(f"{out}: {plural(len(motion), 'frame')}{bridged(motion.bridged)}")


def _print_names(asked: bool) -> None:
    """Print the names of the coefficients and stop."""
    if asked:
        from gioconda.types import ARKIT_NAMES

        typer.echo("\n".join(ARKIT_NAMES))
        raise typer.Exit


add_command(
    app,
    Edit,
    make,
    "Turn the head, eyes and mouth of a still.",
    "Turn the head, move the eyes and change the expression of a still picture.",
    list=Annotated[
        bool,
        typer.Option("--list", callback=_print_names, is_eager=True, help="Print the names for --set."),
    ],
)


add_command(
    app,
    Export,
    make,
    "Write a finished film in another format, shape or size.",
    "Write a film that gioconda made in another format, shape or size, and sign it again. "
    "The name of the output decides the format: .mp4, .webm, .mov (ProRes), or a silent .gif or .apng.",
    networks=False,
)


@app.command(short_help="Check whether gioconda made a file.")
def verify(
    file: Annotated[Path, typer.Argument(help="Picture or video.", show_default=False)],
    as_json: Annotated[bool, typer.Option("--json", help="Print the verdict as JSON.")] = False,
    in_words: Annotated[
        bool,
        typer.Option(
            "--explain", help="Explain in plain sentences what the verdict means and does not mean."
        ),
    ] = False,
) -> None:
    """Check whether a file was made by gioconda.

    Exit code 0: made by gioconda and unchanged. 10: made by gioconda and changed since. 11: made by gioconda, and
    its sidecar is missing. 3: no mark found. 4: the manifest is not valid. 2: the file cannot be read.
    """
    from gioconda import pipeline
    from gioconda.provenance import explain

    if in_words and as_json:
        raise InputError("--explain and --json exclude each other; choose one")
    verdict = pipeline.verify(file)
    if in_words:
        typer.echo(f"{verdict.path}:\n{explain(verdict)}")
    elif as_json:
        typer.echo(json.dumps(verdict.to_json(), indent=2))
    else:
        # A file that cannot be read is an error like any other.
        typer.echo(_summary(verdict), err=verdict.status == "unreadable")
    raise typer.Exit(verdict.exit_code)


@app.command(short_help="Check the installation.")
def doctor() -> None:
    """Check the installation: versions, weights, cores and GPU. Exit code 1: something essential is broken."""
    raise typer.Exit(checkup.examine())


@app.command(short_help="Animate a packaged portrait.")
def demo(
    out: Annotated[Path, typer.Option("--out", "-o", help="File to write.")] = Path("gioconda_demo.mp4"),
    motion: MotionOption = "talk",
    device: DeviceOption = CPU,
) -> None:
    """Animate a packaged portrait, so that no file is needed, and verify the result."""
    from gioconda import assets, pipeline

    use_device(device)
    with watch() as progress:
        result = pipeline.animate(assets.asset_path("astronaut.jpg"), motion, out, progress=progress)
    print_video_result(result)
    typer.echo("seconds by stage (stages overlap):")
    for stage, seconds in result.stages.items():
        typer.echo(f"  {stage:<10} {seconds:6.2f} s")
    verdict = pipeline.verify(result.path)
    typer.echo(f"verified: {_summary(verdict)}")
    raise typer.Exit(verdict.exit_code)


_VERDICTS = {
    "ours": "made by gioconda, unchanged since",
    "altered": "made by gioconda, changed since",
    "unsigned": "made by gioconda; its sidecar is missing, so whether it was changed cannot be told",
    "unmarked": "no mark of gioconda found",
    "invalid": "its manifest is not valid",
    "unreadable": "it cannot be read",
}


def _summary(verdict: Verdict) -> str:
    """The verdict in one line, and each of its reasons in another."""
    head = f"{verdict.path}: {_VERDICTS.get(verdict.status, verdict.status)}"
    return "\n".join([head, *(f"  {reason}" for reason in verdict.reasons)])
