"""What transparent pictures are laid over: a colour, or a picture."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import PIL.ImageColor

from gioconda.media.files import PathLike
from gioconda.media.pictures import read_picture
from gioconda.types import RGB, Image


def colour_of(text: str) -> tuple[int, int, int] | None:
    """The colour (R, G, B), 0 to 255, of a CSS name or a number such as #00ff00; None if the text is none."""
    try:
        colour = PIL.ImageColor.getrgb(text)
    except ValueError:
        return None
    red, green, blue, *_ = colour
    return red, green, blue


def read_background(value: PathLike, size: tuple[int, int]) -> tuple[Image, str | None]:
    """Make a background of a size.

    Args:
        value: A colour, as for `colour_of`, or the path of a picture, which is cropped to cover the size.
        size: Width and height in pixels.

    Returns:
        The background (H, W, 3) uint8 RGB, and the SHA-256 of the picture's file in hex, or None for a colour.

    Raises:
        MissingFileError, InputError, LimitError: The picture cannot be read.
    """
    width, height = size
    if isinstance(value, str) and (colour := colour_of(value)) is not None:
        return np.full((height, width, RGB), colour, np.uint8), None
    picture, digest = read_picture(Path(value))
    scale = max(width / picture.shape[1], height / picture.shape[0])
    covering = (max(width, round(picture.shape[1] * scale)), max(height, round(picture.shape[0] * scale)))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    large = np.asarray(cv2.resize(picture, covering, interpolation=method), np.uint8)
    left, top = (covering[0] - width) // 2, (covering[1] - height) // 2
    return np.ascontiguousarray(large[top : top + height, left : left + width]), digest
