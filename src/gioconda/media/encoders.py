"""The encoders of H.264 in .mp4: libx264, or one of the hardware, where libav and the machine have it."""

from __future__ import annotations

from pathlib import Path

import av
import av.error
from av.codec.codec import UnknownCodecError
from av.video.codeccontext import VideoCodecContext

from gioconda.errors import InputError
from gioconda.runtime.devices import AUTO, HARDWARE_ENCODERS, SOFTWARE_ENCODER

SUFFIX = ".mp4"
# The one format of pixels that each of them takes.
PIXELS = "nv12"
# Bits a pixel of each frame. Hardware encoders share no scale of quality, so they get a rate. libx264 took 0.17 and
# 0.32 for two portraits of 512 px that speak, at the quality of `containers`.
BITS_PER_PIXEL = 0.4
# Width and height of the frames with which an encoder is tried, and their rate; some refuse tiny ones.
_TRIAL_SIZE, _TRIAL_RATE = (640, 360), 25


def usable_encoder(name: str, path: Path) -> str:
    """Return the encoder of a video that is to be written, tried on this machine.

    Args:
        name: The encoder's name in libav, or "auto" for the first hardware encoder that opens, or else libx264.
        path: The video.

    Raises:
        InputError: The format has no such encoder, or the encoder cannot be opened here.
    """
    if name == SOFTWARE_ENCODER:
        return name
    if path.suffix.lower() != SUFFIX:
        raise InputError(
            f"the encoder {name} writes {SUFFIX}, not {path.suffix}; leave it out, or write {SUFFIX}"
        )
    if name == AUTO:
        return next((one for one in HARDWARE_ENCODERS if not _problem(one)), SOFTWARE_ENCODER)
    if problem := _problem(name):
        raise InputError(
            f"the encoder {name} cannot be opened here ({problem}); choose {AUTO} or {SOFTWARE_ENCODER}"
        )
    return name


def _problem(name: str) -> str:
    """Why an encoder does not open on this machine; empty if it does."""
    try:
        context = av.CodecContext.create(name, "w")
    except UnknownCodecError:
        return "the installed libav does not have it"
    assert isinstance(context, VideoCodecContext)
    context.width, context.height = _TRIAL_SIZE
    context.pix_fmt, context.framerate = PIXELS, _TRIAL_RATE
    try:
        context.open()
    except (av.error.FFmpegError, ValueError):
        return "its hardware or driver is absent"
    return ""


def bit_rate(size: tuple[int, int], fps: float) -> int:
    """The rate of a hardware encoder, in bits per second, for frames of a size (width, height) in pixels."""
    return round(BITS_PER_PIXEL * size[0] * size[1] * fps)
