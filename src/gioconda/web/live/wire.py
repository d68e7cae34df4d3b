"""Messages between the server and a session's process, and the check of webcam pictures."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from typing import IO, Any

from gioconda.errors import InputError, LimitError

# Most bytes of a webcam picture, and its shortest and longest side in pixels.
FRAME_BYTES = 512 * 2**10
FRAME_SIDE = 640
_LEAST_SIDE = 16
# The lengths of a message's header and payload in bytes.
_SIZES = struct.Struct(">II")
# Markers of a JPEG that are followed by its size.
_FRAME_STARTS = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
# Markers without a length.
_BARE = {0x01, *range(0xD0, 0xD8)}

Message = tuple[dict[str, Any], bytes]


def write_message(stream: IO[bytes], header: dict[str, Any], payload: bytes = b"") -> None:
    """Send a header of JSON values and a payload; OSError if that fails, ValueError if the stream is closed."""
    head = json.dumps(header).encode()
    stream.write(_SIZES.pack(len(head), len(payload)) + head + payload)
    stream.flush()


def read_message(stream: IO[bytes]) -> Message | None:
    """Read the next message; None once the other end has closed."""
    sizes = stream.read(_SIZES.size)
    if len(sizes) < _SIZES.size:
        return None
    head, payload = _SIZES.unpack(sizes)
    body = stream.read(head + payload)
    if len(body) < head + payload:
        return None
    return json.loads(body[:head]), body[head:]


def messages(stream: IO[bytes]) -> Iterator[Message]:
    """Yield messages until the other end closes."""
    while (message := read_message(stream)) is not None:
        yield message


def check_jpeg(data: bytes) -> tuple[int, int]:
    """Check a webcam picture by its header, before anything decodes it.

    Returns:
        Its width and height in pixels.

    Raises:
        InputError: The data is not a JPEG.
        LimitError: It has too many bytes, or too few or too many pixels.
    """
    if len(data) > FRAME_BYTES:
        raise LimitError(
            f"the picture has {len(data):,} bytes, the limit is {FRAME_BYTES:,}; send a smaller one"
        )
    width, height = _jpeg_size(data)
    if not min(width, height) >= _LEAST_SIDE or max(width, height) > FRAME_SIDE:
        raise LimitError(
            f"the picture has {width}x{height} pixels; each side must have {_LEAST_SIDE} to {FRAME_SIDE}"
        )
    return width, height


def _jpeg_size(data: bytes) -> tuple[int, int]:
    """Width and height in pixels; InputError for data that is not a JPEG."""
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
    raise InputError("the body is not a JPEG picture")
