"""`gioconda evaluate`: people one after the other or several at once, each by every method; then the report."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from gioconda import media
from gioconda.errors import InputError, OutputError
from gioconda.threads import hold_blas
from gioconda.training.evaluate import report, sheets
from gioconda.training.evaluate.methods import Methods, Report
from gioconda.training.evaluate.people import Meter, Tools, at_once, in_turn
from gioconda.training.evaluate.protocol import Plan, find_people
from gioconda.training.evaluate.results import Results

SIZES = (64, 1024)


def evaluate(
    folder: Path,
    out: Path,
    plan: Plan,
    methods: Methods,
    *,
    people: Sequence[str] = (),
    embedder: Path | None = None,
    features: Path | None = None,
    workers: int | None = 1,
    ray: str | None = None,
    progress: Report = lambda *_: None,
) -> Results:
    """Measure the methods on the people below `folder`; report.json, report.md and a sheet a person go to `out`.

    embedder, features: networks for CSIM, and for perceptual and Frechet distance. workers, ray: people at once, and
    where (`cluster.crew`); the figures are the same. Raises InputError, MissingFileError, WeightsError or OutputError;
    clips and people that cannot be used are listed in the result.
    """
    since = time.perf_counter()
    _check(plan)
    found = find_people(folder, people)
    tools, rows = Tools(methods, embedder, features), methods.rows(plan.shots)
    judge, engines = tools.open()
    results = Results(folder.resolve().name, plan, rows, judge.names, judge.frechet, judge.networks)
    hold_blas()
    with _made_folder(out):
        if workers == 1 and ray is None:
            meter = Meter(progress, {"render": (len(rows) - 1) * plan.frames * len(found)})
            everybody = in_turn(found, plan, methods, engines, judge, results.left_out, meter)
        else:
            everybody = at_once(found, plan, tools, results.left_out, progress, workers=workers, ray=ray)
        drawn = []
        for one in everybody:
            results.add(one.member, one.scores, one.truth)
            drawn.append(one.sheet)
        if not drawn:
            raise InputError(f"{folder}: nobody could be evaluated; the last says: {results.left_out[-1]}")
        if len(results.measured) == 1:
            most = max(one.shots for one in results.people)
            raise InputError(f"nobody has more than {most} frames to show; ask for fewer with --shots")
        for sheet in drawn:
            sheets.write(out, sheet, methods.engines)
        results.seconds = time.perf_counter() - since
        report.write(out, results)
    return results


def _check(plan: Plan) -> None:
    if not plan.shots or min(plan.shots) < 1 or plan.frames < 1:
        raise InputError("--shots and --frames are counts of at least 1")
    if not SIZES[0] <= plan.size <= SIZES[1]:
        raise InputError(f"--size {plan.size} is outside {SIZES[0]} to {SIZES[1]} pixels")


@contextmanager
def _made_folder(out: Path) -> Iterator[None]:
    """The report's folder, made before any work; gone again where the work leaves nothing in it."""
    new = not out.exists()
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = "a file is in the way" if isinstance(error, (FileExistsError, NotADirectoryError)) else error
        raise OutputError(f"the folder {out} cannot be made ({reason}); choose another --out") from None
    try:
        media.check_output(out / report.JSON, (".json",))
        yield
    except BaseException:
        if new:
            with suppress(OSError):
                out.rmdir()
        raise
