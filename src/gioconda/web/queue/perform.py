"""Runs one request in the working folder, which holds its files."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from pydantic import ValidationError

from gioconda import media, pipeline, provenance
from gioconda.errors import LimitError
from gioconda.pipeline import Result
from gioconda.registry import motions
from gioconda.requests import Adapt, Verify
from gioconda.types import Progress
from gioconda.web.queue.state import Output, SpokenWord
from gioconda.web.requests import JOB, DerivedRequest, JobRequest
from gioconda.web.validation import refusal

__all__ = ["check_length", "perform", "read_request"]

# Suffix of a manifest that is a file of its own.
_MANIFEST = ".c2pa"


def read_request(stored: str) -> JobRequest:
    """Read a request from the queue's JSON; InputError if an older version took what this one refuses."""
    try:
        return JOB.validate_json(stored)
    except ValidationError as error:
        raise refusal(error) from None


def perform(
    request: JobRequest, progress: Progress, key: str | None = None, certificate: str | None = None
) -> Output:
    """Run a request and write `result` with the request's suffix.

    Args:
        request: The request; its files are in the working folder.
        progress: Called with the stage, the units done and the units in all; what it raises ends the job.
        key: Path of the private key that signs the result; None for Gioconda's own.
        certificate: Path of the certificate chain of that key.

    Raises:
        GiocondaError: What the pipeline raises.
    """
    out = Path("result" + request.suffix)
    assert isinstance(request, DerivedRequest)
    derived = request.request({role: _all(role) for role in request.roles}, out, progress)
    if isinstance(derived, Verify):
        return _verify(derived, out)
    if isinstance(derived, Adapt):
        return _adapt(derived, out)
    return _output(pipeline.run(replace(derived, key=key, certificate=certificate)))


def _verify(request: Verify, out: Path) -> Output:
    """Write the verdict on a file, with its explanation for people."""
    verdict = pipeline.verify(request.path)
    explained = {**verdict.to_json(), "explanation": provenance.explain(verdict).split("\n")}
    out.write_text(json.dumps(explained, indent=2), encoding="utf-8")
    return Output(media_type="application/json", bytes=out.stat().st_size)


def _adapt(request: Adapt, out: Path) -> Output:
    """Write a person file or a bank of mouths."""
    adapted = request.entry.adapt(request)
    warnings = tuple(f"left out: {line}" for line in adapted.left_out)
    return Output(media_type="application/octet-stream", bytes=out.stat().st_size, warnings=warnings)


def _output(result: Result) -> Output:
    """What the job's state says about a result."""
    return Output(
        media_type=media.mime_of(result.path),
        bytes=result.path.stat().st_size,
        frames=result.frames,
        width=result.size[0],
        height=result.size[1],
        seconds=result.duration,
        words=tuple(SpokenWord(text=word.text, start=word.start, end=word.end) for word in result.words),
        sidecar=provenance.sidecar_path(result.path).is_file(),
        warnings=result.warnings,
    )


def _all(role: str) -> list[Path]:
    """The files submitted as `role`, in order."""
    # A manifest has the name of its file, beside which it is looked for.
    if role == "sidecar":
        return list(Path().glob(f"*{_MANIFEST}"))
    paths = [
        path
        for path in Path().iterdir()
        if path.stem.rstrip("0123456789") == role and path.suffix != _MANIFEST and path.is_file()
    ]
    return sorted(paths, key=lambda path: (len(path.stem), path.stem))


def check_length(most_seconds: float) -> None:
    """Raise LimitError if a video or sound in the working folder is longer than `most_seconds`."""
    for path in (path for role in ("portrait", "motion", "audio", "source", "film") for path in _all(role)):
        if path.suffix in (*motions(), ".safetensors"):
            continue
        if media.is_video(path):
            seconds: float | None = media.probe(path).seconds
        else:
            seconds = media.probe_sound(path) if media.is_sound(path) else None
        if seconds is not None and seconds > most_seconds:
            raise LimitError(
                f"{path} lasts {seconds:.0f} s, the limit of this server is {most_seconds:.0f} s; cut it first"
            )
