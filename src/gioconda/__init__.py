"""Brings a portrait to life: portrait x motion -> engine -> video, signed.

    import gioconda
    result = gioconda.animate("portrait.jpg", "driver.mp4", "out.mp4")

Names are loaded at first use, so that `import gioconda` stays quick.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gioconda.errors import (
        GiocondaError,
        InputError,
        LimitError,
        MissingFileError,
        NoFaceError,
        OutputError,
        WeightsError,
    )
    from gioconda.pipeline import animate, edit, track, verify
    from gioconda.speaking import speak
    from gioconda.types import Frame, Motion, Portrait

__version__ = "0.1.0"

__all__ = [
    "Frame",
    "GiocondaError",
    "InputError",
    "LimitError",
    "MissingFileError",
    "Motion",
    "NoFaceError",
    "OutputError",
    "Portrait",
    "WeightsError",
    "__version__",
    "animate",
    "edit",
    "speak",
    "track",
    "verify",
]

_HOME = {
    **dict.fromkeys(("animate", "edit", "track", "verify"), "gioconda.pipeline"),
    "speak": "gioconda.speaking",
    **dict.fromkeys(("Frame", "Motion", "Portrait"), "gioconda.types"),
    **dict.fromkeys((name for name in __all__ if name.endswith("Error")), "gioconda.errors"),
}


def __getattr__(name: str) -> Any:
    """Load a public name from its module (PEP 562)."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Public names, loaded or not."""
    return sorted(__all__)
