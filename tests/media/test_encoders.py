"""Hardware encoders: whether one opens is tried first; libx264 takes the place of one that is not here."""

import pytest

import gioconda
from gioconda import media
from gioconda.cli import run
from gioconda.errors import InputError
from gioconda.media import containers, encode, encoders
from gioconda.runtime.devices import HARDWARE_ENCODERS


@pytest.mark.parametrize("problem", ["libav does not have it", "its hardware or driver is absent"])
def test_an_encoder_that_does_not_open_is_refused_before_any_work(tmp_path, capsys, monkeypatch, problem):
    name = HARDWARE_ENCODERS[0]
    monkeypatch.setattr(encoders, "_problem", lambda asked: problem if asked == name else "")
    words = ["animate", "nothing.jpg", "--motion", "smile", "-o", str(tmp_path / "o.mp4"), "--encoder", name]
    assert run(words) == 2
    assert f"{name} cannot be opened here ({problem})" in capsys.readouterr().err


def test_the_trial_opens_what_is_here_and_nothing_else():
    assert encoders._problem("libx264") == ""
    assert encoders._problem("h264_that_nobody_made") == "the installed libav does not have it"
    # This format of pixels is none of ProRes.
    assert encoders._problem("prores_ks") == "its hardware or driver is absent"


def test_auto_takes_the_first_that_opens_or_libx264(tmp_path, monkeypatch):
    monkeypatch.setattr(encoders, "_problem", lambda name: "" if name == "h264_amf" else "absent")
    assert media.usable_encoder("auto", tmp_path / "o.mp4") == "h264_amf"
    monkeypatch.setattr(encoders, "_problem", lambda name: "absent")
    assert media.usable_encoder("auto", tmp_path / "o.mp4") == "libx264"


def test_other_formats_refuse_an_encoder(tmp_path):
    with pytest.raises(InputError, match=r"writes \.mp4, not \.webm"):
        media.usable_encoder("auto", tmp_path / "o.webm")


def test_a_film_by_another_encoder_keeps_its_frames_and_marks(tmp_path, astronaut, monkeypatch):
    for module in (containers, encode, encoders):
        monkeypatch.setattr(module, "SOFTWARE_ENCODER", "none")
    result = gioconda.animate(astronaut, "smile", tmp_path / "o.mp4", crop=True, size=128)
    verdict = gioconda.verify(result.path)
    assert verdict.status == "ours"
    assert verdict.survived == ["content_credentials", "watermark"]
    info = media.probe(result.path)
    assert (info.frames, info.width, info.height) == (result.frames, 128, 128)
