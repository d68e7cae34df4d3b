"""Load a portrait and a motion at the same time."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from gioconda.engines import Engine
from gioconda.errors import GiocondaError
from gioconda.inputs.sources import MotionSource, PortraitSource
from gioconda.render import Clock
from gioconda.types import Progress


def load_both(
    portraits: Callable[[], PortraitSource],
    engine: Engine,
    motion: Callable[[Progress], MotionSource],
    progress: Progress,
    clock: Clock,
) -> tuple[tuple[PortraitSource, tuple[Any, ...]], MotionSource]:
    """Load a portrait and prepare it for an engine, while the motion is loaded; an unusable portrait ends the tracking.

    Args:
        portraits: Loads the portrait.
        engine: What prepares it.
        motion: Loads the motion, and reports progress.
        progress: Called as `motion` reports.
        clock: Gets the stages "track" and "portrait": the time that is waited for each.

    Returns:
        The portrait with what the engine has prepared of each face, nothing for a video; and the motion.
    """
    with ThreadPoolExecutor(1, "gioconda-portrait") as pool:
        future = pool.submit(lambda: _prepared(portraits(), engine))

        def progress_unless_failed(stage: str, done: int, total: int) -> None:
            """Report progress, or raise the portrait's error."""
            if future.done():
                future.result()
            progress(stage, done, total)

        try:
            motion_source = motion(progress_unless_failed)
        except GiocondaError:
            # If both are unusable, the portrait's error comes first, as it does on the command line.
            future.result()
            raise
        since = clock.add("track", clock.start)
        loaded = future.result()
    clock.add("portrait", since)
    return loaded, motion_source


def _prepared(source: PortraitSource, engine: Engine) -> tuple[PortraitSource, tuple[Any, ...]]:
    """A source, and what the engine prepares of its portraits; of a video's, each frame prepares its own."""
    if source.video is not None:
        return source, ()
    return source, tuple(engine.prepare(portrait) for portrait in source.portraits)
