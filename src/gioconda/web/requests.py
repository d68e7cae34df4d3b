"""The requests over HTTP as pydantic models, derived from the options in `gioconda.requests`.

The JSON does not name files: each is sent beside it, under its role.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from functools import partial, reduce
from operator import or_
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, TypeAlias, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter, create_model
from pydantic_core import PydanticCustomError

from gioconda import requests
from gioconda.errors import InputError
from gioconda.limits import LIMITS
from gioconda.media import PICTURE_SUFFIXES, VIDEO_SUFFIXES
from gioconda.requests import Option, Place, options_of
from gioconda.requests.values import Background, Choice, Coefficients, FaceChoice, Flag, Number, Text, Whole
from gioconda.types import Progress

Roles: TypeAlias = Mapping[str, tuple[int, int]]
"""The roles of files, and how many files of each are needed at least and at most."""

D = TypeVar("D", bound="DerivedRequest")


class JobRequest(BaseModel):
    """What all kinds share: unknown fields are refused, and values are not converted to other types."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    roles: ClassVar[Roles] = {}
    either: ClassVar[tuple[tuple[str, str], ...]] = ()
    """Pairs of a file's role and a field; a request has exactly one of each pair."""

    kind: str

    @property
    def suffix(self) -> str:
        """The suffix of the result's file."""
        raise NotImplementedError

    def check_files(self, counts: Mapping[str, int]) -> None:
        """Check the number of files by role.

        Raises:
            InputError: A file is missing, unknown or one too many.
        """
        for role, count in counts.items():
            if count and role not in self.roles:
                known = ", ".join(self.roles)
                raise InputError(f"a job of kind {self.kind!r} takes no file {role!r}; its files are {known}")
        for role, (least, most) in self.roles.items():
            count = counts.get(role, 0)
            if count < least:
                raise InputError(f"the file {role!r} is missing; send it in the same body as the field job")
            if count > most:
                raise InputError(f"{count} files {role!r} exceed the limit of {most}; send fewer")
        for role, field in self.either:
            if bool(counts.get(role)) == (getattr(self, field) is not None):
                raise InputError(f"give either a file {role!r} or the field {field!r}")


class DerivedRequest(JobRequest):
    """A request that `gioconda.requests` declares."""

    kind_of: ClassVar[type[Any]]

    def request(self, files: Mapping[str, Sequence[Path]], out: Path, progress: Progress) -> Any:
        """Build the request of `gioconda.requests`.

        Args:
            files: Paths by role.
            out: The path of the output.
            progress: Called with the stage, the units done and the units in all.

        Raises:
            InputError: The options do not fit together.
        """
        values = self.model_dump(exclude={"kind", "format"})
        for option in options_of(self.kind_of, Place.HTTP):
            if (media := option.media) is None:
                continue
            word = values.pop(media.word, None) if media.word else None
            paths = files.get(media.role, ())
            if word is not None or paths:
                values[option.name] = word or (paths[0] if media.most == 1 else tuple(paths))
        common = {"out": out, "progress": progress}
        known = {field.name for field in fields(self.kind_of)}
        return self.kind_of(**values, **{name: value for name, value in common.items() if name in known})

    def check_files(self, counts: Mapping[str, int]) -> None:
        """Check the number of files by role, and that the options fit together; InputError."""
        super().check_files(counts)
        files = {role: [Path(role)] * count for role, count in counts.items()}
        self.request(files, Path("result"), lambda *_: None)


class MakingRequest(DerivedRequest):
    """A request for a video or a picture; the field `format` replaces the suffix of the output."""

    format: str

    @property
    def suffix(self) -> str:
        """The suffix of the video or picture."""
        return f".{self.format}"


def annotated(option: Option) -> Any:
    """Return pydantic's type for an option's values, with their bounds."""
    values = _bounded(option)
    return values | None if option.default is None and not option.required else values


def _bounded(option: Option) -> Any:
    """Pydantic's type for an option's values, without the None of a missing one."""
    value = option.value
    if isinstance(value, Flag):
        return bool
    if isinstance(value, Number):
        return Annotated[float, Field(ge=value.low, le=value.high)]
    if isinstance(value, Whole):
        return Annotated[int, Field(ge=value.low, le=value.high)]
    if isinstance(value, Choice):
        refuse = BeforeValidator(partial(_refuse_local, value))
        return Annotated[Literal[value.served], refuse] if value.local else Literal[value.served]
    if isinstance(value, Text):
        pattern = f"^{value.pattern}$" if value.pattern else None
        return Annotated[str, Field(min_length=value.least, max_length=value.most, pattern=pattern)]
    if isinstance(value, Background):
        return Annotated[str, Field(pattern=f"^({value.plain})$")]
    if isinstance(value, FaceChoice):
        index = Annotated[int, Field(ge=0, lt=LIMITS.faces)]
        return index | Literal["all"] if value.every else index
    assert isinstance(value, Coefficients)
    share = Annotated[float, Field(ge=value.share.low, le=value.share.high)]
    return Annotated[dict[str, share], Field(max_length=52)]


def _refuse_local(choice: Choice, word: object) -> object:
    """Return a word of `choice` unless it needs files of the server's machine; PydanticCustomError."""
    if word not in choice.local:
        return word
    raise PydanticCustomError(
        "local_word",
        "{word} needs a file of the server's machine, which no client can give; choose {served}",
        {"word": str(word), "served": " or ".join(choice.served)},
    )


def _fields(kind: type[Any]) -> dict[str, Any]:
    """The JSON fields of a kind of request."""
    json_fields: dict[str, Any] = {"kind": (Literal[kind.kind], ...)}
    for option in options_of(kind, Place.HTTP):
        files = option.media
        if files is None:
            default = ... if option.name == "rights" else option.default
            values = _bounded(option) if option.name == "rights" else annotated(option)
            json_fields[option.name] = (values, Field(default, description=option.help))
        elif files.word:
            description = f"A built-in {files.word}, instead of a file {files.role!r}."
            json_fields[files.word] = (Literal[files.words] | None, Field(None, description=description))
    return json_fields


def _format(kind: type[requests.Request]) -> dict[str, Any]:
    """The JSON field of the result's format."""
    formats = VIDEO_SUFFIXES if kind.result == "film" else PICTURE_SUFFIXES
    names = tuple(dict.fromkeys(suffix.lstrip(".") for suffix in formats if suffix != ".jpeg"))
    return {"format": (Literal[names], Field(names[0], description="Format of the result."))}


def _roles(kind: type[Any]) -> Roles:
    """The roles of a kind of request; a file that a field may replace is not required."""
    return {
        files.role: (int(option.required and not files.word), files.most)
        for option in options_of(kind, Place.HTTP)
        if (files := option.media) is not None
    }


def _either(kind: type[Any]) -> tuple[tuple[str, str], ...]:
    """The pairs of a file's role and a field that exclude each other."""
    words = [
        (files.role, files.word) for option in options_of(kind) if (files := option.media) and files.word
    ]
    return (*words, *([("audio", "text")] if kind is requests.Speak else []))


def _model(kind: type[Any], base: type[D], **more: Any) -> type[D]:
    """The pydantic model of a kind of request; more: further JSON fields, beside those of its options."""
    summary = (kind.__doc__ or "").split("\n")[0]
    name = f"{kind.__name__}Request"
    model = create_model(name, __base__=base, __doc__=summary, **_fields(kind), **more)
    model.roles, model.either, model.kind_of = _roles(kind), _either(kind), kind
    return model


MAKING: Mapping[str, type[MakingRequest]] = {
    name: _model(kind, MakingRequest, **_format(kind)) for name, kind in requests.KINDS.items()
}
"""The models of requests for videos and pictures, by kind."""


class VerifyingRequest(DerivedRequest):
    """A request whose result is a verdict as JSON."""

    @property
    def suffix(self) -> str:
        """The suffix of a verdict."""
        return ".json"


class AdaptingRequest(DerivedRequest):
    """A request whose result is the file of a person, for later jobs."""

    @property
    def suffix(self) -> str:
        """The suffix of a person file or a bank."""
        return ".safetensors"

    def check_files(self, counts: Mapping[str, int]) -> None:
        """Check the files and options, and that this installation can adapt to a person; InputError."""
        super().check_files(counts)
        files = {role: [Path(role)] * count for role, count in counts.items()}
        self.request(files, Path("result.safetensors"), lambda *_: None).entry.check_adapts()


VerifyRequest = _model(requests.Verify, VerifyingRequest)
AdaptRequest = _model(requests.Adapt, AdaptingRequest)

MODELS: Mapping[str, type[JobRequest]] = {**MAKING, "verify": VerifyRequest, "adapt": AdaptRequest}
"""The models of all requests, by kind."""
_ALL: Any = reduce(or_, MODELS.values())
JOB: TypeAdapter[JobRequest] = TypeAdapter(Annotated[_ALL, Field(discriminator="kind")])
"""Reads a request of any kind from JSON; the field `kind` decides which."""


_OWN = "It is my own likeness."
EXAMPLES: dict[str, dict[str, Any]] = {
    "animate": {"kind": "animate", "rights": _OWN, "template": "smile", "crop": True, "size": 256},
    "speak": {"kind": "speak", "rights": _OWN, "text": "Good evening.", "voice": "f2"},
    "edit": {"kind": "edit", "rights": _OWN, "yaw": 10, "coefficients": {"mouthSmileLeft": 0.8}},
    "export": {"kind": "export", "shape": "vertical", "size": 1280, "format": "mp4"},
    "verify": {"kind": "verify"},
    "adapt": {"kind": "adapt", "rights": _OWN, "purpose": "photos"},
}
"""An example of each kind of request."""
