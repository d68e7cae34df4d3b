"""Chooses each person's shots and held-out frames; everything follows from a seed.

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
from gioconda.engines.fewshot import crop
from gioconda.errors import GiocondaError, InputError
from gioconda.inputs.views import in_view_of
from gioconda.motion.from_faces import faces_to_motion
from gioconda.motion.moments import picture_points
from gioconda.provenance import Ingredient
from gioconda.runtime.prefetch import run_ahead
from gioconda.tracking import tracked_frames
from gioconda.training.evaluate.portraits import Framing, as_portrait, framing_of
from gioconda.training.sources import TABLE, Clip, find_clips
from gioconda.types import Face, FloatArray, Image, Portrait

# Consecutive held-out frames, so that flicker can be measured
RUN = 8
# Clips for the held-out frames, if a person has twice as many
HELD_CLIPS = 4
# Frames of a clip that are read, from its start
MOST_FRAMES = 1500
# Seconds between shots and held-out frames of one clip that are mixed
APART = 0.4
# The golden ratio: its multiples, modulo 1, are evenly spread for any count
GOLDEN = 0.6180339887

Step = Callable[[str], None]


@dataclass(frozen=True)
class EvaluationPlan:
    """The size of an evaluation.

    Attributes:
        shots: Numbers of shots, the paper's T.
        frames: Held-out frames per person.
        size: Side of the compared square, in pixels.
        seed: The seed of all draws.
        mixed: Whether shots of a person's only clip lie anywhere at APART seconds from held-out frames, as in the
            paper; else they lie in its first third, and held-out frames in its last.
    """

    shots: tuple[int, ...] = (1, 8, 32)
    frames: int = 32
    size: int = 128
    seed: int = 0
    mixed: bool = False


@dataclass(frozen=True, eq=False)
class Stretch:
    """Consecutive held-out frames of one clip.

    Attributes:
        clip: The clip's name.
        truth: n pictures (size, size, 3) uint8.
        points: Landmarks (n, 478, 3) float32, in pixels of the pictures.
        expression: ARKit coefficients (n, 52), 0..1.
        times: n times in seconds.
        neutral: The person's face at rest in that clip (478, 3), canonical head frame.
        square: The part of the clip's frames that the pictures show, in their pixels.
    """

    clip: str
    truth: tuple[Image, ...]
    points: FloatArray
    expression: FloatArray
    times: tuple[float, ...]
    neutral: FloatArray
    square: crop.Square


@dataclass(frozen=True, eq=False)
class Person:
    """One person.

    Attributes:
        name: The person's name.
        shots: Portraits; the first T are the shots for T.
        held: The held-out stretches.
        one_clip: Whether one clip gave both shots and held-out frames.
        inputs: The clips, for the manifest.
        framing: Of the shots of the clip that also gave the held-out frames, so that a head moves in the portrait as it
            moves in the clip; None where they come from different clips, and heads are compared square onto square.
    """

    name: str
    shots: tuple[Portrait, ...]
    held: tuple[Stretch, ...]
    one_clip: bool
    inputs: tuple[Ingredient, ...]
    framing: Framing | None = None

    @property
    def frames(self) -> int:
        """The number of held-out frames."""
        return sum(len(stretch.truth) for stretch in self.held)


@dataclass(frozen=True, eq=False)
class _Track:
    """A clip's faces, frame by frame, with times in seconds and the picture's (width, height)."""

    clip: Clip
    faces: tuple[Face | None, ...]
    times: tuple[float, ...]
    size: tuple[int, int]

    def face_frames(self, low: float = 0.0, high: float = 1.0) -> list[int]:
        """Indices of the frames that show a face with both eyes, between two shares (0..1) of the clip."""
        count, shape = len(self.faces), self.size[::-1]
        inside = range(round(low * count), round(high * count))
        return [
            k
            for k in inside
            if (detected := self.faces[k]) is not None and face.shows_both_eyes(detected, shape)
        ]

    def apart(self, end: float, times: Sequence[float]) -> list[int]:
        """As `face_frames` from the start to a share (0..1) of the clip, at APART seconds from some times."""
        return [
            k for k in self.face_frames(0.0, end) if all(abs(self.times[k] - time) >= APART for time in times)
        ]


def find_people(folder: Path, names: Sequence[str] = ()) -> dict[str, list[Clip]]:
    """Find the clips of each person.

    Args:
        folder: A folder with a table clips.tsv, whose dev rows count, or with a folder for each person.
        names: The people to return; empty for all.

    Returns:
        The clips by person.

    Raises:
        MissingFileError: `folder` is not a folder.
        InputError: There is no clip, or no person of a given name.
    """
    clips = find_clips(folder)
    if (folder / TABLE).is_file():
        clips = [clip for clip in clips if clip.split == "dev"]
        if not clips:
            raise InputError(f"{folder / TABLE}: no row has the split dev; only its people are evaluated")
    people: dict[str, list[Clip]] = {}
    for clip in clips:
        people.setdefault(clip.identity, []).append(clip)
    for name in names:
        if name not in people:
            known = ", ".join(sorted(people)[:30])
            raise InputError(f"--people {name}: {folder} has nobody of that name to evaluate; it has {known}")
    return {name: people[name] for name in dict.fromkeys(names)} if names else people


def gather(
    name: str, clips: Sequence[Clip], plan: EvaluationPlan, failures: list[str], step: Step
) -> Person | None:
    """Read one person from the clips; None if too little is usable. failures: gets a line for each unusable clip."""
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
        start, end = (0.0, 1.0) if count or plan.mixed else (2 / 3, 1 / 3)
        stretches = _held_out(held, plan, start, random)
        kept_from = [] if count else [time for stretch in stretches for time in stretch.times]
        places = _spread_shots(given, max(plan.shots), (end, kept_from), random)
        shots, framing = _portraits(places, plan.size)
    except GiocondaError as error:
        failures.append(f"{name}: {error}")
        return None
    if not stretches or not shots:
        failures.append(f"{name}: too few frames with a face for shots and held-out frames; left out")
        return None
    used = [(t, "motion") for t in held] + [(t, "portrait") for t in given[: len(shots)]]
    inputs = tuple(_ingredient(track.clip.path, role) for track, role in used)
    return Person(name, shots, stretches, not count, inputs, None if count else framing)


def _track(clip: Clip, step: Step) -> _Track:
    """Track the largest face of a clip; InputError if it is lost in most frames."""
    faces: list[Face | None] = []
    times, size = [], (0, 0)
    with closing(tracked_frames(clip.path)) as frames:
        for frame, followed, *_ in islice(frames, MOST_FRAMES):
            faces.append(followed)
            times.append(frame.time)
            size = (frame.image.shape[1], frame.image.shape[0])
            step("track")
    track = _Track(clip, tuple(faces), tuple(times), size)
    if 2 * len(track.face_frames()) <= len(faces):
        raise InputError("no face, or one that is lost in most frames")
    return track


def _spread_shots(
    tracks: Sequence[_Track], count: int, kept: tuple[float, Sequence[float]], random: np.random.Generator
) -> list[tuple[_Track, int]]:
    """Choose up to `count` frames as shots, from the clips in turn; the first few of a clip are far apart.

    kept: the share of a clip at which shots end, and times in seconds from which they stay APART.
    """
    phases = random.random(len(tracks))
    orders = [
        sorted(track.apart(*kept), key=lambda k, phase=phase: (phase + k * GOLDEN) % 1)  # type: ignore[misc]
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


def _portraits(
    places: Sequence[tuple[_Track, int]], size: int
) -> tuple[tuple[Portrait, ...], Framing | None]:
    """The chosen frames as portraits, in their order; and the framing of the first, None without any."""
    images: dict[tuple[int, int], Image] = {}
    for track in {id(t): t for t, _ in places}.values():
        indices = [k for t, k in places if t is track]
        images |= {(id(track), k): image for k, image in _images(track.clip.path, indices).items()}
    portraits: list[Portrait] = []
    framings: dict[int, Framing] = {}
    for track, k in places:
        image, detected = images[id(track), k], track.faces[k]
        assert detected is not None
        # Frames of one clip have the framing of its first, so that what stands still lies at the same pixels.
        framing = framings.setdefault(id(track), framing_of(image.shape, detected, size))
        shot = as_portrait(image, detected, framing, f"{track.clip.name}:{k}")
        beside_first = bool(portraits) and track is places[0][0]
        portraits.append((in_view_of(portraits[0], shot) if beside_first else None) or shot)
    return tuple(portraits), next(iter(framings.values()), None)


def _held_out(
    tracks: Sequence[_Track], plan: EvaluationPlan, start: float, random: np.random.Generator
) -> tuple[Stretch, ...]:
    """Stretches of up to RUN frames, from the clips in turn; start: the share of a clip at which they may begin."""
    lengths = [min(RUN, plan.frames - k) for k in range(0, plan.frames, RUN)]
    stretches = []
    for k, track in enumerate(tracks):
        places = _runs(track, start, lengths[k :: len(tracks)], random)
        if places:
            stretches += _stretches(track, places, plan.size)
    return tuple(stretches)


def _runs(track: _Track, start: float, lengths: Sequence[int], random: np.random.Generator) -> list[range]:
    """One run of consecutive frames with a face for each length, spread over the clip; fewer in a short clip."""
    usable = set(track.face_frames(start))
    first, end = round(start * len(track.faces)), len(track.faces)
    if not lengths or not usable:
        return []
    longest = min(lengths[0], end - first)
    count = min(len(lengths), (end - first) // longest)
    edges = np.linspace(first, end, count + 1).astype(int)
    runs = []
    for low, high, requested in zip(edges[:-1], edges[1:], lengths, strict=False):
        length = min(requested, longest)
        starts = [k for k in range(low, high - length + 1) if usable.issuperset(range(k, k + length))]
        if starts:
            at = int(random.choice(starts))
            runs.append(range(at, at + length))
    return runs


def _stretches(track: _Track, runs: Sequence[range], size: int) -> list[Stretch]:
    """Crop the runs' frames to squares, with their motion as the whole clip gives it."""
    motion = faces_to_motion(track.faces, track.times, track.size)
    assert motion.neutral is not None
    images = _images(track.clip.path, [k for run in runs for k in run])
    stretches = []
    for run in runs:
        points = np.stack([picture_points(motion, k) for k in run])
        square = crop.head_square(points)
        stretches.append(
            Stretch(
                track.clip.name,
                tuple(crop.cut_square(images[k], square, size) for k in run),
                crop.to_square(points, square, size),
                motion.expression[run.start : run.stop],
                tuple(track.times[k] for k in run),
                motion.neutral,
                square,
            )
        )
    return stretches


def _images(path: Path, indices: Collection[int]) -> dict[int, Image]:
    """Read frames of a video by index; InputError if the video now ends before the last one."""
    last, images = max(indices), {}
    with closing(run_ahead(media.read_frames(path))) as frames:
        for k, frame in enumerate(islice(frames, last + 1)):
            if k in indices:
                images[k] = frame.image
    if last not in images:
        raise InputError(f"{path} gave fewer frames at the second reading; the file is damaged")
    return images


def _ingredient(path: Path, role: str) -> Ingredient:
    return Ingredient(path.name, media.sha256_file(path), role, "video/*")
