"""Moves a photo by a hand-held camera to where the portrait's camera stood, by what both show of the background."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from gioconda.types import Face, FloatArray, Image, Portrait

# Longest side, in pixels, of the pictures whose features are matched; their number, and the contrast of their corners.
MATCHED_SIDE, FEATURES, CORNER_CONTRAST = 480, 600, 8
# Share of the person up to which a pixel is background.
BACKGROUND = 0.1
# Pixels by which the person is widened.
WIDER = 9
# Pixels between matched features that still agree; how many must, and their least share.
AGREEING, LEAST_FEATURES, LEAST_SHARE = 2.0, 25, 0.35
# Bounds of the change of size, and share of the picture that may lie outside the photo.
SIZES, MOST_OUTSIDE = (0.8, 1.25), 0.25
# Seed of the search, so that a photo is always moved alike.
SEED = 1


@dataclass(frozen=True)
class _Features:
    """Corners of a picture's background: places (n, 2) float32 in pixels, and descriptions (n, 32) uint8."""

    places: FloatArray
    descriptions: Image


def registered(portrait: Portrait, photo: Portrait) -> Portrait | None:
    """A photo as the portrait's camera would have taken it.

    Args:
        portrait: A portrait with the person's mask.
        photo: A photo of the same size, with the person's mask.

    Returns:
        The photo, with the portrait's own pixels where it ends; None where the backgrounds do not agree.
    """
    if portrait.person is None or photo.person is None or portrait.image.shape != photo.image.shape:
        return None
    matrix = _movement(photo, portrait)
    if matrix is None:
        return None
    height, width = photo.image.shape[:2]
    inside = cv2.warpAffine(np.ones((height, width), np.uint8), matrix, (width, height)) > 0
    if 1 - inside.mean() > MOST_OUTSIDE:
        return None
    image = cv2.warpAffine(photo.image, matrix, (width, height), flags=cv2.INTER_CUBIC)
    image = np.where(inside[..., None], image, portrait.image)
    person = cv2.warpAffine(photo.person, matrix, (width, height))
    points = photo.face.landmarks.copy()
    points[:, :2] = points[:, :2] @ matrix[:, :2].T + matrix[:, 2]
    points[:, 2] *= float(np.hypot(*matrix[:, 0]))
    face = Face(np.asarray(points, np.float32), photo.face.score)
    return replace(photo, image=np.asarray(image, np.uint8), face=face, person=np.asarray(person, np.float32))


def _movement(photo: Portrait, portrait: Portrait) -> FloatArray | None:
    """The similarity (2, 3) that takes the photo's background to the portrait's, in pixels; None without one."""
    first, second = _features(photo), _features(portrait)
    if min(len(first.places), len(second.places)) < LEAST_FEATURES:
        return None
    pairs = cv2.BFMatcher(cv2.NORM_HAMMING, crossCheck=True).match(first.descriptions, second.descriptions)
    if len(pairs) < LEAST_FEATURES:
        return None
    source = first.places[[pair.queryIdx for pair in pairs]]
    target = second.places[[pair.trainIdx for pair in pairs]]
    cv2.setRNGSeed(SEED)
    reach = AGREEING * max(portrait.image.shape[:2]) / MATCHED_SIDE
    # The stubs do not know that nothing may be found.
    matrix: Any
    matrix, agreeing = cv2.estimateAffinePartial2D(
        source, target, method=cv2.RANSAC, ransacReprojThreshold=reach
    )
    if matrix is None or agreeing.sum() < max(LEAST_FEATURES, LEAST_SHARE * len(pairs)):
        return None
    if not SIZES[0] <= float(np.hypot(*matrix[:, 0])) <= SIZES[1]:
        return None
    return np.asarray(matrix, np.float32)


def _features(portrait: Portrait) -> _Features:
    """The features of a picture's background, with places at its full size."""
    assert portrait.person is not None
    scale = min(1.0, MATCHED_SIDE / max(portrait.image.shape[:2]))
    grey = cv2.cvtColor(portrait.image, cv2.COLOR_RGB2GRAY)
    small = cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    person = cv2.resize(portrait.person, (small.shape[1], small.shape[0]), interpolation=cv2.INTER_AREA)
    background = background_of(np.asarray(person, np.float32), WIDER)
    search = cv2.ORB.create(FEATURES, fastThreshold=CORNER_CONTRAST)
    descriptions: Any
    corners, descriptions = search.detectAndCompute(small, background.astype(np.uint8))
    if descriptions is None:
        return _Features(np.zeros((0, 2), np.float32), np.zeros((0, 32), np.uint8))
    places = np.array([corner.pt for corner in corners], np.float32) / scale
    return _Features(np.asarray(places, np.float32), np.asarray(descriptions, np.uint8))


def background_of(person: FloatArray, wider: int) -> npt.NDArray[np.bool_]:
    """Where a picture surely shows the background, (h, w).

    Args:
        person: (h, w), 0 to 1, the person's mask.
        wider: Pixels by which the person is widened, as the side of a square.
    """
    return np.asarray(cv2.dilate(person, np.ones((wider, wider), np.uint8)) < BACKGROUND)
