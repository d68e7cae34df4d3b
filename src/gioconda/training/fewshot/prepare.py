"""Videos -> shards for the few-shot engine: tracks and crops faces, and writes 48 clips to a tar.

Shards are made in parallel, and a stopped run keeps those that are done. The bytes of a shard depend on the videos and
the options alone, not on the number of processes or machines.
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

# The most clips of a shard
MOST_CLIPS = 48
# Shards of a small set, so that all processors have work
FEW_SHARDS = 8
# The fewest clips to aim for in a shard
FEWEST_CLIPS = 4
# JPEG bytes per pixel that almost no picture exceeds
BYTES_PER_PIXEL = 0.9
# Bytes of a picture's landmarks and headers
LANDMARK_BYTES = 7000
# Smallest and largest side of the pictures, in pixels
SIZES = (64, 1024)
CRASHED = "the program that read it crashed twice"
_SIDECAR = re.compile(r"[a-z]+-\d{5,8}\.json")


@dataclass(frozen=True)
class FewshotPlan:
    """The options.

    Attributes:
        clips: The most clips per person.
        frames: The most frames per clip.
        size: Side of the pictures in pixels.
        crop: One of CROPS.
    """

    clips: int = 100
    frames: int = 16
    size: int = 256
    crop: str = "head"

    def check(self) -> None:
        """Raise InputError for impossible values."""
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
    """The content of a prepared folder.

    Attributes:
        clips: Number of clips.
        people: Number of people.
        frames: Number of pictures.
        shards: Number of shards.
        failures: A line for each clip that is left out.
        tried: Clips that this run processed; the others were done before.
        seconds: Duration of this run.
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
    """One shard to make.

    Attributes:
        out: The folder.
        name: The file's name without suffix.
        split: train or dev.
        takes: The takes to write.
        plan: The options.
        digest: SHA-256 of the options and of all takes of the run.
        crashing: Indices of takes that crash the process.
    """

    out: Path
    name: str
    split: str
    takes: tuple[Take, ...]
    plan: FewshotPlan
    digest: str
    crashing: frozenset[int] = frozenset()

    def __len__(self) -> int:
        return len(self.takes)

    @property
    def tar(self) -> Path:
        """Path of the shard."""
        return self.out / f"{self.name}.tar"

    @property
    def sidecar(self) -> Path:
        """Path of the list of its content, written when the shard is complete."""
        return self.out / f"{self.name}.json"

    @property
    def marker(self) -> Path:
        """Path of the file with the index of the take in progress."""
        return self.out / f"{self.name}.at"

    def without(self, index: int) -> Shard:
        """The same shard without one take."""
        return replace(self, crashing=self.crashing | {index})


def prepare(
    source: Path,
    out: Path,
    plan: FewshotPlan,
    *,
    processes: int | None = None,
    ray: str | None = None,
    progress: Callable[[str, int, int], None] = lambda *_: None,
) -> Done:
    """Prepare all clips; keep shards that are already done.

    Args:
        source: The folder of videos.
        processes: Processes at once; None for one per core.
        ray: Address of a Ray cluster (`workers.over_ray`).
        progress: Called with the stage, the clips done and the clips in all.

    Returns:
        The content of `out`.

    Raises:
        MissingFileError: `source` is not a folder.
        InputError: `out` was prepared with other options or videos, or no clip can be prepared.
        OutputError: `out` cannot be written.
    """
    plan.check()
    begin = time.monotonic()
    takes, failures = find_takes(source.resolve())
    jobs = _dealt(_chosen(source, takes, plan), out.resolve(), plan)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise media.output_error(error, out) from None
    _refuse_others(out, plan, jobs[0].digest)
    todo = [job for job in jobs if not _is_done(job)]
    for job in todo:
        job.marker.unlink(missing_ok=True)
    watch = _watching(out, sum(map(len, todo)), progress)
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


def _chosen(source: Path, takes: Sequence[Take], plan: FewshotPlan) -> list[Take]:
    """Choose takes of the known splits, at most `plan.clips` of each person, grouped by person."""
    by_name = {take.clip.name: take for take in takes}
    clips = [take.clip for take in by_name.values()]
    chosen = [
        by_name[clip.name]
        for split in SPLITS
        for clip in balanced([c for c in clips if c.split == split], plan.clips)
    ]
    if not chosen:
        raise InputError(f"{source}: no clip has the split {' or '.join(SPLITS)}")
    return chosen


def _dealt(takes: Sequence[Take], out: Path, plan: FewshotPlan) -> list[Shard]:
    """Distribute takes to shards, train before dev, so that no shard exceeds the size limit."""
    rows = [[t.clip.name, t.clip.identity, t.clip.split, t.video, t.cropped] for t in takes]
    digest = hashlib.sha256(json.dumps([_options(plan), rows]).encode()).hexdigest()
    frame = plan.size * plan.size * BYTES_PER_PIXEL + LANDMARK_BYTES
    fits = max(1, int(LARGEST / (plan.frames * frame)))
    jobs = []
    for split in SPLITS:
        own = [take for take in takes if take.clip.split == split]
        share = max(FEWEST_CLIPS, -(-len(own) // FEW_SHARDS))
        size = min(MOST_CLIPS, fits, share)
        for k in range(0, len(own), size):
            part = tuple(own[k : k + size])
            jobs.append(Shard(out, f"{split}-{k // size:05d}", split, part, plan, digest))
    return jobs


def _options(plan: FewshotPlan) -> dict[str, Any]:
    return {"version": VERSION, "quality": QUALITY, **asdict(plan)}


def _refuse_others(out: Path, plan: FewshotPlan, digest: str) -> None:
    """Raise InputError if the folder has shards of other videos or options."""
    options = _options(plan)
    for path in sorted(p for p in out.iterdir() if _SIDECAR.fullmatch(p.name)):
        sidecar = read_json(path)
        stored = sidecar.get("options")
        stored = stored if isinstance(stored, dict) else {}
        other = [
            f"{name} {stored.get(name)}, not {value}"
            for name, value in options.items()
            if stored.get(name) != value
        ]
        if other or sidecar.get("asked") != digest:
            how = "with " + " and ".join(other) if other else "from other videos"
            raise InputError(f"{out} was prepared {how}; choose another folder, or delete this one")


def _is_done(job: Shard) -> bool:
    if not (job.sidecar.is_file() and job.tar.is_file()):
        return False
    return bool(read_json(job.sidecar).get("bytes") == job.tar.stat().st_size)


def _holds(path: Path, value: Any) -> bool:
    return path.is_file() and read_json(path) == json.loads(json.dumps(value))


def _watching(out: Path, total: int, progress: Callable[[str, int, int], None]) -> workers.Watch:
    """Report progress by the clips of complete shards and by the markers of the others."""
    whole, shown = 0, 0

    def watch(finished: int) -> None:
        nonlocal whole, shown
        whole += finished
        shown = max(shown, min(total, whole + sum(workers.reached(p) or 0 for p in out.glob("*.at"))))
        progress("prepare", shown, total)

    return watch


def make_shard(job: Shard) -> None:
    """Make one shard and the list of its content; make nothing if the run is stopping."""
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
    options = {"asked": job.digest, "options": _options(job.plan)}
    write_json(job.sidecar, {**options, **content, "failures": failures})
    job.marker.unlink(missing_ok=True)


def _add(writer: ShardWriter, reel: tracks.Reel, job: Shard, index: int) -> str | None:
    """Add one take to a shard; return the reason if it is left out, else None."""
    take, plan = job.takes[index], job.plan
    try:
        pictures, landmarks = tracks.cropped(reel, take, plan.frames, plan.crop, plan.size)
    # Libraries raise any type on damaged videos, which must not end the run
    except Exception as error:
        text = str(error).replace(str(take.clip.path), take.clip.path.name)
        text = text if take.boxes is None else text.replace(str(take.boxes), take.boxes.name)
        return text if isinstance(error, GiocondaError) else f"{type(error).__name__}: {text}"
    clip = ShardClip(
        f"{job.name}-{index:03d}", take.clip.name, take.clip.identity, take.video, job.split, len(pictures)
    )
    about = {"size": plan.size, "crop": plan.crop, "margin": tracks.margin_of(plan.crop)}
    return None if writer.add(clip, pictures, landmarks, about) else "its shard is full"


def _manifest(
    jobs: Sequence[Shard], plan: FewshotPlan, failures: Sequence[tuple[str, str]]
) -> dict[str, Any]:
    sidecars = [read_json(job.sidecar) for job in jobs]
    return {
        **_options(plan),
        "margin": tracks.margin_of(plan.crop),
        "shards": [
            {key: sidecar[key] for key in ("file", "split", "bytes", "clips")} for sidecar in sidecars
        ],
        "failures": [*map(list, failures), *(row for sidecar in sidecars for row in sidecar["failures"])],
    }


def _summary(manifest: dict[str, Any], tried: int, seconds: float) -> Done:
    clips = [clip for shard in manifest["shards"] for clip in shard["clips"]]
    failures = [f"{name}: {reason}" for name, reason in manifest["failures"]]
    people, frames = len({clip["identity"] for clip in clips}), sum(clip["count"] for clip in clips)
    return Done(len(clips), people, frames, len(manifest["shards"]), failures, tried, seconds)
