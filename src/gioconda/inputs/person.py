"""A person file: photos of one person, with landmarks and masks, as safetensors with their sources in the header."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from gioconda.errors import InputError, LimitError
from gioconda.landmarks import is_facelike
from gioconda.limits import LIMITS, WHOLE_SIDE
from gioconda.media import decode_jpeg, encode_jpeg
from gioconda.runtime.safetensors import decode_own
from gioconda.types import LANDMARKS, OPAQUE, Face, FloatArray, Image, Portrait

KIND, VERSION = "gioconda person", "1"
SUFFIX = ".safetensors"
MOST_PHOTOS = 64
# Names of the arrays: landmarks (K, 478, 3) and flags (K,), and the prefixes of each photo's JPEG and its mask's.
POINTS, VIEWS, PICTURE, MASK = "landmarks", "same_view", "picture.", "mask."
# Characters of an error's reason that a message quotes.
REASON_LENGTH = 120


def encode_person(photos: Sequence[Portrait], about: Mapping[str, Any]) -> bytes:
    """Encode a person as the bytes of the file.

    Args:
        photos: 1 to MOST_PHOTOS photos with masks, the portrait first.
        about: Settings and sources, for the header.
    """
    from safetensors.numpy import save

    arrays: dict[str, npt.NDArray[Any]] = {
        POINTS: np.stack([photo.face.landmarks for photo in photos]).astype(np.float32),
        VIEWS: np.array([photo.same_view for photo in photos], np.uint8),
    }
    for k, photo in enumerate(photos):
        assert photo.person is not None
        arrays[f"{PICTURE}{k}"] = np.frombuffer(encode_jpeg(photo.image), np.uint8)
        # A mask is smooth: half its size loses nothing.
        half = cv2.resize(photo.person, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
        mask = np.rint(half * OPAQUE).astype(np.uint8)
        arrays[f"{MASK}{k}"] = np.frombuffer(encode_jpeg(mask), np.uint8)
    return bytes(save(arrays, {"kind": KIND, "version": VERSION, "about": json.dumps(dict(about))}))


def holds_person(path: Path) -> bool:
    """Whether a file is a person file, by its header."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        head = file.read(min(length, LIMITS.header_bytes))
    return json.dumps(KIND).encode() in head


def read_person(path: Path) -> tuple[Portrait, ...]:
    """Read a person file: the portrait, then the further photos; each carries the file's name and SHA-256.

    Raises:
        InputError: The file is damaged.
        LimitError: The file is too large.
    """
    if path.stat().st_size > LIMITS.identity_bytes:
        raise LimitError(
            f"{path} is larger than {LIMITS.identity_bytes >> 20} MiB, the limit of a person file"
        )
    content = path.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    try:
        photos = _decoded(content)
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0][:REASON_LENGTH]
        raise InputError(f"{path} is damaged ({reason}); make it again with gioconda adapt") from None
    return tuple(replace(photo, name=path.name, sha256=digest) for photo in photos)


def _decoded(content: bytes) -> list[Portrait]:
    """The photos of a file's bytes; ValueError, TypeError or KeyError where they hold none."""
    arrays, _ = decode_own(content, KIND, VERSION)
    points, views = arrays[POINTS], arrays[VIEWS]
    count = len(points)
    if not 1 <= count <= MOST_PHOTOS or points.shape != (count, LANDMARKS, 3) or points.dtype != np.float32:
        raise ValueError(f"`{POINTS}` has shape {points.shape}")
    if views.shape != (count,) or not np.isfinite(points).all() or not all(map(is_facelike, points)):
        raise ValueError("a photo has no face")
    return [_photo(arrays, k, points[k], bool(views[k])) for k in range(count)]


def _photo(arrays: Mapping[str, Any], k: int, points: FloatArray, same_view: bool) -> Portrait:
    """The photo with number `k`."""
    # No photo that is kept is larger; MOST_PHOTOS of any size would fill the memory.
    image, mask = (decode_jpeg(arrays[f"{part}{k}"].tobytes(), WHOLE_SIDE**2) for part in (PICTURE, MASK))
    if image.ndim != 3 or mask.ndim != 2:
        raise ValueError(f"photo {k} is not in colour")
    return Portrait(image, Face(points), person=_full_mask(mask, image), same_view=same_view)


def _full_mask(mask: Image, image: Image) -> FloatArray:
    """A mask (h, w) uint8 at the size of its picture, (H, W) float32, 0 to 1."""
    full = cv2.resize(mask, (image.shape[1], image.shape[0]), interpolation=cv2.INTER_LINEAR)
    return np.asarray(full / np.float32(OPAQUE), np.float32)
