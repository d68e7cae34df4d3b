"""A sound or a text -> a motion of the speaker's face: the speech stage joined with the motion stage."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from gioconda import media
from gioconda.motion.expression import coefficients_from_gaze
from gioconda.motion.pose import neck_swing, rotation_from_euler
from gioconda.speech import FPS, Performance, Voice, perform, perform_said
from gioconda.speech.features import RATE
from gioconda.types import FloatArray, Motion


def heard_motion(
    path: Path,
    report: Callable[[str, int, int], None],
    *,
    seed: int = 0,
    warn: Callable[[str], None] | None = None,
) -> Motion:
    """The motion of a face that speaks the sound of a file, which streams; InputError, LimitError or WeightsError."""
    seconds = media.probe_sound(path) or 0.0
    with media.read_sound(path, RATE, warn=warn) as blocks:
        performance = perform(_told(blocks, seconds, report), FPS, seed)
    return motion_of(performance, path.name)


def said_motion(voice: Voice, *, seed: int = 0) -> Motion:
    """The motion of a face that says a text."""
    return motion_of(perform_said(voice, FPS, seed), "text")


def _told(
    blocks: Iterator[FloatArray], seconds: float, report: Callable[[str, int, int], None]
) -> Iterator[FloatArray]:
    """The same blocks; how far they came is told in frames."""
    samples = 0
    for block in blocks:
        samples += len(block)
        done = int(samples / RATE * FPS)
        report("listen", done, max(int(seconds * FPS), done))
        yield block


def motion_of(performance: Performance, name: str) -> Motion:
    """A performance as a motion; its first frame is at rest."""
    one = performance
    rotation = rotation_from_euler(one.yaw, one.pitch, one.roll)
    gaze = np.asarray(one.gaze, np.float32)
    return Motion(
        times=one.times,
        rotation=rotation,
        translation=(neck_swing(rotation) + np.stack([one.x, one.y], axis=1)).astype(np.float32),
        scale=(1 + one.near).astype(np.float32),
        expression=np.clip(one.expression + coefficients_from_gaze(gaze), 0, 1).astype(np.float32),
        gaze=gaze,
        confidence=np.ones(len(one.times), np.float32),
        name=name,
    )
