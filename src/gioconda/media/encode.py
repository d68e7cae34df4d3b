"""Encodes frames in one of the formats of `containers`, with sound."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.error
import cv2
import numpy as np
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from gioconda.media.containers import video_format
from gioconda.media.encoders import PIXELS, bit_rate
from gioconda.media.sound import SoundTrack, Timed, Warn, open_sound
from gioconda.runtime.devices import SOFTWARE_ENCODER
from gioconda.types import RGB, RGBA, Image

# Formats of pixels that are stored as they are.
_RGB_PIXELS = ("rgb24", "rgba")
# H.264's number for BT.709: its matrix, primaries and transfer alike.
_BT709 = 1
# FFmpeg's number for the range of levels from 16 to 235.
_VIDEO_RANGE = 1
# Bounds of the nominal rate in frames per second, and its largest denominator.
_RATE_BOUNDS = (0.1, 1000.0)
_RATE_DENOMINATOR = 1001

# Weights of R, G and B in luma, ITU-R BT.709.
_WEIGHTS = np.array([0.2126, 0.7152, 0.0722])
# From R, G, B and 1 to Y, U and V in video range: luma has 219 levels above 16, chroma 224 around 128.
_TO_YUV = np.array(
    [
        [*(_WEIGHTS * 219 / 255), 16],
        [*((np.array([0, 0, 1]) - _WEIGHTS) * 224 / 255 / (2 * (1 - _WEIGHTS[2]))), 128],
        [*((np.array([1, 0, 0]) - _WEIGHTS) * 224 / 255 / (2 * (1 - _WEIGHTS[0]))), 128],
    ],
    np.float32,
)


def to_yuv420(image: Image) -> Image:
    """Convert RGB to planar 4:2:0, BT.709, video range, in a third of swscale's time and with the same error.

    Args:
        image: The picture (H, W, 3) uint8 RGB; H and W are even.

    Returns:
        The planes Y, U and V, (H * 3 / 2, W) uint8.
    """
    height, width = image.shape[:2]
    half = cv2.resize(image, (width // 2, height // 2), interpolation=cv2.INTER_AREA)
    colour = cv2.transform(half, _TO_YUV)
    planes = np.empty(height * width * 3 // 2, np.uint8)
    luma, quarter = height * width, height * width // 4
    full = cv2.transform(image, _TO_YUV)
    parts = (planes[:luma], planes[luma : luma + quarter], planes[luma + quarter :])
    for channel, (source, plane) in enumerate(zip((full, colour, colour), parts, strict=True)):
        cv2.extractChannel(source, channel, dst=plane.reshape(source.shape[:2]))
    return planes.reshape(height * 3 // 2, width)


def with_alpha(planes: Image, size: tuple[int, int]) -> VideoFrame:
    """A frame of the planes Y, U, V and alpha, (H * 5 / 2, W) uint8, of a size (W, H); PyAV has no call for it."""
    width, height = size
    frame = VideoFrame(width, height, "yuva420p")
    flat, start = planes.ravel(), 0
    for plane in frame.planes:
        pixels = flat[start : start + plane.width * plane.height].reshape(plane.height, plane.width)
        lines = np.zeros((plane.height, plane.line_size), np.uint8)
        lines[:, : plane.width] = pixels
        plane.update(lines.tobytes())
        start += pixels.size
    return frame


def even(size: tuple[int, int]) -> tuple[int, int]:
    """Round width and height up to even numbers, which 4:2:0 needs."""
    return size[0] + size[0] % 2, size[1] + size[1] % 2


class StreamEncoder:
    """Encodes frames into a video file."""

    def __init__(
        self,
        temp: Path,
        size: tuple[int, int],
        *,
        times: Sequence[float],
        last: float,
        audio_from: SoundTrack | None,
        warn: Warn,
        alpha: bool = False,
        encoder: str = SOFTWARE_ENCODER,
    ) -> None:
        """Open the file.

        Args:
            temp: The file to write; its suffix decides the format.
            size: Width and height of the frames in pixels.
            times: The times of all frames in seconds, from 0.
            last: Seconds for which the last frame is shown.
            audio_from: The sound that is added; None for silence.
            warn: Called with a sentence about lost sound.
            alpha: Whether the frames have an alpha channel.
            encoder: Of .mp4, as `usable_encoder` returns it.
        """
        self._format = video_format(temp.suffix.lower(), alpha=alpha, encoder=encoder)
        self._hardware = encoder != SOFTWARE_ENCODER
        self._clock = self._format.clock
        self._size = size if self._format.pixels in _RGB_PIXELS else even(size)
        self._last = max(round(last * self._clock), 1)
        self._end = times[-1] + last
        self._pts = -1
        self._warn = warn
        self._container = av.open(
            f"file:{temp.absolute()}",
            "w",
            format=self._format.container,
            container_options=dict(self._format.loop),
        )
        self._stream = self._add_stream(len(times) / self._end)
        self._sound: Iterator[Timed] = iter(())
        if audio_from is not None and self._format.sound:
            self._sound = open_sound(audio_from, self._container, self._end, warn)
        self._waiting: Timed | None = None

    def _add_stream(self, fps: float) -> VideoStream:
        """Add the video stream."""
        low, high = _RATE_BOUNDS
        rate = Fraction(min(max(fps, low), high)).limit_denominator(_RATE_DENOMINATOR)
        stream = self._container.add_stream(self._format.codec, rate=rate, options=dict(self._format.options))
        assert isinstance(stream, VideoStream)
        stream.width, stream.height = self._size
        # PyAV converts the frames to these pixels.
        stream.pix_fmt = PIXELS if self._hardware else self._format.pixels
        context = stream.codec_context
        if self._hardware:
            context.bit_rate = bit_rate(self._size, fps)
        context.time_base = Fraction(1, self._clock)
        context.colorspace = context.color_primaries = context.color_trc = _BT709
        context.color_range = _VIDEO_RANGE
        return stream

    def prepare(self, image: Image) -> Image:
        """Convert a picture for `add`; called in the writer's thread.

        Each library call releases the interpreter's lock, and a thread beside busy Python waits long to get it back.
        Therefore the encoder's thread makes as few calls as possible.

        Args:
            image: The picture (H, W, 3) uint8 RGB, or (H, W, 4) RGBA.

        Returns:
            For a format in planar 4:2:0, a copy (H * 3 / 2, W) uint8, with H and W rounded up to even numbers; alpha
            follows as another plane, so that it is (H * 5 / 2, W). For other formats, a copy of the picture.
        """
        if image.shape[1::-1] != self._size:
            right, below = self._size[0] - image.shape[1], self._size[1] - image.shape[0]
            border = cv2.copyMakeBorder(image, 0, below, 0, right, cv2.BORDER_REPLICATE)
            image = np.asarray(border, np.uint8)
        if self._format.pixels == "yuv420p":
            return to_yuv420(image)
        if self._format.pixels != "yuva420p":
            return image.copy()
        planes = to_yuv420(np.ascontiguousarray(image[..., :RGB]))
        return np.concatenate([planes, image[..., RGB]])

    def add(self, prepared: Image, time: float) -> None:
        """Encode one prepared picture, shown from `time` in seconds."""
        frame = self._frame(prepared)
        frame.colorspace = _BT709
        frame.color_range = _VIDEO_RANGE
        frame.time_base = Fraction(1, self._clock)
        self._pts = frame.pts = max(round(time * self._clock), self._pts + 1)
        self._mux(self._stream.encode(frame))

    def _frame(self, prepared: Image) -> VideoFrame:
        """A prepared picture as a frame in the format's pixels."""
        pixels = self._format.pixels
        if pixels == "yuva420p":
            return with_alpha(prepared, self._size)
        if pixels == "yuv420p":
            # PyAV's way without a copy needs heights that are divisible by four.
            return VideoFrame.from_ndarray(prepared, pixels)
        frame = VideoFrame.from_ndarray(prepared, "rgba" if prepared.shape[2] == RGBA else "rgb24")
        if pixels in _RGB_PIXELS:
            return frame
        return frame.reformat(format=pixels, dst_colorspace=_BT709, threads=1)

    def finish(self) -> None:
        """Write the remaining frames, the rest of the sound and the index."""
        self._mux(self._stream.encode(None))
        self._mux_sound(min(self._end, (self._pts + self._last) / self._clock))
        self._container.close()

    def abort(self) -> None:
        """Close the file, whose content is of no use."""
        self._container.close()

    def _mux(self, packets: list[Any]) -> None:
        """Write encoded frames, with the sound that precedes them."""
        for packet in packets:
            if packet.pts == self._pts:
                packet.duration = self._last
            self._mux_sound(float(packet.dts * packet.time_base))
            self._container.mux(packet)

    def _mux_sound(self, until: float) -> None:
        """Write the sound up to a time in seconds."""
        while True:
            timed = self._waiting or next(self._sound, None)
            self._waiting = None
            if timed is None:
                return
            if timed[0] > until:
                self._waiting = timed
                return
            try:
                self._container.mux(timed[1])
            except (av.error.InvalidDataError, av.error.ArgumentError, ValueError) as error:
                self._warn(f"the sound is damaged ({error}); it ends early")
                self._sound = iter(())
