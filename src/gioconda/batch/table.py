"""Reads tables of jobs: .csv with a header, or .jsonl with one object per line."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import pairwise
from pathlib import Path
from typing import Any

from gioconda import media
from gioconda.batch.columns import NAMES
from gioconda.errors import InputError, LimitError
from gioconda.limits import LIMITS
from gioconda.requests.values import SEVERAL

SUFFIXES = (".csv", ".jsonl")


@dataclass(frozen=True)
class TableRow:
    """One line of a table.

    Attributes:
        line: The line's number in the file, from 1.
        cells: The cells that are not empty, by the name of their column.
    """

    line: int
    cells: Mapping[str, str]


class TableError(InputError):
    """A table is not valid.

    Attributes:
        problems: A sentence for each problem, beginning with its line.
    """

    def __init__(self, path: Path, problems: Sequence[str]) -> None:
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        super().__init__("\n".join([f"{path}: {count}, nothing was started", *problems]))
        self.problems = tuple(problems)


def read_rows(path: Path) -> tuple[list[TableRow], list[str]]:
    """Read the rows of a table.

    Args:
        path: The path of the table.

    Returns:
        The rows that are not empty, and a sentence for each line that cannot be parsed.

    Raises:
        MissingFileError: The file does not exist.
        InputError: The file is not a table, or has no jobs.
        LimitError: The file has too many bytes or jobs.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise InputError(f"{path} is not a table of jobs; give a file that ends in {' or '.join(SUFFIXES)}")
    size = media.check_input(path).stat().st_size
    if size > LIMITS.table_bytes:
        raise LimitError(f"{path} has {size:,} bytes, the limit is {LIMITS.table_bytes:,}; split it")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(
            f"{path} is not encoded in UTF-8; save it as such (in a spreadsheet: CSV UTF-8)"
        ) from None
    problems: list[str] = []
    parse = _objects if path.suffix.lower() == ".jsonl" else _records
    rows = []
    for row in parse(text, problems):
        if row.cells:
            rows.append(row)
        if len(rows) > LIMITS.table_lines:
            raise LimitError(f"{path} has more than {LIMITS.table_lines:,} jobs; split it")
    if not rows and not problems:
        raise InputError(f"{path} has no jobs; add a line for each")
    return rows, problems


def _records(text: str, problems: list[str]) -> Iterator[TableRow]:
    """The rows of a CSV; the header decides which separator it has."""
    lines = text.splitlines(keepends=True)
    head = lines[0] if lines else ""
    separator = max(",;\t", key=head.count)
    reader = csv.reader(lines, delimiter=separator, strict=True)
    try:
        names = [_name(cell) for cell in next(reader, [])]
        problems += _header_problems(names)
        known = [name if name in NAMES else "" for name in names]
        first = reader.line_num + 1
        for cells in reader:
            if len(cells) > len(names) and any(cell.strip() for cell in cells[len(names) :]):
                problems.append(f"line {first}: {len(cells)} cells, the header has {len(names)}")
            else:
                pairs = zip(known, (cell.strip() for cell in cells), strict=False)
                yield TableRow(first, {name: cell for name, cell in pairs if name and cell})
            first = reader.line_num + 1
    except csv.Error as error:
        problems.append(f"line {reader.line_num}: {error}; later lines were not read")


def _name(cell: str) -> str:
    """The name of a column as the command line has it."""
    return cell.strip().lower().removeprefix("--").replace("_", "-")


def _header_problems(names: Sequence[str]) -> list[str]:
    """Unknown, repeated and missing columns."""
    problems = [f"line 1: {_unknown(name)}" for name in names if name not in NAMES]
    twice = sorted({a for a, b in pairwise(sorted(names)) if a == b and a in NAMES})
    problems += [f"line 1: the header has the column {name} twice" for name in twice]
    if "out" not in names:
        problems.append("line 1: the column out is missing; add it to the header")
    return problems


def _unknown(name: str) -> str:
    """The problem of an unknown column."""
    near = get_close_matches(name, NAMES, n=1)
    hint = f"did you mean {near[0]}?" if near else f"the columns are {', '.join(NAMES)}"
    return f"unknown column {name!r}; {hint}"


def _objects(text: str, problems: list[str]) -> Iterator[TableRow]:
    """The rows of JSON Lines."""
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            values = json.loads(line)
        except (ValueError, RecursionError):
            values = None
        if not isinstance(values, dict):
            problems.append(f"line {number}: not a JSON object")
            continue
        cells: dict[str, str] = {}
        bad = []
        for key, value in values.items():
            name, cell = _name(key), _cell(value)
            if name not in NAMES:
                bad.append(_unknown(name))
            elif cell is None:
                bad.append(f"{name} must be a string, a number, true, false or a list of strings")
            elif cell:
                cells[name] = cell
        problems += [f"line {number}: {sentence}" for sentence in bad]
        yield TableRow(number, cells)


def _cell(value: Any) -> str | None:
    """The cell of a CSV for a JSON value; None for a value that has none."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (str, int, float)):
        return str(value).strip()
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return SEVERAL.join(value)
    return None
