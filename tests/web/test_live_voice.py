"""Portraits that speak what comes in: texts, sound, interruptions, idling; first the speaker, then over a WebSocket."""

from __future__ import annotations

import json
import struct
import time
from itertools import pairwise
from math import gcd

import cv2
import numpy as np
import pytest
from scipy.signal import resample_poly

import gioconda
from gioconda.errors import InputError
from gioconda.motion.edit import authored_calibration
from gioconda.motion.moments import lid_ratio, lip_gap
from gioconda.speech import say
from gioconda.speech.listen import listen
from gioconda.speech.streaming import FPS, StreamingListener
from gioconda.types import ARKIT_INDEX
from gioconda.web.live import speaker as live_speaker
from gioconda.web.live import stream
from gioconda.web.live.speaker import RATE, Speaker
from live_world import HERE, open_session, openings, picture_of, serving

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("voice")]

SENTENCE = "Mama puts a big apple beside my papa."
JAW = ARKIT_INDEX["jawOpen"]
VOICE = 3
SYLLABLE = 7
"""Frames."""


def sampled(text):
    """A spoken text, (n,) float32 at 16 kHz."""
    voice = say(text)
    common = gcd(RATE, voice.rate)
    return np.asarray(resample_poly(voice.samples, RATE // common, voice.rate // common), np.float32)


@pytest.fixture(scope="module")
def spoken():
    return sampled(SENTENCE)


@pytest.fixture
def speaker():
    return Speaker(seed=4)


def played(speaker, frames, speed=5.0):
    """Steps of a speaker, on a clock that is faster by a factor."""
    steps = []
    for _ in range(frames):
        steps.append(speaker.step(speaker._frame + 1))
        time.sleep(1 / FPS / speed)
    return steps


def until(speaker, condition, frames=1500, speed=5.0):
    """Steps until one fulfils a condition."""
    steps = []
    for _ in range(frames):
        steps += played(speaker, 1, speed)
        if condition(steps[-1]):
            return steps
    raise AssertionError("it did not happen in time")


def gaps(steps):
    """How far the lips are apart."""
    rest = authored_calibration().neutral
    return np.array([float(lip_gap(rest + step.moment.offsets)) for step in steps])


def loudness(sound):
    """Root mean square of the sound of each frame."""
    whole = sound[: len(sound) // 640 * 640].reshape(-1, 640).astype(np.float64)
    return np.sqrt((whole**2).mean(1))


def sound_of(steps):
    """The whole sound of some steps, whose pieces follow each other without a gap."""
    pieces = [piece for step in steps for piece in step.sounds]
    for (before, samples), (after, _) in pairwise(pieces):
        assert after == pytest.approx(before + len(samples) / RATE, abs=1e-6)
    return np.concatenate([samples for _, samples in pieces]), pieces[0][0]


def test_a_voice_that_is_heard_piece_by_piece_moves_the_mouth_as_a_known_one(spoken):
    whole = listen([spoken]).expression[:, JAW]
    for size in (len(spoken), 640):
        listener = StreamingListener()
        for start in range(0, len(spoken), size):
            listener.feed(spoken[start : start + size])
            if size < len(spoken):
                listener.advance()
        listener.end()
        assert listener.advance()
        assert size < len(spoken) or len(listener.expression) < len(whole) / 2, "the first frames come early"
        while not listener.finished:
            listener.advance()
        count = min(len(whole), len(listener.expression))
        assert count >= len(whole) - 1
        assert np.corrcoef(whole[:count], listener.expression[:count, JAW])[0, 1] > 0.93


def test_lips_follow_the_sound_of_a_text_and_meet_on_its_p_b_and_m(speaker):
    speaker.say(SENTENCE)
    until(speaker, lambda step: step.speaking)
    (first,) = [speaker.step(speaker._frame)]
    steps = until(speaker, lambda step: not step.speaking)
    apart = gaps(steps)
    assert apart.max() > 0.15
    assert first.moment.time < steps[0].moment.time
    assert apart[: len(apart) * 3 // 4].min() < 0.02, "the lips of a p have to meet"


def test_what_is_said_has_its_words_and_sound_on_the_clock_of_the_pictures(speaker):
    played(speaker, 10)
    speaker.say("Good evening, my friend.", "f2")
    steps = until(speaker, lambda step: step.speaking, speed=1.0)
    (said,) = steps[-1].events
    assert (said["type"], said["text"]) == ("said", "Good evening, my friend.")
    assert [word["text"] for word in said["words"]] == ["Good", "evening,", "my", "friend."]
    assert said["time"] == steps[-1].moment.time
    steps += until(speaker, lambda step: not step.speaking, speed=1.0)
    sound, began = sound_of(steps)
    assert began == said["time"]
    loud = np.flatnonzero(loudness(sound) > 300) / FPS + began
    assert loud[0] == pytest.approx(said["words"][0]["start"], abs=0.08)
    assert loud[-1] == pytest.approx(said["words"][-1]["end"], abs=0.25)
    frames = [step for step in steps if began <= step.moment.time]
    apart = gaps(frames)
    length = min(len(apart), len(sound) // 640)
    assert np.corrcoef(apart[:length], loudness(sound)[:length])[0, 1] > 0.4


def test_texts_are_said_one_after_the_other_and_one_that_cannot_be_is_told(speaker):
    for text, voice in (("One.", ""), ("Two.", "no such voice"), ("Three.", "m3")):
        speaker.say(text, voice)
    steps = played(speaker, 30)
    while len([event for step in steps for event in step.events]) < 3:
        steps += played(speaker, 10)
    events = [event for step in steps for event in step.events]
    assert [event.get("text") for event in events] == ["One.", None, "Three."]
    assert "no such voice" in events[1]["error"]


def test_an_interrupted_mouth_closes_within_a_fifth_of_a_second(speaker):
    speaker.say("Ah! " * 12)
    speaker.say("This is never said.")
    steps = until(speaker, lambda step: gaps([step])[0] > 0.12)
    speaker.interrupt()
    after = played(speaker, 40)
    assert not any(step.speaking or step.sounds or step.events for step in after)
    rest = gaps(played(Speaker(seed=4), 1))[0]
    closed = gaps(after)
    assert closed[0] < gaps(steps)[-1]
    assert closed[4:].max() < rest + 0.03


def test_between_sentences_it_blinks_and_moves_a_little_and_its_mouth_stays_shut(speaker):
    steps = [speaker.step(frame) for frame in range(1, 500)]
    rest = authored_calibration().neutral
    lids = np.array([lid_ratio(rest, step.moment.offsets).min() for step in steps])
    blinks = np.flatnonzero((lids[1:] < 0.4) & (lids[:-1] >= 0.4))
    assert 2 <= len(blinks) <= 12
    turns = np.array([step.moment.rotation for step in steps])
    moved = np.abs(np.diff(turns, axis=0)).max(axis=(1, 2))
    assert 0.002 < np.ptp(turns[:, 0, 2]) < 0.15
    assert moved.max() < 0.02, "the head never jumps"
    assert np.ptp(gaps(steps)) < 0.02


def test_the_head_never_jumps_when_speech_begins_ends_or_stops(speaker):
    steps = played(speaker, 20)
    speaker.say("Good evening.")
    steps += until(speaker, lambda step: step.speaking)
    steps += until(speaker, lambda step: not step.speaking)
    speaker.say("How are you today?")
    steps += until(speaker, lambda step: step.speaking) + played(speaker, 12)
    speaker.interrupt()
    steps += played(speaker, 25)
    turns = np.array([step.moment.rotation for step in steps])
    assert np.abs(np.diff(turns, axis=0)).max() < 0.03


def test_a_streamed_voice_is_spoken_while_it_comes(speaker, spoken):
    steps, first = [], None
    for i, start in enumerate(range(0, len(spoken), 640)):
        speaker.hear(spoken[start : start + 640])
        steps += played(speaker, 1)
        time.sleep(0.03)
        if first is None and steps[-1].speaking:
            first = i / FPS
    speaker.end_of_speech()
    assert first is not None
    assert first < 1.0, "it begins long before the voice has ended"
    steps += until(speaker, lambda step: not step.speaking)
    pieces = np.concatenate([samples for step in steps for _, samples in step.sounds])
    assert np.abs(pieces[: len(spoken)] - spoken * 32767).max() <= 1
    apart = gaps([step for step in steps if step.speaking])
    assert np.ptp(apart) > 0.1


def test_a_streamed_voice_that_ceases_does_not_leave_the_mouth_open(speaker, spoken):
    speaker.hear(spoken[: RATE // 640 * 640])
    until(speaker, lambda step: step.speaking)
    until(speaker, lambda step: not step.speaking)
    assert gaps(played(speaker, 20))[-1] < 0.03


def test_what_waits_is_bounded(speaker, monkeypatch):
    monkeypatch.setattr(live_speaker, "LONGEST_SOUND", 1.0)
    for _ in range(live_speaker.MOST_WAITING * 3 // 2):
        speaker.hear(np.zeros(RATE * 2 // 3, np.float32))
    while len(speaker._waiting) < live_speaker.MOST_WAITING:
        speaker.say("Hello.")
    with pytest.raises(InputError, match="wait"):
        speaker.say("Hello.")
    assert len(speaker._waiting) == live_speaker.MOST_WAITING
    speaker.interrupt()
    speaker.say("Hello.")
    until(speaker, lambda step: step.speaking)


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("voice")) as client:
        yield client


@pytest.fixture(scope="module")
def session(client, astronaut):
    answer = open_session(client, astronaut, "voice", side=256)
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


class Ear:
    """What comes out of a session: messages, pictures and sound, each with their time."""

    def __init__(self, socket):
        self.socket, self.messages, self.pictures, self.sounds = socket, [], [], []

    def take(self):
        """Take one message."""
        message = self.socket.receive()
        if message.get("text") is not None:
            self.messages.append(json.loads(message["text"]))
            return
        assert "bytes" in message, (message, self.messages)
        kind, seconds = struct.unpack_from("<Bd", message["bytes"])
        body = message["bytes"][9:]
        if kind == stream.PICTURE:
            self.pictures.append((seconds, body))
        else:
            assert kind == stream.SOUND
            self.sounds.append((seconds, np.frombuffer(body, "<i2")))

    def until(self, condition, seconds=40):
        """Take messages until a condition is true."""
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, "it did not happen in time"
            self.take()

    def is_speaking(self):
        """What was last told of that."""
        told = [message["speaking"] for message in self.messages if "speaking" in message]
        return told[-1]


def listening(client, name):
    """A context with the connection of a session."""
    return client.websocket_connect(f"{HERE.replace('http', 'ws')}/v1/sessions/{name}/stream")


def test_a_portrait_says_a_text_with_its_lips_and_every_picture_is_marked(client, session, tmp_path):
    with listening(client, session) as socket:
        ear = Ear(socket)
        ear.take()
        assert (ear.messages[0]["rate"], ear.messages[0]["frames_per_second"]) == (RATE, FPS)
        socket.send_json(
            {"type": "say", "text": "Ah! Mama. Ah! Mama. Ah!", "voice": "f2", "emotion": "happy"}
        )
        ear.until(ear.is_speaking)
        ear.until(lambda: not ear.is_speaking())
    assert np.all(np.diff([seconds for seconds, _ in ear.pictures]) > 0)
    said = next(message for message in ear.messages if message["type"] == "said")
    shown = [(seconds, body) for seconds, body in ear.pictures if seconds >= said["time"]]
    level = {}
    for began, samples in ear.sounds:
        level |= {round(began * FPS) + i: value for i, value in enumerate(loudness(samples))}
    apart = openings([picture_of(body) for _, body in shown])
    # Over a syllable, lips and voice agree by 0.57, and by more than 0.4 also where a busy machine leaves pictures out.
    syllable = np.convolve([level[frame] for frame in sorted(level)], np.full(SYLLABLE, 1 / SYLLABLE), "same")
    voice = dict(zip(sorted(level), syllable, strict=True))
    pairs = [
        (apart[i], voice[frame])
        for i, (seconds, _) in enumerate(shown)
        if (frame := round(seconds * FPS)) in voice
    ]
    assert len(pairs) > 15
    assert np.corrcoef(np.array(pairs).T)[0, 1] > 0.4
    for i, (_, body) in enumerate((ear.pictures[0], shown[len(shown) // 2])):
        path = tmp_path / f"{i}.png"
        assert cv2.imwrite(str(path), picture_of(body)[..., ::-1])
        assert gioconda.verify(path).watermark is not None


def test_an_interruption_ends_the_sound_and_what_waits(client, session):
    with listening(client, session) as socket:
        ear = Ear(socket)
        for _ in range(2):
            socket.send_json(
                {"type": "say", "text": "This is a long sentence that is not said to its end, I fear."}
            )
        ear.until(lambda: len(ear.sounds) > 2)
        socket.send_json({"type": "interrupt"})
        ear.until(lambda: ear.messages[-1]["type"] == "interrupted")
        sounds, stopped = len(ear.sounds), ear.messages[-1]["time"]
        ear.until(lambda: ear.pictures[-1][0] > stopped + 2)
        assert len(ear.sounds) == sounds
        assert not ear.is_speaking()


def test_a_voice_that_is_streamed_in_comes_back_with_pictures(client, session, spoken):
    with listening(client, session) as socket:
        ear = Ear(socket)
        ear.take()
        for start in range(0, len(spoken), 1600):
            piece = np.rint(spoken[start : start + 1600] * 32767).astype("<i2")
            socket.send_bytes(bytes([VOICE]) + piece.tobytes())
        socket.send_json({"type": "end_of_speech"})
        ear.until(ear.is_speaking)
        ear.until(lambda: not ear.is_speaking())
    sound = np.concatenate([samples for _, samples in ear.sounds])
    assert np.corrcoef(sound[: len(spoken)], spoken)[0, 1] > 0.99


@pytest.mark.parametrize(
    "message",
    [
        {"type": "say", "text": ""},
        {"type": "say", "text": "x" * 3000},
        {"type": "say", "text": "Hello.", "voice": "../../etc/passwd"},
        {"type": "say", "text": "Hello.", "language": "klingon"},
        {"type": "say", "text": "Hello.", "emotion": "bored"},
        {"type": "say", "text": "\u0000\u0001"},
        {"type": "calibrate"},
        bytes([VOICE]) + b"odd",
        bytes([1]) + bytes(5752),
    ],
    ids=str,
)
def test_what_cannot_be_said_is_refused_in_a_sentence(client, session, message):
    with listening(client, session) as socket:
        ear = Ear(socket)
        ear.take()
        if isinstance(message, bytes):
            socket.send_bytes(message)
        else:
            socket.send_json(message)
        ear.until(lambda: any(told["type"] == "error" for told in ear.messages))
        assert len(ear.messages[-1]["error"]) > 15


def test_the_pictures_go_on_where_they_were_after_new_connections(client, session):
    last = 0.0
    # One after the other at once, while pictures of the former ones are still drawn.
    for _ in range(5):
        with listening(client, session) as socket:
            ear = Ear(socket)
            ear.until(lambda ear=ear: len(ear.pictures) > 2)
            assert ear.pictures[0][0] > last
            last = ear.pictures[-1][0]
    assert not any(message["type"] == "error" for message in ear.messages)
