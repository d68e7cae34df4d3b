"""A portrait that is prepared once and then moved by sliders, keyframes or a stream, one picture at a time."""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import numpy as np

from gioconda import composite
from gioconda.engines import get_engine
from gioconda.inputs.portrait import load_portraits
from gioconda.motion.moments import DriverCalibration, Moment
from gioconda.motion.retarget import RetargetedMotion, Retargeter, Style
from gioconda.output import Marker
from gioconda.provenance import job_payload
from gioconda.render import Rendered
from gioconda.runtime.threads import hold_libraries
from gioconda.types import FloatArray, Image, Motion, Portrait, TargetPose

_Kept = TypeVar("_Kept")
# Motions that stay retargeted, and sizes of pictures whose marks stay prepared.
MOTIONS_KEPT, SIZES_KEPT = 32, 8


class Puppet:
    """A prepared portrait. Every picture of it has the visible label and the watermark.

    Attributes:
        side: Side of the square pictures in pixels.
        faces: Left, top, width and height of each face of the portrait, as shares of the whole picture.
        shown: Left, top, width and height of the square that is shown, as shares of the whole picture.
    """

    def __init__(self, portrait: Path, side: int, face: int = 0) -> None:
        """Find a face in a file and prepare it.

        Args:
            portrait: The file.
            side: Side of the pictures in pixels.
            face: Which face, 0 for the largest.

        Raises:
            InputError, NoFaceError, LimitError: As `load_portraits`.
        """
        hold_libraries()
        self._source = load_portraits(portrait, chosen=face, crop=True, size=side)
        self._portrait = self._source.portraits[0]
        self.side, self.faces, self.shown = side, self._source.found, self._source.shown
        self._engine = get_engine("warp")
        self._identity = self._engine.prepare(self._portrait)
        self._payload = job_payload("warp", self._source.ingredient.sha256, "live")
        self._markers: OrderedDict[int, Marker] = OrderedDict()
        self._next: deque[TargetPose] = deque(maxlen=1)
        alone = _alone(self._portrait)
        streamed = self._identity if alone is self._portrait else self._engine.prepare(alone)
        # The engine remembers the last picture, so that a stream does not flicker.
        self._stream = iter(self._engine.render(streamed, iter(self._next.popleft, None)))
        self._retargeted: OrderedDict[int, tuple[Motion, RetargetedMotion]] = OrderedDict()
        self._follows: Retargeter | None = None

    def still(self, motion: Motion, side: int | None = None) -> Image:
        """Draw the first moment of a motion, independently of earlier pictures.

        Args:
            motion: The motion.
            side: Of the picture in pixels, at most that of the portrait; None for that of the portrait.

        Returns:
            The marked picture (side, side, 3) uint8 RGB.
        """
        return self._single(RetargetedMotion(motion, self._portrait, Style()).target(0), side)

    def played(self, motion: Motion, seconds: float, side: int | None = None) -> Image:
        """Draw the moment of a motion at a time in seconds, as `still`. The latest motions stay prepared."""
        kept = self._retargeted
        if id(motion) not in kept:
            kept[id(motion)] = motion, RetargetedMotion(motion, self._portrait, Style())
        kept.move_to_end(id(motion))
        _shorten(kept, MOTIONS_KEPT)
        index = int(np.abs(motion.times - motion.times[0] - seconds).argmin())
        return self._single(kept[id(motion)][1].target(index), side)

    def streamed(self, moment: Moment, calibration: DriverCalibration, *, shut: bool = False) -> Image:
        """Draw the next moment of a live driver.

        Args:
            moment: The moment.
            calibration: The driver's.
            shut: Whether the lips meet at rest even if the portrait parts them, so that a voice can close them.

        Returns:
            The marked picture (side, side, 3) uint8 RGB.
        """
        if self._follows is None or self._follows.calibration is not calibration:
            self._follows = Retargeter(calibration, self._portrait, Style(), shut=shut)
        self._next.append(self._follows.target(moment))
        return self._finished(composite.compose(self._source.image, [next(self._stream)]))

    def _single(self, target_pose: TargetPose, side: int | None) -> Image:
        """Draw one pose, independently of earlier pictures."""
        patch = next(iter(self._engine.render(self._identity, (target_pose,))))
        return self._finished(composite.compose(self._source.image, [patch]), side)

    def _finished(self, image: Image, side: int | None = None) -> Image:
        """Reduce a picture to `side` pixels, and add the label and the watermark."""
        side = min(side or self.side, self.side)
        landmarks: FloatArray = self._portrait.face.landmarks
        if side != self.side:
            image = composite.resize(image, (side, side))
            landmarks = landmarks * np.float32(side / self.side)
        if side not in self._markers:
            self._markers[side] = Marker((side, side), self._payload, label=True)
        self._markers.move_to_end(side)
        _shorten(self._markers, SIZES_KEPT)
        return self._markers[side].mark(Rendered(image, [landmarks], 0.0))


def _alone(portrait: Portrait) -> Portrait:
    """A portrait that is always drawn from its own picture; the same where it always is.

    A photo of its view is prepared when a pose first needs it, and the pictures of a stream cannot wait for that.
    """
    if not any(photo.same_view for photo in portrait.others):
        return portrait
    return replace(portrait, others=tuple(replace(photo, same_view=False) for photo in portrait.others))


def _shorten(kept: OrderedDict[int, _Kept], most: int) -> None:
    """Drop the entries that have not been used for longest, beyond `most`."""
    while len(kept) > most:
        kept.popitem(last=False)
