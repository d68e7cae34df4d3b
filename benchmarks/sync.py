"""How late the sound is against the picture, for each kind of job that has sound; no clips are needed.

A person made of the packaged portrait opens the mouth as a noise swells. Measured in the written files: by how much the
tracked mouth lags behind what it is to do, and the sound behind the source's, each by the best of all shifts.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

import gioconda
from common import Bar, arguments, bars_table, markdown, say, write_results
from gioconda import assets, media
from gioconda.face import FaceTracker
from gioconda.inputs.speech import motion_of_sound
from gioconda.landmarks import inter_ocular
from gioconda.motion.edit import still_motion
from gioconda.speech import say as speech_of
from gioconda.types import ARKIT_INDEX, FloatArray, Motion

PORTRAIT = assets.asset_path("astronaut.jpg")
SIDE = 256  # pixels of all pictures
RATE = 48_000  # samples a second of all sounds
SECONDS = 2.4  # of the films that drive
SWELLS, WIDTH = (0.45, 1.1, 1.9), 0.13  # seconds: middles of the noise's swells, and half their width
LATE = 0.8  # seconds by which a film's sound begins late
FARTHEST = 0.25  # seconds; shifts beyond are not looked at
BAR = 20.0  # milliseconds that people do not notice
INNER_LIPS = (13, 14)
TEXT = "Mamma made apple pie. Papa put a big bowl on it."

Signal = Callable[[np.ndarray], np.ndarray]


def swelling(times: np.ndarray) -> np.ndarray:
    """How far the mouth is open, and how loud the noise is, 0 to 1, at times (T,) in seconds."""
    distance = np.abs(times[:, None] - np.array(SWELLS)).min(1)
    return np.where(distance < WIDTH, 0.5 + 0.5 * np.cos(np.pi * distance / WIDTH), 0.0)


def noise() -> FloatArray:
    """The noise that swells, (n,) float32 at RATE."""
    times = np.arange(round(SECONDS * RATE)) / RATE
    random = np.random.default_rng(0).normal(size=len(times))
    return (0.25 * random * swelling(times)).astype(np.float32)


def talking(times: np.ndarray) -> Motion:
    """A motion of T frames whose jaw opens as the noise swells."""
    rest = still_motion(0, 0, 0, 0, 0, {})
    expression = np.zeros((len(times), rest.expression.shape[1]), np.float32)
    expression[:, ARKIT_INDEX["jawOpen"]] = 0.7 * swelling(times)
    return rest.with_(
        times=np.asarray(times, np.float64),
        rotation=np.repeat(rest.rotation[:1], len(times), 0),
        translation=np.repeat(rest.translation[:1], len(times), 0),
        scale=np.ones(len(times), np.float32),
        expression=expression,
        gaze=np.zeros((len(times), 2), np.float32),
        confidence=np.ones(len(times), np.float32),
        reference=0,
    )


def rates() -> dict[str, np.ndarray]:
    """Times of the frames of films, in seconds, by kind of rate."""
    uneven = np.r_[0, np.cumsum(np.random.default_rng(1).choice([1 / 60, 1 / 30, 1 / 15], 80))]
    return {
        "25": np.arange(round(SECONDS * 25)) / 25,
        "29.97": np.arange(round(SECONDS * 29.97)) * 1001 / 30000,
        "variable": uneven[uneven < SECONDS],
    }


def write_film(path: Path, times: np.ndarray, *, late: float = 0.0) -> Path:
    """Write the person who opens the mouth as the noise swells, with the noise from `late` seconds on."""
    images = gioconda.frames(PORTRAIT, talking(times), crop=True, size=SIDE)
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=25, options={"crf": "8", "bf": "0"})
        stream.width = stream.height = SIDE
        stream.codec_context.time_base = Fraction(1, 90_000)
        track = out.add_stream("aac", rate=RATE, layout="mono")
        packets = []
        for time, image in zip(times, images, strict=True):
            frame = av.VideoFrame.from_ndarray(image.image, "rgb24")
            frame.pts, frame.time_base = round(time * 90_000), Fraction(1, 90_000)
            packets += stream.encode(frame)
        packets += stream.encode(None)
        sound = noise()
        for at in range(round(late * RATE), len(sound), 1024):
            piece = av.AudioFrame.from_ndarray(sound[None, at : at + 1024], format="fltp", layout="mono")
            piece.sample_rate, piece.time_base, piece.pts = RATE, Fraction(1, RATE), at
            packets += track.encode(piece)
        packets += track.encode(None)
        for packet in sorted(packets, key=lambda p: float(p.dts * p.time_base)):
            out.mux(packet)
    return path


def sound_of(path: Path) -> FloatArray:
    """The sound of a film, (n,) float32 at RATE, from the time of its first frame on."""
    with av.open(str(path)) as container:
        zero = float(next(container.decode(video=0)).time)
    resampler = av.AudioResampler("fltp", "mono", RATE)
    sound = np.zeros(round(30 * RATE), np.float32)
    with av.open(str(path)) as container:
        for frame in container.decode(audio=0):
            at = round((float(frame.time) - zero) * RATE)
            for part in resampler.resample(frame):
                samples = part.to_ndarray()[0][max(-at, 0) :]
                at = max(at, 0)
                sound[at : at + len(samples)] = samples
                at += len(samples)
    return sound


def opening_of(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Times (T,) of the frames of a film, from 0, and the opening of the mouth in each, in inter-ocular units."""
    times, gaps = [], []
    with FaceTracker() as tracker, media.read_frames(path) as frames:
        for frame in frames:
            for face in tracker.process(frame.image)[:1]:
                upper, lower = face.landmarks[list(INNER_LIPS), 1]
                times.append(frame.time)
                gaps.append((lower - upper) / inter_ocular(face.landmarks))
    return np.array(times), np.array(gaps)


def picture_lag(path: Path, meant: Signal) -> float:
    """Seconds by which the mouth of a film follows what it is meant to do."""
    times, gaps = opening_of(path)
    shifts = np.arange(-FARTHEST, FARTHEST, 0.001)
    scores = [np.corrcoef(gaps, meant(times - shift))[0, 1] for shift in shifts]
    return float(shifts[int(np.nanargmax(scores))])


def sound_lag(path: Path, source: FloatArray) -> float:
    """Seconds by which the sound of a film follows its source, (n,) at RATE."""
    sound, reach = sound_of(path), round(FARTHEST * RATE)
    size = 1 << int(np.ceil(np.log2(len(sound) + len(source))))
    score = np.fft.irfft(np.fft.rfft(sound, size) * np.conj(np.fft.rfft(source, size)), size)
    shifts = np.r_[0:reach, -reach:0]
    return float(shifts[int(np.argmax(score[shifts]))] / RATE)


def animated(folder: Path) -> dict[str, tuple[Path, Signal, FloatArray]]:
    """Films made by animate, with what their mouths are meant to do and the sound of their source, by kind."""
    made: dict[str, tuple[Path, Signal, FloatArray]] = {}
    every = {f"a driver at {name} frames/s": (times, 0.0) for name, times in rates().items()}
    every["a driver whose sound begins late"] = (rates()["25"], LATE)
    for kind, (times, late) in every.items():
        driver = write_film(folder / f"driver{len(made)}.mp4", times, late=late)
        heard = noise()
        heard[: round(late * RATE)] = 0
        for suffix in ("mp4", "webm"):
            out = folder / f"animated{len(made)}.{suffix}"
            gioconda.animate(PORTRAIT, driver, out, crop=True, size=SIDE)
            made[f"animate, {kind}, {suffix}"] = (out, swelling, heard)
    return made


def spoken(folder: Path) -> dict[str, tuple[Path, Signal, FloatArray]]:
    """The same of films made by speak."""
    voice = speech_of(TEXT, "", "en")
    wave = media.write_sound(folder / "voice.wav", voice.samples, voice.rate)
    motion = motion_of_sound(wave, lambda *_: None)
    jaw = motion.expression[:, ARKIT_INDEX["jawOpen"]]
    with media.read_sound(wave, RATE) as blocks:
        heard = np.concatenate(list(blocks))

    def meant(times: np.ndarray) -> np.ndarray:
        return np.interp(times, motion.times, jaw)

    made: dict[str, tuple[Path, Signal, FloatArray]] = {}
    targets = {f"a film at {name} frames/s": times for name, times in rates().items() if name != "29.97"}
    for kind, target in [
        ("a picture", PORTRAIT),
        *((kind, write_film(folder / f"film{len(kind)}.mp4", times)) for kind, times in targets.items()),
    ]:
        for suffix in ("mp4", "webm"):
            out = folder / f"spoken{len(made)}.{suffix}"
            small = {"crop": True, "size": SIDE} if target == PORTRAIT else {}
            gioconda.speak(target, out, audio=wave, **small)
            made[f"speak, {kind}, {suffix}"] = (out, meant, heard)
    return made


def measure(made: dict[str, tuple[Path, Signal, FloatArray]]) -> dict[str, tuple[float, float]]:
    """Milliseconds by which picture and sound of each film are late."""
    lags = {}
    for kind, (path, meant, source) in made.items():
        lags[kind] = (1000 * picture_lag(path, meant), 1000 * sound_lag(path, source))
        say(f"{kind}: picture {lags[kind][0]:.0f} ms, sound {lags[kind][1]:.0f} ms late")
    return lags


def main() -> None:
    """Measure, and write sync.json and .md."""
    options = arguments((__doc__ or "").splitlines()[0]).parse_args()
    with tempfile.TemporaryDirectory() as folder:
        lags = measure({**spoken(Path(folder)), **animated(Path(folder))})
    rows = [(kind, f"{p:+.0f}", f"{s:+.0f}", f"{s - p:+.0f}") for kind, (p, s) in lags.items()]
    header = ("kind", "picture late, ms", "sound late, ms", "sound against picture, ms")
    bars = [Bar(kind, abs(s - p), BAR, at_most=True) for kind, (p, s) in lags.items()]
    text = f"{markdown(header, rows)}\n\n{bars_table(bars)}"
    write_results(options.out, "sync", {"lags": lags, "bars": bars}, text)


if __name__ == "__main__":
    main()
