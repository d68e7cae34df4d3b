"""Videos and sound as they are written."""

import json
import os
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from gioconda import media
from gioconda.errors import InputError, LimitError, OutputError
from gioconda.media.encode import StreamEncoder
from media_factory import (
    bar,
    click_flash,
    clicks,
    damage,
)
from media_world import long_clip_fixture, times_of  # noqa: F401


def write(path, images, times, **options):
    """Write and publish a video; the finished writer."""
    size = images[0].shape[1::-1]
    with media.open_writer(path, size, times=times, **options) as writer:
        for image, moment in zip(images, times, strict=True):
            writer.write(image, moment)
    media.publish(writer.temp, path)
    return writer


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
    assert "50 frames per second" in writer.warnings[0]


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


@pytest.mark.parametrize("suffix", [".mp4", ".webm"])
def test_a_part_of_the_sound_begins_with_its_picture(tmp_path, suffix):
    driver = click_flash(tmp_path / "d.mp4")
    part = [frame for frame in media.read_frames(driver) if frame.time >= 0.8]
    sound = media.SoundTrack(driver, start=0.8)
    write(tmp_path / f"o{suffix}", [f.image for f in part], [f.time - 0.8 for f in part], audio_from=sound)
    assert clicks(tmp_path / f"o{suffix}", 1) == pytest.approx([0.4], abs=0.025)


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


def test_outputs_that_cannot_be(tmp_path, clip):
    for name, error, words in [
        ("none/o.mp4", OutputError, "does not exist"),
        ("o.avi", InputError, r"\.mp4, \.webm, \.gif"),
        ("o", InputError, "no suffix"),
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
    with pytest.raises(LimitError, match="too large for an animated picture"):
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


@pytest.mark.slow
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


@pytest.mark.slow
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
