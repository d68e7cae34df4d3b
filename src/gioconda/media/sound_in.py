"""Sounds in: mono blocks that stream, from sound files and from videos; and out, as WAV."""

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
from gioconda.types import FloatArray

SOUND_SUFFIXES = (".wav", ".mp3", ".m4a", ".aac", ".flac", ".ogg", ".oga", ".opus", ".aif", ".aiff")
_STUBBORN = 64  # demuxer errors in a row after which a file counts as ended
_ERRORS = (av.error.FFmpegError, ValueError, RuntimeError, OSError)
_BLOCK = 16000  # samples that are written at a time


def is_sound(path: PathLike) -> bool:
    """Whether the file holds sound and no moving picture; a damaged one is told by its name."""
    file = check_input(path)
    if is_animation(file) is not None:
        return False
    try:
        with open_input(file) as container:
            return bool(container.streams.audio) and picture_stream(container) is None
    except InputError:
        return file.suffix.lower() in SOUND_SUFFIXES


def probe_sound(path: PathLike) -> float | None:
    """Seconds of sound as the header tells them, None if it does not; errors as of `read_sound`."""
    with _opened(check_input(path)) as container:
        return _told_seconds(container, container.streams.audio[0])


def read_sound(
    path: PathLike, rate: int = 16000, *, warn: Callable[[str], None] | None = None
) -> SoundReader:
    """The sound of a sound file or a video, block by block; see `SoundReader`."""
    return SoundReader(path, rate, warn)


class SoundReader(Iterator[FloatArray]):
    """Iterates over blocks (n,) float32 in -1..1 of the channels' mean at `rate` Hz, without a gap.

    Time 0 is the file's, or the first picture's of a video; silence fills holes. Opening raises MissingFileError,
    InputError (no sound, none that can be decoded) or LimitError. What is damaged later on is silent, or ends the
    sound, and is told to `warn` once, at the end.
    """

    def __init__(self, path: PathLike, rate: int, warn: Callable[[str], None] | None) -> None:
        self.path = check_input(path)
        self.rate = rate
        self.read = 0
        self._damaged = False
        self._warn = warn
        self._container = _opened(self.path)
        try:
            track = self._container.streams.audio[0]
            _check_length(self.path, _told_seconds(self._container, track))
            zero = first_picture(self.path, self._container)
            end = LIMITS.sound_seconds + 1
            # libav's own way down to one channel makes two that agree louder than they were
            layout = "mono" if track.codec_context.channels == 1 else "stereo"
            self._blocks = self._sounding(samples(self._decoded(track), layout, rate, zero, end))
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
            warn, self._warn = self._warn, None
            if self._damaged and warn is not None:
                warn(f"the sound of {self.path} is damaged; parts of it are missing")
            raise StopIteration
        self.read += len(block)
        _check_length(self.path, self.read / self.rate)
        return block

    def __enter__(self) -> SoundReader:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        with contextlib.suppress(*_ERRORS):
            self._container.close()

    def _sounding(self, blocks: Iterator[FloatArray]) -> Iterator[FloatArray]:
        """Blocks that hold samples, all of them numbers; damage ends them."""
        try:
            for block in blocks:
                if block.shape[1]:
                    yield np.clip(np.nan_to_num(block.mean(0)), -1, 1)
        except _ERRORS:
            self._damaged = True

    def _decoded(self, track: AudioStream) -> Iterator[tuple[float, AudioFrame]]:
        """Decoded frames and their times in seconds, past damaged places."""
        time, errors = 0.0, 0
        while errors < _STUBBORN:
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
        try:
            return track.decode(packet)
        except (av.error.FFmpegError, ValueError):
            self._damaged = True
            return []


def _opened(file: Path) -> InputContainer:
    """A container with a sound track; InputError for people."""
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


def _told_seconds(container: InputContainer, track: AudioStream) -> float | None:
    if track.duration and track.time_base:
        return float(track.duration * track.time_base)
    return container.duration / av.time_base if container.duration else None


def _check_length(file: Path, seconds: float | None) -> None:
    if seconds is not None and math.isfinite(seconds) and seconds > LIMITS.sound_seconds:
        raise LimitError(
            f"{file} holds {seconds:,.0f} s of sound, the limit is {LIMITS.sound_seconds:,.0f}; cut it first"
        )


def write_sound(path: PathLike, sound: FloatArray, rate: int) -> Path:
    """Write mono samples (n,) in -1..1 at `rate` Hz as a 16-bit .wav, whole or not at all; InputError, OutputError."""
    target = check_output(path, (".wav",))
    temp = temp_beside(target)
    try:
        with av.open(f"file:{temp.absolute()}", "w", format="wav") as container:
            stream = container.add_stream("pcm_s16le", rate=rate, layout="mono")
            assert isinstance(stream, AudioStream)
            container.start_encoding()  # a header even where no sample follows
            for at in range(0, len(sound), _BLOCK):
                piece = np.rint(np.clip(sound[None, at : at + _BLOCK], -1, 1) * 32767).astype(np.int16)
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
