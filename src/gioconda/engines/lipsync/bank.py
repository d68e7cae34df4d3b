"""A bank of one person's mouths: pictures of them as they spoke, laid out alike, in one safetensors file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from gioconda.engines.lipsync.points import COUNT, LIP_ROWS, OUTLINE_ROWS
from gioconda.engines.lipsync.shapes import features
from gioconda.errors import LimitError, WeightsError
from gioconda.facelike import is_facelike
from gioconda.limits import LIMITS
from gioconda.tensors import decode_own
from gioconda.types import LANDMARKS, FloatArray, Image

KIND, VERSION = "gioconda mouths", "1"
SUFFIX = ".safetensors"
MOST = 4000  # mouths that a bank keeps
MOST_BYTES = 192 * 2**20  # of their pictures
LEFT, TOP, WIDTH, HEIGHT = -0.76, 0.40, 1.52, 1.216  # of a mouth's picture in the face's plane
SIDES = (100, 320)  # pixels of its width, least and most
OVERSAMPLED = 1.35  # pixels of it for one of the video's, so that little is lost
COMPONENTS = 16  # of the shapes, by which a bank is thinned
FIELDS = {"crops": np.uint8, "points": np.float32, "pose": np.float32, "colour": np.float32}
FIELDS |= {"sharp": np.float32, "source": np.int32, "frame": np.int32}
FIELDS |= {"head": np.float32, "rest": np.float32}
WHOLE = ("head", "rest")  # fields of the person, not of a mouth


@dataclass(frozen=True)
class Grid:
    """How pixels (x, y) of a mouth's picture lie in the face's plane: width and height in pixels."""

    width: int
    height: int

    @classmethod
    def for_unit(cls, unit: float) -> Grid:
        """The grid for faces with an inter-ocular distance of `unit` pixels."""
        width = int(np.clip(-(-OVERSAMPLED * unit * WIDTH // 20) * 20, *SIDES))
        return cls(width, width * 4 // 5)

    @property
    def scale(self) -> float:
        """Pixels an inter-ocular unit."""
        return self.width / WIDTH

    @property
    def most(self) -> int:
        """How many pictures of this size a bank keeps."""
        return min(MOST, MOST_BYTES // (self.width * self.height * 3 // 2))

    def pixels(self, plane: FloatArray) -> FloatArray:
        """Points (..., 2) of the face's plane as pixel centres of the picture."""
        return np.asarray((plane - np.array([LEFT, TOP], np.float32)) * self.scale - 0.5, np.float32)

    def cut(self, image: Image, matrix: FloatArray) -> Image:
        """The mouth's picture (height, width, 3) out of a frame whose map from the face's plane is `matrix` (2, 3)."""
        inner = matrix.astype(np.float64).copy()
        inner[:, 2] += matrix[:, :2] @ (np.array([LEFT, TOP]) + 0.5 / self.scale)
        inner[:, :2] /= self.scale
        flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
        made = cv2.warpAffine(
            image, inner, (self.width, self.height), flags=flags, borderMode=cv2.BORDER_REPLICATE
        )
        return np.asarray(made, np.uint8)


@dataclass(frozen=True, eq=False)
class Bank:
    """N mouths of one person.

    crops: (N, 1.5 h, w) uint8, planar YUV 4:2:0 as in the video; of `grid`. points: (N, P, 2), where `POINTS` lie in
    the face's plane. pose: (N, 2), yaw and pitch in degrees. colour: (N, 3), mean RGB of the skin around the mouth.
    sharp: (N,), variance of the lips' Laplacian. source, frame: (N,), which video and which frame of it.
    head: (478, 3), the person's own median head, by which poses are told; rest: (478, 3), the face at rest.
    about: settings and sources. sha256: of the file ("" in memory).
    """

    crops: npt.NDArray[np.uint8]
    points: FloatArray
    pose: FloatArray
    colour: FloatArray
    sharp: FloatArray
    source: npt.NDArray[np.int32]
    frame: npt.NDArray[np.int32]
    head: FloatArray
    rest: FloatArray
    about: Mapping[str, Any]
    sha256: str = ""

    def __len__(self) -> int:
        return len(self.crops)

    @property
    def grid(self) -> Grid:
        """Of all its pictures."""
        return Grid(self.crops.shape[2], self.crops.shape[1] * 2 // 3)

    @property
    def features(self) -> FloatArray:
        """What its mouths are compared by, (N, F)."""
        return features(self.points, self.pose)

    def picture(self, index: int) -> Image:
        """Mouth `index`, RGB (h, w, 3) uint8."""
        return np.asarray(cv2.cvtColor(np.asarray(self.crops[index]), cv2.COLOR_YUV2RGB_I420), np.uint8)

    def only(self, kept: npt.NDArray[Any]) -> Bank:
        """The bank of some of its mouths, by index or truth."""
        arrays = {name: getattr(self, name)[kept] for name in FIELDS if name not in WHOLE}
        return Bank(**arrays, head=self.head, rest=self.rest, about=self.about)


def packed(picture: Image) -> npt.NDArray[np.uint8]:
    """A mouth's picture (h, w, 3) RGB as a bank keeps it, (1.5 h, w)."""
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2YUV_I420), np.uint8)


def skin_colour(picture: Image, grid: Grid, points: FloatArray) -> FloatArray:
    """Mean colour (3,) of the skin around the lips of a mouth's picture, points (P, 2) in the face's plane."""
    mask = np.zeros(picture.shape[:2], np.uint8)
    outline = cv2.convexHull(grid.pixels(points[OUTLINE_ROWS]))
    cv2.fillConvexPoly(mask, np.rint(outline).astype(np.int32), (255,))
    lips = cv2.convexHull(grid.pixels(points[LIP_ROWS]))
    cv2.fillConvexPoly(mask, np.rint(lips).astype(np.int32), (0,))
    return np.asarray(cv2.mean(picture, mask)[:3], np.float32)


def sharpness(picture: Image, grid: Grid, points: FloatArray) -> float:
    """Variance of the Laplacian of the lips' luma, as a measure of blur."""
    low, high = grid.pixels(points[LIP_ROWS]).min(0), grid.pixels(points[LIP_ROWS]).max(0)
    (left, top), (right, bottom) = np.maximum(np.floor(low), 0).astype(int), np.ceil(high).astype(int) + 1
    grey = cv2.cvtColor(picture[top:bottom, left:right], cv2.COLOR_RGB2GRAY)
    return float(cv2.Laplacian(grey, cv2.CV_32F).var())


def thinned(points: FloatArray, pose: FloatArray, most: int) -> npt.NDArray[np.intp]:
    """Which of N mouths to keep, ascending, so that `most` of them are spread evenly over shapes and poses.

    The one farthest from all kept is kept next, by the shapes' principal components.
    """
    if len(points) <= most:
        return np.arange(len(points))
    shape = features(points, pose)
    shape = shape - shape.mean(0)
    axes = np.linalg.eigh(shape.T @ shape)[1][:, -COMPONENTS:]
    shape = np.ascontiguousarray(shape @ axes, np.float32)
    length = (shape**2).sum(1)
    kept = np.empty(most, np.intp)
    kept[0] = int(length.argmin())
    nearest = np.full(len(shape), np.inf, np.float32)
    for k in range(1, most):
        last = kept[k - 1]
        np.minimum(nearest, length - 2 * (shape @ shape[last]) + length[last], out=nearest)
        nearest[last] = -1
        kept[k] = int(nearest.argmax())
    return np.sort(kept)


def joined(parts: Sequence[Bank]) -> Bank:
    """One bank of several with the same head and grid."""
    names = [name for name in FIELDS if name not in WHOLE]
    arrays = {name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
    return Bank(**arrays, head=parts[0].head, rest=parts[0].rest, about=parts[0].about)


def encode(bank: Bank) -> bytes:
    """The bytes of a bank's file."""
    from safetensors.numpy import save

    tensors = {name: np.ascontiguousarray(getattr(bank, name), kind) for name, kind in FIELDS.items()}
    about = json.dumps(dict(bank.about))
    return bytes(save(tensors, {"kind": KIND, "version": VERSION, "about": about}))


def read(path: Path) -> Bank:
    """A bank's file; WeightsError where it is damaged or another kind of file, LimitError where it is too large."""
    if path.stat().st_size > LIMITS.identity_bytes:
        raise LimitError(f"{path}: larger than {LIMITS.identity_bytes >> 20} MiB, so no bank of mouths")
    content = path.read_bytes()
    try:
        return _decoded(content)
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        told = (str(error) or type(error).__name__).splitlines()[0][:120]
        raise WeightsError(
            f"{path} is no bank of mouths, or damaged ({told}); gioconda adapt --for speech makes one"
        ) from None


def _decoded(content: bytes) -> Bank:
    arrays, about = decode_own(content, KIND, VERSION)
    for name, kind in FIELDS.items():
        if arrays[name].dtype != kind:
            raise ValueError(f"{name} of type {arrays[name].dtype}")
        if kind is np.float32 and not np.isfinite(arrays[name]).all():
            raise ValueError(f"{name} holds values that are not finite")
    _check_shapes({name: arrays[name].shape for name in FIELDS})
    if not (is_facelike(arrays["head"]) and is_facelike(arrays["rest"])):
        raise ValueError("a head that is none")
    digest = hashlib.sha256(content).hexdigest()
    return Bank(**{name: arrays[name] for name in FIELDS}, about=about, sha256=digest)


def _check_shapes(shapes: Mapping[str, tuple[int, ...]]) -> None:
    """ValueError unless all arrays of a bank fit together and its pictures are of a size that banks have."""
    crops = shapes["crops"]
    if len(crops) != 3 or not 1 <= crops[0] <= MOST or not SIDES[0] <= crops[2] <= SIDES[1]:
        raise ValueError(f"pictures of shape {crops}")
    if crops[2] % 20 or crops[1] != crops[2] * 6 // 5:
        raise ValueError(f"pictures of shape {crops}")
    count = crops[0]
    wanted: dict[str, tuple[int, ...]] = dict.fromkeys(("sharp", "source", "frame"), (count,))
    wanted |= {"points": (count, COUNT, 2), "pose": (count, 2), "colour": (count, 3), "head": (LANDMARKS, 3)}
    wanted["rest"] = (LANDMARKS, 3)
    for name, shape in wanted.items():
        if shapes[name] != shape:
            raise ValueError(f"{name} of shape {shapes[name]}, not {shape}")
