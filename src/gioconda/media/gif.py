"""Encodes frames as an animated GIF, with one palette for the whole clip, so that still parts stay still."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import av.error
from av.container import OutputContainer
from av.filter import Graph
from av.filter.context import FilterContext
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from gioconda.errors import LimitError
from gioconda.media.sound import Warn
from gioconda.types import Image

# Most pixels of a whole clip: a minute of 1000x1000 at 25 frames per second.
_PIXELS = 1_500_000_000
# GIF counts time in hundredths of a second.
_CLOCK = 100
# Shortest duration of a frame in hundredths; players show shorter ones for a tenth of a second.
_SHORTEST = 2
# Sides of the picture of 256 colours in which FFmpeg passes a palette.
_PALETTE_SIZE = (16, 16)


def check_animation(target: Path, size: tuple[int, int], frames: int) -> None:
    """Raise LimitError if a clip is too large for a useful animated picture."""
    if size[0] * size[1] * frames > _PIXELS:
        raise LimitError(
            f"{target}: {frames} frames of {size[0]}x{size[1]} are too large for an animated picture; write "
            ".mp4 or .webm, or choose a smaller size"
        )


class GifEncoder:
    """Keeps the frames in an unnamed file on the disk, then computes the palette and writes the GIF."""

    def __init__(self, temp: Path, size: tuple[int, int], *, last: float, warn: Warn) -> None:
        """Open the unnamed file.

        Args:
            temp: The GIF file to write.
            size: Width and height of the frames in pixels.
            last: Seconds for which the last frame is shown.
            warn: Called with a sentence if frames are too short for GIF.
        """
        self._temp, self._size, self._last, self._warn = temp, size, last, warn
        self._times: list[int] = []
        self._slow = False
        self._spool = tempfile.TemporaryFile(dir=temp.parent)  # noqa: SIM115
        self._container = av.open(self._spool, "w", format="nut")
        stream = self._container.add_stream("libx264rgb", rate=25, options={"preset": "ultrafast", "qp": "0"})
        assert isinstance(stream, VideoStream)
        stream.width, stream.height = size
        stream.pix_fmt = "rgb24"
        self._stream = stream

    def prepare(self, image: Image) -> Image:
        """Copy a picture (H, W, 3) uint8 RGB."""
        return image.copy()

    def add(self, image: Image, time: float) -> None:
        """Keep one picture (H, W, 3) uint8 RGB, shown from `time` in seconds."""
        frame = VideoFrame.from_numpy_buffer(image, "rgb24")
        frame.time_base = Fraction(1, 25)
        frame.pts = len(self._times)
        at = round(time * _CLOCK)
        if self._times and at < self._times[-1] + _SHORTEST:
            at = self._times[-1] + _SHORTEST
            if not self._slow:
                self._slow = True
                self._warn(
                    f"a GIF has at most {_CLOCK // _SHORTEST} frames per second; this one plays slower"
                )
        self._times.append(at)
        self._container.mux(self._stream.encode(frame))

    def finish(self) -> None:
        """Compute the palette and write the file."""
        self._container.mux(self._stream.encode(None))
        self._container.close()
        ending = max(round(self._last * _CLOCK), _SHORTEST)
        try:
            palette = self._palette()
            options = {"final_delay": str(ending)}
            with av.open(
                f"file:{self._temp.absolute()}", "w", format="gif", container_options=options
            ) as out:
                self._write(out, palette)
        finally:
            self._spool.close()

    def abort(self) -> None:
        """Discard the kept frames."""
        try:
            self._container.close()
        finally:
            # Closing writes buffered bytes, which are of no use and do not fit on a full disk.
            with contextlib.suppress(OSError):
                self._spool.close()

    def _kept(self) -> Iterator[VideoFrame]:
        """Decode the kept frames, numbered from 0."""
        self._spool.seek(0)
        with av.open(self._spool, "r", format="nut") as container:
            for number, frame in enumerate(container.decode(video=0)):
                plain = frame.reformat(format="bgra")
                plain.pts, plain.time_base = number, Fraction(1, _CLOCK)
                yield plain

    def _palette(self) -> VideoFrame:
        """The palette of all kept frames."""
        graph = Graph()
        start = self._source(graph, self._size)
        generator = graph.add("palettegen", "stats_mode=full:reserve_transparent=0")
        end = graph.add("buffersink")
        start.link_to(generator)
        generator.link_to(end)
        graph.configure()
        for frame in self._kept():
            start.push(frame)
        start.push(None)
        palette = end.pull()
        assert isinstance(palette, VideoFrame)
        return palette

    def _source(self, graph: Graph, size: tuple[int, int]) -> FilterContext:
        """An input of a filter graph for frames of a size."""
        bgra = av.VideoFormat("bgra")
        return graph.add_buffer(width=size[0], height=size[1], format=bgra, time_base=Fraction(1, _CLOCK))

    def _write(self, out: OutputContainer, palette: VideoFrame) -> None:
        """Map the kept frames to the palette and encode them."""
        stream = out.add_stream("gif", rate=_CLOCK)
        assert isinstance(stream, VideoStream)
        stream.width, stream.height = self._size
        stream.pix_fmt = "pal8"
        stream.codec_context.time_base = Fraction(1, _CLOCK)
        graph = Graph()
        start, colours = self._source(graph, self._size), self._source(graph, _PALETTE_SIZE)
        # An ordered pattern stays in place from frame to frame; error diffusion would crawl.
        mapper = graph.add("paletteuse", "dither=bayer:bayer_scale=3")
        end = graph.add("buffersink")
        start.link_to(mapper, 0, 0)
        colours.link_to(mapper, 0, 1)
        mapper.link_to(end)
        graph.configure()
        palette.pts = 0
        colours.push(palette)
        colours.push(None)
        for frame in self._kept():
            start.push(frame)
            self._drain(end, stream, out)
        start.push(None)
        self._drain(end, stream, out)
        out.mux(stream.encode(None))

    def _drain(self, end: FilterContext, stream: VideoStream, out: OutputContainer) -> None:
        """Encode the frames that the filters have ready, each at its own time."""
        while True:
            try:
                mapped = end.pull()
            except (av.error.BlockingIOError, av.error.EOFError):
                return
            assert isinstance(mapped, VideoFrame)
            assert mapped.pts is not None
            mapped.pts, mapped.time_base = self._times[mapped.pts], Fraction(1, _CLOCK)
            out.mux(stream.encode(mapped))
