"""Pictures in and out: every kind of still becomes upright RGB uint8."""

from __future__ import annotations

import contextlib
import ctypes
import io
import logging
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import PIL._imaging
import PIL.Image
import PIL.ImageCms

from gioconda.errors import InputError, LimitError
from gioconda.limits import LIMITS
from gioconda.media.files import PICTURE_SUFFIXES, PathLike, check_input, output_error, sha256_file
from gioconda.types import Image

# Only plain pictures: PIL also knows formats that call other programs or hold film.
PIL.Image.init()
_KNOWN = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF", "JPEG2000")
_FORMATS = tuple(name for name in _KNOWN if name in PIL.Image.OPEN)
_ANIMATED = ("GIF", "WEBP", "PNG", "AVIF")
_HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")

# Without a handler of somebody's, Python would write PIL's remarks on the terminal.
logging.getLogger("PIL").addHandler(logging.NullHandler())
# libtiff tells what it dislikes on the terminal itself, unless it is given no place for it.
with contextlib.suppress(OSError, AttributeError):
    _libtiff = ctypes.CDLL(PIL._imaging.__file__)
    _libtiff.TIFFSetErrorHandler(None)
    _libtiff.TIFFSetWarningHandler(None)

Turn = tuple[bool, bool, bool]  # transpose, then flip up-down, then flip left-right
UPRIGHT: Turn = (False, False, False)
_EXIF: dict[int, Turn] = {
    2: (False, False, True),
    3: (False, True, True),
    4: (False, True, False),
    5: (True, False, False),
    6: (True, False, True),
    7: (True, True, True),
    8: (True, True, False),
}


def turn(image: Image, how: Turn) -> Image:
    """The (H, W, 3) picture transposed and flipped as `how` tells."""
    transpose, up_down, left_right = how
    if transpose:
        image = np.asarray(cv2.transpose(image), np.uint8)
    if up_down or left_right:
        code = -1 if up_down and left_right else (0 if up_down else 1)
        image = np.asarray(cv2.flip(image, code), np.uint8)
    return image


def read_picture(path: PathLike) -> tuple[Image, str]:
    """A still as upright RGB (H, W, 3) uint8, and the SHA-256 of the file in hex.

    EXIF orientation and colour profile are applied, alpha is laid over white, 16 bits become 8. The
    size is checked in the header. Raises MissingFileError, InputError or LimitError.
    """
    file = check_input(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with open_picture(file) as picture:
                picture.load()  # TIFF is turned already by this, and then asks for no turn
                image = turn(_rgb(picture), _orientation(picture))
    except InputError:
        raise
    except Exception as error:  # decoders may raise anything on damaged bytes
        raise InputError(f"{file} is damaged or cut short ({error}); copy or export it again") from None
    return np.ascontiguousarray(image), sha256_file(file)


def open_picture(file: Path) -> PIL.Image.Image:
    """A PIL picture whose header alone was read and whose size is allowed; InputError or LimitError."""
    with file.open("rb") as stream:
        _check_webp(file, stream.read(30))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", PIL.Image.DecompressionBombWarning)
            picture = PIL.Image.open(file, formats=_FORMATS)
    except PIL.Image.DecompressionBombError as error:
        found = re.search(r"\d+", str(error))
        raise _too_large(file, f"{int(found.group()):,} pixels" if found else "too many pixels") from None
    except Exception:  # an unknown format, or a header that is damaged
        raise InputError(_not_a_picture(file)) from None
    width, height = picture.size
    if width * height > LIMITS.picture_pixels:
        picture.close()
        raise _too_large(file, f"{width}x{height} = {width * height:,} pixels")
    return picture


def _check_webp(file: Path, head: bytes) -> None:
    """LimitError for a WebP canvas that is too large: PIL makes room for it while it opens the file."""
    if head[:4] != b"RIFF" or head[8:16] != b"WEBPVP8X" or len(head) < 30:
        return
    width = int.from_bytes(head[24:27], "little") + 1
    height = int.from_bytes(head[27:30], "little") + 1
    if width * height > LIMITS.picture_pixels:
        raise _too_large(file, f"{width}x{height} = {width * height:,} pixels")


def _too_large(file: Path, size: str) -> LimitError:
    return LimitError(f"{file} has {size}, the limit is {LIMITS.picture_pixels:,}; shrink it first")


def _not_a_picture(file: Path) -> str:
    with file.open("rb") as stream:
        head = stream.read(12)
    if head[4:8] == b"ftyp" and head[8:12] in _HEIC_BRANDS:
        return f"{file} is a HEIC picture, which cannot be read here; save it as JPEG or PNG"
    return f"{file} is not a picture that can be read; use PNG, JPEG, WebP, TIFF, BMP or AVIF"


def _orientation(picture: PIL.Image.Image) -> Turn:
    """The turn that EXIF asks for; damaged EXIF asks for none."""
    try:
        return _EXIF.get(int(picture.getexif().get(0x0112, 1)), UPRIGHT)
    except Exception:  # the picture itself may still be sound
        return UPRIGHT


def _rgb(picture: PIL.Image.Image) -> Image:
    """A decoded PIL picture of any mode as RGB uint8."""
    if picture.mode.startswith("I;16"):
        return _grey(np.asarray(picture).astype(np.float32) / 257.0)
    if picture.mode in ("I", "F"):
        values = np.nan_to_num(np.asarray(picture).astype(np.float32))
        top = float(values.max(initial=0.0))
        unit = 1.0 if picture.mode == "F" and top <= 1.0 else 255.0 if top <= 255.0 else max(top, 65535.0)
        return _grey(values * (255.0 / unit))
    if picture.has_transparency_data:
        above = picture.convert("RGBA")
        profile = picture.info.get("icc_profile")
        picture = PIL.Image.new("RGB", above.size, (255, 255, 255))
        picture.paste(above, mask=above.getchannel("A"))
        picture.info["icc_profile"] = profile
    return np.array(_srgb(picture).convert("RGB"), np.uint8)


def _grey(values: Any) -> Image:
    grey = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    return np.repeat(grey[:, :, None], 3, axis=2)


def _srgb(picture: PIL.Image.Image) -> PIL.Image.Image:
    """The picture's own colour profile applied; one that is damaged is passed over."""
    profile = picture.info.get("icc_profile")
    if not profile or picture.mode not in ("RGB", "CMYK"):
        return picture
    try:
        source = PIL.ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if picture.mode == "RGB" and "sRGB" in PIL.ImageCms.getProfileDescription(source):
            return picture
        made = PIL.ImageCms.profileToProfile(
            picture, source, PIL.ImageCms.createProfile("sRGB"), outputMode="RGB"
        )
    except (PIL.ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return picture
    return made or picture


def is_animation(file: Path) -> bool | None:
    """True for a picture file that moves, False for a still, None for what PIL does not know."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with open_picture(file) as picture:
                return picture.format in _ANIMATED and int(getattr(picture, "n_frames", 1)) > 1
    except LimitError:
        return False
    except Exception:  # unknown, or damaged: whoever reads it says so
        return None


def animation_frames(file: Path) -> Iterator[tuple[Image, float]]:
    """Pictures and times in seconds of an animated GIF, WebP, PNG or AVIF; raises what PIL raises."""
    time = 0.0
    with open_picture(file) as picture:
        for index in range(int(getattr(picture, "n_frames", 1))):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                picture.seek(index)
                # a GIF's frames may outgrow the first
                if picture.width * picture.height > LIMITS.video_pixels:
                    raise LimitError(f"{file}: frame {index} is too large; shrink it first")
                picture.load()
                image = _rgb(picture)
            yield np.ascontiguousarray(image), time
            # Browsers too show frames that ask for no time for a tenth of a second.
            milliseconds = float(picture.info.get("duration") or 0)
            time += (milliseconds if milliseconds > 10 else 100.0) / 1000.0


def write_picture(path: PathLike, image: Image, *, final: PathLike | None = None) -> None:
    """Write RGB (H, W, 3) uint8 as PNG, JPEG or WebP by the suffix of `path`; raises OutputError.

    Nothing is made atomic here: give the name of `temp_beside`, then `publish` it. final: the name that
    errors tell, where `path` is a temporary one.
    """
    target = Path(path)
    options: dict[str, Any] = {".png": {"compress_level": 4}}.get(target.suffix.lower(), {"quality": 95})
    if target.suffix.lower() in (".jpg", ".jpeg"):
        options["subsampling"] = 0
    if target.suffix.lower() not in PICTURE_SUFFIXES:
        raise InputError(f"the output {target} must end in one of {', '.join(PICTURE_SUFFIXES)}")
    try:
        PIL.Image.fromarray(image).save(target, **options)
    except (OSError, ValueError) as error:
        raise output_error(error, Path(final or target)) from None
