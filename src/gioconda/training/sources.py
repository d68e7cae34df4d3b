"""Find the clips and photos of a training set, and their people: by a table, or by one folder per person."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from gioconda.errors import InputError, MissingFileError

VIDEO_SUFFIXES = (".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v", ".mpg")
PHOTO_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
TABLE = "clips.tsv"
SPLITS = ("train", "dev")
# Every tenth person goes to the dev split
DEV_EVERY = 10


@dataclass(frozen=True)
class Clip:
    """One video of a person, or all photos of a person; `path` is then the first photo. split: train or dev."""

    path: Path
    name: str
    identity: str
    split: str
    photos: tuple[Path, ...] = ()


def find_clips(folder: Path, dev_share: float = 1 / DEV_EVERY, *, photos: bool = False) -> list[Clip]:
    """Find the clips of a folder.

    If the folder has a table `clips.tsv` (columns path, split, identity), its rows are the clips. If not, each
    subfolder is a person, and so is each video outside a subfolder; every tenth person is dev, and at least one of two.

    Args:
        folder: The folder of videos.
        dev_share: The share of people in the dev split, if there is no table.
        photos: Whether to find photos too. All photos of one person and split are one clip. Photos outside a
            subfolder are ignored.

    Returns:
        The clips, sorted by name.

    Raises:
        MissingFileError: `folder` is not a folder.
        InputError: The folder holds no clip, or its table lacks a column or a value.
    """
    if not folder.is_dir():
        raise MissingFileError(f"{folder} is not a folder; give one that holds videos")
    listed = _read_table(folder) if (folder / TABLE).is_file() else _scan_folders(folder, dev_share, photos)
    clips = [c for c in listed if not _is_photo(c.path)]
    if photos:
        clips += _albums(c for c in listed if _is_photo(c.path))
    if not clips:
        kinds, ends = (
            ("video or photo", (*VIDEO_SUFFIXES, *PHOTO_SUFFIXES)) if photos else ("video", VIDEO_SUFFIXES)
        )
        raise InputError(f"{folder} holds no {kinds}; expected {', '.join(ends)}")
    return clips


def _is_photo(path: Path) -> bool:
    return path.suffix.lower() in PHOTO_SUFFIXES


def _albums(photos: Iterable[Clip]) -> list[Clip]:
    """Join all photos of a person and a split to one clip."""
    own: dict[tuple[str, str], list[Path]] = {}
    for photo in photos:
        own.setdefault((photo.identity, photo.split), []).append(photo.path)
    return [
        Clip(paths[0], f"{identity}/photos/{split}", identity, split, tuple(paths))
        for (identity, split), paths in own.items()
    ]


def _read_table(folder: Path) -> list[Clip]:
    with (folder / TABLE).open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file, delimiter="\t")
        if not {"path", "split", "identity"} <= set(rows.fieldnames or ()):
            raise InputError(f"{folder / TABLE}: needs the columns path, split and identity")
        table = list(rows)
        bad = [k for k, r in enumerate(table, 2) if not (r["path"] and r["identity"] and r["split"])]
        if bad:
            raise InputError(f"{folder / TABLE}: row {bad[0]} lacks path, split or identity")
        return [Clip(folder / r["path"], r["path"], r["identity"], r["split"]) for r in table]


def _scan_folders(folder: Path, dev_share: float, photos: bool) -> list[Clip]:
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    paths = [p for p in files if p.suffix.lower() in VIDEO_SUFFIXES]
    if photos:
        paths += [p for p in files if _is_photo(p) and p.parent != folder]
    names = [p.relative_to(folder) for p in paths]
    people = [n.parts[0] if len(n.parts) > 1 else n.stem for n in names]
    held = held_back(people, round(1 / dev_share)) if dev_share > 0 else frozenset()
    return [
        Clip(path, name.as_posix(), person, "dev" if person in held else "train")
        for path, name, person in zip(paths, names, people, strict=True)
    ]


def held_back(people: Iterable[str], every: int = DEV_EVERY) -> frozenset[str]:
    """The dev people by default: every tenth person by name, and at least one of two."""
    names = sorted(set(people))
    every = min(every, len(names))
    return frozenset(names[every - 1 :: every]) if every > 1 else frozenset()


def balanced(clips: Iterable[Clip], most: int) -> list[Clip]:
    """Choose at most `most` clips of each person, evenly spread over that person's clips."""
    by_person: dict[str, list[Clip]] = {}
    for clip in clips:
        by_person.setdefault(clip.identity, []).append(clip)
    chosen = []
    for own in by_person.values():
        count = min(most, len(own))
        chosen += [own[(2 * k + 1) * len(own) // (2 * count)] for k in range(count)]
    return chosen
