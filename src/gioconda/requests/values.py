"""Kinds of values that options have: how they are parsed, and which values are valid.

Each kind offers `parse`, for the cells of a table and the words of a command line, and `check`, for Python values.
Both raise InputError with a sentence that continues the option's name: "strength 3 is outside 0 to 2".
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, ClassVar, Protocol

from gioconda.errors import InputError
from gioconda.limits import LIMITS
from gioconda.motion.emotion import EMOTIONS, parse_emotions
from gioconda.types import ARKIT_INDEX

SEVERAL = "|"
"""Separates the values in one cell."""

_YES, _NO = ("yes", "true", "1"), ("no", "false", "0")


class Value(Protocol):
    """A kind of value."""

    def parse(self, text: str) -> Any:
        """Parse a value; InputError if the text is not one of this kind."""

    def check(self, value: Any) -> None:
        """InputError unless `value` is valid."""


@dataclass(frozen=True)
class Flag:
    """Yes or no."""

    def parse(self, text: str) -> bool:
        """True for yes, true and 1, False for no, false and 0, in upper or lower case; else InputError."""
        if text.lower() in _YES:
            return True
        if text.lower() in _NO:
            return False
        raise InputError(f"{text!r} is neither yes nor no")

    def check(self, value: Any) -> None:
        """InputError unless `value` is a boolean."""
        if not isinstance(value, bool):
            raise InputError(f"{value!r} is neither True nor False")


@dataclass(frozen=True)
class FlagOrFile(Flag):
    """Yes or no; in Python also the path of a file."""

    def check(self, value: Any) -> None:
        """InputError unless `value` is a boolean or a path."""
        if not isinstance(value, (bool, str, Path)):
            raise InputError(f"{value!r} is neither True, False nor a path")


@dataclass(frozen=True)
class _Bounded:
    """A number from `low` to `high`, both included.

    Attributes:
        low: The least value.
        high: The largest value.
        unit: A word for users, such as "degrees".
        kind: The Python type that parses text.
        noun: The kind's name in messages.
    """

    low: float
    high: float
    unit: str = ""

    kind: ClassVar[type]
    noun: ClassVar[str]

    def parse(self, text: str) -> Any:
        """Parse a decimal number; InputError if the text is none, or out of bounds."""
        try:
            value = self.kind(text)
        except ValueError:
            raise InputError(f"{text!r} is not a {self.noun}") from None
        self.check(value)
        return value

    def check(self, value: Any) -> None:
        """InputError unless `value` is within the bounds."""
        raise NotImplementedError

    @property
    def range(self) -> str:
        """The bounds in words, with the unit."""
        low, high = (f"{bound:g}" if self.kind is float else str(bound) for bound in (self.low, self.high))
        return f"{low} to {high}{' ' if self.unit else ''}{self.unit}"


@dataclass(frozen=True)
class Number(_Bounded):
    """A finite real number."""

    kind, noun = float, "number"

    def check(self, value: Any) -> None:
        """InputError unless `value` is finite and within the bounds."""
        try:
            inside = math.isfinite(value) and self.low <= value <= self.high
        except TypeError:
            raise InputError(f"{value!r} is not a {self.noun}") from None
        if not inside:
            raise InputError(f"{value:g} is outside {self.range}")


@dataclass(frozen=True)
class Whole(_Bounded):
    """A whole number."""

    low: int
    high: int

    kind, noun = int, "whole number"

    def check(self, value: Any) -> None:
        """InputError unless `value` is an integer, also of numpy, within the bounds; booleans are not integers."""
        try:
            number = operator.index(value)
        except TypeError:
            raise InputError(f"{value!r} is not a {self.noun}") from None
        if isinstance(value, bool) or not self.low <= number <= self.high:
            raise InputError(f"{value} is outside {self.range}")


@dataclass(frozen=True)
class Choice:
    """One of some words.

    Attributes:
        words: All words.
        local: Those that need files of this machine, which a server's clients cannot give.
    """

    words: tuple[str, ...]
    local: tuple[str, ...] = ()

    @property
    def served(self) -> tuple[str, ...]:
        """The words that are offered over HTTP."""
        return tuple(word for word in self.words if word not in self.local)

    def parse(self, text: str) -> str:
        """The word itself; InputError if it is unknown."""
        self.check(text)
        return text

    def check(self, value: Any) -> None:
        """InputError unless `value` is one of the words."""
        if value not in self.words:
            raise InputError(f"{value!r} is not known; choose one of {', '.join(self.words)}")


@dataclass(frozen=True)
class Text:
    """A text.

    Attributes:
        least: Least number of characters.
        most: Largest number of characters.
        pattern: A regular expression that the whole text matches, "" for any text.
    """

    least: int = 0
    most: int = LIMITS.text_characters
    pattern: str = ""

    def parse(self, text: str) -> str:
        """The text itself; InputError if its length or form is invalid."""
        self.check(text)
        return text

    def check(self, value: Any) -> None:
        """InputError unless `value` is a text of that length and form."""
        if not isinstance(value, str):
            raise InputError(f"{value!r} is not a text")
        if not self.least <= len(value) <= self.most:
            raise InputError(f"has {len(value):,} characters; give {self.least} to {self.most:,}")
        if self.pattern and not re.fullmatch(self.pattern, value):
            raise InputError(f"{value!r} holds characters that it may not have")


@dataclass(frozen=True)
class Emotions(Text):
    """Emotions by name, each with a strength after a colon if it is not 1, separated by commas."""

    most: int = 200
    pattern: str = rf"(\s*({'|'.join(EMOTIONS)})\s*(:[0-9.\s]+)?(,|$))*"

    def check(self, value: Any) -> None:
        """InputError unless `value` is a text of known emotions with strengths from 0 to 1."""
        if not isinstance(value, str):
            raise InputError(f"{value!r} is not a text such as happy:0.7")
        parse_emotions(value)


@dataclass(frozen=True)
class LocalFile:
    """The path of a file on the machine that carries out the job."""

    def parse(self, text: str) -> Path:
        """The path."""
        return Path(text)

    def check(self, value: Any) -> None:
        """InputError unless `value` is a path. The reader of the file reports whether it exists."""
        if not isinstance(value, (str, Path)):
            raise InputError(f"{value!r} is not a path")


TRANSPARENT = "transparent"
"""The background that keeps a portrait's transparency."""


def _is_colour(text: str) -> bool:
    """Whether a text is a colour, or TRANSPARENT."""
    from gioconda.media import colour_of

    return text == TRANSPARENT or colour_of(text) is not None


@dataclass(frozen=True)
class Background:
    """What a transparent portrait lies over: a colour, the path of a picture, or TRANSPARENT.

    Attributes:
        plain: Pattern of the values that name no file of this machine.
    """

    plain: str = f"{TRANSPARENT}|#[0-9A-Fa-f]{{6}}"

    def parse(self, text: str) -> str | Path:
        """The value in a cell of a table: a colour or TRANSPARENT as text, anything else as a path."""
        return text if _is_colour(text) else Path(text)

    def check(self, value: Any) -> None:
        """InputError unless `value` is a colour, the path of a file, or TRANSPARENT."""
        if isinstance(value, str) and _is_colour(value):
            return
        if not isinstance(value, (str, Path)) or not Path(value).is_file():
            raise InputError(
                f"{value} is neither a colour nor a picture; give a colour such as #00ff00, the path of a picture, "
                f"or {TRANSPARENT}"
            )


@dataclass(frozen=True)
class Media:
    """Input files of a job.

    Attributes:
        role: Name of the uploads on a server.
        help: A sentence for users.
        most: Largest number of files.
        word: Name of a second option of servers and tables, for one of the `words` instead of a file; "" without one.
        words: Names that may replace a file.
    """

    role: str
    help: str
    most: int = 1
    word: str = ""
    words: tuple[str, ...] = ()

    def parse(self, text: str) -> Any:
        """The path, or the paths separated by bars, or one of the words."""
        if self.most == 1:
            return text if text in self.words else Path(text)
        paths = tuple(Path(part.strip()) for part in text.split(SEVERAL))
        self.check(paths)
        return paths

    def check(self, value: Any) -> None:
        """InputError for too many files. The reader of the files reports other problems."""
        if self.most > 1 and len(value) > self.most:
            raise InputError(f"{len(value)} {self.role}s are too many; give {self.most} at most")


@dataclass(frozen=True)
class FaceChoice:
    """A face of a picture: 0 for the largest, 1 for the next; or "all", if `every` allows it."""

    every: bool = True

    def parse(self, text: str) -> int | str:
        """An index or "all"; InputError for anything else."""
        value: int | str = int(text) if text.isascii() and text.isdigit() else text
        self.check(value)
        return value

    def check(self, value: Any) -> None:
        """InputError unless `value` is an index below `Limits.faces`, or "all" if that is allowed."""
        if self.every and isinstance(value, str) and value == "all":
            return
        if isinstance(value, bool) or not hasattr(value, "__index__") or not 0 <= value < LIMITS.faces:
            choices = f"give 0 for the largest face, up to {LIMITS.faces - 1}"
            raise InputError(f"{value!r}: {choices}{', or all' if self.every else ''}")


@dataclass(frozen=True)
class Coefficients:
    """ARKit coefficients by name, each 0 to 1."""

    share = Number(0, 1)

    def parse(self, text: str) -> dict[str, float]:
        """Parse settings NAME=VALUE, separated by bars or spaces; InputError for an invalid one."""
        return self.parse_all(text.replace(SEVERAL, " ").split())

    def parse_all(self, settings: Iterable[str]) -> dict[str, float]:
        """Parse settings NAME=VALUE into coefficients by name; InputError for an invalid one."""
        coefficients: dict[str, float] = {}
        for setting in settings:
            name, equals, text = (part.strip() for part in setting.partition("="))
            if not equals:
                raise InputError(f"{setting}: write NAME=VALUE, for example jawOpen=0.4")
            check_arkit_name(name)
            try:
                coefficients[name] = self.share.parse(text)
            except InputError as error:
                raise InputError(f"{name} {error}") from None
        return coefficients

    def check(self, value: Any) -> None:
        """InputError unless `value` maps ARKit names to numbers from 0 to 1."""
        if not isinstance(value, Mapping):
            raise InputError(f"{value!r} is not a mapping of names to numbers")
        for name, number in value.items():
            check_arkit_name(name)
            try:
                self.share.check(number)
            except InputError as error:
                raise InputError(f"{name} {error}") from None


def check_arkit_name(name: Any) -> None:
    """InputError, which suggests similar names, unless ARKit has a coefficient of this name."""
    if name in ARKIT_INDEX:
        return
    by_lower = {known.lower(): known for known in ARKIT_INDEX}
    near = [by_lower[match] for match in get_close_matches(str(name).lower(), by_lower, n=3)]
    hint = f"did you mean {' or '.join(near)}?" if near else "gioconda edit --list prints the names"
    raise InputError(f"{name}: no such coefficient; {hint}")
