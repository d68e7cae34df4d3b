"""Which track of a file has the voice, and which of its channels."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av.error
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler

from gioconda.media.formats import decodable
from gioconda.media.video_in import open_input
from gioconda.types import FloatArray

# root mean square of a track that nobody hears, 60 dB below full scale
SILENT = 1e-3
# share of a channel's loudness below which the mean of all channels has lost the voice: they cancel each other
CANCELLED = 0.35
# size of a sample, 40 dB above full scale, beyond which it is damage and no sound
LOUDEST_SAMPLE = 100.0
# seconds of a track that are listened to, from its beginning
LISTENED = 60.0
_RATE = 8000  # Hz, enough to tell a voice from silence
_ERRORS = (av.error.FFmpegError, ValueError, RuntimeError, OSError)


@dataclass(frozen=True)
class VoiceTrack:
    """Where a voice is.

    Attributes:
        index: Number of the track among a file's sound tracks, from 0.
        channel: The channel that has the voice; None for the mean of all.
        notes: What people should know of the choice, a sentence each.
    """

    index: int = 0
    channel: int | None = None
    notes: tuple[str, ...] = ()


def voice_track(file: Path) -> VoiceTrack:
    """Find the first track that is not silent, and whether its channels may be mixed.

    A file without sound, or one that cannot be decoded, gives the first track: whatever reads it tells what is wrong.
    """
    try:
        with open_input(file) as container:
            count = len(container.streams.audio)
    except _ERRORS:
        return VoiceTrack()
    heard = None
    for index in range(count):
        loudness = _loudness(file, index)
        if loudness is not None and max(loudness[1]) > SILENT:
            heard = index, loudness
            break
    if heard is None:
        silent = "is silent" if count == 1 else f"has {count} sound tracks, and all are silent"
        return VoiceTrack(notes=(f"{file.name} {silent}",) if count else ())
    index, (mixed, channels) = heard
    notes = (f"{file.name}: sound track 1 is silent; track {index + 1} is used",) if index else ()
    loudest = int(np.argmax(channels))
    if mixed >= CANCELLED * channels[loudest]:
        return VoiceTrack(index, None, notes)
    told = f"{file.name}: its channels cancel each other; channel {loudest + 1} alone is listened to"
    return VoiceTrack(index, loudest, (*notes, told))


def _loudness(file: Path, index: int) -> tuple[float, list[float]] | None:
    """Root mean square of the mean of a track's channels, and of each; None where it cannot be decoded.

    Sums are kept, not samples: a damaged header may turn one frame into minutes.
    """
    mixed, channels, count = 0.0, np.zeros(1), 0
    try:
        with closing(_pieces(file, index)) as pieces:
            for piece in pieces:
                mixed += float(np.square(piece.mean(0)).sum())
                channels = channels + np.square(piece).sum(1)
                count += piece.shape[1]
                if count >= LISTENED * _RATE:
                    break
    except _ERRORS:
        return None
    return (np.sqrt(mixed / count).item(), np.sqrt(channels / count).tolist()) if count else None


def _pieces(file: Path, index: int) -> Generator[FloatArray, None, None]:
    """Samples (channels, n) of a track in order, as its frames come."""
    with open_input(file) as container:
        track = container.streams.audio[index]
        if not decodable(track):
            return
        resampler = AudioResampler("fltp", "mono" if track.codec_context.channels == 1 else "stereo", _RATE)
        for packet in container.demux(track):
            try:
                frames = track.decode(packet)
            except (av.error.FFmpegError, ValueError):
                continue
            for frame in frames:
                for part in resampler.resample(finite(frame)):
                    yield np.asarray(part.to_ndarray(), np.float32)


def finite(frame: AudioFrame) -> AudioFrame:
    """The frame with silence where a sample is no sound: files of floating-point samples may hold NaN, Inf and 1e30.

    A resampler spreads them over their surroundings, and encoders end at the first.
    """
    if frame.format.name not in ("flt", "fltp", "dbl", "dblp"):
        return frame
    sound: Any = frame.to_ndarray()
    sane = np.abs(sound) <= LOUDEST_SAMPLE
    if sane.all():
        return frame
    clean = AudioFrame.from_ndarray(
        np.where(sane, sound, 0).astype(sound.dtype), format=frame.format.name, layout=frame.layout.name
    )
    clean.sample_rate, clean.time_base, clean.pts = frame.sample_rate, frame.time_base, frame.pts
    return clean
