"""Multipart bodies, parsed piece by piece: a JSON field `job`, and files that go straight to the job's folder."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from pydantic import ValidationError
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.concurrency import run_in_threadpool

from gioconda.errors import LimitError
from gioconda.requests import SOURCES
from gioconda.web.errors import MalformedError
from gioconda.web.files import HEAD, ROLES, own_name, too_large
from gioconda.web.requests import JOB, JobRequest
from gioconda.web.validation import FIELD, refusal

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

# Bytes that the field with the job's JSON may have.
FIELD_BYTES = 256 * 2**10
# Most files of one body; no kind of job takes more.
_FILES = SOURCES
# Most bytes of one header of a part, and most headers of a part.
_HEADER_BYTES = 8 * 2**10
_PART_HEADERS = 16


class Intake:
    """The parser of one body: `write` feeds it, `finish` returns the request.

    Attributes:
        counts: Files received so far, by role.
    """

    def __init__(
        self, folder: Path, boundary: bytes, most_bytes: int, check_space: Callable[[], None]
    ) -> None:
        """Prepare to parse a body.

        Args:
            folder: The folder for the files, which get names of the server.
            boundary: The boundary between the parts.
            most_bytes: What the body may have.
            check_space: Called before each file; raises once the disk is nearly full.

        Raises:
            MalformedError: The boundary is not valid.
        """
        self.counts: dict[str, int] = {}
        self._folder, self._most = folder, most_bytes
        self._room, self._check_space = most_bytes, check_space
        self._field: bytearray | None = None
        self._header = bytearray(), bytearray()
        self._headers: dict[bytes, bytes] = {}
        self._role = ""
        self._head = bytearray()
        self._file: BinaryIO | None = None
        self._hash = hashlib.sha256()
        self._digests: list[tuple[str, int, str]] = []
        self._ended = False
        callbacks: MultipartCallbacks = {
            "on_part_begin": self._on_part_begin,
            "on_header_field": lambda data, start, end: self._on_header(0, data[start:end]),
            "on_header_value": lambda data, start, end: self._on_header(1, data[start:end]),
            "on_header_end": self._on_header_end,
            "on_headers_finished": self._on_headers_finished,
            "on_part_data": lambda data, start, end: self._on_part_data(data[start:end]),
            "on_part_end": self._on_part_end,
            "on_end": self._on_end,
        }
        try:
            self._parser = MultipartParser(boundary, callbacks)
        except FormParserError:
            raise MalformedError("the boundary of the multipart body is not valid") from None

    def write(self, piece: bytes) -> None:
        """Parse the next bytes.

        Raises:
            MalformedError: The body is malformed.
            LimitError: The body, its field or its headers exceed a limit.
            UnfitFileError: A role does not accept a file's kind.
        """
        try:
            self._parser.write(piece)
        except FormParserError:
            raise MalformedError("the multipart body is malformed") from None

    def finish(self) -> JobRequest:
        """Return the request, once all bytes are parsed.

        Raises:
            MalformedError: The body is incomplete or has no field `job`.
            InputError: The request is not valid, or its files do not fit it.
        """
        if not self._ended:
            raise MalformedError("the multipart body is incomplete; send it again")
        if self._field is None:
            raise MalformedError(f"the body has no field {FIELD!r}; send the job in it as JSON")
        try:
            request = JOB.validate_json(bytes(self._field))
        except ValidationError as error:
            raise refusal(error) from None
        request.check_files(self.counts)
        return request

    def fingerprint(self, request: JobRequest, webhook: str | None) -> str:
        """Return the SHA-256 of the request that `finish` returned, its files and its webhook.

        The order of the request's fields does not count.
        """
        fields = request.model_dump(mode="json", exclude_unset=True)
        return hashlib.sha256(
            json.dumps([fields, sorted(self._digests), webhook], sort_keys=True).encode()
        ).hexdigest()

    def close(self) -> None:
        """Close a file that is half written."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _on_part_begin(self) -> None:
        """Forget the last part."""
        self._headers, self._role = {}, ""
        self._header = bytearray(), bytearray()
        self._head = bytearray()

    def _on_header(self, index: int, data: bytes) -> None:
        """Collect the name (index 0) or the value (1) of a header."""
        self._header[index].extend(data)
        size = len(self._header[0]) + len(self._header[1])
        if size > _HEADER_BYTES or len(self._headers) > _PART_HEADERS:
            raise LimitError(
                f"a part of the body exceeds the limit of {_PART_HEADERS} headers of {_HEADER_BYTES:,} bytes"
            )

    def _on_header_end(self) -> None:
        """Keep a complete header."""
        name, value = self._header
        self._headers[bytes(name).lower()] = bytes(value)
        self._header = bytearray(), bytearray()

    def _on_headers_finished(self) -> None:
        """Read the part's name; the name of the file is ignored."""
        _, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        name = options.get(b"name", b"").decode("utf-8", "replace")
        if name == FIELD:
            if self._field is not None:
                raise MalformedError(f"the body has the field {FIELD!r} twice; send it once")
            self._field = bytearray()
        elif name not in ROLES:
            raise MalformedError(
                f"the body has a part of an unknown name; the names are {FIELD}, {', '.join(ROLES)}"
            )
        elif sum(self.counts.values()) >= _FILES:
            raise LimitError(f"the body has more than {_FILES} files, the limit for one job; send fewer")
        self._role = name

    def _on_part_data(self, data: bytes) -> None:
        """Add bytes to the field or the file, and check the limits."""
        self._room -= len(data)
        if self._room < 0:
            raise LimitError(too_large(self._most))
        if self._role == FIELD:
            assert self._field is not None
            self._field.extend(data)
            if len(self._field) > FIELD_BYTES:
                raise LimitError(f"the field {FIELD!r} exceeds the limit of {FIELD_BYTES:,} bytes")
        elif self._file is not None:
            self._write(data)
        else:
            self._head.extend(data)
            if len(self._head) >= HEAD:
                self._open()

    def _open(self) -> None:
        """Open the file of a part, once its first bytes show what it is."""
        self._check_space()
        count = self.counts.get(self._role, 0)
        self._file = (self._folder / own_name(self._role, count, bytes(self._head))).open("xb")
        self.counts[self._role] = count + 1
        self._hash = hashlib.sha256()
        self._write(self._head)

    def _write(self, data: bytes | bytearray) -> None:
        """Add bytes to the open file and to its hash."""
        assert self._file is not None
        self._file.write(data)
        self._hash.update(data)

    def _on_part_end(self) -> None:
        """Close the file of a part."""
        if self._role == FIELD:
            return
        if self._file is None:
            self._open()
        self._digests.append((self._role, self.counts[self._role], self._hash.hexdigest()))
        self.close()

    def _on_end(self) -> None:
        """Note that the body is complete."""
        self._ended = True


def boundary_of(content_type: str) -> bytes | None:
    """Return the boundary of a multipart body; None for a body of another type."""
    kind, options = parse_options_header(content_type)
    return options.get(b"boundary") or None if kind == b"multipart/form-data" else None


async def receive(
    stream: AsyncIterator[bytes], intake: Intake, seconds: float, idle_seconds: float
) -> JobRequest:
    """Parse a whole body and write its files.

    Args:
        stream: The pieces of the body.
        intake: The parser.
        seconds: What the upload may take in all.
        idle_seconds: What the next piece may take.

    Raises:
        MalformedError: The body is malformed.
        LimitError: A limit is exceeded.
        InputError: The request is not valid, or its files do not fit it.
        asyncio.TimeoutError: The upload takes too long.
    """
    return await asyncio.wait_for(_receive(stream, intake, idle_seconds), seconds)


async def _receive(stream: AsyncIterator[bytes], intake: Intake, idle_seconds: float) -> JobRequest:
    """Parse a whole body, and close a half-written file whatever happens."""
    try:
        while True:
            try:
                piece = await asyncio.wait_for(anext(stream), idle_seconds)
            except StopAsyncIteration:
                return await run_in_threadpool(intake.finish)
            await run_in_threadpool(intake.write, piece)
    finally:
        intake.close()
