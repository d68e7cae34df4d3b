"""Stills that browsers and phones write: HEIC, and high dynamic range in HEIC and AVIF."""

from __future__ import annotations

import contextlib
from functools import lru_cache
from pathlib import Path

import av
import av.error
import numpy as np
import PIL.Image

from gioconda.media.colour import is_hdr, to_standard_range
from gioconda.types import Image

HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
"""Brands of HEIC files, after the word ftyp at their start."""


def is_heic(head: bytes) -> bool:
    """Whether a file that starts with these 12 bytes or more is a HEIC picture."""
    return head[4:8] == b"ftyp" and head[8:12] in HEIC_BRANDS


@lru_cache(maxsize=1)
def know_heic() -> str:
    """Make PIL read HEIC, and return PIL's name of the format; the decoder is loaded only when it is needed."""
    import pi_heif

    pi_heif.register_heif_opener(thumbnails=False, depth_images=False, aux_images=False)
    return "HEIF"


def wide_still(file: Path, picture: PIL.Image.Image) -> Image | None:
    """Return a PQ or HLG still as screens of standard range show it; None for all other stills.

    Args:
        file: The file of the picture.
        picture: The same, open.

    Returns:
        The picture (H, W, 3) uint8 RGB, upright.
    """
    if picture.format == "HEIF":
        return _heic(file, picture)
    return _avif(file) if picture.format == "AVIF" else None


def _heic(file: Path, picture: PIL.Image.Image) -> Image | None:
    """A HEIC still of high dynamic range; None for one of standard range."""
    transfer = int((picture.info.get("nclx_profile") or {}).get("transfer_characteristics", 0))
    if not is_hdr(transfer):
        return None
    import pi_heif

    wide = pi_heif.open_heif(file, convert_hdr_to_8bit=False)
    pixels = np.asarray(wide)
    if pixels.dtype != np.uint16:
        return None
    return to_standard_range(np.ascontiguousarray(pixels[..., :3]), transfer)


def _avif(file: Path) -> Image | None:
    """An AVIF still of high dynamic range; None for one of standard range, which PIL reads."""
    # The reader of videos takes its turns from the reader of pictures, which calls this one.
    from gioconda.media.video_in import open_input, picture_of

    with contextlib.suppress(av.error.FFmpegError, ValueError, StopIteration), open_input(file) as container:
        stream = container.streams.video[0]
        if is_hdr(int(stream.codec_context.color_trc)):
            return picture_of(next(container.decode(stream)), stream)
    return None
