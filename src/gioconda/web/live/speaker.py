"""A speaker whose words are not known in advance: speaks texts and sound as they come, and idles between them."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from gioconda.errors import GiocondaError, InputError
from gioconda.inputs.speech import motion_of
from gioconda.motion.edit import still_moment
from gioconda.motion.emotion import parse_emotions, with_emotions
from gioconda.motion.moments import Moment
from gioconda.runtime.easing import eased
from gioconda.speech import features
from gioconda.speech.idle import Performance, idle
from gioconda.speech.listen import voiced_at
from gioconda.speech.signals import resample
from gioconda.speech.streaming import FPS, StreamingListener, with_lips_closed
from gioconda.speech.voice import LEAD, Voice, say
from gioconda.types import ARKIT_NAMES, FloatArray, Manner, Word

Pcm: TypeAlias = npt.NDArray[np.int16]

RATE = features.RATE
"""Samples a second of the sound that goes in and out."""
_FRAME_SAMPLES = round(RATE / FPS)
_FULL_SCALE = 32767
# Seconds of silence before the first word, in which the lips meet.
LEAD_SECONDS = 0.12
# Seconds of idle movements, which then begin again, and in which they fade at the end.
_IDLE_SECONDS, _IDLE_FADE = 120.0, 1.0
# Seconds in which idling gives way to speech and comes back, in which an interrupted mouth closes, and in which the
# head, which is slower, then comes back.
_YIELDS, _RETURNS, _STOPS, _HEAD_RETURNS = 0.3, 0.4, 0.14, 0.6
# Frames of a sound that are known before it begins, and seconds without new ones after which it counts as complete.
_KNOWN_FIRST, _STARVES = 5, 1.0
# Voices that may wait, and seconds of a sound after which the rest counts as another one: both bound the memory.
MOST_WAITING, LONGEST_SOUND = 16, 60.0
# Frames of movements that are made ready in advance, and of sound that is sent in advance.
_READY_AHEAD, _SOUND_AHEAD = 50, 10
# Channels of the head before the gaze and the 52 coefficients in a row.
_POSE = ("yaw", "pitch", "roll", "x", "y", "near")
_GAZE = len(_POSE)
_EXPRESSION = _GAZE + 2


@dataclass(frozen=True, eq=False)
class Step:
    """What is to be shown and heard at one frame.

    Attributes:
        moment: The pose and expression.
        speaking: Whether a voice is heard.
        sounds: Pieces of sound, each with the seconds at which it is to be played.
        events: Messages for the client.
    """

    moment: Moment
    speaking: bool
    sounds: list[tuple[float, Pcm]]
    events: list[dict[str, Any]]


class _Utterance:
    """A voice, its movements as far as they are known, and its sound.

    Attributes:
        text: What is said, "" for a sound.
        words: When its words are said, in seconds from its beginning.
        rows: (T, 60) float32, what is known of the movements.
        sound: (n,) int16, at RATE.
    """

    text = ""
    words: tuple[Word, ...] = ()

    def __init__(self) -> None:
        self.rows = np.zeros((0, _EXPRESSION + len(ARKIT_NAMES)), np.float32)
        self.sound: Pcm = np.zeros(0, np.int16)
        self.listener = StreamingListener()

    @property
    def finished(self) -> bool:
        """Whether all movements are known."""
        return self.listener.finished and len(self.rows) == len(self.listener.expression)

    def advance(self) -> None:
        """Make more movements known, as far as the sound allows."""
        while self.listener.advance() and not self.listener.finished and self._wants_more():
            pass
        self.rows = self._rows(self.listener.expression)

    def _wants_more(self) -> bool:
        """Whether one call of `advance` goes on: sound that comes in is turned into movements at once."""
        return True

    def _rows(self, mouth: FloatArray) -> FloatArray:
        """The rows (T, 60) for the mouth's coefficients (T, 52)."""
        rows = np.zeros((len(mouth), self.rows.shape[1]), np.float32)
        rows[:, _EXPRESSION:] = mouth
        return rows

    def feed(self, samples: FloatArray) -> None:
        """Take more sound, (n,) float32 at RATE."""
        self.sound = np.concatenate([self.sound, _pcm(samples)])
        self.listener.feed(samples)


class _Text(_Utterance):
    """A text, whose whole sound is known before its movements are."""

    def __init__(self, voice: Voice, text: str, emotion: str, manner: Manner) -> None:
        super().__init__()
        self.text = text
        cut = LEAD - LEAD_SECONDS
        self.words = tuple(replace(word, start=word.start - cut, end=word.end - cut) for word in voice.words)
        self._phones = tuple((max(0.0, time - cut), name) for time, name in voice.phones)
        self._seconds, self._emotions = voice.seconds - cut, parse_emotions(emotion)
        samples = resample(voice.samples[round(cut * voice.rate) :], voice.rate, RATE)
        self.feed(np.pad(samples, (0, -len(samples) % _FRAME_SAMPLES)))
        self.listener.end()
        energy = features.energy(features.log_mel(samples))
        frames = len(self.sound) // _FRAME_SAMPLES
        at = np.minimum(np.arange(frames) * round(features.HERTZ / FPS), len(energy) - 1)
        self._idle = _rows_of(idle(energy[at], voiced_at(energy)[at], FPS, manner))

    def _wants_more(self) -> bool:
        """One stretch at a time, so that the first frames come early."""
        return False

    def _rows(self, mouth: FloatArray) -> FloatArray:
        """The rows (T, 60): the mouth with closed lips, the idle movements and the emotions."""
        rows = self._idle.copy()
        rows[: len(mouth), _EXPRESSION:] += with_lips_closed(mouth, self._phones, self._seconds)
        np.clip(rows[:, _EXPRESSION:], 0, 1, out=rows[:, _EXPRESSION:])
        if self._emotions:
            still = np.zeros_like(rows)
            still[:, _EXPRESSION:] = rows[:, _EXPRESSION:]
            felt = with_emotions(motion_of(_performance(still), "voice"), self._emotions)
            rows[:, _EXPRESSION:] = felt.expression
        return rows[: len(mouth)]


class Speaker:
    """Speaks, listens and idles on a clock of frames. `step` is called by one thread; work is done in another."""

    def __init__(self, seed: int = 0) -> None:
        """Make the idle movements, and load what the first sentence needs."""
        frames = round(_IDLE_SECONDS * FPS)
        nothing = np.zeros(frames, np.float32)
        self._seed = seed
        self._quiet, self._lively = (
            _looped(_rows_of(idle(nothing, np.full(frames, talks), FPS, Manner(seed))))
            for talks in (False, True)
        )
        self._worker = ThreadPoolExecutor(1, "gioconda-speaker")
        self._waiting: deque[Future[_Utterance]] = deque()
        self._current: _Utterance | None = None
        self._hears: _Utterance | None = None
        self._advancing: Future[None] | None = None
        self._frame = self._at = self._sent = 0
        self._fed, self._starved = 0, 0.0
        self._presence = 0.0
        # The last row of a voice that ended or was interrupted, the seconds since, and those in which it fades.
        self._tail = np.zeros(self._quiet.shape[1], np.float32)
        self._since, self._fades = 1.0, _STOPS
        self._prepare("Hello.", "", "en", "").advance()

    def say(self, text: str, voice: str = "", language: str = "en", emotion: str = "") -> None:
        """Speak a text once all that waits has been spoken.

        Args:
            text: The text.
            voice: One of `gioconda.speech.variants()`, "" for the usual one.
            language: A code of `gioconda.speech.voices()`.
            emotion: As of `parse_emotions`.

        Raises:
            InputError: Too much waits.
        """
        self._check_room()
        self._waiting.append(self._worker.submit(self._prepare, text, voice, language, emotion))

    def _prepare(self, text: str, voice: str, language: str, emotion: str) -> _Utterance:
        """Synthesise a text, and make its first movements known."""
        parse_emotions(emotion)
        self._seed += 1
        utterance = _Text(say(text, voice, language), text, emotion, Manner(self._seed))
        utterance.advance()
        return utterance

    def hear(self, samples: FloatArray) -> None:
        """Speak a sound, of which these are the next samples (n,) float32, -1 to 1, at RATE.

        Raises:
            InputError: Too much waits.
        """
        if self._fed >= LONGEST_SOUND * RATE:
            self.end_of_speech()
        if self._hears is None:
            self._check_room()
            self._hears, self._fed = _Utterance(), 0
            ready: Future[_Utterance] = Future()
            ready.set_result(self._hears)
            self._waiting.append(ready)
        self._fed += len(samples)
        self._worker.submit(_feed, self._hears, samples)

    def end_of_speech(self) -> None:
        """Note that the sound of `hear` is complete; what comes later is another one."""
        if self._hears is not None:
            self._worker.submit(_complete, self._hears)
        self._hears, self._fed = None, 0

    def _check_room(self) -> None:
        """InputError if too much waits to be spoken."""
        if len(self._waiting) >= MOST_WAITING:
            raise InputError(f"{MOST_WAITING} texts wait to be spoken; send more once some have been said")

    def interrupt(self) -> None:
        """Stop speaking, and forget all that waits."""
        for waiting in self._waiting:
            waiting.cancel()
        self._waiting.clear()
        self._hears, self._fed = None, 0
        self._leave(_STOPS)

    def _leave(self, seconds: float) -> None:
        """End the current voice; its last row fades within some seconds."""
        if self._current is not None and self._at < len(self._current.rows):
            self._tail = self._voiced_row(self._current)
            self._since, self._fades = 0.0, seconds
        self._current, self._advancing = None, None

    def step(self, frame: int) -> Step:
        """Go on to a frame, later than the one before; frames between are left out."""
        passed, self._frame = frame - self._frame, frame
        events: list[dict[str, Any]] = []
        self._since += passed / FPS
        if self._current is not None:
            self._go_on(self._current, passed)
        if self._current is None:
            self._begin_next(events)
        current = self._current
        target, seconds = (1.0, _YIELDS) if current is not None else (0.0, _RETURNS)
        change = passed / FPS / seconds
        self._presence += float(np.clip(target - self._presence, -change, change))
        sounds = [] if current is None else self._sounds(current)
        return Step(self._moment(frame), current is not None, sounds, events)

    def _go_on(self, current: _Utterance, passed: int) -> None:
        """Go on in a voice, or end it; it waits for movements that are not known yet, and never skips sound."""
        known = len(current.rows)
        if current.finished and min(self._at + passed, self._sent) >= known:
            self._at = known - 1
            self._leave(_RETURNS)
            return
        self._starved = 0.0 if self._at + passed < known else self._starved + passed / FPS
        self._at = min(self._at + passed, max(known - 1, 0), self._sent)
        if self._starved > _STARVES and current is self._hears:
            self.end_of_speech()
        idle_worker = self._advancing is None or self._advancing.done()
        if current.text and not current.finished and idle_worker and known < self._at + _READY_AHEAD:
            self._advancing = self._worker.submit(current.advance)

    def _begin_next(self, events: list[dict[str, Any]]) -> None:
        """Begin the next voice that is ready; add what the client should know to `events`."""
        while self._waiting and self._waiting[0].done():
            try:
                current = self._waiting[0].result()
            except GiocondaError as error:
                events.append({"type": "error", "error": str(error)})
                self._waiting.popleft()
                continue
            if len(current.rows) < _KNOWN_FIRST and not current.finished:
                return
            self._waiting.popleft()
            if not len(current.rows):
                continue
            self._current, self._at, self._sent, self._starved = current, 0, 0, 0.0
            if current.text:
                events.append(self._said(current))
            return

    def _said(self, current: _Utterance) -> dict[str, Any]:
        """The message about a text that begins now; its times are on the clock of the frames."""
        began = self._frame / FPS
        words = [
            {"text": w.text, "start": round(began + w.start, 3), "end": round(began + w.end, 3)}
            for w in current.words
        ]
        return {"type": "said", "text": current.text, "time": began, "words": words}

    def _sounds(self, current: _Utterance) -> list[tuple[float, Pcm]]:
        """The next piece of a voice's sound, a little before its pictures."""
        stop = min(self._at + _SOUND_AHEAD, len(current.sound) // _FRAME_SAMPLES)
        if not current.text:
            # Movements that are late make a sound late, too.
            stop = min(stop, len(current.rows))
        if stop <= self._sent:
            return []
        start, self._sent = max(self._sent, self._at), stop
        time = (self._frame + start - self._at) / FPS
        return [(time, current.sound[start * _FRAME_SAMPLES : stop * _FRAME_SAMPLES])]

    def _voiced_row(self, current: _Utterance) -> FloatArray:
        """The row (60,) of a voice now; a sound, whose stresses are not known in advance, has a lively head."""
        row: FloatArray = current.rows[self._at].copy()
        if not current.text:
            row += self._lively[self._frame % len(self._lively)]
        return row

    def _moment(self, frame: int) -> Moment:
        """The pose and expression at a frame: a voice's, what remains of the last one, and idling."""
        presence = float(eased(np.float64(self._presence)))
        row = self._quiet[frame % len(self._quiet)] * np.float32(1 - presence)
        if self._current is not None:
            share = 1.0 if self._current.text else presence
            row = row + self._voiced_row(self._current) * np.float32(share)
        row = row + self._tail * self._remains()
        row[_EXPRESSION:] = np.clip(row[_EXPRESSION:], 0, 1)
        return still_moment(frame / FPS, motion_of(_performance(row[None]), "voice"))

    def _remains(self) -> FloatArray:
        """Shares (60,) of the last row of a voice that ended."""
        seconds = np.full(len(self._tail), self._fades, np.float32)
        seconds[:_EXPRESSION] = _HEAD_RETURNS
        return np.asarray(1 - eased(np.clip(self._since / seconds, 0, 1).astype(np.float64)), np.float32)


def _feed(utterance: _Utterance, samples: FloatArray) -> None:
    """Give an utterance more sound, and make its movements known."""
    utterance.feed(samples)
    utterance.advance()


def _complete(utterance: _Utterance) -> None:
    """Complete the sound of an utterance."""
    utterance.feed(np.zeros(-len(utterance.sound) % _FRAME_SAMPLES, np.float32))
    utterance.listener.end()
    utterance.advance()


def _pcm(samples: FloatArray) -> Pcm:
    """Samples (n,), -1 to 1, as int16."""
    return np.rint(np.clip(samples, -1, 1) * _FULL_SCALE).astype(np.int16)


def _rows_of(performance: Performance) -> FloatArray:
    """A performance as rows (T, 60) float32: the head's channels, the gaze, the coefficients."""
    head = np.stack([getattr(performance, name) for name in _POSE], axis=1)
    return np.asarray(np.concatenate([head, performance.gaze, performance.expression], axis=1), np.float32)


def _performance(rows: FloatArray) -> Performance:
    """The performance of rows (T, 60)."""
    head = {name: rows[:, i] for i, name in enumerate(_POSE)}
    return Performance(
        times=np.arange(len(rows)) / FPS,
        expression=rows[:, _EXPRESSION:],
        gaze=rows[:, _GAZE:_EXPRESSION],
        **head,
    )


def _looped(rows: FloatArray) -> FloatArray:
    """Rows (T, 60) that fade at their end, as they begin at rest."""
    frames = round(_IDLE_FADE * FPS)
    rows[-frames:] *= 1 - eased(np.arange(1, frames + 1) / frames)[:, None].astype(np.float32)
    return rows
