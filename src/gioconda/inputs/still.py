"""Load a motion from a picture of an expression, or from the sliders of an edit."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias

import numpy as np

from gioconda import face, media
from gioconda.inputs.pictures import read_still
from gioconda.inputs.sources import MotionSource
from gioconda.motion.edit import still_motion
from gioconda.motion.emotion import emotion_coefficients, parse_emotions
from gioconda.motion.snapshot import Snapshot, film_of, in_pose, snapshot_of
from gioconda.provenance import Ingredient
from gioconda.types import ARKIT_NAMES, FloatArray, Image, PathLike

Loaded: TypeAlias = tuple[Snapshot, Ingredient, tuple[str, ...]]
"""The expression and pose of a picture, its entry in the manifest, and sentences for the user."""


def load_snapshot(source: PathLike | Image) -> Loaded:
    """Read the expression of a picture's largest face.

    Args:
        source: The path of a picture, or a picture (H, W, 3) uint8 RGB.

    Raises:
        InputError: The file is not a picture, or is damaged.
        NoFaceError: The picture shows no face.
        LimitError: The picture is larger than the limits allow.
    """
    image, name, digest = read_still(source)
    mime = "image/*" if isinstance(source, np.ndarray) else media.mime_of(Path(source))
    return _snapshot(image, name, digest, mime)


def _snapshot(image: Image, name: str, digest: str, mime: str) -> Loaded:
    """The snapshot of a picture (H, W, 3) from a file; NoFaceError if it shows no face."""
    faces = face.detect_faces(image)
    chosen = face.choose_face(faces, 0, name)
    ingredient = Ingredient(name, digest, "motion", mime, media.thumbnail(image))
    several = f"{name} shows {len(faces)} faces; the expression is that of the largest"
    size = (image.shape[1], image.shape[0])
    return snapshot_of(chosen, size, name), ingredient, (several,) if len(faces) > 1 else ()


def load_film(path: Path) -> MotionSource:
    """The motion of an expression that comes and goes, from a picture or a video's only frame; as `load_snapshot`."""
    if media.is_video(path):
        with media.read_frames(path) as frames:
            only = next(iter(frames))
        loaded = _snapshot(only.image, path.name, media.sha256_file(path), media.mime_of(path))
    else:
        loaded = load_snapshot(path)
    snapshot, ingredient, notes = loaded
    motion = film_of(snapshot)
    return MotionSource(motion, None, ingredient, warnings=(*motion.notes, *notes))


def load_edit(
    sliders: tuple[float, float, float, float, float],
    coefficients: Mapping[str, float],
    *,
    emotion: str = "",
    like: PathLike | Image | None = None,
    absolute: bool = False,
) -> MotionSource:
    """The motion of an edit, which is a single pose.

    Args:
        sliders: Yaw, pitch and roll in degrees, and gaze from -1 to 1, as for `still_motion`.
        coefficients: ARKit name -> coefficient, 0 to 1, instead of what emotion and picture give it.
        emotion: As of `parse_emotions`.
        like: A picture whose expression the portrait takes over; or None.
        absolute: Whether it takes over the pose of that picture's head too.

    Raises:
        InputError, NoFaceError, LimitError: As `load_snapshot`.
    """
    expression = emotion_coefficients(parse_emotions(emotion))
    if like is None:
        motion = still_motion(*sliders, {**_named(expression), **coefficients})
        values = repr((*sliders, sorted(coefficients.items()), emotion))
        digest = hashlib.sha256(values.encode()).hexdigest()
        return MotionSource(motion, None, Ingredient("sliders", digest, "motion", "application/x-sliders"))
    snapshot, ingredient, notes = load_snapshot(like)
    both = np.clip(expression + snapshot.expression, 0, 1)
    motion = still_motion(*sliders, {**_named(both), **coefficients})
    return MotionSource(in_pose(motion, snapshot) if absolute else motion, None, ingredient, warnings=notes)


def _named(expression: FloatArray) -> dict[str, float]:
    """The coefficients (52,) that are not 0, by name."""
    return {name: value for name, value in zip(ARKIT_NAMES, expression.tolist(), strict=True) if value}
