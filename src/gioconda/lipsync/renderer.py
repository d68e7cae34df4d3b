"""Render a video whose person says other words, frame by frame."""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from gioconda import composite, media
from gioconda.lipsync.database import MouthDatabase
from gioconda.lipsync.layout import FaceLayout
from gioconda.lipsync.retime import halfway
from gioconda.lipsync.select import MouthSelection
from gioconda.lipsync.synthesis import MouthPlacement, MouthRenderer
from gioconda.lipsync.target import Replay, Target
from gioconda.provenance import Ingredient
from gioconda.registry import LIPSYNC
from gioconda.render import Clock, Rendered
from gioconda.runtime.prefetch import run_ahead
from gioconda.types import Face, FloatArray, Frame, Image, Word

# Moments of the target at which the visible label keeps clear of the face.
LABEL_MOMENTS = 50


@dataclass(frozen=True, eq=False)
class LipSyncRenderer:
    """A target video and what its person is to say, loaded and checked. T output frames, N frames of the target.

    Attributes:
        video: The target.
        inputs: The manifest's ingredients.
        database: The mouths to choose from.
        times: (T,) float64, seconds.
        target: The target's faces in the order in which they are shown.
        layout: The target's N faces.
        confidence: (N,) float32, 0 to 1, how surely each frame shows the face.
        mouth_points: (T, P, 3) float32, `POINTS` of the mouth to show, canonical frame.
        selection: The mouths of the database that make up each output frame.
        face: The target's first face.
        size: Width and height in pixels.
        label: Whether the output carries the visible label.
        payload: Of the watermark.
        clock: Books the seconds of each stage.
        bridged: Frames without a face.
        warnings: Sentences for the user.
        sound: The sound that the output carries, or None.
        networks: File name and SHA-256 of each network that heard the voice.
        words: The words that are spoken, each with its time, where they are known.
    """

    video: Path
    inputs: tuple[Ingredient, ...]
    database: MouthDatabase
    times: npt.NDArray[np.float64]
    target: Target
    layout: FaceLayout
    confidence: FloatArray
    mouth_points: FloatArray
    selection: MouthSelection
    face: Face
    size: tuple[int, int]
    label: bool
    payload: int
    clock: Clock
    bridged: int
    warnings: tuple[str, ...]
    sound: media.SoundTrack | None = None
    networks: tuple[tuple[str, str], ...] = ()
    words: tuple[Word, ...] = ()

    engine: ClassVar[str] = LIPSYNC
    transparent: ClassVar[bool] = False
    action: ClassVar[str] = "edited"

    def moments(self) -> Generator[Rendered, None, None]:
        """Yield the target's frames with the new mouths, in order."""
        faces = _label_faces(self) if self.label else []
        with closing(run_ahead(replaced_frames(self), depth=2)) as frames:
            for frame in frames:
                yield Rendered(frame.image, faces, frame.time)


def _label_faces(renderer: LipSyncRenderer) -> list[FloatArray]:
    """The face's landmarks (478, 2) at moments spread over all shown frames, which the label keeps clear of."""
    origins = renderer.layout.origin[: int(renderer.target.second.max()) + 1]
    sample = np.linspace(0, len(origins) - 1, min(len(origins), LABEL_MOMENTS)).astype(np.intp)
    first = renderer.face.landmarks[:, :2]
    return [first + (origin - renderer.layout.origin[0]) for origin in origins[sample]]


def replaced_frames(renderer: LipSyncRenderer) -> Generator[Frame, None, None]:
    """Yield the target's frames with the new mouths, before label and watermark."""
    mouths = MouthRenderer(renderer.database)
    target = renderer.target
    with closing(target_images(renderer.video, target)) as images:
        for t, image in enumerate(images):
            since = time.perf_counter()
            moment = slice(t, t + 1)
            confidence = float(
                min(renderer.confidence[target.first[t]], renderer.confidence[target.second[t]])
            )
            placement = MouthPlacement(
                matrix=target.mean("matrix", moment)[0],
                current=target.mean("points", moment)[0],
                desired=target.mouth_points(renderer.mouth_points[moment], moment)[0],
                strength=min(1.0, max(0.0, 1.5 * confidence - 0.5)),
            )
            patch = mouths.render(Frame(image, float(renderer.times[t])), placement, renderer.selection, t)
            replaced = image if patch is None else composite.compose(image, [patch])
            renderer.clock.add("render", since)
            yield Frame(replaced, float(renderer.times[t]))


def target_images(video: Path, target: Target) -> Generator[Image, None, None]:
    """Yield the pictures (H, W, 3) uint8 of the target `video` in the order in which they are shown."""
    with Replay(video, target.held) as replay:
        for first, second, repeated in zip(
            target.first.tolist(), target.second.tolist(), target.repeated.tolist(), strict=True
        ):
            if repeated and first != second:
                # in this order: on the way back the second comes earlier in the file, and is held
                yield halfway(replay[first], replay[second])
            else:
                yield replay[first]
