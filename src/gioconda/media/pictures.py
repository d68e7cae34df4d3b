"""Reads and writes pictures; every kind of still becomes upright RGB uint8."""

from __future__ import annotations

import contextlib
import ctypes
import importlib
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
from gioconda.media.wide_stills import is_heic, know_heic, wide_still
from gioconda.types import OPAQUE, Image

# PIL also knows formats that call other programs or hold video; they are excluded, and not even loaded.
_PLUGINS = {
    "PNG": "Png",
    "JPEG": "Jpeg",
    "WEBP": "WebP",
    "GIF": "Gif",
    "BMP": "Bmp",
    "TIFF": "Tiff",
    "PPM": "Ppm",
    "AVIF": "Avif",
    "JPEG2000": "Jpeg2K",
}
for _plugin in _PLUGINS.values():
    with contextlib.suppress(ImportError):
        importlib.import_module(f"PIL.{_plugin}ImagePlugin")
_FORMATS = tuple(name for name in _PLUGINS if name in PIL.Image.OPEN)
_ANIMATED = ("GIF", "WEBP", "PNG", "AVIF")
# Bytes that tell the format of a file, and of a WebP the size of its canvas.
_HEADER_BYTES = 30
# Levels of 16 bits in one of 8 bits, and the highest level of 16 bits.
_LEVELS_16_TO_8 = 257.0
_MOST_16_BITS = 65535.0
# Milliseconds up to which a frame's duration counts as missing, and the duration that such a frame gets.
_INSTANT_MS = 10
_DEFAULT_MS = 100.0
# zlib's level for PNG: higher ones take longer and save little. Quality of JPEG and WebP, of 100.
_PNG_LEVEL = 4
_QUALITY = 95

# Without a handler, Python would print PIL's warnings on the terminal.
logging.getLogger("PIL").addHandler(logging.NullHandler())
# Without this, libtiff prints its warnings on the terminal itself.
with contextlib.suppress(OSError, AttributeError):
    _libtiff = ctypes.CDLL(PIL._imaging.__file__)
    _libtiff.TIFFSetErrorHandler(None)
    _libtiff.TIFFSetWarningHandler(None)

Turn = tuple[bool, bool, bool]
"""Whether to transpose, then to flip up-down, then to flip left-right."""
UPRIGHT: Turn = (False, False, False)
# The tag of EXIF's orientation, and the turn for each of its values.
_ORIENTATION_TAG = 0x0112
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
    """Transpose and flip a picture (H, W) or (H, W, n) uint8."""
    transpose, up_down, left_right = how
    if transpose:
        image = np.asarray(cv2.transpose(image), np.uint8)
    if up_down or left_right:
        code = -1 if up_down and left_right else (0 if up_down else 1)
        image = np.asarray(cv2.flip(image, code), np.uint8)
    return image


def read_picture(path: PathLike, *, flatten: bool = True) -> tuple[Image, str]:
    """Read a still picture, upright and in sRGB, over white where it is transparent.

    Args:
        path: Of the file.
        flatten: False reads the colours that the file has where it is transparent.

    Returns:
        The picture (H, W, 3) uint8 RGB, and the SHA-256 of the file in hex.

    Raises:
        MissingFileError: The file does not exist.
        InputError: The file is not a picture, or is damaged.
        LimitError: The picture has too many pixels; the header is checked before decoding.
    """
    file = check_input(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with open_picture(file) as picture:
                # Loading turns a TIFF, whose EXIF then asks for no turn.
                picture.load()
                image = wide_still(file, picture)
                if image is None:
                    image = turn(_rgb(picture, flatten=flatten), _orientation(picture))
    except InputError:
        raise
    # Decoders may raise anything on damaged bytes.
    except Exception as error:
        raise InputError(f"{file} is damaged or incomplete ({error}); copy or export it again") from None
    return np.ascontiguousarray(image), sha256_file(file)


def read_alpha(path: PathLike) -> Image | None:
    """Read how opaque a still picture is.

    Returns:
        (H, W) uint8, 255 where it is opaque, upright as by `read_picture`; None if all of it is.

    Raises:
        MissingFileError, InputError, LimitError: As `read_picture`.
    """
    file = check_input(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with open_picture(file) as picture:
                picture.load()
                if not picture.has_transparency_data:
                    return None
                alpha = np.asarray(picture.convert("RGBA").getchannel("A"), np.uint8)
                alpha = np.ascontiguousarray(turn(alpha, _orientation(picture)))
    except InputError:
        raise
    # Decoders may raise anything on damaged bytes.
    except Exception as error:
        raise InputError(f"{file} is damaged or incomplete ({error}); copy or export it again") from None
    return None if alpha.min() == OPAQUE else alpha


def open_picture(file: Path) -> PIL.Image.Image:
    """Open a PIL picture by reading only its header.

    Raises:
        InputError: The file is not a picture.
        LimitError: The picture has too many pixels.
    """
    with file.open("rb") as stream:
        head = stream.read(_HEADER_BYTES)
    _check_webp(file, head)
    # AVIF files may have a brand of HEIC.
    formats = (*_FORMATS, know_heic()) if is_heic(head) else _FORMATS
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", PIL.Image.DecompressionBombWarning)
            picture = PIL.Image.open(file, formats=formats)
    except PIL.Image.DecompressionBombError as error:
        number = re.search(r"\d+", str(error))
        raise _too_large(file, f"{int(number.group()):,} pixels" if number else "too many pixels") from None
    # An unknown format, or a damaged header.
    except Exception:
        raise InputError(_not_a_picture(file)) from None
    width, height = picture.size
    if width * height > LIMITS.picture_pixels:
        picture.close()
        raise _too_large(file, f"{width}x{height} = {width * height:,} pixels")
    return picture


def _check_webp(file: Path, head: bytes) -> None:
    """Raise LimitError for a WebP canvas that is too large; PIL allocates it while opening the file."""
    if head[:4] != b"RIFF" or head[8:16] != b"WEBPVP8X" or len(head) < _HEADER_BYTES:
        return
    width = int.from_bytes(head[24:27], "little") + 1
    height = int.from_bytes(head[27:30], "little") + 1
    if width * height > LIMITS.picture_pixels:
        raise _too_large(file, f"{width}x{height} = {width * height:,} pixels")


def _too_large(file: Path, size: str) -> LimitError:
    """The error for a picture with too many pixels."""
    return LimitError(f"{file} has {size}, the limit is {LIMITS.picture_pixels:,}; shrink it first")


def _not_a_picture(file: Path) -> str:
    """The message for a file that PIL cannot open."""
    if _begins_like_heic(file):
        return f"{file} is a HEIC picture that is damaged, or of a kind that cannot be read; save it as JPEG or PNG"
    return f"{file} is not a picture that can be read; use PNG, JPEG, WebP, TIFF, BMP, AVIF or HEIC"


def _begins_like_heic(file: Path) -> bool:
    """Whether a file begins like a HEIC picture, damaged or not."""
    with file.open("rb") as stream:
        return is_heic(stream.read(_HEADER_BYTES))


def _orientation(picture: PIL.Image.Image) -> Turn:
    """The turn that EXIF asks for; none if EXIF is damaged."""
    try:
        return _EXIF.get(int(picture.getexif().get(_ORIENTATION_TAG, 1)), UPRIGHT)
    # The picture itself may still be readable.
    except Exception:
        return UPRIGHT


def _rgb(picture: PIL.Image.Image, *, flatten: bool = True) -> Image:
    """Convert a decoded PIL picture of any mode to (H, W, 3) uint8 RGB; `flatten` is that of `read_picture`."""
    if picture.mode.startswith("I;16"):
        return _grey(np.asarray(picture).astype(np.float32) / _LEVELS_16_TO_8)
    if picture.mode in ("I", "F"):
        values = np.nan_to_num(np.asarray(picture).astype(np.float32))
        top = float(values.max(initial=0.0))
        unit = (
            1.0 if picture.mode == "F" and top <= 1.0 else 255.0 if top <= 255.0 else max(top, _MOST_16_BITS)
        )
        return _grey(values * (255.0 / unit))
    if picture.has_transparency_data:
        above = picture.convert("RGBA")
        profile = picture.info.get("icc_profile")
        picture = PIL.Image.new("RGB", above.size, (255, 255, 255))
        picture.paste(above.convert("RGB"), mask=above.getchannel("A") if flatten else None)
        picture.info["icc_profile"] = profile
    return np.array(_srgb(picture).convert("RGB"), np.uint8)


def _grey(values: Any) -> Image:
    """Grey levels (H, W) in 0..255 as (H, W, 3) uint8 RGB."""
    grey = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    return np.repeat(grey[:, :, None], 3, axis=2)


def _srgb(picture: PIL.Image.Image) -> PIL.Image.Image:
    """Convert a picture by its colour profile to sRGB; a damaged profile is ignored."""
    profile = picture.info.get("icc_profile")
    if not profile or picture.mode not in ("RGB", "CMYK"):
        return picture
    try:
        source = PIL.ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if picture.mode == "RGB" and "sRGB" in PIL.ImageCms.getProfileDescription(source):
            return picture
        converted = PIL.ImageCms.profileToProfile(
            picture, source, PIL.ImageCms.createProfile("sRGB"), outputMode="RGB"
        )
    except (PIL.ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return picture
    return converted or picture


def is_animation(file: Path) -> bool | None:
    """Return True for an animated picture, False for a still, None for a file that PIL cannot read."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with open_picture(file) as picture:
                return picture.format in _ANIMATED and int(getattr(picture, "n_frames", 1)) > 1
    except LimitError:
        return False
    # Unknown or damaged; the function that reads the file says so.
    except Exception:
        return None


def is_picture(path: PathLike) -> bool:
    """Return whether a file is a picture, still or animated, also one that `read_picture` refuses; as `check_input`."""
    file = check_input(path)
    return is_animation(file) is not None or _begins_like_heic(file)


def animation_frames(file: Path) -> Iterator[tuple[Image, float]]:
    """Read the frames of an animated GIF, WebP, PNG or AVIF.

    Yields:
        Each frame (H, W, 3) uint8 RGB, with alpha as a fourth channel if it has transparency; and its time in seconds
        from 0.

    Raises:
        LimitError: A frame has too many pixels.
        Exception: Whatever PIL raises on damaged bytes.
    """
    time = 0.0
    with open_picture(file) as picture:
        for index in range(int(getattr(picture, "n_frames", 1))):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                picture.seek(index)
                # The frames of a GIF may be larger than its first.
                if picture.width * picture.height > LIMITS.video_pixels:
                    raise LimitError(f"{file}: frame {index} has too many pixels; shrink the animation first")
                picture.load()
                image = _rgb(picture)
                if picture.has_transparency_data:
                    image = np.dstack([image, np.asarray(picture.convert("RGBA").getchannel("A"))])
            yield np.ascontiguousarray(image), time
            # Like browsers, show frames without a duration for a tenth of a second.
            milliseconds = float(picture.info.get("duration") or 0)
            time += (milliseconds if milliseconds > _INSTANT_MS else _DEFAULT_MS) / 1000.0


def write_picture(path: PathLike, image: Image, *, final: PathLike | None = None) -> None:
    """Write a picture as PNG, JPEG or WebP, by the suffix of `path`.

    The file appears piece by piece: give a path of `temp_beside`, then `publish` it.

    Args:
        path: The file to write.
        image: The picture (H, W, 3) uint8 RGB, or (H, W, 4) RGBA for formats of ALPHA_SUFFIXES.
        final: The path that errors name, if `path` is a temporary one.

    Raises:
        InputError: The suffix is not that of a picture.
        OutputError: The file cannot be written.
    """
    target = Path(path)
    options: dict[str, Any] = {".png": {"compress_level": _PNG_LEVEL}}.get(
        target.suffix.lower(), {"quality": _QUALITY}
    )
    if target.suffix.lower() in (".jpg", ".jpeg"):
        options["subsampling"] = 0
    if target.suffix.lower() not in PICTURE_SUFFIXES:
        raise InputError(f"the output {target} must end in one of {', '.join(PICTURE_SUFFIXES)}")
    try:
        PIL.Image.fromarray(image).save(target, **options)
    except (OSError, ValueError) as error:
        raise output_error(error, Path(final or target)) from None
