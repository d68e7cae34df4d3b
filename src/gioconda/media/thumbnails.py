"""Small pictures of the inputs, for the manifest."""

from __future__ import annotations

import io

import PIL.Image

from gioconda.types import Image

# Longer side in pixels, and quality of the JPEG, of 100.
SIDE = 160
_QUALITY = 80


def thumbnail(image: Image) -> bytes:
    """Return the bytes of a JPEG of a picture (H, W, 3) uint8 RGB, with sides of at most SIDE pixels."""
    small = PIL.Image.fromarray(image)
    small.thumbnail((SIDE, SIDE))
    file = io.BytesIO()
    small.convert("RGB").save(file, "JPEG", quality=_QUALITY)
    return file.getvalue()
