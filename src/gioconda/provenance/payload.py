"""The watermark's payload of 32 bits: version, engine and a hash of the job."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, replace
from typing import Any

from gioconda.registry import OTHER, engine_name, engine_number

PAYLOAD_VERSION = 1
_HEX = re.compile("[0-9a-f]{8}")


@dataclass(frozen=True)
class WatermarkReading:
    """What the search for the watermark has found.

    Attributes:
        payload: The 32 bits; None if no mark was found.
        score: How far the mark stands out, in standard deviations of the noise.
        frames: Frames that were used.
        beneath: Score and payload of a second mark, which a file made from a marked file may have. It is too weak to
            count by itself.
    """

    payload: int | None
    score: float
    frames: int
    beneath: tuple[float, int] = (0.0, 0)

    def naming(self, payload: int | None) -> WatermarkReading:
        """Return the reading of the second mark if the manifest names its `payload`, else this reading."""
        score, number = self.beneath
        return replace(self, payload=number, score=score) if payload == number and score > 0 else self


def job_payload(engine: str, *inputs: str) -> int:
    """Compute a payload: 4 bits of version, 4 of engine, 24 of a SHA-256 over the inputs' hashes and settings."""
    digest = hashlib.sha256("\n".join((engine, *inputs)).encode()).digest()
    return PAYLOAD_VERSION << 28 | engine_number(engine) << 24 | int.from_bytes(digest[:3], "big")


def parse_payload(text: object) -> int | None:
    """Return the 32 bits that a manifest names in hex; None if it names none."""
    return int(text, 16) if isinstance(text, str) and _HEX.fullmatch(text) else None


def is_payload(number: int) -> bool:
    """Return whether `job_payload` can have made these 32 bits: version and engine must exist."""
    return number >> 28 == PAYLOAD_VERSION and engine_name(number >> 24 & 15) is not None


def describe_payload(payload: int) -> dict[str, Any]:
    """Return the payload's fields as JSON-ready values: version, name of the engine, hash of the job in hex."""
    engine = engine_name(payload >> 24 & 15) or OTHER
    return {"version": payload >> 28, "engine": engine, "job": f"{payload & 0xFFFFFF:06x}"}
