"""Transfer a driver's moments to a portrait: the portrait's face shape with the driver's pose and expression."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass

import numpy as np

from gioconda.errors import InputError
from gioconda.motion import gaze
from gioconda.motion.emotion import parse_emotions, with_emotions
from gioconda.motion.expression import load_basis
from gioconda.motion.framing import Expressions, Framing, fit_frame
from gioconda.motion.lips import LOWER_INNER, UPPER_INNER, lower_chin
from gioconda.motion.moments import (
    LOWER_LIDS,
    UPPER_LIDS,
    DriverCalibration,
    Moment,
    calibrate,
    lid_ratio,
    lip_gap,
    moment_of,
)
from gioconda.motion.pose import NECK, Pose, euler_from_rotation, fit_pose, rotation_from_euler, to_unit_head
from gioconda.types import ARKIT_INDEX, FloatArray, Motion, Mouth, Portrait, Take, TargetPose

REGIONS = ("all", "pose", "expression", "lips", "eyes")
STRENGTH = (0.0, 2.0)
"""Least and largest strength of a motion; 1 transfers it as it is."""

LID_FOLDS = np.array([[247, 30, 29, 27, 28, 56, 190], [467, 260, 259, 257, 258, 286, 414]])
"""The fold above each upper lid, corner to corner, viewer's left eye then viewer's right."""

# Yaw, pitch and roll in degrees, relative to the portrait's pose, to which rotations are smoothly limited: one photo
# does not show enough of the head for more.
ROTATION_LIMIT = np.array([34.0, 26.0, 30.0], np.float32)
# Degrees of yaw, the portrait's own included, from which it is smoothly limited, and the limit.
TOTAL_YAW = (26.0, 42.0)
# Share of the head's swing about the neck that the portrait takes over.
PIVOT_SHARE = 0.7
# Share of the driver's other movement in the picture that the portrait takes over, and the smooth limit of its length
# in inter-ocular units.
TRAVEL_SHARE, TRAVEL_LIMIT = 0.5, 0.45
# Exponent of the change in size, and the bounds of the result: less than the driver's, since the background stays.
SCALE_SHARE, SCALE_RANGE = 0.6, (0.8, 1.25)
# Inter-ocular units; a photo's mouth that is open wider than this is closed first.
OPEN_MOUTH = 0.10
# Inter-ocular units; the widest gap of the driver's lips at rest that the portrait takes over.
LARGEST_REST_GAP = 0.12
# The tracker's irises move by about half of what real ones do. A larger gain exaggerates eyes that it tracks well.
GAZE_GAIN = 1.5
# The widest opening of an eye, relative to that at rest.
WIDEST_LIDS = 1.7
# Share of the upper lid's movement that the fold above it makes.
FOLD_SHARE = 0.4
# Weight of a difference in rotation (mean over the matrix) against one of the landmarks (inter-ocular units), in the
# search for a driver's face at rest.
ROTATION_WEIGHT = 0.05
# Bounds of the factor by which offsets adapt to the size of the portrait's mouth and chin.
PROPORTIONS = (0.7, 1.4)
# Inter-ocular units above the nose's tip over which that adaptation sets in.
PROPORTIONS_FADE = 0.2
# Heights between the eyes (0) and the nose's tip (1): where the lips' region begins, and over how much it fades in.
LIPS_REGION_TOP, LIPS_REGION_FADE = 0.55, 0.4


@dataclass(frozen=True)
class Style:
    """How a motion is applied to a portrait.

    Attributes:
        absolute: Whether the portrait takes over the driver's pose and expression themselves, not their changes.
        region: One of REGIONS, the part of the motion that is applied.
        strength: Factor on the motion, within STRENGTH.
        emotion: Emotions that are added to the motion, as of `parse_emotions`.

    Raises:
        InputError: The region or an emotion is unknown, or a strength is out of range.
    """

    absolute: bool = False
    region: str = "all"
    strength: float = 1.0
    emotion: str = ""

    def __post_init__(self) -> None:
        parse_emotions(self.emotion)
        if self.region not in REGIONS:
            raise InputError(f"unknown region {self.region!r}; use one of {', '.join(REGIONS)}")
        low, high = STRENGTH
        if not low <= self.strength <= high:
            raise InputError(f"strength {self.strength:g} is out of range; use {low:g} to {high:g}")


class Retargeter:
    """Transfers a driver's moments, one by one, to the face of a portrait.

    Attributes:
        calibration: The driver's.
        rest: The portrait's own pose.
        shape: (478, 3) float32, the portrait's face in the canonical frame, its lips as the driver's are at rest.
    """

    def __init__(
        self,
        calibration: DriverCalibration,
        portrait: Portrait,
        style: Style,
        *,
        shut: bool = False,
    ) -> None:
        """Fit the portrait's pose, and set its lips as the driver's are at rest.

        Args:
            calibration: The driver's.
            portrait: Whose face moves.
            style: How the motion is applied.
            shut: Whether to close the lips at rest even if the photo parts them, so that a voice can close them.
        """
        self.calibration, self._style, self._shut = calibration, style, shut
        basis = load_basis()
        driver = calibration.neutral
        head = driver if style.absolute else basis.neutral
        if not style.absolute:
            first = fit_pose(portrait.face.landmarks, head)
            head = to_unit_head(first.to_canonical(portrait.face.landmarks))
        self.rest = fit_pose(portrait.face.landmarks, head)
        self.shape = self.rest.to_canonical(portrait.face.landmarks)
        self._weights = _region_weights(basis.neutral, style.region)
        self._framing: Framing | None = None
        if not style.absolute:
            self.shape = self._with_lips_at_rest(basis.offsets[ARKIT_INDEX["jawOpen"]])
        self._gain = np.ones((1, 3), np.float32) if style.absolute else _proportions(self.shape, driver)

    def framed(self, framing: Framing) -> Retargeter:
        """A copy for absolute motion that maps to the portrait's picture by `framing`."""
        retargeter = copy(self)
        retargeter._framing = framing
        return retargeter

    def target(self, moment: Moment, mouth: Mouth | None = None) -> TargetPose:
        """The portrait's target pose at a moment.

        Args:
            moment: Of the driver.
            mouth: The driver's mouth at that moment, from which an engine may take texture.
        """
        rest, style = self.rest, self._style
        places = self._framing is not None and self._framing.places
        pose = self._absolute_pose(moment) if places else self._relative_pose(moment)
        turn = pose.rotation @ rest.rotation.T
        grow = pose.scale / rest.scale
        return TargetPose(
            time=moment.time,
            landmarks=pose.to_picture(self._canonical(moment.offsets)),
            turn=turn,
            grow=grow,
            shift=pose.origin - grow * rest.origin @ turn.T,
            expression=(moment.expression * style.strength).astype(np.float32),
            mouth=mouth,
            creases=style.strength if style.region in ("all", "expression") else 0.0,
        )

    def _canonical(self, offsets: FloatArray) -> FloatArray:
        """The portrait's points (478, 3), canonical frame, moved by the driver's `offsets` (478, 3)."""
        reference = np.zeros_like(offsets) if self._framing is None else self._framing.reference.offsets
        change = (offsets - reference) * self._gain
        lids = lid_ratio(self.calibration.neutral, offsets)
        movement = gaze.conjugate(offsets - reference, lids)
        gaze.set_gaze(change, movement if self._style.absolute else gaze.limit_gaze(movement * GAZE_GAIN))
        change *= self._style.strength * self._weights[:, None]
        canonical = self.shape + change
        if not self._style.absolute and self._style.region != "pose":
            self._set_lids(canonical, lids)
        _separate_lips(canonical)
        lower_chin(canonical, self.shape)
        return canonical

    def _with_lips_at_rest(self, jaw: FloatArray) -> FloatArray:
        """The portrait's shape with its jaw moved until the lips touch, or part, as the driver's do at rest.

        A mouth that the photo shows wide open is closed first, or else it could never close. The shape stays as it is
        where the motion does not move the lips, or is a single pose: an edit must not remove a smile.

        Args:
            jaw: (478, 3), offsets of jawOpen at 1.
        """
        driver = self.calibration
        if self._style.region in ("pose", "eyes") or not (driver.speaks or self._shut):
            return self.shape
        photo_gap = float(lip_gap(self.shape))
        driver_gap = float(np.clip(lip_gap(driver.neutral) - driver.lips_met, 0, LARGEST_REST_GAP))
        closes = photo_gap > OPEN_MOUTH or self._shut
        rest_gap = driver_gap if closes else max(photo_gap, driver_gap)
        shape = self.shape + jaw * ((rest_gap - photo_gap) / float(lip_gap(jaw)))
        _separate_lips(shape)
        return shape.astype(np.float32)

    def _set_lids(self, canonical: FloatArray, lids: FloatArray) -> None:
        """Open or close the lids of `canonical` (478, 3), in place, by the driver's ratio `lids` (2,).

        A ratio closes eyes of any shape when the driver's close, which offsets would not.
        """
        shut = self.calibration.lids_shut
        ratio = np.clip((lids - shut) / (1 - shut), 0, WIDEST_LIDS)
        for eye in range(2):
            weight = float(self._weights[UPPER_LIDS[eye, 3]])
            opening = max(0.0, 1 + self._style.strength * weight * (float(ratio[eye]) - 1))
            upper, lower, fold = UPPER_LIDS[eye], LOWER_LIDS[eye], LID_FOLDS[eye]
            upper_lid = canonical[lower] + (self.shape[upper] - self.shape[lower]) * opening
            canonical[fold] += FOLD_SHARE * (upper_lid - canonical[upper])
            canonical[upper] = upper_lid

    def _relative_pose(self, moment: Moment) -> Pose:
        """The portrait's pose, changed as the driver's is since the reference, within limits."""
        if self._style.region not in ("all", "pose"):
            return self.rest
        strength = self._style.strength
        reference = self.calibration.reference if self._framing is None else self._framing.reference
        driver_rotation = moment.rotation @ reference.rotation.T
        angles = np.array(euler_from_rotation(driver_rotation), np.float32) * strength
        angles = ROTATION_LIMIT * np.tanh(angles / ROTATION_LIMIT)
        photo_yaw = float(euler_from_rotation(self.rest.rotation)[0])
        angles[0] = _limited_yaw(photo_yaw + float(angles[0])) - _limited_yaw(photo_yaw)
        rotation = rotation_from_euler(*angles)
        driver_shift = moment.translation - reference.translation
        driver_swing = -((driver_rotation - np.eye(3, dtype=np.float32)) @ (reference.rotation @ NECK))[:2]
        swing = -((rotation - np.eye(3, dtype=np.float32)) @ (self.rest.rotation @ NECK))[:2]
        travel = strength * TRAVEL_SHARE * (driver_shift - driver_swing)
        travel *= TRAVEL_LIMIT / np.hypot(TRAVEL_LIMIT, np.hypot(*travel))
        growth = float(moment.scale / reference.scale) ** (SCALE_SHARE * strength)
        origin = self.rest.origin.copy()
        origin[:2] += self.rest.scale * (PIVOT_SHARE * swing + travel)
        scale = self.rest.scale * float(np.clip(growth, *SCALE_RANGE))
        return Pose((rotation @ self.rest.rotation).astype(np.float32), scale, origin)

    def _absolute_pose(self, moment: Moment) -> Pose:
        """The driver's own pose in the portrait's picture."""
        if self._style.region not in ("all", "pose"):
            return self.rest
        framing = self._framing
        assert framing is not None
        origin = self.rest.origin.copy()
        origin[:2] = moment.translation * framing.unit * framing.fit + framing.shift
        return Pose(moment.rotation, float(moment.scale) * framing.unit * framing.fit, origin)


class RetargetedMotion:
    """Transfers a whole motion to a portrait, frame by frame, so that memory does not grow with its length.

    Each driver of a motion with cuts has a calibration of its own.
    """

    def __init__(self, motion: Motion, portrait: Portrait, style: Style, *, shut: bool = False) -> None:
        """Calibrate the drivers and fit the portrait; `shut` is that of `Retargeter`."""
        if emotions := parse_emotions(style.emotion):
            motion = with_emotions(motion, emotions)
        self._motion = motion
        self._drivers: dict[int, _Driver] = {}
        for take in motion.all_takes:
            if take.reference not in self._drivers:
                self._drivers[take.reference] = _Driver(motion, take, style, shut=shut)
        self._retargeters = {
            reference: driver.retargeter(portrait) for reference, driver in self._drivers.items()
        }

    def __len__(self) -> int:
        return len(self._motion)

    @property
    def rest(self) -> Pose:
        """The portrait's own pose."""
        return self._retargeters[self._motion.reference].rest

    def target(self, index: int, mouth: Mouth | None = None) -> TargetPose:
        """The portrait's target pose in frame `index`; `mouth` is that of `Retargeter.target`."""
        reference = self._motion.take_at(index).reference
        return self._retargeters[reference].target(moment_of(self._motion, index), mouth)

    def onto(self, portrait: Portrait, index: int, mouth: Mouth | None = None) -> TargetPose:
        """As `target`, for another portrait of the same person, such as a further frame of a video."""
        driver = self._drivers[self._motion.take_at(index).reference]
        return driver.retargeter(portrait).target(moment_of(self._motion, index), mouth)

    def rest_frame(self, take: Take, within: float) -> int:
        """Index of the frame in the first `within` seconds of a take that most resembles its driver's at rest."""
        motion, start = self._motion, self._drivers[take.reference].start
        frames = np.asarray(motion.frames_in(take), np.intp)
        frames = frames[motion.confidence[frames] > 0]
        if not len(frames):
            return take.start
        candidates = frames[motion.times[frames] <= motion.times[take.start] + within]
        if start in candidates:
            return start
        offsets, rotation = moment_of(motion, start).offsets, motion.rotation[start]
        distances = [
            float(
                np.abs(moment_of(motion, int(i)).offsets - offsets).mean()
                + ROTATION_WEIGHT * np.abs(motion.rotation[i] - rotation).mean()
            )
            for i in candidates
        ]
        return int(candidates[np.argmin(distances)] if distances else frames[0])


class _Driver:
    """One driver of a motion, calibrated.

    Attributes:
        start: Index of the frame that counts as rest: the reference or, for absolute motion, the one in which the
            driver most resembles the portrait.
    """

    def __init__(self, motion: Motion, take: Take, style: Style, *, shut: bool) -> None:
        """Calibrate the driver whose first take is `take`; `shut` is that of `Retargeter`."""
        self.start = take.reference
        self._motion, self._take, self._style, self._shut = motion, take, style, shut
        self._calibration = calibrate(motion, take)
        self._expressions = Expressions(motion, take) if style.absolute else None
        self._fit: tuple[float, FloatArray] | None = None

    def retargeter(self, portrait: Portrait) -> Retargeter:
        """The retargeter for a portrait; absolute motion keeps the framing that fits the first portrait."""
        motion, take = self._motion, self._take
        plain = Retargeter(self._calibration, portrait, self._style, shut=self._shut)
        if self._expressions is None:
            return plain
        self.start = self._expressions.most_similar(plain.shape)
        # Authored motion, which was tracked in no picture, has a frame size of 0.
        places = 0 not in motion.frame_size
        if self._fit is None:
            fit = fit_frame(motion, take, portrait, plain.rest) if places else (1.0, np.zeros(2, np.float32))
            self._fit = fit
        framing = Framing(take.unit, *self._fit, moment_of(motion, self.start), places)
        return plain.framed(framing)


def _limited_yaw(yaw: float) -> float:
    """A total yaw in degrees: unchanged up to TOTAL_YAW[0], then smoothly limited to TOTAL_YAW[1]."""
    begin, end = TOTAL_YAW
    excess = abs(yaw) - begin
    if excess <= 0:
        return yaw
    return float(np.sign(yaw)) * (begin + (end - begin) * float(np.tanh(excess / (end - begin))))


def _region_weights(neutral: FloatArray, region: str) -> FloatArray:
    """Weight of the motion's expression at each point of a neutral face (478, 3), (478,) float32 in 0..1."""
    nose, eyes = float(neutral[2, 1]), float(neutral[[33, 263], 1].mean())
    top = eyes + LIPS_REGION_TOP * (nose - eyes)
    below = np.clip((neutral[:, 1] - top) / (LIPS_REGION_FADE * (nose - eyes)), 0, 1)
    weights = {"pose": np.zeros_like(below), "lips": below, "eyes": 1 - below}
    return np.asarray(weights.get(region, np.ones_like(below)), np.float32)


def _proportions(shape: FloatArray, driver: FloatArray) -> FloatArray:
    """Factors on offsets, (478, 3), that adapt them from the driver's mouth and chin to the portrait's."""

    def sizes(face: FloatArray) -> tuple[float, float]:
        """Width of the mouth, and height from the nose's tip to the chin."""
        return float(np.linalg.norm(face[291] - face[61])), float(np.linalg.norm(face[152] - face[2]))

    (width, height), (driver_width, driver_height) = sizes(shape), sizes(driver)
    gain = np.ones((len(shape), 3), np.float32)
    lower = np.clip((shape[:, 1] - shape[2, 1] + PROPORTIONS_FADE) / PROPORTIONS_FADE, 0, 1)
    gain[:, 0] += lower * (np.clip(width / driver_width, *PROPORTIONS) - 1)
    gain[:, 1] += lower * (np.clip(height / driver_height, *PROPORTIONS) - 1)
    return gain


def _separate_lips(canonical: FloatArray) -> None:
    """Where the lower lip would pass through the upper one, let both meet midway; in place."""
    above, below = canonical[UPPER_INNER, 1], canonical[LOWER_INNER, 1]
    overlap = np.maximum(above - below, 0) / 2
    canonical[UPPER_INNER, 1] -= overlap
    canonical[LOWER_INNER, 1] += overlap
