"""Settings of a training run: a frozen dataclass, a preset that holds only differences, and --key value on top."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from math import isfinite
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from gioconda.errors import InputError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

# Settings that are paths on the training machine; exported files leave them out for privacy
PLACES = ("start", "features", "vgg19_file", "vggface_file", "ear")

C = TypeVar("C")
PRESETS = Path(__file__).parent / "presets"
# The largest integer up to which every integer has an exact float
_LARGEST = 2**53


def load(kind: type[C], preset: str, changes: Mapping[str, str] | None = None) -> C:
    """Load the settings of a run: the defaults, then the preset, then the changes.

    Args:
        kind: The dataclass of the settings.
        preset: The name of a packaged preset, or the path of a .toml file.
        changes: Values by name, as the user typed them.

    Returns:
        An instance of `kind`.

    Raises:
        InputError: The preset does not exist or is not readable, a key is unknown, or a value has the wrong type.
    """
    known = get_type_hints(kind)
    values = {key: _checked(key, value, known) for key, value in _read(preset).items()}
    for key, text in (changes or {}).items():
        name = key.replace("-", "_")
        values[name] = _parsed(name, text, known)
    return kind(**values)


def settings_of(train: Callable[..., Any]) -> Any:
    """The dataclass of the parameter `settings` of a training's function `train`."""
    return get_type_hints(train)["settings"]


def _read(preset: str) -> dict[str, Any]:
    path = Path(preset) if preset.endswith(".toml") else PRESETS / f"{preset}.toml"
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in PRESETS.glob("*.toml")))
        raise InputError(f"unknown preset {preset!r}; use a .toml file or one of {known}")
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    # ValueError is also tomllib's own error; numbers that are too long and deep brackets raise the others
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is not readable as TOML: {error}") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from None


def _checked(key: str, value: Any, known: Mapping[str, Any]) -> Any:
    kind = _kind(key, known)
    if isinstance(value, int) and abs(value) > _LARGEST:
        raise InputError(f"{key} is too large a number")
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if not isinstance(value, kind) or (kind is not bool and isinstance(value, bool)):
        raise InputError(f"{key} = {value!r} is not of type {kind.__name__}")
    if isinstance(value, float) and not isfinite(value):
        raise InputError(f"{key} = {value} is not a finite number")
    return value


def _kind(key: str, known: Mapping[str, Any]) -> type:
    if key not in known:
        raise InputError(f"unknown key {key!r}; known: {', '.join(sorted(known))}")
    kind = known[key]
    assert isinstance(kind, type)
    return kind


def _parsed(key: str, text: str, known: Mapping[str, Any]) -> Any:
    kind = _kind(key, known)
    try:
        if kind is bool:
            return {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}[
                text.lower()
            ]
        value = kind(text)
        if isinstance(value, float) and not isfinite(value):
            raise ValueError(text)
        return value
    except (ValueError, KeyError):
        raise InputError(f"--{key} {text}: not a value of type {kind.__name__}") from None


def pairs(words: Sequence[str]) -> dict[str, str]:
    """Read options as typed, `--key value` or `--key=value`, into a mapping; InputError for anything else."""
    values: dict[str, str] = {}
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if not word.startswith("--") or len(word) < 3:
            raise InputError(f"{word!r}: expected --key value")
        key, equals, value = word[2:].partition("=")
        if not equals:
            if not rest:
                raise InputError(f"--{key} needs a value")
            value = rest.pop(0)
        values[key] = value
    return values


def as_dict(settings: Any) -> dict[str, Any]:
    """The settings as plain values by name, for logs and checkpoints."""
    return dataclasses.asdict(settings)


def export_header(settings: Mapping[str, Any], steps: int) -> dict[str, str]:
    """The header of an exported network: the settings of its run without PLACES, as JSON, and the steps done."""
    kept = {name: value for name, value in settings.items() if name not in PLACES}
    return {"settings": json.dumps(kept), "steps": str(steps)}
