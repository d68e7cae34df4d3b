"""Was this file made by Gioconda, and has it changed since? Its credentials and its watermark tell."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from gioconda.errors import GiocondaError
from gioconda.provenance.credentials import Credentials, read_credentials
from gioconda.provenance.payload import WatermarkReading, describe_payload
from gioconda.provenance.watermark import read_watermark
from gioconda.types import Image

SCHEMA = 1
_PAYLOAD = re.compile("[0-9a-f]{8}")
EXIT_CODES = {"ours": 0, "unreadable": 2, "unmarked": 3, "invalid": 4, "altered": 10}


@dataclass(frozen=True)
class Verdict:
    """What `verify` found.

    status: "ours" (our manifest holds: untouched since), "altered" (ours, changed since), "unmarked" (no mark
        of ours), "invalid" (a manifest that does not hold), "unreadable".
    manifest: who, how, from what, as JSON-ready values, or None. watermark: payload in hex, its fields, score
        and frames looked at, or None. reasons: sentences for people. survived: which of Gioconda's marks are still
        there and hold, of "content_credentials" and "watermark".
    """

    path: str
    status: str
    manifest: dict[str, Any] | None = None
    watermark: dict[str, Any] | None = None
    reasons: list[str] = field(default_factory=list)
    survived: list[str] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        """0 ours, 2 unreadable, 3 unmarked, 4 invalid, 10 altered."""
        return EXIT_CODES[self.status]

    def to_json(self) -> dict[str, Any]:
        """All fields as JSON-ready values, as docs/verify.schema.json tells; keys may come, none goes or changes."""
        return {"schema": SCHEMA, "exit_code": self.exit_code, **asdict(self)}


def verify(path: Path, frames: Callable[[Path], Iterator[Image]]) -> Verdict:
    """Check one file. frames: gives a file's pictures, (H, W, 3) uint8 RGB, and raises GiocondaError, OSError
    or ValueError for what is neither picture nor video; a few seconds of them are read.

    Never raises for a bad file: the verdict is "unreadable" then.
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
    manifest = credentials.summary if credentials else None
    return Verdict(str(path), status, manifest, watermark, reasons, _survived(credentials, reading))


def _named(credentials: Credentials | None) -> int | None:
    """The watermark's payload as the manifest tells it, which may be anybody's."""
    told = ((credentials.summary if credentials else None) or {}).get("watermark")
    return int(told, 16) if isinstance(told, str) and _PAYLOAD.fullmatch(told) else None


def _survived(credentials: Credentials | None, reading: WatermarkReading) -> list[str]:
    held = credentials is not None and credentials.state == "valid" and credentials.ours
    marks = {"content_credentials": held, "watermark": reading.payload is not None}
    return [name for name, there in marks.items() if there]


class _Pictures:
    """A file's frames, as far as they can be decoded; remembers whether any was, and what went wrong."""

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
    if reading.payload is None:
        return None
    found = {"score": round(reading.score, 2), "frames": reading.frames}
    return {"payload": f"{reading.payload:08x}", **describe_payload(reading.payload), **found}


def _judge(
    credentials: Credentials | None, reading: WatermarkReading, pictures: _Pictures
) -> tuple[str, list[str]]:
    marked = reading.payload is not None
    held = credentials is not None and credentials.state == "valid"
    reasons = [_on_manifest(credentials), _on_watermark(credentials, reading)]
    if not pictures.any:
        reasons.append(f"no picture or video can be read from it: {pictures.problem or 'it holds none'}")
    elif pictures.problem:
        reasons.append(f"not all of it could be decoded: {pictures.problem}")
    if credentials is not None and held and credentials.ours:
        reasons.append("a self-made certificate proves that the file is unchanged, not who made it")
        return "ours", reasons
    if not pictures.any:
        return "unreadable", reasons
    if credentials is not None and not held:
        return "invalid", reasons
    if marked or (credentials is not None and credentials.ours_before):
        return "altered", reasons
    return "unmarked", reasons


def _on_manifest(credentials: Credentials | None) -> str:
    if credentials is None:
        return "it carries no Content Credentials"
    if credentials.state == "damaged":
        return "it carries Content Credentials that cannot be read"
    maker = (credentials.summary or {}).get("generator") or "an unnamed tool"
    if credentials.state == "invalid":
        codes = ", ".join(credentials.failures) or "no reason given"
        return f"its Content Credentials, made by {maker}, do not hold ({codes}): changed after signing"
    if credentials.ours:
        return (
            "its Content Credentials were made by Gioconda and hold: nothing was changed since it was signed"
        )
    if credentials.ours_before:
        return f"its Content Credentials hold, made by {maker} upon a file that Gioconda had made"
    return f"its Content Credentials hold, made by {maker}, not by Gioconda"


def _on_watermark(credentials: Credentials | None, reading: WatermarkReading) -> str:
    if reading.payload is None:
        return "no watermark of Gioconda was found"
    named = _named(credentials)
    if named is not None and named != reading.payload:
        return "it carries a watermark of Gioconda, of another job than its Content Credentials name"
    return "it carries the watermark of Gioconda"
