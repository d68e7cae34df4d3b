"""Whether the user looks for a bug."""

from __future__ import annotations

import os


def debugging() -> bool:
    """Whether GIOCONDA_DEBUG is set: then tracebacks are printed, and what libraries say is not hidden."""
    return os.environ.get("GIOCONDA_DEBUG", "0") not in ("", "0")
