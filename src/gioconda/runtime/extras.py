"""The package's optional extras: what each brings, and the error where one is missing."""

from __future__ import annotations

from importlib.util import find_spec

from gioconda.errors import MissingFileError

LIBRARIES = {"train": ("torch", "lightning_fabric", "safetensors"), "client": ("httpx",)}
"""What only those have installed who train or fit networks to a person, or who use a server from Python."""


def require(extra: str, purpose: str) -> None:
    """Check that the libraries of an extra are installed.

    Args:
        extra: Name of the extra, a key of `LIBRARIES`.
        purpose: What needs it, the subject of the error's sentence: "training".

    Raises:
        MissingFileError: At least one of them is not.
    """
    missing = [name for name in LIBRARIES[extra] if find_spec(name) is None]
    if missing:
        raise MissingFileError(f"{purpose} needs {', '.join(missing)}: pip install 'gioconda[{extra}]'")
