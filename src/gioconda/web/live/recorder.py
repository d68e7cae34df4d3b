"""Records the moments of a live driver as a motion."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

from gioconda.errors import InputError
from gioconda.motion.expression import gaze_from_coefficients, offsets, solve
from gioconda.motion.moments import DriverCalibration, Moment
from gioconda.registry import motions
from gioconda.types import FloatArray, Motion

# Seconds after which a recording ends by itself, and least seconds between two of its frames.
LONGEST_SECONDS, CLOSEST_SECONDS = 300.0, 1 / 61
# Seconds from the frame at rest, with which a recording begins, to the first recorded one.
LEAD_SECONDS = 0.04
# Frames whose coefficients are solved together, in a thread while the recording goes on.
CHUNK = 50


class Recorder:
    """Collects moments from the first one that it is given.

    Attributes:
        seconds: Duration so far.
        full: Whether it has reached LONGEST_SECONDS.
    """

    def __init__(self) -> None:
        self.seconds, self.full = 0.0, False
        self._neutral: FloatArray | None = None
        self._moments: list[Moment] = []
        self._times: list[float] = []
        self._pending: list[FloatArray] = []
        self._solved: list[Future[FloatArray]] = []
        self._pool = ThreadPoolExecutor(1, "gioconda-record")

    def add(self, moment: Moment, calibration: DriverCalibration) -> None:
        """Record a moment, unless it is too close to the last one or earlier."""
        if self._neutral is None:
            self._neutral = calibration.neutral
            self._keep(calibration.reference, 0.0)
        start = self._moments[1].time if len(self._moments) > 1 else moment.time
        time = moment.time - start + LEAD_SECONDS
        if time - self._times[-1] < CLOSEST_SECONDS or self.full:
            return
        change = moment.offsets + (calibration.neutral - self._neutral)
        self._keep(
            Moment(
                moment.time,
                moment.rotation,
                moment.translation,
                moment.scale,
                change.astype(np.float32),
                moment.expression,
            ),
            time,
        )
        self.seconds, self.full = time, time >= LONGEST_SECONDS

    def _keep(self, moment: Moment, time: float) -> None:
        """Keep a moment, and begin to solve a full chunk."""
        self._moments.append(moment)
        self._times.append(time)
        self._pending.append(moment.offsets)
        if len(self._pending) >= CHUNK:
            self._solve()

    def _solve(self) -> None:
        """Begin to solve the coefficients of the pending frames."""
        if self._pending:
            self._solved.append(self._pool.submit(solve, np.stack(self._pending)))
        self._pending = []

    def motion(self) -> Motion:
        """The recorded motion, which begins with a frame at rest; InputError if nothing was recorded."""
        if len(self._moments) < 2:
            raise InputError("nothing is recorded; switch recording on, and show a face for a second first")
        self._solve()
        expression = np.concatenate([chunk.result() for chunk in self._solved])
        change = np.stack([moment.offsets for moment in self._moments])
        return Motion(
            times=np.asarray(self._times, np.float64),
            rotation=np.stack([moment.rotation for moment in self._moments]),
            translation=np.stack([moment.translation for moment in self._moments]),
            scale=np.array([moment.scale for moment in self._moments], np.float32),
            expression=expression,
            gaze=gaze_from_coefficients(expression),
            confidence=np.ones(len(self._times), np.float32),
            residual=(change - offsets(expression)).astype(np.float16),
            neutral=self._neutral,
            name="recording",
        )

    def file(self, suffix: str) -> bytes:
        """The bytes of a motion file with a suffix such as ".npz"; InputError as `motion`."""
        return motions()[suffix].as_bytes(self.motion())
