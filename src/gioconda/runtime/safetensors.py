"""Read safetensors files from untrusted sources."""

from __future__ import annotations

import json
from typing import Any

import numpy.typing as npt

from gioconda.limits import LIMITS

Arrays = dict[str, npt.NDArray[Any]]
# The types that numpy has.
_DTYPES = {"F64", "F32", "F16", "I64", "I32", "I16", "I8", "U64", "U32", "U16", "U8", "BOOL"}
# Bytes of the header's length at the start of a file.
_LENGTH = 8
# Characters of an array's name that a message repeats.
_SHOWN = 40


def decode(content: bytes) -> tuple[Arrays, dict[str, str]]:
    """Decode a safetensors file.

    Args:
        content: Of the file.

    Returns:
        The arrays by name, and the metadata of the header.

    Raises:
        ValueError: The header is longer than `Limits.header_bytes`, contains a name twice or a type that numpy lacks;
            or arrays overlap, leave gaps or exceed the file.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    length = int.from_bytes(content[:_LENGTH], "little")
    if len(content) < _LENGTH or length > len(content) - _LENGTH:
        raise ValueError("it is cut short")
    if length > LIMITS.header_bytes:
        raise ValueError(f"its header has {length:,} bytes, the limit is {LIMITS.header_bytes:,}")
    try:
        header = json.loads(content[_LENGTH : _LENGTH + length], object_pairs_hook=_without_duplicates)
        metadata = _checked_metadata(header)
        return dict(load(content)), metadata
    except (SafetensorError, TypeError, KeyError, AttributeError, RecursionError, OverflowError) as error:
        raise ValueError(str(error) or type(error).__name__) from None


def decode_own(content: bytes, kind: str, version: str) -> tuple[Arrays, dict[str, Any]]:
    """Decode a safetensors file that Gioconda wrote.

    Args:
        content: Of the file.
        kind: That its metadata must name.
        version: That its metadata must name.

    Returns:
        The arrays by name, and the settings that its metadata holds as JSON under `about`.

    Raises:
        ValueError: As `decode`, and for a file of another kind or version, or with invalid settings.
        KeyError: It lacks settings.
    """
    arrays, metadata = decode(content)
    if metadata.get("kind") != kind:
        raise ValueError("it is another kind of file")
    if metadata.get("version") != version:
        raise ValueError(f"it has version {metadata.get('version')}, but this version reads {version}")
    about = json.loads(metadata["about"])
    if not isinstance(about, dict):
        raise ValueError("its settings are not a JSON object")
    return arrays, about


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object of these pairs; ValueError if a name comes twice."""
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise ValueError("its header contains a name twice")
    return fields


def _checked_metadata(header: Any) -> dict[str, str]:
    """The metadata of a header; ValueError if it is not text, or if arrays have a type that numpy lacks."""
    metadata = header.get("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise ValueError("its metadata is not text")
    for name, entry in header.items():
        if name != "__metadata__" and entry.get("dtype") not in _DTYPES:
            raise ValueError(f"its array {name[:_SHOWN]} has an unknown type {entry.get('dtype')}")
        if name != "__metadata__" and any(side < 0 for side in entry["shape"]):
            raise ValueError(f"its array {name[:_SHOWN]} has a negative side")
    return metadata
