"""Tables as spreadsheets save them: other separators, decimal commas, UTF-16."""

from __future__ import annotations

import codecs
import csv
from collections.abc import Iterator
from io import StringIO

SEPARATORS = (",", ";", "\t")
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


class Table(Iterator[list[str]]):
    """The rows of a table, cell by cell, whatever program saved it.

    `line` is the number of the last row's line in the file, from 1.
    """

    def __init__(self, data: bytes) -> None:
        """Read bytes. Raises UnicodeDecodeError for what is no text, csv.Error for broken quotes."""
        text = _decoded(data)
        self._skipped = 0
        if text[:4].lower() == "sep=":  # Excel's own hint
            text, self._skipped = text.partition("\n")[2], 1
        header = text.partition("\n")[0]
        self.separator = max(SEPARATORS, key=header.count)
        self._reader = csv.reader(StringIO(text, newline=""), delimiter=self.separator, strict=True)

    def __next__(self) -> list[str]:
        return next(self._reader)

    @property
    def line(self) -> int:
        """Number of the last row's line in the file."""
        return self._reader.line_num + self._skipped

    def number(self, cell: str) -> float:
        """The number in a cell; a comma may stand for the decimal point where it does not separate cells.

        Raises ValueError.
        """
        return float(cell if self.separator == "," else cell.replace(",", "."))


def _decoded(data: bytes) -> str:
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return data.decode(encoding)
    # every other byte of ASCII in UTF-16 is zero
    if len(data) >= 4 and data[1] == data[3] == 0:
        return data.decode("utf-16-le")
    return data.decode("utf-8")
