"""Interlaced films: found where they are flagged and where they are not, and shown without combs."""

import av
import cv2
import numpy as np
import pytest

from gioconda import media
from gioconda.media.deinterlace import shows_combs

SIZE = (720, 576)


def scene(t):
    """A textured disc before a gradient, at t fields; (576, 720, 3) uint8."""
    rows, columns = np.mgrid[0 : SIZE[1], 0 : SIZE[0]].astype(np.float32)
    picture = np.stack([columns / 4, rows / 4, 60 + 0 * rows], 2)
    disc = np.hypot(rows - 288, columns - 150 - 9 * t) < 120
    picture[disc] = 255 - picture[disc] / 2
    return np.ascontiguousarray(picture.astype(np.uint8))


def film(path, *, interlaced, flagged=False, frames=12, size=SIZE):
    """A film at 25 frames a second, each of two fields if interlaced."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg2video" if flagged else "libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        stream.bit_rate = 8_000_000
        if flagged:
            stream.codec_context.options = {"flags": "+ilme+ildct"}
        for k in range(frames):
            picture = scene(2 * k)
            if interlaced:
                picture[1::2] = scene(2 * k + 1)[1::2]
            picture = np.ascontiguousarray(cv2.resize(picture, size) if size != SIZE else picture)
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format="yuv420p")
            frame.pts = k
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def combed(path):
    """In how many frames combs are to be seen, and the frames' times."""
    with media.read_frames(path) as frames:
        shown = list(frames)
    count = sum(shows_combs(cv2.cvtColor(one.image, cv2.COLOR_RGB2GRAY)) for one in shown)
    return count, [one.time for one in shown]


@pytest.mark.parametrize("flagged", [False, True])
def test_combs_are_taken_out_and_times_stay(tmp_path, flagged):
    woven = scene(0)
    woven[1::2] = scene(1)[1::2]
    assert shows_combs(cv2.cvtColor(woven, cv2.COLOR_RGB2GRAY))
    count, times = combed(film(tmp_path / "film.mkv", interlaced=True, flagged=flagged))
    assert count == 0
    np.testing.assert_allclose(times, np.arange(12) / 25, atol=0.001)


def test_a_progressive_film_is_not_touched(tmp_path):
    path = film(tmp_path / "film.mkv", interlaced=False)
    with av.open(str(path)) as container:
        plain = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    with media.read_frames(path) as frames:
        read = [frame.image for frame in frames]
    assert len(read) == len(plain)
    assert max(np.abs(a.astype(int) - b).max() for a, b in zip(read, plain, strict=True)) <= 2


def test_a_real_interlaced_film_has_no_combs(shared_data):
    path = shared_data.parent / "cases" / "interlaced" / "inter.mp4"
    if not path.is_file():
        pytest.skip("the case is not here")
    count, times = combed(path)
    assert (count, len(times)) == (0, 50)
