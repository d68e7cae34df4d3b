"""Sounds in: any rate, any number of channels, any container, odd and damaged files; and WAV out."""

import wave
from fractions import Fraction

import av
import numpy as np
import pytest

from gioconda import media
from gioconda.errors import InputError, LimitError, MissingFileError, OutputError
from media_factory import click_flash, cut, damage, write_clip


def tone(seconds, rate, hertz=440.0):
    return (0.5 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def encode(path, sound, rate, codec, layout="mono", form="fltp"):
    """Write sound (n,) to all channels of a file."""
    channels = 2 if layout == "stereo" else 1
    with av.open(str(path), "w") as out:
        stream = out.add_stream(codec, rate=rate, layout=layout)
        resampler = av.AudioResampler(stream.format.name, layout, rate, 1024 if codec == "flac" else 0)
        for at in range(0, len(sound), 1024):
            piece = np.ascontiguousarray(np.repeat(sound[None, at : at + 1024], channels, 0))
            frame = av.AudioFrame.from_ndarray(piece, format="fltp", layout=layout)
            frame.sample_rate, frame.time_base, frame.pts = rate, Fraction(1, rate), at
            for part in resampler.resample(frame):
                out.mux(stream.encode(part))
        out.mux(stream.encode(None))
    return path


def whole(path, rate=16000, warn=None):
    with media.read_sound(path, rate, warn=warn) as blocks:
        return np.concatenate(list(blocks))


@pytest.mark.parametrize(
    ("name", "codec", "rate", "layout"),
    [
        ("a.wav", "pcm_s16le", 8000, "mono"),
        ("b.wav", "pcm_f32le", 96000, "stereo"),
        ("c.mp3", "libmp3lame", 44100, "stereo"),
        ("d.m4a", "aac", 44100, "mono"),
        ("e.flac", "flac", 48000, "stereo"),
        ("f.ogg", "flac", 44100, "stereo"),
        ("g.opus", "libopus", 48000, "mono"),
    ],
)
def test_any_kind_of_sound_is_read_alike(tmp_path, name, codec, rate, layout):
    path = encode(tmp_path / name, tone(1.5, rate), rate, codec, layout)
    heard = whole(path)
    assert media.is_sound(path)
    assert heard.dtype == np.float32
    assert len(heard) / 16000 == pytest.approx(1.5, abs=0.08)
    spectrum = np.abs(np.fft.rfft(heard[4000:20000]))
    assert spectrum.argmax() == pytest.approx(440, abs=2), "1 Hz a bin"
    assert np.sqrt(np.mean(heard[4000:20000] ** 2)) == pytest.approx(0.5 / np.sqrt(2), rel=0.06)


def test_a_videos_sound_counts_from_its_first_picture(tmp_path):
    path = click_flash(tmp_path / "late.mp4", first=0.5)
    heard = np.abs(whole(path))
    assert not media.is_sound(path)
    assert np.flatnonzero(heard > 0.3)[0] / 16000 == pytest.approx(0.4, abs=0.03)


def test_long_sounds_come_in_small_blocks(tmp_path):
    path = media.write_sound(tmp_path / "long.wav", tone(40, 16000), 16000)
    assert media.probe_sound(path) == pytest.approx(40)
    with media.read_sound(path) as blocks:
        sizes = [len(block) for block in blocks]
    assert sum(sizes) == pytest.approx(40 * 16000, abs=16)
    assert max(sizes) <= 16000


def test_what_is_written_can_be_read_by_others(tmp_path):
    sound = np.array([0, 0.5, -0.5, 2.0, -2.0] * 50, np.float32)
    path = media.write_sound(tmp_path / "a.wav", sound, 22050)
    with wave.open(str(path)) as read:
        assert (read.getframerate(), read.getnchannels(), read.getnframes()) == (22050, 1, 250)
        found = np.frombuffer(read.readframes(250), "<i2") / 32767
    assert np.allclose(found, np.clip(sound, -1, 1), atol=1e-4)
    assert list(tmp_path.iterdir()) == [path], "nothing is left beside it"


def test_a_place_that_cannot_be_written_is_told(tmp_path):
    with pytest.raises(OutputError, match="does not exist"):
        media.write_sound(tmp_path / "nowhere" / "a.wav", tone(0.1, 8000), 8000)
    with pytest.raises(InputError, match=r"\.wav"):
        media.write_sound(tmp_path / "a.mp3", tone(0.1, 8000), 8000)


def test_files_without_sound_are_refused(tmp_path, astronaut):
    silent = write_clip(tmp_path / "silent.mp4")
    text = tmp_path / "text.wav"
    text.write_text("this is no sound at all" * 50)
    with pytest.raises(InputError, match="has no sound"):
        media.read_sound(silent)
    with pytest.raises(InputError, match="sound"):
        media.read_sound(astronaut)
    with pytest.raises(InputError, match="not a sound that can be read"):
        media.read_sound(text)
    with pytest.raises(MissingFileError):
        media.read_sound(tmp_path / "absent.wav")
    assert media.is_sound(text), "by its name: the error is to speak of sound"
    assert not media.is_sound(astronaut)


def test_zero_length_is_refused(tmp_path):
    path = media.write_sound(tmp_path / "none.wav", np.zeros(0, np.float32), 16000)
    with pytest.raises(InputError, match="zero length"):
        media.read_sound(path)


def test_hours_too_many_are_refused_at_once(tmp_path):
    path = media.write_sound(tmp_path / "hours.wav", np.zeros(160, np.float32), 4000)
    header = bytearray(path.read_bytes())
    size = 4 * 3600 * 4000 * 2
    at = header.index(b"data") + 4
    header[at : at + 4], header[4:8] = size.to_bytes(4, "little"), (size + 36).to_bytes(4, "little")
    path.write_bytes(header)
    with path.open("r+b") as file:
        file.truncate(at + 4 + size)  # sparse: nothing is stored
    with pytest.raises(LimitError, match="14,400 s"):
        media.read_sound(path)


@pytest.mark.parametrize(("name", "codec"), [("a.mp3", "libmp3lame"), ("a.flac", "flac"), ("a.m4a", "aac")])
def test_damage_midway_ends_or_silences_the_sound(tmp_path, name, codec):
    noise = np.random.default_rng(0).normal(0, 0.2, 44100 * 3).astype(np.float32)
    path = encode(tmp_path / name, noise, 44100, codec)
    broken = damage(path, tmp_path / f"broken_{name}", every=150, start=0.4, end=0.6)
    told = []
    heard = whole(broken, warn=told.append)
    assert len(heard) > 16000
    assert np.isfinite(heard).all()
    assert np.abs(heard).max() <= 1
    assert len(told) <= 1


def test_a_sound_cut_short_ends_early_or_is_refused(tmp_path):
    path = media.write_sound(tmp_path / "a.wav", tone(2, 16000), 16000)
    assert 15000 < len(whole(cut(path, tmp_path / "cut.wav", 0.5))) < 17000
    film = encode(tmp_path / "a.m4a", tone(2, 16000), 16000, "aac")
    with pytest.raises(InputError, match="damaged"):
        media.read_sound(cut(film, tmp_path / "cut.m4a", 0.5))
