"""The driver's face in each frame of its video, from which an engine takes the mouth and the wrinkles."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass
from itertools import islice, repeat
from pathlib import Path
from typing import NamedTuple

import numpy as np

from gioconda.landmarks import bounds
from gioconda.motion.moments import picture_points
from gioconda.motion.retarget import RetargetedMotion
from gioconda.runtime.prefetch import run_ahead
from gioconda.tracking import read_part
from gioconda.types import DrivingPart, Face, FloatArray, Image, Motion, Mouth

# Bytes of the faces that stay in memory: some 30 s of a face of 200 pixels. Longer videos are decoded again.
MOST_BYTES = 128 << 20
# Room around the landmarks in a kept picture, in the longer side of the face: those of the motion are smoothed, and
# differ a little from those that were tracked.
ROOM = 0.08
# Pixels added to this room, for the squares around landmarks in which engines measure colours.
MORE_ROOM = 8
# Seconds of a take that are searched for the driver's face at rest, which may be decoded for it once more.
REST_SECONDS = 4.0


class FacePicture(NamedTuple):
    """A driver's frame, or the part of it around the face.

    Attributes:
        image: (h, w, 3) uint8 RGB.
        corner: x and y of its first pixel in the frame.
    """

    image: Image
    corner: tuple[int, int] = (0, 0)

    def mouth(self, motion: Motion, index: int, rest: Mouth | None = None) -> Mouth:
        """The mouth of frame `index`, with the landmarks of its motion and the driver at rest."""
        landmarks = picture_points(motion, index) - np.array([*self.corner, 0], np.float32)
        return Mouth(self.image, np.asarray(landmarks, np.float32), rest)


class KeptFaces:
    """The faces of a driver's frames, cut out while it is tracked, so that its video is decoded once.

    Where they need more than MOST_BYTES, none is kept.
    """

    def __init__(self) -> None:
        self._faces: list[FacePicture | None] | None = []
        self._bytes = 0

    def add(self, image: Image, face: Face | None) -> None:
        """Keep the face of the next frame (H, W, 3) uint8 RGB; None where it shows none."""
        if self._faces is None:
            return
        picture = None if face is None else _cut_out(image, face.landmarks)
        self._bytes += 0 if picture is None else picture.image.nbytes
        self._faces.append(picture)
        if self._bytes > MOST_BYTES:
            self._faces = None

    @property
    def all(self) -> list[FacePicture | None] | None:
        """The face in each frame, None in those without one; None where no face is kept."""
        return self._faces


def _cut_out(image: Image, landmarks: FloatArray) -> FacePicture:
    """A copy of the part of a frame around a face."""
    low, high = bounds(landmarks)
    room = ROOM * float(max(high - low)) + MORE_ROOM
    height, width = image.shape[:2]
    left, top = (max(int(value - room), 0) for value in low)
    right, bottom = min(int(high[0] + room) + 2, width), min(int(high[1] + room) + 2, height)
    if right <= left or bottom <= top:
        return FacePicture(image.copy())
    return FacePicture(image[top:bottom, left:right].copy(), (left, top))


@dataclass(frozen=True, eq=False)
class Driver:
    """A video that was tracked.

    Attributes:
        path: Of the video.
        part: The part that was tracked.
        faces: The faces that were kept then.
    """

    path: Path
    part: DrivingPart
    faces: KeptFaces

    def mouths(self, motion: Motion, retargeted: RetargetedMotion) -> Generator[Mouth | None, None, None]:
        """The mouth in each frame of the part, None where no face was tracked; never ends.

        Close it to end the threads that decode. When a damaged video is decoded again, it may have fewer frames: the
        length of the motion decides.

        Args:
            motion: That of the part.
            retargeted: The same on a portrait.
        """
        with closing(self._pictures()) as pictures, closing(self._rests(motion, retargeted)) as rests:
            for i, (picture, rest) in enumerate(zip(pictures, rests, strict=False)):
                tracked = motion.confidence[min(i, len(motion) - 1)] > 0
                yield None if picture is None or not tracked else picture.mouth(motion, i, rest)
        yield from repeat(None)

    def _rests(self, motion: Motion, retargeted: RetargetedMotion) -> Generator[Mouth | None, None, None]:
        """The face at rest in the take of each frame, None if decoding ends before it; never ends.

        A video that is decoded again is decoded for it only as far as the last take's frame at rest.
        """
        read = 0
        with closing(self._pictures()) as pictures:
            for take in motion.all_takes:
                index = retargeted.rest_frame(take, REST_SECONDS)
                picture = next(islice(pictures, index - read, None), None)
                read = index + 1
                rest = None if picture is None else picture.mouth(motion, index)
                yield from repeat(rest, len(motion.frames_in(take)))
        yield from repeat(rest)

    def _pictures(self) -> Generator[FacePicture | None, None, None]:
        """The face in each frame of the part, None where none was tracked; or the whole frame of all."""
        if self.faces.all is not None:
            yield from self.faces.all
            return
        with closing(run_ahead(read_part(self.path, self.part))) as frames:
            for frame in frames:
                yield FacePicture(frame.image)
