"""`gioconda evaluate`: evaluates every method on each person, then writes the report."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from gioconda import media
from gioconda.errors import InputError, OutputError
from gioconda.runtime.threads import hold_libraries
from gioconda.training.evaluate import report, sheets
from gioconda.training.evaluate.methods import Methods
from gioconda.training.evaluate.people import Meter, PersonResult, Tools, at_once, in_turn
from gioconda.training.evaluate.protocol import EvaluationPlan, find_people
from gioconda.training.evaluate.results import Results
from gioconda.types import Progress

# Smallest and largest side of the compared square, in pixels
SIZES = (64, 1024)


def evaluate(
    folder: Path,
    out: Path,
    plan: EvaluationPlan,
    methods: Methods,
    *,
    people: Sequence[str] = (),
    embedder: Path | None = None,
    features: Path | None = None,
    workers: int | None = 1,
    ray: str | None = None,
    progress: Progress = lambda *_: None,
) -> Results:
    """Evaluate the methods on the people below a folder.

    Args:
        folder: The folder of clips.
        out: Gets report.json, report.md and a contact sheet per person.
        methods: The engines and modes to evaluate.
        people: Names of the people to evaluate; empty for all.
        embedder: The network for CSIM; None to leave CSIM out.
        features: The network for perceptual and Frechet distance; None to leave them out.
        workers: People at once; None for one per core.
        ray: Address of a Ray cluster (`cluster.open_executor`). Neither changes the metrics.
        progress: Called with the stage, the steps done and the steps in all.

    Returns:
        The scores, and a line for each clip and person that cannot be used.

    Raises:
        InputError: The plan is not possible, or no person can be evaluated.
        MissingFileError: A network's file or the folder does not exist.
        WeightsError: A file is not the network that it should be.
        OutputError: `out` cannot be written.
    """
    since = time.perf_counter()
    _check(plan)
    clips_of = find_people(folder, people)
    tools, rows = Tools(methods, embedder, features), methods.rows(plan.shots)
    judge, engines = tools.open()
    results = Results(folder.resolve().name, plan, rows, judge.names, judge.frechet, judge.networks)
    hold_libraries()
    with _made_folder(out):
        if workers == 1 and ray is None:
            meter = Meter(progress, {"render": (len(rows) - 1) * plan.frames * len(clips_of)})
            evaluated = in_turn(clips_of, plan, methods, engines, judge, results.left_out, meter)
        else:
            evaluated = at_once(clips_of, plan, tools, results.left_out, progress, workers=workers, ray=ray)
        for sheet in _collect(evaluated, results, folder):
            sheets.write(out, sheet, methods.engines)
        results.seconds = time.perf_counter() - since
        report.write(out, results)
    return results


def _collect(evaluated: Iterable[PersonResult], results: Results, folder: Path) -> list[sheets.Sheet]:
    """Add all people to the results and return their sheets; InputError if nobody could be evaluated."""
    drawn = []
    for person in evaluated:
        results.add(person.member, person.scores, person.truth)
        drawn.append(person.sheet)
    if not drawn:
        raise InputError(f"{folder}: nobody could be evaluated; the last reason is: {results.left_out[-1]}")
    if len(results.evaluated) == 1:
        most = max(person.shots for person in results.people)
        raise InputError(f"nobody has more than {most} frames to show; ask for fewer with --shots")
    return drawn


def _check(plan: EvaluationPlan) -> None:
    if not plan.shots or min(plan.shots) < 1 or plan.frames < 1:
        raise InputError("--shots and --frames are counts of at least 1")
    if not SIZES[0] <= plan.size <= SIZES[1]:
        raise InputError(f"--size {plan.size} is outside {SIZES[0]} to {SIZES[1]} pixels")


@contextmanager
def _made_folder(out: Path) -> Iterator[None]:
    """Create the report's folder before any work, and remove it if the work fails and leaves it empty."""
    new = not out.exists()
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = "a file is in the way" if isinstance(error, (FileExistsError, NotADirectoryError)) else error
        raise OutputError(f"the folder {out} cannot be created ({reason}); choose another --out") from None
    try:
        media.check_output(out / report.JSON, (".json",))
        yield
    except BaseException:
        if new:
            with suppress(OSError):
                out.rmdir()
        raise
