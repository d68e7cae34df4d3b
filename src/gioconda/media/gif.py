"""Frames to an animated GIF with one palette made from the whole clip, so that still parts stay still."""

from __future__ import annotations

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

_PIXELS = 1_500_000_000  # of a whole clip: a minute at 25 frames a second of 1000x1000
_CLOCK = 100  # GIF counts hundredths of a second
_SHORTEST = 2  # hundredths; players show less as a tenth of a second


def check_gif(target: Path, size: tuple[int, int], frames: int) -> None:
    """LimitError for a clip that would make a GIF of no use to anybody."""
    if size[0] * size[1] * frames > _PIXELS:
        raise LimitError(
            f"{target}: {frames} frames of {size[0]}x{size[1]} are too much for a GIF; write .mp4 or .webm, "
            "or choose a smaller size"
        )


class GifEncoder:
    """Keeps the frames in a nameless file on the disk, then finds the palette and writes `temp`."""

    def __init__(self, temp: Path, size: tuple[int, int], *, last: float, warn: Warn) -> None:
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
        """The picture in memory of its own."""
        return image.copy()

    def add(self, image: Image, time: float) -> None:
        """Keep one picture, RGB uint8, to be shown at `time` seconds."""
        frame = VideoFrame.from_numpy_buffer(image, "rgb24")
        frame.time_base = Fraction(1, 25)
        frame.pts = len(self._times)
        at = round(time * _CLOCK)
        if self._times and at < self._times[-1] + _SHORTEST:
            at = self._times[-1] + _SHORTEST
            if not self._slow:
                self._slow = True
                self._warn(f"GIF holds at most {_CLOCK // _SHORTEST} frames a second: it plays slower")
        self._times.append(at)
        self._container.mux(self._stream.encode(frame))

    def finish(self) -> None:
        """Make the palette, write the file."""
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
        """Let go of the kept frames."""
        self._container.close()
        self._spool.close()

    def _kept(self) -> Iterator[VideoFrame]:
        """The kept frames once more, numbered from 0."""
        self._spool.seek(0)
        with av.open(self._spool, "r", format="nut") as container:
            for number, frame in enumerate(container.decode(video=0)):
                plain = frame.reformat(format="bgra")
                plain.pts, plain.time_base = number, Fraction(1, _CLOCK)
                yield plain

    def _palette(self) -> VideoFrame:
        graph = Graph()
        start = self._source(graph, self._size)
        maker = graph.add("palettegen", "stats_mode=full:reserve_transparent=0")
        end = graph.add("buffersink")
        start.link_to(maker)
        maker.link_to(end)
        graph.configure()
        for frame in self._kept():
            start.push(frame)
        start.push(None)
        palette = end.pull()
        assert isinstance(palette, VideoFrame)
        return palette

    def _source(self, graph: Graph, size: tuple[int, int]) -> FilterContext:
        form = av.VideoFormat("bgra")
        return graph.add_buffer(width=size[0], height=size[1], format=form, time_base=Fraction(1, _CLOCK))

    def _write(self, out: OutputContainer, palette: VideoFrame) -> None:
        stream = out.add_stream("gif", rate=_CLOCK)
        assert isinstance(stream, VideoStream)
        stream.width, stream.height = self._size
        stream.pix_fmt = "pal8"
        stream.codec_context.time_base = Fraction(1, _CLOCK)
        graph = Graph()
        start, colours = self._source(graph, self._size), self._source(graph, (16, 16))
        # An ordered pattern stays where it is from frame to frame; error diffusion would crawl.
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
        """Write what the filters have ready, each picture at its own time."""
        while True:
            try:
                mapped = end.pull()
            except (av.error.BlockingIOError, av.error.EOFError):
                return
            assert isinstance(mapped, VideoFrame)
            assert mapped.pts is not None
            mapped.pts, mapped.time_base = self._times[mapped.pts], Fraction(1, _CLOCK)
            out.mux(stream.encode(mapped))
