"""Videos out: one frame after the other into a hidden file, in a thread of its own."""

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
from gioconda.media.gif import GifEncoder, check_gif
from gioconda.types import Image

_AHEAD = 8  # frames that may wait for the encoder


class _Encoder(Protocol):
    def prepare(self, image: Image) -> Image: ...
    def add(self, image: Image, time: float) -> None: ...
    def finish(self) -> None: ...
    def abort(self) -> None: ...


def open_writer(
    path: PathLike,
    size: tuple[int, int],
    *,
    times: Sequence[float],
    audio_from: PathLike | None = None,
    fps_hint: float | None = None,
) -> VideoWriter:
    """A writer for `path`: H.264 and AAC in .mp4, VP9 and Opus in .webm, or a silent .gif.

    size: (width, height) of the pictures; mp4 and webm need even sides, so that the last column or row
    is repeated once where a side is odd. times: seconds of all frames, increasing; the first is 0 in
    the file. audio_from: a file whose sound is kept, from its first picture on. fps_hint: rate that
    tells how long the picture of a one-frame video lasts.
    Raises InputError, LimitError or OutputError before any work.
    """
    target = check_output(path)
    if not len(times):
        raise OutputError(f"{target}: there is no frame to write")
    if (np.diff(times) <= 0).any():
        raise ValueError("times must increase")
    if max(size) > LIMITS.output_side:
        raise LimitError(
            f"the output would be {size[0]}x{size[1]}, the longest side allowed is {LIMITS.output_side}; "
            "choose a smaller size"
        )
    if target.suffix.lower() == ".gif":
        check_gif(target, size, len(times))
    sound = None if audio_from is None else check_input(audio_from)
    return VideoWriter(target, size, times=times, audio_from=sound, fps_hint=fps_hint)


class VideoWriter:
    """Takes frames by `write`, encodes them in its own thread; use it in a with-block.

    temp: the hidden file beside the target, complete and closed once the block ended well (then
    `publish` it), deleted if the block ended by an exception. size: (width, height) as written.
    frames: how many were written. warnings: what people should know of, such as sound that was lost.
    """

    def __init__(
        self,
        target: Path,
        size: tuple[int, int],
        *,
        times: Sequence[float],
        audio_from: Path | None,
        fps_hint: float | None,
    ) -> None:
        self.target = target
        self.temp = temp_beside(target)
        self.frames = 0
        self.warnings: list[str] = []
        self._given = (int(size[0]), int(size[1]))
        self.size = self._given if target.suffix.lower() == ".gif" else even(self._given)
        self._zero = float(times[0])
        self._times = [float(time) - self._zero for time in times]
        self._last = _last_duration(self._times, fps_hint)
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
        """Append one picture, RGB (H, W, 3) uint8 of the size given, shown from `time` seconds on.

        The picture is copied. Raises OutputError if the file cannot be written any more.
        """
        shape = (self._given[1], self._given[0], 3)
        if image.shape != shape or image.dtype != np.uint8:
            raise ValueError(f"expected uint8 {shape}, got {image.dtype} {image.shape}")
        assert self._encoder is not None, "write in a with-block"
        self._put((self._encoder.prepare(image), float(time) - self._zero))
        self.frames += 1

    def _open(self) -> _Encoder:
        if self.target.suffix.lower() == ".gif":
            return GifEncoder(self.temp, self._given, last=self._last, warn=self.warnings.append)
        return StreamEncoder(
            self.temp,
            self._given,
            times=self._times,
            last=self._last,
            audio_from=self._audio_from,
            warn=self.warnings.append,
        )

    def _put(self, item: tuple[Image, float] | None) -> None:
        while True:
            self._raise()
            try:
                self._queue.put(item, timeout=0.2)
                return
            except queue.Full:
                continue

    def _raise(self) -> None:
        error = self._error
        if error is None:
            return
        if isinstance(error, (OSError, av.error.FFmpegError)) and not isinstance(error, GiocondaError):
            raise output_error(error, self.target) from None
        raise error

    def _next(self) -> tuple[Image, float] | None:
        while not self._stop.is_set():
            try:
                return self._queue.get(timeout=0.2)
            except queue.Empty:
                continue
        return None

    def _work(self) -> None:
        """The thread: encodes until None comes, then completes the file."""
        assert self._encoder is not None
        try:
            while (item := self._next()) is not None:
                self._encoder.add(*item)
            if not self._stop.is_set():
                self._encoder.finish()
                return
        except BaseException as error:  # handed to the thread that writes
            self._error = error
        try:
            self._encoder.abort()
        except Exception:  # what is let go of may be as broken as what went wrong before
            remove(self.temp)


def _last_duration(times: Sequence[float], fps_hint: float | None) -> float:
    """Seconds that the last frame is shown: as long as most others."""
    if len(times) > 1:
        return min(float(np.median(np.diff(times))), 10.0)
    return 1.0 / fps_hint if fps_hint and fps_hint > 0 else 0.04
