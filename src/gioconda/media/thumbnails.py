"""Small pictures of what went in, for the manifest."""

from __future__ import annotations

import io

import PIL.Image

from gioconda.types import Image

SIDE = 160  # pixels of the longer side


def thumbnail(image: Image) -> bytes:
    """A small JPEG file of a picture (H, W, 3) uint8 RGB, of at most SIDE pixels."""
    small = PIL.Image.fromarray(image)
    small.thumbnail((SIDE, SIDE))
    file = io.BytesIO()
    small.convert("RGB").save(file, "JPEG", quality=80)
    return file.getvalue()
