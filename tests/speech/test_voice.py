"""Text to voice: languages, phones at the times at which they sound, and texts that cannot be said."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
import pytest

from gioconda.errors import InputError, LimitError
from gioconda.limits import LIMITS
from gioconda.speech.voice import say, variants, voices
from gioconda.speech.words import time_words

TEXTS = {
    "en": "Bob may pump maple syrup.",
    "fr": "Bonjour, mon papa boit.",
    "cmn": "妈妈不怕，爸爸跑步。",
    "zh": "你好",
    "ja": "こんばんは、まめ。",
    "en-us": "Hello there",
}


@pytest.mark.parametrize("language", TEXTS)
def test_languages_are_said(language):
    voice = say(TEXTS[language], language=language)
    assert voice.samples.dtype == np.float32
    assert voice.samples.ndim == 1
    assert 0.05 < np.abs(voice.samples).max() <= 1
    times = [time for time, _ in voice.phones]
    assert times == sorted(times)
    assert 0 <= times[0] <= times[-1] <= voice.seconds
    assert any(phone for _, phone in voice.phones)


def test_phones_are_where_they_sound():
    voice = say("A, sa, sa, sa.")
    power = [
        float(np.mean(np.diff(voice.samples[round(t * voice.rate) :][:600]) ** 2)) for t, _ in voice.phones
    ]
    hiss = [p for p, (_, phone) in zip(power, voice.phones, strict=True) if "s" in phone]
    quiet = [p for p, (_, phone) in zip(power, voice.phones, strict=True) if not phone]
    assert len(hiss) == 3
    assert min(hiss) > 20 * np.median(quiet)


def test_the_lips_of_every_bilabial_are_told():
    names = "".join(phone for _, phone in say("Bob may pump maple.").phones)
    assert [c for c in names if c in "pbm"] == list("bbmpmpmp")


def test_pauses_are_told_once():
    phones = [phone for _, phone in say("One. Two.").phones]
    assert "" in phones
    assert not any(a == b == "" for a, b in pairwise(phones))


def alike(one, other):
    """Whether two voices say the same; espeak-ng lets its voice flutter, so that samples differ."""
    names = [[phone for _, phone in voice.phones] for voice in (one, other)]
    return names[0] == names[1] and abs(one.seconds - other.seconds) < 0.05


def test_voices_differ_and_repeat():
    usual, again, other = say("Hello"), say("Hello"), say("Hello", "F2")
    assert alike(usual, again)
    size = min(len(usual.samples), len(other.samples))
    assert not np.allclose(usual.samples[:size], other.samples[:size])
    assert {"f1", "m3"} <= set(variants())


def loud_stretches(voice, quiet=0.15):
    """Beginning and end of each stretch of sound, in seconds; silence shorter than `quiet` is part of one."""
    loud = np.flatnonzero(np.abs(voice.samples) > 0.01) / voice.rate
    gaps = np.flatnonzero(np.diff(loud) > quiet)
    return list(zip(loud[[0, *(gaps + 1)]], loud[[*gaps, -1]], strict=True))


def test_words_are_where_they_sound():
    voice = say("Harbour. Müller's!  Well-known? Memory.")  # f2 has an echo
    assert [word.text for word in voice.words] == ["Harbour.", "Müller's!", "Well-known?", "Memory."]
    for word, (begin, end) in zip(voice.words, loud_stretches(voice), strict=True):
        assert abs(word.start - begin) < 0.03, word
        assert abs(word.end - end) < 0.01, word


@pytest.mark.parametrize(
    ("text", "language", "words"),
    [
        ("It's 25 — isn't it?", "en", ["It's", "25 —", "isn't", "it?"]),
        ("« Été », où êtes-vous", "fr", ["« Été »,", "où", "êtes-vous"]),
        ("你好，世界。", "cmn", ["你好，", "世", "界。"]),
        ("مرحبا بالعالم", "ar", ["مرحبا", "بالعالم"]),
    ],
)
def test_the_words_are_the_whole_text(text, language, words):
    voice = say(text, "", language)
    assert [word.text for word in voice.words] == words
    times = [time for word in voice.words for time in (word.start, word.end)]
    assert times == sorted(times)
    assert 0.25 < times[0] < times[-1] < voice.seconds


def test_words_whose_marks_contradict_the_text_are_left_out():
    assert time_words("one two", [(0.1, 4), (0.3, 0)], [], 1.0) == ()
    assert time_words("one two", [(0.1, 0), (0.3, 9)], [], 1.0) == ()
    assert time_words("one two", [], [], 1.0) == ()


def test_languages_are_listed():
    listed = voices()
    assert {"en-us", "fr", "cmn", "ja", "de"} <= set(listed)
    assert "Japanese" in listed["ja"]


@pytest.mark.parametrize(
    ("text", "options", "told"),
    [
        ("", {}, "empty"),
        (" \n\x00 ", {}, "empty"),
        ("...", {}, "nothing in the text"),
        ("Hello", {"language": "klingonish"}, "no language 'klingonish'; there are .* such as en"),
        ("Hello", {"voice": "nobody"}, "no voice 'nobody'; there are .* such as f1"),
        ("今晩は", {"language": "ja"}, "write kana"),
        ("你好", {"language": "en"}, "cmn"),
    ],
)
def test_what_cannot_be_said_is_told(text, options, told):
    with pytest.raises(InputError, match=told):
        say(text, **options)


def test_a_book_is_refused():
    with pytest.raises(LimitError, match="characters"):
        say("word " * LIMITS.text_characters)


def test_markup_is_read_and_not_obeyed():
    plain = say("a & b")
    assert say('<audio src="x.wav"/> a & b').seconds > plain.seconds
    assert say("[[h@l'oU]]").seconds > 0


def test_several_threads_may_speak_at_once():
    wanted = {text: say(text) for text in ("first of all", "second", "and a third one")}
    with ThreadPoolExecutor(3) as pool:
        for text, found in zip(list(wanted) * 4, pool.map(say, list(wanted) * 4), strict=True):
            assert alike(found, wanted[text])


def test_the_library_prints_nothing():
    code = "from gioconda.speech.voice import say; say('Hello, 123 & so on', 'f1')"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True
    )
    assert done.stdout == done.stderr == ""
