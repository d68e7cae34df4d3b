"""An identity file: a person's picture, landmarks and fitted weights, as safetensors with settings in the header."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gioconda.errors import InputError, LimitError
from gioconda.landmarks import is_facelike
from gioconda.limits import LIMITS
from gioconda.runtime.safetensors import decode_own
from gioconda.types import LANDMARKS, Face, FloatArray, Image, Portrait

KIND, VERSION = "gioconda identity", "1"
SUFFIX = ".safetensors"
PICTURE, POINTS, PREFIX = "picture", "landmarks", "fitted."
# Pixels of the picture's side in an identity file: least and most.
SMALLEST_SIDE, LARGEST_SIDE = 64, 1024
# Characters of an error's reason that a message quotes.
REASON_LENGTH = 120


@dataclass(frozen=True)
class Identity:
    """A person, and the weights of an engine that are fitted to the person.

    Attributes:
        picture: (S, S, 3) uint8 RGB.
        landmarks: (478, 3) float32, in pixels of the picture.
        fitted: Weights by name.
        about: Settings and sources, as the header holds them.
    """

    picture: Image
    landmarks: FloatArray
    fitted: Mapping[str, npt.NDArray[Any]]
    about: Mapping[str, Any]

    def portrait(self, name: str, digest: str) -> Portrait:
        """The picture as a portrait with the weights; digest: the file's SHA-256 in hex."""
        return Portrait(self.picture, Face(self.landmarks), name, digest, fitted=self.fitted)


def encode(identity: Identity) -> bytes:
    """Encode an identity as the bytes of its file."""
    from safetensors.numpy import save

    tensors: dict[str, npt.NDArray[Any]] = {
        PREFIX + k: np.array(v, order="C") for k, v in identity.fitted.items()
    }
    tensors[PICTURE] = np.ascontiguousarray(identity.picture)
    tensors[POINTS] = np.ascontiguousarray(identity.landmarks, np.float32)
    return bytes(save(tensors, {"kind": KIND, "version": VERSION, "about": json.dumps(dict(identity.about))}))


def read(path: Path) -> tuple[Identity, str]:
    """Read an identity file; returns the identity and the file's SHA-256 in hex.

    Raises:
        InputError: The file is damaged or is not an identity file.
        LimitError: The file is too large.
    """
    if path.stat().st_size > LIMITS.identity_bytes:
        raise LimitError(
            f"{path} is larger than {LIMITS.identity_bytes >> 20} MiB, the limit of an identity file"
        )
    content = path.read_bytes()
    try:
        return _decoded(content), hashlib.sha256(content).hexdigest()
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0][:REASON_LENGTH]
        raise InputError(
            f"{path} is damaged or is not an identity file ({reason}); make one with gioconda adapt"
        ) from None


def _decoded(content: bytes) -> Identity:
    """The identity of a file's bytes; ValueError, TypeError or KeyError where they hold none."""
    tensors, about = decode_own(content, KIND, VERSION)
    picture, points = tensors.pop(PICTURE), tensors.pop(POINTS)
    side = len(picture)
    allowed = SMALLEST_SIDE <= side <= LARGEST_SIDE
    if picture.shape != (side, side, 3) or picture.dtype != np.uint8 or not allowed:
        raise ValueError(f"`picture` has shape {picture.shape}")
    if points.shape != (LANDMARKS, 3) or points.dtype != np.float32:
        raise ValueError(f"`landmarks` has shape {points.shape}")
    if not is_facelike(points):
        raise ValueError("`landmarks` is not a face")
    fitted = {k[len(PREFIX) :]: v for k, v in tensors.items() if k.startswith(PREFIX)}
    for name, value in {**fitted, POINTS: points}.items():
        if not np.issubdtype(value.dtype, np.floating) or not np.isfinite(value).all():
            raise ValueError(f"`{name}` holds values that are not finite")
    return Identity(picture, points, fitted, about)
