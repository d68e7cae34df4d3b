"""Choose one of a picture's faces, and check that the picture shows enough of it."""

from __future__ import annotations

from collections.abc import Sequence

from gioconda.errors import NoFaceError
from gioconda.landmarks import LEFT_IRIS, RIGHT_IRIS
from gioconda.types import Face


def choose_face(faces: Sequence[Face], index: int, name: str, *, option: str = "--face") -> Face:
    """Return the face at an index.

    Args:
        faces: Of a picture, largest first.
        index: 0 for the largest.
        name: Of the picture's file, for messages.
        option: The option that chooses, for messages.

    Raises:
        NoFaceError: There is no such face.
    """
    if not faces:
        raise NoFaceError(
            f"{name}: no human face found. Use a picture that shows a face with both eyes and the mouth visible."
        )
    if not 0 <= index < len(faces):
        choices = f"use {option} 0" if len(faces) == 1 else f"use {option} 0 to {len(faces) - 1}"
        raise NoFaceError(f"{name}: there is no face {index}, only {len(faces)} found; {choices}.")
    return faces[index]


def shows_both_eyes(face: Face, shape: tuple[int, ...]) -> bool:
    """Whether both irises are inside a picture of shape (H, W, ...); the tracker also guesses points beyond edges."""
    irises = face.landmarks[[RIGHT_IRIS, LEFT_IRIS], :2]
    return bool(((irises >= 0) & (irises < (shape[1], shape[0]))).all())
