"""Read a picture that a user provides as a file or as an array."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from gioconda import media
from gioconda.errors import InputError
from gioconda.types import Image, PathLike


def read_still(source: PathLike | Image) -> tuple[Image, str, str]:
    """Read a still picture.

    Args:
        source: A path, or a picture (H, W, 3) uint8 RGB.

    Returns:
        The picture (H, W, 3) uint8 RGB, its name, and its SHA-256 in hex.

    Raises:
        InputError: The file is not a picture, or the array is of another kind.
        LimitError: The picture has too many pixels.
    """
    if isinstance(source, np.ndarray):
        if source.ndim != 3 or source.shape[2] != 3 or source.dtype != np.uint8 or not source.size:
            raise InputError(
                f"an array of a picture must be (H, W, 3) uint8 RGB, not {source.shape} {source.dtype}"
            )
        return source, "array", hashlib.sha256(np.ascontiguousarray(source).tobytes()).hexdigest()
    image, digest = media.read_picture(source)
    return image, Path(source).name, digest
