"""A job as a value: kind, files by role, options by the names of the Python API. Servers and batches carry it out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from gioconda.errors import InputError

if TYPE_CHECKING:
    from gioconda.pipeline import Result
    from gioconda.sources import Progress

Roles: TypeAlias = Mapping[str, tuple[int, int]]

PHOTOS = 8  # further pictures of the person, at most

_PICTURED: Roles = {"portrait": (1, 1), "photo": (0, PHOTOS)}
ROLES: Mapping[str, Roles] = {
    "animate": {**_PICTURED, "motion": (0, 1)},
    "speak": {**_PICTURED, "audio": (0, 1), "bank": (0, 1)},
    "edit": {"portrait": (1, 1)},
}
"""The files that each kind of job takes: role, and how many at least and at most."""


@dataclass(frozen=True)
class Order:
    """What is to be made. options: as `pipeline.animate`, `speaking.speak` or `pipeline.edit` call them.

    Of "animate", the option `template` stands for a file `motion`; of "speak", `text` for a file `audio`.
    """

    kind: str
    files: Mapping[str, Sequence[Path]]
    options: Mapping[str, Any] = field(default_factory=dict)

    def one(self, role: str) -> Path:
        """The file of a role; InputError if it is missing."""
        found = self.files.get(role, ())
        if not found:
            raise InputError(f"the file {role!r} is missing")
        return found[0]


def carry_out(order: Order, out: Path, report: Progress) -> Result:
    """Write the order's result to `out`. Raises what the pipeline raises, and whatever `report` does."""
    from gioconda import pipeline, speaking

    options = dict(order.options)
    if order.kind == "edit":
        return pipeline.edit(order.one("portrait"), out, **options)
    options |= {"photos": order.files.get("photo", ()), "progress": report}
    if order.kind == "animate":
        template = options.pop("template", None)
        return pipeline.animate(order.one("portrait"), template or order.one("motion"), out, **options)
    audio = order.one("audio") if options.get("text") is None else None
    bank = next(iter(order.files.get("bank", ())), None)
    return speaking.speak(order.one("portrait"), out, audio=audio, bank=bank, **options)
