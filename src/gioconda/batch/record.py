"""The record of a table: a line of JSON for each job that is done. A job stays done while its inputs do not change."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import gioconda
from gioconda import face, media, provenance
from gioconda.assets import ASSETS, asset_path, name_and_digest
from gioconda.batch.jobs import BatchJob, paths_in
from gioconda.engines.fewshot.network import EMBEDDER, GENERATOR
from gioconda.errors import GiocondaError, InputError
from gioconda.requests import options_of

SUFFIX = ".done.jsonl"


@dataclass(frozen=True)
class RecordEntry:
    """A job that is done.

    Attributes:
        out: The output's path, relative to the table's folder.
        job: The job's digest.
        sha256: SHA-256 of the output in hex.
        sidecar: SHA-256 of the sidecar in hex; None if there is none.
        frames: Frames that were made.
    """

    out: str
    job: str
    sha256: str
    sidecar: str | None = None
    frames: int = 0


class Digests:
    """Digests of jobs over inputs, options, the version and the networks. Each file is read once."""

    def __init__(self) -> None:
        networks = [*(name_and_digest(asset_path(name)) for name in ASSETS), *face.networks()]
        self._made_by = [gioconda.__version__, networks]
        self._files: dict[Path, tuple[tuple[int, ...], str]] = {}

    def of(self, job: BatchJob) -> str:
        """Return the digest of a job, 64 hex digits; InputError if a file can no longer be read."""
        request = job.request
        options = {option.name: self._value(getattr(request, option.name)) for option in options_of(request)}
        values = [self._made_by, request.kind, options]
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()

    def unchanged(self, job: BatchJob) -> bool:
        """Return whether the files of a job have not changed since they were hashed."""
        with contextlib.suppress(OSError):
            return all(_state(path) == self._files[path][0] for path in job.inputs)
        return False

    def _value(self, value: Any) -> Any:
        """An option's value for the digest; files count by their names and hashes."""
        paths = paths_in(value)
        return [entry for path in paths for entry in self._named(path)] if paths else value

    def _named(self, path: Path) -> Iterator[list[str]]:
        """Name and hash of a file, and of the few-shot networks that are read with it."""
        yield [path.name, self._file(path)]
        for name in (EMBEDDER, GENERATOR):
            beside = path.with_name(name)
            if path.suffix == ".safetensors" and beside.is_file():
                yield [name, self._file(beside)]

    def _file(self, path: Path) -> str:
        """SHA-256 of a file in hex."""
        if path not in self._files:
            state = _state(media.check_input(path))
            self._files[path] = (state, media.sha256_file(path))
        return self._files[path][1]


def _state(path: Path) -> tuple[int, ...]:
    """Size, time of change and inode of a file."""
    status = path.stat()
    return (status.st_size, status.st_mtime_ns, status.st_ino)


class Record:
    """The record of a table. As a context manager it is open for writing, which one run at a time may do."""

    def __init__(self, table: Path) -> None:
        self.path = table.with_name(table.name + SUFFIX)
        self._folder = table.parent
        self._file: IO[bytes] | None = None
        self._entries: dict[str, RecordEntry] = {}

    def read(self) -> None:
        """Read the entries; lines that are damaged or unknown are ignored."""
        with contextlib.suppress(FileNotFoundError), self.path.open("rb") as file:
            for line in file:
                entry = _entry(line)
                if entry is not None:
                    self._entries[entry.out] = entry

    def __enter__(self) -> Record:
        """Open the record for writing; OutputError if that fails, InputError if another run has it open."""
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
        """End the last line, in case a run was killed while it wrote."""
        assert self._file is not None
        if self._file.seek(0, os.SEEK_END) > 0:
            self._file.seek(-1, os.SEEK_END)
            if self._file.read(1) != b"\n":
                self._file.write(b"\n")

    def done(self, job: BatchJob, digest: str) -> RecordEntry | None:
        """Return the entry of a job that is done.

        Args:
            job: The job.
            digest: Its digest.

        Returns:
            The entry; None if the job is not done, has changed, or its output is missing or has changed.
        """
        entry = self._entries.get(self._name(job))
        if entry is None or entry.job != digest or not job.out.is_file():
            return None
        with contextlib.suppress(GiocondaError):
            if hashes(job.out) == (entry.sha256, entry.sidecar):
                return entry
        return None

    def add(self, job: BatchJob, digest: str, output_hashes: tuple[str, str | None], frames: int) -> None:
        """Record that a job is done; the entry is on the disk when this returns.

        Args:
            job: The job.
            digest: Its digest.
            output_hashes: SHA-256 of the output and of its sidecar, in hex.
            frames: Frames that were made.

        Raises:
            OutputError: The record cannot be written.
        """
        assert self._file is not None
        entry = RecordEntry(self._name(job), digest, *output_hashes, frames)
        try:
            self._file.write(json.dumps(asdict(entry)).encode() + b"\n")
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise media.output_error(error, self.path) from None
        self._entries[entry.out] = entry

    def _name(self, job: BatchJob) -> str:
        """The output's path, relative to the table's folder unless it is on another drive."""
        try:
            return Path(os.path.relpath(job.out, self._folder)).as_posix()
        except ValueError:
            return job.out.as_posix()


def hashes(out: Path) -> tuple[str, str | None]:
    """Return SHA-256 of an output and of its sidecar, in hex; None for a kind of file without a sidecar."""
    beside = provenance.sidecar_path(out)
    has_sidecar = out.suffix.lower() == ".webm" and beside.is_file()
    return media.sha256_file(out), media.sha256_file(beside) if has_sidecar else None


def _entry(line: bytes) -> RecordEntry | None:
    """The entry of a line; None for a damaged line."""
    try:
        values: Mapping[str, Any] = json.loads(line)
        return RecordEntry(**values)
    except (ValueError, TypeError, RecursionError):
        return None


def _lock(file: IO[bytes], path: Path) -> None:
    """Lock the record; InputError if another process has it. Systems without such locks do not check."""
    try:
        import fcntl
    except ImportError:
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise InputError(f"another gioconda batch is writing {path}; wait for it, or stop it") from None
    except OSError:
        return
