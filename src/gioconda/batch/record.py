"""What was done: a line of JSON for each job, beside the table. A job is done if nothing that made it has changed."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import gioconda
from gioconda import face, media, provenance
from gioconda.batch.jobs import Job
from gioconda.engines.fewshot.network import EMBEDDER, GENERATOR
from gioconda.errors import GiocondaError, InputError
from gioconda.weights import ASSETS, asset_path, identified

SUFFIX = ".done.jsonl"


@dataclass(frozen=True)
class Entry:
    """A job that was done: its output relative to the table, its digest, SHA-256 of output and sidecar in hex."""

    out: str
    job: str
    sha256: str
    sidecar: str | None = None
    frames: int = 0


class Digests:
    """Content hashes of jobs: bytes of all that is read, options, version and networks. Files are read once."""

    def __init__(self) -> None:
        networks = [*(identified(asset_path(name)) for name in ASSETS), *face.networks()]
        self._made_by = [gioconda.__version__, networks]
        self._files: dict[Path, tuple[tuple[int, ...], str]] = {}

    def of(self, job: Job) -> str:
        """The digest of a job, 64 hex digits; InputError where a file can no longer be read."""
        files = {
            role: [[path.name, self._file(path)] for path in paths] for role, paths in job.order.files.items()
        }
        options = {name: self._value(value) for name, value in job.order.options.items()}
        told = [self._made_by, job.order.kind, files, options]
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()

    def still(self, job: Job) -> bool:
        """Whether the files of a job are as they were when they were hashed."""
        with contextlib.suppress(OSError):
            return all(_state(path) == self._files[path][0] for path in job.inputs)
        return False

    def _value(self, value: Any) -> Any:
        if not isinstance(value, Path):
            return value
        beside = (
            value.with_name(name) for name in (EMBEDDER, GENERATOR)
        )  # which few-shot weights are read with
        return [self._file(path) for path in (value, *(one for one in beside if one.is_file()))]

    def _file(self, path: Path) -> str:
        if path not in self._files:
            state = _state(media.check_input(path))
            self._files[path] = (state, media.sha256_file(path))
        return self._files[path][1]


def _state(path: Path) -> tuple[int, ...]:
    status = path.stat()
    return (status.st_size, status.st_mtime_ns, status.st_ino)


class Record:
    """The record of a table; opened for writing, it belongs to one run at a time."""

    def __init__(self, table: Path) -> None:
        self.path = table.with_name(table.name + SUFFIX)
        self._folder = table.parent
        self._file: IO[bytes] | None = None
        self._entries: dict[str, Entry] = {}

    def read(self) -> None:
        """Take in what is told; lines that are torn or strange count for nothing."""
        with contextlib.suppress(FileNotFoundError), self.path.open("rb") as file:
            for line in file:
                entry = _entry(line)
                if entry is not None:
                    self._entries[entry.out] = entry

    def __enter__(self) -> Record:
        """Open it for writing. OutputError where it cannot be, InputError where another run has it."""
        try:
            self._file = self.path.open("ab+")
            _lock(self._file, self.path)
            self._end_line()
        except OSError as error:
            self.__exit__(None, None, None)
            if isinstance(error, GiocondaError):
                raise
            raise media.output_error(error, self.path) from None
        except InputError:
            self.__exit__(None, None, None)
            raise
        self.read()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        file, self._file = self._file, None
        if file is not None:
            file.close()

    def _end_line(self) -> None:
        """End the last line where a run was killed within it."""
        assert self._file is not None
        if self._file.seek(0, os.SEEK_END) > 0:
            self._file.seek(-1, os.SEEK_END)
            if self._file.read(1) != b"\n":
                self._file.write(b"\n")

    def done(self, job: Job, digest: str) -> Entry | None:
        """The entry of a job whose output is what was made of the same; None if it has to be made."""
        entry = self._entries.get(self._name(job))
        if entry is None or entry.job != digest or not job.out.is_file():
            return None
        with contextlib.suppress(GiocondaError):
            if hashes(job.out) == (entry.sha256, entry.sidecar):
                return entry
        return None

    def add(self, job: Job, digest: str, made: tuple[str, str | None], frames: int) -> None:
        """Write down that a job is done; on the disk before this returns. OutputError."""
        assert self._file is not None
        entry = Entry(self._name(job), digest, *made, frames)
        try:
            self._file.write(json.dumps(asdict(entry)).encode() + b"\n")
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise media.output_error(error, self.path) from None
        self._entries[entry.out] = entry

    def _name(self, job: Job) -> str:
        try:
            return Path(os.path.relpath(job.out, self._folder)).as_posix()
        except ValueError:  # another drive
            return job.out.as_posix()


def hashes(out: Path) -> tuple[str, str | None]:
    """SHA-256 of an output, and of its sidecar where its kind of file has one."""
    beside = provenance.sidecar_path(out)
    has_one = out.suffix.lower() == ".webm" and beside.is_file()
    return media.sha256_file(out), media.sha256_file(beside) if has_one else None


def _entry(line: bytes) -> Entry | None:
    try:
        told: Mapping[str, Any] = json.loads(line)
        return Entry(**told)
    except (ValueError, TypeError, RecursionError):
        return None


def _lock(file: IO[bytes], path: Path) -> None:
    """InputError if another process writes; where the system knows no such locks, nothing is asked."""
    try:
        import fcntl
    except ImportError:
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise InputError(
            f"{path} is being written by another gioconda batch; wait for it, or stop it"
        ) from None
    except OSError:
        return
