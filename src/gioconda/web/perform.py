"""A request, carried out in the present folder, where its files lie under their own names."""

from __future__ import annotations

import json
from pathlib import Path

from gioconda import media, pipeline, provenance
from gioconda.errors import InputError, LimitError
from gioconda.orders import Order, carry_out
from gioconda.pipeline import Result
from gioconda.sources import Progress, mime_of
from gioconda.web.requests import JOB, AdaptRequest, JobRequest, VerifyRequest
from gioconda.web.state import Output

__all__ = ["JOB", "check_length", "perform"]


def perform(request: JobRequest, report: Progress) -> Output:
    """Write `result` with the request's ending. Raises what the pipeline raises, and whatever `report` does."""
    out = Path("result" + request.suffix)
    if isinstance(request, VerifyRequest):
        return _verify(out)
    if isinstance(request, AdaptRequest):
        return _adapt(request, out, report)
    options = request.model_dump(exclude={"kind", "format"})
    order = Order(request.kind, {role: _all(role) for role in request.roles}, options)
    return _told(carry_out(order, out, report))


def _verify(out: Path) -> Output:
    verdict = pipeline.verify(_one("file")).to_json()
    out.write_text(json.dumps(verdict, indent=2), encoding="utf-8")
    return Output(media_type="application/json", bytes=out.stat().st_size)


def _adapt(request: AdaptRequest, out: Path, report: Progress) -> Output:
    left_out: tuple[str, ...] = ()
    if request.purpose == "speech":
        from gioconda import mouths

        mouths.adapt_speech(_all("source"), out, report, rights=request.rights)
    else:
        from gioconda.training.fewshot.adapt import Settings
        from gioconda.training.fewshot.person import adapt_person

        settings = Settings(steps=request.steps)
        made = adapt_person(_all("source"), out, settings, report=report, rights=request.rights)
        left_out = tuple(f"left out: {line}" for line in made.left_out)
    return Output(media_type="application/octet-stream", bytes=out.stat().st_size, warnings=left_out)


def _told(made: Result) -> Output:
    return Output(
        media_type=mime_of(made.path),
        bytes=made.path.stat().st_size,
        frames=made.frames,
        width=made.size[0],
        height=made.size[1],
        sidecar=provenance.sidecar_path(made.path).is_file(),
        warnings=made.warnings,
    )


def _all(role: str) -> list[Path]:
    """The files handed in as `role`, in order."""
    found = [path for path in Path().iterdir() if path.stem.rstrip("0123456789") == role and path.is_file()]
    return sorted(found, key=lambda path: (len(path.stem), path.stem))


def _one(role: str) -> Path:
    found = _all(role)
    if not found:
        raise InputError(f"the file {role!r} is missing")
    return found[0]


def check_length(most_seconds: float) -> None:
    """LimitError if a video or sound in the present folder is longer than the server takes."""
    for path in (path for role in ("portrait", "motion", "audio", "source") for path in _all(role)):
        if path.suffix in (".npz", ".csv", ".safetensors"):
            continue
        if media.is_video(path):
            seconds: float | None = media.probe(path).seconds
        else:
            seconds = media.probe_sound(path) if media.is_sound(path) else None
        if seconds is not None and seconds > most_seconds:
            raise LimitError(
                f"{path} lasts {seconds:.0f} s, this server takes {most_seconds:.0f} s; cut it first"
            )
