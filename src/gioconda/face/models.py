"""The tracker's four networks, each opened once per process."""

from __future__ import annotations

from functools import lru_cache
from threading import Lock
from typing import Any

from gioconda.assets import asset_path, name_and_digest
from gioconda.runtime.onnx import open_graph
from gioconda.types import FloatArray, Image

FULL_RANGE, SHORT_RANGE = "face_full_range.onnx", "face_short_range.onnx"
LANDMARKS, PERSON = "face_landmarks.onnx", "person_mask.onnx"


# The portrait's thread and the tracker's need the same networks at the start; without a lock, each would open them.
_opening = {name: Lock() for name in (FULL_RANGE, SHORT_RANGE, LANDMARKS, PERSON)}


def session(name: str) -> Any:
    """The onnxruntime session of a packaged network; several threads may run it at the same time.

    Each run uses one thread: a second one costs 20 to 40% more processor time and gains nothing on shared cores.
    """
    with _opening[name]:
        return _session(name)


@lru_cache(maxsize=4)
def _session(name: str) -> Any:
    """The session of a network, opened at the first call."""
    return open_graph(asset_path(name), threads=1)


def run(name: str, images: Image) -> tuple[FloatArray, ...]:
    """Run a packaged network on pictures (N, S, S, 3) uint8 RGB, and return all its outputs, float32."""
    return tuple(session(name).run(None, {"image": images}))


@lru_cache(maxsize=1)
def networks() -> tuple[tuple[str, str], ...]:
    """File name and SHA-256 of the networks that find faces, their landmarks and the person."""
    return tuple(name_and_digest(asset_path(name)) for name in (FULL_RANGE, SHORT_RANGE, LANDMARKS, PERSON))
