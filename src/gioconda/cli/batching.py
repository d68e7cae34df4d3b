"""The command `batch`: runs a table of jobs."""

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
from gioconda.cli.options import DeviceOption, use_device
from gioconda.cli.progress import plural
from gioconda.errors import InputError
from gioconda.runtime.devices import CPU

if TYPE_CHECKING:
    from gioconda.batch.jobs import BatchJob
    from gioconda.batch.run import Summary

# Exit code of a batch that ran to its end with some jobs failed.
FAILED = 7
# Notes that are printed; the report has all of them.
SHOWN_NOTES = 10
# Seconds of the past from which the time left is estimated; jobs are long.
SPEED_SECONDS = 600.0

TableArgument = Annotated[
    Path,
    typer.Argument(
        help="A .csv with a header, or a .jsonl: kind (animate, speak, edit, export), portrait or film, motion or "
        "template, audio or text, out, rights, and options by their names. Paths are relative to its folder.",
        show_default=False,
    ),
]
RayOption = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS",
        help="auto for the Ray cluster of this machine, HOST:PORT, local (the default), or off for plain processes.",
        show_default=False,
    ),
]
WorkersOption = Annotated[
    int | None, typer.Option(min=1, help="Jobs at once; one per core by default.", show_default=False)
]
RightsOption = Annotated[
    str | None,
    typer.Option(help="What entitles you to the likeness, for lines that do not say.", show_default=False),
]
RetriesOption = Annotated[int, typer.Option(min=0, help="Retries of a job whose process or machine is lost.")]
TimeoutOption = Annotated[
    float | None, typer.Option(min=1, help="Seconds that one job may take.", show_default=False)
]
AgainOption = Annotated[bool, typer.Option("--again", help="Also redo jobs that are already done.")]
DryRunOption = Annotated[
    bool, typer.Option("--dry-run", help="Check the table and list what would be made, without making it.")
]
ReportOption = Annotated[Path | None, typer.Option(help="Write the summary as JSON.", show_default=False)]


@app.command(short_help="Run a table of jobs.")
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
    device: DeviceOption = CPU,
) -> None:
    """Run a table of jobs, several at once, and skip those already done. The whole table is checked first.

    Exit code 7: some jobs failed; the summary says which. After a stop, the same command continues the run.
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
        _print_plan(table, jobs, again)
        return
    use_device(device)
    settings = running.BatchSettings(workers, ray, retries, timeout, again)
    summary = running.Summary(len(jobs))
    try:
        with _watch() as progress:
            running.run(table, jobs, settings, progress=progress, note=_note, summary=summary)
    finally:
        if summary.stopped or summary.done or summary.failed or summary.skipped:
            _print_summary(table, summary)
            if report is not None:
                summary.write(report)
    if summary.failed:
        raise typer.Exit(FAILED)


def _note(text: str) -> None:
    """Print a note on standard error."""
    typer.echo(f"note: {text}", err=True)


def _print_plan(table: Path, jobs: list[BatchJob], again: bool) -> None:
    """Print what each job would make."""
    from gioconda.batch.record import Digests, Record
    from gioconda.batch.run import Summary, pending

    record = Record(table)
    record.read()
    todo = pending(jobs, record, Digests(), again=again, progress=lambda *_: None, summary=Summary(len(jobs)))
    to_make = {job.line for job in todo}
    for job in jobs:
        plan = job.request.kind if job.line in to_make else "already done"
        typer.echo(f"line {job.line}: {job.name}: {plan}")
    typer.echo(f"{table}: {plural(len(jobs), 'job')}, {len(todo)} to make; nothing was made")


def _print_summary(table: Path, summary: Summary) -> None:
    """Print the jobs' notes and errors, and one line with the counts."""
    notes = [f"line {job.line}: {job.out}: {text}" for job in summary.done for text in job.warnings]
    for text in notes[:SHOWN_NOTES]:
        _note(text)
    if len(notes) > SHOWN_NOTES:
        _note(f"{len(notes) - SHOWN_NOTES} more notes; --report FILE writes all of them")
    for job in sorted(summary.failed, key=lambda job: job.line):
        typer.echo(f"line {job.line}: {job.out}: {job.error}", err=True)
    counts = f"{len(summary.done)} done, {len(summary.skipped)} skipped, {len(summary.failed)} failed"
    left = summary.jobs - len(summary.done) - len(summary.skipped) - len(summary.failed)
    if left:
        counts += f", {left} left; run the same command to continue"
    if summary.lost:
        counts += f"; retries after lost processes: {summary.lost}"
    rate = f" ({summary.rate:.1f} frames/s)" if summary.frames else ""
    place = f", {summary.place}" if summary.place else ""
    speed = f"{plural(summary.frames, 'frame')} in {summary.seconds:.1f} s{rate}{place}"
    typer.echo(f"{table}: {counts}; {speed}")


@contextmanager
def _watch() -> Iterator[Callable[[str, int, int, Summary], None]]:
    """Draw jobs done, frames per second, failures and time left on standard error; nothing without a terminal."""
    console = Console(stderr=True)
    if not console.is_terminal or console.is_dumb_terminal:
        yield lambda *_: None
        return
    columns = (
        TextColumn("{task.description:<10}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True, speed_estimate_period=SPEED_SECONDS) as bars:
        tasks: dict[str, TaskID] = {}

        def progress(stage: str, done: int, total: int, summary: Summary) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(stage, total=total, rate="")
            bar = bars.tasks[tasks[stage]]
            speed = summary.frames / bar.elapsed if bar.elapsed else 0.0
            rate = f"{speed:6.1f} frames/s" if stage == "jobs" else ""
            if summary.failed:
                rate += f"  {len(summary.failed)} failed"
            bars.update(bar.id, completed=done, rate=rate)

        yield progress
