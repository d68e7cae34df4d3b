"""Emotions by name: offsets of ARKit coefficients that set in softly and leave speech readable.

The action units (AU) of each emotion are the prototypes of Ekman, Friesen and Hager, *Facial Action Coding System: The
Manual* (2002, Investigator's Guide), after Ekman and Friesen (1978). Calm has no prototype there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np

from gioconda.errors import InputError
from gioconda.motion.expression import lips_gap, part_lips
from gioconda.runtime.easing import eased
from gioconda.types import ARKIT_INDEX, ARKIT_NAMES, Curve, FloatArray, Motion

# Coefficients at full strength. A name without Left or Right stands for both sides, which differ by SIDES as in people.
PROTOTYPES: dict[str, dict[str, float]] = {
    # AU 6, 12, 25
    "happy": {"mouthSmile": 0.75, "cheekSquint": 0.6, "eyeSquint": 0.25, "mouthUpperUp": 0.15},
    # AU 1, 4, 15, 17, and lowered lids
    "sad": {
        "browInnerUp": 0.9,
        "browDown": 0.2,
        "mouthFrown": 0.7,
        "mouthShrugLower": 0.3,
        "eyeBlink": 0.16,
    },
    # AU 4, 5, 7, 9, 23, 24
    "angry": {
        "browDown": 1.0,
        "eyeWide": 0.2,
        "eyeSquint": 0.5,
        "noseSneer": 0.6,
        "mouthPress": 0.55,
        "mouthRollUpper": 0.2,
        "mouthRollLower": 0.2,
        "mouthFrown": 0.45,
    },
    # AU 1, 2, 5, 26
    "surprised": {"browInnerUp": 0.8, "browOuterUp": 0.85, "eyeWide": 0.75, "jawOpen": 0.32},
    # AU 1, 2, 4, 5, 20, 26
    "afraid": {
        "browInnerUp": 0.9,
        "browOuterUp": 0.35,
        "browDown": 0.35,
        "eyeWide": 0.8,
        "mouthStretch": 0.65,
        "mouthLowerDown": 0.2,
        "jawOpen": 0.14,
    },
    # AU 4, 9, 10, 15, 17
    "disgusted": {
        "noseSneer": 0.9,
        "mouthUpperUp": 0.25,
        "browDown": 0.45,
        "eyeSquint": 0.4,
        "cheekSquint": 0.5,
        "mouthFrown": 0.4,
        "mouthShrugLower": 0.3,
    },
    "calm": {"eyeBlink": 0.16, "mouthSmile": 0.14, "cheekSquint": 0.1},
}
EMOTIONS: tuple[str, ...] = tuple(PROTOTYPES)
"""Names of the emotions."""
# Factors of the two sides of a coefficient.
SIDES = {"Left": 1.0, "Right": 0.94}

# Seconds in which an emotion sets in and ceases; less in a motion shorter than both.
ONSET, DECAY = 0.6, 0.8
# Emotions wax and wane: the share by which they do so, and seconds of a cycle.
WANING, CYCLE = 0.15, 5.0

# Seconds around a moment in which the travel of the lips' gap, in inter-ocular units, shows whether lips speak: not
# at all up to the first value, clearly from the second on.
TALK_SECONDS, TALK_TRAVEL = 1.0, (0.05, 0.15)
# Share of an offset that remains while lips speak. Those of the mouth that are not named keep OTHER_MOUTH.
KEPT = {
    "mouthSmile": 0.7,
    "mouthFrown": 0.7,
    "mouthDimple": 0.7,
    "mouthStretch": 0.5,
    "jawOpen": 0.0,
    "mouthRollUpper": 0.0,
    "mouthRollLower": 0.0,
    "mouthShrugLower": 0.2,
}
OTHER_MOUTH = 0.35
# Share of the corners' offsets that a fully rounded mouth removes, so that an "o" stays round.
ROUND_REMOVES = 0.6
ROUND = ("mouthPucker", "mouthFunnel")
BLINKS = {"Left": "eyeBlinkLeft", "Right": "eyeBlinkRight"}

_FORM = re.compile(r"\s*([^:\s]+)\s*(?::\s*(\S+)\s*)?")


def parse_emotions(text: str) -> dict[str, float]:
    """Read emotions such as "happy:0.7, surprised".

    Args:
        text: Names, separated by commas, each with a strength from 0 to 1 after a colon, or without, which is 1. Empty
            for none.

    Returns:
        Strength by name.

    Raises:
        InputError: A name is unknown or given twice, or a strength is out of range.
    """
    emotions: dict[str, float] = {}
    for part in text.split(",") if text.strip() else ():
        match = _FORM.fullmatch(part)
        name = match[1] if match else part.strip()
        if match is None or name not in PROTOTYPES:
            raise InputError(f"{name!r} is not known; choose one of {', '.join(EMOTIONS)}, such as happy:0.7")
        if name in emotions:
            raise InputError(f"names {name} twice; give each emotion once")
        emotions[name] = _strength(name, match[2] or "1")
    return emotions


def _strength(name: str, text: str) -> float:
    """The strength of an emotion; InputError unless the text is a number from 0 to 1."""
    try:
        strength = float(text)
    except ValueError:
        raise InputError(
            f"{name}: {text!r} is not a number; give a strength from 0 to 1, such as {name}:0.7"
        ) from None
    if not 0 <= strength <= 1:
        raise InputError(f"{name}: {text} is outside 0 to 1")
    return strength


def emotion_coefficients(emotions: Mapping[str, float]) -> FloatArray:
    """The coefficients (52,) float32, 0 to 1, of emotions held still: strength by name."""
    total = np.zeros(len(ARKIT_NAMES))
    for emotion, strength in emotions.items():
        for short, value in PROTOTYPES[emotion].items():
            for name, factor in _both_sides(short).items():
                total[ARKIT_INDEX[name]] += strength * value * factor
    return np.clip(total, 0, 1).astype(np.float32)


def with_emotions(motion: Motion, emotions: Mapping[str, float]) -> Motion:
    """Add emotions to a motion.

    They set in softly from rest, wax and wane, and cease at the end. While the lips speak, offsets that shape the mouth
    are weaker and the lips part exactly as far as without emotion, so that p, b and m close and vowels open.

    Args:
        motion: Any.
        emotions: Strength 0 to 1 by name.
    """
    offset = emotion_coefficients(emotions)
    plain = motion.expression
    talk = _talking(motion.times, lips_gap(plain))[:, None]
    added = _course(motion.times)[:, None] * offset * (1 - talk * (1 - _kept()))
    added[:, _corners()] *= 1 - ROUND_REMOVES * talk * _rounded(plain)[:, None]
    for side, blink in BLINKS.items():
        # Wide lids would keep a blink from closing.
        added[:, ARKIT_INDEX[f"eyeWide{side}"]] *= 1 - plain[:, ARKIT_INDEX[blink]]
    felt = np.clip(plain + added, 0, 1).astype(np.float32)
    surplus = talk[:, 0] * (lips_gap(felt) - lips_gap(plain))
    return motion.with_(expression=part_lips(felt, -surplus.astype(np.float32)))


def _both_sides(short: str) -> dict[str, float]:
    """The ARKit names of a coefficient, both sides if it has two, and their factors."""
    if short in ARKIT_INDEX:
        return {short: 1.0}
    return {f"{short}{side}": factor for side, factor in SIDES.items()}


def _course(times: Curve) -> Curve:
    """Strength of an emotion (T,), 0 to 1, at times (T,) in seconds."""
    since, until = times - times[0], times[-1] - times
    shrink = min(1.0, float(times[-1] - times[0]) / (ONSET + DECAY))
    if shrink == 0:
        return np.ones(len(times))
    waning = WANING * (1 - np.cos(2 * np.pi * since / CYCLE)) / 2
    rise, fall = _smoothstep(since / (ONSET * shrink)), _smoothstep(until / (DECAY * shrink))
    return np.asarray(rise * fall * (1 - waning))


def _talking(times: Curve, gap: FloatArray) -> Curve:
    """How much lips speak (T,), 0 to 1, by the way that their gap (T,) travels around each of the times (T,)."""
    way = np.concatenate([[0.0], np.cumsum(np.abs(np.diff(gap.astype(np.float64))))])
    half = TALK_SECONDS / 2
    travel = np.interp(times + half, times, way) - np.interp(times - half, times, way)
    least, clear = TALK_TRAVEL
    return _smoothstep((travel - least) / (clear - least))


def _rounded(expression: FloatArray) -> FloatArray:
    """How round the lips of expressions (T, 52) are, (T,), 0 to 1."""
    return np.clip(expression[:, [ARKIT_INDEX[name] for name in ROUND]].sum(1), 0, 1)


def _corners() -> list[int]:
    """Indices of the coefficients that pull the corners of the mouth aside."""
    return [
        ARKIT_INDEX[f"{short}{side}"]
        for short in ("mouthSmile", "mouthDimple", "mouthStretch")
        for side in SIDES
    ]


def _kept() -> Curve:
    """Share (52,) of each coefficient's offset that remains while lips speak."""
    kept = np.ones(len(ARKIT_NAMES))
    for name, index in ARKIT_INDEX.items():
        if name.startswith(("jaw", "mouth")):
            kept[index] = KEPT.get(name.removesuffix("Left").removesuffix("Right"), OTHER_MOUTH)
    return kept


def _smoothstep(share: Curve) -> Curve:
    """3x^2 - 2x^3 of shares, clipped to 0 to 1."""
    share = np.clip(share, 0, 1)
    return np.asarray(eased(share))
