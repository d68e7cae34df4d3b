"""The two parts of a motion: a calibration of its driver, and moments, which a live source delivers one by one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gioconda.motion.expression import load_basis, offsets
from gioconda.motion.lips import open_rounded
from gioconda.motion.neutral import LIP_PAIRS
from gioconda.types import FloatArray, Motion, Take

# Upper lid and lower lid, corner to corner, viewer's left eye then viewer's right.
UPPER_LIDS = np.array([[246, 161, 160, 159, 158, 157, 173], [466, 388, 387, 386, 385, 384, 398]])
LOWER_LIDS = np.array([[7, 163, 144, 145, 153, 154, 155], [249, 390, 373, 374, 380, 381, 382]])

CALIBRATION_FRAMES = 1500
"""Frames of a motion in which the driver's extremes are measured: enough for stable percentiles."""
SPEAKS = 0.05
"""Inter-ocular units; lips that part by less do not speak."""
SHUT_LIDS = 0.2
"""Opening of shut lids as a share of that at rest, where the motion shows no shut ones."""
SHUT_LIDS_RANGE = (0.1, 0.4)
"""Bounds of that opening where it is measured."""
BLINKS = 0.55
"""Share of the opening at rest: lids that never close below it do not blink in the motion."""
LOWEST_LIDS = 0.5
"""Percentile of the lids' opening that counts as shut: blinks are short, and single frames are noisy."""
LIP_PERCENTILES = (2, 98)
"""Percentiles of the lips' gap that count as met and as apart."""
MIDDLE = slice(1, 6)
"""Points of a lid without those next to the corners, which hardly move."""
SMALLEST_OPENING = 1e-4
"""Inter-ocular units; keeps a ratio to eyes that are shut at rest finite."""
STILL_FRAMES = 2
"""Frames of a motion of `still_motion`: a pose and rest, which show no extremes."""


@dataclass(frozen=True, eq=False)
class Moment:
    """Pose and expression of a driver's face at one moment.

    Attributes:
        time: Seconds.
        rotation: (3, 3) float32, canonical head frame to picture axes.
        translation: (2,) float32, position of the canonical origin in the picture, in the driver's inter-ocular
            distances at rest.
        scale: Inter-ocular distance, relative to that at rest.
        offsets: (478, 3) float32, landmarks less those of the driver's neutral face, canonical frame, inter-ocular
            units.
        expression: (52,) float32 ARKit coefficients, 0 to 1.
    """

    time: float
    rotation: FloatArray
    translation: FloatArray
    scale: float
    offsets: FloatArray
    expression: FloatArray


@dataclass(frozen=True, eq=False)
class DriverCalibration:
    """Measurements of a driver that the transfer of every moment needs.

    Attributes:
        neutral: (478, 3) float32, the driver's face at rest, canonical frame, inter-ocular units.
        reference: The moment relative to which the pose changes.
        lids_shut: Opening of shut lids, as a share of that at rest; the tracker does not report 0.
        lips_met: Gap of lips that touch, inter-ocular units.
        speaks: Whether the lips part in the motion.
    """

    neutral: FloatArray
    reference: Moment
    lids_shut: float
    lips_met: float
    speaks: bool


def calibrate(motion: Motion, take: Take) -> DriverCalibration:
    """Measure the driver of a take in some CALIBRATION_FRAMES of all frames of that driver."""
    neutral = driver_neutral(take)
    lids, lips = [], []
    frames = motion.frames_of(take)
    for index in frames[:: max(1, len(frames) // CALIBRATION_FRAMES)].tolist():
        change = landmark_offsets(motion, index)
        lids.append(float(lid_ratio(neutral, change).min()))
        lips.append(float(lip_gap(neutral + change)))
    lowest = float(np.percentile(lids, LOWEST_LIDS))
    still = len(motion) <= STILL_FRAMES and take.neutral is None
    met, apart = (float(value) for value in np.percentile(lips, LIP_PERCENTILES))
    return DriverCalibration(
        neutral=neutral,
        reference=moment_of(motion, take.reference),
        lids_shut=float(np.clip(lowest, *SHUT_LIDS_RANGE)) if lowest < BLINKS and not still else SHUT_LIDS,
        lips_met=met,
        speaks=apart - met > SPEAKS and len(motion) > STILL_FRAMES,
    )


def moment_of(motion: Motion, index: int) -> Moment:
    """Frame `index` of a motion, with rounded lips opened (`open_rounded`)."""
    change = landmark_offsets(motion, index)
    open_rounded(change[None], driver_neutral(motion.take_at(index)))
    return Moment(
        time=float(motion.times[index]),
        rotation=motion.rotation[index],
        translation=motion.translation[index],
        scale=motion.scale[index],
        offsets=change,
        expression=motion.expression[index],
    )


def driver_neutral(take: Take) -> FloatArray:
    """The driver's face at rest (478, 3) float32, canonical frame; the mean face if none was tracked."""
    return load_basis().neutral if take.neutral is None else take.neutral


def landmark_offsets(motion: Motion, index: int) -> FloatArray:
    """Landmarks of a frame less the driver's neutral face, (478, 3) float32, canonical frame, inter-ocular units."""
    change: FloatArray = offsets(motion.expression[index][None])[0]
    if motion.residual is not None:
        change = change + motion.residual[index]
    return change


def picture_points(motion: Motion, index: int) -> FloatArray:
    """The driver's landmarks in the tracked picture, (478, 3) float32 pixels, with depth relative to the head's origin.

    Args:
        motion: The driver's.
        index: Of the frame; beyond the last frame, the last one counts.
    """
    index = min(index, len(motion) - 1)
    take = motion.take_at(index)
    origin = np.array([*(motion.translation[index] * take.unit + take.shift), 0.0], np.float32)
    size = float(motion.scale[index]) * take.unit
    canonical = driver_neutral(take) + landmark_offsets(motion, index)
    return np.asarray(size * canonical @ motion.rotation[index].T + origin, np.float32)


def lid_ratio(neutral: FloatArray, change: FloatArray) -> FloatArray:
    """Opening of each eye relative to that at rest.

    Args:
        neutral: (478, 3), the driver's face at rest, canonical frame.
        change: (478, 3), landmarks less `neutral`.

    Returns:
        (2,) float32: viewer's left eye, then viewer's right; 1 as at rest, about 0 if shut.
    """
    lower, upper = LOWER_LIDS[:, MIDDLE], UPPER_LIDS[:, MIDDLE]
    rest_gaps = neutral[lower] - neutral[upper]
    gaps = rest_gaps + (change[lower] - change[upper])
    gap, rest = (np.sqrt((across * across).sum(2)).mean(1) for across in (gaps, rest_gaps))
    return np.asarray(gap / np.maximum(rest, SMALLEST_OPENING), np.float32)


def lip_gap(shape: FloatArray) -> np.float32:
    """Mean height of the lips' gap of a face (478, 3), or its change for offsets (478, 3); inter-ocular units."""
    return np.float32((shape[LIP_PAIRS[:, 1], 1] - shape[LIP_PAIRS[:, 0], 1]).mean())
