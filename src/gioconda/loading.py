"""Load a portrait and a motion at the same time, and start the processes that help to render them."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Lock
from typing import Any

from gioconda.engines import Engine, helper_modules
from gioconda.errors import GiocondaError
from gioconda.inputs.sources import MotionSource, PortraitSource
from gioconda.render import Clock
from gioconda.runtime.helpers import Helpers, start_helpers
from gioconda.types import Progress

# Frames from which helpers save more time than their start takes.
HELPED_FRAMES = 150


@dataclass(frozen=True)
class Loaded:
    """A portrait and a motion.

    Attributes:
        portrait: The portrait.
        identities: What the engine has prepared of each of its faces; none for a video.
        motion: The motion.
        helpers: Processes that help to render, which have to be closed; None where they would not pay off.
    """

    portrait: PortraitSource
    identities: tuple[Any, ...]
    motion: MotionSource
    helpers: Helpers | None


def load_both(
    portraits: Callable[[], PortraitSource],
    engine: Engine,
    motion: Callable[[Progress], MotionSource],
    progress: Progress,
    clock: Clock,
) -> Loaded:
    """Load a portrait and prepare it for an engine, while the motion is loaded; an unusable portrait ends the tracking.

    Args:
        portraits: Loads the portrait.
        engine: What prepares it.
        motion: Loads the motion, and reports progress.
        progress: Called as `motion` reports.
        clock: Gets the stages "track" and "portrait": the time that is waited for each.
    """
    with _Hiring(engine) as hiring, ThreadPoolExecutor(1, "gioconda-portrait") as pool:
        future = pool.submit(lambda: _prepared(portraits(), engine, hiring))

        def progress_unless_failed(stage: str, done: int, total: int) -> None:
            """Report progress, or raise the portrait's error."""
            if future.done():
                future.result()
            if stage == "track":
                hiring.hear(frames=total)
            progress(stage, done, total)

        try:
            motion_source = motion(progress_unless_failed)
        except GiocondaError:
            # If both are unusable, the portrait's error comes first, as it does on the command line.
            future.result()
            raise
        hiring.hear(frames=len(motion_source.motion))
        since = clock.add("track", clock.start)
        portrait, identities = future.result()
    clock.add("portrait", since)
    return Loaded(portrait, identities, motion_source, hiring.helpers)


class _Hiring:
    """Starts helpers as soon as it is known that they pay off, and sends them away if the loading fails.

    Attributes:
        helpers: They, or None.
    """

    def __init__(self, engine: Engine) -> None:
        self.helpers: Helpers | None = None
        self._engine, self._lock = engine, Lock()
        self._frames = 0
        self._portrait: PortraitSource | None = None
        self._decided = False

    def __enter__(self) -> _Hiring:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None and self.helpers is not None:
            self.helpers.close()

    def hear(self, frames: int = 0, portrait: PortraitSource | None = None) -> None:
        """Hear how many frames there will be, or which portrait; two threads may tell at once."""
        with self._lock:
            self._frames = max(frames, self._frames)
            self._portrait = portrait or self._portrait
            if self._decided or self._frames < HELPED_FRAMES or self._portrait is None:
                return
            self._decided = True
            self.helpers = self._hired(self._portrait)

    def _hired(self, portrait: PortraitSource) -> Helpers | None:
        """Helpers for a portrait; a video's frames are portraits of their own, and take none."""
        modules = () if portrait.video else helper_modules(self._engine, portrait.portraits)
        return start_helpers(modules) if modules else None


def _prepared(
    source: PortraitSource, engine: Engine, hiring: _Hiring
) -> tuple[PortraitSource, tuple[Any, ...]]:
    """A source, and what the engine prepares of its portraits; of a video's, each frame prepares its own."""
    hiring.hear(portrait=source)
    if source.video is not None:
        return source, ()
    return source, tuple(engine.prepare(portrait) for portrait in source.portraits)
