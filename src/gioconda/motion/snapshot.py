"""The expression of a single picture, and a motion from it.

Nobody has seen this person at rest, so a broad face must not count as a smile. The shapes of many people's faces at
rest are a nuisance of the fit: their principal components are solved together with the coefficients, each with its
variance as Gaussian prior, and are integrated out. The coefficients are sparse, non-negative and bounded, with the
covariance that they have in films as prior. It is the maximum a posteriori fit of a morphable model (Blanz and Vetter
1999) whose shape nobody needs.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from gioconda.assets import asset_array
from gioconda.motion.expression import (
    NormalEquations,
    fit_coefficients,
    gaze_from_coefficients,
    load_basis,
    load_tracking_errors,
    normal_equations,
)
from gioconda.motion.moments import LOWER_LIDS, MIDDLE, UPPER_LIDS
from gioconda.motion.pose import Pose, fit_pose
from gioconda.runtime.easing import eased
from gioconda.types import ARKIT_INDEX, ARKIT_NAMES, LANDMARKS, Face, FloatArray, Motion

ASSET = "face_shapes.npz"
# L1 penalty relative to the blendshapes' strength.
SPARSITY = 0.0125
# Share of the films' covariance in the prior, and a standard deviation beyond it: people who give a picture of an
# expression give a stronger one than films have on average, and perhaps one that they lack.
COVARIANCE_FACTOR, BEYOND = 6.0, 0.15
# Inter-ocular units: lids of open eyes are farther apart than the first value in nearly everybody, shut ones are closer
# than the second. Between, the fit alone cannot tell a narrow eye from one that closes.
OPEN_LIDS, SHUT_LIDS = 0.055, 0.03

FILM_SECONDS = 4.0
"""Seconds of the film that a picture drives."""
FPS = 25.0
# Seconds at rest before the expression, in which it sets in and in which it ceases; it is held in between.
BEFORE, ONSET, DECAY = 0.3, 0.7, 0.9


@dataclass(frozen=True, eq=False)
class FaceShapes:
    """What faces look like at rest to the tracker; canonical frame, inter-ocular units.

    Attributes:
        mean: (478, 3) float32, the mean face.
        modes: (K, 478 * 3) float32, principal components of people's shapes, each as long as its standard deviation.
        errors: (L, 478 * 3) float32, the same of what the coefficients leave unexplained in films of faces.
        covariance: (52, 52) float32, of the coefficients in films, about 0.
    """

    mean: FloatArray
    modes: FloatArray
    errors: FloatArray
    covariance: FloatArray


@dataclass(frozen=True, eq=False)
class Snapshot:
    """The face of a single picture.

    Attributes:
        expression: (52,) float32 ARKit coefficients, 0 to 1.
        pose: The head's pose, in pixels of the picture.
        size: (width, height) of the picture in pixels.
        name: For messages, such as the file's name.
    """

    expression: FloatArray
    pose: Pose
    size: tuple[int, int]
    name: str = "picture"


@lru_cache(maxsize=1)
def load_face_shapes() -> FaceShapes:
    """Return the packaged shapes, which are read once in a process; WeightsError if the file is absent or damaged."""
    flat, square = LANDMARKS * 3, len(ARKIT_NAMES)
    return FaceShapes(
        asset_array(ASSET, "mean", (LANDMARKS, 3)),
        asset_array(ASSET, "modes", (None, flat)),
        asset_array(ASSET, "errors", (None, flat)),
        asset_array(ASSET, "covariance", (square, square)),
    )


def snapshot_of(face: Face, size: tuple[int, int], name: str) -> Snapshot:
    """Read the expression and the pose of a picture's face.

    Args:
        face: Of the picture.
        size: (width, height) of the picture in pixels.
        name: For messages.
    """
    pose = fit_pose(face.landmarks, load_basis().neutral)
    return Snapshot(solve_alone(pose.to_canonical(face.landmarks)[None])[0], pose, size, name)


def solve_alone(canonical: FloatArray, shapes: FaceShapes | None = None) -> FloatArray:
    """Fit coefficients to faces of people whose face at rest is unknown, each alone.

    Args:
        canonical: (N, 478, 3), landmarks without their pose, canonical frame, inter-ocular units.
        shapes: What faces look like at rest; the packaged ones if None.

    Returns:
        (N, 52) float32, 0 to 1.
    """
    shapes = shapes or load_face_shapes()
    equations = _packaged_equations() if shapes is load_face_shapes() else equations_of(shapes)
    expression = fit_coefficients(equations, canonical - shapes.mean, sparsity=SPARSITY, steps=2000)
    shut = _shut(canonical)
    for eye, name in enumerate(("eyeBlinkRight", "eyeBlinkLeft")):
        expression[:, ARKIT_INDEX[name]] = np.maximum(expression[:, ARKIT_INDEX[name]], shut[:, eye])
    return expression


def equations_of(shapes: FaceShapes) -> NormalEquations:
    """The normal equations of the fit with some people's shapes."""
    errors = np.concatenate([load_tracking_errors(), shapes.modes, shapes.errors])
    covariance = COVARIANCE_FACTOR * shapes.covariance.astype(np.float64) + BEYOND**2 * np.eye(
        len(ARKIT_NAMES)
    )
    return normal_equations(errors, 0.0, np.linalg.inv(covariance))


@lru_cache(maxsize=1)
def _packaged_equations() -> NormalEquations:
    """The normal equations with the packaged shapes."""
    return equations_of(load_face_shapes())


def _shut(canonical: FloatArray) -> npt.NDArray[np.float32]:
    """How far the eyes of faces (N, 478, 3) are surely shut, (N, 2), 0 to 1: viewer's left eye, viewer's right."""
    gaps = np.linalg.norm(canonical[:, LOWER_LIDS] - canonical[:, UPPER_LIDS], axis=3)[..., MIDDLE].mean(2)
    return np.asarray(np.clip((OPEN_LIDS - gaps) / (OPEN_LIDS - SHUT_LIDS), 0, 1), np.float32)


def film_of(snapshot: Snapshot) -> Motion:
    """A motion that goes from rest into a picture's expression, holds it, and returns to rest, in FILM_SECONDS.

    The head keeps the picture's pose throughout, so that only an absolute transfer takes it over.
    """
    times = np.arange(round(FILM_SECONDS * FPS) + 1) / FPS
    since, until = (times - BEFORE) / ONSET, (times[-1] - times) / DECAY
    share = np.clip(np.minimum(since, until), 0, 1)
    course = eased(share).astype(np.float32)
    expression = course[:, None] * snapshot.expression
    count = len(times)
    motion = Motion(
        times=times,
        rotation=np.repeat(np.eye(3, dtype=np.float32)[None], count, 0),
        translation=np.zeros((count, 2), np.float32),
        scale=np.ones(count, np.float32),
        expression=expression,
        gaze=gaze_from_coefficients(expression),
        confidence=np.ones(count, np.float32),
        name=snapshot.name,
        notes=(
            f"{snapshot.name} is a single picture: the film of {FILM_SECONDS:g} s goes into its expression and back",
        ),
    )
    return in_pose(motion, snapshot)


def in_pose(motion: Motion, snapshot: Snapshot) -> Motion:
    """A motion whose head is not placed anywhere, moved to the pose of a picture's head.

    Its rotations add to that pose.
    """
    pose = snapshot.pose
    return motion.with_(
        rotation=(motion.rotation @ pose.rotation).astype(np.float32),
        translation=(motion.translation + pose.origin[:2] / pose.scale).astype(np.float32),
        unit=pose.scale,
        frame_size=snapshot.size,
    )
