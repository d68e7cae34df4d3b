"""The manifest of a file whose container cannot hold it: a file of its own in the same folder."""

from __future__ import annotations

import hashlib
from itertools import chain, islice
from pathlib import Path
from typing import BinaryIO

# The head of Matroska and WebM, and the bytes within which WebM says its name.
_EBML = b"\x1aE\xdf\xa3"
_HEAD_BYTES = 64
# Most bytes of a sidecar, and most sidecars of a folder among which that of a renamed film is looked for.
_SIDECAR_BYTES = 16 << 20
_MOST_SIDECARS = 500
# Bytes of a film that are hashed at a time.
_PIECE_BYTES = 1 << 20


def sidecar_path(target: Path) -> Path:
    """Return the path of the manifest of a file whose container cannot hold it: the same name, ending in .c2pa."""
    return target.with_suffix(".c2pa")


def find_sidecar(path: Path, stream: BinaryIO) -> bytes | None:
    """Return the bytes of a file's sidecar, or None if there is none.

    People rename a film and leave its sidecar behind, so that of a WebM may have any name: it holds the film's hash.

    Args:
        path: The file.
        stream: The same file, open; afterwards it is at its start.
    """
    named = _read(sidecar_path(path))
    if not _is_webm(stream):
        return named
    digest = _sha256(stream)
    others = islice(sorted(path.parent.glob("*.c2pa")), _MOST_SIDECARS)
    manifests = chain([named], map(_read, others))
    return next((manifest for manifest in manifests if manifest and digest in manifest), named)


def lacks_sidecar(path: Path) -> bool:
    """Whether a file is a WebM, whose manifest is a file of its own, and that file is not in its folder."""
    with path.open("rb") as stream:
        return _is_webm(stream) and find_sidecar(path, stream) is None


def _is_webm(stream: BinaryIO) -> bool:
    """Whether an open file is a WebM; afterwards it is at its start."""
    stream.seek(0)
    head = stream.read(_HEAD_BYTES)
    stream.seek(0)
    return head.startswith(_EBML) and b"webm" in head


def _read(path: Path) -> bytes | None:
    """The bytes of a sidecar; None if it is no file, cannot be read or is too large."""
    try:
        return path.read_bytes() if path.is_file() and path.stat().st_size <= _SIDECAR_BYTES else None
    except OSError:
        return None


def _sha256(stream: BinaryIO) -> bytes:
    """The SHA-256 of an open file; afterwards it is at its start."""
    digest = hashlib.sha256()
    while chunk := stream.read(_PIECE_BYTES):
        digest.update(chunk)
    stream.seek(0)
    return digest.digest()
