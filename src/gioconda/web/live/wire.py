"""What server and session process say to each other over pipes, and what a picture must be to be passed on."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from typing import IO, Any

from gioconda.errors import InputError, LimitError

FRAME_BYTES = 512 * 2**10  # of one webcam picture
FRAME_SIDE = 640  # its longest side, pixels
_SIZES = struct.Struct(">II")
_FRAME_STARTS = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # markers of a JPEG that tell its size
_BARE = {0x01, *range(0xD0, 0xD8)}  # markers without a length

Message = tuple[dict[str, Any], bytes]


def write_message(stream: IO[bytes], header: dict[str, Any], payload: bytes = b"") -> None:
    """Send a header of JSON values and bytes beside it. Raises OSError, or ValueError of a closed stream."""
    head = json.dumps(header).encode()
    stream.write(_SIZES.pack(len(head), len(payload)) + head + payload)
    stream.flush()


def read_message(stream: IO[bytes]) -> Message | None:
    """The next message; None when the other end has closed."""
    sizes = stream.read(_SIZES.size)
    if len(sizes) < _SIZES.size:
        return None
    head, payload = _SIZES.unpack(sizes)
    body = stream.read(head + payload)
    if len(body) < head + payload:
        return None
    return json.loads(body[:head]), body[head:]


def messages(stream: IO[bytes]) -> Iterator[Message]:
    """All messages until the other end closes."""
    while (message := read_message(stream)) is not None:
        yield message


def check_jpeg(data: bytes) -> tuple[int, int]:
    """(width, height) of a webcam picture by its header, before anything decodes it.

    Raises InputError for what is no JPEG, LimitError for one with too many bytes or pixels.
    """
    if len(data) > FRAME_BYTES:
        raise LimitError(f"a picture of {len(data):,} bytes is too large; {FRAME_BYTES:,} are the most")
    width, height = _jpeg_size(data)
    if not min(width, height) >= 16 or max(width, height) > FRAME_SIDE:
        raise LimitError(f"a picture of {width}x{height} pixels is not taken; 16 to {FRAME_SIDE} a side are")
    return width, height


def _jpeg_size(data: bytes) -> tuple[int, int]:
    at = 2 if data[:3] == b"\xff\xd8\xff" else len(data)
    while at + 9 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker in _FRAME_STARTS:
            height, width = struct.unpack_from(">HH", data, at + 5)
            return width, height
        if marker == 0xFF or marker in _BARE:
            at += 1 if marker == 0xFF else 2
            continue
        at += 2 + max(2, struct.unpack_from(">H", data, at + 2)[0])
    raise InputError("this is no JPEG picture")
