"""Videos as they are read: upright, in time, and as far as they go."""

import itertools
import shutil
import struct
from fractions import Fraction

import av
import numpy as np
import PIL.Image
import pytest

from gioconda import media
from gioconda.errors import InputError, LimitError, MissingFileError
from gioconda.limits import Limits
from media_factory import (
    bar,
    click_flash,
    corner_names,
    corners,
    cut,
    damage,
    rotate,
    write_clip,
)
from media_world import long_clip_fixture, outcome, times_of  # noqa: F401


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


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_metadata_that_is_not_text_is_read_over(tmp_path, suffix):
    path = write_clip(tmp_path / f"tagged{suffix}", metadata={"title": "a title of some length"})
    assert media.probe(path).frames == 30
    whole, title = path.read_bytes(), b"a title of some length"
    assert whole.count(title) == 1
    path.write_bytes(whole.replace(title, b"\xff\xfe\xc3(\x80".ljust(len(title))))
    assert media.is_video(path)
    frames = list(media.read_frames(path))
    assert len(frames) == 30
    assert np.abs(frames[-1].image.astype(int) - bar(29)).mean() < 3


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
    with pytest.raises(InputError, match=r"cut\.mp4.*(damaged|no frame can be read|no video stream)"):
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


@pytest.mark.slow
def test_real_clips_are_read_whole(shared_data):
    clips = [p for p in sorted((shared_data / "driving").glob("*.mp4")) if p.stat().st_size < 2**20]
    for path in clips[:6]:
        reader = media.read_frames(path)
        times = [frame.time for frame in reader]
        assert len(times) == reader.info.frames
        assert reader.skipped == 0
        assert times == pytest.approx(np.subtract(times_of(path), times_of(path)[0]), abs=1e-9)
        assert not reader.truncated
