"""The command `evaluate`: engines measured on unseen people, after the protocol of the few-shot paper."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from gioconda.cli import training
from gioconda.cli.commands import app
from gioconda.cli.progress import plural, watch

if TYPE_CHECKING:
    from gioconda.training.evaluate.results import Results

SHOTS = (1, 8, 32)


def spread(words: Sequence[str], many: Collection[str]) -> list[str]:
    """Words as typed, with `--shots 1 8` and `--shots 1,8` as `--shots 1 --shots 8`.

    many: the options that take several values: all words up to the next option are theirs. After `--` nothing is
    changed.
    """
    found: list[str] = []
    option = ""  # whose values come
    for k, word in enumerate(words):
        if word == "--":
            return [*found, *words[k:]]
        values = word
        if word.startswith("-"):
            name, _, values = word.partition("=")
            option = name if name in many else ""
        if not option:
            found.append(word)
        elif values:
            for value in filter(None, values.split(",")):
                found += [option, value]
        elif k + 1 == len(words) or words[k + 1].startswith("-"):
            found.append(word)  # an option without a value: the parser says so
    return found


class SeveralValues(TyperCommand):
    """A command whose repeatable options also take several values at once."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the words, spread out."""
        many = {name for one in self.params if getattr(one, "multiple", False) for name in one.opts}
        return super().parse_args(ctx, spread(args, many))


def _file(text: str) -> Any:
    return typer.Option(help=text, show_default=False)


SourceArgument = Annotated[
    Path,
    typer.Argument(
        help="Folder of videos: a folder for each person, or a clips.tsv, whose dev rows count.",
        show_default=False,
    ),
]
ReportOption = Annotated[Path, typer.Option("--out", "-o", help="Folder for the report.", show_default=False)]
EnginesOption = Annotated[
    list[str] | None, typer.Option(help="warp, fewshot or both; warp if not said.", show_default=False)
]
ShotsOption = Annotated[
    list[int] | None,
    typer.Option(min=1, help="Photos a person, T in the paper; 1 8 32 if not said.", show_default=False),
]
ModesOption = Annotated[
    list[str] | None,
    typer.Option(
        help="feed-forward, tuned or both; feed-forward if not said. Only fewshot is tuned.",
        show_default=False,
    ),
]
PeopleOption = Annotated[
    list[str] | None, typer.Option(help="Only these; all if not said.", show_default=False)
]


@app.command(cls=SeveralValues, short_help="Measure engines on people they do not know.")
def evaluate(
    source: SourceArgument,
    out: ReportOption,
    engines: EnginesOption = None,
    shots: ShotsOption = None,
    modes: ModesOption = None,
    people: PeopleOption = None,
    frames: Annotated[int, typer.Option(min=1, help="Held-out frames a person.")] = 32,
    size: Annotated[int, typer.Option(help="Side of the square that is compared, in pixels.")] = 128,
    seed: Annotated[int, typer.Option(min=0, help="Of the choice of frames.")] = 0,
    embedder: Annotated[Path | None, _file("MobileFaceNet .onnx, for CSIM.")] = None,
    features: Annotated[
        Path | None, _file("SqueezeNet 1.1 .safetensors, for perceptual and Frechet distance.")
    ] = None,
    weights: Annotated[Path | None, _file("Another few-shot network, .safetensors.")] = None,
    tune_features: Annotated[Path | None, _file("SqueezeNet 1.1 .safetensors, for fine-tuning.")] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="People at once; 1 if not said, with --ray as many as it has cores.",
            show_default=False,
        ),
    ] = None,
    ray: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS", help="Work on a Ray cluster: auto, local, HOST:PORT.", show_default=False
        ),
    ] = None,
) -> None:
    """Measure engines on unseen people: some photos in, held-out frames of the same person out.

    After Zakharov et al., ICCV 2019. Several values of an option: one after the other, with commas, or repeated.
    Writes report.md, report.json and a contact sheet of each person.
    """
    from gioconda.training.evaluate.methods import TUNED, Methods

    chosen = tuple(modes or ("feed-forward",))
    if features is not None or TUNED in chosen:
        training.need_torch()
    from gioconda.training.evaluate.evaluate import evaluate as measure
    from gioconda.training.evaluate.protocol import Plan

    plan = Plan(tuple(sorted(set(shots or SHOTS))), frames, size, seed)
    methods = Methods(tuple(dict.fromkeys(engines or ("warp",))), chosen, weights, tune_features)
    with watch() as progress:
        results = measure(
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
    _tell(out, results)


def _tell(out: Path, results: Results) -> None:
    from gioconda.training.evaluate.report import table

    shown = training.SHOWN_FAILURES
    for line in results.left_out[:shown]:
        typer.echo(f"left out: {line}", err=True)
    if len(results.left_out) > shown:
        typer.echo(f"left out: {len(results.left_out) - shown} more", err=True)
    typer.echo(table(results))
    frames = plural(sum(one.frames for one in results.people), "held-out frame")
    typer.echo(
        f"{out}: {len(results.people)} people, {frames}, {results.seconds:.0f} s; {len(results.left_out)} left out"
    )
