"""What turns a portrait and a motion into pictures: the protocol, and the engines by name."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from pathlib import Path
from typing import Any, Protocol

from gioconda.errors import InputError
from gioconda.types import Patch, Portrait, Shot
from gioconda.weights import asset_path, identified


class Engine(Protocol):
    """A way to render. Holds no person: `prepare` returns what it learns, so that jobs run side by side."""

    name: str
    networks: tuple[tuple[str, str], ...]  # file name and SHA-256 of each that it runs

    def prepare(self, portrait: Portrait) -> Any:
        """Whatever rendering this person needs, made once."""
        ...

    def render(self, who: Any, shots: Iterable[Shot], *, ahead: bool = False) -> Generator[Patch, None, None]:
        """One patch of the portrait's picture a shot, in order.

        ahead: shots may be taken before their patches are asked for, where that is quicker.
        """
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
        from gioconda.engines.warp.refiner import NETWORK, load_network

        if not refine:
            return WarpEngine()
        own = refine if isinstance(refine, Path) else None
        return WarpEngine(load_network(own), (identified(own or asset_path(NETWORK)),))
    if name == "fewshot":
        from gioconda.engines.fewshot.engine import FewshotEngine
        from gioconda.engines.fewshot.network import EMBEDDER, GENERATOR, WEIGHTS, load_networks

        networks = load_networks(weights)
        tensors = weights or asset_path(WEIGHTS)
        files = (tensors, *(tensors.with_name(name) for name in (EMBEDDER, GENERATOR)))
        return FewshotEngine(networks, tuple(map(identified, files)))
    raise InputError(f"unknown engine {name!r}; available: {', '.join(ENGINES)}")
