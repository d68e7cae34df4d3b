"""Reads videos frame by frame, upright and with their real times, even from unusual or damaged files."""

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
from gioconda.media.colour import is_hdr, to_standard_range
from gioconda.media.deinterlace import without_combs
from gioconda.media.files import PathLike, check_input
from gioconda.media.formats import DECODERS, DEMUXERS, decodable
from gioconda.media.pictures import UPRIGHT, Turn, animation_frames, is_animation, open_picture, turn
from gioconda.media.wide_stills import is_heic
from gioconda.types import RGBA, Frame, Image

# PyAV before 19 refuses metadata that is not UTF-8 unless it may replace bytes; 19 has no such argument.
_LENIENT: dict[str, Any] = {} if int(av.__version__.split(".")[0]) >= 19 else {"metadata_errors": "replace"}
# Demuxer errors in a row after which a file counts as ended.
_MOST_ERRORS = 64
# Decoders that keep the transparency which libav's own decoders of VP8 and VP9 leave out.
_WITH_ALPHA = {"vp8": "libvpx", "vp9": "libvpx-vp9"}
# Share of the declared frames below which a file counts as incomplete.
_COMPLETE = 0.9
# Steps by which a frame's time may go back before the file's clock counts as reset.
_RESET_STEPS = 10
# Share of a step by which a frame follows the last if its own time does not, so that the next can keep its own.
_SMALL_STEP = 4
# Rate in frames per second where the file declares none, and exclusive bounds of a plausible one.
_DEFAULT_FPS = 25.0
_FPS_BOUNDS = (0.01, 500.0)
# Seconds between frames of an animation that declares none.
_DEFAULT_STEP = 0.1
# Bounds of a plausible ratio of a pixel's sides.
_PIXEL_RATIOS = (0.25, 4.0)
# Height in pixels from which untagged video is BT.709, and FFmpeg's numbers for BT.709 and for untagged video.
_HD_HEIGHT = 720
_BT709, _UNTAGGED = 1, 2
# Bytes by which a container is recognised.
_HEAD_BYTES = 12


@dataclass(frozen=True)
class VideoInfo:
    """What is known of a video before its frames are read.

    Attributes:
        path: The file.
        width: Width of the upright frames in pixels.
        height: Height of the upright frames in pixels.
        fps: Average rate in frames per second.
        frames: Number of frames, an estimate.
        seconds: Duration in seconds, an estimate.
        has_audio: Whether the file has a sound track.
    """

    path: Path
    width: int
    height: int
    fps: float
    frames: int
    seconds: float
    has_audio: bool


def open_input(file: Path) -> InputContainer:
    """Open a local file, but no playlist or address, as a libav container; InputError if that fails."""
    options = {
        "protocol_whitelist": "file",
        "format_whitelist": DEMUXERS,
        "codec_whitelist": DECODERS,
        "max_pixels": str(LIMITS.video_pixels),
    }
    try:
        container: InputContainer = av.open(f"file:{file.absolute()}", "r", options=options, **_LENIENT)
        return container
    except (av.error.FFmpegError, ValueError):
        raise InputError(
            f"{file} is not a video that can be read, or it is damaged; convert it to mp4 and try again"
        ) from None


def picture_stream(container: InputContainer) -> VideoStream | None:
    """Return the first video stream that can be decoded and is not cover art; None if there is none."""
    for stream in container.streams.video:
        if not stream.disposition & Disposition.attached_pic and decodable(stream):
            return stream
    return None


def is_video(path: PathLike) -> bool:
    """Return whether a file is a video, or an animated GIF, WebP, PNG or AVIF; errors as `check_input`."""
    file = check_input(path)
    moves = is_animation(file)
    if moves is not None:
        return moves
    with file.open("rb") as stream:
        head = stream.read(_HEAD_BYTES)
    if is_heic(head):
        return False
    looks_like_video = head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide") or head[:4] in (
        b"\x1aE\xdf\xa3",
        b"OggS",
    )
    try:
        with open_input(file) as container:
            return picture_stream(container) is not None
    except InputError:
        # A damaged video counts as a video, so that its reader reports the damage.
        return looks_like_video


def probe(path: PathLike) -> VideoInfo:
    """Return size, rate and duration of a video after decoding its first frame; errors as `VideoReader`."""
    with VideoReader(path) as reader:
        return reader.info


def read_frames(path: PathLike) -> VideoReader:
    """Open a video to iterate over its frames; see `VideoReader`."""
    return VideoReader(path)


class VideoReader(Iterator[Frame]):
    """Iterates over the frames of a video, upright and of one size, at strictly increasing times from 0.

    Attributes:
        path: The file.
        info: Size, rate and duration.
        read: Frames that were read so far.
        skipped: Frames that were skipped because they are damaged.
        truncated: Whether the file ended early; complete at the end.
        start: The time of the first frame in the file, in seconds.
    """

    def __init__(self, path: PathLike) -> None:
        """Open a video and decode its first frame.

        Raises:
            MissingFileError: The file does not exist.
            InputError: The file is not a video, or no frame can be read.
            LimitError: The frames are too large, or the video is too long.
        """
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
            image, seconds = self._next_decoded()
            if self.read >= LIMITS.video_frames:
                raise LimitError(f"{self.path} has more than {LIMITS.video_frames:,} frames; cut it first")
            time = self._time(seconds)
            if time > LIMITS.video_seconds:
                raise LimitError(f"{self.path} is longer than {LIMITS.video_seconds:,.0f} s; cut it first")
            self.read += 1
            image = self._fit(image)
            if image.shape[2] == RGBA:
                return Frame(np.ascontiguousarray(image[..., :3]), time, np.ascontiguousarray(image[..., 3]))
            return Frame(image, time)

    def __enter__(self) -> VideoReader:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._raw: Iterator[tuple[Image, float | None]] = iter(())
        self._first: tuple[Image, float | None] | None = None
        if self._container is not None:
            self._container.close()
            self._container = None

    def _next_decoded(self) -> tuple[Image, float | None]:
        """The next frame and its time in the file."""
        if self._first is not None:
            first, self._first = self._first, None
            return first
        try:
            return next(self._raw)
        except StopIteration:
            expected = self.info.frames if self._counted else 0
            self.truncated |= self.read > 0 and self.read < _COMPLETE * expected
            self.close()
            raise

    def _take_first(self) -> Image:
        """Decode the first frame and keep it for the iteration."""
        self._first = next(self._raw, None)
        if self._first is None:
            raise InputError(f"{self.path}: no frame can be read; copy or convert the file again")
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
            if time < self._last - _RESET_STEPS * step or time > self._last + LIMITS.video_seconds:
                # The file's clock was reset.
                self._shift += self._last + step - time
                time = self._last + step
            elif time <= self._last:
                time = self._last + step / _SMALL_STEP
        self._last = time
        return time

    def _fit(self, image: Image) -> Image:
        """Resize frames after a change of size within the file to the size of the first."""
        size = (self.info.width, self.info.height)
        if image.shape[1::-1] != size:
            image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
        return image

    def _open_animation(self) -> None:
        """Open an animated picture."""
        with open_picture(self.path) as picture:
            width, height = picture.size
            frames = int(getattr(picture, "n_frames", 1))
        _check_size(self.path, width, height)
        self._counted = True
        self._raw = self._animation()
        self._take_first()
        seconds, second = self._first_step()
        if seconds * frames > LIMITS.video_seconds or frames > LIMITS.video_frames:
            raise LimitError(
                f"{self.path} has {frames:,} frames of {seconds:g} s, the limits are {LIMITS.video_frames:,} frames "
                f"and {LIMITS.video_seconds:,.0f} s; cut it first"
            )
        self._raw = _chain(second, self._raw)
        self.info = VideoInfo(
            self.path, width, height, 1.0 / seconds, frames, seconds * frames, has_audio=False
        )

    def _first_step(self) -> tuple[float, tuple[Image, float | None] | None]:
        """Seconds between the first two frames, and the second frame, which had to be read."""
        second = next(self._raw, None)
        return (second[1] or _DEFAULT_STEP if second else _DEFAULT_STEP), second

    def _animation(self) -> Iterator[tuple[Image, float | None]]:
        """The frames of an animated picture until the first damage."""
        try:
            yield from animation_frames(self.path)
        # PIL may raise anything on damaged bytes.
        except Exception:
            self.skipped += 1
            self.truncated = True

    def _open_video(self) -> None:
        """Open a video with libav."""
        self._container = open_input(self.path)
        stream = picture_stream(self._container)
        if stream is None:
            raise InputError(f"{self.path} has no video stream; give a video file")
        _check_size(self.path, stream.width, stream.height)
        seconds, fps, frames = _length(self.path, self._container, stream)
        self._counted = stream.frames > 0
        stream.thread_type = "AUTO"
        stream.codec_context.thread_count = 2
        # The size may grow within the file.
        stream.codec_context.options = {"max_pixels": str(LIMITS.video_pixels)}
        self._raw = self._decode(self._container, stream)
        height, width = self._take_first().shape[:2]
        has_audio = len(self._container.streams.audio) > 0
        self.info = VideoInfo(self.path, width, height, fps, frames, seconds, has_audio)

    def _decode(self, container: InputContainer, stream: VideoStream) -> Iterator[tuple[Image, float | None]]:
        """Decoded frames and their times, without damaged ones."""
        for frame in without_combs(self._decoded(container, stream), stream):
            try:
                yield picture_of(frame, stream), _seconds(frame, stream)
            except LimitError:
                if self.read == 0:
                    raise
                self.skipped += 1
            except (av.error.FFmpegError, ValueError, cv2.error):
                self.skipped += 1

    def _decoded(self, container: InputContainer, stream: VideoStream) -> Iterator[VideoFrame]:
        """Frames as the codec gives them, past damaged places."""
        decoder = _decoder(stream)
        for packet in self._packets(container, stream):
            try:
                frames = decoder.decode(packet)
            except (av.error.FFmpegError, ValueError):
                self.skipped += 1
                continue
            yield from frames

    def _packets(self, container: InputContainer, stream: VideoStream) -> Iterator[Any]:
        """Packets without damaged places, and at last None, which flushes the decoder."""
        errors = 0
        while errors < _MOST_ERRORS:
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
    """A frame, if there is one, and then the others."""
    if first is not None:
        yield first
        yield from rest


def _check_size(file: Path, width: int, height: int) -> None:
    """Raise LimitError for frames with too many pixels."""
    if width * height > LIMITS.video_pixels:
        raise LimitError(
            f"{file} has frames of {width}x{height} = {width * height:,} pixels, the limit is "
            f"{LIMITS.video_pixels:,}; shrink it first"
        )


def _length(file: Path, container: InputContainer, stream: VideoStream) -> tuple[float, float, int]:
    """Duration in seconds, frames per second and number of frames; LimitError for a video that is too long."""
    fps = float(stream.average_rate or stream.guessed_rate or _DEFAULT_FPS)
    # A browser's recordings declare the 1000 units per second of their clock.
    if not _FPS_BOUNDS[0] < fps < _FPS_BOUNDS[1]:
        fps = _DEFAULT_FPS
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
    """Duration in seconds by the packets' times, for files whose header does not say; nothing is decoded."""
    first, last = math.inf, -math.inf
    with open_input(file) as container, contextlib.suppress(av.error.FFmpegError, ValueError):
        stream = picture_stream(container)
        for packet in container.demux(stream) if stream else ():
            if packet.pts is not None:
                time = float(packet.pts * packet.time_base)
                first, last = min(first, time), max(last, time)
    return max(last - first, 0.0)


def _decoder(stream: VideoStream) -> Any:
    """What decodes a stream's packets: of VP8 and VP9 with transparency a decoder that does not leave it out."""
    name = _WITH_ALPHA.get(stream.codec_context.name)
    if name is None or stream.metadata.get("alpha_mode") != "1":
        return stream
    try:
        decoder: Any = av.CodecContext.create(name, "r")
    except (av.error.FFmpegError, ValueError):
        return stream
    decoder.extradata = stream.codec_context.extradata
    decoder.thread_count = 2
    return decoder


def _seconds(frame: VideoFrame, stream: VideoStream) -> float | None:
    """The time of a frame in seconds; None if it has none."""
    # The decoder's last frames have no time base of their own.
    base = frame.time_base or stream.time_base
    return float(frame.pts * base) if frame.pts is not None and base else None


def picture_of(frame: VideoFrame, stream: VideoStream) -> Image:
    """Convert a decoded frame of a stream to (H, W, 3 or 4) uint8 RGB, upright, with square pixels.

    It lies over white where it is transparent, and high dynamic range becomes BT.709. If the format has transparency,
    alpha is the fourth channel.
    """
    _check_size(Path(stream.container.name), frame.width, frame.height)
    # Untagged high definition is BT.709 by convention; swscale assumes BT.601.
    colour = _BT709 if frame.colorspace == _UNTAGGED and frame.height >= _HD_HEIGHT else None
    transfer = int(stream.codec_context.color_trc)
    if is_hdr(transfer):
        wide = frame.reformat(width=_square(frame.width, stream), format="rgb48le", threads=1)
        return turn(to_standard_range(np.asarray(wide.to_ndarray(), np.uint16), transfer), _display(frame))
    alpha = any(component.is_alpha for component in frame.format.components)
    converted = frame.reformat(
        width=_square(frame.width, stream),
        format="rgba" if alpha else "rgb24",
        src_colorspace=colour,
        threads=1,
    )
    image = np.asarray(converted.to_ndarray(), np.uint8)
    if alpha and frame.format.name != "pal8":
        weight = image[:, :, 3:].astype(np.uint16)
        over = ((image[:, :, :3] * weight + 255 * (255 - weight) + 127) // 255).astype(np.uint8)
        return turn(np.dstack([over, image[:, :, 3]]), _display(frame))
    return turn(np.ascontiguousarray(image[:, :, :3]), _display(frame))


def _square(width: int, stream: VideoStream) -> int | None:
    """The width that makes pixels square; None if they are."""
    ratio = stream.sample_aspect_ratio
    if not ratio or ratio == 1 or not _PIXEL_RATIOS[0] <= ratio <= _PIXEL_RATIOS[1]:
        return None
    return max(round(width * ratio), 1)


def _display(frame: VideoFrame) -> Turn:
    """The turn and flips of the display matrix, to the nearest quarter turn."""
    try:
        # PyAV's stubs give it the type of one entry.
        data: Any = frame.side_data
        matrix = np.frombuffer(bytes(data["DISPLAYMATRIX"]), np.int32)[[0, 1, 3, 4]]
    except (KeyError, IndexError, ValueError):
        return UPRIGHT
    a, b, c, d = (int(value) for value in matrix)
    if abs(b) + abs(c) > abs(a) + abs(d):
        return True, b < 0, c < 0
    return False, d < 0, a < 0
