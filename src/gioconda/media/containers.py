"""The formats in which a video can be written: container, codec and pixels of each suffix."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from gioconda.runtime.devices import SOFTWARE_ENCODER

# Without B-frames, frames are decoded in the order of display, so that mp4 can store every frame's true duration.
_X264 = {"preset": "superfast", "crf": "18", "bf": "0", "threads": "2", "x264-params": "chromaloc=1"}
_VP9 = {"deadline": "realtime", "cpu-used": "8", "row-mt": "1", "crf": "24", "b": "0", "threads": "2"}
# Alternate reference frames cannot hold alpha.
_VP9_ALPHA = {**_VP9, "auto-alt-ref": "0"}


@dataclass(frozen=True)
class VideoFormat:
    """How the frames of a video are stored.

    Attributes:
        container: FFmpeg's name of the muxer.
        codec: FFmpeg's name of the encoder.
        pixels: FFmpeg's name of the pixel format.
        clock: Units of time per second.
        options: The encoder's.
        loop: The muxer's options; those of an animation make it repeat.
        sound: Whether it can hold sound.
    """

    container: str
    codec: str
    pixels: str
    clock: int
    options: Mapping[str, str] = field(default_factory=dict)
    loop: Mapping[str, str] = field(default_factory=dict)
    sound: bool = False


_OPAQUE = {
    ".mp4": VideoFormat("mp4", SOFTWARE_ENCODER, "yuv420p", 90_000, _X264, sound=True),
    ".webm": VideoFormat("webm", "libvpx-vp9", "yuv420p", 1_000, _VP9, sound=True),
    ".mov": VideoFormat(
        "mov", "prores_ks", "yuv422p10le", 90_000, {"profile": "hq", "vendor": "apl0"}, sound=True
    ),
    ".apng": VideoFormat("apng", "apng", "rgb24", 1_000, loop={"plays": "0"}),
}
_ALPHA = {
    ".webm": VideoFormat("webm", "libvpx-vp9", "yuva420p", 1_000, _VP9_ALPHA, sound=True),
    ".mov": VideoFormat(
        "mov", "prores_ks", "yuva444p10le", 90_000, {"profile": "4444", "vendor": "apl0"}, sound=True
    ),
    ".apng": VideoFormat("apng", "apng", "rgba", 1_000, loop={"plays": "0"}),
}
PLAYABLE_SUFFIXES = (".mp4", ".webm", ".gif")
"""Suffixes of the videos that every browser plays."""
VIDEO_SUFFIXES = (*PLAYABLE_SUFFIXES, *(suffix for suffix in _OPAQUE if suffix not in PLAYABLE_SUFFIXES))
"""Suffixes of all videos that can be written; a GIF has an encoder of its own."""
SILENT_SUFFIXES = tuple(
    suffix for suffix in VIDEO_SUFFIXES if suffix not in _OPAQUE or not _OPAQUE[suffix].sound
)
"""Suffixes of the videos that cannot hold sound."""
ALPHA_SUFFIXES = (*_ALPHA, ".png", ".webp")
"""Suffixes of the videos and pictures that can hold transparency."""


def video_format(suffix: str, *, alpha: bool, encoder: str = SOFTWARE_ENCODER) -> VideoFormat:
    """Return the format of a suffix such as .mp4, in which frames have an alpha channel or not.

    Args:
        suffix: Of the file.
        alpha: Whether frames have an alpha channel.
        encoder: Of .mp4.
    """
    chosen = (_ALPHA if alpha else _OPAQUE)[suffix]
    if encoder == SOFTWARE_ENCODER:
        return chosen
    return replace(chosen, codec=encoder, options={"bf": _X264["bf"]})
