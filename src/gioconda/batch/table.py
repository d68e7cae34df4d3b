"""A table of jobs, .csv with a header or .jsonl with an object a line: rows as they stand there."""

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
from gioconda.batch.columns import NAMES, SEVERAL
from gioconda.errors import InputError, LimitError
from gioconda.limits import LIMITS

SUFFIXES = (".csv", ".jsonl")


@dataclass(frozen=True)
class Row:
    """One line: its number in the file, the cells that are not empty by the name of their column."""

    line: int
    cells: Mapping[str, str]


class TableError(InputError):
    """All that is wrong with a table: sentences that begin with their line."""

    def __init__(self, path: Path, problems: Sequence[str]) -> None:
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        super().__init__("\n".join([f"{path}: {count}, nothing was started", *problems]))
        self.problems = tuple(problems)


def read_rows(path: Path) -> tuple[list[Row], list[str]]:
    """The rows of a table that are not empty, and a sentence for each line that cannot be taken apart.

    Raises InputError or MissingFileError for a file that is no table, LimitError for one that is too large.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise InputError(f"{path} is no table of jobs; its name ends in {' or '.join(SUFFIXES)}")
    size = media.check_input(path).stat().st_size
    if size > LIMITS.table_bytes:
        raise LimitError(f"{path} has {size:,} bytes, the limit is {LIMITS.table_bytes:,}; split it")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(f"{path} is not in UTF-8; save it so (in a spreadsheet: CSV UTF-8)") from None
    problems: list[str] = []
    found = _objects if path.suffix.lower() == ".jsonl" else _records
    rows = []
    for row in found(path, text, problems):
        if row.cells:
            rows.append(row)
        if len(rows) > LIMITS.table_lines:
            raise LimitError(f"{path} has more than {LIMITS.table_lines:,} jobs; split it")
    if not rows and not problems:
        raise InputError(f"{path} holds no job")
    return rows, problems


def _records(path: Path, text: str, problems: list[str]) -> Iterator[Row]:
    """The rows of a CSV; the separator is the one that the header has."""
    lines = text.splitlines(keepends=True)
    head = lines[0] if lines else ""
    separator = max(",;\t", key=head.count)
    reader = csv.reader(lines, delimiter=separator, strict=True)
    try:
        names = [_name(cell) for cell in next(reader, [])]
        problems += _of_header(names)
        known = [name if name in NAMES else "" for name in names]
        first = reader.line_num + 1
        for cells in reader:
            if len(cells) > len(names) and any(cell.strip() for cell in cells[len(names) :]):
                problems.append(f"line {first}: {len(cells)} cells, the header has {len(names)}")
            else:
                pairs = zip(known, (cell.strip() for cell in cells), strict=False)
                yield Row(first, {name: cell for name, cell in pairs if name and cell})
            first = reader.line_num + 1
    except csv.Error as error:
        problems.append(f"line {reader.line_num}: {error}; nothing behind it was read")


def _name(cell: str) -> str:
    return cell.strip().lower().removeprefix("--").replace("_", "-")


def _of_header(names: Sequence[str]) -> list[str]:
    problems = [f"line 1: {_unknown(name)}" for name in names if name not in NAMES]
    twice = sorted({a for a, b in pairwise(sorted(names)) if a == b and a in NAMES})
    problems += [f"line 1: the column {name} is there twice" for name in twice]
    if "out" not in names:
        problems.append("line 1: the column out is missing; a table needs a header")
    return problems


def _unknown(name: str) -> str:
    near = get_close_matches(name, NAMES, n=1)
    hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(NAMES)}"
    return f"unknown column {name!r}; {hint}"


def _objects(path: Path, text: str, problems: list[str]) -> Iterator[Row]:
    """The rows of JSON Lines."""
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            told = json.loads(line)
        except (ValueError, RecursionError):
            told = None
        if not isinstance(told, dict):
            problems.append(f"line {number}: no JSON object")
            continue
        cells: dict[str, str] = {}
        bad = []
        for key, value in told.items():
            name, cell = _name(key), _cell(value)
            if name not in NAMES:
                bad.append(_unknown(name))
            elif cell is None:
                bad.append(f"{name} is neither text, number, yes or no, nor a list of texts")
            elif cell:
                cells[name] = cell
        problems += [f"line {number}: {sentence}" for sentence in bad]
        yield Row(number, cells)


def _cell(value: Any) -> str | None:
    """What would stand in a CSV; None for what cannot."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (str, int, float)):
        return str(value).strip()
    if isinstance(value, list) and all(isinstance(one, str) for one in value):
        return SEVERAL.join(value)
    return None
