"""Measures the motion of a tracked face, picture by picture, against its neutral pose."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gioconda.motion.expression import load_basis
from gioconda.motion.lips import open_rounded
from gioconda.motion.moments import DriverCalibration, Moment, lid_ratio, lip_gap
from gioconda.motion.pose import Pose, fit_own_pose, fit_pose, to_unit_head
from gioconda.motion.smooth import OneEuro, nearest_rotation
from gioconda.types import ARKIT_NAMES, Face, FloatArray

# Seconds of the face whose median is the neutral face, which a blink does not change; least seconds between two
# pictures that count, and least number of pictures.
REST_SECONDS, REST_APART, REST_LEAST = 1.0, 0.09, 4
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
# Rounds of aligning the pictures to their median.
_MEDIAN_ROUNDS = 2


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
    """Follows a face without looking ahead.

    It takes the neutral face from the first second in which it sees the face.
    """

    def __init__(self) -> None:
        # For rotation, for position and size, and for the landmarks.
        self._filters = OneEuro(), OneEuro(), OneEuro(*_POINT_FILTER)
        self._seen: list[tuple[float, FloatArray]] = []
        self._since: float | None = None
        self._rest: Rest | None = None
        self._calibration: DriverCalibration | None = None
        self._narrowest = 1.0
        self._last = 0.0

    def calibrate(self) -> None:
        """Take the next second as the neutral face."""
        self._seen, self._since, self._narrowest = [], None, 1.0

    @property
    def at_rest(self) -> bool:
        """Whether enough pictures have defined the neutral face."""
        if self._since is None or len(self._seen) < REST_LEAST:
            return False
        return self._last - self._since >= REST_SECONDS

    def follow(self, tracked: Face, time: float) -> tuple[Moment, DriverCalibration]:
        """Measure the face in the next picture.

        Args:
            tracked: The face.
            time: Of the picture, in seconds. If it is not later than the one before, the filters start again.

        Returns:
            The motion of the moment, and the driver's calibration.
        """
        if not 0 < time - self._last <= LOST_SECONDS:
            self._reset_filters()
        self._last = time
        rest = self._neutral(tracked, time)
        return self._moment(tracked, rest, time)

    def _reset_filters(self) -> None:
        """Forget the filters' past."""
        for smoothing in self._filters:
            smoothing.reset()

    def _neutral(self, tracked: Face, time: float) -> Rest:
        """The neutral face: the median of the first second, or of what has come of it so far."""
        if self._since is None or time < self._since:
            self._seen, self._since = [], time
        early = time - self._since < REST_SECONDS or len(self._seen) < REST_LEAST
        if early and (not self._seen or time - self._seen[-1][0] >= REST_APART):
            self._seen.append((time, tracked.landmarks))
            self._rest = _median_rest([landmarks for _, landmarks in self._seen])
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


def _median_rest(seen: list[FloatArray]) -> Rest:
    """The median of several trackings (478, 3) of one face, each rotated to face the camera."""
    head = load_basis().neutral
    for _ in range(_MEDIAN_ROUNDS):
        poses = [fit_pose(landmarks, head) for landmarks in seen]
        straight = [pose.to_canonical(landmarks) for pose, landmarks in zip(poses, seen, strict=True)]
        head = to_unit_head(np.median(straight, axis=0).astype(np.float32))
    poses = [fit_pose(landmarks, head) for landmarks in seen]
    rotation = nearest_rotation(np.mean([pose.rotation for pose in poses], axis=0))
    origin = np.mean([pose.origin for pose in poses], axis=0).astype(np.float32)
    return Rest(head, Pose(rotation, float(np.mean([pose.scale for pose in poses])), origin))
