"""Checks the rows of a table and makes jobs of them; one error lists all problems of all rows."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gioconda import media
from gioconda.batch.columns import COLUMNS
from gioconda.batch.table import TableError, TableRow, read_rows
from gioconda.errors import GiocondaError, InputError
from gioconda.provenance.certificate import signing_identity
from gioconda.requests import KINDS, Animate, Request, options_of


@dataclass(frozen=True)
class BatchJob:
    """The job of one line of a table.

    Attributes:
        line: The line's number in the file, from 1.
        request: The request, with absolute paths.
        name: The output as the table names it.
    """

    line: int
    request: Request
    name: str

    @property
    def out(self) -> Path:
        """The output's absolute path."""
        assert self.request.out is not None
        return Path(self.request.out)

    @property
    def inputs(self) -> tuple[Path, ...]:
        """The files that the job reads."""
        values = (getattr(self.request, option.name) for option in options_of(self.request))
        return tuple(path for value in values for path in paths_in(value))


def paths_in(value: Any) -> tuple[Path, ...]:
    """Return the paths among an option's value or values."""
    values = value if isinstance(value, tuple) else (value,)
    return tuple(path for path in values if isinstance(path, Path))


@dataclass(frozen=True)
class _Draft:
    """A line whose output is known, so that it can be compared with other lines; request: None if it is not valid."""

    line: int
    out: Path
    name: str
    inputs: tuple[Path, ...]
    request: Request | None


def read_jobs(table: Path, rights: str | None = None) -> list[BatchJob]:
    """Read and check the jobs of a table.

    Args:
        table: The path of the table; relative paths in it start from its folder.
        rights: The right to the likeness for lines that declare none.

    Raises:
        TableError: Lines are not valid; it lists all problems.
        InputError: The file is not a table, or is empty.
        LimitError: The table is too large.
    """
    rows, problems = read_rows(table)
    reader = _Reader(folder_of(table), rights)
    drafts = []
    for row in rows:
        draft, wrong = reader.draft(row)
        problems += [f"line {row.line}: {sentence}" for sentence in wrong]
        if draft is not None:
            drafts.append(draft)
    problems += _clashes(drafts, table)
    if problems:
        sentences = [as_typed(sentence, table) for sentence in problems]
        raise TableError(
            table, sorted(sentences, key=lambda text: int(text.split(maxsplit=2)[1].rstrip(":")))
        )
    return [BatchJob(draft.line, draft.request, draft.name) for draft in drafts if draft.request is not None]


def folder_of(table: Path) -> Path:
    """Return the absolute folder from which a table's relative paths start; symbolic links stay."""
    return Path(os.path.abspath(table.parent))  # noqa: PTH100


def as_typed(sentence: str, table: Path) -> str:
    """Return a sentence with its paths as the table has them."""
    return sentence.replace(f"{folder_of(table)}{os.sep}", "")


@dataclass
class _Reader:
    """Reads rows; remembers which files, folders and keys it has checked, since lines share them."""

    folder: Path
    rights: str | None
    input_problems: dict[Path, str] = field(default_factory=dict)
    writable: set[Path] = field(default_factory=set)
    key_problems: dict[tuple[Path | None, Path | None], str] = field(default_factory=dict)

    def draft(self, row: TableRow) -> tuple[_Draft | None, list[str]]:
        """Return the draft of a row, None if its kind or output is missing, and the row's problems."""
        kind = row.cells.get("kind", Animate.kind)
        if kind not in KINDS:
            return None, [f"kind {kind!r} is not known; choose one of {', '.join(KINDS)}"]
        wrong: list[str] = []
        values = self._values(kind, row, wrong)
        wrong += self._key_problem(values)
        if "rights" not in values and _declares_rights(kind):
            wrong.append(
                "rights is missing; say what entitles you to this likeness, here or for all lines with --rights"
            )
        if "out" not in row.cells:
            return None, [*wrong, "out is missing; give the name of the output"]
        name = row.cells["out"]
        out = self._path(name)
        wrong += self._output_problem(out, kind)
        inputs = tuple(path for value in values.values() for path in paths_in(value))
        request = None if wrong else _build_request(kind, values, out, wrong)
        return _Draft(row.line, out, name, inputs, request), wrong

    def _values(self, kind: str, row: TableRow, wrong: list[str]) -> dict[str, Any]:
        """The options that a row sets, by their names in Python, with absolute paths; problems go to `wrong`."""
        values: dict[str, Any] = {}
        if self.rights is not None and _declares_rights(kind):
            values["rights"] = self.rights
        set_by: dict[str, str] = {}
        for name, cell in row.cells.items():
            if name in ("kind", "out"):
                continue
            column = COLUMNS[kind].get(name)
            if column is None:
                wrong.append(f"{name} does not apply to kind {kind}; remove it")
                continue
            option = column.option.name
            if option in set_by:
                wrong.append(f"give either {set_by[option]} or {name}, not both")
            set_by[option] = name
            try:
                values[option] = self._absolute(column.read(cell), wrong)
            except InputError as error:
                wrong.append(f"{name} {error}")
        for needed in options_of(KINDS[kind]):
            if needed.required and needed.name not in set_by:
                word = needed.media.word if needed.media else ""
                wrong.append(f"give either {needed.flag} or {word}" if word else f"{needed.flag} is missing")
        return values

    def _absolute(self, value: Any, wrong: list[str]) -> Any:
        """A value with absolute paths; problems of its files go to `wrong`."""
        paths = [self._path(path) for path in paths_in(value)]
        wrong += [sentence for path in paths for sentence in self._input_problem(path)]
        if isinstance(value, tuple):
            return tuple(paths)
        return paths[0] if paths else value

    def _path(self, cell: str | Path) -> Path:
        """The absolute path that a cell names."""
        return Path(os.path.normpath(self.folder / cell))

    def _input_problem(self, path: Path) -> Iterator[str]:
        """The problem of an input file, if it has one."""
        if path not in self.input_problems:
            try:
                media.check_input(path)
                self.input_problems[path] = ""
            except GiocondaError as error:
                self.input_problems[path] = str(error)
        if self.input_problems[path]:
            yield self.input_problems[path]

    def _output_problem(self, out: Path, kind: str) -> Iterator[str]:
        """The problem of an output, if it has one; each folder is tried once."""
        suffixes = media.VIDEO_SUFFIXES if KINDS[kind].result == "film" else media.PICTURE_SUFFIXES
        fits = out.suffix.lower() in suffixes and not out.is_dir()
        if fits and out.parent in self.writable:
            return
        try:
            media.check_output(out, suffixes)
            self.writable.add(out.parent)
        except GiocondaError as error:
            yield str(error)

    def _key_problem(self, options: dict[str, Any]) -> Iterator[str]:
        """The problem of key and certificate, if they have one; without any, the self-made ones are made here."""
        pair = (options.get("key"), options.get("certificate"))
        if pair not in self.key_problems:
            try:
                signing_identity(*pair)
                self.key_problems[pair] = ""
            except GiocondaError as error:
                self.key_problems[pair] = str(error)
        if self.key_problems[pair]:
            yield self.key_problems[pair]


def _declares_rights(kind: str) -> bool:
    """Whether a kind of job declares the right to a likeness; an export keeps what its film declares."""
    return "rights" in COLUMNS[kind]


def _build_request(kind: str, values: dict[str, Any], out: Path, wrong: list[str]) -> Request | None:
    """The request of a line; None, and its problem in `wrong`, if its options do not fit together."""
    try:
        return KINDS[kind](out=out, **values)
    except InputError as error:
        wrong.append(str(error))
        return None


def _clashes(jobs: list[_Draft], table: Path) -> Iterator[str]:
    """Problems of outputs that two lines make, or that would replace a file that a line reads."""
    places = [_place(job.out) for job in jobs]
    times = Counter(places)
    first: dict[str, int] = {}
    read: dict[str, int] = {}
    for path, line in {path: job.line for job in reversed(jobs) for path in job.inputs}.items():
        read.setdefault(_place(path), line)
    for job, place in zip(jobs, places, strict=True):
        if times[place] > 1 and place in first:
            yield f"line {job.line}: {job.name} is also the output of line {first[place]}; choose another name"
        first.setdefault(place, job.line)
        replaces_own = job.request is not None and job.request.overwrite and read.get(place) == job.line
        if place in read and not replaces_own:
            yield f"line {job.line}: the output {job.name} is an input of line {read[place]}; choose another name"
        if place == _place(table):
            yield f"line {job.line}: the output {job.name} is the table itself; choose another name"


def _place(path: Path) -> str:
    """The same text for every path of one file."""
    return os.path.normcase(os.path.realpath(path))
