"""Multipart requests, taken in piece by piece: a JSON field `job`, and files that go straight to the job's folder."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from pydantic import ValidationError
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.concurrency import run_in_threadpool

from gioconda.errors import InputError, LimitError
from gioconda.web.files import HEAD, ROLES, own_name, too_large
from gioconda.web.refusals import MalformedError
from gioconda.web.requests import JOB, SOURCES, JobRequest

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

FIELD = "job"
FIELD_BYTES = 256 * 2**10
_FILES = SOURCES  # more than any kind of job takes
_HEADER_BYTES = 8 * 2**10  # of one part


class Intake:
    """One request that comes in, fed with `write`; its files lie in `folder` under our own names."""

    def __init__(
        self, folder: Path, boundary: bytes, most_bytes: int, check_space: Callable[[], None]
    ) -> None:
        """Raises MalformedError for a boundary that cannot be one. check_space: raises once the disk is full."""
        self.counts: dict[str, int] = {}
        self._folder, self._most = folder, most_bytes
        self._room, self._check_space = most_bytes, check_space
        self._field: bytearray | None = None
        self._header = bytearray(), bytearray()
        self._headers: dict[bytes, bytes] = {}
        self._role = ""
        self._head = bytearray()
        self._file: BinaryIO | None = None
        self._ended = False
        callbacks: MultipartCallbacks = {
            "on_part_begin": self._begin,
            "on_header_field": lambda data, start, end: self._heard(0, data[start:end]),
            "on_header_value": lambda data, start, end: self._heard(1, data[start:end]),
            "on_header_end": self._header_end,
            "on_headers_finished": self._headers_end,
            "on_part_data": lambda data, start, end: self._data(data[start:end]),
            "on_part_end": self._end,
            "on_end": self._all,
        }
        try:
            self._parser = MultipartParser(boundary, callbacks)
        except FormParserError:
            raise MalformedError("the boundary of the multipart body cannot be used") from None

    def write(self, piece: bytes) -> None:
        """The next bytes. Raises MalformedError, LimitError, or InputError for a file that is not what it should be."""
        try:
            self._parser.write(piece)
        except FormParserError:
            raise MalformedError("the multipart body is damaged") from None

    def finish(self) -> JobRequest:
        """The request in the field `job`, once all bytes are there; MalformedError or InputError."""
        if not self._ended:
            raise MalformedError("the multipart body is cut short")
        if self._field is None:
            raise MalformedError(f"the JSON field {FIELD!r} is missing")
        try:
            request = JOB.validate_json(bytes(self._field))
        except ValidationError as error:
            raise InputError(told_invalid(error)) from None
        request.check_files(self.counts)
        return request

    def close(self) -> None:
        """Let go of a file that is half written."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _begin(self) -> None:
        self._headers, self._role = {}, ""
        self._header = bytearray(), bytearray()
        self._head = bytearray()

    def _heard(self, which: int, data: bytes) -> None:
        self._header[which].extend(data)
        if len(self._header[0]) + len(self._header[1]) > _HEADER_BYTES or len(self._headers) > 16:
            raise LimitError("the headers of a part of the body are too long")

    def _header_end(self) -> None:
        name, value = self._header
        self._headers[bytes(name).lower()] = bytes(value)
        self._header = bytearray(), bytearray()

    def _headers_end(self) -> None:
        """A part begins: only its name counts; what the sender calls the file is not kept."""
        _, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        name = options.get(b"name", b"").decode("utf-8", "replace")
        if name == FIELD:
            if self._field is not None:
                raise MalformedError(f"the field {FIELD!r} comes twice")
            self._field = bytearray()
        elif name not in ROLES:
            raise MalformedError(f"no part of this name is known; the names are {FIELD}, {', '.join(ROLES)}")
        elif sum(self.counts.values()) >= _FILES:
            raise LimitError("these are too many files for one job")
        self._role = name

    def _data(self, data: bytes) -> None:
        self._room -= len(data)
        if self._room < 0:
            raise LimitError(too_large(self._most))
        if self._role == FIELD:
            assert self._field is not None
            self._field.extend(data)
            if len(self._field) > FIELD_BYTES:
                raise LimitError(f"the field {FIELD!r} is longer than {FIELD_BYTES:,} bytes")
        elif self._file is not None:
            self._file.write(data)
        else:
            self._head.extend(data)
            if len(self._head) >= HEAD:
                self._open()

    def _open(self) -> None:
        """The file, once its first bytes tell what it is."""
        self._check_space()
        count = self.counts.get(self._role, 0)
        self._file = (self._folder / own_name(self._role, count, bytes(self._head))).open("xb")
        self.counts[self._role] = count + 1
        self._file.write(self._head)

    def _end(self) -> None:
        if self._role != FIELD and self._file is None:
            self._open()
        self.close()

    def _all(self) -> None:
        self._ended = True


def boundary_of(content_type: str) -> bytes | None:
    """What parts a multipart body; None for a body of another kind."""
    kind, options = parse_options_header(content_type)
    return options.get(b"boundary") or None if kind == b"multipart/form-data" else None


async def receive(
    stream: AsyncIterator[bytes], intake: Intake, seconds: float, idle_seconds: float
) -> JobRequest:
    """A whole request; its files are written then.

    Raises MalformedError, LimitError, InputError, or asyncio.TimeoutError when it takes longer than `seconds` or no
    byte comes for `idle_seconds`.
    """
    return await asyncio.wait_for(_receive(stream, intake, idle_seconds), seconds)


async def _receive(stream: AsyncIterator[bytes], intake: Intake, idle_seconds: float) -> JobRequest:
    try:
        while True:
            try:
                piece = await asyncio.wait_for(anext(stream), idle_seconds)
            except StopAsyncIteration:
                return await run_in_threadpool(intake.finish)
            await run_in_threadpool(intake.write, piece)
    finally:
        intake.close()


def told_invalid(error: ValidationError) -> str:
    """What is wrong with a request, where and why, without the values that were sent."""
    found = error.errors(include_url=False, include_context=False, include_input=False)
    return "; ".join(f"{'.'.join(map(str, (FIELD, *one['loc'])))}: {one['msg']}" for one in found[:4])[:600]
