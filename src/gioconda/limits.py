"""All limits on inputs and outputs, in one frozen value, and a check that several readers share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gioconda.errors import LimitError


@dataclass(frozen=True)
class Limits:
    """Upper bounds. `LimitError` names the value that exceeds one, and the bound.

    Attributes:
        file_bytes: Of any input file.
        picture_pixels: Of a still picture; checked in the header, before decoding.
        video_pixels: Of a frame.
        video_seconds: Of a video, or of a motion.
        video_frames: Of a video, or of a motion.
        sound_seconds: Of a sound.
        text_characters: Of a text to say; some 20 minutes of speech.
        motion_bytes: Of an unpacked motion file.
        csv_bytes: Of a Live Link Face recording.
        identity_bytes: Of an identity file.
        weights_bytes: Of a network, or of its weights.
        table_bytes: Of a table of jobs.
        table_lines: Of a table of jobs.
        header_bytes: Of a safetensors file's header.
        faces: Of a picture; the largest ones count.
        output_side: Longer side of a result in pixels.
    """

    file_bytes: int = 4 * 2**30
    picture_pixels: int = 100_000_000
    video_pixels: int = 4096 * 2304
    video_seconds: float = 3 * 3600.0
    video_frames: int = 500_000
    sound_seconds: float = 3 * 3600.0
    text_characters: int = 20_000
    motion_bytes: int = 2 * 2**30
    csv_bytes: int = 256 * 2**20
    identity_bytes: int = 512 * 2**20
    weights_bytes: int = 2 * 2**30
    table_bytes: int = 64 * 2**20
    table_lines: int = 100_000
    header_bytes: int = 8 * 2**20
    faces: int = 16
    output_side: int = 4096


LIMITS = Limits()
SMALLEST_SIDE = 64
"""Pixels; the smallest side of a result. Below, a face cannot be distinguished from noise."""
WHOLE_SIDE, CROP_SIDE = 1280, 512
"""Pixels; longest side of a whole picture, and side of a crop, unless the user chooses another."""
EXPORT_SIDE = 1920
"""Pixels; longest side of a film that is padded to another shape, unless the user chooses another."""


def check_seconds(path: Path, seconds: float) -> None:
    """LimitError if a video, or the motion of one, is longer than `Limits.video_seconds`."""
    if seconds > LIMITS.video_seconds:
        raise LimitError(
            f"{path} lasts {seconds:,.0f} s, the limit is {LIMITS.video_seconds:,.0f} s; shorten it first"
        )
