"""Videos in: frames that stream upright, with real times, from files that may be odd or damaged."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import av.error
import cv2
import numpy as np
from av.container import InputContainer
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from gioconda.errors import InputError, LimitError
from gioconda.limits import LIMITS, check_seconds
from gioconda.media.files import PathLike, check_input
from gioconda.media.formats import DECODERS, DEMUXERS, decodable
from gioconda.media.pictures import UPRIGHT, Turn, animation_frames, is_animation, open_picture, turn
from gioconda.types import Frame, Image

_STUBBORN = 64  # demuxer errors in a row after which a file counts as ended


@dataclass(frozen=True)
class VideoInfo:
    """What is known of a video before its frames are read.

    width, height: of the upright picture, in pixels. fps: average rate. frames: an estimate.
    """

    path: Path
    width: int
    height: int
    fps: float
    frames: int
    seconds: float
    has_audio: bool


def open_input(file: Path) -> InputContainer:
    """A libav container of a local file, never of a playlist or an address; raises InputError."""
    options = {
        "protocol_whitelist": "file",
        "format_whitelist": DEMUXERS,
        "codec_whitelist": DECODERS,
        "max_pixels": str(LIMITS.video_pixels),
    }
    try:
        return av.open(f"file:{file.absolute()}", "r", options=options, metadata_errors="replace")
    except (av.error.FFmpegError, ValueError):
        raise InputError(
            f"{file} is not a video that can be read, or it is damaged; convert it to mp4 and try again"
        ) from None


def picture_stream(container: InputContainer) -> VideoStream | None:
    """The first real video stream that may be decoded; cover art does not count."""
    for stream in container.streams.video:
        if not stream.disposition & Disposition.attached_pic and decodable(stream):
            return stream
    return None


def is_video(path: PathLike) -> bool:
    """Whether the file's content moves: videos, and animated GIF, WebP, PNG or AVIF."""
    file = check_input(path)
    moves = is_animation(file)
    if moves is not None:
        return moves
    with file.open("rb") as stream:
        head = stream.read(12)
    if head[4:8] == b"ftyp" and head[8:12] in (b"heic", b"heix", b"mif1", b"msf1", b"hevc"):
        return False
    looks = head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide") or head[:4] in (b"\x1aE\xdf\xa3", b"OggS")
    try:
        with open_input(file) as container:
            return picture_stream(container) is not None
    except InputError:
        return looks  # a damaged video is still a video, and is told so when it is read


def probe(path: PathLike) -> VideoInfo:
    """Size, rate and length of a video, its first frame decoded to be sure; InputError or LimitError."""
    with VideoReader(path) as reader:
        return reader.info


def read_frames(path: PathLike) -> VideoReader:
    """Frames of a video, streaming; see `VideoReader`."""
    return VideoReader(path)


class VideoReader(Iterator[Frame]):
    """Iterates over a video's frames, all upright, of one size, at strictly increasing times from 0.

    Damaged frames are skipped and counted in `skipped`; `truncated` tells, at the end, that the file
    stopped early; `start` is the first frame's time in the file, in seconds. Opening raises
    MissingFileError, InputError (no frame can be read) or LimitError.
    """

    def __init__(self, path: PathLike) -> None:
        self.path = check_input(path)
        self.skipped = 0
        self.truncated = False
        self.read = 0
        self.start = 0.0
        self._container: InputContainer | None = None
        self._last = -1.0
        self._shift = 0.0
        try:
            moves = is_animation(self.path)
            if moves:
                self._open_animation()
            elif moves is False:
                raise InputError(f"{self.path} is a still picture; give a video file")
            else:
                self._open_video()
        except BaseException:
            self.close()
            raise

    def __next__(self) -> Frame:
        while True:
            image, seconds = self._next_raw()
            if self.read >= LIMITS.video_frames:
                raise LimitError(f"{self.path} has more than {LIMITS.video_frames:,} frames; cut it first")
            time = self._time(seconds)
            if time > LIMITS.video_seconds:
                raise LimitError(f"{self.path} is longer than {LIMITS.video_seconds:,.0f} s; cut it first")
            self.read += 1
            return Frame(self._fit(image), time)

    def __enter__(self) -> VideoReader:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        self._raw: Iterator[tuple[Image, float | None]] = iter(())
        self._first: tuple[Image, float | None] | None = None
        if self._container is not None:
            self._container.close()
            self._container = None

    def _next_raw(self) -> tuple[Image, float | None]:
        if self._first is not None:
            first, self._first = self._first, None
            return first
        try:
            return next(self._raw)
        except StopIteration:
            expected = self.info.frames if self._counted else 0
            self.truncated |= self.read > 0 and self.read < 0.9 * expected
            self.close()
            raise

    def _take_first(self) -> Image:
        self._first = next(self._raw, None)
        if self._first is None:
            raise InputError(f"{self.path}: not one frame can be read; copy or convert it again")
        self.start = self._first[1] or 0.0
        return self._first[0]

    def _time(self, seconds: float | None) -> float:
        """Seconds from the first frame, made to increase where the file's own times do not."""
        step = 1.0 / self.info.fps
        if self._last < 0:
            time = 0.0
        elif seconds is None or not math.isfinite(seconds):
            time = self._last + step
        else:
            time = seconds - self.start + self._shift
            if time < self._last - 10 * step or time > self._last + LIMITS.video_seconds:
                self._shift += self._last + step - time  # the file's clock was set anew
                time = self._last + step
            elif time <= self._last:
                time = self._last + step / 4  # so that the next frame can keep its own time
        self._last = time
        return time

    def _fit(self, image: Image) -> Image:
        """Frames after a change of size within the file are brought to the first one's."""
        size = (self.info.width, self.info.height)
        if image.shape[1::-1] != size:
            image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
        return image

    def _open_animation(self) -> None:
        with open_picture(self.path) as picture:
            width, height = picture.size
            frames = int(getattr(picture, "n_frames", 1))
        _check_size(self.path, width, height)
        self._counted = True
        self._raw = self._animation()
        self._take_first()
        seconds, second = self._first_step()
        if seconds * frames > LIMITS.video_seconds or frames > LIMITS.video_frames:
            raise LimitError(f"{self.path} has {frames:,} frames, more than are allowed; cut it first")
        self._raw = _chain(second, self._raw)
        self.info = VideoInfo(
            self.path, width, height, 1.0 / seconds, frames, seconds * frames, has_audio=False
        )

    def _first_step(self) -> tuple[float, tuple[Image, float | None] | None]:
        """Seconds between the first two frames, and the second, which was read to know."""
        second = next(self._raw, None)
        return (second[1] or 0.1 if second else 0.1), second

    def _animation(self) -> Iterator[tuple[Image, float | None]]:
        try:
            yield from animation_frames(self.path)
        except Exception:  # PIL may raise anything on damaged bytes
            self.skipped += 1
            self.truncated = True

    def _open_video(self) -> None:
        self._container = open_input(self.path)
        stream = picture_stream(self._container)
        if stream is None:
            raise InputError(f"{self.path} has no moving picture; give a video file")
        _check_size(self.path, stream.width, stream.height)
        seconds, fps, frames = _length(self.path, self._container, stream)
        self._counted = stream.frames > 0
        stream.thread_type = "AUTO"
        stream.codec_context.thread_count = 2
        stream.codec_context.options = {"max_pixels": str(LIMITS.video_pixels)}  # for a size that grows later
        self._raw = self._decode(self._container, stream)
        height, width = self._take_first().shape[:2]
        has_audio = len(self._container.streams.audio) > 0
        self.info = VideoInfo(self.path, width, height, fps, frames, seconds, has_audio)

    def _decode(self, container: InputContainer, stream: VideoStream) -> Iterator[tuple[Image, float | None]]:
        for packet in self._packets(container, stream):
            try:
                frames = stream.decode(packet)
            except (av.error.FFmpegError, ValueError):
                self.skipped += 1
                continue
            for frame in frames:
                try:
                    yield _picture(frame, stream), _seconds(frame, stream)
                except LimitError:
                    if self.read == 0:
                        raise
                    self.skipped += 1
                except (av.error.FFmpegError, ValueError, cv2.error):
                    self.skipped += 1

    def _packets(self, container: InputContainer, stream: VideoStream) -> Iterator[Any]:
        """Packets, past damaged places, and at last None, which empties the decoder."""
        errors = 0
        while errors < _STUBBORN:
            try:
                for packet in container.demux(stream):
                    errors = 0
                    if packet.size:
                        yield packet
                break
            except (av.error.FFmpegError, ValueError):
                errors += 1
                self.truncated = True
        yield None


def _chain(
    first: tuple[Image, float | None] | None, rest: Iterator[tuple[Image, float | None]]
) -> Iterator[tuple[Image, float | None]]:
    if first is not None:
        yield first
        yield from rest


def _check_size(file: Path, width: int, height: int) -> None:
    if width * height > LIMITS.video_pixels:
        raise LimitError(
            f"{file} has frames of {width}x{height} = {width * height:,} pixels, the limit is "
            f"{LIMITS.video_pixels:,}; shrink it first"
        )


def _length(file: Path, container: InputContainer, stream: VideoStream) -> tuple[float, float, int]:
    """Seconds, frames a second and number of frames; LimitError if it is too long."""
    fps = float(stream.average_rate or stream.guessed_rate or 25)
    if not 0.01 < fps < 500:  # a browser's recordings tell their clock's 1000 a second
        fps = 25.0
    if stream.duration and stream.time_base:
        seconds = float(stream.duration * stream.time_base)
    elif container.duration:
        seconds = container.duration / av.time_base
    else:
        seconds = _scan(file)
    seconds = max(seconds, 1.0 / fps)
    frames = stream.frames or max(round(seconds * fps), 1)
    check_seconds(file, seconds)
    if frames > LIMITS.video_frames:
        raise LimitError(f"{file} has {frames:,} frames, the limit is {LIMITS.video_frames:,}; cut it first")
    return seconds, fps, frames


def _scan(file: Path) -> float:
    """Seconds by the packets' own times, for files whose header does not tell; nothing is decoded."""
    first, last = math.inf, -math.inf
    with open_input(file) as container, contextlib.suppress(av.error.FFmpegError, ValueError):
        stream = picture_stream(container)
        for packet in container.demux(stream) if stream else ():
            if packet.pts is not None:
                time = float(packet.pts * packet.time_base)
                first, last = min(first, time), max(last, time)
    return max(last - first, 0.0)


def _seconds(frame: VideoFrame, stream: VideoStream) -> float | None:
    base = frame.time_base or stream.time_base  # what the decoder gives at the end bears no unit
    return float(frame.pts * base) if frame.pts is not None and base else None


def _picture(frame: VideoFrame, stream: VideoStream) -> Image:
    """A decoded frame as upright RGB with square pixels; alpha is laid over white."""
    _check_size(Path(stream.container.name), frame.width, frame.height)
    # Untagged high definition is BT.709 by custom; swscale would take it for BT.601.
    colour = 1 if frame.colorspace == 2 and frame.height >= 720 else None
    alpha = any(part.is_alpha for part in frame.format.components)
    made = frame.reformat(
        width=_square(frame.width, stream),
        format="rgba" if alpha else "rgb24",
        src_colorspace=colour,
        threads=1,
    )
    image = np.asarray(made.to_ndarray(), np.uint8)
    if alpha and frame.format.name != "pal8":
        weight = image[:, :, 3:].astype(np.uint16)
        image = ((image[:, :, :3] * weight + 255 * (255 - weight) + 127) // 255).astype(np.uint8)
    return turn(np.ascontiguousarray(image[:, :, :3]), _display(frame))


def _square(width: int, stream: VideoStream) -> int | None:
    """The width that makes pixels square, or None where they are."""
    ratio = stream.sample_aspect_ratio
    if not ratio or ratio == 1 or not 0.25 <= ratio <= 4:
        return None
    return max(round(width * ratio), 1)


def _display(frame: VideoFrame) -> Turn:
    """The turn and flips that the display matrix asks for, to the nearest quarter."""
    try:
        data: Any = frame.side_data  # PyAV's stubs give it the type of one entry
        matrix = np.frombuffer(bytes(data["DISPLAYMATRIX"]), np.int32)[[0, 1, 3, 4]]
    except (KeyError, IndexError, ValueError):
        return UPRIGHT
    a, b, c, d = (int(value) for value in matrix)
    if abs(b) + abs(c) > abs(a) + abs(d):
        return True, b < 0, c < 0
    return False, d < 0, a < 0
