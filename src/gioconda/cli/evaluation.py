"""The command `evaluate`: measures engines on unseen people by the protocol of Zakharov et al., ICCV 2019."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from gioconda.cli import training
from gioconda.cli.commands import app
from gioconda.cli.options import DeviceOption, use_device
from gioconda.cli.progress import plural, watch
from gioconda.runtime.devices import CPU
from gioconda.runtime.extras import require

if TYPE_CHECKING:
    from gioconda.training.evaluate.results import Results

# Numbers of photos per person in the paper's tables.
SHOTS = (1, 8, 32)


def spread(words: Sequence[str], repeatable: Collection[str]) -> list[str]:
    """Rewrite `--shots 1 8` and `--shots 1,8` as `--shots 1 --shots 8`.

    Args:
        words: The words as typed. Those after `--` stay as they are.
        repeatable: The options that take several values: all words up to the next option.
    """
    spread_words: list[str] = []
    # The repeatable option to which the next values belong.
    option = ""
    for k, word in enumerate(words):
        if word == "--":
            return [*spread_words, *words[k:]]
        values = word
        if word.startswith("-"):
            name, _, values = word.partition("=")
            option = name if name in repeatable else ""
        if not option:
            spread_words.append(word)
        elif values:
            for value in filter(None, values.split(",")):
                spread_words += [option, value]
        # The parser complains about an option without a value.
        elif k + 1 == len(words) or words[k + 1].startswith("-"):
            spread_words.append(word)
    return spread_words


class SeveralValues(TyperCommand):
    """A command whose repeatable options take several values at once."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the words after `spread` has rewritten them."""
        repeatable = {
            name for option in self.params if getattr(option, "multiple", False) for name in option.opts
        }
        return super().parse_args(ctx, spread(args, repeatable))


def _file(text: str) -> Any:
    """An option that names a file and has no default."""
    return typer.Option(help=text, show_default=False)


SourceArgument = Annotated[
    Path,
    typer.Argument(
        help="Folder of videos: a folder per person, or a clips.tsv, of which the dev rows are used.",
        show_default=False,
    ),
]
ReportOption = Annotated[Path, typer.Option("--out", "-o", help="Folder for the report.", show_default=False)]
EnginesOption = Annotated[
    list[str] | None,
    typer.Option(help="warp, fewshot or both; warp by default. fewshot needs --weights.", show_default=False),
]
ShotsOption = Annotated[
    list[int] | None,
    typer.Option(min=1, help="Photos per person, T in the paper; 1 8 32 by default.", show_default=False),
]
ModesOption = Annotated[
    list[str] | None,
    typer.Option(
        help="feed-forward, tuned or both; feed-forward by default. Only fewshot can be tuned.",
        show_default=False,
    ),
]
PeopleOption = Annotated[
    list[str] | None, typer.Option(help="Only these people; all by default.", show_default=False)
]


@app.command(cls=SeveralValues, short_help="Measure engines on unseen people.")
def evaluate(
    source: SourceArgument,
    out: ReportOption,
    engines: EnginesOption = None,
    shots: ShotsOption = None,
    modes: ModesOption = None,
    people: PeopleOption = None,
    frames: Annotated[int, typer.Option(min=1, help="Held-out frames per person.")] = 32,
    size: Annotated[int, typer.Option(help="Side of the compared square in pixels.")] = 128,
    seed: Annotated[int, typer.Option(min=0, help="Random seed of the choice of frames.")] = 0,
    mixed: Annotated[
        bool,
        typer.Option(
            "--mixed",
            help="Draw photos of a person's only clip from between the held-out frames, as the paper does.",
        ),
    ] = False,
    embedder: Annotated[Path | None, _file("MobileFaceNet .onnx, for CSIM.")] = None,
    features: Annotated[
        Path | None, _file("SqueezeNet 1.1 .safetensors, for perceptual and Frechet distance.")
    ] = None,
    weights: Annotated[
        Path | None, _file("The fewshot.safetensors of networks that you trained, for fewshot.")
    ] = None,
    tune_features: Annotated[Path | None, _file("SqueezeNet 1.1 .safetensors, for fine-tuning.")] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="People at once; 1 by default, with --ray one per core of the cluster.",
            show_default=False,
        ),
    ] = None,
    ray: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS", help="Run on a Ray cluster: auto, local, HOST:PORT.", show_default=False
        ),
    ] = None,
    device: DeviceOption = CPU,
) -> None:
    """Measure engines on unseen people: from some photos, each draws held-out frames of the same person.

    The protocol is that of Zakharov et al., ICCV 2019. Options with several values take them separated by spaces or
    commas, or repeated. Writes report.md, report.json and a contact sheet per person.
    """
    from gioconda.training.evaluate.methods import TUNED, Methods

    use_device(device)
    chosen = tuple(modes or ("feed-forward",))
    if features is not None or TUNED in chosen:
        require("train", "training")
    from gioconda.training.evaluate.evaluate import evaluate as run_evaluation
    from gioconda.training.evaluate.protocol import EvaluationPlan

    plan = EvaluationPlan(tuple(sorted(set(shots or SHOTS))), frames, size, seed, mixed)
    methods = Methods(tuple(dict.fromkeys(engines or ("warp",))), chosen, weights, tune_features)
    with watch() as progress:
        results = run_evaluation(
            source,
            out,
            plan,
            methods,
            people=people or (),
            embedder=embedder,
            features=features,
            workers=workers or (None if ray else 1),
            ray=ray,
            progress=progress or (lambda *_: None),
        )
    _print_results(out, results)


def _print_results(out: Path, results: Results) -> None:
    """Print the table of results, and on standard error what was left out."""
    from gioconda.training.evaluate.report import table

    shown = training.SHOWN_FAILURES
    for line in results.left_out[:shown]:
        typer.echo(f"left out: {line}", err=True)
    if len(results.left_out) > shown:
        typer.echo(f"left out: {len(results.left_out) - shown} more", err=True)
    typer.echo(table(results))
    frames = plural(sum(person.frames for person in results.people), "held-out frame")
    typer.echo(
        f"{out}: {len(results.people)} people, {frames}, {results.seconds:.0f} s; {len(results.left_out)} left out"
    )
