"""What a face does beside speaking: blinks, brows, small movements of the head, glances; by a voice and a seed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gioconda.types import ARKIT_INDEX, ARKIT_NAMES, FloatArray

Curve = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

STRESS_SECONDS = 0.12  # over which a voice's energy is smoothed to find what it stresses
ACCENT_APART, ACCENT_RISE = 0.5, 0.10  # seconds between two stresses, and by how much energy rises to one
PHRASE_PAUSE = 0.3  # seconds of silence that end a phrase
RISE, FALL = 0.35, 0.45  # seconds in which a head takes part in speech, and comes to rest after it

BLINK_RATE, BLINK_APART = 0.27, 0.7  # a second, outside pauses; seconds at least between two
AT_PAUSE, AT_PAUSE_SECONDS = 5.0, 0.4  # times more likely in the first moments of a pause
CLOSE, SHUT, OPEN = 0.10, 0.05, 0.19  # seconds of a blink's parts

NOD = (0.9, 2.6)  # degrees down at a stress
POSTURE = {
    "yaw": 3.2,
    "pitch": 1.3,
    "roll": 1.7,
    "x": 0.012,
    "y": 0.0,
    "near": 0.010,
}  # spread between phrases
WANDER = {"yaw": 1.0, "pitch": 0.9, "roll": 0.7, "x": 0.006, "y": 0.004, "near": 0.003}  # spread within them
STILL = 0.18  # share of the wandering that silence leaves
WANDER_HERTZ, WANDER_SECONDS = 8.0, 0.45
BREATH_SECONDS = 4.1
DEGREES_A_LOOK = 35.0  # gaze of 1, by which eyes stay on the viewer while the head turns
ASIDE = 0.35  # share of the pauses in which the eyes leave the viewer


@dataclass(frozen=True, eq=False)
class Performance:
    """What a speaker's face and head do, T frames.

    times (T,) float64 seconds; expression (T, 52) in 0..1; yaw, pitch, roll (T,) degrees, to the viewer's right, up,
    clockwise; x, y (T,) inter-ocular units to the right and down; near (T,), 0.1 is a tenth larger; gaze (T, 2) in
    -1..1, to the right and up, not yet in `expression`.
    """

    times: Curve
    expression: FloatArray
    yaw: FloatArray
    pitch: FloatArray
    roll: FloatArray
    x: FloatArray
    y: FloatArray
    near: FloatArray
    gaze: FloatArray


def idle(energy: FloatArray, voiced: Flags, fps: float = 25.0, seed: int = 0) -> Performance:
    """Movements for a voice with energy (T,) in 0..1 that is heard where `voiced` (T,), the same for the same seed.

    The first frame is at rest, and in pauses the head comes to rest again.
    """
    streams = [np.random.default_rng(one) for one in np.random.SeedSequence(seed).spawn(4)]
    count = len(energy)
    moments = np.arange(count) / fps
    phrases = _phrases(voiced, fps)
    stresses, strengths = _stresses(energy, fps)
    pose = _pose(streams[0], moments, phrases, (stresses, strengths), fps)
    gaze, glances = _gaze(streams[1], moments, phrases, fps)
    gaze[:, 0] -= pose["yaw"] / DEGREES_A_LOOK
    gaze[:, 1] -= pose["pitch"] / DEGREES_A_LOOK
    expression = np.zeros((count, len(ARKIT_NAMES)))
    _blink(expression, streams[2], moments, phrases, glances, fps)
    _raise_brows(expression, streams[3], moments, stresses, strengths)
    return Performance(
        times=moments,
        expression=np.clip(expression, 0, 1).astype(np.float32),
        gaze=np.clip(gaze, -1, 1).astype(np.float32),
        **{name: curve.astype(np.float32) for name, curve in pose.items()},
    )


def _phrases(voiced: Flags, fps: float) -> npt.NDArray[np.int_]:
    """First frame and end of each stretch of speech, (P, 2), across pauses shorter than PHRASE_PAUSE."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], voiced.astype(np.int8), [0]])))
    starts, ends = edges[::2], edges[1::2]
    if len(starts) == 0:
        return np.zeros((0, 2), int)
    apart = starts[1:] - ends[:-1] >= PHRASE_PAUSE * fps
    return np.stack([starts[np.r_[True, apart]], ends[np.r_[apart, True]]], axis=1)


def _stresses(energy: FloatArray, fps: float) -> tuple[npt.NDArray[np.int_], Curve]:
    """Frames at which a voice stresses something, and how strongly, 0..1."""
    from scipy.ndimage import gaussian_filter1d
    from scipy.signal import find_peaks

    smooth = gaussian_filter1d(energy.astype(np.float64), STRESS_SECONDS * fps, mode="nearest")
    apart = max(1.0, ACCENT_APART * fps)
    peaks, found = find_peaks(np.r_[0.0, smooth, 0.0], distance=apart, prominence=ACCENT_RISE)
    return np.clip(peaks - 1, 0, len(energy) - 1), np.clip(found["prominences"] / 0.5, 0.2, 1.0)


def _pose(
    random: np.random.Generator,
    moments: Curve,
    phrases: npt.NDArray[np.int_],
    accents: tuple[npt.NDArray[np.int_], Curve],
    fps: float,
) -> dict[str, Curve]:
    """Channels of the head: a posture for each phrase, wandering about it, nods at stresses, breath."""
    part = _taking_part(len(moments), phrases, fps)
    start = np.clip(moments / 0.4, 0, 1)
    channels: dict[str, Curve] = {}
    for name, spread in POSTURE.items():
        postures = _postures(random, len(moments), phrases, accents[0], fps) * spread
        wander = _wander(random, moments) * WANDER[name]
        curve = np.asarray(part * postures + (STILL + (1 - STILL) * part) * wander * start, np.float64)
        channels[name] = curve - curve[0] * np.exp(-moments / 0.5)
    for frame, strength in zip(*accents, strict=True):
        if random.random() < 0.75:
            depth = random.uniform(*NOD) * (0.4 + 0.6 * strength)
            _bump(channels["pitch"], moments, moments[frame] - 0.05, 0.22, 0.38, -depth)
        if random.random() < 0.3:
            _bump(channels["roll"], moments, moments[frame], 0.3, 0.5, random.normal() * 0.9)
    breath = (1 - np.cos(2 * np.pi * moments / BREATH_SECONDS)) / 2
    channels["y"] -= 0.006 * breath
    channels["pitch"] += 0.4 * breath
    return channels


def _taking_part(count: int, phrases: npt.NDArray[np.int_], fps: float) -> Curve:
    """How much the head takes part in speech, (T,) smoothly from 0 in pauses to 1 within phrases."""
    part, frames = np.zeros(count), np.arange(count)
    for first, end in phrases:
        reach = slice(max(int(first - RISE * fps), 0), int(end + 3 * FALL * fps))
        at = frames[reach]
        up = np.clip((at - first) / (RISE * fps) + 0.3, 0, 1)
        down = np.clip(1 - (at - end) / (2 * FALL * fps), 0, 1)
        part[reach] = np.maximum(part[reach], _eased(up) * _eased(down))
    return part


def _postures(
    random: np.random.Generator,
    count: int,
    phrases: npt.NDArray[np.int_],
    stresses: npt.NDArray[np.int_],
    fps: float,
) -> Curve:
    """A channel's posture, (T,) of unit spread: another one at each phrase, and sometimes at a stress."""
    from scipy.ndimage import gaussian_filter1d

    changes = np.sort(np.r_[0, phrases[:, 0], stresses[random.random(len(stresses)) < 0.2]].astype(int))
    values = np.clip(random.normal(size=len(changes)), -2, 2)
    steps = values[np.searchsorted(changes, np.arange(count), side="right") - 1]
    return np.asarray(gaussian_filter1d(steps, 0.22 * fps, mode="nearest"))


def _wander(random: np.random.Generator, moments: Curve) -> Curve:
    """Smooth noise of unit spread, the same at any rate of frames."""
    from scipy.interpolate import CubicSpline
    from scipy.ndimage import gaussian_filter1d

    knots = np.arange(int(moments[-1] * WANDER_HERTZ) + 5) / WANDER_HERTZ
    width = WANDER_SECONDS * WANDER_HERTZ
    noise = gaussian_filter1d(random.normal(size=len(knots)), width, mode="wrap")
    return np.asarray(CubicSpline(knots, noise * np.sqrt(2 * np.sqrt(np.pi) * width))(moments))


def _gaze(
    random: np.random.Generator, moments: Curve, phrases: npt.NDArray[np.int_], fps: float
) -> tuple[Curve, list[float]]:
    """Gaze (T, 2) relative to the viewer, and when it leaves him: small jumps, and glances aside at pauses."""
    steps = random.random(len(moments)) < 0.7 / fps
    fixed = random.normal(size=(int(steps.sum()) + 1, 2)) * (0.03, 0.018)
    fixed[0] = 0
    gaze = fixed[np.cumsum(steps)]
    glances = []
    for _, end in phrases:
        if random.random() >= ASIDE:
            continue
        begin = end / fps + random.uniform(-0.4, 0.1)
        lasts = random.uniform(0.4, 0.9)
        target = random.choice([-1, 1]) * random.uniform(0.18, 0.38), random.uniform(-0.18, 0.12)
        gaze[(moments >= begin) & (moments < begin + lasts)] += target
        glances += [begin, begin + lasts]
    # a saccade takes some 40 ms
    early = np.concatenate([gaze[:1], gaze[:-1]])
    return (gaze if fps < 20 else 0.65 * gaze + 0.35 * early), glances


def _blink(
    expression: Curve,
    random: np.random.Generator,
    moments: Curve,
    phrases: npt.NDArray[np.int_],
    glances: list[float],
    fps: float,
) -> None:
    """Blinks, added in place: at random, oftener where a pause begins, and with some of the glances."""
    chance = np.full(len(moments), BLINK_RATE / fps)
    for _, end in phrases:
        chance[int(end) : int(end + AT_PAUSE_SECONDS * fps)] *= AT_PAUSE
    for glance in glances:
        at = max(int(glance * fps), 0)
        chance[at : at + max(1, round(0.1 * fps))] += 3.0 / fps
    passed = np.cumsum(chance)
    frame, end = int(0.6 * fps), len(moments) - round((CLOSE + SHUT + OPEN) * fps)
    while frame < end:
        # the sum of two waits is more even than one, as people's are
        due = passed[frame] + random.gamma(2.0, 0.5) * (1 - BLINK_RATE * BLINK_APART)
        frame = int(np.searchsorted(passed, due))
        if frame >= end:
            break
        depth = random.uniform(0.93, 1.0) if random.random() < 0.88 else random.uniform(0.6, 0.85)
        slow = random.uniform(0.9, 1.25)
        for name, share in (("eyeBlinkLeft", 1.0), ("eyeBlinkRight", 0.97)):
            curve = expression[:, ARKIT_INDEX[name]]
            _bump(curve, moments, moments[frame], CLOSE * slow, OPEN * slow, share * depth, held=SHUT)
        frame += round(BLINK_APART * fps)


def _raise_brows(
    expression: Curve,
    random: np.random.Generator,
    moments: Curve,
    stresses: npt.NDArray[np.int_],
    strengths: Curve,
) -> None:
    """Brows, added in place: raised at some stresses, drawn together at few."""
    for frame, strength in zip(stresses, strengths, strict=True):
        luck, height, lasts = random.random(), random.uniform(0.15, 0.5) * strength, random.uniform(0.35, 0.6)
        if luck < 0.45:
            shares = {"browInnerUp": 0.9, "browOuterUpLeft": 0.75, "browOuterUpRight": 0.68}
        elif luck < 0.55:
            shares = {"browDownLeft": 0.6, "browDownRight": 0.66}
        else:
            continue
        for name, share in shares.items():
            curve = expression[:, ARKIT_INDEX[name]]
            _bump(curve, moments, moments[frame] - 0.08, 0.22, lasts, share * height, held=0.1)


def _bump(
    curve: Curve, moments: Curve, at: float, rise: float, fall: float, height: float, *, held: float = 0.0
) -> None:
    """Add a smooth bump to a curve, in place: it reaches its height at `at` and holds it for `held` seconds."""
    first, last = np.searchsorted(moments, [at - rise, at + held + fall])
    local = moments[first:last]
    up, down = np.clip((local - at) / rise + 1, 0, 1), np.clip(1 - (local - at - held) / fall, 0, 1)
    curve[first:last] += height * _eased(up) * _eased(down)


def _eased(share: Curve) -> Curve:
    return np.asarray(share * share * (3 - 2 * share))
