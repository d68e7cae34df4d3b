"""A portrait that is prepared once and then moved by sliders, keyframes or a camera, one picture at a time."""

from __future__ import annotations

from collections import deque
from pathlib import Path

from gioconda import composite
from gioconda.engines import get_engine
from gioconda.inputs.portrait import load_portraits
from gioconda.motion.edit import still_motion
from gioconda.motion.keyframes import FPS
from gioconda.motion.moments import DriverCalibration, Moment
from gioconda.motion.retarget import RetargetedMotion, Retargeter, Style
from gioconda.output import Marker
from gioconda.provenance import job_payload
from gioconda.render import Rendered
from gioconda.runtime.blas import hold_blas
from gioconda.types import Image, Motion, TargetPose


class Puppet:
    """A prepared portrait. Every picture of it has the visible label and the watermark."""

    def __init__(self, portrait: Path, side: int) -> None:
        """Find the face in a file and prepare it, in a square of `side` pixels; errors as of `load_portraits`."""
        hold_blas()
        self._source = load_portraits(portrait, chosen=0, crop=True, size=side)
        self._portrait = self._source.portraits[0]
        self._engine = get_engine("warp")
        self._identity = self._engine.prepare(self._portrait)
        payload = job_payload("warp", self._source.ingredient.sha256, "live")
        self._marker = Marker((side, side), payload, label=True)
        self._next: deque[TargetPose] = deque(maxlen=1)
        # The engine remembers the last picture, so that a stream does not flicker.
        self._stream = iter(self._engine.render(self._identity, iter(self._next.popleft, None)))
        self._played: tuple[Motion, RetargetedMotion] | None = None
        self._follows: Retargeter | None = None

    def still(self, motion: Motion) -> Image:
        """Draw the first moment of a motion, independently of earlier pictures; (side, side, 3) uint8 RGB."""
        return self._single(RetargetedMotion(motion, self._portrait, Style()).target(0))

    def at_rest(self) -> Image:
        """Draw the portrait in its own pose; (side, side, 3) uint8 RGB."""
        return self.still(still_motion(0, 0, 0, 0, 0, {}))

    def played(self, motion: Motion, seconds: float) -> Image:
        """Draw a moment of a motion, in seconds; (side, side, 3) uint8 RGB. The last motion stays prepared."""
        if self._played is None or self._played[0] is not motion:
            self._played = motion, RetargetedMotion(motion, self._portrait, Style())
        index = min(max(0, round(seconds * FPS)), len(motion) - 1)
        return self._single(self._played[1].target(index))

    def streamed(self, moment: Moment, calibration: DriverCalibration) -> Image:
        """Draw the next moment of a driver before the camera; (side, side, 3) uint8 RGB."""
        if self._follows is None or self._follows.calibration is not calibration:
            self._follows = Retargeter(calibration, self._portrait, Style())
        self._next.append(self._follows.target(moment))
        return self._finished(composite.compose(self._source.image, [next(self._stream)]))

    def _single(self, target_pose: TargetPose) -> Image:
        """Draw one pose, independently of earlier pictures."""
        patch = next(iter(self._engine.render(self._identity, (target_pose,))))
        return self._finished(composite.compose(self._source.image, [patch]))

    def _finished(self, image: Image) -> Image:
        """Add the label and the watermark."""
        return self._marker.mark(Rendered(image, [self._portrait.face.landmarks], 0.0))
