"""Films that are unusual in several ways at once: each of their ways is heeded."""

from fractions import Fraction

import av
import numpy as np
import pytest

from gioconda import media
from gioconda.media.colour import HLG, PQ
from gioconda.media.deinterlace import shows_combs
from hdr_world import graded
from media_factory import corner_names, corners, rotate, write_clip

BT2020 = 9  # code of its primaries and of its matrix (ITU-T H.273)


def write(path, pictures, *, codec, pix_fmt, times, form="rgb24", transfer=None):
    """Write pictures at times in seconds, of high dynamic range where a transfer is given."""
    with av.open(str(path), "w") as out:
        # With B-frames, so short a film of variable rate ends x265's process.
        options = {"x265-params": "log-level=none:bframes=0"} if codec == "libx265" else {}
        stream = out.add_stream(codec, rate=Fraction(30000, 1001), options=options)
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt = pix_fmt
        stream.codec_context.time_base = clock = (
            Fraction(1001, 30000) if transfer is None else Fraction(1, 90_000)
        )
        if transfer is not None:
            context = stream.codec_context
            context.color_primaries, context.color_trc, context.colorspace = BT2020, transfer, BT2020
        for picture, time in zip(pictures, times, strict=True):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), form)
            matrix = {} if transfer is None else {"dst_colorspace": BT2020}
            frame = frame.reformat(format=pix_fmt, **matrix)
            frame.pts, frame.time_base = round(time / clock), clock
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("transfer", [PQ, HLG])
def test_turned_and_of_variable_rate_and_high_dynamic_range(tmp_path, transfer):
    plain = np.minimum(corners(192, 256), 200).astype(np.uint8)
    times = np.array([0, 0.03, 0.07, 0.6])
    turned = np.rot90(graded(plain, transfer), -1)
    path = tmp_path / "phone.mov"
    write(
        path,
        [turned] * 4,
        codec="libx265",
        pix_fmt="yuv420p10le",
        times=times,
        form="rgb48le",
        transfer=transfer,
    )
    with media.read_frames(rotate(path, 90)) as frames:
        read = list(frames)
    assert [frame.time for frame in read] == pytest.approx(times.tolist(), abs=1e-3)
    assert read[-1].image.shape == plain.shape
    assert corner_names(read[-1].image) == corner_names(plain)
    inner = (slice(8, 80), slice(8, 110))
    assert np.abs(read[-1].image[inner].astype(int) - plain[inner]).mean() < 6


def test_interlaced_dv_of_a_quarter_of_the_colour(tmp_path):
    pictures = []
    for k in range(8):
        picture = np.full((480, 720, 3), 60, np.uint8)
        # The lower field comes first.
        for row, shift in ((1, 0), (0, 10)):
            picture[row::2, 100 + 20 * k + shift : 300 + 20 * k + shift] = (220, 60, 40)
        pictures.append(picture)
    path = write(
        tmp_path / "tape.avi",
        pictures,
        codec="dvvideo",
        pix_fmt="yuv411p",
        times=np.arange(8) * 1001 / 30000,
    )
    assert shows_combs(pictures[4][..., 0])
    with media.read_frames(path) as frames:
        read = [frame.image for frame in frames]
    # DV has narrow pixels.
    assert {image.shape for image in read} == {(480, 640, 3)}
    assert not any(shows_combs(image[..., 0]) for image in read[1:-1])


@pytest.mark.parametrize(("codec", "suffix"), [("libx264", ".mp4"), ("prores_ks", ".mov")])
def test_ten_bits_and_full_colour_across(tmp_path, codec, suffix):
    plain = corners()
    path = write(
        tmp_path / f"camera{suffix}",
        [plain] * 3,
        codec=codec,
        pix_fmt="yuv422p10le",
        times=np.arange(3) * 1001 / 30000,
    )
    with media.read_frames(path) as frames:
        image = next(frames).image
    assert corner_names(image) == corner_names(plain)
    assert np.abs(image.astype(int) - plain).mean() < 6


def test_odd_sides_are_kept_and_written_even(tmp_path):
    odd = np.full((243, 321, 3), 90, np.uint8)
    odd[:, 160:] = 200
    film = write_clip(tmp_path / "odd.mp4", [odd] * 3, pix_fmt="yuv444p")
    with media.read_frames(film) as frames:
        assert next(frames).image.shape == odd.shape
    for suffix in (".mp4", ".webm", ".gif"):
        with media.open_writer(tmp_path / f"out{suffix}", (321, 243), times=[0, 0.04]) as writer:
            for time in (0, 0.04):
                writer.write(odd, time)
        with media.read_frames(writer.temp) as frames:
            image = next(frames).image
        assert image.shape == ((243, 321, 3) if suffix == ".gif" else (244, 322, 3))
        assert np.abs(image[:243, :321].astype(int) - odd).mean() < 4
