"""The commands `prepare`, `train` and `export-weights`; they need gioconda[train]."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from enum import Enum
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer

from gioconda.cli.commands import app
from gioconda.cli.options import DeviceOption, use_device
from gioconda.cli.progress import plural, watch
from gioconda.errors import InputError
from gioconda.runtime.devices import CPU
from gioconda.runtime.extras import require

# Failures that are printed; the others are counted.
SHOWN_FAILURES = 10
# Settings that name a network for a perceptual loss.
FEATURE_FILES = ("features", "vgg19_file", "vggface_file")


class Network(str, Enum):
    """The networks that can be trained."""

    FEWSHOT = "fewshot"
    REFINER = "refiner"
    SPEECH = "speech"


# Most clips per person by default.
REFINER_CLIPS = 30
SPEECH_CLIPS = 500
DEFAULT_PRESETS = {Network.FEWSHOT: "small", Network.REFINER: "refiner", Network.SPEECH: "speech"}


class Purpose(str, Enum):
    """The networks for which samples are prepared."""

    FEWSHOT = "fewshot"
    REFINER = "refiner"
    SPEECH = "speech"


class Crop(str, Enum):
    """How the few-shot engine's pictures are cropped."""

    HEAD = "head"
    PAPER = "paper"


NetworkArgument = Annotated[Network, typer.Argument(help="The network.")]


@app.command(short_help="Make training samples from videos.")
def prepare(
    source: Annotated[
        Path,
        typer.Argument(
            help="Folder of videos (refiner: and photos): one per person, a clips.tsv, or VoxCeleb as distributed.",
            show_default=False,
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the samples.", show_default=False)],
    purpose: Annotated[
        Purpose, typer.Option("--for", help="The network that the samples train.")
    ] = Purpose.FEWSHOT,
    clips: Annotated[
        int | None,
        typer.Option(min=1, help="Most clips per person; 100 by default, refiner 30, speech 500."),
    ] = None,
    frames: Annotated[int | None, typer.Option(help="Most frames per clip; 16 by default.")] = None,
    crop: Annotated[
        Crop | None, typer.Option(help="Square around the head (the default), or the paper's crop.")
    ] = None,
    size: Annotated[int | None, typer.Option(help="Side of the pictures in pixels; 256 by default.")] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes; one per core by default.")] = None,
    ray: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS", help="Run on a Ray cluster: auto, local, HOST:PORT.", show_default=False
        ),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Random seed of the refiner's choice of frames; 0 by default.")
    ] = None,
    device: DeviceOption = CPU,
) -> None:
    """Make training samples from videos. Existing samples are kept; clips that cannot be used are listed."""
    use_device(device)
    fewshot_options = {"frames": frames, "crop": crop, "size": size}
    if purpose is Purpose.REFINER:
        _refuse(fewshot_options, purpose)
        _prepare_refiner(source, out, clips or REFINER_CLIPS, workers, ray, seed or 0)
    elif purpose is Purpose.SPEECH:
        _refuse({**fewshot_options, "seed": seed}, purpose)
        _prepare_speech(source, out, clips or SPEECH_CLIPS, workers, ray)
    else:
        _refuse({"seed": seed}, purpose)
        _prepare_fewshot(source, out, clips, workers, ray, fewshot_options)


def _refuse(options: Mapping[str, object], purpose: Purpose) -> None:
    """Raise InputError for the first option that is given."""
    for name, value in options.items():
        if value is not None:
            raise InputError(f"--{name} does not apply to --for {purpose.value}; remove it")


def _prepare_fewshot(
    source: Path, out: Path, clips: int | None, workers: int | None, ray: str | None, options: dict[str, Any]
) -> None:
    """Prepare samples of the few-shot networks and print how many."""
    from gioconda.training.fewshot.prepare import FewshotPlan
    from gioconda.training.fewshot.prepare import prepare as make

    given = {name: value for name, value in {**options, "clips": clips}.items() if value is not None}
    plan = FewshotPlan(**{name: getattr(value, "value", value) for name, value in given.items()})
    with watch() as progress:
        done = make(source, out, plan, processes=workers, ray=ray, progress=progress or (lambda *_: None))
    _list_failures(done.failures)
    people = "1 person" if done.people == 1 else f"{done.people} people"
    samples = f"{plural(done.clips, 'clip')} of {people}, {plural(done.frames, 'frame')}"
    rate = f"{done.tried / done.seconds:.1f} clips per second" if done.tried else "all existed already"
    left_out = f"{len(done.failures)} left out"
    typer.echo(f"{out}: {samples}, in {plural(done.shards, 'shard')}; {left_out}; {rate}")


def _prepare_refiner(
    source: Path, out: Path, clips: int, workers: int | None, ray: str | None, seed: int
) -> None:
    """Prepare samples of the refiner and print how many."""
    from gioconda.training.refiner.prepare import Plan
    from gioconda.training.refiner.prepare import prepare as make

    with watch() as progress:
        plan = Plan(clips=clips, seed=seed)
        entries, failures = make(
            source, out, plan, workers=workers, ray=ray, progress=progress or (lambda *_: None)
        )
    _list_failures(failures)
    people = {entry.identity for entry in entries}
    total = plural(sum(entry.samples for entry in entries), "sample")
    typer.echo(
        f"{out}: {total} of {plural(len(entries), 'clip')}, {len(people)} people; {len(failures)} left out"
    )


def _prepare_speech(source: Path, out: Path, clips: int, workers: int | None, ray: str | None) -> None:
    """Prepare samples of the speech network and print how many."""
    from gioconda.training.speech.prepare import prepare as make

    with watch() as progress:
        entries, failures = make(
            source, out, clips=clips, workers=workers, ray=ray, progress=progress or (lambda *_: None)
        )
    _list_failures(failures)
    people = len({entry.identity for entry in entries})
    typer.echo(f"{out}: {plural(len(entries), 'clip')}, {people} people; {len(failures)} left out")


def _list_failures(failures: Sequence[str]) -> None:
    """Print the first failures on standard error."""
    for line in failures[:SHOWN_FAILURES]:
        typer.echo(f"left out: {line}", err=True)
    if len(failures) > SHOWN_FAILURES:
        typer.echo(f"left out: {len(failures) - SHOWN_FAILURES} others", err=True)


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
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Run two steps and write nothing.")] = False,
) -> None:
    """Train a network. The same command continues a stopped run. Further options: any setting as --key value."""
    require("train", "training")
    from gioconda.training import config

    task = import_module(f"gioconda.training.{network.value}.task")
    settings = config.load(
        config.settings_of(task.train), preset or DEFAULT_PRESETS[network], config.pairs(context.args)
    )
    if network is not Network.SPEECH and not any(getattr(settings, name, "") for name in FEATURE_FILES):
        typer.echo(
            "note: training has no perceptual loss; --features FILE (SqueezeNet 1.1) adds one", err=True
        )
    # Of the processes that torchrun starts, only the first prints.
    leads = os.environ.get("RANK", "0") == "0"
    with watch() if leads else nullcontext() as progress:
        done = task.train(settings, data, out, dry_run=dry_run, progress=progress or (lambda *_: None))
    if not leads:
        return
    typer.echo(
        f"{plural(done, 'step')} tried, nothing written" if dry_run else f"{out}: {plural(done, 'step')}"
    )


@app.command(name="export-weights", short_help="Export the weights of a trained run.")
def export_weights(
    network: NetworkArgument,
    runs: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN...",
            help="Folder of the run; for speech also several, whose networks form an ensemble.",
            show_default=False,
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder to write to.", show_default=False)],
    samples: Annotated[
        Path | None,
        typer.Option(
            help="Folder that `prepare` has made: also export an 8-bit refiner, which is twice as fast.",
            show_default=False,
        ),
    ] = None,
    last: Annotated[
        bool, typer.Option("--last", help="Export the last weights, not the best on dev.")
    ] = False,
) -> None:
    """Export the best weights of a run as .onnx for use; all but speech also as .safetensors for further training."""
    require("train", "training")
    from gioconda.training.loop import BEST, LAST

    checkpoint = LAST if last else BEST
    for run in runs:
        if not (run / checkpoint).is_file():
            raise InputError(
                f"{run} has no {checkpoint}; run first: gioconda train {network.value} --out {run}"
            )
    if len(runs) > 1 and network is not Network.SPEECH:
        raise InputError(f"{network.value} takes one run; only speech takes several")
    if samples is not None and network is not Network.REFINER:
        raise InputError(f"--samples does not apply to {network.value}; remove it")
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
