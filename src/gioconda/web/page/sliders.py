"""The sliders of the tab Edit: which there are, in which groups, with which presets; and their HTML."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from html import escape

from gioconda.motion.templates import GROUPS
from gioconda.types import ARKIT_NAMES


@dataclass(frozen=True)
class Slider:
    """What one slider moves: ARKit names, both sides at once where there are two, or a field of the pose."""

    label: str
    names: tuple[str, ...]
    low: float = 0.0
    high: float = 1.0
    unit: str = ""


def _both(label: str, stem: str) -> Slider:
    return Slider(label, (f"{stem}Left", f"{stem}Right"))


def _one(label: str, name: str) -> Slider:
    return Slider(label, (name,))


SLIDERS: dict[str, tuple[Slider, ...]] = {
    "Head": (
        Slider("Turn (yaw)", ("yaw",), -34, 34, "°"),
        Slider("Look up, down (pitch)", ("pitch",), -26, 26, "°"),
        Slider("Tilt (roll)", ("roll",), -30, 30, "°"),
    ),
    "Gaze": (
        Slider("Aside", ("gaze_x",), -1, 1),
        Slider("Up, down", ("gaze_y",), -1, 1),
    ),
    "Mouth": (
        _one("Open", "jawOpen"),
        _both("Smile", "mouthSmile"),
        _both("Corners down", "mouthFrown"),
        _both("Stretch", "mouthStretch"),
        _one("Pucker", "mouthPucker"),
        _one("Funnel", "mouthFunnel"),
        _both("Upper lip up", "mouthUpperUp"),
        _both("Lower lip down", "mouthLowerDown"),
        _both("Press", "mouthPress"),
    ),
    "Eyes": (_both("Shut", "eyeBlink"), _both("Squint", "eyeSquint"), _both("Wide", "eyeWide")),
    "Brows, cheeks, nose": (
        _both("Brows down", "browDown"),
        _one("Inner brows up", "browInnerUp"),
        _both("Outer brows up", "browOuterUp"),
        _both("Cheeks up", "cheekSquint"),
        _both("Wrinkle the nose", "noseSneer"),
    ),
}
EACH: tuple[Slider, ...] = tuple(Slider(name, (name,)) for name in ARKIT_NAMES)

_PRESETS: dict[str, dict[str, float]] = {
    "Smile": {"smile": 0.8, "teeth": 0.2, "squint": 0.2},
    "Laugh": {"smile": 0.9, "teeth": 0.7, "jawOpen": 0.42, "squint": 0.6, "brows": 0.2},
    "Surprise": {"brows": 0.95, "wide": 0.85, "jawOpen": 0.4, "mouthFunnel": 0.25},
    "Stern": {"frown": 0.9, "squint": 0.25, "press": 0.4},
    "Kiss": {"mouthPucker": 0.85, "mouthFunnel": 0.15},
    "Wink": {"eyeBlinkLeft": 1.0, "smile": 0.45},
    "Eyes shut": {"blink": 1.0},
}


def presets() -> dict[str, dict[str, float]]:
    """ARKit coefficients of each preset, of the words that the built-in motions are written in."""
    return {label: _spread(words) for label, words in _PRESETS.items()}


def _spread(words: Mapping[str, float]) -> dict[str, float]:
    found: dict[str, float] = {}
    for word, strength in words.items():
        for name, share in GROUPS.get(word, {word: 1.0}).items():
            found[name] = round(min(1.0, found.get(name, 0.0) + share * strength), 2)
    return found


def groups() -> str:
    """All groups as fieldsets; every name alone behind a fold."""
    shown = "".join(_group(title, sliders) for title, sliders in SLIDERS.items())
    each = "".join(_row(slider, "each") for slider in EACH)
    return (
        f'{shown}<details class="each"><summary>All {len(EACH)} ARKit names, each side alone</summary>'
        f'<fieldset><legend>ARKit names</legend><p class="hint">Left and right are the person\'s own. '
        f"tongueOut moves nothing yet.</p>{each}</fieldset></details>"
    )


def _group(title: str, sliders: Iterable[Slider]) -> str:
    slug = "".join(letter for letter in title.lower() if letter.isalpha())
    rows = "".join(_row(slider, slug) for slider in sliders)
    return f"<fieldset><legend>{escape(title)}</legend>{rows}</fieldset>"


def _row(slider: Slider, group: str) -> str:
    name = f"edit-{group}-{slider.names[0]}"
    step = 0.5 if slider.unit else 0.01
    return (
        f'<div class="slider"><label for="{name}">{escape(slider.label)}</label>'
        f'<input type="range" id="{name}" min="{slider.low:g}" max="{slider.high:g}" step="{step}" value="0" '
        f'data-names="{" ".join(slider.names)}" data-unit="{slider.unit}" autocomplete="off">'
        f'<output for="{name}" aria-hidden="true">0{slider.unit}</output></div>'
    )


def preset_buttons() -> str:
    """A button for each preset, and one that puts all sliders back."""
    buttons = "".join(
        f"<button type=\"button\" data-preset='{escape(json.dumps(values))}'>{escape(label)}</button>"
        for label, values in presets().items()
    )
    return f'{buttons}<button type="button" class="reset">Reset</button>'
