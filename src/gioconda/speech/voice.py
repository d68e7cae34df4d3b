"""Text -> voice, by espeak-ng, which the package espeakng-loader carries; nothing goes on the network."""

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
from gioconda.types import FloatArray

ALIASES = {"zh": "cmn", "zh-cn": "cmn", "zh-hans": "cmn", "jp": "ja"}
IDEOGRAPHS = re.compile("[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]")
READS_IDEOGRAPHS = ("sit/cmn", "sit/yue", "sit/hak")  # other languages name them: "Chinese letter"
WORDS_A_MINUTE = 160
LEAD = 0.3  # seconds of silence before the first word: a speaker begins with the lips together
ENDED, PHONEME = 0, 7  # espeak_EVENT_TYPE
_SYNCHRONOUS, _OPTIONS = 2, 1 | 2 | 0x8000  # phoneme events, told in IPA; an error must not end the program
_UTF8, _END_PAUSE, _CHARACTERS, _RATE = 1, 0x1000, 1, 1
_LONGEST_PATH = 150  # bytes that espeak-ng keeps of a folder's name


@dataclass(frozen=True, eq=False)
class Voice:
    """A text said: samples (n,) float32 in -1..1 at `rate` Hz.

    phones: seconds at which each begins, and its name in IPA with stress and length marks, "" for a pause.
    """

    samples: FloatArray
    rate: int
    phones: tuple[tuple[float, str], ...]

    @property
    def seconds(self) -> float:
        """How long it takes to say."""
        return len(self.samples) / self.rate


class _Name(ctypes.Union):
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


class _Listed(ctypes.Structure):
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


_Heard = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))
_lock = threading.Lock()  # espeak-ng keeps one state for the whole program


@dataclass
class _Recording:
    """What espeak-ng's callback hears."""

    pieces: list[npt.NDArray[np.int16]] = field(default_factory=list)
    phones: list[tuple[int, str]] = field(default_factory=list)

    def hear(self, wave: Any, count: int, events: Any) -> int:
        if count > 0 and wave:
            self.pieces.append(np.ctypeslib.as_array(wave, (count,)).copy())
        index = 0
        while events[index].type != ENDED:
            if events[index].type == PHONEME:
                name = bytes(events[index].id.string).decode(errors="ignore")
                self.phones.append((events[index].sample, name))
            index += 1
        return 0


def say(text: str, voice: str = "", language: str = "en") -> Voice:
    """Say a text in a language of `voices()`, in one of `variants()` of its voice ("": the usual one).

    Raises InputError for an empty text or an unknown language or voice, LimitError for a long text, WeightsError
    where espeak-ng is missing.
    """
    said = _readable(text)
    library, rate = _library()
    name = _voice_name(voice, language)
    if IDEOGRAPHS.search(said) and name.split("+")[0] not in READS_IDEOGRAPHS:
        raise InputError(
            f"espeak-ng cannot read Chinese characters in {language!r}: for Chinese choose the language cmn, "
            "for Japanese write kana"
        )
    recording = _Recording()
    callback = _Heard(recording.hear)
    data = said.encode()
    with _lock:
        if library.espeak_SetVoiceByName(name.encode()) != 0:
            raise InputError(f"the language {language!r} cannot be loaded; try another one")
        library.espeak_SetParameter(_RATE, WORDS_A_MINUTE, 0)
        library.espeak_SetSynthCallback(callback)
        flags = _UTF8 | _END_PAUSE
        failed = library.espeak_Synth(data, len(data) + 1, 0, _CHARACTERS, 0, flags, None, None)
        library.espeak_SetSynthCallback(_Heard())
    if failed or not any(_sounds(phone) for _, phone in recording.phones):
        raise InputError(
            f"nothing in the text can be said in {language!r}; write words, or choose its language"
        )
    lead = np.zeros(round(LEAD * rate), np.int16)
    samples = np.concatenate([lead, *recording.pieces]).astype(np.float32) / 32768
    heard = [(0, ""), *((len(lead) + sample, name) for sample, name in recording.phones)]
    return Voice(samples, rate, _phones(heard, rate))


def voices() -> dict[str, str]:
    """Languages that can be said: code -> name."""
    return {code: name for code, (name, _) in _languages().items()}


@lru_cache(maxsize=1)
def variants() -> tuple[str, ...]:
    """Names of the ways in which any language's voice can be changed, such as f2 or m3."""
    folder = _folder() / "voices" / "!v"
    return tuple(sorted(one.name for one in folder.iterdir())) if folder.is_dir() else ()


def _readable(text: str) -> str:
    """The text without control characters; InputError or LimitError where it cannot be said."""
    kept = "".join(" " if unicodedata.category(c) in ("Cc", "Cs") else c for c in text).strip()
    if not kept:
        raise InputError("the text is empty; write what is to be said")
    if len(kept) > LIMITS.text_characters:
        raise LimitError(
            f"the text has {len(kept):,} characters, the limit is {LIMITS.text_characters:,}; say it in parts"
        )
    return kept


def _voice_name(voice: str, language: str) -> str:
    """What espeak-ng calls a language with a variant of its voice."""
    code = language.strip().lower().replace("_", "-")
    code = ALIASES.get(code, code)
    known = _languages()
    if code not in known:
        some = ", ".join(
            c for c in ("en", "en-us", "fr", "de", "es", "it", "cmn", "ja", "ru", "hi") if c in known
        )
        raise InputError(f"no language {language!r}; there are {len(known)}, such as {some}")
    if not voice:
        return known[code][1]
    by_lower = {one.lower(): one for one in variants()}
    if voice.lower() not in by_lower:
        some = ", ".join(_some(variants()))
        raise InputError(f"no voice {voice!r}; there are {len(by_lower)}, such as {some}")
    return f"{known[code][1]}+{by_lower[voice.lower()]}"


def _some(names: Sequence[str]) -> list[str]:
    plain = [name for name in names if re.fullmatch("[fm][1-9]", name)]
    return plain or list(names[:8])


def _phones(heard: Sequence[tuple[int, str]], rate: int) -> tuple[tuple[float, str], ...]:
    """Phones in seconds, without the marks of a change of language, a pause told once."""
    kept: list[tuple[float, str]] = []
    for sample, name in heard:
        told = name if _sounds(name) else ""
        if name.startswith("(") or (not told and kept and not kept[-1][1]):
            continue
        kept.append((sample / rate, told))
    return tuple(kept)


def _sounds(name: str) -> bool:
    return any(c.isalpha() for c in name) and not name.startswith("(")


def _folder() -> Path:
    """Where espeak-ng's data lies; WeightsError without it."""
    try:
        import espeakng_loader

        folder = Path(espeakng_loader.get_data_path())
    except (ImportError, RuntimeError):
        folder = Path()
    if not (folder / "phontab").is_file():
        raise WeightsError("espeak-ng, which says texts, is missing; reinstall the package espeakng-loader")
    return folder


@lru_cache(maxsize=1)
def _library() -> tuple[Any, int]:
    """The library, made ready, and the rate in Hz at which it speaks."""
    folder = _folder()
    if len(os.fsencode(folder)) > _LONGEST_PATH:
        raise WeightsError(
            f"espeak-ng cannot work from a path as long as {folder}; install into a shorter one"
        )
    import espeakng_loader

    try:
        library = ctypes.CDLL(espeakng_loader.get_library_path())
        with _lock:
            rate = library.espeak_Initialize(_SYNCHRONOUS, 0, os.fsencode(folder), _OPTIONS)
    except (OSError, AttributeError) as error:
        raise WeightsError(f"espeak-ng cannot be loaded ({error}); reinstall espeakng-loader") from None
    if rate <= 0:
        raise WeightsError("espeak-ng's data cannot be read; reinstall the package espeakng-loader")
    library.espeak_ListVoices.restype = ctypes.POINTER(ctypes.POINTER(_Listed))
    library.espeak_Synth.argtypes = [
        *(ctypes.c_char_p, ctypes.c_size_t, ctypes.c_uint, ctypes.c_int),
        *(ctypes.c_uint, ctypes.c_uint, ctypes.c_void_p, ctypes.c_void_p),
    ]
    return library, int(rate)


@lru_cache(maxsize=1)
def _languages() -> dict[str, tuple[str, str]]:
    """Code -> name, and what espeak-ng calls its voice."""
    library, _ = _library()
    found: dict[str, tuple[int, str, str]] = {}
    with _lock:
        listed = library.espeak_ListVoices(None)
        index = 0
        while listed[index]:
            one = listed[index].contents
            if not one.identifier.startswith(b"mb/"):  # those need another program
                name = one.name.decode(errors="ignore").replace("_", " ").strip()
                for rank, code in _codes(one.languages):
                    entry = (rank, name, one.identifier.decode(errors="ignore"))
                    found[code] = min(found.get(code, entry), entry)
            index += 1
    return {code: (name, own) for code, (_, name, own) in sorted(found.items())}


def _codes(address: int) -> list[tuple[int, str]]:
    """A voice's languages, each with its rank, 1 the best: bytes of a rank and a string for each, and a zero."""
    codes = []
    while rank := ctypes.string_at(address, 1)[0]:
        code = ctypes.string_at(address + 1)
        codes.append((rank, code.decode(errors="ignore").lower()))
        address += len(code) + 2
    return codes
