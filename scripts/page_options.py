"""Writes web/app/src/api/options.ts: what the page knows of the options, so that each stays declared once in Python.

python scripts/page_options.py           writes the file
python scripts/page_options.py --check   fails if it is out of date
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from gioconda.limits import LIMITS
from gioconda.media.containers import PLAYABLE_SUFFIXES
from gioconda.motion.emotion import EMOTIONS
from gioconda.motion.templates import GROUPS, TEMPLATES, template
from gioconda.registry import motions
from gioconda.requests import Adapt, Animate, Edit, Speak, option_of
from gioconda.requests.kinds import PHOTOS, RIGHTS
from gioconda.requests.values import Choice, Number, Whole
from gioconda.runtime.easing import EASINGS
from gioconda.speech.voice import voices
from gioconda.types import ARKIT_NAMES
from gioconda.web.live.slider_values import LONGEST_SECONDS, MOST_KEYS

FILE = Path(__file__).parents[1] / "web" / "app" / "src" / "api" / "options.ts"

# ARKit names and groups of templates.py, with their strengths.
PRESETS: dict[str, dict[str, float]] = {
    "Smile": {"smile": 0.8, "teeth": 0.2, "squint": 0.2},
    "Laugh": {"smile": 0.9, "teeth": 0.7, "jawOpen": 0.42, "squint": 0.6, "brows": 0.2},
    "Surprise": {"brows": 0.95, "wide": 0.85, "jawOpen": 0.4, "mouthFunnel": 0.25},
    "Stern": {"frown": 0.9, "squint": 0.25, "press": 0.4},
    "Kiss": {"mouthPucker": 0.85, "mouthFunnel": 0.15},
    "Wink": {"eyeBlinkLeft": 1.0, "smile": 0.45},
    "Eyes shut": {"blink": 1.0},
}


def bounds(kind: type[Any], name: str) -> dict[str, float]:
    """The least value, the greatest and the default of an option."""
    option = option_of(kind, name)
    assert isinstance(option.value, (Number, Whole))
    return {"low": option.value.low, "high": option.value.high, "default": option.default}


def words(kind: type[Any], name: str) -> list[str]:
    """The values of an option that is one of several words; the page has those that are offered over HTTP."""
    value = option_of(kind, name).value
    assert isinstance(value, Choice)
    return list(value.served)


def languages() -> list[tuple[str, str]]:
    """Code and name of each language that the offline voice speaks, each name once, by name."""
    codes: dict[str, str] = {}
    for code, name in sorted(voices().items(), key=lambda item: len(item[0])):
        codes.setdefault(name, code)
    return [(code, name) for name, code in sorted(codes.items())]


def coefficients(groups: dict[str, float]) -> dict[str, float]:
    """The ARKit coefficients of a preset."""
    values: dict[str, float] = {}
    for word, strength in groups.items():
        for name, share in GROUPS.get(word, {word: 1.0}).items():
            values[name] = round(min(1.0, values.get(name, 0.0) + share * strength), 2)
    return values


def constants() -> dict[str, Any]:
    """Every exported constant by name."""
    return {
        "TEMPLATES": list(TEMPLATES),
        "TEMPLATE_SECONDS": {name: round(float(template(name).times[-1]), 2) for name in TEMPLATES},
        "EMOTIONS": list(EMOTIONS),
        "REGIONS": words(Animate, "region"),
        "FILM_FORMATS": [suffix.lstrip(".") for suffix in PLAYABLE_SUFFIXES],
        "MOTION_SUFFIXES": list(motions()),
        "STRENGTH": bounds(Animate, "strength"),
        "BLINK_RATE": bounds(Speak, "blink_rate"),
        "SIZE": {"low": option_of(Animate, "size").value.low, "high": LIMITS.output_side},
        "GAZE": bounds(Edit, "gaze_x"),
        "PURPOSES": words(Adapt, "purpose"),
        "RIGHTS_CHARACTERS": {"low": RIGHTS.least, "high": RIGHTS.most},
        "TEXT_CHARACTERS": LIMITS.text_characters,
        "PHOTOS": PHOTOS,
        "KEYFRAMES": {"most": MOST_KEYS, "seconds": LONGEST_SECONDS, "easings": EASINGS},
        "ARKIT_NAMES": list(ARKIT_NAMES),
        "PRESETS": {label: coefficients(groups) for label, groups in PRESETS.items()},
        "LANGUAGES": languages(),
    }


def text() -> str:
    """The file's text."""
    lines = ["// Written by scripts/page_options.py; the options are declared in src/gioconda/requests."]
    for name, value in constants().items():
        lines.append(f"export const {name} = {json.dumps(value, ensure_ascii=False)} as const;")
    return "\n".join(lines) + "\n"


def main() -> None:
    if "--check" not in sys.argv[1:]:
        FILE.parent.mkdir(parents=True, exist_ok=True)
        FILE.write_text(text(), encoding="utf-8")
    elif FILE.read_text(encoding="utf-8") != text():
        sys.exit(f"{FILE} is out of date; run python scripts/page_options.py")


if __name__ == "__main__":
    main()
