"""What a job leaves: the file, saved whole or not at all, or the verdict; or the error of a job that failed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

from gioconda.client.errors import JobError
from gioconda.client.state import JobState
from gioconda.errors import InputError
from gioconda.types import PathLike

if TYPE_CHECKING:
    from gioconda.provenance import Verdict

_OWN_SUFFIXES = {"application/json": ".json", "application/octet-stream": ".safetensors"}


def check_done(state: JobState) -> JobState:
    """Return the state of a job that is done; JobError for one that failed or was cancelled."""
    if state.state == "failed":
        raise JobError(state.error or "the job failed", state)
    if state.state == "cancelled":
        raise JobError("the job was cancelled", state)
    return state


def target_of(path: PathLike | None, state: JobState) -> Path:
    """The path at which a result is saved; InputError if there is none, or if its suffix is of another format."""
    if path is None:
        raise InputError("the job names no output; give save the path of the file to write")
    from gioconda import media

    target = Path(path)
    media_type = state.result.media_type if state.result else ""
    suffix = _OWN_SUFFIXES.get(media_type)
    fits = target.suffix.lower() == suffix if suffix else media.mime_of(target) == media_type
    if not fits:
        raise InputError(f"the result is of type {media_type}; {target} has a suffix of another type")
    return media.check_output(target, (target.suffix.lower(),))


def write(target: Path, content: bytes, sidecar: bytes | None) -> None:
    """Write a result and, if it has one, its manifest; OutputError if that fails."""
    from gioconda import media, provenance

    if sidecar is not None:
        media.write_whole(provenance.sidecar_path(target), sidecar)
    media.write_whole(target, content)


def read_verdict(content: bytes, path: PathLike) -> Verdict:
    """The verdict on the file at `path`, from a server's JSON."""
    from gioconda.provenance import Verdict

    values: Mapping[str, object] = json.loads(content)
    known = {field.name: values[field.name] for field in fields(Verdict) if field.name in values}
    return Verdict(**{**known, "path": str(path)})  # type: ignore[arg-type]
