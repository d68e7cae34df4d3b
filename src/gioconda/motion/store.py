"""Motion files: plain `.npz` without pickle, whose headers are checked before any array is loaded."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gioconda.errors import InputError, LimitError, MissingFileError
from gioconda.landmarks import is_facelike
from gioconda.limits import LIMITS, check_seconds
from gioconda.types import ARKIT_NAMES, LANDMARKS, Motion, Take

# The file's format. A motion without cuts is written in the first one, which older versions read too.
SCHEMAS = (1, 2)
# Stand for the numbers of frames and of takes after the first one in the shapes below.
_T, _K = -1, -2
# Array name -> shape and dtype.
_SHAPES: dict[str, tuple[tuple[int, ...], str]] = {
    "schema": ((), "<i4"),
    "times": ((_T,), "<f8"),
    "rotation": ((_T, 3, 3), "<f4"),
    "translation": ((_T, 2), "<f4"),
    "scale": ((_T,), "<f4"),
    "expression": ((_T, len(ARKIT_NAMES)), "<f4"),
    "gaze": ((_T, 2), "<f4"),
    "confidence": ((_T,), "<f4"),
    "unit": ((), "<f8"),
    "frame_size": ((2,), "<i4"),
    "reference": ((), "<i4"),
}
_OPTIONAL: dict[str, tuple[tuple[int, ...], str]] = {
    "residual": ((_T, LANDMARKS, 3), "<f2"),
    "neutral": ((LANDMARKS, 3), "<f4"),
}
# Of schema 2: the fields of the takes after the first one.
_TAKES: dict[str, tuple[tuple[int, ...], str]] = {
    "take_start": ((_K,), "<i4"),
    "take_reference": ((_K,), "<i4"),
    "take_neutral": ((_K, LANDMARKS, 3), "<f4"),
    "take_unit": ((_K,), "<f8"),
    "take_shift": ((_K, 2), "<f8"),
}
_ALL = {**_SHAPES, **_OPTIONAL, **_TAKES}
# Bytes of a member's header that are read at most; numpy writes 128.
_HEADER_BYTES = 4096
# Largest difference of R'R from the identity: rounding of float32 is far below.
_ROTATION_ERROR = 1e-2
# Largest size of a head relative to that of the reference frame; its inverse is the smallest.
_LARGEST_SIZE = 1e3
# Inter-ocular units; the largest translation of a head, and offset of a landmark.
_FARTHEST = 1e3
# Pixels; the largest unit and shift of a take.
_FARTHEST_PIXEL = 1e6
# Largest excess of a coefficient beyond 0..1: other programs write slight overshoots.
_OVERSHOOT = 1.0

# numpy 1.26 types this module too narrowly.
_npy: Any = np.lib.format


def save(motion: Motion, path: str | os.PathLike[str]) -> None:
    """Write a motion file.

    Args:
        motion: The motion.
        path: Written in place; callers pass a temporary name and rename the finished file.
    """
    arrays = {"schema": np.asarray(SCHEMAS[bool(motion.takes)], "<i4")}
    for name, (_, dtype) in {**_SHAPES, **_OPTIONAL}.items():
        value = getattr(motion, name, None)
        if value is not None:
            arrays[name] = np.asarray(value, dtype)
    if motion.takes:
        for name, (_, dtype) in _TAKES.items():
            values = [getattr(take, name.removeprefix("take_")) for take in motion.takes]
            arrays[name] = np.asarray(values, dtype)
    # np.savez would leave the archive open on a full disk, which prints a complaint to the terminal.
    with zipfile.ZipFile(Path(path), "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                _npy.write_array(member, array, allow_pickle=False)


def load(path: str | os.PathLike[str]) -> Motion:
    """Read a motion file that `save` wrote. The motion is named after the file.

    Raises:
        MissingFileError: The file does not exist.
        LimitError: The motion is larger or longer than the limits allow.
        InputError: It is not a motion file, or a damaged one.
    """
    path = Path(path)
    try:
        with zipfile.ZipFile(path) as archive:
            _check_members(archive, path)
        with np.load(path, allow_pickle=False) as data:
            arrays = {name: data[name] for name in data.files}
    except FileNotFoundError as error:
        raise MissingFileError(f"{path} does not exist") from error
    except InputError:
        raise
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from error
    except (zipfile.BadZipFile, ValueError, KeyError, EOFError, NotImplementedError, RuntimeError) as error:
        raise InputError(
            f"{path} is not a motion file: {error}; make one with 'gioconda track VIDEO -o motion.npz'"
        ) from error
    except Exception as error:
        # zlib and numpy's header parser raise types of their own on damaged bytes.
        raise InputError(f"{path} is a damaged motion file ({type(error).__name__})") from error
    return _to_motion(arrays, path)


def _check_members(archive: zipfile.ZipFile, path: Path) -> None:
    """Check names, types, shapes and sizes by the headers alone, before any array is unpacked."""
    members = archive.infolist()
    names = [m.filename.removesuffix(".npy") for m in members]
    unknown = set(names) - set(_ALL)
    missing = set(_SHAPES) - set(names)
    if set(_TAKES) & set(names):
        missing |= set(_TAKES) - set(names)
    if unknown or missing or len(set(names)) != len(names):
        problem = (
            f"it holds an unexpected array {min(unknown)!r}"
            if unknown
            else f"it lacks the array {min(missing)!r}"
            if missing
            else "it holds an array twice"
        )
        raise InputError(f"{path} is not a motion file of Gioconda: {problem}")
    size = sum(m.file_size for m in members)
    if size > LIMITS.motion_bytes:
        raise LimitError(f"{path} unpacks to {size:,} bytes; the limit is {LIMITS.motion_bytes:,}")
    sizes: dict[int, int] = {}
    for name, member in zip(names, members, strict=True):
        _check_header(archive, member, name, sizes, path)


def _check_header(
    archive: zipfile.ZipFile, member: zipfile.ZipInfo, name: str, sizes: dict[int, int], path: Path
) -> None:
    """Check one member's header.

    Args:
        archive: The `.npz`.
        member: In the archive.
        name: Of its array.
        sizes: Values of _T and _K by the members before; those of this member are added.
        path: Of the archive, for messages.
    """
    expected, expected_dtype = _ALL[name]
    with archive.open(member) as file:
        version = _npy.read_magic(file)
        if version != (1, 0):
            raise InputError(f"{path} is not a motion file of Gioconda: {name!r} has an unknown header")
        shape, fortran, dtype = _npy.read_array_header_1_0(file, max_header_size=_HEADER_BYTES)
        header = file.tell()
    sides = tuple(sizes.get(n, n) for n in expected)
    fits = len(shape) == len(sides) and all(
        side in (_T, _K, s) for s, side in zip(shape, sides, strict=False)
    )
    if not fits or fortran or dtype != np.dtype(expected_dtype):
        raise InputError(
            f"{path} is not a motion file: its array {name!r} has type {dtype} and shape {shape}"
        )
    if member.file_size != header + dtype.itemsize * int(np.prod(shape, dtype=np.int64)):
        raise InputError(f"{path} is damaged: the size of its array {name!r} does not match the header")
    if expected[:1] in ((_T,), (_K,)):
        if shape[0] > LIMITS.video_frames:
            raise LimitError(f"{path} has {shape[0]:,} frames; the limit is {LIMITS.video_frames:,}")
        sizes[expected[0]] = int(shape[0])


def _to_motion(arrays: dict[str, npt.NDArray[Any]], path: Path) -> Motion:
    """The motion of arrays with checked shapes; InputError if their values do not make one."""
    schema = int(arrays.pop("schema"))
    if schema not in SCHEMAS:
        read = " and ".join(map(str, SCHEMAS))
        raise InputError(f"{path} has schema {schema}, but this version reads {read}; track the video again")
    width, height = (int(v) for v in arrays.pop("frame_size"))
    unit, reference = float(arrays.pop("unit")), int(arrays.pop("reference"))
    check_seconds(path, float(np.ptp(arrays["times"])) if len(arrays["times"]) else 0.0)
    problem = _problem(arrays, unit, width, height)
    if problem:
        raise InputError(f"{path} is not a valid motion file: {problem}")
    fields = {name: arrays.pop(name) for name in _TAKES if name in arrays}
    try:
        return Motion(
            **arrays,
            unit=unit,
            frame_size=(width, height),
            reference=reference,
            name=path.stem,
            notes=(),
            takes=_takes(fields),
        )
    except ValueError as error:
        raise InputError(f"{path} is not a valid motion file: {error}") from error


def _takes(fields: dict[str, npt.NDArray[Any]]) -> tuple[Take, ...]:
    """The takes of the arrays of _TAKES; none without them."""
    rows = zip(*fields.values(), strict=True)
    return tuple(
        Take(int(start), int(reference), neutral, float(unit), (float(shift[0]), float(shift[1])))
        for start, reference, neutral, unit, shift in rows
    )


def _problem(arrays: dict[str, npt.NDArray[Any]], unit: float, width: int, height: int) -> str:
    """A sentence on what is wrong with values whose shapes are right; "" if nothing is."""
    if any(not np.isfinite(array).all() for array in arrays.values()) or not np.isfinite(unit):
        return "it holds values that are not finite"
    rotations = arrays["rotation"].astype(np.float64)
    if len(rotations) and (
        np.abs(np.swapaxes(rotations, 1, 2) @ rotations - np.eye(3)).max() > _ROTATION_ERROR
        or np.linalg.det(rotations).min() < 0
    ):
        return "`rotation` does not contain valid rotation matrices"
    if unit <= 0 or (arrays["scale"] <= 0).any() or (arrays.get("take_unit", np.ones(1)) <= 0).any():
        return "`unit` and `scale` must be above 0"
    if min(width, height) < 0 or width * height > LIMITS.video_pixels:
        return f"`frame_size` is {width} x {height} pixels"
    if np.abs(arrays["expression"] - 0.5).max(initial=0) > 0.5 + _OVERSHOOT:
        return "`expression` holds coefficients outside 0 to 1"
    return _extreme(arrays)


def _extreme(arrays: dict[str, npt.NDArray[Any]]) -> str:
    """As `_problem`, for finite values that no face reaches: later steps would overflow, or divide by 0."""
    if np.abs(np.log(arrays["scale"].astype(np.float64))).max(initial=0) > np.log(_LARGEST_SIZE):
        return f"`scale` changes the head's size by a factor of more than {_LARGEST_SIZE:g}"
    for name in ("translation", "gaze", "residual"):
        if name in arrays and np.abs(arrays[name]).max(initial=0) > _FARTHEST:
            return f"`{name}` holds values beyond {_FARTHEST:g}"
    for name in ("take_unit", "take_shift"):
        if np.abs(arrays.get(name, np.zeros(1))).max(initial=0) > _FARTHEST_PIXEL:
            return f"`{name}` holds values beyond {_FARTHEST_PIXEL:g}"
    if "neutral" in arrays and not is_facelike(arrays["neutral"]):
        return "`neutral` does not have the shape of a face"
    if not all(is_facelike(neutral) for neutral in arrays.get("take_neutral", ())):
        return "`take_neutral` does not have the shape of a face"
    return ""
