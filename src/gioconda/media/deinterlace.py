"""Interlaced films: the two fields of each frame become one picture without combs (bwdif, by libavfilter)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain, islice

import av
import av.error
import av.filter
import cv2
import numpy as np
import numpy.typing as npt
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

# decoded frames by which a film is judged: enough for something to have moved
LOOKED_AT = 8
# heights of interlaced television, in lines; other films are interlaced only if they are flagged so
TELEVISION_LINES = (480, 486, 576, 1080)
# how many times more neighbouring lines differ than the lines of one field do; a still or progressive film has below 1
COMBED = 1.5
# grey levels by which lines differ at least on combed pixels; below it is noise
LEAST_DIFFERENCE = 12.0
# share of pixels that are combed in a frame that counts
LEAST_SHARE = 0.004


def without_combs(frames: Iterable[VideoFrame], stream: VideoStream) -> Iterator[VideoFrame]:
    """The same frames, of interlaced films with the combs taken out; progressive films pass untouched.

    Args:
        frames: Decoded frames in order.
        stream: That they come from.
    """
    rest = iter(frames)
    first = list(islice(rest, LOOKED_AT))
    if is_interlaced(first):
        yield from _deinterlaced(chain(first, rest), stream)
    else:
        yield from chain(first, rest)


def is_interlaced(frames: list[VideoFrame]) -> bool:
    """Whether frames in a row are interlaced: most are flagged so, or two show combs where something moves."""
    if sum(bool(frame.interlaced_frame) for frame in frames) * 2 > len(frames):
        return True
    lines = frames[0].height if frames else 0
    if lines not in TELEVISION_LINES:
        return False
    return sum(shows_combs(np.asarray(frame.to_ndarray(format="gray"), np.uint8)) for frame in frames) >= 2


def shows_combs(luma: npt.NDArray[np.uint8]) -> bool:
    """Whether every second line of a picture (H, W), grey levels 0..255, stands out against both of its neighbours.

    A pixel is combed where both neighbouring lines differ from it to the same side, and agree with each other.
    """
    lines = luma.astype(np.float32)
    above, here, below = lines[:-2], lines[1:-1], lines[2:]
    up, down = here - above, here - below
    apart = np.minimum(np.abs(up), np.abs(down))
    same_field = np.abs(above - below)
    combed = (up * down > 0) & (apart > LEAST_DIFFERENCE) & (apart > COMBED * same_field)
    # of thin lines in a progressive picture one alone stands out, of a comb several below each other
    runs = cv2.erode(combed.astype(np.uint8), np.ones((5, 1), np.uint8))
    return bool(runs.mean() > LEAST_SHARE)


def _deinterlaced(frames: Iterable[VideoFrame], stream: VideoStream) -> Iterator[VideoFrame]:
    """Frames through bwdif, one for each; a film's change of size begins a new graph."""
    graph: av.filter.Graph | None = None
    size = (0, 0, "")
    for frame in frames:
        shape = (frame.width, frame.height, frame.format.name)
        if graph is None or shape != size:
            yield from _pulled(graph, end=True)
            graph, size = _graph(frame, stream), shape
        graph.push(frame)
        yield from _pulled(graph, end=False)
    yield from _pulled(graph, end=True)


def _graph(frame: VideoFrame, stream: VideoStream) -> av.filter.Graph:
    graph = av.filter.Graph()
    source = graph.add_buffer(
        width=frame.width, height=frame.height, format=frame.format, time_base=stream.time_base
    )
    filter_ = graph.add("bwdif", "mode=send_frame:parity=auto:deint=all")
    sink = graph.add("buffersink")
    source.link_to(filter_)
    filter_.link_to(sink)
    graph.configure()
    return graph


def _pulled(graph: av.filter.Graph | None, *, end: bool) -> Iterator[VideoFrame]:
    if graph is None:
        return
    if end:
        graph.push(None)
    while True:
        try:
            frame = graph.pull()
        except (av.error.BlockingIOError, av.error.EOFError):
            return
        assert isinstance(frame, VideoFrame)
        yield frame
