"""Pictures and videos in and out: what comes out must mean what went in."""

import itertools
import json
import os
import shutil
import struct
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import PIL.Image
import pytest

from gioconda import media
from gioconda.errors import InputError, LimitError, MissingFileError, OutputError
from gioconda.limits import Limits
from gioconda.media.encode import StreamEncoder
from media_factory import (
    bar,
    chart,
    click_flash,
    clicks,
    corner_names,
    corners,
    cut,
    damage,
    png_header,
    rotate,
    write_clip,
)


def write(path, images, times, **options):
    """Write and publish a video; the finished writer."""
    size = images[0].shape[1::-1]
    with media.open_writer(path, size, times=times, **options) as writer:
        for image, moment in zip(images, times, strict=True):
            writer.write(image, moment)
    media.publish(writer.temp, path)
    return writer


def times_of(path):
    """Times of all frames, read with PyAV alone."""
    with av.open(str(path)) as container:
        return [float(frame.pts * frame.time_base) for frame in container.decode(video=0)]


def outcome(call):
    """What a call returns, or the message of the one kind of error that may escape."""
    try:
        return call()
    except InputError as error:
        return str(error)


# Pictures


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


def test_heic_is_named(tmp_path):
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


# Videos in


def test_what_is_a_video(tmp_path, clip, astronaut):
    assert media.is_video(clip)
    assert not media.is_video(astronaut)
    shutil.copy(clip, tmp_path / "named.png")
    shutil.copy(astronaut, tmp_path / "named.mp4")
    assert media.is_video(tmp_path / "named.png")
    assert not media.is_video(tmp_path / "named.mp4")
    (tmp_path / "text.mp4").write_text("hello, this is not a video")
    assert not media.is_video(tmp_path / "text.mp4")
    assert media.is_video(cut(clip, tmp_path / "cut.mp4", 0.3))


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png"])
def test_animated_pictures_are_videos(tmp_path, suffix):
    pictures = [PIL.Image.fromarray(bar(i, count=6)) for i in range(6)]
    options = {"save_all": True, "duration": [40, 40, 80, 120, 40, 40]}
    pictures[0].save(tmp_path / f"moves{suffix}", append_images=pictures[1:], **options)
    pictures[0].save(tmp_path / f"still{suffix}")
    assert media.is_video(tmp_path / f"moves{suffix}")
    assert not media.is_video(tmp_path / f"still{suffix}")
    frames = list(media.read_frames(tmp_path / f"moves{suffix}"))
    assert [f.time for f in frames] == pytest.approx([0, 0.04, 0.08, 0.16, 0.28, 0.32])
    for index, frame in enumerate(frames):
        assert np.abs(frame.image.astype(int) - bar(index, count=6)).mean() < 3
    info = media.probe(tmp_path / f"moves{suffix}")
    assert (info.width, info.height, info.frames) == (64, 48, 6)


def test_probe_tells_what_the_frames_are(tmp_path):
    path = click_flash(tmp_path / "c.mp4", fps=25, seconds=2)
    info = media.probe(path)
    assert (info.path, info.width, info.height, info.frames, info.has_audio) == (path, 64, 64, 50, True)
    assert info.fps == pytest.approx(25)
    assert info.seconds == pytest.approx(2, abs=0.01)
    assert not media.probe(write_clip(tmp_path / "silent.mp4")).has_audio


@pytest.mark.parametrize("degrees", [0, 90, 180, -90])
@pytest.mark.parametrize("suffix", [".mp4", ".mov"])
def test_rotated_videos_come_upright(tmp_path, degrees, suffix):
    turned = np.ascontiguousarray(np.rot90(corners(), k=-degrees // 90))
    path = rotate(write_clip(tmp_path / f"r{suffix}", [turned] * 3), degrees)
    frames = list(media.read_frames(path))
    assert {f.image.shape for f in frames} == {(48, 64, 3)}
    assert {corner_names(f.image) for f in frames} == {"rgwb"}
    info = media.probe(path)
    assert (info.width, info.height) == (64, 48)


@pytest.mark.parametrize(
    ("codec", "pix_fmt", "suffix"),
    [
        ("libx264", "yuv420p", ".mp4"),
        ("libx264", "yuv420p10le", ".mp4"),
        ("libx265", "yuv420p10le", ".mp4"),
        ("libx264", "yuv444p", ".mkv"),
        ("libx264", "gray", ".mp4"),
        ("libx264rgb", "rgb24", ".mkv"),
        ("libvpx-vp9", "yuva420p", ".webm"),
        ("libvpx", "yuv420p", ".webm"),
        ("mpeg4", "yuv420p", ".avi"),
        ("mpeg2video", "yuv420p", ".ts"),
        ("mjpeg", "yuvj420p", ".avi"),
        ("prores_ks", "yuv422p10le", ".mov"),
        ("qtrle", "argb", ".mov"),
        ("ffv1", "yuv420p", ".mkv"),
    ],
)
def test_codecs_and_depths(tmp_path, codec, pix_fmt, suffix):
    options = {"x265-params": "log-level=none"} if codec == "libx265" else {}
    bound = 12 if pix_fmt == "gray" else 5  # grey is stored untagged by the factory, with a range of its own
    path = write_clip(
        tmp_path / f"c{suffix}",
        [bar(i, (96, 64), 8) for i in range(8)],
        codec=codec,
        pix_fmt=pix_fmt,
        options=options,
    )
    frames = list(media.read_frames(path))
    assert len(frames) == 8
    assert [f.time for f in frames] == pytest.approx([i / 25 for i in range(8)], abs=0.002)
    for index, frame in enumerate(frames):
        assert np.abs(frame.image.astype(int) - bar(index, (96, 64), 8)).mean() < bound


def test_a_transparent_video_is_laid_over_white(tmp_path):
    image = np.zeros((48, 64, 4), np.uint8)
    image[:, :32, 3] = 255
    path = write_clip(tmp_path / "t.mov", [image] * 3, codec="qtrle", pix_fmt="argb")
    for frame in media.read_frames(path):
        assert frame.image[10, 10].tolist() == [0, 0, 0]
        assert frame.image[10, 50].tolist() == [255, 255, 255]


def test_odd_sizes_and_one_frame(tmp_path):
    path = write_clip(tmp_path / "odd.mkv", [corners(49, 63)], codec="ffv1", pix_fmt="yuv444p")
    (frame,) = media.read_frames(path)
    assert frame.image.shape == (49, 63, 3)
    assert frame.time == 0
    assert media.probe(path).frames == 1


def test_interlaced_videos(tmp_path):
    path = write_clip(tmp_path / "i.mkv", [bar(i) for i in range(5)], options={"x264-params": "tff=1"})
    with av.open(str(path)) as container:
        assert next(container.decode(video=0)).interlaced_frame
    assert len(list(media.read_frames(path))) == 5


def test_pixels_that_are_not_square_are_made_square(tmp_path):
    path = write_clip(tmp_path / "wide.mp4", [corners(48, 32)] * 3, aspect=Fraction(2, 1))
    assert {f.image.shape for f in media.read_frames(path)} == {(48, 64, 3)}


def test_variable_rate_keeps_its_times(tmp_path):
    pts = [0, 33, 50, 133, 134, 500, 517, 1000]
    path = write_clip(tmp_path / "v.mkv", [bar(i) for i in range(8)], pts=pts, time_base=Fraction(1, 1000))
    assert [f.time for f in media.read_frames(path)] == pytest.approx([p / 1000 for p in pts], abs=1e-6)


def test_a_clock_that_starts_late_starts_at_zero(tmp_path):
    path = click_flash(tmp_path / "late.mkv", first=1.5, seconds=1, flashes=(0.4,))
    reader = media.read_frames(path)
    assert reader.start == pytest.approx(1.5)
    assert [f.time for f in reader] == pytest.approx([i / 25 for i in range(25)], abs=0.002)


@pytest.mark.parametrize(
    ("stored", "meaning"),
    [
        ([0.0, 0.04, 0.04, 0.12], "a time given twice"),
        ([0.0, None, 0.08, None], "times that are missing"),
        ([5.0, 5.04, 0.0, 0.04], "a clock that was set back"),
        ([0.0, 0.04, 1e6, 1e6 + 0.04], "a clock that leapt"),
        ([0.0, float("nan"), 0.08, 0.07], "no number"),
    ],
)
def test_times_are_repaired(clip, stored, meaning):
    reader = media.read_frames(clip)
    images = [frame.image for frame in itertools.islice(reader, 4)]
    repaired = media.read_frames(clip)
    repaired._first, repaired._raw = None, iter(zip(images, stored, strict=True))
    repaired.start = stored[0]
    times = [frame.time for frame in repaired]
    assert times[0] == 0
    assert (np.diff(times) > 0).all(), meaning
    assert times[-1] < 0.3


def test_videos_beyond_the_limits(tmp_path, monkeypatch):
    path = write_clip(tmp_path / "c.mp4")
    for limits, words in [
        (Limits(video_pixels=64 * 48 - 1), "64x48"),
        (Limits(video_seconds=1.0), "lasts 1 s|longer than 1 s"),
        (Limits(video_frames=29), "30 frames"),
    ]:
        monkeypatch.setattr("gioconda.media.video_in.LIMITS", limits)
        with pytest.raises(LimitError, match=words):
            list(media.read_frames(path))


def test_a_size_that_the_header_hides_is_caught(tmp_path, monkeypatch):
    path = write_clip(tmp_path / "c.mp4", [corners(256, 256)] * 2)
    data = path.read_bytes()
    place = data.index(b"avc1", data.index(b"stsd")) + 4 + 24
    assert data[place : place + 4] == struct.pack(">HH", 256, 256)
    path.write_bytes(data[:place] + struct.pack(">HH", 16, 16) + data[place + 4 :])
    monkeypatch.setattr("gioconda.media.video_in.LIMITS", Limits(video_pixels=128 * 128))
    with pytest.raises(InputError, match=r"c\.mp4"):
        list(media.read_frames(path))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("list.m3u8", "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n{clip}\n#EXT-X-ENDLIST\n"),
        (
            "list.mp4",
            "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\nhttp://127.0.0.1:1/a.ts\n#EXT-X-ENDLIST\n",
        ),
        ("list.ffconcat", "ffconcat version 1.0\nfile {clip}\n"),
        ("list.mpd", '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"></MPD>'),
        ("list.sdp", "v=0\no=- 0 0 IN IP4 127.0.0.1\nc=IN IP4 127.0.0.1\nm=video 5004 RTP/AVP 96\n"),
    ],
)
def test_playlists_are_not_followed(tmp_path, clip, name, text):
    (tmp_path / name).write_text(text.format(clip=clip.name))
    with pytest.raises(InputError, match="not a video"):
        media.probe(tmp_path / name)
    assert not media.is_video(tmp_path / name)


def test_names_that_look_like_addresses(tmp_path, monkeypatch, clip):
    monkeypatch.chdir(tmp_path)
    for name in ("pipe:0", "a%03d.mp4", "ü ' \"$(x).mp4", "-i.mp4"):
        shutil.copy(clip, name)
        assert len(list(media.read_frames(name))) == 30
    for name in ("http://127.0.0.1:1/a.mp4", "concat:clip.mp4|clip.mp4", "pipe:1"):
        with pytest.raises(MissingFileError):
            media.probe(name)


@pytest.fixture(scope="module")
def long_clip(tmp_path_factory):
    """Two seconds of noise over a bar, index in front, with sound: large enough to be damaged."""
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 40, (50, 96, 128, 3), dtype=np.uint8)
    images = [bar(i, (128, 96), 50) // 2 + noise[i] for i in range(50)]
    sound = np.sin(np.arange(96000) / 20).astype(np.float32) * 0.3
    return write_clip(
        tmp_path_factory.mktemp("long") / "long.mp4",
        images,
        sound=sound,
        options={"g": "10"},
        container_options={"movflags": "faststart"},
    )


@pytest.mark.parametrize("fraction", [0.2, 0.5, 0.8, 0.97])
def test_a_video_cut_short_yields_what_there_is(long_clip, tmp_path, fraction):
    path = cut(long_clip, tmp_path / "cut.mp4", fraction)
    reader = media.read_frames(path)
    times = [frame.time for frame in reader]
    assert 0 < len(times) < 50
    assert len(times) > 50 * (fraction - 0.25)
    assert times == pytest.approx([i / 25 for i in range(len(times))], abs=1e-6)
    assert reader.truncated or fraction > 0.9
    assert [frame.time for frame in media.read_frames(path)] == times


@pytest.mark.parametrize("fraction", [0.001, 0.01, 0.03])
def test_a_video_without_one_frame_says_so(long_clip, tmp_path, fraction):
    path = cut(long_clip, tmp_path / "cut.mp4", fraction)
    with pytest.raises(InputError, match=r"cut\.mp4.*(damaged|not one frame|no moving picture)"):
        media.probe(path)


def test_a_video_without_its_index_says_so(clip, tmp_path):
    with pytest.raises(InputError, match=r"cut\.mp4"):
        media.probe(cut(clip, tmp_path / "cut.mp4", 0.6))


@pytest.mark.parametrize("seed", range(6))
def test_damage_in_the_middle_never_ends_the_job(long_clip, tmp_path, seed, capfd):
    path = damage(
        long_clip, tmp_path / "bad.mp4", start=0.3, end=0.7, every=[30, 100, 400][seed % 3], seed=seed
    )
    reader = media.read_frames(path)
    frames = list(reader)
    assert len(frames) >= 25
    assert len(frames) + reader.skipped >= 40
    assert (np.diff([f.time for f in frames]) > 0).all()
    assert frames[-1].time > 1.8
    assert [f.time for f in media.read_frames(path)] == [f.time for f in frames]
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("suffix", [".mp4", ".webm", ".avi", ".ts", ".gif"])
def test_damage_anywhere_gives_frames_or_our_error(tmp_path, suffix, capfd):
    codec, form = {
        ".webm": ("libvpx", "yuv420p"), ".avi": ("mpeg4", "yuv420p"), ".gif": ("gif", "rgb8"),
    }.get(suffix, ("libx264", "yuv420p"))  # fmt: skip
    whole = write_clip(tmp_path / f"whole{suffix}", [corners()] * 10, codec=codec, pix_fmt=form)
    for seed in range(12):
        path = damage(whole, tmp_path / f"bad{suffix}", start=0, end=1, every=61 + 7 * seed, seed=seed)
        told = outcome(lambda path=path: all(f.image.ndim == 3 for f in media.read_frames(path)))
        assert told is True or f"bad{suffix}" in told
    assert capfd.readouterr() == ("", "")


def test_a_change_of_size_within_a_file(tmp_path):
    first = write_clip(tmp_path / "a.ts", [corners(48, 64)] * 5, codec="mpeg2video")
    second = write_clip(tmp_path / "b.ts", [corners(96, 128)] * 5, codec="mpeg2video")
    (tmp_path / "both.ts").write_bytes(first.read_bytes() + second.read_bytes())
    frames = list(media.read_frames(tmp_path / "both.ts"))
    assert len(frames) >= 9
    assert {f.image.shape for f in frames} == {(48, 64, 3)}
    assert (np.diff([f.time for f in frames]) > 0).all()


def test_real_clips_are_read_whole(shared_data):
    clips = [p for p in sorted((shared_data / "driving").glob("*.mp4")) if p.stat().st_size < 2**20]
    for path in clips[:6]:
        reader = media.read_frames(path)
        times = [frame.time for frame in reader]
        assert len(times) == reader.info.frames
        assert reader.skipped == 0
        assert times == pytest.approx(np.subtract(times_of(path), times_of(path)[0]), abs=1e-9)
        assert not reader.truncated


# Videos out


@pytest.mark.parametrize("suffix", [".mp4", ".webm", ".gif"])
@pytest.mark.parametrize(
    "times",
    [
        [i / 25 for i in range(20)],
        [i * 1001 / 30000 for i in range(20)],
        [0, 0.02, 0.1, 0.14, 0.6, 0.62, 1.5, 2.0],
        [0.0],
        [7.0, 7.5, 8.0],
    ],
    ids=["25", "29.97", "variable", "one", "late"],
)
def test_times_and_counts_go_round(tmp_path, suffix, times):
    images = [bar(i, count=len(times)) for i in range(len(times))]
    writer = write(tmp_path / f"o{suffix}", images, times)
    assert writer.frames == len(times)
    assert writer.warnings == []
    if suffix == ".gif" and len(times) == 1:
        assert not media.is_video(tmp_path / "o.gif")
        with pytest.raises(InputError, match="still picture"):
            media.probe(tmp_path / "o.gif")
        assert np.abs(media.read_picture(tmp_path / "o.gif")[0].astype(int) - images[0]).mean() < 5
        return
    frames = list(media.read_frames(tmp_path / f"o{suffix}"))
    # GIF counts hundredths, webm thousandths; mp4 holds 29.97 exactly.
    tolerance = {".mp4": 1e-5, ".webm": 0.0011, ".gif": 0.0051}[suffix]
    assert [f.time for f in frames] == pytest.approx([t - times[0] for t in times], abs=tolerance)
    for image, frame in zip(images, frames, strict=True):
        assert np.abs(frame.image.astype(int) - image).mean() < 5
    last = float(np.median(np.diff(times))) if len(times) > 1 else 0.04
    info = media.probe(tmp_path / f"o{suffix}")
    if suffix == ".mp4":
        assert info.seconds == pytest.approx(times[-1] - times[0] + last, abs=0.002)


def test_mp4_holds_29_97_exactly_for_long(tmp_path):
    times = [i * 1001 / 30000 for i in range(900)]
    write(tmp_path / "long.mp4", [np.full((32, 32, 3), i % 250, np.uint8) for i in range(900)], times)
    with av.open(str(tmp_path / "long.mp4")) as container:
        assert container.streams.video[0].time_base == Fraction(1, 90000)
        assert container.streams.video[0].average_rate == Fraction(30000, 1001)
        assert [f.pts for f in container.decode(video=0)] == [3003 * i for i in range(900)]


def test_a_rate_beyond_what_gif_can_hold_is_told(tmp_path):
    times = [i / 60 for i in range(12)]
    writer = write(tmp_path / "o.gif", [bar(i, count=12) for i in range(12)], times)
    assert len(list(media.read_frames(tmp_path / "o.gif"))) == 12
    assert "50 frames a second" in writer.warnings[0]


@pytest.mark.parametrize(("suffix", "bound"), [(".mp4", 2), (".webm", 2), (".gif", 3)])
def test_colours_go_round(tmp_path, flat_chart, suffix, bound):
    write(tmp_path / f"o{suffix}", [flat_chart] * 4, [0, 0.1, 0.2, 0.3])
    for frame in media.read_frames(tmp_path / f"o{suffix}"):
        error = np.abs(frame.image.astype(int) - flat_chart)
        inner = error.reshape(3, 64, 9, 32, 3)[:, 8:-8, :, 8:-8]
        assert inner.mean() < bound
        assert np.abs(inner.mean(axis=(1, 3))).max() < 3 * bound


@pytest.mark.parametrize("suffix", [".mp4", ".webm"])
def test_colours_are_tagged_as_they_are(tmp_path, flat_chart, suffix):
    write(tmp_path / f"o{suffix}", [flat_chart] * 2, [0, 0.1])
    with av.open(str(tmp_path / f"o{suffix}")) as container:
        frame = next(container.decode(video=0))
    assert frame.format.name == "yuv420p"
    assert (frame.colorspace, frame.color_primaries, frame.color_trc, frame.color_range) == (1, 1, 1, 1)
    red = frame.to_ndarray()[64 * 2 + 32, 16]  # luma of a patch whose red is strongest
    expected = 16 + 219 / 255 * (flat_chart[64 * 2 + 32, 16] @ [0.2126, 0.7152, 0.0722])
    assert abs(float(red) - expected) < 2


@pytest.mark.parametrize("suffix", [".mp4", ".webm", ".gif"])
@pytest.mark.parametrize("size", [(63, 49), (1, 1), (64, 33), (17, 64)])
def test_odd_sizes_are_written(tmp_path, suffix, size):
    width, height = size
    images = [np.full((height, width, 3), 40 + 60 * i, np.uint8) for i in range(3)]
    writer = write(tmp_path / f"o{suffix}", images, [0, 0.1, 0.2])
    frames = list(media.read_frames(tmp_path / f"o{suffix}"))
    made = size if suffix == ".gif" else (width + width % 2, height + height % 2)
    assert writer.size == made
    for image, frame in zip(images, frames, strict=True):
        assert frame.image.shape == (made[1], made[0], 3)
        assert np.abs(frame.image[:height, :width].astype(int) - image).mean() < 5


def test_a_still_background_stays_still_in_a_gif(tmp_path, astronaut_image):
    small = cv2.resize(astronaut_image, (160, 160), interpolation=cv2.INTER_AREA)
    images = []
    for i in range(8):
        image = small.copy()
        image[60:80, 10 + 10 * i : 30 + 10 * i] = (20 * i, 255 - 20 * i, 120)
        images.append(image)
    write(tmp_path / "o.gif", images, [i / 10 for i in range(8)])
    frames = np.stack([f.image for f in media.read_frames(tmp_path / "o.gif")])
    assert (frames[:, 100:] == frames[:1, 100:]).all()
    assert np.abs(frames.astype(int) - np.stack(images)).mean() < 8


# Sound


@pytest.mark.parametrize("suffix", [".mp4", ".webm"])
@pytest.mark.parametrize(
    ("name", "codec", "first"),
    [
        ("d.mp4", "aac", 0.0),
        ("d.mkv", "aac", 0.73),
        ("d.mp4", "libmp3lame", 0.0),
        ("d.webm", "libopus", 0.0),
        ("d.mkv", "pcm_s16le", 0.3),
        ("d.ts", "aac", 0.0),
    ],
)
def test_sound_stays_with_the_picture(tmp_path, suffix, name, codec, first):
    video = "libvpx" if name.endswith("webm") else "libx264"
    driver = click_flash(tmp_path / name, first=first, sound_codec=codec, codec=video)
    frames = list(media.read_frames(driver))
    writer = write(
        tmp_path / f"o{suffix}", [f.image for f in frames], [f.time for f in frames], audio_from=driver
    )
    assert writer.warnings == []
    with media.read_frames(tmp_path / f"o{suffix}") as reader:
        start = reader.start
        bright = [f.time + start for f in reader if f.image.mean() > 128]
    assert bright == pytest.approx([0.4 + start, 1.2 + start], abs=0.002)
    assert clicks(tmp_path / f"o{suffix}", 2) == pytest.approx(bright, abs=0.02)
    with av.open(str(tmp_path / f"o{suffix}")) as container:
        kept = container.streams.audio[0].codec_context.name
        last = max(
            float((p.pts + p.duration) * p.time_base) for p in container.demux(audio=0) if p.pts is not None
        )
    assert kept == ("opus" if suffix == ".webm" else "mp3float" if codec == "libmp3lame" else "aac")
    assert 1.9 < last < 2.1


def test_aac_is_kept_as_it_is(tmp_path):
    driver = click_flash(tmp_path / "d.mp4")
    frames = list(media.read_frames(driver))
    write(tmp_path / "o.mp4", [f.image for f in frames], [f.time for f in frames], audio_from=driver)

    def payload(path):
        with av.open(str(path)) as container:
            return [bytes(packet) for packet in container.demux(audio=0) if packet.size]

    assert set(payload(tmp_path / "o.mp4")) <= set(payload(driver))
    assert len(payload(tmp_path / "o.mp4")) > 85


def test_sound_ends_with_the_picture(tmp_path):
    driver = click_flash(tmp_path / "d.mp4", seconds=2)
    for suffix in (".mp4", ".webm"):
        write(
            tmp_path / f"o{suffix}",
            [bar(i) for i in range(10)],
            [i / 25 for i in range(10)],
            audio_from=driver,
        )
        with av.open(str(tmp_path / f"o{suffix}")) as container:
            samples = sum(frame.samples / frame.sample_rate for frame in container.decode(audio=0))
        assert samples == pytest.approx(0.4, abs=0.05)


def test_sound_of_a_file_of_sound(tmp_path):
    with av.open(str(tmp_path / "v.wav"), "w") as out:
        stream = out.add_stream("pcm_s16le", rate=16000, layout="mono")
        tone = (np.sin(np.arange(16000) / 5) * 20000).astype(np.int16)
        tone[:8000] = 0
        frame = av.AudioFrame.from_ndarray(tone[None], format="s16", layout="mono")
        frame.sample_rate, frame.pts = 16000, 0
        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    write(
        tmp_path / "o.mp4",
        [bar(i) for i in range(25)],
        [i / 25 for i in range(25)],
        audio_from=tmp_path / "v.wav",
    )
    assert clicks(tmp_path / "o.mp4", 1) == pytest.approx([0.5], abs=0.02)


def test_an_animated_picture_has_no_sound(tmp_path):
    write(tmp_path / "d.gif", [bar(0), bar(20)], [0, 0.1])
    writer = write(tmp_path / "o.mp4", [bar(0)], [0], audio_from=tmp_path / "d.gif")
    assert writer.warnings == []


@pytest.mark.parametrize("suffix", [".mp4", ".webm", ".gif"])
def test_silent_drivers_and_silent_outputs(tmp_path, clip, suffix):
    writer = write(tmp_path / f"o{suffix}", [bar(0), bar(1)], [0, 0.04], audio_from=clip)
    assert writer.warnings == []
    with av.open(str(tmp_path / f"o{suffix}")) as container:
        assert not container.streams.audio


@pytest.mark.parametrize("suffix", [".mp4", ".webm"])
def test_broken_sound_never_ends_the_job(tmp_path, long_clip, suffix, capfd):
    times = [i / 25 for i in range(50)]
    for seed in range(8):
        driver = damage(
            long_clip, tmp_path / "bad.mp4", start=[0, 0.2][seed % 2], end=1, every=37 + 50 * seed, seed=seed
        )
        write(tmp_path / f"o{suffix}", [bar(i, count=50) for i in range(50)], times, audio_from=driver)
        assert len(times_of(tmp_path / f"o{suffix}")) == 50
    (tmp_path / "no.mp4").write_bytes(b"no sound in here")
    writer = write(tmp_path / f"o{suffix}", [bar(0)], [0], audio_from=tmp_path / "no.mp4")
    assert "without it" in writer.warnings[0]
    assert "no.mp4" in writer.warnings[0]
    assert capfd.readouterr() == ("", "")


# Paths and faults


def test_outputs_that_cannot_be(tmp_path, clip):
    for name, error, words in [
        ("none/o.mp4", OutputError, "does not exist"),
        ("o.avi", InputError, r"\.mp4, \.webm, \.gif"),
        ("o", InputError, "no ending"),
        ("clip.mp4/o.mp4", OutputError, "does not exist"),
    ]:
        with pytest.raises(error, match=words):
            media.check_output(tmp_path / name)
        with pytest.raises(error, match=words):
            media.open_writer(tmp_path / name, (64, 48), times=[0])
    (tmp_path / "folder.mp4").mkdir()
    with pytest.raises(OutputError, match="is a folder"):
        media.check_output(tmp_path / "folder.mp4")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["clip.mp4", "folder.mp4"]


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs a folder that nobody can write to")
def test_a_folder_that_cannot_be_written():
    with pytest.raises(OutputError, match=r"/proc/o\.mp4 cannot be written"):
        media.check_output("/proc/o.mp4")


def test_sizes_beyond_the_limit(tmp_path):
    with pytest.raises(LimitError, match="5000x100"):
        media.open_writer(tmp_path / "o.mp4", (5000, 100), times=[0])
    with pytest.raises(LimitError, match="too much for a GIF"):
        media.open_writer(tmp_path / "o.gif", (4000, 4000), times=range(1000))
    with pytest.raises(OutputError, match="no frame"):
        media.open_writer(tmp_path / "o.mp4", (10, 10), times=[])


def test_the_target_is_untouched_until_it_is_published(tmp_path):
    target = tmp_path / "o.mp4"
    target.write_bytes(b"old")
    with media.open_writer(target, (64, 48), times=[0]) as writer:
        writer.write(bar(0), 0)
        assert writer.temp.parent == tmp_path
        assert writer.temp.name.startswith(".o.")
        assert writer.temp.name.endswith(".part.mp4")
    assert target.read_bytes() == b"old"
    assert len(times_of(writer.temp)) == 1
    media.publish(writer.temp, target)
    assert len(times_of(target)) == 1
    assert [p.name for p in tmp_path.iterdir()] == ["o.mp4"]


@pytest.mark.parametrize("suffix", [".mp4", ".webm", ".gif"])
@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, GeneratorExit])
def test_an_interrupted_job_leaves_nothing(tmp_path, suffix, error):
    def job(after):
        with media.open_writer(tmp_path / f"o{suffix}", (64, 48), times=[0, 1, 2]) as writer:
            for i in range(after):
                writer.write(bar(i), i)
            raise error

    for after in (0, 2):
        with pytest.raises(error):
            job(after)
    assert list(tmp_path.iterdir()) == []


def test_no_frame_and_wrong_frames(tmp_path):
    with (
        pytest.raises(OutputError, match="no frame"),
        media.open_writer(tmp_path / "o.mp4", (64, 48), times=[0]),
    ):
        pass
    with (
        pytest.raises(ValueError, match="expected uint8"),
        media.open_writer(tmp_path / "o.mp4", (64, 48), times=[0]) as writer,
    ):
        writer.write(bar(0)[:, :-2], 0)
    with pytest.raises(ValueError, match="increase"):
        media.open_writer(tmp_path / "o.mp4", (64, 48), times=[0, 0])
    assert list(tmp_path.iterdir()) == []


def test_a_picture_may_be_reused_once_written(tmp_path):
    canvas = np.empty((48, 64, 3), np.uint8)
    with media.open_writer(tmp_path / "o.mp4", (64, 48), times=[i / 25 for i in range(20)]) as writer:
        for i in range(20):
            canvas[:] = 10 * i
            writer.write(canvas, i / 25)
    media.publish(writer.temp, tmp_path / "o.mp4")
    means = [f.image.mean() for f in media.read_frames(tmp_path / "o.mp4")]
    assert means == pytest.approx([10 * i for i in range(20)], abs=3)


_FULL_DISK = """
import json, resource, sys
import numpy as np
from gioconda import media
from gioconda.errors import OutputError
resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000))
rng = np.random.default_rng(0)
try:
    with media.open_writer(sys.argv[1], (128, 128), times=[i / 25 for i in range(200)]) as writer:
        for i in range(200):
            writer.write(rng.integers(0, 256, (128, 128, 3), dtype=np.uint8), i / 25)
except OutputError as error:
    print(json.dumps(str(error)))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs limits of the system")
@pytest.mark.parametrize("suffix", [".mp4", ".webm", ".gif"])
def test_a_full_disk_is_told_and_leaves_nothing(tmp_path, suffix):
    path = str(Path(media.__file__).parents[2])
    done = subprocess.run(
        [sys.executable, "-c", _FULL_DISK, str(tmp_path / f"o{suffix}")],
        capture_output=True, text=True, env={**os.environ, "PYTHONPATH": path}, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "full" in json.loads(done.stdout)
    assert done.stderr == ""
    assert list(tmp_path.iterdir()) == []


def test_publishing_what_is_not_there(tmp_path):
    with pytest.raises(OutputError, match=r"o\.mp4"):
        media.publish(tmp_path / "gone.mp4", tmp_path / "o.mp4")


def test_encoding_overlaps_with_the_caller(tmp_path, monkeypatch):
    """Writing must not cost the caller the encoder's time, as long as it has its own work to do."""
    add = StreamEncoder.add

    def slow(self, image, moment):
        time.sleep(0.02)
        add(self, image, moment)

    monkeypatch.setattr(StreamEncoder, "add", slow)
    inside = []
    with media.open_writer(tmp_path / "o.mp4", (64, 48), times=[i / 25 for i in range(30)]) as writer:
        for i in range(30):
            started = time.perf_counter()
            writer.write(bar(i), i / 25)
            inside.append(time.perf_counter() - started)
            time.sleep(0.03)
    assert np.median(inside) < 0.01
