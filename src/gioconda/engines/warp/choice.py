"""Which of a person's photos each frame is drawn from: the one that the frame's pose deforms least.

Photos are of one view: the same camera, room and light. Drawing over the nearest of several photos is what few-shot
heads do with their embeddings (Zakharov et al., *Few-Shot Adversarial Learning of Realistic Neural Talking Head
Models*, ICCV 2019), with the person's own pixels in place of an embedding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gioconda.engines.warp.eyes import lid_openings
from gioconda.engines.warp.visibility import POINTS
from gioconda.landmarks import inter_ocular
from gioconda.types import FloatArray

Doubles = npt.NDArray[np.float64]

# Weights of the offset, the shape and the lids in a deformation. They predict the perceptual distance of a frame that
# is drawn from a photo, as a share of the mean over photos: least squares over the training clips of
# benchmarks/photos.py. Offsets and shapes are in inter-ocular units, openings of the lids in widths of the eye.
WEIGHTS = 0.45, 14.0, 0.6
# Share of the present photo's deformation below which another photo replaces it: less would flicker.
SWITCH = 0.75
# Deformation that the tracker's noise reaches; less counts as much, so that a photo as good as the frame itself stays.
NOISE = 0.15
# Seconds for which a photo stays at least, and seconds over which the next one fades in.
STAY_SECONDS, FADE_SECONDS = 0.24, 0.16
# Seconds of the frames to come for which a photo is chosen, where they are known.
LOOK_SECONDS = 0.4


@dataclass(frozen=True)
class Mix:
    """The photos of one frame.

    Attributes:
        photo: Index of the photo that the frame is drawn from.
        following: Index of the photo that fades in; the same without one.
        share: Of `following`, 0 to 1.
    """

    photo: int
    following: int
    share: float = 0.0

    @property
    def main(self) -> int:
        """Index of the photo that shows more."""
        return self.following if 2 * self.share > 1 else self.photo

    @property
    def other(self) -> int:
        """Index of the photo that shows less."""
        return self.photo if 2 * self.share > 1 else self.following


ONLY_PHOTO = Mix(0, 0)


class PhotoChoice:
    """Chooses the photo of each frame of a running job, in the order of the frames; it remembers the last one."""

    def __init__(self, photos: Sequence[FloatArray]) -> None:
        """Begin a job.

        Args:
            photos: The landmarks (478, 3) of each photo, in pixels of the portrait.
        """
        self._points = np.stack([points[:, :2] for points in photos]).astype(np.float64)
        self._lids = np.stack([lid_openings(points) for points in photos])
        self._mix: Mix | None = None
        self._since = 0.0

    def terms(self, landmarks: FloatArray) -> FloatArray:
        """What a frame asks of each photo, before it is weighed.

        Args:
            landmarks: (478, 3), the frame's, in pixels of the portrait.

        Returns:
            (K, 3) float32: the points' mean offset and the difference of the shapes, in inter-ocular units, and the
            difference of the lids' openings, in widths of the eye.
        """
        target = landmarks[:POINTS, :2].astype(np.float64)
        sources = self._points[:, :POINTS]
        unit = inter_ocular(landmarks)
        offset = np.abs(sources - target).sum(2).mean(1) / unit
        shape = _shape_distances(sources, target) / unit
        lids = np.abs(self._lids - lid_openings(landmarks)).sum(1)
        return np.stack([offset, shape, lids], 1).astype(np.float32)

    def deformations(self, landmarks: FloatArray) -> FloatArray:
        """How far each photo must be deformed for a frame.

        Args:
            landmarks: (478, 3), the frame's, in pixels of the portrait.

        Returns:
            (K,) float32: 0 for the same picture, 1 for about what a photo by chance costs.
        """
        return np.asarray(self.terms(landmarks) @ np.array(WEIGHTS, np.float32), np.float32)

    def choose(self, deformations: FloatArray, time: float) -> Mix:
        """Choose the photo of the next frame.

        Args:
            deformations: (K,), of each photo for the frame, or in the mean for it and those that come.
            time: Of the frame, in seconds.
        """
        best = int(np.argmin(deformations))
        if self._mix is None:
            self._mix, self._since = Mix(best, best), time
            return self._mix
        photo, following, share = self._mix.photo, self._mix.following, 1.0
        if following != photo:
            share = min((time - self._since) / FADE_SECONDS, 1.0)
        if share >= 1:
            photo, share = following, 0.0
            nearer = max(float(deformations[best]), NOISE) < SWITCH * float(deformations[photo])
            if nearer and time - self._since >= STAY_SECONDS:
                following, self._since = best, time
        self._mix = Mix(photo, following, share)
        return self._mix


def spread_photos(landmarks: Sequence[FloatArray], first: int, count: int) -> list[int]:
    """Choose photos so that every other one is close to one of them.

    Greedy facility location: each further photo lowers the mean squared deformation of all most.

    Args:
        landmarks: (478, 3) of each photo, in pixels of one view.
        first: Index of the photo that is chosen in any case.
        count: How many to choose, at most.

    Returns:
        Their indices, `first` first, then those that lower it most.
    """
    distances = PhotoChoice(landmarks)
    squares = np.stack([distances.deformations(points) for points in landmarks]) ** 2
    chosen, nearest = [first], squares[:, first]
    while len(chosen) < min(count, len(landmarks)):
        totals = np.minimum(squares, nearest[:, None]).sum(0)
        totals[chosen] = np.inf
        chosen.append(int(np.argmin(totals)))
        nearest = np.minimum(nearest, squares[:, chosen[-1]])
    return chosen


def _shape_distances(sources: Doubles, target: Doubles) -> FloatArray:
    """Mean distances (K,), in pixels, from points (K, N, 2) to points (N, 2) after the best similarity in the plane."""
    from_points = (sources - sources.mean(1, keepdims=True)) @ np.array([1, 1j])
    to_points = (target - target.mean(0)) @ np.array([1, 1j])
    # A complex number that rotates and scales.
    similarity = (from_points.conj() @ to_points) / (np.abs(from_points) ** 2).sum(1)
    return np.asarray(np.abs(to_points - similarity[:, None] * from_points).mean(1), np.float32)
