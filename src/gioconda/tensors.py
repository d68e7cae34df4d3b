"""Arrays by name out of safetensors files, which anybody may have written."""

from __future__ import annotations

import json
from typing import Any

import numpy.typing as npt

from gioconda.limits import LIMITS

Arrays = dict[str, npt.NDArray[Any]]
_DTYPES = {"F64", "F32", "F16", "I64", "I32", "I16", "I8", "U64", "U32", "U16", "U8", "BOOL"}


def decode(content: bytes) -> tuple[Arrays, dict[str, str]]:
    """The arrays of a safetensors file's bytes, and the settings in its header.

    ValueError where the header is longer than `Limits.header_bytes`, names something twice, or holds types that numpy
    has not; and where arrays overlap, leave holes or lie outside.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    length = int.from_bytes(content[:8], "little")
    if len(content) < 8 or length > len(content) - 8:
        raise ValueError("cut short")
    if length > LIMITS.header_bytes:
        raise ValueError(f"a header of {length:,} bytes")
    try:
        header = json.loads(content[8 : 8 + length], object_pairs_hook=_once)
        told = _settings(header)
        return dict(load(content)), told
    except (SafetensorError, TypeError, KeyError, AttributeError, RecursionError, OverflowError) as error:
        raise ValueError(str(error) or type(error).__name__) from None


def decode_own(content: bytes, kind: str, version: str) -> tuple[Arrays, dict[str, Any]]:
    """As `decode`, of a file that Gioconda wrote: its arrays, and the settings that it keeps as JSON under `about`.

    ValueError also for files of another kind or version, KeyError for one without settings.
    """
    arrays, told = decode(content)
    if told.get("kind") != kind:
        raise ValueError("another kind of file")
    if told.get("version") != version:
        raise ValueError(f"version {told.get('version')}, not {version}")
    about = json.loads(told["about"])
    if not isinstance(about, dict):
        raise ValueError("no settings")
    return arrays, about


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON none of whose names comes twice."""
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("a name is there twice")
    return made


def _settings(header: Any) -> dict[str, str]:
    """What a header tells besides its arrays; ValueError for arrays of a type that numpy has not."""
    told = header.get("__metadata__", {})
    if not isinstance(told, dict) or not all(isinstance(value, str) for value in told.values()):
        raise ValueError("settings that are no text")
    for name, entry in header.items():
        if name != "__metadata__" and entry.get("dtype") not in _DTYPES:
            raise ValueError(f"{name[:40]} is of type {entry.get('dtype')}")
        if name != "__metadata__" and any(side < 0 for side in entry["shape"]):
            raise ValueError(f"{name[:40]} has a negative side")
    return told
