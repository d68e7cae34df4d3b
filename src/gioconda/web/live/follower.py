"""Tracks a face before a camera, picture by picture, and measures its motion against its neutral pose."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gioconda import face
from gioconda.motion.expression import load_basis
from gioconda.motion.lips import open_rounded
from gioconda.motion.moments import DriverCalibration, Moment, lid_ratio, lip_gap
from gioconda.motion.pose import Pose, fit_own_pose, fit_pose, to_unit_head
from gioconda.motion.smooth import OneEuro, nearest_rotation
from gioconda.types import ARKIT_NAMES, Face, FloatArray, Image

# Pictures whose mean is the neutral face.
REST_FRAMES = 6
# Opening of shut lids as a share of that of the neutral face, until a blink shows the true one.
SHUT_LIDS = 0.25
# Share below which lids count as shut.
BLINK = 0.55
# Bounds of the share that a blink may show: less is noise, more is a narrowed eye.
_SHUT_BOUNDS = (0.1, 0.4)
# Seconds without a face after which the filters start again.
LOST_SECONDS = 0.5
# Least cutoff in Hz and its growth with speed, for the filter of the landmarks; they need less lag than the pose.
_POINT_FILTER = (2.0, 80.0)
# Rounds of aligning the pictures to their mean.
_MEAN_ROUNDS = 2


@dataclass(frozen=True, eq=False)
class Rest:
    """The driver's neutral pose.

    Attributes:
        points: Landmarks (478, 3) float32 in the canonical frame.
        pose: The pose of the head in the picture.
    """

    points: FloatArray
    pose: Pose


class Follower:
    """Tracks motion in a stream of pictures, without looking ahead or keeping pictures."""

    def __init__(self) -> None:
        self._tracker = face.FaceTracker()
        # For rotation, for position and size, and for the landmarks.
        self._filters = OneEuro(), OneEuro(), OneEuro(*_POINT_FILTER)
        self._seen: list[FloatArray] = []
        self._rest: Rest | None = None
        self._calibration: DriverCalibration | None = None
        self._narrowest = 1.0
        self._last = 0.0

    def calibrate(self) -> None:
        """Take the next pictures as the neutral face."""
        self._seen, self._narrowest = [], 1.0

    @property
    def at_rest(self) -> bool:
        """Whether enough pictures have defined the neutral face."""
        return self._rest is not None and len(self._seen) == REST_FRAMES

    def look(self, image: Image, time: float) -> tuple[Moment, DriverCalibration] | None:
        """Track the face in the next picture.

        Args:
            image: The picture (H, W, 3) uint8 RGB.
            time: Its time in seconds; it increases from call to call.

        Returns:
            The motion of the moment, and the driver's calibration; None if no face shows both eyes.
        """
        faces = self._tracker.process(image)
        if not faces or not face.shows_both_eyes(faces[0], image.shape):
            return None
        if time - self._last > LOST_SECONDS:
            self._reset_filters()
        self._last = time
        rest = self._neutral(faces[0])
        return self._moment(faces[0], rest, time)

    def _reset_filters(self) -> None:
        """Forget the filters' past."""
        for smoothing in self._filters:
            smoothing.reset()

    def _neutral(self, tracked: Face) -> Rest:
        """The neutral face: the mean of the first pictures, or of those that have come so far."""
        if len(self._seen) < REST_FRAMES:
            self._seen.append(tracked.landmarks)
            self._rest = _mean_rest(self._seen)
            self._reset_filters()
        assert self._rest is not None
        return self._rest

    def _moment(self, tracked: Face, rest: Rest, time: float) -> tuple[Moment, DriverCalibration]:
        """The smoothed motion of one picture against the neutral face, and the driver's calibration."""
        pose = fit_own_pose(tracked.landmarks, rest.points)
        change = pose.to_canonical(tracked.landmarks) - rest.points
        turn, place, points = self._filters
        unit = rest.pose.scale
        rotation = nearest_rotation(turn(pose.rotation, time))
        x, y, size = place(np.array([*(pose.origin[:2] / unit), pose.scale / unit], np.float32), time)
        change = points(change, time)
        open_rounded(change[None], rest.points)
        self._narrowest = min(self._narrowest, float(lid_ratio(rest.points, change).min()))
        translation = np.array([x, y], np.float32)
        moment = Moment(
            time, rotation, translation, float(size), change, np.zeros(len(ARKIT_NAMES), np.float32)
        )
        return moment, self._calibrated(rest)

    def _calibrated(self, rest: Rest) -> DriverCalibration:
        """The driver's calibration as known so far; the same object until something new is known."""
        # The narrowest lids so far are the person's shut lids.
        shut = float(np.clip(self._narrowest, *_SHUT_BOUNDS)) if self._narrowest < BLINK else SHUT_LIDS
        known = self._calibration
        if known is None or known.neutral is not rest.points or known.lids_shut != shut:
            known = self._calibration = DriverCalibration(
                rest.points, _at_rest(rest), shut, float(lip_gap(rest.points)), speaks=True
            )
        return known


def _at_rest(rest: Rest) -> Moment:
    """The moment of the driver's neutral pose."""
    place = (rest.pose.origin[:2] / rest.pose.scale).astype(np.float32)
    still = np.zeros(len(ARKIT_NAMES), np.float32)
    return Moment(0.0, rest.pose.rotation, place, 1.0, np.zeros_like(rest.points), still)


def _mean_rest(seen: list[FloatArray]) -> Rest:
    """The mean of several trackings (478, 3) of one face, each rotated to face the camera."""
    head = load_basis().neutral
    for _ in range(_MEAN_ROUNDS):
        poses = [fit_pose(landmarks, head) for landmarks in seen]
        straight = [pose.to_canonical(landmarks) for pose, landmarks in zip(poses, seen, strict=True)]
        head = to_unit_head(np.mean(straight, axis=0).astype(np.float32))
    poses = [fit_pose(landmarks, head) for landmarks in seen]
    rotation = nearest_rotation(np.mean([pose.rotation for pose in poses], axis=0))
    origin = np.mean([pose.origin for pose in poses], axis=0).astype(np.float32)
    return Rest(head, Pose(rotation, float(np.mean([pose.scale for pose in poses])), origin))
