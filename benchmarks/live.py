"""Live sessions: frames a second and delay by landmarks and by pictures, time to a voice's first frame, lips and sound.

Example: python benchmarks/live.py --seconds 60 --sides 384 512
"""

from __future__ import annotations

import argparse
import json
import struct
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import httpx
import numpy as np
from websockets.sync.client import ClientConnection, connect

import gioconda
from common import markdown, say, write_results
from gioconda import face
from gioconda.assets import asset_path
from gioconda.landmarks import inter_ocular
from gioconda.motion.lips import LOWER_INNER, UPPER_INNER
from gioconda.speech.voice import LEAD
from gioconda.speech.voice import say as say_text
from gioconda.web.live.speaker import LEAD_SECONDS
from load import server

PORTRAIT = asset_path("astronaut.jpg")
# Frames a second of the camera, its side in pixels, and messages that may wait for an answer, as the page has them.
CAMERA_FPS, CAMERA_SIDE, DEPTH = 30.0, 384, 2
LANDMARKS, CAMERA, PICTURE, SOUND = 1, 2, 1, 2
SENTENCES = (
    "Good evening.", "How are you?", "My name is Eileen.", "Please come in.", "What a beautiful day it is.",
    "I have been waiting for you.", "Would you like some tea?", "The weather is lovely today.",
    "Mama bakes a pie, and papa brings the apples.", "Bring the big map to the bus, please.",
    "We go up at seven, before the sun rises.", "Nobody knows what comes next.", "Thank you very much.",
    "That was the best film that I have ever seen.", "Let us begin with the first question, shall we?",
    "I am made of pixels, and I say so.", "The museum opens at ten.", "People come from far away to see me.",
    "Some say that I smile, and others say that I do not.", "Good night, and sleep well.",
)  # fmt: skip


@dataclass
class Drive:
    """What came back while a portrait was driven: seconds of the answer, and its delay in seconds."""

    answers: list[tuple[float, float]] = field(default_factory=list)
    drawing: list[float] = field(default_factory=list)
    dropped: int = 0


def opened(http: httpx.Client, use: str, side: int) -> str:
    """The address of a new session's stream."""
    fields = json.dumps({"use": use, "rights": "A public-domain portrait.", "side": side})
    parts = {"session": (None, fields), "portrait": PORTRAIT.read_bytes()}
    session = http.post("/v1/sessions", files=parts).raise_for_status().json()["id"]
    return f"{str(http.base_url).replace('http', 'ws').rstrip('/')}/v1/sessions/{session}/stream"


def camera_messages() -> dict[str, list[bytes]]:
    """The bodies of the messages of a face that speaks and moves, by kind, without kind and time."""
    images = [
        frame.image for frame in gioconda.frames(PORTRAIT, "talk", crop=True, size=CAMERA_SIDE, refine=False)
    ]
    with face.FaceTracker() as tracker:
        tracked = [tracker.process(image)[0].landmarks for image in images]
    size = struct.pack("<ff", CAMERA_SIDE, CAMERA_SIDE)
    jpegs = [cv2.imencode(".jpg", image[..., ::-1])[1].tobytes() for image in images]
    return {"landmarks": [size + points.astype("<f4").tobytes() for points in tracked], "camera": jpegs}


def driven(address: str, kind: int, bodies: list[bytes], seconds: float) -> Drive:
    """Drive a portrait as the page does: the newest picture of the camera, at most DEPTH without an answer."""
    found, under = Drive(), threading.Semaphore(DEPTH)
    with connect(address) as socket:
        socket.recv()
        receiver = threading.Thread(target=_receive, args=(socket, found, under))
        receiver.start()
        began = time.perf_counter()
        while (now := time.perf_counter()) - began < seconds:
            frame = int((now - began) * CAMERA_FPS)
            if under.acquire(timeout=1.0):
                # Back and forth, so that the face never jumps.
                place = frame % (2 * len(bodies) - 2)
                body = bodies[min(place, 2 * len(bodies) - 2 - place)]
                socket.send(struct.pack("<Bd", kind, time.perf_counter()) + body)
            time.sleep(max(0.0, began + (frame + 1) / CAMERA_FPS - time.perf_counter()))
    receiver.join()
    return found


def _receive(socket: ClientConnection, found: Drive, under: threading.Semaphore) -> None:
    """Note all answers until the connection ends."""
    for message in socket:
        if isinstance(message, bytes):
            now = time.perf_counter()
            found.answers.append((now, now - struct.unpack_from("<d", message, 1)[0]))
            under.release()
            continue
        told = json.loads(message)
        if told["type"] == "face":
            found.drawing.append(told["milliseconds"])
            found.dropped = told["dropped"]
            if not told["found"]:
                under.release()


def drive_row(name: str, side: int, found: Drive) -> tuple[Any, ...]:
    """A line of the table; the first second, in which the neutral face is measured, does not count."""
    first = found.answers[0][0] + 1
    answers = [(at, delay) for at, delay in found.answers if at > first]
    rate = (len(answers) - 1) / (answers[-1][0] - answers[0][0])
    p50, p95 = (1000 * float(np.percentile([delay for _, delay in answers], q)) for q in (50, 95))
    return name, side, rate, p50, p95, float(np.median(found.drawing)), found.dropped


def spoken(address: str, sentences: tuple[str, ...]) -> tuple[list[float], list[float], list[float]]:
    """Say sentences; seconds to each one's first frame and first sound, and lips behind sound, in milliseconds."""
    frames, sounds, lags = [], [], []
    with connect(address, max_size=None) as socket:
        for text in sentences:
            _idle(socket, 1.0)
            began = time.perf_counter()
            socket.send(json.dumps({"type": "say", "text": text, "voice": "f2"}))
            taken = _until(socket, lambda message: message.get("speaking") is False)
            said = next(message for _, message in taken if message.get("type") == "said")
            pictures = [(at, m) for at, m in taken if m.get("kind") == PICTURE and m["time"] >= said["time"]]
            frames.append(pictures[0][0] - began)
            sounds.append(next(at for at, m in taken if m.get("kind") == SOUND) - began)
            lags.append(lag(text, said["time"], [(m["time"], m["body"]) for _, m in pictures]))
    return frames, sounds, lags


def _idle(socket: ClientConnection, seconds: float) -> None:
    """Let the portrait idle for a moment, as between two sentences."""
    until = time.perf_counter() + seconds
    _until(socket, lambda _: time.perf_counter() > until)


def _until(socket: ClientConnection, condition: Any) -> list[tuple[float, dict[str, Any]]]:
    """Take messages until one fulfils a condition; each with the time at which it came."""
    taken: list[tuple[float, dict[str, Any]]] = []
    while not taken or not condition(taken[-1][1]):
        message = socket.recv(timeout=30)
        told = json.loads(message) if isinstance(message, str) else _binary(message)
        taken.append((time.perf_counter(), told))
    return taken


def _binary(message: bytes) -> dict[str, Any]:
    kind, seconds = struct.unpack_from("<Bd", message)
    return {"kind": kind, "time": seconds, "body": message[9:]}


def lag(text: str, began: float, pictures: list[tuple[float, bytes]]) -> float:
    """By how many milliseconds the live lips are behind those of `speak`'s film, whose sound is the same."""
    voice = say_text(text, "f2")
    film = gioconda.frames_of(
        gioconda.Speak(PORTRAIT, text=text, voice="f2", crop=True, size=256, refine=False)
    )
    images, times = zip(*((frame.image, frame.time) for frame in film), strict=True)
    # The film's voice begins later: it has a longer silence before the first word.
    first = next(time for time, phone in voice.phones if phone)
    live_first = first - LEAD + LEAD_SECONDS
    live = [cv2.imdecode(np.frombuffer(body, np.uint8), cv2.IMREAD_COLOR)[..., ::-1] for _, body in pictures]
    shown = np.array([seconds - began - live_first for seconds, _ in pictures])
    known, seen = openings(list(images)), openings(live)
    shifts = np.arange(-0.3, 0.3, 0.005)
    fits = [np.corrcoef(np.interp(shown - s, np.array(times) - first, known), seen)[0, 1] for s in shifts]
    return 1000 * float(shifts[int(np.argmax(fits))])


def openings(images: list[Any]) -> Any:
    """How far the lips are apart in each picture, in distances between the eyes' outer corners."""
    with face.FaceTracker() as tracker:
        points = np.stack([tracker.process(np.ascontiguousarray(one))[0].landmarks for one in images])
    apart = np.linalg.norm(points[:, LOWER_INNER] - points[:, UPPER_INNER], axis=2).mean(1)
    return apart / [inter_ocular(one) for one in points]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60.0, help="of each drive")
    parser.add_argument("--sides", type=int, nargs="+", default=[384, 512], help="of the pictures, in pixels")
    parser.add_argument("--sentences", type=int, default=len(SENTENCES))
    parser.add_argument("-o", "--out", type=Path, default=Path("out"), help="where results go")
    options = parser.parse_args()
    bodies = camera_messages()
    with tempfile.TemporaryDirectory() as folder:
        data, log = Path(folder) / "data", Path(folder) / "log"
        with server(1, data, log) as (address, _), httpx.Client(base_url=address, timeout=120) as http:
            rows = []
            for side in options.sides:
                for name, kind in (("landmarks", LANDMARKS), ("camera", CAMERA)):
                    say(f"{name}, {side} px")
                    found = driven(opened(http, "live", side), kind, bodies[name], options.seconds)
                    rows.append(drive_row(name, side, found))
            say("voice")
            frames, sounds, lags = spoken(opened(http, "voice", 384), SENTENCES[: options.sentences])
    report(options, rows, {"first frame, ms": frames, "first sound, ms": sounds}, lags)


def report(
    options: argparse.Namespace, rows: list[tuple[Any, ...]], first: dict[str, list[float]], lags: list[float]
) -> None:
    """Print the tables and write them to the folder of results."""
    driving = markdown(
        ("driven by", "px", "pictures a second", "delay p50, ms", "p95, ms", "drawing, ms", "dropped"), rows
    )
    times = [
        (name, *(1000 * float(np.percentile(values, q)) for q in (50, 95))) for name, values in first.items()
    ]
    times.append(("lips behind sound, ms", float(np.median(lags)), float(np.percentile(np.abs(lags), 95))))
    voice = markdown((f"{len(lags)} sentences", "p50", "p95"), times)
    values = {"driving": rows, "first": first, "lags": lags}
    write_results(options.out, "live", values, f"{driving}\n\n{voice}")


if __name__ == "__main__":
    main()
