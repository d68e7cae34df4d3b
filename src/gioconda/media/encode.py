"""Frames to H.264 in mp4 or VP9 in webm, the sound beside them."""

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

from gioconda.media.sound import Timed, Warn, open_sound
from gioconda.types import Image

# Without B-frames decoding order is showing order, so that mp4 can hold any frame's true duration.
_X264 = {"preset": "superfast", "crf": "18", "bf": "0", "threads": "2", "x264-params": "chromaloc=1"}
_VP9 = {"deadline": "realtime", "cpu-used": "8", "row-mt": "1", "crf": "24", "b": "0", "threads": "2"}
_BT709 = 1  # the number that H.264 gives to BT.709's matrix, primaries and transfer alike
_VIDEO_RANGE = 1

_WEIGHTS = np.array([0.2126, 0.7152, 0.0722])  # of R, G, B in luma, ITU-R BT.709
_TO_YUV = np.array(
    [
        [*(_WEIGHTS * 219 / 255), 16],
        [*((np.array([0, 0, 1]) - _WEIGHTS) * 224 / 255 / (2 * (1 - _WEIGHTS[2]))), 128],
        [*((np.array([1, 0, 0]) - _WEIGHTS) * 224 / 255 / (2 * (1 - _WEIGHTS[0]))), 128],
    ],
    np.float32,
)


def to_yuv420(image: Image) -> Image:
    """RGB (H, W, 3) with even sides as planar 4:2:0 (H * 3 / 2, W), BT.709, video range.

    A third of swscale's time, at the same error.
    """
    height, width = image.shape[:2]
    half = cv2.resize(image, (width // 2, height // 2), interpolation=cv2.INTER_AREA)
    colour = cv2.transform(half, _TO_YUV)
    planes = np.empty(height * width * 3 // 2, np.uint8)
    luma, quarter = height * width, height * width // 4
    planes[:luma] = cv2.extractChannel(cv2.transform(image, _TO_YUV), 0).ravel()
    planes[luma : luma + quarter] = cv2.extractChannel(colour, 1).ravel()
    planes[luma + quarter :] = cv2.extractChannel(colour, 2).ravel()
    return planes.reshape(height * 3 // 2, width)


def even(size: tuple[int, int]) -> tuple[int, int]:
    """Sides rounded up to what 4:2:0 can hold; the last column or row is repeated to fill them."""
    return size[0] + size[0] % 2, size[1] + size[1] % 2


class StreamEncoder:
    """Writes mp4 or webm to `temp`; `times` are all the frames' times in seconds, from 0."""

    def __init__(
        self,
        temp: Path,
        size: tuple[int, int],
        *,
        times: Sequence[float],
        last: float,
        audio_from: Path | None,
        warn: Warn,
    ) -> None:
        self._mp4 = temp.suffix.lower() == ".mp4"
        self._clock = 90_000 if self._mp4 else 1_000
        self._size = even(size)
        self._last = max(round(last * self._clock), 1)
        self._end = times[-1] + last
        self._pts = -1
        self._warn = warn
        self._container = av.open(f"file:{temp.absolute()}", "w", format="mp4" if self._mp4 else "webm")
        self._stream = self._add_stream(len(times) / self._end)
        self._sound: Iterator[Timed] = iter(())
        if audio_from is not None:
            self._sound = open_sound(audio_from, self._container, self._end, warn)
        self._waiting: Timed | None = None

    def _add_stream(self, fps: float) -> VideoStream:
        rate = Fraction(min(max(fps, 0.1), 1000.0)).limit_denominator(1001)
        name, options = ("libx264", _X264) if self._mp4 else ("libvpx-vp9", _VP9)
        stream = self._container.add_stream(name, rate=rate, options=dict(options))
        assert isinstance(stream, VideoStream)
        stream.width, stream.height = self._size
        stream.pix_fmt = "yuv420p"
        context = stream.codec_context
        context.time_base = Fraction(1, self._clock)
        context.colorspace = context.color_primaries = context.color_trc = _BT709
        context.color_range = _VIDEO_RANGE
        return stream

    def prepare(self, image: Image) -> Image:
        """The picture as the encoder wants it, in memory of its own; called in the writer's thread.

        Each library call lets go of the interpreter's lock, and a thread that runs beside busy Python
        waits long to get it back: so few calls as can be are left to the encoder's thread.
        """
        if image.shape[1::-1] != self._size:
            right, below = self._size[0] - image.shape[1], self._size[1] - image.shape[0]
            border = cv2.copyMakeBorder(image, 0, below, 0, right, cv2.BORDER_REPLICATE)
            image = np.asarray(border, np.uint8)
        return to_yuv420(image)

    def add(self, planes: Image, time: float) -> None:
        """Encode one prepared picture, to be shown at `time` seconds."""
        # PyAV's copy-free way takes heights that divide by four only.
        frame = VideoFrame.from_ndarray(planes, "yuv420p")
        frame.colorspace = _BT709
        frame.color_range = _VIDEO_RANGE
        frame.time_base = Fraction(1, self._clock)
        self._pts = frame.pts = max(round(time * self._clock), self._pts + 1)
        self._mux(self._stream.encode(frame))

    def finish(self) -> None:
        """Write what the encoder still holds, the rest of the sound, and the index."""
        self._mux(self._stream.encode(None))
        self._mux_sound(min(self._end, (self._pts + self._last) / self._clock))
        self._container.close()

    def abort(self) -> None:
        """Let go of the file; what it holds is of no use."""
        self._container.close()

    def _mux(self, packets: list[Any]) -> None:
        for packet in packets:
            if packet.pts == self._pts:
                packet.duration = self._last
            self._mux_sound(float(packet.dts * packet.time_base))
            self._container.mux(packet)

    def _mux_sound(self, until: float) -> None:
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
