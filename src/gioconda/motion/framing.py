"""Absolute motion: how the driver's own position, size and expression map to a portrait's picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gioconda.motion.gaze import IRISES
from gioconda.motion.lips import LOWER_INNER, UPPER_INNER
from gioconda.motion.moments import LOWER_LIDS, UPPER_LIDS, Moment, driver_neutral, moment_of
from gioconda.motion.pose import Pose
from gioconda.types import FloatArray, Motion, Portrait, Take

EXPRESSIVE = np.r_[UPPER_LIDS.ravel(), LOWER_LIDS.ravel(), UPPER_INNER, LOWER_INNER, 61, 291, IRISES.ravel()]
"""Landmarks that distinguish expressions: lids, lips, mouth corners, irises."""

SAME_PLACE, SAME_SIZE = 0.75, 0.2
"""Largest differences within one framing: of the position in inter-ocular units, of the logarithm of the size."""
COMPARED_FRAMES = 3000
"""The most frames of a motion that are compared with a portrait; more would take seconds and change nothing."""


@dataclass(frozen=True, eq=False)
class Framing:
    """How absolute motion maps to a portrait's picture.

    Attributes:
        unit: Pixels per inter-ocular distance, in the tracked picture.
        fit: Pixels of the portrait's picture per pixel of the tracked picture.
        shift: (2,) float32, pixels of the portrait's picture, added after scaling by `fit`.
        reference: The moment in which the driver's face most resembles the portrait's.
        places: Whether the driver's position and size are known; if not, the portrait keeps its own.
    """

    unit: float
    fit: float
    shift: FloatArray
    reference: Moment
    places: bool


class Expressions:
    """The faces that a driver makes, to search for the one that most resembles a portrait's."""

    def __init__(self, motion: Motion, take: Take) -> None:
        """Sample up to about COMPARED_FRAMES frames of the driver of a take."""
        frames, neutral = motion.frames_of(take), driver_neutral(take)
        self._frames: Sequence[int] = frames[:: max(1, len(frames) // COMPARED_FRAMES)].tolist()
        self._faces = np.stack(
            [neutral[EXPRESSIVE] + moment_of(motion, i).offsets[EXPRESSIVE] for i in self._frames]
        )

    def most_similar(self, shape: FloatArray) -> int:
        """Index of the frame whose eyes and lips most resemble those of a face (478, 3), canonical frame."""
        distance = np.abs(self._faces - shape[EXPRESSIVE]).mean((1, 2))
        return self._frames[int(distance.argmin())]


def fit_frame(motion: Motion, take: Take, portrait: Portrait, rest: Pose) -> tuple[float, FloatArray]:
    """Map the tracked picture to the portrait's picture, for absolute motion.

    If the driver's head is never about as large and about in the same place as the portrait's, position and size are
    matched in the moment in which both heads are turned most alike: any other framing would tear the picture.

    Args:
        motion: The driver's; its `frame_size` is known.
        take: The first of its driver. Later ones, of any framing, are placed as if they had the same.
        portrait: Whose face moves.
        rest: The portrait's own pose.

    Returns:
        Scale, pixels of the portrait's picture per pixel of the tracked one; and shift (2,) float32 in pixels of the
        portrait's picture.
    """
    height, width = portrait.image.shape[:2]
    fit = min(width / max(motion.frame_size[0], 1), height / max(motion.frame_size[1], 1))
    shift = ((np.array([width, height]) - fit * np.array(motion.frame_size)) / 2).astype(np.float32)
    seen = motion.frames_of(take)
    seen = seen[motion.confidence[seen] > 0]
    if not len(seen):
        return fit, shift
    places, sizes = motion.translation[seen] * take.unit, motion.scale[seen] * take.unit
    distance = np.linalg.norm(places * fit + shift - rest.origin[:2], axis=1) / rest.scale
    log_ratio = np.abs(np.log(sizes * fit / rest.scale))
    if np.any((distance < SAME_PLACE) & (log_ratio < SAME_SIZE)):
        return fit, shift
    # The trace of A B' is largest where the angle between the rotations A and B is smallest.
    best = int(np.einsum("nij,ij->n", motion.rotation[seen], rest.rotation).argmax())
    fit = float(rest.scale / sizes[best])
    return fit, (rest.origin[:2] - places[best] * fit).astype(np.float32)
