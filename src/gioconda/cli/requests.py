"""Commands derived from requests: each option of a request becomes an option of its command."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from inspect import Parameter, Signature
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from gioconda.cli.options import DeviceOption, OutOption, use_device
from gioconda.cli.progress import plural, watch
from gioconda.errors import InputError
from gioconda.requests import (
    Adapt,
    Animate,
    Edit,
    Export,
    Option,
    OptionError,
    Place,
    Request,
    Speak,
    options_of,
)
from gioconda.requests.values import Choice, Coefficients, FaceChoice, Flag, LocalFile, Media, Number, Whole
from gioconda.runtime.devices import CPU

if TYPE_CHECKING:
    from gioconda.pipeline import Result

R = TypeVar("R", Animate, Speak, Edit, Export, Adapt)


def add_command(
    app: typer.Typer,
    kind: type[R],
    run: Callable[[R], None],
    short_help: str,
    help: str,  # noqa: A002 (Typer's own name)
    *,
    networks: bool = True,
    **extra: Any,
) -> None:
    """Add the command that runs requests of one kind.

    Args:
        app: The command line that gets the command.
        kind: The class of the requests; its `kind` is the command's name.
        run: Called with the request; runs it and prints the outcome.
        short_help: The sentence in the list of commands.
        help: The text above the command's options.
        networks: Whether the command runs networks, and so has the option --device.
        extra: Annotated types of eager options that only the command has, by name.
    """

    def command(**typed: Any) -> None:
        if networks:
            use_device(typed.pop("device"))
        run(read_request(kind, {name: value for name, value in typed.items() if name not in extra}))

    parameters = [*_parameters(kind), *(_parameter(name, type_, False) for name, type_ in extra.items())]
    if networks:
        parameters.append(_parameter("device", DeviceOption, CPU))
    setattr(command, "__signature__", Signature(parameters))  # noqa: B010
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    command.__name__, command.__doc__ = kind.kind, help
    app.command(name=kind.kind, short_help=short_help)(command)


def make(request: Request) -> None:
    """Write the video or picture of a request, and print its name."""
    from gioconda import pipeline

    if isinstance(request, Edit):
        print_picture_result(pipeline.run(request))
        return
    with watch() as progress:
        result = pipeline.run(replace(request, progress=progress))
    print_video_result(result)


def read_request(kind: type[R], typed: Mapping[str, Any]) -> R:
    """Build the request from the options that were typed.

    Args:
        kind: The class of the request.
        typed: The values as Typer parsed them, by name; None stands for the default.

    Raises:
        InputError: A value is not valid; the message names the option as it is typed.
    """
    options = {option.name: option for option in options_of(kind, Place.COMMAND_LINE)}
    values = {
        name: _value(options[name], value) if name in options else value for name, value in typed.items()
    }
    try:
        return kind(**values)
    except OptionError as error:
        raise InputError(f"--{error.option.flag} {error.problem}") from None


def _value(option: Option, typed: Any) -> Any:
    """The value of an option, from what Typer parsed; None stands for its default."""
    if typed is None:
        return option.default
    try:
        if isinstance(option.value, FaceChoice):
            return option.value.parse(typed)
        if isinstance(option.value, Coefficients):
            return option.value.parse_all(typed)
    except InputError as error:
        raise InputError(f"--{option.flag} {error}") from None
    return tuple(typed) if isinstance(typed, list) else typed


def _parameters(kind: type[Any]) -> list[Parameter]:
    """The parameters of a command: required ones, the output, then optional ones."""
    options = list(options_of(kind, Place.COMMAND_LINE))
    required = [_option_parameter(option) for option in options if option.required]
    out = _parameter("out", OutOption, Parameter.empty)
    return [*required, out, *(_option_parameter(option) for option in options if not option.required)]


def _parameter(name: str, annotation: Any, default: Any) -> Parameter:
    """A keyword-only parameter."""
    return Parameter(name, Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _option_parameter(option: Option) -> Parameter:
    """The parameter of one option, as Typer reads it."""
    if option.media is not None and option.required:
        return _required_parameter(option)
    names = [f"--{option.flag}"]
    if isinstance(option.value, Flag) and option.default is True:
        names = [f"--{option.flag}/--{option.negated}"]
    shown = not isinstance(option.value, Flag) and option.default not in (None, "")
    declared = typer.Option(*names, help=_help(option), show_default=shown, metavar=_metavar(option))
    default = option.default
    if isinstance(option.value, FaceChoice):
        default = str(default)
    elif isinstance(option.value, Coefficients) or (option.media is not None and option.media.most > 1):
        default = None
    return _parameter(option.name, Annotated[_type(option), declared], default)


def _required_parameter(option: Option) -> Parameter:
    """The parameter of a required file: an argument, or an option if a word may replace the file, as for a motion."""
    assert option.media is not None
    if not option.media.word:
        argument = typer.Argument(help=option.help, show_default=False)
        return _parameter(option.name, Annotated[_type(option), argument], Parameter.empty)
    declared = typer.Option(f"--{option.flag}", help=option.help, show_default=False)
    return _parameter(option.name, Annotated[str, declared], Parameter.empty)


def _type(option: Option) -> Any:
    """The type to which Typer converts the words of an option."""
    value = option.value
    word_type: Any = str
    if isinstance(value, Flag):
        return bool
    if isinstance(value, Number):
        word_type = float
    elif isinstance(value, Whole):
        word_type = int
    elif isinstance(value, LocalFile):
        word_type = Path
    elif isinstance(value, Media):
        word_type = list[Path] if value.most > 1 else Path
    elif isinstance(value, Coefficients):
        word_type = list[str]
    return word_type if option.default is not None and word_type in (str, int, float) else word_type | None


def _metavar(option: Option) -> str | None:
    """What the help shows in place of a value; None for Typer's own word."""
    if isinstance(option.value, Choice):
        return f"<{'|'.join(option.value.words)}>"
    if option.media is not None:
        return "<path>"
    return "NAME=VALUE" if isinstance(option.value, Coefficients) else None


def _help(option: Option) -> str:
    """What the option does, with its bounds."""
    value = option.value
    if isinstance(value, (Number, Whole)) and option.name != "seed":
        return f"{option.help.removesuffix('.')} ({value.low:g} to {value.high:g})."
    return option.help


def print_video_result(result: Result) -> None:
    """Print the name, size and speed of a video that was written, and its warnings on standard error."""
    _print_notes(result)
    rate = result.frames / result.seconds if result.seconds > 0 else 0.0
    video = f"{result.path}: {plural(result.frames, 'frame')}, {result.size[0]}x{result.size[1]}"
    typer.echo(f"{video}, in {result.seconds:.1f} s ({rate:.1f} frames/s){bridged(result.bridged)}")


def print_picture_result(result: Result) -> None:
    """Print the name and size of a picture that was written, and its warnings on standard error."""
    _print_notes(result)
    typer.echo(f"{result.path}: {result.size[0]}x{result.size[1]} in {result.seconds:.1f} s")


def _print_notes(result: Result) -> None:
    """Print the warnings of a result on standard error."""
    for warning in result.warnings:
        typer.echo(f"note: {warning}", err=True)


def bridged(count: int) -> str:
    """The end of a sentence that counts the frames without a face; empty for none."""
    if not count:
        return ""
    return f"; {plural(count, 'frame')} without a face {'was' if count == 1 else 'were'} bridged"
