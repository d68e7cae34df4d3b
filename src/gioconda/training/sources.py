"""Which clips to learn from, and whose they are: a table of clips, or a folder for each person."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from gioconda.errors import InputError, MissingFileError

VIDEO_SUFFIXES = (".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v", ".mpg")
TABLE = "clips.tsv"
SPLITS = ("train", "dev")
DEV_EVERY = 10  # people


@dataclass(frozen=True)
class Clip:
    """One video of one person; split: train or dev."""

    path: Path
    name: str
    identity: str
    split: str


def find_clips(folder: Path, dev_share: float = 1 / DEV_EVERY) -> list[Clip]:
    """The clips of a folder, sorted by name.

    With a table `clips.tsv` (columns path, split, identity) its rows count. Without one, each subfolder is a
    person; a video that lies in no subfolder is a person by itself; every tenth person is dev, and one at least
    where there are two.
    """
    if not folder.is_dir():
        raise MissingFileError(f"{folder} is not a folder; give one that holds videos")
    clips = _listed(folder) if (folder / TABLE).is_file() else _found(folder, dev_share)
    if not clips:
        raise InputError(f"{folder} holds no video; expected {', '.join(VIDEO_SUFFIXES)}")
    return clips


def _listed(folder: Path) -> list[Clip]:
    with (folder / TABLE).open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file, delimiter="\t")
        if not {"path", "split", "identity"} <= set(rows.fieldnames or ()):
            raise InputError(f"{folder / TABLE}: needs the columns path, split and identity")
        table = list(rows)
        bad = [k for k, r in enumerate(table, 2) if not (r["path"] and r["identity"] and r["split"])]
        if bad:
            raise InputError(f"{folder / TABLE}: row {bad[0]} lacks path, split or identity")
        return [Clip(folder / r["path"], r["path"], r["identity"], r["split"]) for r in table]


def _found(folder: Path, dev_share: float) -> list[Clip]:
    paths = sorted(p for p in folder.rglob("*") if p.suffix.lower() in VIDEO_SUFFIXES)
    names = [p.relative_to(folder) for p in paths]
    people = [n.parts[0] if len(n.parts) > 1 else n.stem for n in names]
    held = held_back(people, round(1 / dev_share)) if dev_share > 0 else frozenset()
    return [
        Clip(path, name.as_posix(), person, "dev" if person in held else "train")
        for path, name, person in zip(paths, names, people, strict=True)
    ]


def held_back(people: Iterable[str], every: int = DEV_EVERY) -> frozenset[str]:
    """Who is dev where nobody says so: by name each tenth person, one at least of two."""
    names = sorted(set(people))
    every = min(every, len(names))
    return frozenset(names[every - 1 :: every]) if every > 1 else frozenset()


def balanced(clips: Iterable[Clip], most: int) -> list[Clip]:
    """At most `most` clips of each person, evenly spread over that person's."""
    by_person: dict[str, list[Clip]] = {}
    for clip in clips:
        by_person.setdefault(clip.identity, []).append(clip)
    chosen = []
    for own in by_person.values():
        count = min(most, len(own))
        chosen += [own[(2 * k + 1) * len(own) // (2 * count)] for k in range(count)]
    return chosen
