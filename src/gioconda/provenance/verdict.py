"""Decides whether Gioconda made a file and whether it has changed since, by its credentials and its watermark."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from gioconda.errors import GiocondaError
from gioconda.provenance.credentials import Credentials, read_credentials
from gioconda.provenance.payload import WatermarkReading, describe_payload, parse_payload
from gioconda.provenance.sidecar import lacks_sidecar
from gioconda.provenance.watermark import read_watermark
from gioconda.runtime.text import readable
from gioconda.types import Image

# Version of the verdict's JSON.
SCHEMA = 1
_UNSIGNED = "its sidecar is missing, so whether it was changed cannot be told: put the .c2pa file beside it"
EXIT_CODES = {"ours": 0, "unreadable": 2, "unmarked": 3, "invalid": 4, "altered": 10, "unsigned": 11}


@dataclass(frozen=True)
class Verdict:
    """The verdict on a file.

    Attributes:
        path: The file.
        status: "ours" (made by Gioconda, unchanged since), "altered" (made by Gioconda, changed since), "unsigned"
            (made by Gioconda; its manifest, a file of its own, is missing), "unmarked" (no mark of Gioconda), "invalid"
            (a manifest that is not valid) or "unreadable".
        manifest: The manifest's summary as JSON-ready values, or None.
        watermark: The watermark's payload in hex, its fields, score and frames used, or None.
        reasons: Sentences for people.
        survived: Gioconda's marks that are there and valid, of "content_credentials" and "watermark".
    """

    path: str
    status: str
    manifest: dict[str, Any] | None = None
    watermark: dict[str, Any] | None = None
    reasons: list[str] = field(default_factory=list)
    survived: list[str] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        """The exit code: 0 ours, 2 unreadable, 3 unmarked, 4 invalid, 10 altered, 11 unsigned."""
        return EXIT_CODES[self.status]

    def to_json(self) -> dict[str, Any]:
        """Return all fields as JSON-ready values, by docs/verify.schema.json. Keys may be added, never changed."""
        fields = {**asdict(self), "path": readable(self.path)}
        return {
            "schema": SCHEMA,
            "exit_code": self.exit_code,
            **fields,
            "reasons": [*map(readable, self.reasons)],
        }


def verify(path: Path, frames: Callable[[Path], Iterator[Image]]) -> Verdict:
    """Check one file. The verdict on a file that cannot be read is "unreadable"; no error is raised.

    Args:
        path: The file.
        frames: Yields a file's pictures (H, W, 3) uint8 RGB, of which a few seconds are read. It may raise
            GiocondaError, OSError or ValueError for a file that is neither picture nor video.
    """
    if path.exists() and not path.is_file():
        return Verdict(str(path), "unreadable", reasons=["it is a folder or a device, not a file"])
    try:
        credentials = read_credentials(path)
    except OSError as error:
        return Verdict(
            str(path), "unreadable", reasons=[f"the file cannot be opened: {error.strerror or error}"]
        )
    pictures = _Pictures(frames, path)
    reading = read_watermark(pictures).naming(_named(credentials))
    watermark = _watermark(reading)
    status, reasons = _judge(credentials, reading, pictures)
    if status == "altered" and credentials is None and lacks_sidecar(path):
        status, reasons = "unsigned", [*reasons, _UNSIGNED]
    manifest = credentials.summary if credentials else None
    return Verdict(str(path), status, manifest, watermark, reasons, _survived(credentials, reading))


def _named(credentials: Credentials | None) -> int | None:
    """The watermark's payload that the manifest names, whoever made the manifest."""
    return parse_payload(((credentials.summary if credentials else None) or {}).get("watermark"))


def _survived(credentials: Credentials | None, reading: WatermarkReading) -> list[str]:
    """The names of Gioconda's marks that are there and valid."""
    valid = credentials is not None and credentials.state == "valid" and credentials.ours
    marks = {"content_credentials": valid, "watermark": reading.payload is not None}
    return [name for name, there in marks.items() if there]


class _Pictures:
    """The frames of a file that can be decoded; remembers whether there were any, and why decoding ended."""

    def __init__(self, frames: Callable[[Path], Iterator[Image]], path: Path) -> None:
        self._frames, self._path = frames, path
        self.any, self.problem = False, ""

    def __iter__(self) -> Iterator[Image]:
        try:
            for image in self._frames(self._path):
                self.any = True
                yield image
        except (GiocondaError, OSError, ValueError) as error:
            self.problem = str(error)


def _watermark(reading: WatermarkReading) -> dict[str, Any] | None:
    """A reading as JSON-ready values; None if no mark was found."""
    if reading.payload is None:
        return None
    evidence = {"score": round(reading.score, 2), "frames": reading.frames}
    return {"payload": f"{reading.payload:08x}", **describe_payload(reading.payload), **evidence}


def _judge(
    credentials: Credentials | None, reading: WatermarkReading, pictures: _Pictures
) -> tuple[str, list[str]]:
    """The status and its reasons."""
    marked = reading.payload is not None
    valid = credentials is not None and credentials.state == "valid"
    reasons = [_on_manifest(credentials), _on_watermark(credentials, reading)]
    if not pictures.any:
        reasons.append(f"no picture or video can be read from it: {pictures.problem or 'it has none'}")
    elif pictures.problem:
        reasons.append(f"not all of it can be decoded: {pictures.problem}")
    if credentials is not None and valid and credentials.ours:
        reasons.append("a self-made certificate proves that the file is unchanged, not who made it")
        return "ours", reasons
    if not pictures.any:
        return "unreadable", reasons
    if credentials is not None and not valid:
        return "invalid", reasons
    if marked or (credentials is not None and credentials.ours_before):
        return "altered", reasons
    return "unmarked", reasons


def _on_manifest(credentials: Credentials | None) -> str:
    """The reason that the manifest gives."""
    if credentials is None:
        return "it has no Content Credentials"
    if credentials.state == "damaged":
        return "it has Content Credentials that cannot be read"
    maker = (credentials.summary or {}).get("generator") or "an unnamed tool"
    if credentials.state == "invalid":
        codes = ", ".join(credentials.failures) or "no reason given"
        return (
            f"its Content Credentials, made by {maker}, are not valid ({codes}): it was changed after signing"
        )
    if credentials.ours:
        return "its Content Credentials were made by Gioconda and are valid: it has not changed since it was signed"
    if credentials.ours_before:
        return f"its Content Credentials are valid and made by {maker}, from a file that Gioconda made"
    return f"its Content Credentials are valid and made by {maker}, not by Gioconda"


def _on_watermark(credentials: Credentials | None, reading: WatermarkReading) -> str:
    """The reason that the watermark gives."""
    if reading.payload is None:
        return "no watermark of Gioconda was found"
    named = _named(credentials)
    if named is not None and named != reading.payload:
        return "it has a watermark of Gioconda, but of another job than its Content Credentials name"
    return "it has the watermark of Gioconda"
