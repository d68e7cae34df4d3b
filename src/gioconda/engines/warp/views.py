"""Photos of one view of a person: each is prepared when a frame first needs it, and one fades into the next."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from threading import Lock
from typing import Generic, TypeVar

import cv2
import numpy as np

from gioconda.engines.warp.choice import Mix, PhotoChoice
from gioconda.landmarks import fit_similarities
from gioconda.types import FloatArray, Image, Portrait, TargetPose

T = TypeVar("T")


class Views(Generic[T]):
    """A portrait and the further photos of its view.

    Attributes:
        photos: The portrait, then the photos.
        places: Indices of `photos` in the portrait followed by all of its further photos.
    """

    def __init__(self, portrait: Portrait, prepared: T, prepare: Callable[[Portrait], T]) -> None:
        """Keep the photos.

        Args:
            portrait: The portrait, with further photos.
            prepared: What `prepare` has returned for the portrait.
            prepare: Prepares a photo; it is called once for each that a frame needs.
        """
        places = [k for k, photo in enumerate(portrait.others, 1) if photo.same_view]
        self.photos = (portrait, *(portrait.others[k - 1] for k in places))
        self.places = (0, *places)
        self._prepare = prepare
        self._prepared: dict[int, T] = {0: prepared}
        self._locks = [Lock() for _ in self.photos]
        self._moves = [_movement(photo, portrait) for photo in self.photos]

    def prepared(self, index: int) -> T:
        """What is prepared of a photo; threads may ask at once."""
        with self._locks[index]:
            if index not in self._prepared:
                self._prepared[index] = self._prepare(self.photos[index])
            return self._prepared[index]

    def pose_of(self, index: int, target_pose: TargetPose) -> TargetPose:
        """A target pose of the portrait as one of a photo: the same landmarks, reached from the photo's own head."""
        if index == 0:
            return target_pose
        turn, grow, shift = self._moves[index]
        return replace(
            target_pose,
            turn=np.asarray(target_pose.turn @ turn, np.float32),
            grow=float(target_pose.grow * grow),
            shift=np.asarray(target_pose.grow * shift @ target_pose.turn.T + target_pose.shift, np.float32),
        )

    def chosen(self, target_poses: Iterable[TargetPose]) -> Iterator[tuple[TargetPose, Mix]]:
        """Each target pose with the photos that it is drawn from."""
        choice = PhotoChoice([photo.face.landmarks for photo in self.photos])
        for target_pose in target_poses:
            yield target_pose, choice.choose(target_pose.landmarks, target_pose.time)

    def picture(self, mix: Mix) -> Image:
        """The still picture (H, W, 3) of a mix; the caller must not change it."""
        return mixed(self.photos[mix.photo].image, self.photos[mix.following].image, mix.share)


def mixed(first: Image, second: Image, share: float) -> Image:
    """A picture with a share of another, both (H, W, 3) uint8; `first` itself without a share."""
    if share <= 0:
        return first
    return np.asarray(cv2.addWeighted(first, 1 - share, second, share, 0), np.uint8)


def _movement(photo: Portrait, portrait: Portrait) -> tuple[FloatArray, float, FloatArray]:
    """The turn (3, 3), growth and shift (3,) that take a photo's head to the portrait's, as those of a `TargetPose`."""
    rotation, scale, shift = fit_similarities(photo.face.landmarks, portrait.face.landmarks[None])
    return rotation[0], float(scale[0]), shift[0]
