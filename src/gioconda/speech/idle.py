"""Idle movements of a speaker: blinks, brows, small movements of the head, glances; from a voice and a seed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gioconda.runtime.easing import eased
from gioconda.speech.signals import peaks
from gioconda.types import ARKIT_INDEX, ARKIT_NAMES, USUAL_MANNER, Curve, FloatArray, Manner

Flags = npt.NDArray[np.bool_]

# Standard deviation in seconds with which a voice's energy is smoothed before its peaks count as stresses.
STRESS_SECONDS = 0.12
# Seconds between two stresses at least, and the rise of the smoothed energy to one.
ACCENT_APART, ACCENT_RISE = 0.5, 0.10
# Rise of the energy at which a stress is of full strength, and the least strength.
FULL_RISE, LEAST_STRENGTH = 0.5, 0.2
# Seconds of silence that end a phrase.
PHRASE_PAUSE = 0.3
# Seconds in which the head starts to move with speech, and comes to rest after it.
RISE, FALL = 0.35, 0.45
# Share of RISE that has passed when the voice begins: heads move a little before.
RISEN = 0.3
# Seconds from the start in which wandering sets in, and time constant with which the first offset decays: the first
# frame is at rest.
START_SECONDS, SETTLE_SECONDS = 0.4, 0.5

# Seconds between two blinks at least.
BLINK_APART = 0.7
# Factor on the rate of blinks at the beginning of a pause, and for how many seconds.
AT_PAUSE, AT_PAUSE_SECONDS = 5.0, 0.4
# Blinks a second at the beginning and end of a glance, and for how many seconds.
AT_GLANCE, AT_GLANCE_SECONDS = 3.0, 0.1
# Seconds before the first blink.
FIRST_BLINK = 0.6
# Seconds of a blink's three parts, and the range of a factor on the first and last.
CLOSE, SHUT, OPEN, SLOWNESS = 0.10, 0.05, 0.19, (0.9, 1.25)
# Share of full blinks, and the ranges of eyeBlink in full and in partial ones.
FULL_BLINKS, FULL_BLINK, PARTIAL_BLINK = 0.88, (0.93, 1.0), (0.6, 0.85)
# Factors on the two lids, which differ a little, as in people.
BLINK_SIDES = (("eyeBlinkLeft", 1.0), ("eyeBlinkRight", 0.97))

# Share of the stresses at which the head nods; degrees downwards, scaled by NOD_WEAK at the weakest stress; seconds by
# which a nod precedes the stress, of its way down and of its way back.
NODS, NOD, NOD_WEAK = 0.75, (0.9, 2.6), 0.4
NOD_LEAD, NOD_RISE, NOD_FALL = 0.05, 0.22, 0.38
# The same for a tilt: share, standard deviation in degrees, seconds.
TILTS, TILT, TILT_RISE, TILT_FALL = 0.3, 0.9, 0.3, 0.5
# Standard deviations of the head's posture between phrases: degrees, inter-ocular units, share of the size.
POSTURE = {"yaw": 3.2, "pitch": 1.3, "roll": 1.7, "x": 0.012, "y": 0.0, "near": 0.010}
# Largest posture in standard deviations; share of the stresses at which it changes; standard deviation in seconds of
# the change's smoothing.
POSTURE_LIMIT, POSTURE_AT_STRESS, POSTURE_SECONDS = 2, 0.2, 0.22
# Standard deviations of the wandering within phrases, in the units of POSTURE.
WANDER = {"yaw": 1.0, "pitch": 0.9, "roll": 0.7, "x": 0.006, "y": 0.004, "near": 0.003}
# Share of the wandering that remains in silence.
STILL = 0.18
# Knots a second of the wandering's noise, and its smoothing in seconds.
WANDER_HERTZ, WANDER_SECONDS = 8.0, 0.45
# Seconds of a breath, and its amplitude: inter-ocular units upwards, degrees of pitch.
BREATH_SECONDS, BREATH_LIFT, BREATH_PITCH = 4.1, 0.006, 0.4

# Degrees that the eyes turn at gaze 1, by which they stay on the viewer while the head turns.
DEGREES_AT_GAZE_1 = 35.0
# Small jumps of the eyes a second, and their standard deviations in units of gaze.
JUMPS, JUMP = 0.7, (0.03, 0.018)
# Share of the pauses in which the eyes glance aside; seconds at which a glance begins, relative to the pause, and which
# it lasts; gaze to either side, and vertically.
GLANCES, GLANCE_BEGIN, GLANCE_SECONDS = 0.35, (-0.4, 0.1), (0.4, 0.9)
GLANCE_X, GLANCE_Y = (0.18, 0.38), (-0.18, 0.12)
# A saccade takes some 40 ms: from this frame rate on, a jump is split over two frames, with this share in the first.
SACCADE_FPS, SACCADE_SHARE = 20, 0.65

# Range of the brows' height at the strongest stress, of the seconds of their way back; seconds by which they precede
# the stress, of their way there, and for which they stay.
BROW_HEIGHT, BROW_FALL = (0.15, 0.5), (0.35, 0.6)
BROW_LEAD, BROW_RISE, BROW_HELD = 0.08, 0.22, 0.1
# Shares of the stresses at which brows rise, and at which they rise or draw together; factors by coefficient.
BROWS_UP, BROWS_MOVE = 0.45, 0.55
BROW_UP = {"browInnerUp": 0.9, "browOuterUpLeft": 0.75, "browOuterUpRight": 0.68}
BROW_DOWN = {"browDownLeft": 0.6, "browDownRight": 0.66}


@dataclass(frozen=True, eq=False)
class Performance:
    """Movements of a speaker's face and head, T frames; all arrays but `times` are float32.

    Attributes:
        times: (T,) float64, seconds.
        expression: (T, 52) ARKit coefficients, 0 to 1, without the gaze.
        yaw: (T,) degrees, to the viewer's right.
        pitch: (T,) degrees, upwards.
        roll: (T,) degrees, clockwise for the viewer.
        x: (T,) inter-ocular units, to the right.
        y: (T,) inter-ocular units, downwards.
        near: (T,) relative growth of the head; 0.1 makes it a tenth larger.
        gaze: (T, 2), -1 to 1, to the viewer's right and up.
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


def idle(energy: FloatArray, voiced: Flags, fps: float = 25.0, manner: Manner = USUAL_MANNER) -> Performance:
    """Make the idle movements of a speaker. The first frame is at rest, and the head returns to rest in pauses.

    Args:
        energy: (T,), of the voice, 0 to 1.
        voiced: (T,), whether somebody speaks.
        fps: Frames a second.
        manner: How the speaker moves.
    """
    streams = [np.random.default_rng(sequence) for sequence in np.random.SeedSequence(manner.seed).spawn(4)]
    count = len(energy)
    moments = np.arange(count) / fps
    phrases = _phrases(voiced, fps)
    stresses, strengths = _stresses(energy, fps)
    pose = _pose(streams[0], moments, phrases, (stresses, strengths), fps)
    gaze, glances = _gaze(streams[1], moments, phrases, fps)
    gaze[:, 0] -= pose["yaw"] / DEGREES_AT_GAZE_1
    gaze[:, 1] -= pose["pitch"] / DEGREES_AT_GAZE_1
    expression = np.zeros((count, len(ARKIT_NAMES)))
    _blink(expression, streams[2], moments, phrases, glances, fps, manner.blink_rate / 60)
    _raise_brows(expression, streams[3], moments, stresses, strengths)
    return Performance(
        times=moments,
        expression=np.clip(expression, 0, 1).astype(np.float32),
        gaze=np.clip(gaze, -1, 1).astype(np.float32),
        **{name: curve.astype(np.float32) for name, curve in pose.items()},
    )


def _phrases(voiced: Flags, fps: float) -> npt.NDArray[np.int_]:
    """First frame and end (exclusive) of each phrase, (P, 2); shorter pauses than PHRASE_PAUSE do not end one."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], voiced.astype(np.int8), [0]])))
    starts, ends = edges[::2], edges[1::2]
    if len(starts) == 0:
        return np.zeros((0, 2), int)
    apart = starts[1:] - ends[:-1] >= PHRASE_PAUSE * fps
    return np.stack([starts[np.r_[True, apart]], ends[np.r_[apart, True]]], axis=1)


def _stresses(energy: FloatArray, fps: float) -> tuple[npt.NDArray[np.int_], Curve]:
    """Frames of the voice's stresses, (S,), and their strengths, (S,) in 0..1."""
    from scipy.ndimage import gaussian_filter1d

    smooth = gaussian_filter1d(energy.astype(np.float64), STRESS_SECONDS * fps, mode="nearest")
    apart = max(1.0, ACCENT_APART * fps)
    stresses, prominences = peaks(np.r_[0.0, smooth, 0.0], apart, ACCENT_RISE)
    strengths = np.clip(prominences / FULL_RISE, LEAST_STRENGTH, 1.0)
    return np.clip(stresses - 1, 0, len(energy) - 1), strengths


def _pose(
    random: np.random.Generator,
    moments: Curve,
    phrases: npt.NDArray[np.int_],
    accents: tuple[npt.NDArray[np.int_], Curve],
    fps: float,
) -> dict[str, Curve]:
    """Channels of the head, each (T,): a posture for each phrase, wandering about it, nods at stresses, breath."""
    activity = _activity(len(moments), phrases, fps)
    start = np.clip(moments / START_SECONDS, 0, 1)
    channels: dict[str, Curve] = {}
    for name, spread in POSTURE.items():
        postures = _postures(random, len(moments), phrases, accents[0], fps) * spread
        wander = _wander(random, moments) * WANDER[name]
        curve = np.asarray(
            activity * postures + (STILL + (1 - STILL) * activity) * wander * start, np.float64
        )
        channels[name] = curve - curve[0] * np.exp(-moments / SETTLE_SECONDS)
    for frame, strength in zip(*accents, strict=True):
        at = moments[frame]
        if random.random() < NODS:
            depth = random.uniform(*NOD) * (NOD_WEAK + (1 - NOD_WEAK) * strength)
            _bump(channels["pitch"], moments, at - NOD_LEAD, NOD_RISE, NOD_FALL, -depth)
        if random.random() < TILTS:
            _bump(channels["roll"], moments, at, TILT_RISE, TILT_FALL, random.normal() * TILT)
    breath = (1 - np.cos(2 * np.pi * moments / BREATH_SECONDS)) / 2
    channels["y"] -= BREATH_LIFT * breath
    channels["pitch"] += BREATH_PITCH * breath
    return channels


def _activity(count: int, phrases: npt.NDArray[np.int_], fps: float) -> Curve:
    """How much the head moves with speech, (T,): smoothly from 0 in pauses to 1 within phrases."""
    activity, frames = np.zeros(count), np.arange(count)
    for first, end in phrases:
        reach = slice(max(int(first - RISE * fps), 0), int(end + 3 * FALL * fps))
        near = frames[reach]
        up = np.clip((near - first) / (RISE * fps) + RISEN, 0, 1)
        down = np.clip(1 - (near - end) / (2 * FALL * fps), 0, 1)
        activity[reach] = np.maximum(activity[reach], eased(up) * eased(down))
    return activity


def _postures(
    random: np.random.Generator,
    count: int,
    phrases: npt.NDArray[np.int_],
    stresses: npt.NDArray[np.int_],
    fps: float,
) -> Curve:
    """A channel's posture, (T,) of unit standard deviation: it changes at each phrase, and at some of the stresses."""
    from scipy.ndimage import gaussian_filter1d

    chosen = stresses[random.random(len(stresses)) < POSTURE_AT_STRESS]
    changes = np.sort(np.r_[0, phrases[:, 0], chosen].astype(int))
    values = np.clip(random.normal(size=len(changes)), -POSTURE_LIMIT, POSTURE_LIMIT)
    steps = values[np.searchsorted(changes, np.arange(count), side="right") - 1]
    return np.asarray(gaussian_filter1d(steps, POSTURE_SECONDS * fps, mode="nearest"))


def _wander(random: np.random.Generator, moments: Curve) -> Curve:
    """Smooth noise of unit standard deviation, (T,), the same curve at any frame rate."""
    from scipy.interpolate import CubicSpline
    from scipy.ndimage import gaussian_filter1d

    knots = np.arange(int(moments[-1] * WANDER_HERTZ) + 5) / WANDER_HERTZ
    width = WANDER_SECONDS * WANDER_HERTZ
    noise = gaussian_filter1d(random.normal(size=len(knots)), width, mode="wrap")
    return np.asarray(CubicSpline(knots, noise * np.sqrt(2 * np.sqrt(np.pi) * width))(moments))


def _gaze(
    random: np.random.Generator, moments: Curve, phrases: npt.NDArray[np.int_], fps: float
) -> tuple[Curve, list[float]]:
    """Gaze (T, 2) relative to the viewer, with jumps and glances aside; and when glances begin and end, seconds."""
    jumps = random.random(len(moments)) < JUMPS / fps
    fixations = random.normal(size=(int(jumps.sum()) + 1, 2)) * JUMP
    fixations[0] = 0
    gaze = fixations[np.cumsum(jumps)]
    glances = []
    for _, end in phrases:
        if random.random() >= GLANCES:
            continue
        begin = end / fps + random.uniform(*GLANCE_BEGIN)
        seconds = random.uniform(*GLANCE_SECONDS)
        target = random.choice([-1, 1]) * random.uniform(*GLANCE_X), random.uniform(*GLANCE_Y)
        gaze[(moments >= begin) & (moments < begin + seconds)] += target
        glances += [begin, begin + seconds]
    before = np.concatenate([gaze[:1], gaze[:-1]])
    split = SACCADE_SHARE * gaze + (1 - SACCADE_SHARE) * before
    return (gaze if fps < SACCADE_FPS else split), glances


def _blink(
    expression: Curve,
    random: np.random.Generator,
    moments: Curve,
    phrases: npt.NDArray[np.int_],
    glances: list[float],
    fps: float,
    blink_rate: float,
) -> None:
    """Add blinks to `expression` (T, 52), in place: more often where a pause or a glance begins.

    blink_rate: Blinks a second outside pauses; 0 leaves the eyes open.
    """
    if blink_rate == 0:
        return
    rate = np.full(len(moments), blink_rate / fps)
    for _, end in phrases:
        rate[int(end) : int(end + AT_PAUSE_SECONDS * fps)] *= AT_PAUSE
    for glance in glances:
        first = max(int(glance * fps), 0)
        rate[first : first + max(1, round(AT_GLANCE_SECONDS * fps))] += AT_GLANCE / fps
    expected = np.cumsum(rate)
    frame, end = int(FIRST_BLINK * fps), len(moments) - round((CLOSE + SHUT + OPEN) * fps)
    while frame < end:
        # Waiting times of a gamma distribution of shape 2 vary less than exponential ones, as those of people do.
        due = expected[frame] + random.gamma(2.0, 0.5) * (1 - blink_rate * BLINK_APART)
        frame = int(np.searchsorted(expected, due))
        if frame >= end:
            break
        full = random.random() < FULL_BLINKS
        depth = random.uniform(*FULL_BLINK) if full else random.uniform(*PARTIAL_BLINK)
        slow = random.uniform(*SLOWNESS)
        for name, share in BLINK_SIDES:
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
    """Move the brows of `expression` (T, 52), in place: raised at some stresses, drawn together at few."""
    for frame, strength in zip(stresses, strengths, strict=True):
        draw, height = random.random(), random.uniform(*BROW_HEIGHT) * strength
        fall = random.uniform(*BROW_FALL)
        if draw >= BROWS_MOVE:
            continue
        at = moments[frame] - BROW_LEAD
        for name, share in (BROW_UP if draw < BROWS_UP else BROW_DOWN).items():
            curve = expression[:, ARKIT_INDEX[name]]
            _bump(curve, moments, at, BROW_RISE, fall, share * height, held=BROW_HELD)


def _bump(
    curve: Curve, moments: Curve, at: float, rise: float, fall: float, height: float, *, held: float = 0.0
) -> None:
    """Add a smooth bump to a curve (T,), in place.

    Args:
        curve: The curve.
        moments: (T,), seconds.
        at: Seconds at which the bump reaches its height.
        rise: Seconds before that in which it rises.
        fall: Seconds in which it falls.
        height: In the curve's unit.
        held: Seconds for which it keeps its height.
    """
    first, last = np.searchsorted(moments, [at - rise, at + held + fall])
    local = moments[first:last]
    up, down = np.clip((local - at) / rise + 1, 0, 1), np.clip(1 - (local - at - held) / fall, 0, 1)
    curve[first:last] += height * eased(up) * eased(down)
