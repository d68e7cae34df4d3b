"""Declaration of a request's options, from which the command line, HTTP, tables and the page derive theirs."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Flag, auto
from pathlib import Path
from typing import Any, TypeVar

from gioconda.errors import InputError
from gioconda.requests.values import Background, LocalFile, Media, Value

T = TypeVar("T")

_KEY = "option"
# Kinds of values that may be paths of files.
_FILES = (Background, LocalFile, Media)


class Place(Flag):
    """Where an option can be set, apart from Python."""

    COMMAND_LINE = auto()
    BATCH = auto()
    HTTP = auto()
    """Over HTTP, and on the page, which uses HTTP."""
    LOCAL = COMMAND_LINE | BATCH
    """Where the user can name files of this machine."""
    EVERYWHERE = COMMAND_LINE | BATCH | HTTP


@dataclass(frozen=True)
class Option:
    """An option of a request.

    Attributes:
        name: In Python.
        value: Kind of value.
        help: A sentence for users.
        default: None if there is none.
        required: Whether there is no default.
        places: Where it can be set.
        flag: Its name on the command line and in tables.
        negated: Name of its opposite on the command line and in tables, "" without one.
    """

    name: str
    value: Value
    help: str
    default: Any
    required: bool
    places: Place
    flag: str
    negated: str

    @property
    def media(self) -> Media | None:
        """The kind of value, if the values are input files of a job; else None."""
        return self.value if isinstance(self.value, Media) else None

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of its columns in a table."""
        return tuple(filter(None, (self.flag, self.negated, self.media.word if self.media else "")))


class OptionError(InputError):
    """An option has an invalid value."""

    def __init__(self, option: Option, problem: str) -> None:
        """Combine the option's name and `problem`, a sentence that continues it."""
        super().__init__(f"{option.name} {problem}")
        self.option, self.problem = option, problem


def option(
    value: Value,
    help: str,  # noqa: A002 (the name that Typer and argparse use)
    *,
    default: Any = dataclasses.MISSING,
    factory: Callable[[], Any] | Any = dataclasses.MISSING,
    places: Place = Place.EVERYWHERE,
    flag: str = "",
    negated: str = "",
) -> Any:
    """Declare a dataclass field that is an option.

    Args:
        value: Kind of value.
        help: A sentence for users.
        default: Without default and factory, the option is required.
        factory: Makes the default.
        places: Where the option can be set.
        flag: Its name on the command line and in tables, if it differs from the field's.
        negated: Name of its opposite there, if it has one.
    """
    metadata = {"value": value, "help": help, "places": places, "flag": flag, "negated": negated}
    if factory is not dataclasses.MISSING:
        return dataclasses.field(default_factory=factory, metadata={_KEY: metadata})
    return dataclasses.field(default=default, metadata={_KEY: metadata})


def options_of(request: Any, place: Place | None = None) -> Iterator[Option]:
    """Iterate over the options of a request, its own before those of its bases.

    Args:
        request: A request, or its class.
        place: Yield only options that can be set there; None for all.
    """
    for field in sorted(dataclasses.fields(request), key=lambda f: _depth(request, f.name)):
        metadata = field.metadata.get(_KEY)
        if metadata is None or (place is not None and not metadata["places"] & place):
            continue
        default = field.default
        if field.default_factory is not dataclasses.MISSING:
            default = field.default_factory()
        required = default is dataclasses.MISSING
        yield Option(
            name=field.name,
            value=metadata["value"],
            help=metadata["help"],
            default=None if required else default,
            required=required,
            places=metadata["places"],
            flag=metadata["flag"] or field.name.replace("_", "-"),
            negated=metadata["negated"],
        )


def _depth(request: Any, name: str) -> int:
    """Position in the method resolution order of the first class that declares a field."""
    classes = (request if isinstance(request, type) else type(request)).__mro__
    return next(k for k, cls in enumerate(classes) if name in inspect.get_annotations(cls))


def part_of(kind: type[T], request: Any) -> T:
    """A dataclass of another module, filled with the request's options of the same names; others keep defaults."""
    assert dataclasses.is_dataclass(kind)
    names = [field.name for field in dataclasses.fields(kind) if hasattr(request, field.name)]
    return kind(**{name: getattr(request, name) for name in names})


def option_of(request: Any, name: str) -> Option:
    """The option of a request, or of its class, by its name in Python."""
    return next(option for option in options_of(request) if option.name == name)


def check_options(request: Any) -> None:
    """Check the values of all options; OptionError for the first invalid one. Defaults are valid."""
    for candidate in options_of(request):
        value = getattr(request, candidate.name)
        if value is candidate.default:
            continue
        try:
            candidate.value.check(value)
        except OptionError:
            raise
        except InputError as error:
            raise OptionError(candidate, str(error)) from None


def check_inputs_stay(request: Any) -> None:
    """InputError if the request's output would replace one of its own inputs.

    Args:
        request: With a field `out`, and maybe `overwrite`, which allows it.
    """
    if request.out is None or getattr(request, "overwrite", False):
        return
    for option in options_of(request):
        value = getattr(request, option.name) if isinstance(option.value, _FILES) else None
        for path in value if isinstance(value, (list, tuple)) else (value,):
            if isinstance(path, (str, Path)) and _same_file(Path(path), Path(request.out)):
                raise InputError(
                    f"{path} is the {option.name} and the output: it would be lost; write another file"
                )


def _same_file(one: Path, other: Path) -> bool:
    """Whether two paths lead to the same file, also by links."""
    try:
        return one.exists() and other.exists() and one.samefile(other)
    except OSError:
        return False
