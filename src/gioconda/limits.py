"""Every cap on what is read or made, in one frozen value, and the check that several readers share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gioconda.errors import LimitError


@dataclass(frozen=True)
class Limits:
    """Upper bounds; beyond one, `LimitError` names the value and the bound."""

    file_bytes: int = 4 * 2**30
    picture_pixels: int = 100_000_000  # 100 megapixels, checked in the header, before decoding
    video_pixels: int = 4096 * 2304  # pixels a frame
    video_seconds: float = 3 * 3600.0
    video_frames: int = 500_000
    sound_seconds: float = 3 * 3600.0
    text_characters: int = 20_000  # to be said: some 20 minutes
    motion_bytes: int = 2 * 2**30
    csv_bytes: int = 256 * 2**20
    identity_bytes: int = 512 * 2**20
    weights_bytes: int = 2 * 2**30  # a network, or its weights
    table_bytes: int = 64 * 2**20  # a table of jobs
    table_lines: int = 100_000
    header_bytes: int = 8 * 2**20  # of a safetensors file
    faces: int = 16  # of one picture; the largest count
    output_side: int = 4096  # longest side of what is written


LIMITS = Limits()


def check_seconds(path: Path, seconds: float) -> None:
    """LimitError if a video, or the motion of one, is longer than `Limits.video_seconds`."""
    if seconds > LIMITS.video_seconds:
        raise LimitError(
            f"{path} lasts {seconds:,.0f} s, the limit is {LIMITS.video_seconds:,.0f}; cut it first"
        )
