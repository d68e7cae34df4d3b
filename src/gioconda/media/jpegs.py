"""Pictures inside other files, as JPEG."""

from __future__ import annotations

import io

import numpy as np
import PIL.Image

from gioconda.types import Image

# Of 100: differences to the picture are not seen, and do not grow when it is enlarged.
QUALITY = 95


def encode_jpeg(image: Image) -> bytes:
    """Encode a picture (H, W, 3) or (H, W) uint8."""
    out = io.BytesIO()
    PIL.Image.fromarray(image).save(out, "JPEG", quality=QUALITY, subsampling=0)
    return out.getvalue()


def decode_jpeg(content: bytes, most_pixels: int) -> Image:
    """Decode a picture that `encode_jpeg` wrote, from an untrusted source.

    Args:
        content: Of the file.
        most_pixels: Its largest number of pixels; the header is checked before decoding.

    Returns:
        (H, W, 3) or (H, W) uint8.

    Raises:
        ValueError: It is no such picture, or has too many pixels.
    """
    try:
        with PIL.Image.open(io.BytesIO(content), formats=("JPEG",)) as picture:
            if picture.width * picture.height > most_pixels or picture.mode not in ("RGB", "L"):
                raise ValueError(f"a picture is {picture.width}x{picture.height} {picture.mode}")
            return np.ascontiguousarray(np.asarray(picture, np.uint8))
    # Decoders may raise anything on damaged bytes.
    except Exception as error:
        raise ValueError(f"a picture is damaged ({error})") from None
