"""A voice or a text makes a portrait talk: from sound to signed file."""

import json
import sys
import tracemalloc
from pathlib import Path
from types import ModuleType, SimpleNamespace

import av
import numpy as np
import pytest

import gioconda
from gioconda import media
from gioconda.cli import run
from gioconda.errors import InputError
from gioconda.inputs.motion import load_motion
from gioconda.inputs.portrait import load_portraits
from gioconda.inputs.speech import motion_of_voice
from gioconda.motion.expression import load_basis, offsets
from gioconda.motion.retarget import RetargetedMotion, Style
from gioconda.speech import perform, perform_voice, say
from gioconda.speech.features import RATE
from gioconda.speech.mouth import LOWER, UPPER
from gioconda.types import ARKIT_INDEX

TEXTS = {
    "en": "The bumpy camp map, happy baby, upon a mop. Bob may pump maple: a rabbit, a number, an apple.",
    "fr": "Bonjour, mon papa boit beaucoup d'eau minérale.",
    "cmn": "妈妈不怕，爸爸跑步。",
    "ja": "こんばんは、まめ。ぱぴぷぺぽ。",
}


def opening(expression):
    """How far the lips are apart beyond rest, (T,) inter-ocular units."""
    moved = offsets(expression)
    return (moved[:, LOWER, 1] - moved[:, UPPER, 1]).mean(1)


def spans(voice, kinds):
    """From when to when the phones last whose names hold one of `kinds`; a p's closure comes before it."""
    ends = [time for time, _ in voice.phones[1:]] + [voice.seconds]
    found = zip(voice.phones, ends, strict=True)
    return [(begin - 0.05, end) for (begin, name), end in found if any(c in name for c in kinds)]


def bursts(seconds, rate=RATE):
    """Something like speech: a buzz that comes and goes, and then silence for as long."""
    t = np.arange(round(seconds * rate)) / rate
    buzz = np.sign(np.sin(2 * np.pi * 130 * t)) * np.clip(np.sin(2 * np.pi * 2.2 * t), 0, 1) * 0.3
    return np.concatenate([buzz, np.zeros(len(t))]).astype(np.float32)


@pytest.mark.parametrize("language", TEXTS)
def test_lips_meet_on_bilabials(language):
    voice = say(TEXTS[language], language=language)
    made = perform_voice(voice)
    gap = np.maximum(opening(made.expression), 0)
    least = [
        gap[(made.times >= begin) & (made.times <= end)].min() / gap.max()
        for begin, end in spans(voice, "pbm")
    ]
    assert len(least) >= 5
    assert np.mean(np.array(least) < 0.1) >= 0.9
    assert gap.max() > 0.08, "and the mouth does open"


def test_lips_meet_on_a_photo_whose_lips_are_parted(shared_data):
    who = load_portraits(shared_data / "portraits" / "photo_woman.jpg", chosen=0, crop=True, size=256)
    voice = say(TEXTS["en"])
    laid = RetargetedMotion(motion_of_voice(voice), who.portraits[0], Style(), shut=True)
    shots = [laid.target(i) for i in range(len(laid))]
    gap = np.array([(s.landmarks[LOWER, 1] - s.landmarks[UPPER, 1]).mean() for s in shots])
    times = np.array([shot.time for shot in shots])
    least = [gap[(times >= begin) & (times <= end)].min() / gap.max() for begin, end in spans(voice, "pbm")]
    assert np.mean(np.array(least) < 0.1) >= 0.9


def test_the_lower_lip_comes_to_the_teeth_on_f_and_v():
    voice = say("Five very fine foxes have coffee for every farmer.")
    made = perform_voice(voice)
    roll = made.expression[:, ARKIT_INDEX["mouthRollLower"]]
    most = [roll[(made.times >= b) & (made.times <= e)].max() for b, e in spans(voice, "fv")]
    assert len(most) >= 6
    assert np.median(most) > 0.35


def test_the_mouth_begins_shut_and_is_shut_in_silence():
    sound = bursts(3.0)
    made = perform([sound])
    gap = np.abs(opening(made.expression))
    assert len(made.times) == 150
    assert gap[made.times > 3.6].max() < 0.005
    said = perform_voice(say("Oh, hello."))
    assert abs(opening(said.expression[:1])[0]) < 0.01


@pytest.mark.parametrize("kind", ["silence", "noise", "music"])
def test_what_is_no_speech_ends_well(kind):
    t = np.arange(2 * RATE) / RATE
    sound = {
        "silence": np.zeros(len(t)),
        "noise": np.random.default_rng(0).normal(0, 0.1, len(t)),
        "music": sum(np.sin(2 * np.pi * f * t) for f in (262, 330, 392)) / 5,
    }[kind].astype(np.float32)
    made = perform([sound])
    assert made.expression.shape == (50, 52)
    assert np.isfinite(made.expression).all()
    if kind == "silence":
        assert np.abs(opening(made.expression)).max() < 1e-3


@pytest.mark.slow
def test_an_hour_is_not_held_in_memory():
    piece = bursts(2.0)

    def blocks(count):
        return (piece for _ in range(count))

    perform(blocks(2))
    peaks = []
    for count in (15, 60):
        tracemalloc.start()
        perform(blocks(count))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    sound = 45 * len(piece) * 4
    assert peaks[1] - peaks[0] < 0.6 * sound, "three more minutes of sound, most of it silence of the peak"


def test_a_sound_is_a_motion(tmp_path, astronaut):
    path = media.write_sound(tmp_path / "voice.wav", bursts(0.6), RATE)
    seen = []
    what = load_motion(path, lambda *step: seen.append(step))
    assert (what.driver, what.sound, what.ingredient.role) == (None, path, "audio")
    assert len(what.motion) == 30
    assert seen[-1][0] == "listen"
    out = tmp_path / "out.mp4"
    gioconda.animate(astronaut, path, out, crop=True, size=128, refine=False)
    with av.open(str(out)) as container:
        assert container.streams.audio[0].duration * container.streams.audio[0].time_base == pytest.approx(
            1.2, abs=0.1
        )


@pytest.mark.parametrize(("rate", "channels"), [(8000, 1), (96000, 2)])
def test_any_rate_speaks(tmp_path, astronaut, rate, channels):
    path = tmp_path / "voice.wav"
    sound = np.repeat(bursts(0.3, rate)[None], channels, 0)
    with av.open(str(path), "w") as out:
        track = out.add_stream("pcm_s16le", rate=rate, layout="stereo" if channels == 2 else "mono")
        packed = np.ascontiguousarray((sound.T.reshape(1, -1) * 32767).astype(np.int16))
        frame = av.AudioFrame.from_ndarray(packed, format="s16", layout=track.layout.name)
        frame.sample_rate = rate
        out.mux(track.encode(frame))
        out.mux(track.encode(None))
    frames = list(gioconda.frames_of(gioconda.Speak(astronaut, audio=path, crop=True, size=96, refine=False)))
    assert len(frames) == 15


def test_a_text_becomes_a_signed_video_with_its_voice(tmp_path, astronaut):
    out = tmp_path / "said.mp4"
    made = gioconda.speak(astronaut, out, text="Hello.", voice="f2", crop=True, size=128, seed=3)
    verdict = gioconda.verify(out)
    assert verdict.status == "ours"
    told = json.dumps(verdict.to_json())
    assert "text (espeak-ng, en)" in told
    assert made.warnings == ()
    with av.open(str(out)) as container:
        loud = max(np.abs(frame.to_ndarray()).max() for frame in container.decode(audio=0))
    assert loud > 0.05
    assert list(tmp_path.iterdir()) == [out]


def test_a_gif_is_silent_and_its_user_is_told(tmp_path, astronaut):
    made = gioconda.speak(astronaut, tmp_path / "said.gif", text="Oh.", crop=True, size=96, refine=False)
    assert made.frames > 10
    assert made.warnings == (".gif cannot hold sound, so said.gif is silent; write .mp4 or .webm to keep it",)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({}, "either a sound"),
        ({"audio": "a.wav", "text": "Hello"}, "either a sound"),
        ({"audio": "absent.wav"}, "does not exist"),
        ({"text": ""}, "text has 0 characters"),
        ({"text": "Hello", "language": "xx"}, "no language"),
        ({"text": "Hello", "engine": "lipsync"}, "still picture"),
        ({"text": "Hello", "bank": "b.safetensors"}, "bank does not apply to the engine warp"),
        ({"audio": "a.wav", "voice": "f1"}, "applies to a text only"),
    ],
)
def test_what_cannot_be_spoken_is_told(astronaut, options, told):
    with pytest.raises(InputError, match=told):
        gioconda.frames_of(gioconda.Speak(astronaut, **options))


def test_a_bad_sound_ends_the_command_without_a_traceback(tmp_path, astronaut, capsys):
    bad = tmp_path / "bad.wav"
    bad.write_bytes(b"RIFF\x24\x00\x00\x00WAVEnothing")
    code = run(["speak", str(astronaut), "--audio", str(bad), "-o", str(tmp_path / "out.mp4")])
    told = capsys.readouterr().err
    assert code == 2
    assert "bad.wav" in told
    assert "Traceback" not in told
    assert not (tmp_path / "out.mp4").exists()


def test_the_command_passes_every_option_on(monkeypatch, capsys):
    calls = []
    fake = ModuleType("gioconda.pipeline")
    made = SimpleNamespace(path="o.mp4", frames=5, seconds=1.0, size=(6, 4), bridged=0, warnings=("a note",))
    fake.run = lambda request: calls.append(request) or made
    monkeypatch.setitem(sys.modules, "gioconda.pipeline", fake)
    monkeypatch.setattr(gioconda, "pipeline", fake, raising=False)
    line = (
        "speak me.jpg --text Hello -o o.mp4 --voice f2 --language fr --seed 4 --engine warp --no-refine"
        " --photo a.jpg --face all --strength 0.5 --crop --size 256 --label --rights mine"
    )
    assert run(line.split()) == 0
    said = {"text": "Hello", "voice": "f2", "language": "fr", "seed": 4, "engine": "warp", "refine": False}
    said |= {"face": "all", "strength": 0.5, "crop": True, "size": 256, "label": True, "rights": "mine"}
    assert calls == [gioconda.Speak(Path("me.jpg"), Path("o.mp4"), photos=(Path("a.jpg"),), **said)]
    assert "a note" in capsys.readouterr().err
    assert (
        run("speak me.mp4 --text Hello -o o.mp4 --engine lipsync --bank b.safetensors --no-retime".split())
        == 0
    )
    assert (calls[1].bank, calls[1].retime) == (Path("b.safetensors"), False)


def test_languages_are_listed(capsys):
    assert run(["speak", "--list"]) == 0
    told = capsys.readouterr().out
    assert "Japanese" in told
    assert "f2" in told


def test_the_basis_closes_the_jaw_as_closing_assumes():
    from gioconda.speech.closing import CLOSE_OF_JAW

    basis = load_basis().offsets
    jaw, close = (
        (basis[ARKIT_INDEX[name]][LOWER, 1] - basis[ARKIT_INDEX[name]][UPPER, 1]).mean()
        for name in ("jawOpen", "mouthClose")
    )
    assert -jaw / close == pytest.approx(CLOSE_OF_JAW, abs=0.03)
