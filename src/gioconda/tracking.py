"""Track one person's face in a video, frame by frame, past other people and across cuts."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from gioconda import face as faces_of
from gioconda import media
from gioconda.errors import InputError
from gioconda.landmarks import inter_ocular
from gioconda.motion.likeness import face_shape
from gioconda.runtime.prefetch import run_ahead
from gioconda.types import WHOLE_DRIVER, DrivingPart, Face, FloatArray, Frame, Image

# Difference of two faces: that of their colours, 0 to 255, plus this times that of their shapes. 99 in 100 frames of a
# clip differ from the person's mean by 42 at most; so do 1 in 170 of other people's (benchmarks/likeness.py). Of shape
# alone, 1 in 4 would. In another light, the same person may differ by LIKELY_SAME.
SHAPE_WEIGHT = 10.0
SAME, LIKELY_SAME = 45.0, 60.0
# Colours of a face that follows smoothly differ by less from frame to frame; those of quickly turning heads by 18.
SMOOTH_COLOURS = 14.0
# Difference of colours from the person's at which something covers the face; 1 in 500 frames of uncovered ones has it.
COVERED = 40.0
# How far a head moves at most in STEP_SECONDS, in distances between its eyes, and by how much the logarithm of its
# size changes. The quickest of 3,898 steps of actors have 0.48 and 0.07, and a repeated frame doubles a step.
STEP_SECONDS, FARTHEST_STEP, LARGEST_GROWTH = 0.04, 0.8, 0.2
# Distances between the eyes from a person's place within which a face has taken that place.
NEAR = 1.0
# What a distance between the eyes adds to the difference of a face from the person, for the choice among several, and
# the most such distances that count.
PLACE_WEIGHT, FARTHEST_PLACE = 10.0, 3.0
# Seconds between two scenes that are remembered, and the number of scenes.
SCENE_SECONDS, EARLIER_SCENES = 0.2, 8
# Seconds after which what is known of a person's colours and shape is mostly new, and between two looks at the shape.
MEMORY_SECONDS, SHAPE_SECONDS = 2.0, 0.2


def frames_in(part: DrivingPart, info: media.VideoInfo) -> int:
    """About how many frames of a video lie in a part of it."""
    end = info.seconds if part.end is None else min(part.end, info.seconds)
    whole = part.start == 0 and part.end is None
    return info.frames if whole else max(round((end - part.start) * info.fps), 1)


def read_part(path: Path, part: DrivingPart) -> Generator[Frame, None, None]:
    """Decode the frames of a part, the first at 0 s; InputError if the video has none there."""
    last, first = 0.0, True
    with media.read_frames(path) as frames:
        for frame in frames:
            last = frame.time
            if part.end is not None and last >= part.end:
                break
            if last >= part.start:
                # The picture at the start is that of the first frame after it.
                yield replace(frame, time=0.0 if first else last - part.start)
                first = False
    if first:
        beyond = f"on; it ends at {last:.2f} s" if last < part.start else f"to {part.end:g} s"
        raise InputError(f"{path} has no frame from {part.start:g} s {beyond}")


class Tracked(NamedTuple):
    """One frame of a tracked video.

    Attributes:
        frame: The frame.
        face: The tracked face in pixels, or None if the frame does not show it.
        take: Number of the take, from 0: the part of the video between two cuts.
        person: Number of the person who is tracked, from 0.
    """

    frame: Frame
    face: Face | None
    take: int
    person: int


def tracked_frames(
    path: Path, part: DrivingPart = WHOLE_DRIVER, *, one_person: bool = False
) -> Generator[Tracked, None, None]:
    """Decode a video and track a person's face.

    A person who is hidden is found again by place, size, colours and shape of the face; nobody else takes that place.
    After a cut, the same person is tracked, or, if the take shows only others, one of them.

    A thread decodes ahead of the tracker; close the generator to end it.

    Args:
        path: Of the video.
        part: The part to track, and which face, in the first frame of the part that shows so many.
        one_person: Whether to track nobody else, even after a cut.

    Raises:
        InputError: The file cannot be read as a video, or no frame lies in the part.
        LimitError: It is larger than the limits allow.
        NoFaceError: It shows faces, but never as many as `part.driver_face` needs.
    """
    with faces_of.FaceTracker() as tracker, closing(run_ahead(read_part(path, part))) as frames:
        follower = _Follower(tracker, part.driver_face, one_person=one_person)
        for frame, following in _with_next(frames):
            face = follower.process(frame, following)
            yield Tracked(frame, face, follower.take, follower.person)
        if follower.most and not follower.people:
            faces_of.choose_face(follower.most, part.driver_face, str(path), option="--driver-face")


def _with_next(frames: Iterable[Frame]) -> Iterator[tuple[Frame, Frame | None]]:
    """Each frame, and the one after it; None after the last."""
    before: Frame | None = None
    for frame in frames:
        if before is not None:
            yield before, frame
        before = frame
    if before is not None:
        yield before, None


@dataclass(eq=False)
class _Person:
    """What is known of a person: means over the latest frames.

    Attributes:
        colours: Of `face.appearance`.
        shape: Of `face_shape`.
    """

    colours: FloatArray
    shape: FloatArray

    def difference(self, colours: FloatArray, shape: FloatArray) -> float:
        """The difference of a face from the person."""
        apart = faces_of.colour_difference(self.colours, colours)
        return apart + SHAPE_WEIGHT * float(np.linalg.norm(self.shape - shape))


@dataclass(frozen=True, eq=False)
class _Seen:
    """The last frame that showed the person: the face, its colours, the scene and the time in seconds."""

    face: Face
    colours: FloatArray
    scene: FloatArray
    time: float


@dataclass(frozen=True, eq=False)
class _Candidate:
    """A face in which the person is sought, with its colours and shape."""

    face: Face
    colours: FloatArray
    shape: FloatArray

    @classmethod
    def of(cls, image: Image, face: Face) -> _Candidate:
        """Measure a face of a picture (H, W, 3)."""
        return cls(face, faces_of.appearance(image, face), face_shape(face.landmarks))


class _Follower:
    """Decides from frame to frame which face is the person's.

    Attributes:
        people: Everyone who was tracked so far.
        person: Index of the one who is tracked.
        take: Number of the take.
        most: The faces of the frame with most, of those searched before a person was chosen.
    """

    def __init__(self, tracker: faces_of.FaceTracker, chosen: int, *, one_person: bool) -> None:
        self.people: list[_Person] = []
        self.person = self.take = 0
        self.most: Sequence[Face] = ()
        self._tracker, self._chosen, self._one_person = tracker, chosen, one_person
        self._seen: _Seen | None = None
        self._before: Frame | None = None
        self._scene: FloatArray | None = None
        # What the frames that show the person show in the last seconds: a dissolve has no cut.
        self._earlier: deque[FloatArray] = deque(maxlen=EARLIER_SCENES)
        self._shape_due = self._scene_due = 0.0

    def process(self, frame: Frame, following: Frame | None = None) -> Face | None:
        """The person's face in the next frame, or None; `following` is the frame after it, where it is known."""
        scene = media.scene(frame.image)
        if self._scene is not None and media.other_scene(self._scene, scene):
            self._begin_take()
        face = self._followed(frame, following, scene)
        if face is None:
            face = self._found(frame, scene)
        self._before, self._scene = frame, scene
        return face

    def _begin_take(self) -> None:
        """Start anew after a cut: the person may be anywhere, or another."""
        self.take += 1
        self._seen = None
        self._earlier.clear()
        self._scene_due = 0.0
        self._tracker.drop()

    def _followed(self, frame: Frame, following: Frame | None, scene: FloatArray) -> Face | None:
        """The face in the place where it was, if it is still the person's."""
        face = self._tracker.follow(frame.image, None if following is None else following.image)
        if face is None or self._seen is None:
            return None
        colours = faces_of.appearance(frame.image, face)
        shape: FloatArray | None = None
        if frame.time >= self._shape_due:
            shape = face_shape(face.landmarks)
        smooth = faces_of.colour_difference(colours, self._seen.colours) < SMOOTH_COLOURS
        smooth = smooth and self._apart(colours) < COVERED
        if not smooth:
            shape = face_shape(face.landmarks) if shape is None else shape
            smooth = self.people[self.person].difference(colours, shape) < SAME
        if not smooth or self._leaps(face, frame.time):
            self._tracker.drop()
            return None
        self._remember(face, colours, shape, scene, frame.time)
        return face

    def _found(self, frame: Frame, scene: FloatArray) -> Face | None:
        """The person's face among all faces of the frame; in a new take, anyone's."""
        found = self._tracker.search(frame.image)
        if not found:
            return None
        candidates = [_Candidate.of(frame.image, face) for face in found]
        own = None if self._seen is None else self._own(candidates, self._seen)
        if own is None:
            if self._seen is not None and not self._left_scene(candidates, self._seen, scene):
                return None
            if self._seen is not None:
                self._begin_take()
            own = self._chosen_in_take(candidates)
        elif self._was_just_seen and self._leaps(own.face, frame.time):
            self._begin_take()
        face = None if own is None else self._tracker.start(frame.image, own.face)
        if own is None or face is None:
            return None
        self._remember(face, faces_of.appearance(frame.image, face), own.shape, scene, frame.time)
        return face

    def _apart(self, colours: FloatArray) -> float:
        """Difference of a face's colours from the person's."""
        return faces_of.colour_difference(self.people[self.person].colours, colours)

    @property
    def _was_just_seen(self) -> bool:
        """Whether the frame before shows the person."""
        return self._seen is not None and self._before is not None and self._seen.time == self._before.time

    def _leaps(self, face: Face, time: float) -> bool:
        """Whether a face is farther from where the person was last, or of another size, than a head can move."""
        if self._seen is None:
            return False
        steps = max(1.0, (time - self._seen.time) / STEP_SECONDS)
        away, growth = _movement(self._seen.face, face)
        return away > steps * FARTHEST_STEP or growth > steps * LARGEST_GROWTH

    def _own(self, candidates: Sequence[_Candidate], seen: _Seen) -> _Candidate | None:
        """Of some faces the person's, or None."""
        person, costs = self.people[self.person], {}
        for candidate in candidates:
            away, growth = _movement(seen.face, candidate.face)
            difference = person.difference(candidate.colours, candidate.shape)
            if difference < SAME:
                costs[difference + PLACE_WEIGHT * min(away + growth, FARTHEST_PLACE)] = candidate
        return costs[min(costs)] if costs else None

    def _left_scene(self, candidates: Sequence[_Candidate], seen: _Seen, scene: FloatArray) -> bool:
        """Whether a cut replaced the person, who is not among the candidates.

        Either the picture is another one than when the person was last seen and shortly before, as after a dissolve. Or
        the frame before shows the person well, and nowhere the face that is now in that place. Someone who passes in
        front of the person covers the face bit by bit, and is there a frame before.
        """
        if all(
            media.other_scene(before, scene, consecutive=False) for before in (self._earlier[0], seen.scene)
        ):
            return True
        visible = self._apart(seen.colours) < SMOOTH_COLOURS
        if not visible or not self._was_just_seen or self._before is None:
            return False
        image = self._before.image
        near = [c for c in candidates if _movement(seen.face, c.face)[0] < NEAR]
        others = [_Candidate.of(image, face) for face in faces_of.detect_faces(image, thorough=False)]
        return bool(near) and not any(
            _Person(other.colours, other.shape).difference(c.colours, c.shape) < LIKELY_SAME
            for c in near
            for other in others
        )

    def _chosen_in_take(self, candidates: Sequence[_Candidate]) -> _Candidate | None:
        """The face to track in a new take: that of someone tracked before, or else the chosen one."""
        if not self.people:
            self.most = max(self.most, [c.face for c in candidates], key=len)
            if len(candidates) <= self._chosen:
                return None
        for index, person in enumerate(self.people[:1] if self._one_person else self.people):
            differences = [person.difference(c.colours, c.shape) for c in candidates]
            if min(differences) < (LIKELY_SAME if self._one_person else SAME):
                self.person = index
                return candidates[int(np.argmin(differences))]
        if self.people and self._one_person:
            return None
        chosen = candidates[min(self._chosen, len(candidates) - 1)]
        self.people.append(_Person(chosen.colours, chosen.shape))
        self.person = len(self.people) - 1
        return chosen

    def _remember(
        self, face: Face, colours: FloatArray, shape: FloatArray | None, scene: FloatArray, time: float
    ) -> None:
        """Adapt what is known of the person to the face of a frame."""
        person = self.people[self.person]
        since = STEP_SECONDS if self._seen is None else time - self._seen.time
        # Nothing is learned from a face that something covers.
        clear = np.clip(2 - 2 * self._apart(colours) / COVERED, 0, 1)
        person.colours = _towards(person.colours, colours, float(clear) * since)
        if shape is not None:
            person.shape = _towards(person.shape, shape, float(clear) * max(since, SHAPE_SECONDS))
            self._shape_due = time + SHAPE_SECONDS
        self._seen = _Seen(face, colours, scene, time)
        if time >= self._scene_due:
            self._earlier.append(scene)
            self._scene_due = time + SCENE_SECONDS


def _movement(before: Face, after: Face) -> tuple[float, float]:
    """Distance between two faces in distances between the first one's eyes, and change of the logarithm of the size."""
    first, second = before.landmarks, after.landmarks
    unit = max(inter_ocular(first), 1.0)
    away = float(np.linalg.norm(second[:, :2].mean(0) - first[:, :2].mean(0))) / unit
    return away, abs(float(np.log(max(inter_ocular(second), 1.0) / unit)))


def _towards(mean: FloatArray, value: FloatArray, seconds: float) -> FloatArray:
    """A running mean, moved towards a value that is valid for some seconds; what one of them lacks, the other gives."""
    share = np.float32(1 - np.exp(-seconds / MEMORY_SECONDS))
    moved = mean + share * (value - mean)
    return np.asarray(np.where(np.isnan(mean), value, np.where(np.isnan(value), mean, moved)), np.float32)
