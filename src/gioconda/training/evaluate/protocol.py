"""Who is shown what: each person's shots, and the frames held out; all of it follows from a seed.

After Zakharov et al., ICCV 2019: unseen people, 32 held-out frames each, shots of the same person. Shots and held-out
frames come from different clips where a person has two, so room, clothes and light may differ between them.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Collection, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from gioconda import face, media
from gioconda.ahead import run_ahead
from gioconda.engines.fewshot import crop
from gioconda.errors import GiocondaError, InputError
from gioconda.motion.from_faces import faces_to_motion
from gioconda.motion.retarget import picture_points
from gioconda.provenance import Ingredient
from gioconda.training.evaluate.portraits import as_portrait
from gioconda.training.sources import TABLE, Clip, find_clips
from gioconda.types import Face, FloatArray, Image, Portrait

RUN = 8  # consecutive frames, so that flicker can be seen
HELD_CLIPS = 4  # that held-out frames are taken from, where a person has twice as many
MOST_FRAMES = 1500  # of a clip, from its start, that are looked at
GOLDEN = 0.6180339887  # multiples of it, modulo 1, are spread evenly however many are taken

Step = Callable[[str], None]


@dataclass(frozen=True)
class Plan:
    """How much is asked: shots (each a T), held-out frames a person, side of the compared square, seed."""

    shots: tuple[int, ...] = (1, 8, 32)
    frames: int = 32
    size: int = 128
    seed: int = 0


@dataclass(frozen=True, eq=False)
class Stretch:
    """Held-out frames of one clip, one after the other.

    truth: n pictures (size, size, 3) uint8. points: (n, 478, 3) float32 in their pixels. expression: (n, 52).
    times: (n,) seconds. neutral: (478, 3), the person's face at rest in that clip, canonical frame.
    """

    clip: str
    truth: tuple[Image, ...]
    points: FloatArray
    expression: FloatArray
    times: tuple[float, ...]
    neutral: FloatArray


@dataclass(frozen=True, eq=False)
class Person:
    """Shots, nested: the first T are those of T shots; held-out frames; whether one clip had to give both."""

    name: str
    shots: tuple[Portrait, ...]
    held: tuple[Stretch, ...]
    one_clip: bool
    inputs: tuple[Ingredient, ...]

    @property
    def frames(self) -> int:
        """How many frames are held out."""
        return sum(len(stretch.truth) for stretch in self.held)


@dataclass(frozen=True, eq=False)
class _Track:
    """A clip's faces, frame by frame, with times in seconds and the picture's (width, height)."""

    clip: Clip
    faces: tuple[Face | None, ...]
    times: tuple[float, ...]
    size: tuple[int, int]

    def seen(self, low: float = 0.0, high: float = 1.0) -> list[int]:
        """Frames between two shares of the clip that show a face with both eyes."""
        count, shape = len(self.faces), self.size[::-1]
        inside = range(round(low * count), round(high * count))
        return [k for k in inside if (one := self.faces[k]) is not None and face.shows_both_eyes(one, shape)]


def find_people(folder: Path, names: Sequence[str] = ()) -> dict[str, list[Clip]]:
    """The clips of each person below `folder`: the dev rows of its clips.tsv, or every folder's; names: only these.

    Raises InputError where there is none, or no such person.
    """
    clips = find_clips(folder)
    if (folder / TABLE).is_file():
        clips = [clip for clip in clips if clip.split == "dev"]
        if not clips:
            raise InputError(f"{folder / TABLE}: no row is of the split dev, whose people are evaluated")
    people: dict[str, list[Clip]] = {}
    for clip in clips:
        people.setdefault(clip.identity, []).append(clip)
    for name in names:
        if name not in people:
            known = ", ".join(sorted(people)[:30])
            raise InputError(
                f"--people {name}: nobody to evaluate is called so in {folder}; there are {known}"
            )
    return {name: people[name] for name in dict.fromkeys(names)} if names else people


def gather(name: str, clips: Sequence[Clip], plan: Plan, failures: list[str], step: Step) -> Person | None:
    """One person, read from the clips; None where too little can be used. failures: gets a line for each clip lost."""
    random = np.random.default_rng((plan.seed, zlib.crc32(name.encode())))
    enough = HELD_CLIPS + max(HELD_CLIPS, *plan.shots)
    tracks: list[_Track] = []
    for k in random.permutation(len(clips)):
        if len(tracks) == enough:
            break
        try:
            tracks.append(_track(clips[int(k)], step))
        except GiocondaError as error:
            failures.append(f"{clips[int(k)].name}: {error}")
    count = min(HELD_CLIPS, len(tracks) // 2)
    held, given = (tracks[:count], tracks[count:]) if count else (tracks, tracks)
    try:
        found = _held_out(held, plan, 0.0 if count else 2 / 3, random)
        places = _spread_shots(given, max(plan.shots), 1.0 if count else 1 / 3, random)
        shots = _portraits(places, plan.size)
    except GiocondaError as error:
        failures.append(f"{name}: {error}")
        return None
    if not found or not shots:
        failures.append(f"{name}: too few frames with a face for shots and held-out frames; left out")
        return None
    used = [(t, "motion") for t in held] + [(t, "portrait") for t in given[: len(shots)]]
    inputs = tuple(_ingredient(track.clip.path, role) for track, role in used)
    return Person(name, shots, found, not count, inputs)


def _track(clip: Clip, step: Step) -> _Track:
    """The largest face of a clip, followed; InputError where it is lost in most frames."""
    faces: list[Face | None] = []
    times, size = [], (0, 0)
    with face.FaceTracker() as tracker, closing(run_ahead(media.read_frames(clip.path))) as frames:
        for frame in islice(frames, MOST_FRAMES):
            faces.append(next(iter(tracker.process(frame.image)), None))
            times.append(frame.time)
            size = (frame.image.shape[1], frame.image.shape[0])
            step("track")
    track = _Track(clip, tuple(faces), tuple(times), size)
    if 2 * len(track.seen()) <= len(faces):
        raise InputError("no face, or one that is lost in most frames")
    return track


def _spread_shots(
    tracks: Sequence[_Track], count: int, share: float, random: np.random.Generator
) -> list[tuple[_Track, int]]:
    """Up to `count` frames to show, clip after clip in turn; within each, the first few lie far apart."""
    phases = random.random(len(tracks))
    orders = [
        sorted(track.seen(0.0, share), key=lambda k, phase=phase: (phase + k * GOLDEN) % 1)  # type: ignore[misc]
        for track, phase in zip(tracks, phases, strict=True)
    ]
    longest = max(map(len, orders), default=0)
    turns = (
        (track, order[k])
        for k in range(longest)
        for track, order in zip(tracks, orders, strict=True)
        if k < len(order)
    )
    return list(islice(turns, count))


def _portraits(places: Sequence[tuple[_Track, int]], size: int) -> tuple[Portrait, ...]:
    """The chosen frames as portraits, in their order."""
    images: dict[tuple[int, int], Image] = {}
    for track in {id(t): t for t, _ in places}.values():
        wanted = [k for t, k in places if t is track]
        images |= {(id(track), k): image for k, image in _images(track.clip.path, wanted).items()}
    made = []
    with face.PersonMasker() as masker:
        for track, k in places:
            one = track.faces[k]
            assert one is not None
            made.append(as_portrait(images[id(track), k], one, size, masker, f"{track.clip.name}:{k}"))
    return tuple(made)


def _held_out(
    tracks: Sequence[_Track], plan: Plan, start: float, random: np.random.Generator
) -> tuple[Stretch, ...]:
    """Stretches of up to RUN frames, dealt to the clips in turn; start: share of a clip before which none lies."""
    lengths = [min(RUN, plan.frames - k) for k in range(0, plan.frames, RUN)]
    found = []
    for k, track in enumerate(tracks):
        places = _runs(track, start, lengths[k :: len(tracks)], random)
        if places:
            found += _stretches(track, places, plan.size)
    return tuple(found)


def _runs(track: _Track, start: float, lengths: Sequence[int], random: np.random.Generator) -> list[range]:
    """One run of consecutive frames with a face for each length, spread over the clip; fewer where it is short."""
    seen = set(track.seen(start))
    first, end = round(start * len(track.faces)), len(track.faces)
    if not lengths or not seen:
        return []
    longest = min(lengths[0], end - first)
    count = min(len(lengths), (end - first) // longest)
    edges = np.linspace(first, end, count + 1).astype(int)
    runs = []
    for low, high, wanted in zip(edges[:-1], edges[1:], lengths, strict=False):
        length = min(wanted, longest)
        starts = [k for k in range(low, high - length + 1) if seen.issuperset(range(k, k + length))]
        if starts:
            at = int(random.choice(starts))
            runs.append(range(at, at + length))
    return runs


def _stretches(track: _Track, runs: Sequence[range], size: int) -> list[Stretch]:
    """The runs' frames cut to squares, with the motion that the whole clip tells."""
    motion = faces_to_motion(track.faces, track.times, track.size)
    assert motion.neutral is not None
    images = _images(track.clip.path, [k for run in runs for k in run])
    found = []
    for run in runs:
        points = np.stack([picture_points(motion, k) for k in run])
        square = crop.head_square(points)
        found.append(
            Stretch(
                track.clip.name,
                tuple(crop.cut(images[k], square, size) for k in run),
                crop.into(points, square, size),
                motion.expression[run.start : run.stop],
                tuple(track.times[k] for k in run),
                motion.neutral,
            )
        )
    return found


def _images(path: Path, wanted: Collection[int]) -> dict[int, Image]:
    """Some frames of a video by number; InputError where a second reading does not get there."""
    last, found = max(wanted), {}
    with closing(run_ahead(media.read_frames(path))) as frames:
        for k, frame in enumerate(islice(frames, last + 1)):
            if k in wanted:
                found[k] = frame.image
    if last not in found:
        raise InputError(f"{path} gave fewer frames when it was read again; it is damaged")
    return found


def _ingredient(path: Path, role: str) -> Ingredient:
    return Ingredient(path.name, media.sha256_file(path), role, "video/*")
