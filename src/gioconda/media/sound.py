"""The driver's sound as packets for a new file, from the first frame to the last."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
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
from gioconda.media.voice_track import VoiceTrack, finite, voice_track

# Containers in which sound is AAC; elsewhere it is Opus.
_AAC = ("mp4", "mov")
# Codecs that go into these unchanged, because every player of mp4 knows them.
_COPIED = ("aac", "mp3")
# Samples per second and bits per second of sound that is encoded, and samples in a block of it.
_RATE = 48000
_BIT_RATE = 128_000
_BLOCK = 1024
# Seconds by which a packet may begin before the first frame: rounding of the clocks.
_EARLY = 0.0005
# Share of a second up to which a hole in the sound counts as jitter of the clocks.
_JITTER = 20
_ERRORS = (av.error.FFmpegError, ValueError, RuntimeError, OSError)


@dataclass(frozen=True)
class SoundTrack:
    """The sound of a file, for a new video.

    Attributes:
        path: The file with the sound.
        start: Seconds from the file's first frame at which the new video begins.
    """

    path: Path
    start: float = 0.0


Timed = tuple[float, "Packet[AudioStream]"]
"""A packet and its time in seconds."""
Warn = Callable[[str], None]
"""Called with a sentence for people."""


def open_sound(sound: SoundTrack, out: OutputContainer, end: float, warn: Warn) -> Iterator[Timed]:
    """Add the sound of a file to a video.

    AAC and MP3 go into mp4 and mov unchanged; other codecs are encoded again. Damage ends the sound, but not the job.

    Args:
        sound: The file with the sound, and where the video begins in it.
        out: The video, mp4, mov or webm.
        end: Where the sound ends, in seconds.
        warn: Called once about damage.

    Returns:
        The packets with their times in seconds from `sound.start`; none if the file has no sound.
    """
    source = sound.path
    if is_animation(source) is not None:
        return iter(())
    try:
        container = open_input(source)
        if not container.streams.audio:
            container.close()
            return iter(())
        # A lone track is used whatever is on it, so nothing is listened to.
        voice = voice_track(source) if len(container.streams.audio) > 1 else VoiceTrack()
        if voice.index:
            warn(voice.notes[0])
        track = container.streams.audio[voice.index]
        if not decodable(track):
            container.close()
            raise ValueError("gioconda has no decoder for it")
        zero = first_picture(source, container) + sound.start
        return _guarded(source, container, _packets(container, track, out, zero, end), warn)
    except _ERRORS as error:
        warn(f"the sound of {source} cannot be read ({error}); the video is written without it")
        return iter(())


def _packets(
    container: InputContainer, track: AudioStream, out: OutputContainer, zero: float, end: float
) -> Iterator[Timed]:
    """A track's packets for a video, as they are where every player knows them, else encoded again."""
    if out.format.name in _AAC and track.codec_context.codec.canonical_name in _COPIED and _fits(track):
        return _copied(container, track, out.add_stream_from_template(track), zero, end)
    name = "aac" if out.format.name in _AAC else "libopus"
    layout = "mono" if track.codec_context.channels == 1 else "stereo"
    encoder = out.add_stream(name, rate=_RATE, layout=layout)
    assert isinstance(encoder, AudioStream)
    encoder.bit_rate = _BIT_RATE
    return _encoded(container, track, encoder, zero, end)


def first_picture(source: Path, container: InputContainer) -> float:
    """Return the time of the first frame in the file in seconds; 0 for a file with sound only."""
    if picture_stream(container) is None:
        return 0.0
    with VideoReader(source) as reader:
        return reader.start


def _fits(track: AudioStream) -> bool:
    """Whether an mp4 can store the track unchanged, which is tried in memory."""
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
    """Packets until the first damage, which ends them with a warning."""
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
    """Packets of the track, unchanged but for their times."""
    last = -1
    for packet in container.demux(track):
        if packet.pts is None or not packet.size:
            continue
        time = float(packet.pts * packet.time_base) - zero
        if time >= end:
            break
        # A packet that begins before the first frame would delay the picture by its own length.
        if time < -_EARLY:
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
    """Packets of the track, decoded and encoded again."""
    done = 0
    pieces = samples(_decoded(container, track), str(stream.layout.name), _RATE, zero, end)
    for block in _blocks(pieces, _BLOCK):
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
    """The same samples (channels, n) in blocks of `size` samples; the last block is shorter."""
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
    """Resample decoded sound and fill its holes with silence.

    Args:
        decoded: Times in seconds, and frames of sound.
        layout: The channels of the result: "mono" or "stereo".
        rate: Samples per second of the result.
        zero: The time in seconds at which the result begins.
        end: Seconds of the result, at most.

    Yields:
        Samples (channels, n) float32, without gaps.
    """
    resampler = AudioResampler("fltp", layout, rate)
    done, last = 0, round(end * rate)
    for time, frame in decoded:
        parts = [np.asarray(part.to_ndarray(), np.float32) for part in resampler.resample(finite(frame))]
        if not parts:
            continue
        piece = np.clip(np.concatenate(parts, axis=1), -1, 1)
        hole = round((time - zero) * rate) - done
        if hole > rate // _JITTER or (done == 0 and hole > 0):
            hole = min(hole, last - done)
            # Second by second, since a damaged time may be hours ahead.
            for at in range(0, hole, rate):
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
    """Decoded frames and their times in seconds, without packets that cannot be decoded."""
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
