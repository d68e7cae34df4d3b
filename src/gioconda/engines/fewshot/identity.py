"""An identity file: what a person's photos were turned into, as safetensors with its settings in the header."""

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
from gioconda.facelike import is_facelike
from gioconda.limits import LIMITS
from gioconda.tensors import decode_own
from gioconda.types import LANDMARKS, Face, FloatArray, Image, Portrait

KIND, VERSION = "gioconda identity", "1"
SUFFIX = ".safetensors"
PICTURE, POINTS, PREFIX = "picture", "landmarks", "fitted."
LARGEST_SIDE = 1024  # pixels of the picture that an identity file may hold


@dataclass(frozen=True)
class Identity:
    """A person as an engine was fitted: a picture (S, S, 3) uint8, its landmarks (478, 3), weights by name.

    about: settings and sources, as written in the header.
    """

    picture: Image
    landmarks: FloatArray
    fitted: Mapping[str, npt.NDArray[Any]]
    about: Mapping[str, Any]

    def portrait(self, name: str, digest: str) -> Portrait:
        """The picture as a portrait that carries the weights."""
        return Portrait(self.picture, Face(self.landmarks), name, digest, fitted=self.fitted)


def encode(identity: Identity) -> bytes:
    """The bytes of an identity file."""
    from safetensors.numpy import save

    tensors: dict[str, npt.NDArray[Any]] = {
        PREFIX + k: np.array(v, order="C") for k, v in identity.fitted.items()
    }
    tensors[PICTURE] = np.ascontiguousarray(identity.picture)
    tensors[POINTS] = np.ascontiguousarray(identity.landmarks, np.float32)
    return bytes(save(tensors, {"kind": KIND, "version": VERSION, "about": json.dumps(dict(identity.about))}))


def read(path: Path) -> tuple[Identity, str]:
    """An identity file and its SHA-256; InputError where it is damaged or another kind of file."""
    if path.stat().st_size > LIMITS.identity_bytes:
        raise LimitError(f"{path}: larger than {LIMITS.identity_bytes >> 20} MiB, so no identity file")
    content = path.read_bytes()
    try:
        return _decoded(content), hashlib.sha256(content).hexdigest()
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        told = (str(error) or type(error).__name__).splitlines()[0][:120]
        raise InputError(
            f"{path} is no identity file, or damaged ({told}); gioconda adapt makes one"
        ) from None


def _decoded(content: bytes) -> Identity:
    tensors, about = decode_own(content, KIND, VERSION)
    picture, points = tensors.pop(PICTURE), tensors.pop(POINTS)
    side = len(picture)
    if picture.shape != (side, side, 3) or picture.dtype != np.uint8 or not 64 <= side <= LARGEST_SIDE:
        raise ValueError(f"a picture of shape {picture.shape}")
    if points.shape != (LANDMARKS, 3) or points.dtype != np.float32:
        raise ValueError(f"landmarks of shape {points.shape}")
    if not is_facelike(points):
        raise ValueError("landmarks that are no face")
    fitted = {k[len(PREFIX) :]: v for k, v in tensors.items() if k.startswith(PREFIX)}
    for name, value in {**fitted, POINTS: points}.items():
        if not np.issubdtype(value.dtype, np.floating) or not np.isfinite(value).all():
            raise ValueError(f"{name} holds values that are not finite")
    return Identity(picture, points, fitted, about)
