"""Lay a motion on a portrait: its own face shape, the motion's pose and expression -> shots to render."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gioconda.errors import InputError
from gioconda.motion.expression import load_basis, offsets
from gioconda.motion.neutral import LIP_PAIRS
from gioconda.motion.pose import (
    NECK,
    Pose,
    euler_from_rotation,
    fit_pose,
    rotation_from_euler,
    to_unit_head,
)
from gioconda.types import ARKIT_INDEX, FloatArray, Motion, Mouth, Portrait, Shot

REGIONS = ("all", "pose", "expression", "lips", "eyes")

# Upper lid, lower lid and the fold above, corner to corner, viewer's left eye then viewer's right.
UPPER_LIDS = np.array([[246, 161, 160, 159, 158, 157, 173], [466, 388, 387, 386, 385, 384, 398]])
LOWER_LIDS = np.array([[7, 163, 144, 145, 153, 154, 155], [249, 390, 373, 374, 380, 381, 382]])
LID_FOLDS = np.array([[247, 30, 29, 27, 28, 56, 190], [467, 260, 259, 257, 258, 286, 414]])
UPPER_LIPS = np.array([191, 80, 81, 82, 13, 312, 311, 310, 415])
LOWER_LIPS = np.array([95, 88, 178, 87, 14, 317, 402, 318, 324])
IRISES = np.arange(468, 478)

TURN_LIMIT = np.array([34.0, 26.0, 30.0], np.float32)  # yaw, pitch, roll in degrees, softly
TOTAL_YAW = (26.0, 42.0)  # where a turn, the portrait's own included, begins to be held back, and its end
PIVOT_SHARE, TRAVEL_SHARE, TRAVEL_LIMIT = 0.7, 0.5, 0.45  # of the head's own shift; inter-ocular units
SCALE_SHARE = 0.6
SAME_PLACE, SAME_SIZE = 0.75, 0.2  # inter-ocular units, and log of the size: what counts as the same framing
HABIT_FRAMES = 1500
SPEAKS = 0.05  # inter-ocular units; lips that part by less do not speak
OPEN_MOUTH = 0.10  # inter-ocular units; a photo's mouth wider open than this is closed first
GAZE_GAIN = 1.15  # the tracker's irises move less than real ones


def landmark_offsets(motion: Motion, index: int) -> FloatArray:
    """How far a frame's landmarks are from the mover's neutral face: (478, 3), canonical frame."""
    change: FloatArray = offsets(motion.expression[index][None])[0]
    if motion.residual is not None:
        change = change + motion.residual[index]
    return change


def picture_points(motion: Motion, index: int) -> FloatArray:
    """Where the mover's own landmarks lie in the tracked picture, (478, 3) pixels; depth has no origin."""
    index = min(index, len(motion) - 1)
    face = load_basis().neutral if motion.neutral is None else motion.neutral
    origin = np.array([*motion.translation[index], 0.0], np.float32) * motion.unit
    size = float(motion.scale[index]) * motion.unit
    canonical = face + landmark_offsets(motion, index)
    return np.asarray(size * canonical @ motion.rotation[index].T + origin, np.float32)


@dataclass(frozen=True)
class Style:
    """How a motion is applied: absolute pose and expression or relative, which region, how strongly."""

    absolute: bool = False
    region: str = "all"
    strength: float = 1.0

    def __post_init__(self) -> None:
        if self.region not in REGIONS:
            raise InputError(f"unknown region {self.region!r}; use one of {', '.join(REGIONS)}")
        if not 0 <= self.strength <= 2:
            raise InputError(f"strength {self.strength:g} is out of range; use 0 to 2")


@dataclass(frozen=True)
class Habits:
    """What a mover's extremes look like to the tracker, which reports neither shut lids nor met lips as zero.

    lids_shut: opening of the lids when shut, as a share of that at rest. lips_met: gap of the lips when met.
    lips_apart: gap of the lips when widest.
    """

    lids_shut: float
    lips_met: float
    lips_apart: float

    @classmethod
    def of(cls, motion: Motion, mover: FloatArray) -> Habits:
        """Read off up to HABIT_FRAMES frames of a motion by a mover with the face at rest `mover` (478, 3)."""
        frames = range(0, len(motion), max(1, len(motion) // HABIT_FRAMES))
        lids, lips = [], []
        for index in frames:
            offset = landmark_offsets(motion, index)
            lids.append(float(lid_ratio(mover, offset).min()))
            lips.append(float(lip_gap(mover + offset)))
        lowest = float(np.percentile(lids, 0.5))
        told = len(motion) <= 2 and motion.neutral is None  # a look of sliders, and rest: no habit
        shut = float(np.clip(lowest, 0.1, 0.4)) if lowest < 0.55 and not told else 0.2
        return cls(shut, *(float(v) for v in np.percentile(lips, (2, 98))))


def lid_ratio(mover: FloatArray, offset: FloatArray) -> FloatArray:
    """How far the mover's two eyes are open, (2,): 1 as at rest."""
    now = mover + offset
    gap = np.linalg.norm(now[LOWER_LIDS] - now[UPPER_LIDS], axis=2)[:, 1:6].mean(1)
    rest = np.linalg.norm(mover[LOWER_LIDS] - mover[UPPER_LIDS], axis=2)[:, 1:6].mean(1)
    return np.asarray(gap / np.maximum(rest, 1e-4), np.float32)


def lip_gap(shape: FloatArray) -> np.float32:
    """How far the lips are apart, inter-ocular units; also for offsets."""
    return np.float32((shape[LIP_PAIRS[:, 1], 1] - shape[LIP_PAIRS[:, 0], 1]).mean())


class Retargeter:
    """Shots of `motion` for the face of `portrait`; frame by frame, so that memory does not grow.

    shut: at rest the lips are together, even where the photo parts them a little, so that a voice can close them.
    """

    def __init__(
        self,
        motion: Motion,
        portrait: Portrait,
        style: Style,
        *,
        habits: Habits | None = None,
        shut: bool = False,
        fit: tuple[float, FloatArray] | None = None,
    ) -> None:
        self._motion, self._style, self._shut = motion, style, shut
        basis = load_basis()
        mover = basis.neutral if motion.neutral is None else motion.neutral
        head = mover if style.absolute else basis.neutral
        if not style.absolute:
            first = fit_pose(portrait.face.landmarks, head)
            head = to_unit_head(first.to_canonical(portrait.face.landmarks))
        self.rest = fit_pose(portrait.face.landmarks, head)
        self._shape = self.rest.to_canonical(portrait.face.landmarks)
        self._mover = mover
        self._habits = habits or Habits.of(motion, mover)
        self._weights = _region_weights(basis.neutral, style.region)
        self._framed = style.absolute and 0 not in motion.frame_size
        self._reference = motion.reference
        self._start = np.zeros_like(self._shape)
        if style.absolute:
            self._reference = self._most_alike()
            self._start = self._offsets(self._reference)
        else:
            self._shape = self._with_lips_at_rest(basis.offsets[ARKIT_INDEX["jawOpen"]])
        self._gain = np.ones((1, 3), np.float32) if style.absolute else _proportions(self._shape, mover)
        if fit is None and self._framed:
            fit = _frame_fit(motion, portrait, self.rest)
        self._fit = fit or (1.0, np.zeros(2, np.float32))

    def __len__(self) -> int:
        return len(self._motion)

    def shot(self, index: int, mouth: Mouth | None = None) -> Shot:
        """Frame `index` of the motion on the portrait."""
        motion, rest = self._motion, self.rest
        pose = self._absolute_pose(index) if self._framed else self._relative_pose(index)
        turn = pose.rotation @ rest.rotation.T
        grow = pose.scale / rest.scale
        return Shot(
            time=float(motion.times[index]),
            landmarks=pose.to_picture(self._canonical(index)),
            turn=turn,
            grow=grow,
            shift=pose.origin - grow * rest.origin @ turn.T,
            expression=(motion.expression[index] * self._style.strength).astype(np.float32),
            mouth=mouth,
            creases=self._style.strength if self._style.region in ("all", "expression") else 0.0,
        )

    def rest_frame(self, within: float) -> int:
        """The frame of the first `within` seconds in which the mover looks most as at the motion's start."""
        motion, start = self._motion, self._reference
        if motion.times[start] <= within:
            return start
        early = np.flatnonzero((motion.times <= within) & (motion.confidence > 0))
        wanted, turn = self._offsets(start), motion.rotation[start]
        far = [
            float(np.abs(self._offsets(i) - wanted).mean() + 0.05 * np.abs(motion.rotation[i] - turn).mean())
            for i in early
        ]
        return int(early[np.argmin(far)]) if far else start

    def onto(self, portrait: Portrait) -> Retargeter:
        """The same motion laid on another portrait."""
        return Retargeter(
            self._motion, portrait, self._style, habits=self._habits, shut=self._shut, fit=self._fit
        )

    def _offsets(self, index: int) -> FloatArray:
        return landmark_offsets(self._motion, index)

    def _canonical(self, index: int) -> FloatArray:
        """The portrait's points in the canonical frame with the expression of the moment, (478, 3)."""
        offset = self._offsets(index)
        change = (offset - self._start) * self._gain
        if not self._style.absolute:
            change[IRISES] *= GAZE_GAIN
        change *= self._style.strength * self._weights[:, None]
        canonical = self._shape + change
        if not self._style.absolute and self._style.region != "pose":
            self._set_lids(canonical, offset)
        _part_lips(canonical)
        return canonical

    def _with_lips_at_rest(self, jaw: FloatArray) -> FloatArray:
        """The portrait's shape with its jaw where the mover's lips are at rest: met, or parted as theirs.

        A mouth that the photo shows wide open is closed first, else it could never close; unless the motion
        does not move the lips, or is a single moment, whose smile is not to be taken away.
        """
        speaks = self._habits.lips_apart - self._habits.lips_met > SPEAKS and len(self._motion) > 2
        if self._style.region in ("pose", "eyes") or not speaks:
            return self._shape
        own = float(lip_gap(self._shape))
        parted = float(np.clip(lip_gap(self._mover) - self._habits.lips_met, 0, 0.12))
        wanted = parted if own > OPEN_MOUTH or self._shut else max(own, parted)
        shape = self._shape + jaw * ((wanted - own) / float(lip_gap(jaw)))
        _part_lips(shape)
        return shape.astype(np.float32)

    def _set_lids(self, canonical: FloatArray, offset: FloatArray) -> None:
        """Open or close the portrait's lids by the mover's ratio: shut is shut on any shape of eye."""
        floor = self._habits.lids_shut
        ratio = np.clip((lid_ratio(self._mover, offset) - floor) / (1 - floor), 0, 1.7)
        for eye in range(2):
            weight = float(self._weights[UPPER_LIDS[eye, 3]])
            wanted = max(0.0, 1 + self._style.strength * weight * (float(ratio[eye]) - 1))
            upper, lower, fold = UPPER_LIDS[eye], LOWER_LIDS[eye], LID_FOLDS[eye]
            placed = canonical[lower] + (self._shape[upper] - self._shape[lower]) * wanted
            canonical[fold] += 0.4 * (placed - canonical[upper])
            canonical[upper] = placed

    def _relative_pose(self, index: int) -> Pose:
        if self._style.region not in ("all", "pose"):
            return self.rest
        motion, ref, k = self._motion, self._reference, self._style.strength
        turn = motion.rotation[index] @ motion.rotation[ref].T
        angles = np.array(euler_from_rotation(turn), np.float32) * k
        angles = TURN_LIMIT * np.tanh(angles / TURN_LIMIT)
        own = float(euler_from_rotation(self.rest.rotation)[0])
        angles[0] = _held_back(own + float(angles[0])) - _held_back(own)
        applied = rotation_from_euler(*angles)
        shift = motion.translation[index] - motion.translation[ref]
        swing = -((turn - np.eye(3, dtype=np.float32)) @ (motion.rotation[ref] @ NECK))[:2]
        own_swing = -((applied - np.eye(3, dtype=np.float32)) @ (self.rest.rotation @ NECK))[:2]
        travel = k * TRAVEL_SHARE * (shift - swing)
        travel *= TRAVEL_LIMIT / np.hypot(TRAVEL_LIMIT, np.hypot(*travel))
        growth = float(motion.scale[index] / motion.scale[ref]) ** (SCALE_SHARE * k)
        origin = self.rest.origin.copy()
        origin[:2] += self.rest.scale * (PIVOT_SHARE * own_swing + travel)
        scale = self.rest.scale * float(np.clip(growth, 0.8, 1.25))
        return Pose((applied @ self.rest.rotation).astype(np.float32), scale, origin)

    def _absolute_pose(self, index: int) -> Pose:
        if self._style.region not in ("all", "pose"):
            return self.rest
        motion, (fit, shift) = self._motion, self._fit
        origin = self.rest.origin.copy()
        origin[:2] = motion.translation[index] * motion.unit * fit + shift
        return Pose(motion.rotation[index], float(motion.scale[index]) * motion.unit * fit, origin)

    def _most_alike(self) -> int:
        """The frame whose eyes and lips are most like the portrait's: the start of absolute expression."""
        points = np.r_[UPPER_LIDS.ravel(), LOWER_LIDS.ravel(), UPPER_LIPS, LOWER_LIPS, 61, 291, IRISES]
        own = self._shape[points]
        step = max(1, len(self._motion) // 3000)
        far = [
            float(np.abs(self._mover[points] + self._offsets(i)[points] - own).mean())
            for i in range(0, len(self._motion), step)
        ]
        return int(np.argmin(far)) * step


def _held_back(yaw: float) -> float:
    """A total turn, identity up to TOTAL_YAW[0], then bending toward TOTAL_YAW[1] degrees."""
    begin, end = TOTAL_YAW
    over = abs(yaw) - begin
    if over <= 0:
        return yaw
    return float(np.sign(yaw)) * (begin + (end - begin) * float(np.tanh(over / (end - begin))))


def _region_weights(neutral: FloatArray, region: str) -> FloatArray:
    """How much of the motion's expression each point takes, (478,) in 0..1."""
    nose, eyes = float(neutral[2, 1]), float(neutral[[33, 263], 1].mean())
    below = np.clip((neutral[:, 1] - (eyes + 0.55 * (nose - eyes))) / (0.4 * (nose - eyes)), 0, 1)
    weights = {"pose": np.zeros_like(below), "lips": below, "eyes": 1 - below}
    return weights.get(region, np.ones_like(below)).astype(np.float32)


def _proportions(shape: FloatArray, mover: FloatArray) -> FloatArray:
    """Gain of offsets (478, 3) that suits the portrait's mouth and chin rather than the mover's."""

    def sizes(face: FloatArray) -> tuple[float, float]:
        return float(np.linalg.norm(face[291] - face[61])), float(np.linalg.norm(face[152] - face[2]))

    (width, height), (width_m, height_m) = sizes(shape), sizes(mover)
    gain = np.ones((len(shape), 3), np.float32)
    lower = np.clip((shape[:, 1] - shape[2, 1] + 0.2) / 0.2, 0, 1)
    gain[:, 0] += lower * (np.clip(width / width_m, 0.7, 1.4) - 1)
    gain[:, 1] += lower * (np.clip(height / height_m, 0.7, 1.4) - 1)
    return gain


def _part_lips(canonical: FloatArray) -> None:
    """Where the lower lip would pass through the upper, let both meet midway; in place."""
    above, below = canonical[UPPER_LIPS, 1], canonical[LOWER_LIPS, 1]
    over = np.maximum(above - below, 0) / 2
    canonical[UPPER_LIPS, 1] -= over
    canonical[LOWER_LIPS, 1] += over


def _frame_fit(motion: Motion, portrait: Portrait, rest: Pose) -> tuple[float, FloatArray]:
    """Scale and shift in pixels from the tracked frame to the portrait's picture, for absolute motion.

    Where the mover's head is never about where the portrait's is, nor about as large, its place and size count from the
    moment in which it is turned most like the portrait's: another framing would tear the picture.
    """
    height, width = portrait.image.shape[:2]
    fit = min(width / max(motion.frame_size[0], 1), height / max(motion.frame_size[1], 1))
    shift = ((np.array([width, height]) - fit * np.array(motion.frame_size)) / 2).astype(np.float32)
    seen = motion.confidence > 0
    if not np.any(seen):
        return fit, shift
    places, sizes = motion.translation[seen] * motion.unit, motion.scale[seen] * motion.unit
    away = np.linalg.norm(places * fit + shift - rest.origin[:2], axis=1) / rest.scale
    larger = np.abs(np.log(sizes * fit / rest.scale))
    if np.any((away < SAME_PLACE) & (larger < SAME_SIZE)):
        return fit, shift
    alike = int(np.einsum("nij,ij->n", motion.rotation[seen], rest.rotation).argmax())
    fit = float(rest.scale / sizes[alike])
    return fit, (rest.origin[:2] - places[alike] * fit).astype(np.float32)
