"""The columns of a table of jobs: one for each option of a request, and how a cell becomes a value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gioconda.requests import KINDS, Option, Place, options_of
from gioconda.requests.values import Choice, Value


@dataclass(frozen=True)
class Column:
    """A column for one kind of job.

    Attributes:
        option: The option that it sets.
        value: Parses a cell.
        negated: Whether a cell says the opposite of the option.
    """

    option: Option
    value: Value
    negated: bool = False

    def read(self, cell: str) -> Any:
        """Parse a cell; InputError if it is not valid."""
        value = self.value.parse(cell)
        return not value if self.negated else value


def _columns(option: Option) -> dict[str, Column]:
    """The columns that set an option, by name."""
    columns = {option.flag: Column(option, option.value)}
    if option.negated:
        columns[option.negated] = Column(option, option.value, negated=True)
    if option.media is not None and option.media.word:
        columns[option.media.word] = Column(option, Choice(option.media.words))
    return columns


COLUMNS: Mapping[str, Mapping[str, Column]] = {
    kind: {
        name: column
        for option in options_of(request, Place.BATCH)
        for name, column in _columns(option).items()
    }
    for kind, request in KINDS.items()
}
"""The columns of each kind of job, by the option's name on the command line."""

NAMES = ("kind", "out", *dict.fromkeys(name for columns in COLUMNS.values() for name in columns))
"""The names of all columns that a table may have."""
