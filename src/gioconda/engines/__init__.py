"""The protocol of an engine, which renders a portrait in target poses, and the function that opens one by name."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from typing import Any, Protocol

from gioconda.errors import InputError
from gioconda.registry import engine_entry, misfit
from gioconda.types import Patch, Portrait, TargetPose


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
        self, identity: Any, target_poses: Iterable[TargetPose], *, ahead: bool = False
    ) -> Generator[Patch, None, None]:
        """Render the portrait in each target pose.

        Args:
            identity: What `prepare` returned.
            target_poses: The moments to render.
            ahead: Whether the engine may draw target poses before the caller asks for their patches. This is faster
                where all poses are known; a live stream leaves it off.

        Yields:
            One patch of the portrait's picture for each target pose, in order.
        """
        ...


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
