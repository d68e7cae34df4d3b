"""Text -> voice, by espeak-ng from the package espeakng-loader, offline."""

from __future__ import annotations

import ctypes
import os
import re
import threading
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gioconda.errors import InputError, LimitError, WeightsError
from gioconda.limits import LIMITS
from gioconda.speech.words import time_words
from gioconda.types import FloatArray, Word

ALIASES = {"zh": "cmn", "zh-cn": "cmn", "zh-hans": "cmn", "jp": "ja"}
IDEOGRAPHS = re.compile("[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]")
# Voices that read ideographs; those of other languages say "Chinese letter".
READS_IDEOGRAPHS = ("sit/cmn", "sit/yue", "sit/hak")
# A calm rate; espeak-ng's own is 175.
WORDS_A_MINUTE = 160
# Seconds of silence before the first word: a speaker begins with the lips together.
LEAD = 0.3
# Magnitude of the largest 16-bit sample.
FULL_SCALE = 32768
# Variants that a message names as examples at most.
EXAMPLES = 8
# Values of espeak_EVENT_TYPE.
ENDED, WORD, PHONEME = 0, 1, 7
# Values of espeak_AUDIO_OUTPUT and of espeak_Initialize's options: phoneme events, in IPA, do not exit on an error.
_SYNCHRONOUS, _OPTIONS = 2, 1 | 2 | 0x8000
# Flags of espeak_Synth (UTF-8, pause at the end), espeak_POSITION_TYPE, espeak_PARAMETER.
_UTF8, _END_PAUSE, _CHARACTERS, _RATE = 1, 0x1000, 1, 1
# Bytes that espeak-ng keeps of a folder's path.
_LONGEST_PATH = 150


@dataclass(frozen=True, eq=False)
class Voice:
    """A spoken text.

    Attributes:
        samples: Mono (n,) float32, -1 to 1.
        rate: Hertz.
        phones: Seconds at which each begins, and its name in IPA with stress and length marks, "" for a pause.
        words: The words of the text, each with its time; none where the times are unknown.
    """

    samples: FloatArray
    rate: int
    phones: tuple[tuple[float, str], ...]
    words: tuple[Word, ...] = ()

    @property
    def seconds(self) -> float:
        """Duration."""
        return len(self.samples) / self.rate


class _Name(ctypes.Union):
    """The union `id` of espeak_EVENT."""

    _fields_ = (("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8))


class _Event(ctypes.Structure):
    """espeak_EVENT of espeak-ng's speak_lib.h."""

    _fields_ = (
        ("type", ctypes.c_int),
        ("identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("milliseconds", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user", ctypes.c_void_p),
        ("id", _Name),
    )


class _VoiceEntry(ctypes.Structure):
    """espeak_VOICE of espeak-ng's speak_lib.h."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("languages", ctypes.c_void_p),
        ("identifier", ctypes.c_char_p),
        ("gender", ctypes.c_ubyte),
        ("age", ctypes.c_ubyte),
        ("variant", ctypes.c_ubyte),
        ("xx1", ctypes.c_ubyte),
        ("score", ctypes.c_int),
        ("spare", ctypes.c_void_p),
    )


_Callback = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event)
)
# espeak-ng keeps one state for the whole process.
_lock = threading.Lock()


@dataclass
class _Recording:
    """Samples, phonemes and words, as index of their first character, that espeak-ng's callback collects."""

    pieces: list[npt.NDArray[np.int16]] = field(default_factory=list)
    phones: list[tuple[int, str]] = field(default_factory=list)
    words: list[tuple[int, int]] = field(default_factory=list)

    def receive(self, wave: Any, count: int, events: Any) -> int:
        """The callback: `count` samples at `wave`, and events up to one of type ENDED; returns 0 to continue."""
        if count > 0 and wave:
            self.pieces.append(np.ctypeslib.as_array(wave, (count,)).copy())
        index = 0
        while events[index].type != ENDED:
            if events[index].type == PHONEME:
                name = bytes(events[index].id.string).decode(errors="ignore")
                self.phones.append((events[index].sample, name))
            elif events[index].type == WORD:
                # espeak-ng counts characters from 1.
                self.words.append((events[index].sample, events[index].text_position - 1))
            index += 1
        return 0


def say(text: str, voice: str = "", language: str = "en") -> Voice:
    """Synthesise a text.

    Args:
        text: To say.
        voice: One of `variants()` of the language's voice, "" for the usual one.
        language: A code of `voices()`.

    Raises:
        InputError: The text is empty, the language or voice is unknown, or the language cannot say the text.
        LimitError: The text is too long.
        WeightsError: espeak-ng is missing or damaged.
    """
    readable = _readable(text)
    library, rate = _library()
    name = _voice_name(voice, language)
    if IDEOGRAPHS.search(readable) and name.split("+")[0] not in READS_IDEOGRAPHS:
        raise InputError(
            f"espeak-ng cannot read Chinese characters in {language!r}: for Chinese choose the language cmn, "
            "for Japanese write kana"
        )
    recording = _synthesise(library, name, readable, language)
    lead = np.zeros(round(LEAD * rate), np.int16)
    samples = np.concatenate([lead, *recording.pieces]).astype(np.float32) / np.float32(FULL_SCALE)
    phonemes = [(0, ""), *((len(lead) + sample, name) for sample, name in recording.phones)]
    phones, seconds = _phones(phonemes, rate), len(samples) / rate
    marks = [((len(lead) + sample) / rate, place) for sample, place in recording.words]
    return Voice(samples, rate, phones, time_words(readable, marks, phones, seconds))


def _synthesise(library: Any, voice_name: str, text: str, language: str) -> _Recording:
    """Run espeak-ng on a text; InputError if it cannot load the voice or finds nothing to say."""
    recording = _Recording()
    callback = _Callback(recording.receive)
    data = text.encode()
    with _lock:
        if library.espeak_SetVoiceByName(voice_name.encode()) != 0:
            raise InputError(f"the language {language!r} cannot be loaded; choose another one")
        library.espeak_SetParameter(_RATE, WORDS_A_MINUTE, 0)
        library.espeak_SetSynthCallback(callback)
        flags = _UTF8 | _END_PAUSE
        failed = library.espeak_Synth(data, len(data) + 1, 0, _CHARACTERS, 0, flags, None, None)
        library.espeak_SetSynthCallback(_Callback())
    if failed or not any(_is_phone(phoneme) for _, phoneme in recording.phones):
        raise InputError(
            f"nothing in the text can be said in {language!r}; write words, or choose the language of the text"
        )
    return recording


def voices() -> dict[str, str]:
    """The available languages: code -> name."""
    return {code: name for code, (name, _) in _languages().items()}


@lru_cache(maxsize=1)
def variants() -> tuple[str, ...]:
    """Names of the variants that every language's voice has, such as f2 or m3."""
    folder = _folder() / "voices" / "!v"
    return tuple(sorted(path.name for path in folder.iterdir())) if folder.is_dir() else ()


def _readable(text: str) -> str:
    """The text without control characters; InputError if it is empty, LimitError if it is too long."""
    readable = "".join(" " if unicodedata.category(c) in ("Cc", "Cs") else c for c in text).strip()
    if not readable:
        raise InputError("the text is empty; write the words to say")
    if len(readable) > LIMITS.text_characters:
        raise LimitError(
            f"the text has {len(readable):,} characters, the limit is {LIMITS.text_characters:,}; split it"
        )
    return readable


def _voice_name(voice: str, language: str) -> str:
    """espeak-ng's name of a language with a variant of its voice; InputError for unknown ones."""
    code = language.strip().lower().replace("_", "-")
    code = ALIASES.get(code, code)
    known = _languages()
    if code not in known:
        examples = ", ".join(
            c for c in ("en", "en-us", "fr", "de", "es", "it", "cmn", "ja", "ru", "hi") if c in known
        )
        raise InputError(f"no language {language!r}; there are {len(known)}, such as {examples}")
    if not voice:
        return known[code][1]
    by_lower = {variant.lower(): variant for variant in variants()}
    if voice.lower() not in by_lower:
        examples = ", ".join(_examples(variants()))
        raise InputError(f"no voice {voice!r}; there are {len(by_lower)}, such as {examples}")
    return f"{known[code][1]}+{by_lower[voice.lower()]}"


def _examples(names: Sequence[str]) -> list[str]:
    """The plain variants f1, m1 and so on, or else the first names."""
    plain = [name for name in names if re.fullmatch("[fm][1-9]", name)]
    return plain or list(names[:EXAMPLES])


def _phones(phonemes: Sequence[tuple[int, str]], rate: int) -> tuple[tuple[float, str], ...]:
    """Phones with their beginnings in seconds; drops language marks such as "(en)" and repeated pauses."""
    phones: list[tuple[float, str]] = []
    for sample, name in phonemes:
        phone = name if _is_phone(name) else ""
        if name.startswith("(") or (not phone and phones and not phones[-1][1]):
            continue
        phones.append((sample / rate, phone))
    return tuple(phones)


def _is_phone(name: str) -> bool:
    """Whether a phoneme event is a sound, not a pause or a language mark."""
    return any(c.isalpha() for c in name) and not name.startswith("(")


def _folder() -> Path:
    """The folder of espeak-ng's data; WeightsError without it."""
    try:
        import espeakng_loader

        folder = Path(espeakng_loader.get_data_path())
    except (ImportError, RuntimeError):
        folder = Path()
    if not (folder / "phontab").is_file():
        raise WeightsError(
            "espeak-ng, which synthesises speech, is missing; reinstall the package espeakng-loader"
        )
    return folder


@lru_cache(maxsize=1)
def _library() -> tuple[Any, int]:
    """The initialised library, and the rate of its samples in Hz; WeightsError if it cannot be used."""
    folder = _folder()
    if len(os.fsencode(folder)) > _LONGEST_PATH:
        raise WeightsError(
            f"espeak-ng cannot use a path as long as {folder}; install Gioconda into a folder with a shorter path"
        )
    import espeakng_loader

    try:
        library = ctypes.CDLL(espeakng_loader.get_library_path())
        with _lock:
            rate = library.espeak_Initialize(_SYNCHRONOUS, 0, os.fsencode(folder), _OPTIONS)
    except (OSError, AttributeError) as error:
        raise WeightsError(
            f"espeak-ng cannot be loaded ({error}); reinstall the package espeakng-loader"
        ) from None
    if rate <= 0:
        raise WeightsError("espeak-ng's data cannot be read; reinstall the package espeakng-loader")
    library.espeak_ListVoices.restype = ctypes.POINTER(ctypes.POINTER(_VoiceEntry))
    library.espeak_Synth.argtypes = [
        *(ctypes.c_char_p, ctypes.c_size_t, ctypes.c_uint, ctypes.c_int),
        *(ctypes.c_uint, ctypes.c_uint, ctypes.c_void_p, ctypes.c_void_p),
    ]
    return library, int(rate)


@lru_cache(maxsize=1)
def _languages() -> dict[str, tuple[str, str]]:
    """Language code -> name, and espeak-ng's identifier of its voice."""
    library, _ = _library()
    best: dict[str, tuple[int, str, str]] = {}
    with _lock:
        entries = library.espeak_ListVoices(None)
        index = 0
        while entries[index]:
            entry = entries[index].contents
            # Voices of MBROLA need another program.
            if not entry.identifier.startswith(b"mb/"):
                name = entry.name.decode(errors="ignore").replace("_", " ").strip()
                for rank, code in _codes(entry.languages):
                    candidate = (rank, name, entry.identifier.decode(errors="ignore"))
                    best[code] = min(best.get(code, candidate), candidate)
            index += 1
    return {code: (name, identifier) for code, (_, name, identifier) in sorted(best.items())}


def _codes(address: int) -> list[tuple[int, str]]:
    """A voice's languages as (rank, code), best rank 1; at `address`, each is a byte and a C string, then a 0 byte."""
    codes = []
    while rank := ctypes.string_at(address, 1)[0]:
        code = ctypes.string_at(address + 1)
        codes.append((rank, code.decode(errors="ignore").lower()))
        address += len(code) + 2
    return codes
