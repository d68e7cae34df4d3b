"""Reads sound from sound files and videos in mono blocks, and writes WAV."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import av.error
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import InputContainer

from gioconda.errors import InputError, LimitError
from gioconda.limits import LIMITS
from gioconda.media.files import (
    PathLike,
    check_input,
    check_output,
    output_error,
    publish,
    remove,
    temp_beside,
)
from gioconda.media.formats import decodable
from gioconda.media.pictures import is_animation
from gioconda.media.sound import first_picture, samples
from gioconda.media.video_in import open_input, picture_stream
from gioconda.media.voice_track import voice_track
from gioconda.types import FloatArray

SOUND_SUFFIXES = (".wav", ".mp3", ".m4a", ".aac", ".flac", ".ogg", ".oga", ".opus", ".aif", ".aiff")
# Demuxer errors in a row after which a file counts as ended.
_MOST_ERRORS = 64
_ERRORS = (av.error.FFmpegError, ValueError, RuntimeError, OSError)
# Samples that are written at a time, and the highest level of 16 bits.
_BLOCK = 16000
_MOST_LEVEL = 32767


def is_sound(path: PathLike) -> bool:
    """Return whether a file has sound and no video; for a damaged file, its suffix decides. Errors as `check_input`."""
    file = check_input(path)
    if is_animation(file) is not None:
        return False
    try:
        with open_input(file) as container:
            return bool(container.streams.audio) and picture_stream(container) is None
    except InputError:
        return file.suffix.lower() in SOUND_SUFFIXES


def probe_sound(path: PathLike) -> float | None:
    """Return the duration of the sound in seconds by the header, None if it does not say; errors as `read_sound`."""
    with _opened(check_input(path)) as container:
        return _header_seconds(container, container.streams.audio[0])


def read_sound(
    path: PathLike, rate: int = 16000, *, warn: Callable[[str], None] | None = None
) -> SoundReader:
    """Open the sound of a sound file or a video; see `SoundReader`."""
    return SoundReader(path, rate, warn)


class SoundReader(Iterator[FloatArray]):
    """Iterates over blocks of samples (n,) float32 in -1..1 of the voice's track, without gaps.

    The samples are the mean of the channels, or one channel where they cancel each other.

    Time 0 is the beginning of a sound file, or the first frame of a video. Silence fills holes. Damage after the
    beginning becomes silence or ends the sound.

    Attributes:
        path: The file.
        rate: Samples per second of the blocks.
        read: Samples that were read so far.
    """

    def __init__(self, path: PathLike, rate: int, warn: Callable[[str], None] | None) -> None:
        """Open the file.

        Args:
            path: The file.
            rate: Samples per second of the blocks.
            warn: Called once, at the end, about damage.

        Raises:
            MissingFileError: The file does not exist.
            InputError: The file has no sound, or none that can be decoded.
            LimitError: The sound is too long.
        """
        self.path = check_input(path)
        self.rate = rate
        self.read = 0
        self._damaged = False
        self._warn = warn
        self._container = _opened(self.path)
        try:
            voice = voice_track(self.path)
            self._channel, self._notes = voice.channel, voice.notes
            track = self._container.streams.audio[voice.index]
            _check_length(self.path, _header_seconds(self._container, track))
            zero = first_picture(self.path, self._container)
            end = LIMITS.sound_seconds + 1
            # libav's own mix to one channel makes two equal channels louder.
            layout = "mono" if track.codec_context.channels == 1 else "stereo"
            self._blocks = self._mono(samples(self._decoded(track), layout, rate, zero, end))
            self._first: FloatArray | None = next(self._blocks, None)
            if self._first is None:
                reason = "is damaged" if self._damaged else "is of zero length"
                raise InputError(f"the sound of {self.path} {reason}; record or export it again")
        except BaseException:
            self.close()
            raise

    def __next__(self) -> FloatArray:
        first, self._first = self._first, None
        block = first if first is not None else next(self._blocks, None)
        if block is None:
            self.close()
            self._tell()
            raise StopIteration
        self.read += len(block)
        _check_length(self.path, self.read / self.rate)
        return block

    def _tell(self) -> None:
        """Say, once, what people should know of the sound."""
        warn, self._warn = self._warn, None
        if warn is None:
            return
        for note in self._notes:
            warn(note)
        if self._damaged:
            warn(f"the sound of {self.path} is damaged; parts of it are missing")

    def __enter__(self) -> SoundReader:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        with contextlib.suppress(*_ERRORS):
            self._container.close()

    def _mono(self, blocks: Iterator[FloatArray]) -> Iterator[FloatArray]:
        """Blocks (n,) of finite samples from blocks (channels, n); damage ends them."""
        try:
            for block in blocks:
                if block.shape[1]:
                    yield block.mean(0) if self._channel is None else block[self._channel]
        except _ERRORS:
            self._damaged = True

    def _decoded(self, track: AudioStream) -> Iterator[tuple[float, AudioFrame]]:
        """Decoded frames and their times in seconds, without damaged places."""
        time, errors = 0.0, 0
        while errors < _MOST_ERRORS:
            try:
                for packet in self._container.demux(track):
                    errors = 0
                    for frame in self._frames(track, packet):
                        if frame.pts is not None and frame.time_base:
                            time = float(frame.pts * frame.time_base)
                        yield time, frame
                        time += frame.samples / frame.sample_rate
                return
            except (av.error.FFmpegError, ValueError):
                self._damaged = True
                errors += 1

    def _frames(self, track: AudioStream, packet: av.Packet[AudioStream]) -> list[AudioFrame]:
        """The decoded frames of a packet; none if it is damaged."""
        try:
            return track.decode(packet)
        except (av.error.FFmpegError, ValueError):
            self._damaged = True
            return []


def _opened(file: Path) -> InputContainer:
    """A container with a sound track; InputError for a file without one."""
    if is_animation(file) is not None:
        raise InputError(f"{file} is a picture and has no sound; give a sound file or a video with sound")
    try:
        container = open_input(file)
    except InputError:
        raise InputError(
            f"{file} is not a sound that can be read, or it is damaged; convert it to WAV and try again"
        ) from None
    tracks = container.streams.audio
    if not tracks or not decodable(tracks[0]):
        container.close()
        raise InputError(f"{file} has no sound; give a sound file or a video with sound")
    return container


def _header_seconds(container: InputContainer, track: AudioStream) -> float | None:
    """The duration of a track in seconds by the header; None if the header does not say."""
    if track.duration and track.time_base:
        return float(track.duration * track.time_base)
    return container.duration / av.time_base if container.duration else None


def _check_length(file: Path, seconds: float | None) -> None:
    """Raise LimitError if the sound is too long."""
    if seconds is not None and math.isfinite(seconds) and seconds > LIMITS.sound_seconds:
        raise LimitError(
            f"{file} has {seconds:,.0f} s of sound, the limit is {LIMITS.sound_seconds:,.0f} s; cut it first"
        )


def write_sound(path: PathLike, sound: FloatArray, rate: int) -> Path:
    """Write a 16-bit .wav, completely or not at all.

    Args:
        path: The output.
        sound: Mono samples (n,) float32 in -1..1.
        rate: Samples per second.

    Returns:
        The path of the output.

    Raises:
        InputError: The output does not end in .wav.
        OutputError: The output cannot be written.
    """
    target = check_output(path, (".wav",))
    temp = temp_beside(target)
    try:
        with av.open(f"file:{temp.absolute()}", "w", format="wav") as container:
            stream = container.add_stream("pcm_s16le", rate=rate, layout="mono")
            assert isinstance(stream, AudioStream)
            # Write the header even if no sample follows.
            container.start_encoding()
            for at in range(0, len(sound), _BLOCK):
                piece = np.rint(np.clip(sound[None, at : at + _BLOCK], -1, 1) * _MOST_LEVEL).astype(np.int16)
                frame = AudioFrame.from_ndarray(np.ascontiguousarray(piece), format="s16", layout="mono")
                frame.sample_rate, frame.time_base, frame.pts = rate, Fraction(1, rate), at
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        publish(temp, target)
    except (av.error.FFmpegError, OSError) as error:
        raise output_error(error, target) from None
    finally:
        remove(temp)
    return target
