"""The commands for those who train: prepare, train, export. They need gioconda[train]."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from enum import Enum
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import typer

from gioconda.cli.commands import app
from gioconda.cli.progress import plural, watch
from gioconda.errors import InputError, MissingFileError

SHOWN_FAILURES = 10
FEATURE_FILES = ("features", "vgg19_file", "vggface_file")


class Network(str, Enum):
    """What can be trained."""

    FEWSHOT = "fewshot"
    REFINER = "refiner"
    SPEECH = "speech"


DEFAULT_PRESETS = {Network.FEWSHOT: "small", Network.REFINER: "refiner", Network.SPEECH: "speech"}


class Purpose(str, Enum):
    """What samples are prepared for."""

    FEWSHOT = "fewshot"
    REFINER = "refiner"
    SPEECH = "speech"


class Crop(str, Enum):
    """How the few-shot engine's pictures are cut."""

    HEAD = "head"
    PAPER = "paper"


NetworkArgument = Annotated[Network, typer.Argument(help="What to train.")]


def need_torch() -> None:
    """MissingFileError where the extra `train` is not installed."""
    missing = [name for name in ("torch", "lightning_fabric", "safetensors") if find_spec(name) is None]
    if missing:
        raise MissingFileError(f"training needs {', '.join(missing)}: pip install 'gioconda[train]'")


@app.command(short_help="Make training samples from videos.")
def prepare(
    source: Annotated[
        Path,
        typer.Argument(
            help="Folder of videos: a folder for each person, a clips.tsv, or VoxCeleb as handed out.",
            show_default=False,
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the samples.", show_default=False)],
    purpose: Annotated[
        Purpose, typer.Option("--for", help="What the samples are to train.")
    ] = Purpose.FEWSHOT,
    clips: Annotated[
        int | None,
        typer.Option(min=1, help="At most so many clips of a person: 100; refiner 30, speech 500."),
    ] = None,
    frames: Annotated[int | None, typer.Option(help="At most so many frames of a clip; 16.")] = None,
    crop: Annotated[
        Crop | None, typer.Option(help="Square around the head (if not said), or the paper's.")
    ] = None,
    size: Annotated[int | None, typer.Option(help="Side of the pictures in pixels; 256.")] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes; one a core if not said.")] = None,
    ray: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS", help="Work on a Ray cluster: auto, local, HOST:PORT.", show_default=False
        ),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Of the refiner's choice of frames; 0.")] = None,
) -> None:
    """Make training samples from videos. What is there already is kept; bad clips are listed."""
    given = {"frames": frames, "crop": crop, "size": size}
    if purpose is Purpose.REFINER:
        _refuse(given, purpose)
        _prepare_refiner(source, out, clips or 30, workers, ray, seed or 0)
    elif purpose is Purpose.SPEECH:
        _refuse({**given, "seed": seed}, purpose)
        _prepare_speech(source, out, clips or 500, workers, ray)
    else:
        _refuse({"seed": seed}, purpose)
        _prepare_fewshot(source, out, clips, workers, ray, given)


def _refuse(given: Mapping[str, object], purpose: Purpose) -> None:
    for name, value in given.items():
        if value is not None:
            raise InputError(f"--{name} means nothing with --for {purpose.value}; leave it out")


def _prepare_fewshot(
    source: Path, out: Path, clips: int | None, workers: int | None, ray: str | None, given: dict[str, Any]
) -> None:
    from gioconda.training.fewshot.prepare import Plan
    from gioconda.training.fewshot.prepare import prepare as make

    said = {name: value for name, value in {**given, "clips": clips}.items() if value is not None}
    plan = Plan(**{name: getattr(value, "value", value) for name, value in said.items()})
    with watch() as progress:
        done = make(source, out, plan, processes=workers, ray=ray, report=progress or (lambda *_: None))
    _list_failures(done.failures)
    people = "1 person" if done.people == 1 else f"{done.people} people"
    held = f"{plural(done.clips, 'clip')} of {people}, {plural(done.frames, 'frame')}"
    rate = f"{done.tried / done.seconds:.1f} clips a second" if done.tried else "all were there already"
    left_out = f"{len(done.failures)} left out"
    typer.echo(f"{out}: {held}, in {plural(done.shards, 'shard')}; {left_out}; {rate}")


def _prepare_refiner(
    source: Path, out: Path, clips: int, workers: int | None, ray: str | None, seed: int
) -> None:
    from gioconda.training.refiner.prepare import Plan
    from gioconda.training.refiner.prepare import prepare as make

    with watch() as progress:
        plan = Plan(clips=clips, seed=seed)
        entries, failures = make(
            source, out, plan, workers=workers, ray=ray, report=progress or (lambda *_: None)
        )
    _list_failures(failures)
    people = {entry.identity for entry in entries}
    total = plural(sum(entry.samples for entry in entries), "sample")
    typer.echo(
        f"{out}: {total} of {plural(len(entries), 'clip')}, {len(people)} people; {len(failures)} left out"
    )


def _prepare_speech(source: Path, out: Path, clips: int, workers: int | None, ray: str | None) -> None:
    from gioconda.training.speech.prepare import prepare as make

    with watch() as progress:
        entries, failures = make(
            source, out, clips=clips, workers=workers, ray=ray, report=progress or (lambda *_: None)
        )
    _list_failures(failures)
    people = len({entry.identity for entry in entries})
    typer.echo(f"{out}: {plural(len(entries), 'clip')}, {people} people; {len(failures)} left out")


def _list_failures(failures: Sequence[str]) -> None:
    for line in failures[:SHOWN_FAILURES]:
        typer.echo(f"left out: {line}", err=True)
    if len(failures) > SHOWN_FAILURES:
        typer.echo(f"left out: {len(failures) - SHOWN_FAILURES} more", err=True)


@app.command(
    short_help="Train a network.",
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
)
def train(
    context: typer.Context,
    network: NetworkArgument,
    data: Annotated[Path, typer.Option(help="Folder that `prepare` has made.", show_default=False)],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the run.", show_default=False)],
    preset: Annotated[
        str | None, typer.Option(help="A packaged preset or a .toml file.", show_default=False)
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Two steps, nothing written.")] = False,
) -> None:
    """Train a network; a run that was stopped goes on where it was. Further options: any setting as --key value."""
    need_torch()
    from gioconda.training import config

    task = import_module(f"gioconda.training.{network.value}.task")
    settings = config.load(task.Settings, preset or DEFAULT_PRESETS[network], config.pairs(context.args))
    if network is not Network.SPEECH and not any(getattr(settings, name, "") for name in FEATURE_FILES):
        typer.echo("note: no --features FILE (SqueezeNet 1.1): trained without a perceptual loss", err=True)
    leads = os.environ.get("RANK", "0") == "0"  # of the processes that torchrun starts, one talks
    with watch() if leads else nullcontext() as progress:
        done = task.train(settings, data, out, dry_run=dry_run, report=progress or (lambda *_: None))
    if not leads:
        return
    typer.echo(
        f"{plural(done, 'step')} tried, nothing written" if dry_run else f"{out}: {plural(done, 'step')}"
    )


@app.command(short_help="Turn a trained run into files for use.")
def export(
    network: NetworkArgument,
    runs: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN...",
            help="Folder of the run; of speech also several, whose networks answer together.",
            show_default=False,
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder to write to.", show_default=False)],
    samples: Annotated[
        Path | None,
        typer.Option(
            help="Folder that `prepare` has made; with it, an 8-bit refiner of twice the speed.",
            show_default=False,
        ),
    ] = None,
    last: Annotated[bool, typer.Option("--last", help="The last weights, not the best on dev.")] = False,
) -> None:
    """Write the best weights of a run as .onnx for use; all but speech also as .safetensors to train on from."""
    need_torch()
    from gioconda.training.loop import BEST, LAST

    checkpoint = LAST if last else BEST
    for run in runs:
        if not (run / checkpoint).is_file():
            raise InputError(f"{run} holds no {checkpoint}: train {network.value} there first")
    if len(runs) > 1 and network is not Network.SPEECH:
        raise InputError(f"{network.value} is exported from one run; several make sense for speech alone")
    if samples is not None and network is not Network.REFINER:
        raise InputError(f"--samples means nothing for {network.value}; leave it out")
    if network is Network.FEWSHOT:
        from gioconda.training.fewshot.export import export as write_fewshot

        written = write_fewshot(runs[0], out, checkpoint)
    elif network is Network.SPEECH:
        from gioconda.training.speech.export import export as write_speech

        written = (write_speech(runs, out, checkpoint),)
    else:
        from gioconda.training.refiner.export import export as write_refiner

        written = write_refiner(runs[0], out, checkpoint, samples)
    for path in written:
        typer.echo(f"{path}: {path.stat().st_size / 2**20:.1f} MiB")
