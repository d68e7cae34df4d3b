"""Progress bars on a terminal: stage, frames per second, time left."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    Task,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

ProgressCallback = Callable[[str, int, int], None]
"""Called with the stage, the units done and the units in all."""


class _Rate(TextColumn):
    """The column with the frames per second of one stage."""

    def __init__(self) -> None:
        super().__init__("")

    def render(self, task: Task) -> Text:
        """Show the rate so far, or blanks before the first frame."""
        speed = task.finished_speed or task.speed
        return Text(f"{speed:6.1f} frames/s" if speed else " " * 15)


@contextmanager
def watch() -> Iterator[ProgressCallback | None]:
    """Draw progress bars on standard error.

    Yields:
        The progress callback; None if standard error is not a terminal.
    """
    console = Console(stderr=True)
    if not console.is_terminal or console.is_dumb_terminal:
        yield None
        return
    columns = (TextColumn("{task.description:<10}"), BarColumn(), MofNCompleteColumn(), _Rate())
    with Progress(*columns, TimeRemainingColumn(), console=console, transient=True) as bars:
        tasks: dict[str, TaskID] = {}

        def progress(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(stage, total=None)
            bars.update(tasks[stage], completed=done, total=total or None)

        yield progress


def plural(count: int, noun: str) -> str:
    """A count with its noun: `1 frame`, `2 frames`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
