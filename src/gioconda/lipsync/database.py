"""A mouth texture database: pictures of one person's mouths on one grid of the face's plane, in a safetensors file.

The command line calls such a file a bank.
"""

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

from gioconda.errors import LimitError, WeightsError
from gioconda.landmarks import is_facelike
from gioconda.limits import LIMITS
from gioconda.lipsync.points import COUNT, LIP_ROWS, OUTLINE_ROWS
from gioconda.lipsync.select import features
from gioconda.runtime.safetensors import decode_own
from gioconda.types import LANDMARKS, FloatArray, Image

KIND, VERSION = "gioconda mouths", "1"
SUFFIX = ".safetensors"
# Mouths that a database keeps, and bytes of their pictures.
MOST, MOST_BYTES = 4000, 192 * 2**20
# A mouth's picture in the face's plane, inter-ocular units: from below the nose to below the chin, with the cheeks.
LEFT, TOP, WIDTH, HEIGHT = -0.76, 0.40, 1.52, 1.216
# Pixels of the picture's width: least and most. The width is a multiple of WIDTH_STEP and the height 4 / 5 of it, so
# that both are even, as YUV 4:2:0 needs.
SIDES, WIDTH_STEP = (100, 320), 20
# Pixels of the picture for one of the video, so that resampling loses little.
OVERSAMPLED = 1.35
# Principal components of the shapes by which diverse mouths are selected.
COMPONENTS = 16
# The arrays of the file, with their types.
FIELDS = {"crops": np.uint8, "points": np.float32, "pose": np.float32, "colour": np.float32}
FIELDS |= {"sharp": np.float32, "source": np.int32, "frame": np.int32}
FIELDS |= {"head": np.float32, "rest": np.float32}
# Fields of the person; all others hold a row for each mouth.
PERSONAL = ("head", "rest")
# Characters of an error's reason that a message quotes.
REASON_LENGTH = 120


@dataclass(frozen=True)
class Grid:
    """The grid of a mouth's picture in the face's plane.

    Attributes:
        width: Pixels across.
        height: Pixels down.
    """

    width: int
    height: int

    @classmethod
    def for_unit(cls, unit: float) -> Grid:
        """The grid for faces with an inter-ocular distance of `unit` pixels."""
        width = int(np.clip(-(-OVERSAMPLED * unit * WIDTH // WIDTH_STEP) * WIDTH_STEP, *SIDES))
        return cls(width, width * 4 // 5)

    @property
    def scale(self) -> float:
        """Pixels an inter-ocular unit."""
        return self.width / WIDTH

    @property
    def capacity(self) -> int:
        """The number of pictures of this size that a database keeps at most."""
        return min(MOST, MOST_BYTES // (self.width * self.height * 3 // 2))

    def pixels(self, plane: FloatArray) -> FloatArray:
        """Map points (..., 2) of the face's plane to pixel centres of the picture, (..., 2) float32."""
        return np.asarray((plane - np.array([LEFT, TOP], np.float32)) * self.scale - 0.5, np.float32)

    def crop(self, image: Image, matrix: FloatArray) -> Image:
        """Crop a mouth's picture from a frame.

        Args:
            image: (H, W, 3) uint8 RGB, the frame.
            matrix: (2, 3), its map from the face's plane to pixels.

        Returns:
            (height, width, 3) uint8 RGB.
        """
        inner = matrix.astype(np.float64).copy()
        inner[:, 2] += matrix[:, :2] @ (np.array([LEFT, TOP]) + 0.5 / self.scale)
        inner[:, :2] /= self.scale
        flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
        crop = cv2.warpAffine(
            image, inner, (self.width, self.height), flags=flags, borderMode=cv2.BORDER_REPLICATE
        )
        return np.asarray(crop, np.uint8)


@dataclass(frozen=True, eq=False)
class MouthDatabase:
    """N mouths of one person.

    Attributes:
        crops: (N, 1.5 h, w) uint8, pictures of `grid` as planar YUV 4:2:0, as in the video.
        points: (N, P, 2) float32, `POINTS` in the face's plane, inter-ocular units.
        pose: (N, 2) float32, yaw and pitch in degrees.
        colour: (N, 3) float32, mean RGB of the skin around the mouth, 0 to 255.
        sharp: (N,) float32, variance of the lips' Laplacian.
        source: (N,) int32, the video of each mouth.
        frame: (N,) int32, its frame in that video.
        head: (478, 3) float32, the person's own median head, against which poses are fitted; canonical frame.
        rest: (478, 3) float32, the face at rest; canonical frame.
        about: Settings and sources.
        sha256: Of the file, in hex; "" in memory.
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
        """The grid of all its pictures."""
        return Grid(self.crops.shape[2], self.crops.shape[1] * 2 // 3)

    @property
    def features(self) -> FloatArray:
        """The features by which its mouths are compared, (N, F) float32."""
        return features(self.points, self.pose)

    def picture(self, index: int) -> Image:
        """Decode the picture of mouth `index`, (h, w, 3) uint8 RGB."""
        return np.asarray(cv2.cvtColor(np.asarray(self.crops[index]), cv2.COLOR_YUV2RGB_I420), np.uint8)

    def subset(self, kept: npt.NDArray[Any]) -> MouthDatabase:
        """The database of some of its mouths, by indices (n,) or by a mask (N,) bool."""
        arrays = {name: getattr(self, name)[kept] for name in FIELDS if name not in PERSONAL}
        return MouthDatabase(**arrays, head=self.head, rest=self.rest, about=self.about)


def to_yuv420(picture: Image) -> npt.NDArray[np.uint8]:
    """Convert a mouth's picture (h, w, 3) uint8 RGB to planar YUV 4:2:0, (1.5 h, w) uint8, as a database keeps it."""
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2YUV_I420), np.uint8)


def skin_colour(picture: Image, grid: Grid, points: FloatArray) -> FloatArray:
    """Measure the mean colour of the skin around the lips.

    Args:
        picture: (h, w, 3) uint8 RGB, of a mouth.
        grid: Its grid.
        points: (P, 2), its points in the face's plane.

    Returns:
        (3,) float32 RGB, 0 to 255.
    """
    mask = np.zeros(picture.shape[:2], np.uint8)
    outline = cv2.convexHull(grid.pixels(points[OUTLINE_ROWS]))
    cv2.fillConvexPoly(mask, np.rint(outline).astype(np.int32), (255,))
    lips = cv2.convexHull(grid.pixels(points[LIP_ROWS]))
    cv2.fillConvexPoly(mask, np.rint(lips).astype(np.int32), (0,))
    return np.asarray(cv2.mean(picture, mask)[:3], np.float32)


def sharpness(picture: Image, grid: Grid, points: FloatArray) -> float:
    """The variance of the Laplacian of the lips' luma, which falls with blur; arguments as `skin_colour`."""
    low, high = grid.pixels(points[LIP_ROWS]).min(0), grid.pixels(points[LIP_ROWS]).max(0)
    (left, top), (right, bottom) = np.maximum(np.floor(low), 0).astype(int), np.ceil(high).astype(int) + 1
    grey = cv2.cvtColor(picture[top:bottom, left:right], cv2.COLOR_RGB2GRAY)
    return float(cv2.Laplacian(grey, cv2.CV_32F).var())


def select_diverse(points: FloatArray, pose: FloatArray, most: int) -> npt.NDArray[np.intp]:
    """Select mouths that are spread evenly over shapes and poses, by farthest-point sampling.

    Args:
        points: (N, P, 2), in the face's plane.
        pose: (N, 2), yaw and pitch in degrees.
        most: The number of mouths to select, at most.

    Returns:
        (n,), indices of mouths, ascending.
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


def concatenate(parts: Sequence[MouthDatabase]) -> MouthDatabase:
    """Concatenate databases with the same head and grid."""
    names = [name for name in FIELDS if name not in PERSONAL]
    arrays: dict[str, Any] = {n: np.concatenate([getattr(part, n) for part in parts]) for n in names}
    return MouthDatabase(**arrays, head=parts[0].head, rest=parts[0].rest, about=parts[0].about)


def encode(bank: MouthDatabase) -> bytes:
    """Encode a database as the bytes of its file."""
    from safetensors.numpy import save

    tensors = {name: np.ascontiguousarray(getattr(bank, name), kind) for name, kind in FIELDS.items()}
    about = json.dumps(dict(bank.about))
    return bytes(save(tensors, {"kind": KIND, "version": VERSION, "about": about}))


def read(path: Path) -> MouthDatabase:
    """Read a database's file.

    Raises:
        WeightsError: The file is damaged or is not a mouth texture database.
        LimitError: The file is too large.
    """
    if path.stat().st_size > LIMITS.identity_bytes:
        raise LimitError(
            f"{path} is larger than {LIMITS.identity_bytes >> 20} MiB, the limit of a mouth texture database"
        )
    content = path.read_bytes()
    try:
        return _decoded(content)
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0][:REASON_LENGTH]
        raise WeightsError(
            f"{path} is damaged or is not a mouth texture database ({reason});"
            " make one with gioconda adapt --for speech"
        ) from None


def _decoded(content: bytes) -> MouthDatabase:
    """The database of a file's bytes; ValueError, TypeError or KeyError where they hold none."""
    arrays, about = decode_own(content, KIND, VERSION)
    for name, kind in FIELDS.items():
        if arrays[name].dtype != kind:
            raise ValueError(f"`{name}` has type {arrays[name].dtype}")
        if kind is np.float32 and not np.isfinite(arrays[name]).all():
            raise ValueError(f"`{name}` holds values that are not finite")
    _check_shapes({name: arrays[name].shape for name in FIELDS})
    if not (is_facelike(arrays["head"]) and is_facelike(arrays["rest"])):
        raise ValueError("`head` or `rest` is not a face")
    digest = hashlib.sha256(content).hexdigest()
    return MouthDatabase(**{name: arrays[name] for name in FIELDS}, about=about, sha256=digest)


def _check_shapes(shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Raise ValueError unless all arrays of a database fit together and its pictures have an allowed size."""
    crops = shapes["crops"]
    if len(crops) != 3 or not 1 <= crops[0] <= MOST or not SIDES[0] <= crops[2] <= SIDES[1]:
        raise ValueError(f"`crops` has shape {crops}")
    if crops[2] % WIDTH_STEP or crops[1] != crops[2] * 6 // 5:
        raise ValueError(f"`crops` has shape {crops}")
    count = crops[0]
    expected: dict[str, tuple[int, ...]] = dict.fromkeys(("sharp", "source", "frame"), (count,))
    expected |= {"points": (count, COUNT, 2), "pose": (count, 2), "colour": (count, 3)}
    expected |= dict.fromkeys(PERSONAL, (LANDMARKS, 3))
    for name, shape in expected.items():
        if shapes[name] != shape:
            raise ValueError(f"`{name}` has shape {shapes[name]}, expected {shape}")
