"""Animate a portrait: portrait x motion -> engine -> signed video.

    import gioconda
    result = gioconda.animate("portrait.jpg", "driver.mp4", "out.mp4")

Public names are imported at first use, so that `import gioconda` stays fast.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gioconda.client import AsyncClient, AsyncJob, Client, Job, JobState
    from gioconda.client.errors import JobError, ServerError
    from gioconda.errors import (
        GiocondaError,
        InputError,
        LimitError,
        MissingFileError,
        NoFaceError,
        OutputError,
        WeightsError,
    )
    from gioconda.pipeline import (
        Result,
        adapt,
        animate,
        edit,
        export,
        frames,
        frames_of,
        run,
        speak,
        track,
        verify,
    )
    from gioconda.provenance import Verdict
    from gioconda.requests import Adapt, Adapted, Animate, Edit, Export, Speak, Verify
    from gioconda.runtime.onnx import use_device
    from gioconda.types import Frame, Motion, Portrait

__version__ = "0.1.0"

__all__ = [
    "Adapt",
    "Adapted",
    "Animate",
    "AsyncClient",
    "AsyncJob",
    "Client",
    "Edit",
    "Export",
    "Frame",
    "GiocondaError",
    "InputError",
    "Job",
    "JobError",
    "JobState",
    "LimitError",
    "MissingFileError",
    "Motion",
    "NoFaceError",
    "OutputError",
    "Portrait",
    "Result",
    "ServerError",
    "Speak",
    "Verdict",
    "Verify",
    "WeightsError",
    "__version__",
    "adapt",
    "animate",
    "edit",
    "export",
    "frames",
    "frames_of",
    "run",
    "speak",
    "track",
    "use_device",
    "verify",
]

_FUNCTIONS = ("adapt", "animate", "edit", "export", "frames", "frames_of", "run", "speak", "track", "verify")
_HOME = {
    **dict.fromkeys((name for name in __all__ if name.endswith("Error")), "gioconda.errors"),
    **dict.fromkeys(("AsyncClient", "AsyncJob", "Client", "Job", "JobState"), "gioconda.client"),
    **dict.fromkeys(("JobError", "ServerError"), "gioconda.client.errors"),
    **dict.fromkeys(("Result", *_FUNCTIONS), "gioconda.pipeline"),
    **dict.fromkeys(
        ("Adapt", "Adapted", "Animate", "Edit", "Export", "Speak", "Verify"), "gioconda.requests"
    ),
    "Verdict": "gioconda.provenance",
    "use_device": "gioconda.runtime.onnx",
    **dict.fromkeys(("Frame", "Motion", "Portrait"), "gioconda.types"),
}


def __getattr__(name: str) -> Any:
    """Import a public name from its module at first use (PEP 562)."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Public names, whether imported yet or not."""
    return sorted(__all__)
