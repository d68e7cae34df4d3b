"""The protocol of an engine, which renders a portrait in target poses, and the function that opens one by name."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from typing import Any, Protocol, TypeAlias

from gioconda.errors import InputError
from gioconda.registry import engine_entry, misfit
from gioconda.runtime.helpers import Helpers
from gioconda.types import Patch, Portrait, TargetPose

Ahead: TypeAlias = bool | Helpers
"""Whether an engine may draw target poses ahead, and perhaps the helpers that may draw them."""


class Engine(Protocol):
    """Renders portraits.

    An engine keeps nothing of a person: `prepare` returns it as a value, so that one engine can serve several jobs.

    Attributes:
        name: The name by which users choose the engine.
        networks: File name and SHA-256 of each network that the engine runs; the manifest lists them.
    """

    name: str
    networks: tuple[tuple[str, str], ...]

    def prepare(self, portrait: Portrait) -> Any:
        """Compute, once for each portrait, what `render` needs of the person: the identity."""
        ...

    def render(
        self, identity: Any, target_poses: Iterable[TargetPose], *, ahead: Ahead = False
    ) -> Generator[Patch, None, None]:
        """Render the portrait in each target pose.

        Args:
            identity: What `prepare` returned.
            target_poses: The moments to render.
            ahead: Whether the engine may draw target poses before the caller asks for their patches. This is faster
                where all poses are known; a live stream leaves it off. Helpers may draw for the engine.

        Yields:
            One patch of the portrait's picture for each target pose, in order.
        """
        ...


def helper_modules(engine: Engine, portraits: Sequence[Portrait]) -> tuple[str, ...]:
    """The modules that helpers need to draw portraits for an engine; none if it draws them in its own process.

    An engine says so by a method `helper_modules` of its own, which engines of other packages may lack.
    """
    modules = getattr(engine, "helper_modules", None)
    return () if modules is None else tuple(modules(portraits))


def get_engine(name: str, **options: Any) -> Engine:
    """Open the engine called `name`.

    Args:
        name: A registered engine.
        options: Options of the request. The engine receives those that it takes; None means that the user did not set
            the option.

    Raises:
        InputError: No engine has this name, the engine renders whole videos only, or an option is set that only other
            engines take.
        WeightsError: The engine's weights are damaged or do not fit.
    """
    for option, value in options.items():
        if value is not None and (reason := misfit(name, option)):
            raise InputError(f"{option} {reason}")
    entry = engine_entry(name)
    if not entry.opens:
        raise InputError(f"the engine {name} renders whole videos, not portraits; choose another engine")
    engine: Engine = entry.open(options)
    return engine
