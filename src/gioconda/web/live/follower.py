"""A face before a camera, picture by picture -> the motion of the moment, against the face at rest."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gioconda import face
from gioconda.motion.expression import load_basis
from gioconda.motion.pose import Pose, fit_pose, to_unit_head
from gioconda.motion.retarget import Habits, lid_ratio, lip_gap
from gioconda.motion.smooth import OneEuro, nearest_rotation
from gioconda.types import ARKIT_NAMES, Face, FloatArray, Image, Motion

REST_FRAMES = 6  # pictures whose mean is the face at rest
SHUT_LIDS = 0.25  # opening of shut lids, as a share of that at rest, until a blink shows the true one
BLINK = 0.55  # share below which lids are thought to shut
LOST_SECONDS = 0.5  # without a face, after which the filters begin anew


@dataclass(frozen=True, eq=False)
class Rest:
    """The mover at rest: points (478, 3) in the canonical frame, and the pose of the head."""

    points: FloatArray
    pose: Pose


class Follower:
    """Reads motion off a stream of pictures, each when it comes: nothing looks ahead, nothing is kept."""

    def __init__(self) -> None:
        self._tracker = face.FaceTracker()
        self._filters = OneEuro(), OneEuro(), OneEuro(2.0, 80.0)  # rotation, place and size, points
        self._seen: list[FloatArray] = []
        self._rest: Rest | None = None
        self._narrowest = 1.0
        self._last = 0.0

    def calibrate(self) -> None:
        """Take the next pictures for the face at rest."""
        self._seen, self._narrowest = [], 1.0

    @property
    def at_rest(self) -> bool:
        """Whether the face at rest is known, and no newer one is being looked for."""
        return self._rest is not None and len(self._seen) == REST_FRAMES

    def look(self, image: Image, time: float) -> tuple[Motion, Habits] | None:
        """The motion of the moment, whose frame 0 is now, and the mover's habits; None if no face is seen.

        image: (H, W, 3) RGB uint8. time: seconds, increasing.
        """
        found = self._tracker.process(image)
        if not found or not face.shows_both_eyes(found[0], image.shape):
            return None
        if time - self._last > LOST_SECONDS:
            for one in self._filters:
                one.reset()
        self._last = time
        rest = self._resting(found[0])
        return self._moment(found[0], rest, time)

    def _resting(self, found: Face) -> Rest:
        """The face at rest, the mean of the first pictures; while they come in, of those so far."""
        if len(self._seen) < REST_FRAMES:
            self._seen.append(found.landmarks)
            self._rest = _mean_rest(self._seen)
            for one in self._filters:
                one.reset()
        assert self._rest is not None
        return self._rest

    def _moment(self, found: Face, rest: Rest, time: float) -> tuple[Motion, Habits]:
        pose = fit_pose(found.landmarks, rest.points)
        change = pose.to_canonical(found.landmarks) - rest.points
        turn, place, points = self._filters
        unit = rest.pose.scale
        rotation = nearest_rotation(turn(pose.rotation, time))
        x, y, size = place(np.array([*(pose.origin[:2] / unit), pose.scale / unit], np.float32), time)
        change = points(change, time)
        # shut lids are whatever this person's are: the narrowest seen
        self._narrowest = min(self._narrowest, float(lid_ratio(rest.points, change).min()))
        shut = float(np.clip(self._narrowest, 0.1, 0.4)) if self._narrowest < BLINK else SHUT_LIDS
        met = float(lip_gap(rest.points))
        habits = Habits(shut, met, met + 1.0)
        return _motion(rest, rotation, np.array([x, y], np.float32), float(size), change), habits


def _mean_rest(seen: list[FloatArray]) -> Rest:
    """The mean of some looks (478, 3) at a face, each laid straight."""
    head = load_basis().neutral
    for _ in range(2):
        poses = [fit_pose(one, head) for one in seen]
        straight = [pose.to_canonical(one) for pose, one in zip(poses, seen, strict=True)]
        head = to_unit_head(np.mean(straight, axis=0).astype(np.float32))
    poses = [fit_pose(one, head) for one in seen]
    rotation = nearest_rotation(np.mean([pose.rotation for pose in poses], axis=0))
    origin = np.mean([pose.origin for pose in poses], axis=0).astype(np.float32)
    return Rest(head, Pose(rotation, float(np.mean([pose.scale for pose in poses])), origin))


def _motion(rest: Rest, rotation: FloatArray, place: FloatArray, size: float, change: FloatArray) -> Motion:
    """Frame 0 is now, the others the mover at rest; points tell all, so that coefficients need not be solved for."""
    unit, still = rest.pose.scale, np.zeros_like(change)
    resting = (rest.pose.origin[:2] / unit).astype(np.float32)
    return Motion(
        times=np.array([0.0, 1.0, 2.0]),
        rotation=np.stack([rotation, rest.pose.rotation, rest.pose.rotation]),
        translation=np.stack([place, resting, resting]),
        scale=np.array([size, 1, 1], np.float32),
        expression=np.zeros((3, len(ARKIT_NAMES)), np.float32),
        gaze=np.zeros((3, 2), np.float32),
        confidence=np.ones(3, np.float32),
        residual=np.stack([change, still, still]).astype(np.float16),
        neutral=rest.points,
        unit=unit,
        reference=1,
        name="webcam",
    )
