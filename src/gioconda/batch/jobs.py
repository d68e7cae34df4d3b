"""Rows -> jobs whose every word was checked: all that is wrong is told before anything is made."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gioconda import media
from gioconda.batch.columns import FILES, KINDS, OPTIONS, SEVERAL
from gioconda.batch.table import Row, TableError, read_rows
from gioconda.errors import GiocondaError, InputError
from gioconda.motion.templates import TEMPLATES
from gioconda.orders import PHOTOS, ROLES, Order
from gioconda.provenance.certificate import signing_identity

SUFFIXES = {
    "animate": media.VIDEO_SUFFIXES,
    "speak": media.VIDEO_SUFFIXES,
    "edit": media.PICTURE_SUFFIXES,
}
_EITHER = {"animate": ("motion", "template"), "speak": ("audio", "text")}


@dataclass(frozen=True)
class Job:
    """One line of a table: its number, what is to be made, where; name: the output as people know it.

    Paths are absolute.
    """

    line: int
    order: Order
    out: Path
    name: str

    @property
    def inputs(self) -> tuple[Path, ...]:
        """All files that are read."""
        given = [path for paths in self.order.files.values() for path in paths]
        return (*given, *(value for value in self.order.options.values() if isinstance(value, Path)))


def read_jobs(table: Path, rights: str | None = None) -> list[Job]:
    """The jobs of a table; relative paths count from its folder. rights: of lines that tell none.

    Raises TableError with all problems of all lines, or what `table.read_rows` raises.
    """
    rows, problems = read_rows(table)
    reader = _Reader(folder_of(table), rights)
    jobs = []
    for row in rows:
        job, wrong = reader.job(row)
        problems += [f"line {row.line}: {sentence}" for sentence in wrong]
        if job is not None:
            jobs.append(job)
    problems += _clashes(jobs, table)
    if problems:
        told = [as_typed(sentence, table) for sentence in problems]
        raise TableError(table, sorted(told, key=lambda text: int(text.split(maxsplit=2)[1].rstrip(":"))))
    return jobs


def folder_of(table: Path) -> Path:
    """The folder from which a table's relative paths count, absolute, links as they are named."""
    return Path(os.path.abspath(table.parent))  # noqa: PTH100


def as_typed(sentence: str, table: Path) -> str:
    """A sentence with paths as the table has them."""
    return sentence.replace(f"{folder_of(table)}{os.sep}", "")


@dataclass
class _Reader:
    """Reads rows; remembers which files and folders it has looked at, since lines share them."""

    folder: Path
    rights: str | None
    looked: dict[Path, str] = field(default_factory=dict)
    writable: set[Path] = field(default_factory=set)
    identities: dict[tuple[Path | None, Path | None], str] = field(default_factory=dict)

    def job(self, row: Row) -> tuple[Job | None, list[str]]:
        """The job of a row and what is wrong with it; None where its output cannot be told."""
        kind = row.cells.get("kind", "animate")
        if kind not in KINDS:
            return None, [f"kind {kind!r} is not known; choose one of {', '.join(KINDS)}"]
        wrong: list[str] = []
        options = self._options(kind, row, wrong)
        files = self._files(kind, row, options, wrong)
        wrong += self._signing(options)
        if "rights" not in options:
            wrong.append(
                "rights is missing: say what entitles you to this likeness, here or for all with --rights"
            )
        if "out" not in row.cells:
            return None, [*wrong, "out is missing"]
        name = row.cells["out"]
        out = self._path(name)
        wrong += self._output(out, kind)
        return Job(row.line, Order(kind, files, options), out, name), wrong

    def _options(self, kind: str, row: Row, wrong: list[str]) -> dict[str, Any]:
        options: dict[str, Any] = {} if self.rights is None else {"rights": self.rights}
        for name, cell in row.cells.items():
            if name not in OPTIONS:
                continue
            column = next((one for one in OPTIONS[name] if kind in one.kinds), None)
            if column is None:
                wrong.append(f"{name} means nothing for {kind}; leave it empty")
                continue
            if column.option in options and name != "rights":
                wrong.append(f"{name} is told twice")
            try:
                value = column.read(cell)
            except InputError as error:
                wrong.append(f"{name} {error}")
                continue
            if column.file:
                value = self._path(cell)
                wrong += self._missing(value)
            options[column.option] = value
        return options

    def _files(
        self, kind: str, row: Row, options: dict[str, Any], wrong: list[str]
    ) -> dict[str, tuple[Path, ...]]:
        cells = {name: row.cells[name] for name in FILES if name in row.cells}
        motion = cells.get("motion")
        if motion in TEMPLATES and "template" not in cells and kind == "animate":
            cells["template"] = cells.pop("motion")
        if "portrait" not in cells:
            wrong.append("portrait is missing")
        if kind in _EITHER:
            first, second = _EITHER[kind]
            if (first in cells) == (second in cells or second in options):
                wrong.append(f"give either {first} or {second}")
        if "template" in cells and kind == "animate":
            options["template"] = cells.pop("template")
            if options["template"] not in TEMPLATES:
                wrong.append(f"no template {options['template']!r}; there are {', '.join(TEMPLATES)}")
        files = {}
        for role, cell in cells.items():
            if role not in ROLES[kind]:
                wrong.append(f"{role} means nothing for {kind}; leave it empty")
                continue
            parts = cell.split(SEVERAL) if role == "photo" else [cell]
            files[role] = tuple(self._path(part.strip()) for part in parts)
            wrong += [sentence for path in files[role] for sentence in self._missing(path)]
        if len(files.get("photo", ())) > PHOTOS:
            wrong.append(f"{len(files['photo'])} photos are too many; give {PHOTOS} at most")
        return files

    def _path(self, cell: str) -> Path:
        return Path(os.path.normpath(self.folder / cell))

    def _missing(self, path: Path) -> Iterator[str]:
        """What is wrong with an input file, if anything."""
        if path not in self.looked:
            try:
                media.check_input(path)
                self.looked[path] = ""
            except GiocondaError as error:
                self.looked[path] = str(error)
        if self.looked[path]:
            yield self.looked[path]

    def _output(self, out: Path, kind: str) -> Iterator[str]:
        """What is wrong with an output; a folder that takes one file takes others."""
        fits = out.suffix.lower() in SUFFIXES[kind] and not out.is_dir()
        if fits and out.parent in self.writable:
            return
        try:
            media.check_output(out, SUFFIXES[kind])
            self.writable.add(out.parent)
        except GiocondaError as error:
            yield str(error)

    def _signing(self, options: dict[str, Any]) -> Iterator[str]:
        """What is wrong with key and certificate; the self-made ones are made here, once, before many need them."""
        pair = (options.get("key"), options.get("certificate"))
        if pair not in self.identities:
            try:
                signing_identity(*pair)
                self.identities[pair] = ""
            except GiocondaError as error:
                self.identities[pair] = str(error)
        if self.identities[pair]:
            yield self.identities[pair]


def _clashes(jobs: list[Job], table: Path) -> Iterator[str]:
    """Outputs that are made twice, and those that would replace what is read."""
    places = [_place(job.out) for job in jobs]
    times = Counter(places)
    first: dict[str, int] = {}
    read: dict[str, int] = {}
    for path, line in {path: job.line for job in reversed(jobs) for path in job.inputs}.items():
        read.setdefault(_place(path), line)
    for job, place in zip(jobs, places, strict=True):
        if times[place] > 1 and place in first:
            yield f"line {job.line}: {job.name} is the output of line {first[place]} too"
        first.setdefault(place, job.line)
        if place in read:
            yield f"line {job.line}: the output {job.name} is an input of line {read[place]}"
        if place == _place(table):
            yield f"line {job.line}: the output {job.name} is the table itself"


def _place(path: Path) -> str:
    """One name for a file, however it is reached."""
    return os.path.normcase(os.path.realpath(path))
