"""Still pictures, and what is refused as one."""

import os
import struct
import time

import cv2
import numpy as np
import PIL.Image
import pillow_heif
import pytest

from gioconda import media
from gioconda.errors import InputError, LimitError, MissingFileError
from gioconda.limits import Limits
from media_factory import (
    chart,
    corner_names,
    corners,
    cut,
    damage,
    png_header,
)
from media_world import outcome


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tiff"])
def test_exif_orientation_is_applied(tmp_path, orientation, suffix):
    upright = PIL.Image.fromarray(corners())
    undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # PIL's transposes that EXIF's turns take back
    stored = upright if orientation == 1 else upright.transpose(PIL.Image.Transpose(undo[orientation]))
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    stored.save(tmp_path / f"p{suffix}", exif=exif, **({"quality": 95} if suffix != ".tiff" else {}))
    image, _ = media.read_picture(tmp_path / f"p{suffix}")
    assert image.shape == (48, 64, 3)
    assert corner_names(image) == "rgwb"


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16", "I", "F", "CMYK", "YCbCr"])
def test_every_mode_becomes_rgb(tmp_path, mode):
    grey = np.repeat(np.linspace(0, 255, 64, dtype=np.uint8)[None], 48, 0)
    if mode in ("I;16", "I"):
        kind = np.uint16 if mode == "I;16" else np.int32
        picture = PIL.Image.fromarray(grey.astype(kind) * kind(257))
    elif mode == "F":
        picture = PIL.Image.fromarray(grey.astype(np.float32) / 255)
    elif mode == "1":
        picture = PIL.Image.fromarray(grey > 127)
    elif mode == "P":
        picture = PIL.Image.fromarray(grey).quantize(64)
    else:
        picture = PIL.Image.fromarray(grey).convert("RGB").convert(mode)
    suffix = {"CMYK": ".jpg", "YCbCr": ".jpg", "F": ".tiff", "I": ".tiff"}.get(mode, ".png")
    picture.save(tmp_path / f"p{suffix}")
    image, _ = media.read_picture(tmp_path / f"p{suffix}")
    assert image.dtype == np.uint8
    assert image.shape == (48, 64, 3)
    expected = np.where(grey > 127, 255, 0) if mode == "1" else grey
    assert np.abs(image.astype(int).mean(2) - expected)[:, 1:-1].max() <= 6
    assert image[:, -4:].mean() - image[:, :4].mean() > 200


@pytest.mark.parametrize("suffix", [".png", ".tiff"])
def test_sixteen_bit_colour(tmp_path, suffix):
    image = chart()
    assert cv2.imwrite(str(tmp_path / f"deep{suffix}"), image[:, :, ::-1].astype(np.uint16) * 257)
    got, _ = media.read_picture(tmp_path / f"deep{suffix}")
    assert np.abs(got.astype(int) - image).max() <= 1


def test_alpha_is_laid_over_white(tmp_path):
    picture = np.zeros((16, 16, 4), np.uint8)
    picture[:, :8, 3] = 255
    picture[:8, 8:, 3] = 128
    PIL.Image.fromarray(picture).save(tmp_path / "a.png")
    image, _ = media.read_picture(tmp_path / "a.png")
    assert image[0, 0].tolist() == [0, 0, 0]
    assert image[15, 15].tolist() == [255, 255, 255]
    assert abs(int(image[0, 15, 0]) - 127) <= 1


def test_a_transparent_palette_is_white_too(tmp_path):
    picture = PIL.Image.new("P", (8, 8), 0)
    picture.putpalette([0, 0, 0, 200, 0, 0])
    picture.save(tmp_path / "p.png", transparency=0)
    image, _ = media.read_picture(tmp_path / "p.png")
    assert (image == 255).all()


def test_a_wide_gamut_profile_is_applied(tmp_path):
    from PIL import ImageCms

    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    PIL.Image.fromarray(chart()).save(tmp_path / "srgb.png", icc_profile=lab)
    image, _ = media.read_picture(tmp_path / "srgb.png")
    assert np.abs(image.astype(int) - chart()).max() <= 1
    PIL.Image.fromarray(chart()).save(tmp_path / "bad.png", icc_profile=b"not a profile")
    image, _ = media.read_picture(tmp_path / "bad.png")
    assert (image == chart()).all()


def test_the_hash_is_the_file_s(tmp_path):
    import hashlib

    PIL.Image.fromarray(corners()).save(tmp_path / "p.png")
    digest = hashlib.sha256((tmp_path / "p.png").read_bytes()).hexdigest()
    assert media.read_picture(tmp_path / "p.png")[1] == digest == media.sha256_file(tmp_path / "p.png")


@pytest.mark.parametrize("size", [(20000, 10000), (12000, 10000), (2**31 - 1, 2**31 - 1)])
def test_a_header_that_claims_too_much_is_refused_unread(tmp_path, size, recwarn, capfd):
    (tmp_path / "bomb.png").write_bytes(png_header(*size))
    started = time.perf_counter()
    with pytest.raises(LimitError, match=r"bomb\.png has .*(pixels).*100,000,000"):
        media.read_picture(tmp_path / "bomb.png")
    assert time.perf_counter() - started < 1
    assert not recwarn.list
    assert capfd.readouterr() == ("", "")


def test_a_webp_canvas_that_is_too_large(tmp_path):
    head = b"RIFF" + struct.pack("<I", 100) + b"WEBPVP8X" + struct.pack("<I", 10) + b"\x02\0\0\0"
    (tmp_path / "bomb.webp").write_bytes(head + (16382).to_bytes(3, "little") * 2 + bytes(80))
    with pytest.raises(LimitError, match="16383x16383"):
        media.read_picture(tmp_path / "bomb.webp")


@pytest.mark.parametrize("fraction", [0.01, 0.1, 0.5, 0.9])
@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tiff"])
def test_a_picture_cut_short_says_so(tmp_path, astronaut_image, fraction, suffix, capfd):
    PIL.Image.fromarray(astronaut_image).save(tmp_path / f"whole{suffix}")
    path = cut(tmp_path / f"whole{suffix}", tmp_path / f"part{suffix}", fraction)
    with pytest.raises(InputError, match=rf"part\{suffix}"):
        media.read_picture(path)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".gif", ".bmp", ".tiff", ".jp2"])
def test_damaged_bytes_give_a_picture_or_our_error(tmp_path, suffix, capfd):
    PIL.Image.fromarray(corners(96, 96)).save(tmp_path / f"whole{suffix}")
    for seed in range(25):
        path = damage(
            tmp_path / f"whole{suffix}", tmp_path / f"bad{suffix}", start=0, end=1, every=29 + seed, seed=seed
        )
        told = outcome(lambda path=path: media.read_picture(path)[0].ndim == 3)
        assert told is True or f"bad{suffix}" in told
    assert capfd.readouterr() == ("", "")


def test_what_is_no_file(tmp_path):
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.png").write_text("no picture at all")
    for name, error, words in [
        ("none.png", MissingFileError, "does not exist"),
        ("empty.png/none.png", MissingFileError, "does not exist"),
        (".", InputError, "is a folder"),
        ("empty.png", InputError, "is empty"),
        ("text.png", InputError, "not a picture"),
        ("nul\0.png", InputError, "cannot be read"),
    ]:
        with pytest.raises(error, match=words):
            media.read_picture(tmp_path / name)
    for call in (media.probe, media.read_frames, media.is_video, media.sha256_file):
        with pytest.raises(FileNotFoundError, match="none"):
            call(tmp_path / "none.mp4")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(InputError, match="not a regular file"):
        media.read_picture(tmp_path / "pipe.png")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission(clip):
    clip.chmod(0)
    with pytest.raises(InputError, match="permission"):
        media.probe(clip)


def test_heic_of_a_phone_is_read_upright(tmp_path):
    scene = corners()
    exif = PIL.Image.Exif()
    exif[0x0112] = 6
    written = pillow_heif.from_bytes("RGB", (scene.shape[1], scene.shape[0]), scene.tobytes())
    written.save(tmp_path / "phone.heic", quality=95, exif=exif.tobytes())
    image, _ = media.read_picture(tmp_path / "phone.heic")
    assert not media.is_video(tmp_path / "phone.heic")
    assert corner_names(image) == corner_names(np.rot90(scene, -1))


def test_damaged_heic_is_named(tmp_path):
    (tmp_path / "phone.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(64))
    assert not media.is_video(tmp_path / "phone.heic")
    with pytest.raises(InputError, match="HEIC"):
        media.read_picture(tmp_path / "phone.heic")


def test_a_file_beyond_the_byte_limit(clip, monkeypatch):
    monkeypatch.setattr("gioconda.media.files.LIMITS", Limits(file_bytes=100))
    with pytest.raises(LimitError, match=r"clip\.mp4 has .* bytes, the limit is 100"):
        media.probe(clip)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp"])
def test_pictures_are_written(tmp_path, suffix, flat_chart):
    target = media.check_output(tmp_path / f"out{suffix}", media.PICTURE_SUFFIXES)
    temp = media.temp_beside(target)
    media.write_picture(temp, flat_chart)
    media.publish(temp, target)
    assert [p.name for p in tmp_path.iterdir()] == [f"out{suffix}"]
    image, _ = media.read_picture(target)
    assert np.abs(image.astype(int) - flat_chart).mean() < (0.01 if suffix == ".png" else 4)
