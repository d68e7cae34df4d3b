"""What the 32 bits of the watermark say: version, engine, and a hash of the job."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import Any

ENGINES: tuple[str, ...] = ("other", "warp", "fewshot", "lipsync")
PAYLOAD_VERSION = 1


@dataclass(frozen=True)
class WatermarkReading:
    """What was found: payload (32 bits) or None, score in noise deviations, frames used.

    beneath: score and payload of what else may be there, of a file that was made from one of ours. Too weak to be
    believed by itself.
    """

    payload: int | None
    score: float
    frames: int
    beneath: tuple[float, int] = (0.0, 0)

    def naming(self, payload: int | None) -> WatermarkReading:
        """The reading of the mark that the file's manifest names, where that is the one beneath."""
        score, number = self.beneath
        return replace(self, payload=number, score=score) if payload == number and score > 0 else self


def job_payload(engine: str, *inputs: str) -> int:
    """32 bits: 4 of version, 4 of engine, 24 of a SHA-256 over the inputs' hashes and settings."""
    number = ENGINES.index(engine) if engine in ENGINES else 0
    digest = hashlib.sha256("\n".join((engine, *inputs)).encode()).digest()
    return PAYLOAD_VERSION << 28 | number << 24 | int.from_bytes(digest[:3], "big")


def is_payload(number: int) -> bool:
    """Whether `job_payload` can have made these 32 bits: of our version, and of an engine that there is."""
    return number >> 28 == PAYLOAD_VERSION and number >> 24 & 15 < len(ENGINES)


def describe_payload(payload: int) -> dict[str, Any]:
    """The payload's fields as JSON-ready values: version, engine's name, job hash (24 bits) in hex."""
    number = payload >> 24 & 15
    engine = ENGINES[number] if number < len(ENGINES) else ENGINES[0]
    return {"version": payload >> 28, "engine": engine, "job": f"{payload & 0xFFFFFF:06x}"}
