"""A portrait that is set up once, and then answers sliders, keyframes or a camera, each with one picture."""

from __future__ import annotations

from collections import deque
from pathlib import Path

from gioconda import composite
from gioconda.engines import get_engine
from gioconda.motion.edit import still_motion
from gioconda.motion.keyframes import FPS
from gioconda.motion.retarget import Habits, Retargeter, Style
from gioconda.provenance import Watermarker, job_payload
from gioconda.sources import load_portraits
from gioconda.threads import hold_blas
from gioconda.types import Image, Motion, Shot


class Puppet:
    """A portrait's face, ready to be moved. Every picture of it carries the visible sign and the watermark."""

    def __init__(self, portrait: Path, side: int) -> None:
        """Find the face and prepare it, in a square of `side` pixels; raises what `load_portraits` raises."""
        hold_blas()
        self._who = load_portraits(portrait, chosen=0, crop=True, size=side)
        self._portrait = self._who.portraits[0]
        self._engine = get_engine("warp")
        self._identity = self._engine.prepare(self._portrait)
        payload = job_payload("warp", self._who.ingredient.sha256, "live")
        self._mark, self._sign = Watermarker((side, side), payload), composite.Sign()
        self._next: deque[Shot] = deque(maxlen=1)
        # the engine remembers the picture before, so that a stream does not shimmer
        self._stream = iter(self._engine.render(self._identity, iter(self._next.popleft, None)))
        self._played: tuple[Motion, Retargeter] | None = None

    def still(self, look: Motion) -> Image:
        """The picture of a look of `still_motion`, the same whatever was shown before; (side, side, 3)."""
        return self._single(Retargeter(look, self._portrait, Style()).shot(0))

    def at_rest(self) -> Image:
        """The picture as it is."""
        return self.still(still_motion(0, 0, 0, 0, 0, {}))

    def played(self, motion: Motion, seconds: float) -> Image:
        """The picture at a moment of a motion; the same motion is not set up twice."""
        if self._played is None or self._played[0] is not motion:
            self._played = motion, Retargeter(motion, self._portrait, Style())
        index = min(max(0, round(seconds * FPS)), len(motion) - 1)
        return self._single(self._played[1].shot(index))

    def streamed(self, moment: Motion, habits: Habits) -> Image:
        """The picture of a moment that follows the one before."""
        laid = Retargeter(moment, self._portrait, Style(), habits=habits)
        self._next.append(laid.shot(0))
        return self._finished(composite.compose(self._who.image, [next(self._stream)]))

    def _single(self, shot: Shot) -> Image:
        patch = next(iter(self._engine.render(self._identity, (shot,))))
        return self._finished(composite.compose(self._who.image, [patch]))

    def _finished(self, image: Image) -> Image:
        return self._mark.apply(self._sign.put(image, [self._portrait.face.landmarks]))
