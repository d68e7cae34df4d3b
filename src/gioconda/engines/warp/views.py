"""Photos of one view of a person: each is prepared when a frame first needs it, and one fades into the next."""

from __future__ import annotations

from collections import OrderedDict, deque
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

# Longest side, in pixels, of the pictures between which optical flow is sought, and the least side that suits it.
FLOW_SIDE, FLOW_LEAST = 256, 24
# Pixels of those pictures (sigma) over which the flow is smoothed.
FLOW_SOFT = 2.0


# Pixels of all photos that stay prepared, which take some 20 bytes each, and the least number of such photos.
KEPT_PIXELS, KEPT_LEAST = 12_000_000, 4


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
            prepare: Prepares a photo; it is called when a frame needs one that is not kept.
        """
        places = [k for k, photo in enumerate(portrait.others, 1) if photo.same_view]
        self.photos = (portrait, *(portrait.others[k - 1] for k in places))
        self.places = (0, *places)
        self._prepare = prepare
        self._own = prepared
        self._kept: OrderedDict[int, T] = OrderedDict()
        height, width = portrait.image.shape[:2]
        self._most = max(KEPT_PIXELS // (height * width), KEPT_LEAST)
        self._lock, self._locks = Lock(), [Lock() for _ in self.photos]
        self._moves = [_movement(photo, portrait) for photo in self.photos]

    def prepared(self, index: int) -> T:
        """What is prepared of a photo; threads may ask at once. Photos that served last stay prepared."""
        if index == 0:
            return self._own
        with self._locks[index]:
            with self._lock:
                found = self._kept.pop(index, None)
            if found is None:
                found = self._prepare(self.photos[index])
            with self._lock:
                self._kept[index] = found
                while len(self._kept) > self._most:
                    self._kept.popitem(last=False)
            return found

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

    def chosen(
        self, target_poses: Iterable[TargetPose], look_seconds: float
    ) -> Iterator[tuple[TargetPose, Mix]]:
        """Each target pose with the photos that it is drawn from.

        Args:
            target_poses: In their order.
            look_seconds: Seconds of poses that are taken in advance, for which a photo has to serve; 0 where each pose
                must be answered before the next one comes.
        """
        choice = PhotoChoice([photo.face.landmarks for photo in self.photos])
        waiting: deque[tuple[TargetPose, FloatArray]] = deque()
        for target_pose in target_poses:
            waiting.append((target_pose, choice.deformations(target_pose.landmarks)))
            while waiting and target_pose.time - waiting[0][0].time >= look_seconds:
                yield _first(waiting, choice)
        while waiting:
            yield _first(waiting, choice)

    def picture(self, mix: Mix) -> Image:
        """The still picture (H, W, 3) of a mix; the caller must not change it."""
        return mixed(self.photos[mix.photo].image, self.photos[mix.following].image, mix.share)


def _first(waiting: deque[tuple[TargetPose, FloatArray]], choice: PhotoChoice) -> tuple[TargetPose, Mix]:
    """Take the first of the waiting poses, with the photos that suit it and the others."""
    mean = np.mean([deformations for _, deformations in waiting], axis=0)
    target_pose, _ = waiting.popleft()
    return target_pose, choice.choose(mean, target_pose.time)


def mixed(first: Image, second: Image, share: float) -> Image:
    """A picture with a share of another, both (H, W, 3) uint8; `first` itself without a share."""
    if share <= 0:
        return first
    return np.asarray(cv2.addWeighted(first, 1 - share, second, share, 0), np.uint8)


def morphed(first: Image, second: Image, share: float) -> Image:
    """A picture on its way to another, both (H, W, 3) uint8: what lies apart in both moves, so that nothing doubles.

    share: of the second, 0 to 1. Optical flow takes the contours of hair and shoulders from one to the other; the face
    lies in one place already.
    """
    scale = min(1.0, FLOW_SIDE / max(first.shape[:2]))
    size = (max(FLOW_LEAST, round(first.shape[1] * scale)), max(FLOW_LEAST, round(first.shape[0] * scale)))
    small = (
        cv2.cvtColor(cv2.resize(image, size, interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY)
        for image in (first, second)
    )
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    flow = cv2.GaussianBlur(search.calc(*small, None), (0, 0), FLOW_SOFT)  # type: ignore[call-overload]
    ratio = np.array([first.shape[1] / size[0], first.shape[0] / size[1]], np.float32)
    flow = cv2.resize(flow * ratio, (first.shape[1], first.shape[0]))
    xs = np.arange(first.shape[1], dtype=np.float32)
    ys = np.arange(first.shape[0], dtype=np.float32)[:, None]
    moved = (
        cv2.remap(
            image,
            xs + part * flow[..., 0],
            ys + part * flow[..., 1],
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )
        for image, part in ((first, -share), (second, 1 - share))
    )
    return mixed(np.asarray(next(moved), np.uint8), np.asarray(next(moved), np.uint8), share)


def _movement(photo: Portrait, portrait: Portrait) -> tuple[FloatArray, float, FloatArray]:
    """The turn (3, 3), growth and shift (3,) that take a photo's head to the portrait's, as those of a `TargetPose`."""
    rotation, scale, shift = fit_similarities(photo.face.landmarks, portrait.face.landmarks[None])
    return rotation[0], float(scale[0]), shift[0]
