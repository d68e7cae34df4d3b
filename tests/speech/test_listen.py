"""What speech networks hear, and how long sounds are listened to piece by piece."""

import numpy as np
import pytest
from scipy.ndimage import convolve1d
from scipy.signal import stft

from gioconda.errors import InputError, WeightsError
from gioconda.speech import features, listen
from gioconda.types import ARKIT_INDEX


def voice(seconds, seed=0, rate=features.RATE):
    """Something like speech: bursts of a buzz, four a second, in other pitches."""
    random = np.random.default_rng(seed)
    t = np.arange(int(seconds * rate)) / rate
    pitch = 120 + 30 * np.sin(2 * np.pi * 0.7 * t)
    buzz = np.sign(np.sin(2 * np.pi * np.cumsum(pitch) / rate)) * 0.2
    return (buzz * (np.sin(2 * np.pi * 2 * t) > -0.2) + random.normal(0, 0.002, len(t))).astype(np.float32)


def test_spectra_agree_with_another_transform():
    sound = voice(0.7)
    window = np.hanning(features.WINDOW + 1)[:-1]
    padded = np.concatenate([np.zeros(200), sound, np.zeros(1000)])
    _, _, found = stft(padded, window=window, nperseg=400, noverlap=240, boundary=None, scaling="spectrum")
    power = np.abs(found * window.sum()) ** 2
    wanted = np.log(power.T[:70] @ features.mel_filters() + features.FLOOR)
    assert np.allclose(features.log_mel(sound), wanted, atol=2e-3)


def test_bands_are_triangles_evenly_spaced_in_mel():
    filters = features.mel_filters() * features.WINDOW
    assert filters.shape == (201, features.BANDS)
    assert filters.min() >= 0
    assert filters.max() <= 1
    peaks = filters.argmax(0) * features.RATE / features.FFT
    assert (np.diff(peaks) >= 0).all()
    mel = 27 * np.log(peaks[55:]) / np.log(6.4)  # Slaney's above 1 kHz
    assert np.diff(mel) == pytest.approx(np.full(len(mel) - 1, np.diff(mel).mean()), abs=0.25)


def test_a_voice_is_heard_alike_however_loud():
    sound = voice(1.0)
    near, far = (features.levelled(features.log_mel(sound * gain)) for gain in (1.0, 0.1))
    loud = near > 0  # what lies far below drowns in the floor
    assert np.abs(near - far)[loud].max() < 0.15


def test_hiss_is_not_taken_for_speech():
    hiss = np.random.default_rng(0).normal(0, 2e-4, 16000).astype(np.float32)
    assert features.energy(features.log_mel(hiss)).max() < listen.VOICED
    assert features.energy(features.log_mel(voice(1.0))).max() > 0.8


@pytest.mark.parametrize("block", [700, 16000, 1_000_000])
@pytest.mark.parametrize("seconds", [0.013, 3.0, 19.99, 47.3])
def test_pieces_are_the_whole(block, seconds):
    sound = voice(seconds)
    blocks = [sound[k : k + block] for k in range(0, len(sound), block)]
    found, loud = [], []
    for mel, inner in listen.pieces(blocks):
        assert inner.stop - inner.start <= listen.PIECE
        assert len(mel) <= listen.PIECE + 2 * listen.MARGIN
        found.append(mel[inner])
        loud.append(features.levelled(mel)[inner])
    whole = features.log_mel(sound)
    assert np.concatenate(found).shape == whole.shape
    assert np.allclose(np.concatenate(found), whole, atol=1e-4)
    assert np.allclose(np.concatenate(loud), features.levelled(whole), atol=1e-3)


@pytest.mark.parametrize("count", [2, 3, 600, 799, 1500, 4001])
def test_stretches_that_overlap_are_the_whole(count):
    """A network that looks half a second to either side says the same of a sound in stretches."""
    mel = np.random.default_rng(0).normal(0, 1, (count, features.BANDS)).astype(np.float32)
    lengths = []

    def net(part):
        lengths.append(len(part))
        return convolve1d(part[::2, :27], np.ones(51), axis=0, mode="constant")

    found = listen.in_stretches(net, mel)
    assert max(lengths) <= listen.STRETCH + 2 * listen.CONTEXT
    assert all(n % 2 == 0 for n in lengths)
    whole = net(mel if count % 2 == 0 else np.concatenate([mel, mel[-1:]]))
    assert np.allclose(found, whole, atol=1e-4)
    if count > 1000:
        assert np.allclose(listen.in_stretches(net, mel, slice(400, 900)), whole[200:450], atol=1e-4)


@pytest.mark.parametrize("fps", [25.0, 29.97])
def test_frames_last_as_long_as_the_sound(fps):
    heard = listen.listen([voice(2.0)], fps)
    assert len(heard.times) == round(2.0 * fps)
    assert heard.expression.shape == (len(heard.times), 52)
    assert heard.expression.min() >= 0
    assert heard.expression.max() <= 1
    assert not heard.expression[:, ARKIT_INDEX["eyeBlinkLeft"]].any()


def test_a_mouth_is_shut_in_silence():
    sound = np.concatenate([voice(2.0), np.zeros(32000, np.float32), voice(2.0)])
    heard = listen.listen([sound])
    jaw = heard.expression[:, ARKIT_INDEX["jawOpen"]]
    still = (heard.times > 2.4) & (heard.times < 3.6)
    assert not heard.voiced[still].any()
    assert heard.voiced[(heard.times > 0.3) & (heard.times < 1.5)].all()
    assert jaw[still].max() < 0.01
    assert jaw[heard.times < 2].max() > 0.03


def test_no_sound_is_told():
    with pytest.raises(InputError, match="the sound is empty"):
        listen.listen([])


def test_a_file_that_is_no_network_is_told(tmp_path):
    (tmp_path / "speech.onnx").write_bytes(b"no network")
    with pytest.raises(WeightsError, match="not a speech network"):
        listen.listen([voice(0.5)], weights=tmp_path / "speech.onnx")
