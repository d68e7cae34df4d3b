"""What turns a portrait and a motion into pictures: the protocol, and the engines by name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Protocol

from gioconda.errors import InputError
from gioconda.types import Patch, Portrait, Shot


class Engine(Protocol):
    """A way to render. Holds no person: `prepare` returns what it learns, so that jobs run side by side."""

    name: str

    def prepare(self, portrait: Portrait) -> Any:
        """Whatever rendering this person needs, made once."""
        ...

    def render(self, who: Any, shots: Iterable[Shot]) -> Iterator[Patch]:
        """One patch of the portrait's picture a shot, in order."""
        ...


ENGINES = ("warp", "fewshot")


def get_engine(name: str, *, refine: bool | Path = True, weights: Path | None = None) -> Engine:
    """The engine called `name`; InputError if there is none.

    refine: let the packaged network, or one in a file, repair mouth and eyes of `warp`. weights: other networks than
    the packaged for `fewshot`.
    """
    if weights is not None and name != "fewshot":
        raise InputError(f"the engine {name} takes no few-shot weights; choose the engine fewshot")
    if name == "warp":
        from gioconda.engines.warp.engine import WarpEngine
        from gioconda.engines.warp.refiner import load_network

        return WarpEngine(load_network(refine if isinstance(refine, Path) else None) if refine else None)
    if name == "fewshot":
        from gioconda.engines.fewshot.engine import FewshotEngine
        from gioconda.engines.fewshot.network import load_networks

        return FewshotEngine(load_networks(weights))
    raise InputError(f"unknown engine {name!r}; available: {', '.join(ENGINES)}")
