"""HEIC and AVIF of high dynamic range, as phones and cameras write them, beside the same of standard range."""

import av
import numpy as np
import PIL.Image
import pillow_heif
import pytest

from gioconda import media
from gioconda.media.colour import HLG, PQ
from hdr_world import graded

BT2020 = 9  # primaries and matrix, ITU-T H.273


def heic(path, pixels, transfer, **options):
    """A HEIC of 10 bits; pixels: RGB (H, W, 3) uint16."""
    height, width = pixels.shape[:2]
    written = pillow_heif.from_bytes("RGB;16", (width, height), pixels.tobytes())
    colour = {"color_primaries": BT2020, "matrix_coefficients": BT2020, "full_range_flag": 1}
    written.save(path, quality=95, transfer_characteristics=transfer, **colour, **options)


def avif(path, pixels, transfer):
    """An AVIF of 10 bits."""
    with av.open(str(path), "w", format="avif") as out:
        stream = out.add_stream("libsvtav1", rate=1, options={"crf": "5", "preset": "10"})
        stream.height, stream.width = pixels.shape[:2]
        stream.pix_fmt = "yuv420p10le"
        context = stream.codec_context
        context.color_trc, context.color_primaries, context.colorspace = transfer, BT2020, BT2020
        frame = av.VideoFrame.from_ndarray(pixels, format="rgb48le").reformat(
            format="yuv420p10le", dst_colorspace=BT2020
        )
        frame.color_trc, frame.color_primaries, frame.colorspace = transfer, BT2020, BT2020
        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))


@pytest.mark.parametrize("transfer", [PQ, HLG])
@pytest.mark.parametrize(("suffix", "write"), [(".heic", heic), (".avif", avif)])
def test_a_wide_still_looks_like_that_of_standard_range(tmp_path, flat_chart, suffix, write, transfer):
    plain = np.minimum(flat_chart, 200).astype(np.uint8)
    path = tmp_path / f"wide{suffix}"
    write(path, graded(plain, transfer), transfer)
    assert not media.is_video(path)
    image, _ = media.read_picture(path)
    assert image.shape == plain.shape
    inner = np.abs(image.astype(int) - plain)[8::32, 8::32]
    assert np.median(inner) <= 4
    assert np.abs(image.astype(float).mean((0, 1)) - plain.mean((0, 1))).max() <= 3


def test_a_wide_heic_is_turned_upright(tmp_path, flat_chart):
    exif = PIL.Image.Exif()
    exif[0x0112] = 6
    heic(tmp_path / "wide.heic", graded(flat_chart, PQ), PQ, exif=exif.tobytes())
    image, _ = media.read_picture(tmp_path / "wide.heic")
    assert image.shape[:2] == flat_chart.shape[1::-1]


def test_a_plain_avif_stays_as_it_is(tmp_path, flat_chart):
    PIL.Image.fromarray(flat_chart).save(tmp_path / "plain.avif", quality=95)
    image, _ = media.read_picture(tmp_path / "plain.avif")
    with PIL.Image.open(tmp_path / "plain.avif") as direct:
        np.testing.assert_array_equal(image, np.asarray(direct.convert("RGB")))
