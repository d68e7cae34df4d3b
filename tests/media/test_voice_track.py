"""The voice of a file: on whichever track, in whichever channel, between samples that are no numbers."""

import av
import numpy as np
import pytest

from gioconda import media
from gioconda.media.voice_track import voice_track

RATE = 16000


def voice(seconds=2.0):
    """A tone that comes and goes, (n,) float32."""
    t = np.arange(int(seconds * RATE)) / RATE
    return (0.4 * np.sin(2 * np.pi * 220 * t) * (np.sin(2 * np.pi * 2 * t) > 0)).astype(np.float32)


def recording(path, *tracks, codec="pcm_f32le"):
    """A file with sound tracks (channels, n)."""
    with av.open(str(path), "w") as container:
        layouts = ["mono" if len(track) == 1 else "stereo" for track in tracks]
        streams = [container.add_stream(codec, rate=RATE, layout=layout) for layout in layouts]
        for stream, track, layout in zip(streams, tracks, layouts, strict=True):
            frame = av.AudioFrame.from_ndarray(
                np.ascontiguousarray(track.T.reshape(1, -1), np.float32), format="flt", layout=layout
            )
            frame.sample_rate, frame.pts = RATE, 0
            container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
    return path


def heard(path):
    """The sound as it is read, and what people are told."""
    notes = []
    with media.read_sound(path, RATE, warn=notes.append) as blocks:
        return np.concatenate(list(blocks)), notes


def test_channels_that_cancel_each_other_are_not_mixed(tmp_path):
    path = recording(tmp_path / "phase.mka", np.stack([voice(), -voice()]))
    sound, notes = heard(path)
    np.testing.assert_allclose(sound, voice(), atol=1e-3)
    assert "cancel each other" in notes[0]


def test_channels_that_agree_are_mixed(tmp_path):
    sound, notes = heard(recording(tmp_path / "both.mka", np.stack([voice(), 0.8 * voice()])))
    np.testing.assert_allclose(sound, 0.9 * voice(), atol=1e-3)
    assert notes == []


@pytest.mark.parametrize("silent", [1, 2])
def test_the_first_track_that_is_not_silent_is_heard(tmp_path, silent):
    nothing = np.zeros((1, 2 * RATE), np.float32)
    path = recording(tmp_path / "obs.mka", *[nothing] * silent, voice()[None])
    sound, notes = heard(path)
    np.testing.assert_allclose(sound, voice(), atol=1e-3)
    assert f"track {silent + 1} is used" in notes[0]


def test_a_voice_that_begins_late_is_found(tmp_path):
    late = np.concatenate([np.zeros(20 * RATE, np.float32), voice()])[None]
    path = recording(tmp_path / "late.mka", np.zeros_like(late), late)
    assert voice_track(path).index == 1


def test_samples_that_are_no_sound_are_silent(tmp_path):
    sound = voice()[None].copy()
    sound[0, [1000, 2000, 3000, 4000]] = [np.nan, np.inf, -np.inf, 3e38]
    got, _ = heard(recording(tmp_path / "float.mka", sound))
    assert len(got) == sound.shape[1]
    clean = np.where(np.abs(sound[0]) < 1e3, sound[0], 0)
    np.testing.assert_allclose(got, clean, atol=1e-3)


def test_silence_is_told(tmp_path):
    _, notes = heard(recording(tmp_path / "nothing.mka", np.zeros((1, RATE), np.float32)))
    assert "is silent" in notes[0]
