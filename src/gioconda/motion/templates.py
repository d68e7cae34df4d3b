"""Built-in motions, authored as keyframes of ARKit coefficients and head pose; each begins and ends at rest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from gioconda.errors import InputError
from gioconda.motion.expression import coefficients_from_gaze, gaze_from_coefficients
from gioconda.motion.monotone import interpolate
from gioconda.motion.pose import neck_swing, rotation_from_euler
from gioconda.types import ARKIT_INDEX, ARKIT_NAMES, Curve, Motion

Keys = Mapping[float, Mapping[str, float]]

# Channels beside the ARKit names. Degrees: yaw to the viewer's right, pitch up, roll clockwise. Inter-ocular
# units: x to the right, y down. near: 0.1 makes the head a tenth larger. look_x, look_y: gaze, -1 to 1, to the right
# and up.
POSE = ("yaw", "pitch", "roll", "x", "y", "near", "look_x", "look_y")

# Groups of coefficients that move together. Left and right differ a little, as they do in people.
GROUPS: dict[str, dict[str, float]] = {
    "blink": {"eyeBlinkLeft": 1.0, "eyeBlinkRight": 0.97, "eyeSquintLeft": 0.10, "eyeSquintRight": 0.10},
    "smile": {
        "mouthSmileLeft": 1.0,
        "mouthSmileRight": 0.92,
        "cheekSquintLeft": 0.55,
        "cheekSquintRight": 0.5,
        "mouthDimpleLeft": 0.12,
        "mouthDimpleRight": 0.10,
    },
    "brows": {"browInnerUp": 0.85, "browOuterUpLeft": 0.8, "browOuterUpRight": 0.72},
    "frown": {"browDownLeft": 0.9, "browDownRight": 1.0},
    "wide": {"eyeWideLeft": 0.95, "eyeWideRight": 1.0},
    "squint": {"eyeSquintLeft": 0.95, "eyeSquintRight": 1.0},
    "teeth": {
        "mouthUpperUpLeft": 0.5,
        "mouthUpperUpRight": 0.46,
        "mouthLowerDownLeft": 0.3,
        "mouthLowerDownRight": 0.3,
    },
    "press": {"mouthPressLeft": 0.6, "mouthPressRight": 0.55, "mouthRollLower": 0.25, "mouthRollUpper": 0.2},
    "stretch": {"mouthStretchLeft": 0.5, "mouthStretchRight": 0.46},
}

# Mouth shapes of speech sounds, by letter.
VISEMES: dict[str, dict[str, float]] = {
    "A": {"jawOpen": 0.36, "teeth": 0.35},
    "E": {"jawOpen": 0.20, "stretch": 0.5, "teeth": 0.45},
    "I": {"jawOpen": 0.11, "stretch": 0.6, "smile": 0.15, "teeth": 0.3},
    "O": {"jawOpen": 0.26, "mouthFunnel": 0.55, "mouthPucker": 0.2},
    "U": {"jawOpen": 0.12, "mouthFunnel": 0.3, "mouthPucker": 0.65},
    "M": {"press": 0.75},
    "F": {"jawOpen": 0.05, "mouthRollLower": 0.5, "mouthUpperUpLeft": 0.2, "mouthUpperUpRight": 0.2},
    "S": {"jawOpen": 0.06, "stretch": 0.3, "teeth": 0.45},
    "L": {"jawOpen": 0.18, "teeth": 0.3},
    " ": {},
}
# Seconds of a phone in `Script.speech`.
PHONE_SECONDS = 0.1


@dataclass(frozen=True)
class Script:
    """A template as it is authored.

    Attributes:
        seconds: Length.
        keys: Seconds -> channel or group -> value.
        blinks: Seconds at which the lids meet.
        sway: Strength of the small drift of the head.
        speech: Letters of VISEMES, spoken from `speech_at` on, PHONE_SECONDS each.
        speech_at: Seconds.
    """

    seconds: float
    keys: Keys
    blinks: tuple[float, ...] = ()
    sway: float = 1.0
    speech: str = ""
    speech_at: float = 0.4


SCRIPTS: dict[str, Script] = {
    "idle": Script(
        6.0,
        {
            1.9: {"look_x": 0.0, "look_y": 0.0},
            2.1: {"look_x": 0.12, "look_y": -0.06},
            3.3: {"look_x": 0.12, "look_y": -0.06, "smile": 0.0},
            3.5: {"look_x": -0.04, "look_y": 0.02},
            4.2: {"smile": 0.09},
            5.3: {"look_x": -0.04, "look_y": 0.02},
            5.5: {"look_x": 0.0, "look_y": 0.0},
        },
        blinks=(1.3, 3.45, 5.4),
        sway=1.3,
    ),
    "nod": Script(
        3.0,
        {
            0.35: {"pitch": 0, "smile": 0},
            0.55: {"pitch": 2.5},
            0.85: {"pitch": -12, "look_y": 0.3},
            1.15: {"pitch": 2, "look_y": 0.0, "smile": 0.25},
            1.45: {"pitch": -9, "look_y": 0.22},
            1.72: {"pitch": 0.5, "look_y": 0.0},
            2.0: {"pitch": -4, "look_y": 0.1, "smile": 0.25},
            2.4: {"pitch": 0, "look_y": 0.0},
        },
        blinks=(0.6, 2.3),
        sway=0.5,
    ),
    "shake": Script(
        3.2,
        {
            0.3: {"yaw": 0, "frown": 0, "press": 0},
            0.65: {"yaw": -13, "roll": -1.5, "look_x": 0.35, "frown": 0.25, "press": 0.3},
            1.05: {"yaw": 14, "roll": 1.5, "look_x": -0.38},
            1.45: {"yaw": -12, "roll": -1.2, "look_x": 0.32},
            1.85: {"yaw": 9, "roll": 0.8, "look_x": -0.25, "frown": 0.25, "press": 0.3},
            2.2: {"yaw": -4, "roll": -0.3, "look_x": 0.1},
            2.6: {"yaw": 0, "roll": 0, "look_x": 0},
        },
        blinks=(0.45, 2.35),
        sway=0.5,
    ),
    "smile": Script(
        4.0,
        {
            0.4: {"smile": 0, "squint": 0, "roll": 0, "brows": 0},
            1.0: {"smile": 0.55, "roll": 2.0, "brows": 0.18, "pitch": 1.0},
            1.5: {"smile": 0.85, "teeth": 0.25, "squint": 0.3},
            2.5: {"smile": 0.8, "teeth": 0.25, "squint": 0.32, "roll": 3.0, "brows": 0.1, "pitch": 1.5},
            3.2: {"smile": 0.25, "teeth": 0.0, "squint": 0.05},
        },
        blinks=(0.55, 2.9),
    ),
    "look-around": Script(
        6.0,
        {
            0.4: {"look_x": 0, "yaw": 0},
            0.55: {"look_x": -0.75, "yaw": -1},
            1.0: {"look_x": -0.35, "yaw": -15, "roll": -2, "look_y": 0, "pitch": 0},
            1.8: {"look_x": -0.35, "yaw": -16, "roll": -2, "look_y": 0, "pitch": 0},
            1.95: {"look_x": 0.3, "look_y": 0.5, "yaw": -14, "brows": 0},
            2.5: {"look_x": 0.1, "look_y": 0.3, "yaw": 2, "pitch": 7, "roll": 1, "brows": 0.35},
            3.0: {"look_x": 0.1, "look_y": 0.3, "yaw": 2, "pitch": 7, "brows": 0.35},
            3.15: {"look_x": 0.75, "look_y": -0.1, "yaw": 4, "brows": 0.1},
            3.65: {"look_x": 0.35, "look_y": -0.15, "yaw": 16, "pitch": -2, "roll": 2.5},
            4.4: {"look_x": 0.35, "look_y": -0.15, "yaw": 17, "pitch": -2, "roll": 2.5},
            4.55: {"look_x": -0.4, "look_y": 0, "yaw": 15},
            5.2: {"look_x": 0, "look_y": 0, "yaw": 0, "pitch": 0, "roll": 0},
        },
        blinks=(0.5, 1.9, 3.1, 4.5),
        sway=0.5,
    ),
    "talk": Script(
        5.0,
        {
            0.3: {"pitch": 0, "yaw": 0, "brows": 0, "roll": 0},
            0.9: {"pitch": -3.0, "brows": 0.3, "yaw": 2.0},
            1.3: {"pitch": 1.0, "brows": 0.05, "roll": 1.5},
            1.9: {"pitch": -2.0, "yaw": -2.5, "look_x": 0.0},
            2.1: {"look_x": 0.2, "look_y": -0.1},
            2.5: {"look_x": 0.2, "look_y": -0.1, "roll": -1.0},
            2.7: {"look_x": 0.0, "look_y": 0.0, "pitch": 0.5, "brows": 0.0},
            3.2: {"pitch": -4.0, "brows": 0.4, "yaw": 1.5},
            3.7: {"pitch": 0.0, "brows": 0.1, "yaw": 2.0},
            4.3: {"pitch": -1.5, "smile": 0.0},
            4.6: {"smile": 0.12},
        },
        blinks=(0.35, 2.3, 4.35),
        speech="MELOA SIFULA MEI  OLASE MUFA LIEMO",
        speech_at=0.5,
    ),
    "laugh": Script(
        4.5,
        {
            0.25: {"smile": 0, "jawOpen": 0, "pitch": 0, "squint": 0, "brows": 0, "roll": 0},
            0.7: {"smile": 0.8, "teeth": 0.4, "jawOpen": 0.16, "squint": 0.4, "brows": 0.3},
            0.95: {"jawOpen": 0.48, "pitch": 6, "near": -0.01, "teeth": 0.8, "smile": 0.95},
            1.07: {"jawOpen": 0.28, "y": 0.02},
            1.19: {"jawOpen": 0.46, "y": 0.0, "squint": 0.75},
            1.32: {"jawOpen": 0.25, "y": 0.02, "roll": 3},
            1.45: {"jawOpen": 0.44, "y": 0.0, "pitch": 8},
            1.59: {"jawOpen": 0.24, "y": 0.02},
            1.73: {"jawOpen": 0.40, "y": 0.0, "squint": 0.8, "brows": 0.35},
            1.88: {"jawOpen": 0.20, "y": 0.018, "pitch": 4, "roll": 4},
            2.04: {"jawOpen": 0.34, "y": 0.0},
            2.22: {"jawOpen": 0.15, "y": 0.015, "pitch": -2, "teeth": 0.8},
            2.42: {"jawOpen": 0.24, "y": 0.0, "smile": 0.9, "squint": 0.6, "near": 0.0},
            2.75: {"jawOpen": 0.10, "pitch": -4, "roll": 2, "teeth": 0.5},
            3.3: {"jawOpen": 0.02, "smile": 0.6, "squint": 0.25, "teeth": 0.15, "pitch": -1, "brows": 0.1},
            3.9: {"smile": 0.2, "squint": 0.05, "teeth": 0, "pitch": 0, "roll": 0, "jawOpen": 0},
        },
        blinks=(0.4, 2.6, 3.6),
    ),
    "surprise": Script(
        3.5,
        {
            0.4: {"brows": 0, "wide": 0, "jawOpen": 0, "pitch": 0, "near": 0, "mouthFunnel": 0},
            0.66: {"brows": 0.95, "wide": 0.85, "pitch": 4, "near": -0.025},
            0.74: {"jawOpen": 0.42, "mouthFunnel": 0.25},
            1.2: {"brows": 1.0, "wide": 0.9, "jawOpen": 0.36, "pitch": 4.5, "near": -0.03},
            1.8: {"brows": 0.9, "wide": 0.7, "jawOpen": 0.34, "mouthFunnel": 0.2, "near": -0.03, "pitch": 4},
            2.2: {"wide": 0.1, "jawOpen": 0.14, "smile": 0.0},
            2.6: {"brows": 0.3, "jawOpen": 0.03, "pitch": 0.5, "near": 0.0, "smile": 0.3, "mouthFunnel": 0.0},
            3.0: {"smile": 0.25},
        },
        blinks=(0.42, 2.15),
        sway=0.7,
    ),
}
TEMPLATES: tuple[str, ...] = tuple(SCRIPTS)

# Seconds of a blink's three parts; lids open more slowly than they close.
CLOSE, SHUT, OPEN = 0.12, 0.03, 0.21
# Lids at the end of SHUT: a plateau that is not quite flat.
SHUT_LATE = 0.98
# Seconds of a breath, and its amplitude: inter-ocular units upwards, degrees of pitch.
BREATH_SECONDS, BREATH_LIFT, BREATH_PITCH = 4.0, 0.005, 0.35
# Amplitude of the sway by channel: degrees, and inter-ocular units for x and y.
SWAY = {"yaw": 0.9, "pitch": 0.6, "roll": 0.7, "x": 0.010, "y": 0.004}
# Cycles a template of the sway's waves, and the amplitude of their sum for normal weights.
SWAY_CYCLES, SWAY_SUM = (1, 2, 3), 1.5
# Frames a second, least and most.
FPS = (1.0, 240.0)


def template(name: str, fps: float = 25.0) -> Motion:
    """Render a built-in motion. Its first and last frame are at rest, so that it can be looped.

    Args:
        name: One of TEMPLATES.
        fps: Frames a second, within FPS.

    Raises:
        InputError: The name is unknown, or the rate is out of range.
    """
    if name not in SCRIPTS:
        raise InputError(f"no template {name!r}; there are {', '.join(TEMPLATES)}")
    if not FPS[0] <= fps <= FPS[1]:
        raise InputError(f"{fps:g} frames a second is out of range; use {FPS[0]:g} to {FPS[1]:g}")
    script = SCRIPTS[name]
    frames = round(script.seconds * fps)
    moments = np.linspace(0, script.seconds, frames)
    channels = _channels(script, moments)
    _drift(channels, script, moments)
    rotation = rotation_from_euler(channels["yaw"], channels["pitch"], channels["roll"])
    swing = neck_swing(rotation)
    gaze = np.stack([channels["look_x"], channels["look_y"]], axis=1)
    expression = coefficients_from_gaze(gaze)
    for channel, index in ARKIT_INDEX.items():
        expression[:, index] += channels[channel]
    expression = np.clip(expression, 0, 1).astype(np.float32)
    return Motion(
        times=np.arange(frames) / fps,
        rotation=rotation,
        translation=(swing + np.stack([channels["x"], channels["y"]], axis=1)).astype(np.float32),
        scale=(1 + channels["near"]).astype(np.float32),
        expression=expression,
        gaze=gaze_from_coefficients(expression),
        confidence=np.ones(frames, np.float32),
        name=name,
    )


def _channels(script: Script, moments: Curve) -> dict[str, Curve]:
    """Channel -> its curve (T,) at `moments` (T,) seconds: keyframes, blinks and speech."""
    curves = {name: np.zeros(len(moments)) for name in (*POSE, *ARKIT_NAMES)}
    _add(curves, script.keys, script.seconds, moments)
    for blink in script.blinks:
        shut = {blink: {"blink": 1.0}, blink + SHUT: {"blink": SHUT_LATE}}
        lids = {blink - CLOSE: {"blink": 0.0}, **shut, blink + SHUT + OPEN: {"blink": 0.0}}
        _add(curves, lids, script.seconds, moments)
    if script.speech:
        _add(curves, _speech_keys(script), script.seconds, moments)
    return curves


def _add(curves: dict[str, Curve], keys: Keys, seconds: float, moments: Curve) -> None:
    """Add keyframes to the curves, in place: monotone cubics without overshoot, at rest at both ends."""
    for group in dict.fromkeys(group for values in keys.values() for group in values):
        key_values = {t: values[group] for t, values in sorted(keys.items()) if group in values}
        times = np.array([-1.0, 0.0, *key_values, seconds, seconds + 1.0])
        values = np.array([0.0, 0.0, *key_values.values(), 0.0, 0.0])
        curve = interpolate(times, values, moments)
        for name, share in GROUPS.get(group, {group: 1.0}).items():
            curves[name] += share * curve


def _speech_keys(script: Script) -> Keys:
    """Keyframes of a script's speech. Each phone sets every channel that any phone uses, so that each returns to 0."""
    channels = {channel for letter in script.speech for channel in VISEMES[letter]}
    rest = dict.fromkeys(sorted(channels), 0.0)
    letters = f" {script.speech} "
    return {
        round(script.speech_at + i * PHONE_SECONDS, 3): {**rest, **VISEMES[letter]}
        for i, letter in enumerate(letters)
    }


def _drift(channels: dict[str, Curve], script: Script, moments: Curve) -> None:
    """Add breath and a small sway to the curves, in place; both are periodic, so that the motion loops."""
    phase = 2 * np.pi * moments / script.seconds
    breath = 1 - np.cos(max(1, round(script.seconds / BREATH_SECONDS)) * phase)
    channels["y"] += -BREATH_LIFT * breath
    channels["pitch"] += BREATH_PITCH * breath
    rng = np.random.default_rng(len(script.keys))
    for name, amplitude in SWAY.items():
        wave = np.zeros_like(moments)
        for cycles in SWAY_CYCLES:
            start = rng.uniform(0, 2 * np.pi)
            wave += rng.normal() / cycles * (np.sin(cycles * phase + start) - np.sin(start))
        channels[name] += script.sway * amplitude * wave / SWAY_SUM
