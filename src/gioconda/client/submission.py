"""Turns a request into the body of a submission: the JSON and the files that a server takes for it."""

from __future__ import annotations

import json
import re
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from gioconda.errors import InputError, missing_file
from gioconda.requests import Adapt, Export, Option, Place, Request, Verify, check_inputs_stay, options_of
from gioconda.requests.values import Background, FlagOrFile, LocalFile
from gioconda.types import RGB, Motion

AnyRequest: TypeAlias = Request | Adapt | Verify
"""A request that a server carries out."""

_SIDECAR = "sidecar"
# A format with two suffixes has one name on a server.
_FORMATS = {"jpeg": "jpg"}


@dataclass(frozen=True)
class Submission:
    """The body of a submission, which can be sent repeatedly.

    Attributes:
        job: The JSON of the request.
        files: Each file's role, and its path or its content.
        key: By which the server recognises the submission when it arrives again.
    """

    job: str
    files: tuple[tuple[str, Path | bytes], ...]
    key: str = field(default_factory=lambda: uuid.uuid4().hex)


@contextmanager
def opened(submission: Submission | None) -> Iterator[dict[str, Any]]:
    """The arguments with which httpx sends a body, none without one; the files are open within the context."""
    if submission is None:
        yield {}
        return
    with ExitStack() as stack:
        files = [
            (role, (role, stack.enter_context(source.open("rb")) if isinstance(source, Path) else source))
            for role, source in submission.files
        ]
        headers = {"Idempotency-Key": submission.key}
        yield {"data": {"job": submission.job}, "files": files, "headers": headers}


def submission_of(request: AnyRequest) -> Submission:
    """The body of a request's submission.

    Raises:
        InputError: A server cannot do this, or the output would replace an input.
        MissingFileError: A file does not exist.
    """
    if not isinstance(request, Verify):
        check_inputs_stay(request)
    fields: dict[str, Any] = {"kind": request.kind, **_format(request)}
    files: list[tuple[str, Path | bytes]] = []
    for option in options_of(request):
        value = getattr(request, option.name)
        if option.media is not None:
            if isinstance(value, str) and value in option.media.words:
                fields[option.media.word] = value
            else:
                files += _files(option, value)
        elif _is_set(option, value):
            fields |= _field(option, value)
    return Submission(json.dumps(fields, default=_plain), (*files, *_sidecar(request)))


def _format(request: AnyRequest) -> dict[str, str]:
    """The field that names the format of a video or picture, if the request names an output."""
    out = None if isinstance(request, (Adapt, Verify)) else request.out
    if out is None:
        return {}
    suffix = Path(out).suffix.lower().lstrip(".")
    return {"format": _FORMATS.get(suffix, suffix)}


def _is_set(option: Option, value: Any) -> bool:
    """Whether an option that is no file has another value than its default."""
    return bool(value != option.default)


def _field(option: Option, value: Any) -> dict[str, Any]:
    """The JSON field of an option; InputError for a file, which a server would have to open by its path."""
    plain = option.value.plain if isinstance(option.value, Background) else ""
    names_file = (
        isinstance(option.value, LocalFile)
        or (isinstance(option.value, FlagOrFile) and not isinstance(value, bool))
        or (plain and not re.fullmatch(plain, str(value)))
    )
    if names_file:
        raise InputError(
            f"{option.name} names a file of this machine, which the server does not open; leave it out"
        )
    return {option.name: value} if option.places & Place.HTTP else {}


def _files(option: Option, value: Any) -> Iterator[tuple[str, Path | bytes]]:
    """The role and the content of each file of an option."""
    assert option.media is not None
    several = isinstance(value, (list, tuple))
    for source in value if several else () if value is None else (value,):
        if isinstance(source, (str, Path)):
            yield option.media.role, _checked(Path(source))
        else:
            yield option.media.role, _written(option, source)


def _checked(path: Path) -> Path:
    """The path of a file that exists."""
    if path.is_dir():
        raise InputError(f"{path} is a folder; give the files in it")
    if not path.is_file():
        raise missing_file(path)
    return path


def _written(option: Option, source: Any) -> bytes:
    """A picture or a motion in memory as the bytes of a file."""
    if isinstance(source, Motion):
        from gioconda.motion import store

        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "motion.npz"
            store.save(source, path)
            return path.read_bytes()
    if isinstance(source, np.ndarray) and source.dtype == np.uint8 and source.shape[2:] == (RGB,):
        import cv2

        return bytes(cv2.imencode(".png", cv2.cvtColor(source, cv2.COLOR_RGB2BGR))[1])
    raise InputError(f"{option.name} cannot be sent to a server; give the path of a file")


def _sidecar(request: AnyRequest) -> Iterator[tuple[str, Path]]:
    """The manifest beside a WebM that is checked or exported, unless the request names one."""
    if not isinstance(request, (Export, Verify)) or request.sidecar is not None:
        return
    path = Path(request.film if isinstance(request, Export) else request.path)
    if path.suffix.lower() == ".webm":
        from gioconda.provenance import sidecar_path

        if sidecar_path(path).is_file():
            yield _SIDECAR, sidecar_path(path)


def _plain(value: Any) -> Any:
    """A number of numpy as one of Python."""
    return value.item()
