"""Writes videos frame by frame into a hidden file; a thread encodes."""

from __future__ import annotations

import queue
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import av.error
import numpy as np

from gioconda.errors import GiocondaError, LimitError, OutputError
from gioconda.limits import LIMITS
from gioconda.media.encode import StreamEncoder, even
from gioconda.media.files import PathLike, check_input, check_output, output_error, remove, temp_beside
from gioconda.media.gif import GifEncoder, check_animation
from gioconda.media.sound import SoundTrack
from gioconda.runtime.devices import SOFTWARE_ENCODER
from gioconda.types import RGB, RGBA, Image

# Suffixes of animated pictures, whose sides may be odd.
_ANY_SIZE = (".gif", ".apng")
# Frames that may wait for the encoder.
_AHEAD = 8
# Seconds between checks for errors and for the end while a thread waits.
_CHECK_SECONDS = 0.2
# Most seconds for which the last frame is shown, and seconds of the only frame of a video without a rate.
_MOST_LAST = 10.0
_ONLY_FRAME = 0.04


class _Encoder(Protocol):
    """What encodes frames: `StreamEncoder` or `GifEncoder`."""

    def prepare(self, image: Image) -> Image: ...
    def add(self, image: Image, time: float) -> None: ...
    def finish(self) -> None: ...
    def abort(self) -> None: ...


def open_writer(
    path: PathLike,
    size: tuple[int, int],
    *,
    times: Sequence[float],
    audio_from: PathLike | SoundTrack | None = None,
    fps_hint: float | None = None,
    alpha: bool = False,
    encoder: str = SOFTWARE_ENCODER,
) -> VideoWriter:
    """Prepare to write a video: H.264 in .mp4, VP9 in .webm, ProRes in .mov, or a silent .gif or .apng.

    Args:
        path: The output; its suffix decides the format.
        size: Width and height of the frames in pixels. In mp4, webm and mov, the last column or row of an odd side
            is repeated, since they need even sides.
        times: The times of all frames in seconds, increasing; the first is 0 in the file.
        audio_from: A file whose sound is kept, from its first frame on, or a part of its sound.
        fps_hint: Frames per second; decides how long the only frame of a video is shown.
        alpha: Whether the frames have an alpha channel; a format of ALPHA_SUFFIXES can hold it.
        encoder: Of .mp4, as `usable_encoder` returns it.

    Raises:
        InputError: The suffix is not that of a video, or `audio_from` cannot be read.
        LimitError: The frames are too large, or there are too many for a GIF.
        OutputError: The output cannot be written, or there is no frame.
        ValueError: The times do not increase.
    """
    target = check_output(path)
    if not len(times):
        raise OutputError(f"{target}: there is no frame to write")
    if (np.diff(times) <= 0).any():
        raise ValueError("times must increase")
    if max(size) > LIMITS.output_side:
        raise LimitError(
            f"{target} would have {size[0]}x{size[1]} pixels, the limit of a side is {LIMITS.output_side}; "
            "choose a smaller size"
        )
    if target.suffix.lower() in _ANY_SIZE:
        check_animation(target, size, len(times))
    sound = audio_from
    if sound is not None and not isinstance(sound, SoundTrack):
        sound = SoundTrack(check_input(sound))
    return VideoWriter(
        target, size, times=times, audio_from=sound, fps_hint=fps_hint, alpha=alpha, encoder=encoder
    )


class VideoWriter:
    """A context manager that takes frames by `write` and encodes them in a thread.

    Attributes:
        target: The output.
        temp: The hidden file beside the target. It is complete after the context, and then to be published; an error in
            the context deletes it.
        size: Width and height in pixels as written.
        frames: Frames that were written.
        seconds: Until the last frame ends.
        warnings: Sentences for people, such as about lost sound.
    """

    def __init__(
        self,
        target: Path,
        size: tuple[int, int],
        *,
        times: Sequence[float],
        audio_from: SoundTrack | None,
        fps_hint: float | None,
        alpha: bool,
        encoder: str,
    ) -> None:
        self._channels = RGBA if alpha else RGB
        self._codec = encoder
        self.target = target
        self.temp = temp_beside(target)
        self.frames = 0
        self.warnings: list[str] = []
        self._given = (int(size[0]), int(size[1]))
        self.size = self._given if target.suffix.lower() in _ANY_SIZE else even(self._given)
        self._zero = float(times[0])
        self._times = [float(time) - self._zero for time in times]
        self._last = _last_duration(self._times, fps_hint)
        self.seconds = self._times[-1] + self._last
        self._audio_from = audio_from
        self._queue: queue.Queue[tuple[Image, float] | None] = queue.Queue(_AHEAD)
        self._error: BaseException | None = None
        self._stop = threading.Event()
        self._encoder: _Encoder | None = None
        self._thread = threading.Thread(target=self._work, name="gioconda-encoder", daemon=True)

    def __enter__(self) -> VideoWriter:
        try:
            self._encoder = self._open()
        except BaseException as error:
            remove(self.temp)
            if isinstance(error, (OSError, av.error.FFmpegError)):
                raise output_error(error, self.target) from None
            raise
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *exc: object) -> None:
        if kind is not None:
            self._stop.set()
        elif self.frames == 0:
            self._error = OutputError(f"{self.target}: there is no frame to write")
            self._stop.set()
        try:
            if not self._stop.is_set():
                self._put(None)
            self._thread.join()
        except BaseException:
            self._stop.set()
            self._thread.join()
            remove(self.temp)
            raise
        if self._error is not None or kind is not None:
            remove(self.temp)
        if kind is None:
            self._raise()

    def write(self, image: Image, time: float) -> None:
        """Append a copy of one frame.

        Args:
            image: The frame (H, W, 3) uint8 RGB, (H, W, 4) RGBA with alpha, of the writer's size.
            time: When it is shown, in seconds.

        Raises:
            OutputError: The file can no longer be written.
            ValueError: The frame has another size or type.
        """
        shape = (self._given[1], self._given[0], self._channels)
        if image.shape != shape or image.dtype != np.uint8:
            raise ValueError(f"expected uint8 {shape}, got {image.dtype} {image.shape}")
        assert self._encoder is not None, "write in a with-block"
        self._put((self._encoder.prepare(image), float(time) - self._zero))
        self.frames += 1

    def _open(self) -> _Encoder:
        """Open the encoder of the format."""
        if self.target.suffix.lower() == ".gif":
            return GifEncoder(self.temp, self._given, last=self._last, warn=self.warnings.append)
        return StreamEncoder(
            self.temp,
            self._given,
            times=self._times,
            last=self._last,
            audio_from=self._audio_from,
            warn=self.warnings.append,
            alpha=self._channels == RGBA,
            encoder=self._codec,
        )

    def _put(self, item: tuple[Image, float] | None) -> None:
        """Queue a frame, or None for the end; raise what the thread has raised."""
        while True:
            self._raise()
            try:
                self._queue.put(item, timeout=_CHECK_SECONDS)
                return
            except queue.Full:
                continue

    def _raise(self) -> None:
        """Raise what the thread has raised, for people."""
        error = self._error
        if error is None:
            return
        if isinstance(error, (OSError, av.error.FFmpegError)) and not isinstance(error, GiocondaError):
            raise output_error(error, self.target) from None
        raise error

    def _next(self) -> tuple[Image, float] | None:
        """The next frame for the thread; None at the end."""
        while not self._stop.is_set():
            try:
                return self._queue.get(timeout=_CHECK_SECONDS)
            except queue.Empty:
                continue
        return None

    def _work(self) -> None:
        """Encode frames until None comes, then complete the file; runs in the thread."""
        assert self._encoder is not None
        try:
            while (item := self._next()) is not None:
                self._encoder.add(*item)
            if not self._stop.is_set():
                self._encoder.finish()
                return
        # The thread that writes raises it.
        except BaseException as error:
            self._error = error
        try:
            self._encoder.abort()
        # The encoder may be too broken to close.
        except Exception:
            remove(self.temp)


def _last_duration(times: Sequence[float], fps_hint: float | None) -> float:
    """Seconds for which the last frame is shown: as long as most others."""
    if len(times) > 1:
        return min(float(np.median(np.diff(times))), _MOST_LAST)
    return 1.0 / fps_hint if fps_hint and fps_hint > 0 else _ONLY_FRAME
