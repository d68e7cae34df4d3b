"""`gioconda evaluate`: people one after the other, each by every method; then the report."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from gioconda import media
from gioconda.engines import Engine
from gioconda.errors import InputError, OutputError
from gioconda.threads import hold_blas
from gioconda.training.evaluate import report, sheets
from gioconda.training.evaluate.figures import Judge
from gioconda.training.evaluate.methods import Methods, Report, made_by_all
from gioconda.training.evaluate.protocol import Plan, find_people, gather
from gioconda.training.evaluate.results import Results
from gioconda.training.evaluate.sheets import Sheet
from gioconda.training.sources import Clip

SIZES = (64, 1024)


@dataclass
class _Meter:
    """Tells the progress of each stage; planned: steps of a stage, where they are known."""

    report: Report
    planned: dict[str, int]
    done: dict[str, int] = field(default_factory=dict)

    def step(self, stage: str) -> None:
        """One more frame of a stage."""
        self.done[stage] = self.done.get(stage, 0) + 1
        self.report(stage, self.done[stage], self.planned.get(stage, 0))


def evaluate(
    folder: Path,
    out: Path,
    plan: Plan,
    methods: Methods,
    *,
    people: Sequence[str] = (),
    embedder: Path | None = None,
    features: Path | None = None,
    progress: Report = lambda *_: None,
) -> Results:
    """Measure the methods on the people below `folder`; report.json, report.md and a sheet a person go to `out`.

    embedder, features: networks for CSIM, and for perceptual and Frechet distance. Raises InputError,
    MissingFileError, WeightsError or OutputError; clips and people that cannot be used are listed in the result.
    """
    since = time.perf_counter()
    _check(plan)
    found = find_people(folder, people)
    judge, engines, rows = Judge(embedder, features), methods.open(), methods.rows(plan.shots)
    results = Results(folder.resolve().name, plan, rows, judge.names, judge.frechet, judge.networks)
    meter = _Meter(progress, {"render": (len(rows) - 1) * plan.frames * len(found)})
    hold_blas()
    with _made_folder(out):
        drawn = list(_people(found, methods, engines, judge, results, meter))
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


def _people(
    found: dict[str, list[Clip]],
    methods: Methods,
    engines: dict[str, Engine],
    judge: Judge,
    results: Results,
    meter: _Meter,
) -> Iterator[Sheet]:
    """Each person in turn: scored into the results, and what there is to look at."""
    plan = results.plan
    for name, clips in found.items():
        person = gather(name, clips, plan, results.left_out, meter.step)
        if person is None:
            continue
        looks = [judge.look(stretch.truth) for stretch in person.held]
        made, scores = {}, {}
        for row, pictures in made_by_all(person, plan, methods, engines, meter.step, meter.report):
            scores[row] = judge.score(pictures, person.held, looks)
            made[row] = sheets.moments(pictures)
        results.add(person, scores, judge.features_of(person.held))
        truth = sheets.moments([stretch.truth for stretch in person.held])
        yield Sheet(name, sheets.first_shots(person, plan.size), truth, made, person.inputs)
