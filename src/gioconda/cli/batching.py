"""The command that carries out a table of jobs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

from gioconda.cli.commands import app
from gioconda.cli.progress import plural
from gioconda.errors import InputError

if TYPE_CHECKING:
    from gioconda.batch.jobs import Job
    from gioconda.batch.run import Summary

FAILED = 7  # exit code where jobs failed, and the program did not
SHOWN_NOTES = 10
SPEED_SECONDS = 600.0  # of the past that the time left is told from: jobs are long

TableArgument = Annotated[
    Path,
    typer.Argument(
        help="A .csv with a header, or a .jsonl: kind (animate, speak, edit), portrait, motion or template, audio or "
        "text, out, rights, and options by their names. Paths count from its folder.",
        show_default=False,
    ),
]
RayOption = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS",
        help="auto for the Ray cluster of this machine, HOST:PORT, local (if not said), or off for plain processes.",
        show_default=False,
    ),
]
WorkersOption = Annotated[
    int | None, typer.Option(min=1, help="Jobs at once; one a core if not said.", show_default=False)
]
RightsOption = Annotated[
    str | None, typer.Option(help="What entitles you to the likeness, for lines without.", show_default=False)
]
RetriesOption = Annotated[int, typer.Option(min=0, help="Of a job whose process or machine was lost.")]
TimeoutOption = Annotated[
    float | None, typer.Option(min=1, help="Seconds that one job may take.", show_default=False)
]
AgainOption = Annotated[bool, typer.Option("--again", help="Make what is done already, too.")]
DryRunOption = Annotated[
    bool, typer.Option("--dry-run", help="Check the table, say what would be made, make nothing.")
]
ReportOption = Annotated[Path | None, typer.Option(help="Write the summary as JSON.", show_default=False)]


@app.command(short_help="Carry out a table of jobs.")
def batch(
    table: TableArgument,
    ray: RayOption = None,
    workers: WorkersOption = None,
    rights: RightsOption = None,
    retries: RetriesOption = 2,
    timeout: TimeoutOption = None,
    again: AgainOption = False,
    dry_run: DryRunOption = False,
    report: ReportOption = None,
) -> None:
    """Carry out a table of jobs, several at once, and skip what is done: nothing is made before the whole is checked.

    Exit code 7: some jobs failed, the summary says which. The same command goes on where a run was stopped.
    """
    from gioconda import media
    from gioconda.batch import run as running
    from gioconda.batch.jobs import read_jobs

    if report is not None:
        media.check_output(report, (".json",))
    jobs = read_jobs(table, rights)
    if report is not None and any(job.out.resolve() == report.resolve() for job in jobs):
        raise InputError(f"--report {report} is the output of a job; choose another name")
    if dry_run:
        _tell_plan(table, jobs, again)
        return
    settings = running.Settings(workers, ray, retries, timeout, again)
    summary = running.Summary(len(jobs))
    try:
        with _watch() as tell:
            running.run(table, jobs, settings, tell=tell, note=_note, summary=summary)
    finally:
        if summary.stopped or summary.done or summary.failed or summary.skipped:
            _tell_summary(table, summary)
            if report is not None:
                summary.write(report)
    if summary.failed:
        raise typer.Exit(FAILED)


def _note(text: str) -> None:
    typer.echo(f"note: {text}", err=True)


def _tell_plan(table: Path, jobs: list[Job], again: bool) -> None:
    from gioconda.batch.record import Digests, Record
    from gioconda.batch.run import Summary, pending

    record = Record(table)
    record.read()
    todo = pending(jobs, record, Digests(), again=again, tell=lambda *_: None, summary=Summary(len(jobs)))
    to_make = {job.line for job in todo}
    for job in jobs:
        what = job.order.kind if job.line in to_make else "done already"
        typer.echo(f"line {job.line}: {job.name}: {what}")
    typer.echo(f"{table}: {plural(len(jobs), 'job')}, {len(todo)} to make; nothing was made")


def _tell_summary(table: Path, summary: Summary) -> None:
    notes = [f"line {one.line}: {one.out}: {text}" for one in summary.done for text in one.warnings]
    for text in notes[:SHOWN_NOTES]:
        _note(text)
    if len(notes) > SHOWN_NOTES:
        _note(f"{len(notes) - SHOWN_NOTES} more in the --report")
    for one in sorted(summary.failed, key=lambda line: line.line):
        typer.echo(f"line {one.line}: {one.out}: {one.error}", err=True)
    counts = f"{len(summary.done)} done, {len(summary.skipped)} skipped, {len(summary.failed)} failed"
    left = summary.jobs - len(summary.done) - len(summary.skipped) - len(summary.failed)
    if left:
        counts += f", {left} left; the same command goes on"
    if summary.lost:
        counts += f"; processes lost and jobs begun anew: {summary.lost}"
    rate = f" ({summary.rate:.1f} frames/s)" if summary.frames else ""
    place = f", {summary.place}" if summary.place else ""
    made = f"{plural(summary.frames, 'frame')} in {summary.seconds:.1f} s{rate}{place}"
    typer.echo(f"{table}: {counts}; {made}")


@contextmanager
def _watch() -> Iterator[Callable[[str, int, int, Summary], None]]:
    """Draws on standard error how many jobs are done, frames a second, failures, time left; silent if no terminal."""
    console = Console(stderr=True)
    if not console.is_terminal or console.is_dumb_terminal:
        yield lambda *_: None
        return
    columns = (
        TextColumn("{task.description:<10}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[told]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True, speed_estimate_period=SPEED_SECONDS) as bars:
        tasks: dict[str, TaskID] = {}

        def tell(stage: str, done: int, total: int, summary: Summary) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(stage, total=total, told="")
            bar = bars.tasks[tasks[stage]]
            rate = summary.frames / bar.elapsed if bar.elapsed else 0.0
            told = f"{rate:6.1f} frames/s" if stage == "jobs" else ""
            if summary.failed:
                told += f"  {len(summary.failed)} failed"
            bars.update(bar.id, completed=done, told=told)

        yield tell
