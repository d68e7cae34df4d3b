"""Whether two pictures of a person show one view: the same room in the same light, through the same camera."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from gioconda.inputs.registration import background_of, registered
from gioconda.landmarks import bounds
from gioconda.types import FloatArray, Portrait

# Longest side of the compared pictures, in pixels, and the blur (sigma) that takes away their grain.
COMPARED_SIDE, SOFT = 128, 1.0
# Pixels by which the person is widened.
WIDER = 7
# Share of the picture that must be background in both; less says nothing.
LEAST_BACKGROUND = 0.03
# Percentile of the background's differences that decides, and the grey levels that it may reach. Films by a camera that
# stands still stay below 12, other rooms and moved cameras above 28.
DECIDING, MOST_DIFFERENCE = 90, 15.0
# Share of that difference to which moving a photo must bring it: else the photo stays as sharp as it is.
CLEARLY = 0.7
# Grey levels by which the mean colours of the faces, and of the clothes, may differ.
MOST_LIGHT, MOST_CLOTHES = 20.0, 25.0
# Share of the person from which a pixel below the chin shows clothes, face heights below the chin from which it does,
# and their least number of pixels.
CLOTHES, BELOW_CHIN, LEAST_CLOTHES = 0.9, 0.2, 60


@dataclass(frozen=True)
class _Small:
    """A portrait, small.

    Attributes:
        size: Width and height of the picture itself, in pixels.
        colours: (h, w, 3) float32, 0 to 255.
        person: (h, w) float32, 0 to 1.
        points: (478, 2) float32, the landmarks in its pixels.
    """

    size: tuple[int, int]
    colours: FloatArray
    person: FloatArray
    points: FloatArray


def in_view_of(portrait: Portrait, photo: Portrait) -> Portrait | None:
    """A photo that can stand for a portrait, moved to where the portrait's camera stood if it was held by hand.

    Args:
        portrait: A portrait with the person's mask.
        photo: A photo of the same person, with the person's mask.

    Returns:
        The photo as one of the same view; None where room, light or clothes differ, or the camera moved too far.
    """
    first, second, moved = _small(portrait), _small(photo), registered(portrait, photo)
    if moved is not None:
        nearer = _small(moved)
        if _background_difference(first, nearer) < CLEARLY * _background_difference(first, second):
            photo, second = moved, nearer
    return replace(photo, same_view=True) if _same_view(first, second) else None


def shows_same_view(portrait: Portrait, photo: Portrait) -> bool:
    """Whether a photo can stand for a portrait as it is: camera, room, light and clothes are the same.

    Args:
        portrait: A portrait with the person's mask.
        photo: A photo of the same person, with the person's mask.
    """
    return _same_view(_small(portrait), _small(photo))


def _same_view(first: _Small | None, second: _Small | None) -> bool:
    """Whether two pictures show one view; not where one has no mask."""
    if first is None or second is None or _background_difference(first, second) > MOST_DIFFERENCE:
        return False
    faces = _colour_distance(first, second, _face(first), _face(second))
    clothes, others = _clothes(first), _clothes(second)
    seen = min(clothes.sum(), others.sum()) >= LEAST_CLOTHES
    return faces <= MOST_LIGHT and not (
        seen and _colour_distance(first, second, clothes, others) > MOST_CLOTHES
    )


def _background_difference(first: _Small | None, second: _Small | None) -> float:
    """How much the backgrounds of two pictures differ, in grey levels; infinite where they cannot be compared."""
    if first is None or second is None or first.size != second.size:
        return float("inf")
    background = background_of(np.maximum(first.person, second.person), WIDER)
    if background.mean() < LEAST_BACKGROUND:
        return float("inf")
    difference = np.abs(first.colours - second.colours).mean(2)[background]
    return float(np.percentile(difference, DECIDING))


def _small(portrait: Portrait) -> _Small | None:
    """A portrait at COMPARED_SIDE; None without a mask."""
    if portrait.person is None:
        return None
    height, width = portrait.image.shape[:2]
    scale = COMPARED_SIDE / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    colours = cv2.resize(portrait.image, size, interpolation=cv2.INTER_AREA).astype(np.float32)
    return _Small(
        (width, height),
        np.asarray(cv2.GaussianBlur(colours, (0, 0), SOFT), np.float32),
        np.asarray(cv2.resize(portrait.person, size, interpolation=cv2.INTER_AREA), np.float32),
        np.asarray(portrait.face.landmarks[:, :2] * scale, np.float32),
    )


def _face(small: _Small) -> npt.NDArray[np.bool_]:
    """The part (h, w) that the face covers."""
    cover = np.zeros(small.person.shape, np.uint8)
    cv2.fillConvexPoly(cover, cv2.convexHull(np.rint(small.points).astype(np.int32)), (1,))
    return np.asarray(cover > 0)


def _clothes(small: _Small) -> npt.NDArray[np.bool_]:
    """The part (h, w) of the person below the chin."""
    low, high = bounds(small.points)
    below = np.arange(len(small.person)) > high[1] + BELOW_CHIN * (high[1] - low[1])
    return np.asarray((small.person > CLOTHES) & below[:, None])


def _colour_distance(
    first: _Small, second: _Small, part: npt.NDArray[np.bool_], other: npt.NDArray[np.bool_]
) -> float:
    """The largest difference of a channel's mean between a part (h, w) of one picture and one of the other."""
    if not part.any() or not other.any():
        return 0.0
    return float(np.abs(first.colours[part].mean(0) - second.colours[other].mean(0)).max())
