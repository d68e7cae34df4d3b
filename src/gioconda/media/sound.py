"""The driver's sound, as packets for a new file: from the picture's zero to its end."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import av.error
import numpy as np
import numpy.typing as npt
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from av.packet import Packet

from gioconda.media.formats import decodable
from gioconda.media.pictures import is_animation
from gioconda.media.video_in import VideoReader, open_input, picture_stream

_COPIED = ("aac", "mp3")  # what every player of mp4 knows
_RATE = 48000
_ERRORS = (av.error.FFmpegError, ValueError, RuntimeError, OSError)

Timed = tuple[float, "Packet[AudioStream]"]
Warn = Callable[[str], None]


def open_sound(source: Path, out: OutputContainer, end: float, warn: Warn) -> Iterator[Timed]:
    """Add `source`'s sound to `out` (mp4 or webm) and return its packets with their times in seconds.

    Time 0 is the first frame of `source`; packets end at `end` seconds. AAC and MP3 go into mp4 as they
    are, anything else is encoded anew. A source without sound gives none; damage is told to `warn`,
    once, and ends the sound, never the job.
    """
    if is_animation(source) is not None:
        return iter(())
    try:
        container = open_input(source)
        if not container.streams.audio:
            container.close()
            return iter(())
        track = container.streams.audio[0]
        if not decodable(track):
            container.close()
            raise ValueError("no decoder for it")
        zero = first_picture(source, container)
        if out.format.name == "mp4" and track.codec_context.codec.canonical_name in _COPIED and _fits(track):
            stream = out.add_stream_from_template(track)
            packets = _copied(container, track, stream, zero, end)
        else:
            name = "aac" if out.format.name == "mp4" else "libopus"
            layout = "mono" if track.codec_context.channels == 1 else "stereo"
            made = out.add_stream(name, rate=_RATE, layout=layout)
            assert isinstance(made, AudioStream)
            made.bit_rate = 128_000
            packets = _encoded(container, track, made, zero, end)
        return _guarded(source, container, packets, warn)
    except _ERRORS as error:
        warn(f"the sound of {source} cannot be read ({error}); the video is written without it")
        return iter(())


def first_picture(source: Path, container: InputContainer) -> float:
    """The first picture's time in the file in seconds; 0 for a file of sound alone."""
    if picture_stream(container) is None:
        return 0.0
    with VideoReader(source) as reader:
        return reader.start


def _fits(track: AudioStream) -> bool:
    """Whether an mp4 header can hold the track as it is; tried in memory, so that no real file fails."""
    if track.codec_context.codec.canonical_name == "aac" and not track.codec_context.extradata:
        return False
    try:
        with av.open(io.BytesIO(), "w", format="mp4") as trial:
            trial.add_stream_from_template(track)
            trial.start_encoding()
    except _ERRORS:
        return False
    return True


def _guarded(
    source: Path, container: InputContainer, packets: Iterator[Timed], warn: Warn
) -> Iterator[Timed]:
    try:
        yield from packets
    except _ERRORS as error:
        warn(f"the sound of {source} is damaged ({error}); it ends early")
    finally:
        with contextlib.suppress(*_ERRORS):
            container.close()


def _copied(
    container: InputContainer, track: AudioStream, stream: AudioStream, zero: float, end: float
) -> Iterator[Timed]:
    last = -1
    for packet in container.demux(track):
        if packet.pts is None or not packet.size:
            continue
        time = float(packet.pts * packet.time_base) - zero
        if time >= end:
            break
        # Whole packets only: one that straddles zero would push the picture back by its own length.
        if time < -0.0005:
            continue
        packet.pts = packet.dts = max(round(time / packet.time_base), 0)
        if packet.pts <= last:
            continue
        last = packet.pts
        packet.stream = stream
        yield time, packet


def _encoded(
    container: InputContainer, track: AudioStream, stream: AudioStream, zero: float, end: float
) -> Iterator[Timed]:
    done, size = 0, 1024
    heard = samples(_decoded(container, track), str(stream.layout.name), _RATE, zero, end)
    for block in _blocks(heard, size):
        frame = AudioFrame.from_ndarray(block, format="fltp", layout=str(stream.layout.name))
        frame.sample_rate = _RATE
        frame.time_base = Fraction(1, _RATE)
        frame.pts = done
        for packet in stream.encode(frame):
            yield done / _RATE, packet
        done += block.shape[1]
    for packet in stream.encode(None):
        yield done / _RATE, packet


def _blocks(pieces: Iterator[npt.NDArray[np.float32]], size: int) -> Iterator[npt.NDArray[np.float32]]:
    """The same samples in blocks of `size`, the last one shorter."""
    rest: npt.NDArray[np.float32] | None = None
    for piece in pieces:
        rest = piece if rest is None else np.concatenate([rest, piece], axis=1)
        while rest.shape[1] >= size:
            yield np.ascontiguousarray(rest[:, :size])
            rest = rest[:, size:]
    if rest is not None and rest.shape[1]:
        yield np.ascontiguousarray(rest)


def samples(
    decoded: Iterable[tuple[float, AudioFrame]], layout: str, rate: int, zero: float, end: float
) -> Iterator[npt.NDArray[np.float32]]:
    """Samples (channels, n) float32 at `rate` Hz without a gap, `end` seconds from `zero` on; silence fills holes."""
    resampler = AudioResampler("fltp", layout, rate)
    done, last = 0, round(end * rate)
    for time, frame in decoded:
        parts = [np.asarray(part.to_ndarray(), np.float32) for part in resampler.resample(frame)]
        if not parts:
            continue
        piece = np.concatenate(parts, axis=1)
        hole = round((time - zero) * rate) - done
        if hole > rate // 20 or (done == 0 and hole > 0):
            hole = min(hole, last - done)
            for at in range(0, hole, rate):  # in seconds, for a damaged time may lie hours ahead
                yield np.zeros((piece.shape[0], min(rate, hole - at)), np.float32)
            done += hole
        elif done == 0 and hole < 0:
            piece = piece[:, -hole:]
        piece = piece[:, : last - done]
        yield piece
        done += piece.shape[1]
        if done >= last:
            return


def _decoded(container: InputContainer, track: AudioStream) -> Iterator[tuple[float, AudioFrame]]:
    """Decoded frames and their times in seconds; packets that cannot be decoded are skipped."""
    time = 0.0
    for packet in container.demux(track):
        try:
            frames = track.decode(packet)
        except (av.error.FFmpegError, ValueError):
            continue
        for frame in frames:
            if frame.pts is not None and frame.time_base:
                time = float(frame.pts * frame.time_base)
            yield time, frame
            time += frame.samples / frame.sample_rate
