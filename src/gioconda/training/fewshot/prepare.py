"""Videos -> shards for the few-shot engine: faces are tracked, cut out, and written 48 clips to a tar.

Shards are what is made in parallel and what a run that was stopped keeps. What a shard holds follows from the videos
and the options alone, to the byte, however many processes or machines make it.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import cv2

from gioconda import media
from gioconda.errors import GiocondaError, InputError
from gioconda.training.fewshot import tracks, workers
from gioconda.training.fewshot.shards import (
    CROPS,
    LARGEST,
    MANIFEST,
    QUALITY,
    VERSION,
    ShardClip,
    ShardWriter,
    read_json,
    write_json,
)
from gioconda.training.sources import SPLITS, balanced
from gioconda.training.voxceleb import Take, find_takes

MOST_CLIPS = 48  # of a shard
FEW_SHARDS = 8  # a small set is dealt to so many, so that all processors have work
FEWEST_CLIPS = 4
BYTES_PER_PIXEL = 0.9  # of JPEGs, at most, as good as always
LANDMARK_BYTES = 7000  # a picture, with headers
SIZES = (64, 1024)
CRASHED = "the program that read it crashed twice"
_SIDECAR = re.compile(r"[a-z]+-\d{5,8}\.json")


@dataclass(frozen=True)
class Plan:
    """What to take: clips a person, frames a clip, side of the pictures in pixels, crop (one of CROPS)."""

    clips: int = 100
    frames: int = 16
    size: int = 256
    crop: str = "head"

    def check(self) -> None:
        """InputError for what cannot be."""
        if self.clips < 1:
            raise InputError(f"{self.clips} clips of a person cannot be taken; give at least 1")
        if not tracks.LEAST_FRAMES <= self.frames <= tracks.MOST_TRACKED:
            raise InputError(
                f"frames {self.frames}: give {tracks.LEAST_FRAMES} to {tracks.MOST_TRACKED} of a clip"
            )
        if not SIZES[0] <= self.size <= SIZES[1]:
            raise InputError(f"size {self.size}: give {SIZES[0]} to {SIZES[1]} pixels")
        if self.crop not in CROPS:
            raise InputError(f"crop {self.crop!r} is not known; choose one of {', '.join(CROPS)}")


@dataclass(frozen=True)
class Done:
    """What a prepared folder holds: clips, people, frames, shards; a line for each clip that was left out.

    tried: clips that this run looked at, in `seconds`; others were there already.
    """

    clips: int
    people: int
    frames: int
    shards: int
    failures: list[str]
    tried: int
    seconds: float


@dataclass(frozen=True)
class Shard:
    """One shard to make: the folder, its name without suffix, split, takes, those that crash, plan, digest."""

    out: Path
    name: str
    split: str
    takes: tuple[Take, ...]
    plan: Plan
    asked: str
    crashing: frozenset[int] = frozenset()

    def __len__(self) -> int:
        return len(self.takes)

    @property
    def tar(self) -> Path:
        """The shard itself."""
        return self.out / f"{self.name}.tar"

    @property
    def sidecar(self) -> Path:
        """What it holds, written once it is whole."""
        return self.out / f"{self.name}.json"

    @property
    def marker(self) -> Path:
        """Where the index of the take at work is told."""
        return self.out / f"{self.name}.at"

    def without(self, index: int) -> Shard:
        """The same shard, but for one take."""
        return replace(self, crashing=self.crashing | {index})


def prepare(
    source: Path,
    out: Path,
    plan: Plan,
    *,
    processes: int | None = None,
    ray: str | None = None,
    report: Callable[[str, int, int], None] = lambda *_: None,
) -> Done:
    """Prepare all clips below `source` into the folder `out`; shards that are there already are kept.

    processes: how many at once; one a core if not said. ray: address of a cluster (`workers.over_ray`).
    Raises InputError where `out` was prepared otherwise, or where no clip can be prepared.
    """
    plan.check()
    begin = time.monotonic()
    takes, failures = find_takes(source.resolve())
    jobs = _dealt(_chosen(source, takes, plan), out.resolve(), plan)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise media.output_error(error, out) from None
    _refuse_others(out, plan, jobs[0].asked)
    todo = [job for job in jobs if not _is_done(job)]
    for job in todo:
        job.marker.unlink(missing_ok=True)
    watch = _watching(out, sum(map(len, todo)), report)
    if todo and ray is not None:
        workers.over_ray(todo, make_shard, ray, processes, watch)
    elif todo:
        workers.in_processes(todo, make_shard, processes or os.cpu_count() or 1, watch)
    manifest = _manifest(jobs, plan, failures)
    if not any(shard["clips"] for shard in manifest["shards"]):
        name, reason = manifest["failures"][0]
        raise InputError(f"{source}: no clip could be prepared; the first is {name}: {reason}")
    if todo or not _holds(out / MANIFEST, manifest):
        write_json(out / MANIFEST, manifest)
    return _summary(manifest, sum(map(len, todo)), time.monotonic() - begin)


def _chosen(source: Path, takes: Sequence[Take], plan: Plan) -> list[Take]:
    """Takes of the splits in use, at most so many of each person, those of a person together."""
    by_name = {take.clip.name: take for take in takes}
    clips = [take.clip for take in by_name.values()]
    chosen = [
        by_name[clip.name]
        for split in SPLITS
        for clip in balanced([c for c in clips if c.split == split], plan.clips)
    ]
    if not chosen:
        raise InputError(f"{source}: no clip is of the split {' or '.join(SPLITS)}")
    return chosen


def _dealt(takes: Sequence[Take], out: Path, plan: Plan) -> list[Shard]:
    """The shards to make, train before dev; so many takes to each that it surely stays small enough."""
    told = [[t.clip.name, t.clip.identity, t.clip.split, t.video, t.cropped] for t in takes]
    asked = hashlib.sha256(json.dumps([_options(plan), told]).encode()).hexdigest()
    frame = plan.size * plan.size * BYTES_PER_PIXEL + LANDMARK_BYTES
    fits = max(1, int(LARGEST / (plan.frames * frame)))
    jobs = []
    for split in SPLITS:
        own = [take for take in takes if take.clip.split == split]
        wanted = max(FEWEST_CLIPS, -(-len(own) // FEW_SHARDS))
        size = min(MOST_CLIPS, fits, wanted)
        for k in range(0, len(own), size):
            part = tuple(own[k : k + size])
            jobs.append(Shard(out, f"{split}-{k // size:05d}", split, part, plan, asked))
    return jobs


def _options(plan: Plan) -> dict[str, Any]:
    return {"version": VERSION, "quality": QUALITY, **asdict(plan)}


def _refuse_others(out: Path, plan: Plan, asked: str) -> None:
    """InputError where the folder holds shards of other videos or options."""
    wanted = _options(plan)
    for path in sorted(p for p in out.iterdir() if _SIDECAR.fullmatch(p.name)):
        found = read_json(path)
        had = found.get("options")
        had = had if isinstance(had, dict) else {}
        other = [
            f"{name} {had.get(name)}, not {value}" for name, value in wanted.items() if had.get(name) != value
        ]
        if other or found.get("asked") != asked:
            how = "with " + " and ".join(other) if other else "from other videos"
            raise InputError(f"{out} was prepared {how}; choose another folder, or delete this one")


def _is_done(job: Shard) -> bool:
    if not (job.sidecar.is_file() and job.tar.is_file()):
        return False
    return bool(read_json(job.sidecar).get("bytes") == job.tar.stat().st_size)


def _holds(path: Path, value: Any) -> bool:
    return path.is_file() and read_json(path) == json.loads(json.dumps(value))


def _watching(out: Path, total: int, report: Callable[[str, int, int], None]) -> workers.Watch:
    """Reports clips: those of whole shards, and those that markers tell of."""
    whole, shown = 0, 0

    def watch(finished: int) -> None:
        nonlocal whole, shown
        whole += finished
        shown = max(shown, min(total, whole + sum(workers.reached(p) or 0 for p in out.glob("*.at"))))
        report("prepare", shown, total)

    return watch


def make_shard(job: Shard) -> None:
    """Make one shard and say beside it what it holds; nothing where the run is being stopped."""
    cv2.setNumThreads(1)
    for stale in job.out.glob(f".{job.name}.*.part.*"):
        stale.unlink(missing_ok=True)
    try:
        _write(job)
    except GiocondaError:
        raise
    except OSError as error:
        raise media.output_error(error, job.tar) from None


def _write(job: Shard) -> None:
    failures: list[list[str]] = []
    writer, reel = ShardWriter(job.tar), tracks.Reel()
    try:
        for index, take in enumerate(job.takes):
            if workers.stopped():
                return
            job.marker.write_text(str(index), encoding="ascii")
            reason = CRASHED if index in job.crashing else _add(writer, reel, job, index)
            if reason is not None:
                failures.append([take.clip.name, reason])
        size = writer.publish()
    finally:
        reel.close()
        writer.discard()
    content = {"file": job.tar.name, "split": job.split, "bytes": size, "clips": writer.rows}
    options = {"asked": job.asked, "options": _options(job.plan)}
    write_json(job.sidecar, {**options, **content, "failures": failures})
    job.marker.unlink(missing_ok=True)


def _add(writer: ShardWriter, reel: tracks.Reel, job: Shard, index: int) -> str | None:
    """Add one take to a shard; why it was left out, or None."""
    take, plan = job.takes[index], job.plan
    try:
        pictures, landmarks = tracks.cropped(reel, take, plan.frames, plan.crop, plan.size)
    except Exception as error:  # libraries may raise anything on damaged footage, which must not end the run
        text = str(error).replace(str(take.clip.path), take.clip.path.name)
        text = text if take.boxes is None else text.replace(str(take.boxes), take.boxes.name)
        return text if isinstance(error, GiocondaError) else f"{type(error).__name__}: {text}"
    clip = ShardClip(
        f"{job.name}-{index:03d}", take.clip.name, take.clip.identity, take.video, job.split, len(pictures)
    )
    told = {"size": plan.size, "crop": plan.crop, "margin": tracks.margin_of(plan.crop)}
    return None if writer.add(clip, pictures, landmarks, told) else "its shard is full"


def _manifest(jobs: Sequence[Shard], plan: Plan, failures: Sequence[tuple[str, str]]) -> dict[str, Any]:
    found = [read_json(job.sidecar) for job in jobs]
    return {
        **_options(plan),
        "margin": tracks.margin_of(plan.crop),
        "shards": [{key: one[key] for key in ("file", "split", "bytes", "clips")} for one in found],
        "failures": [*map(list, failures), *(row for one in found for row in one["failures"])],
    }


def _summary(manifest: dict[str, Any], tried: int, seconds: float) -> Done:
    clips = [clip for shard in manifest["shards"] for clip in shard["clips"]]
    failures = [f"{name}: {reason}" for name, reason in manifest["failures"]]
    people, frames = len({clip["identity"] for clip in clips}), sum(clip["count"] for clip in clips)
    return Done(len(clips), people, frames, len(manifest["shards"]), failures, tried, seconds)
