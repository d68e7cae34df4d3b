"""Motion on disk: a plain `.npz` without pickle, checked before anything of it is loaded."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gioconda.errors import InputError, LimitError, MissingFileError
from gioconda.facelike import is_facelike
from gioconda.limits import LIMITS, check_seconds
from gioconda.types import ARKIT_NAMES, LANDMARKS, Motion

SCHEMA = 1
_T = -1  # stands for the number of frames in the shapes below
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
_HEADER_BYTES = 4096  # the longest header of a member that is read; numpy writes 128
_ROTATION_ERROR = 1e-2  # how far R'R may be from 1
_LARGEST_SIZE = 1e3  # of a head, against that of the reference frame
_FARTHEST = 1e3  # inter-ocular units that a head may travel, or a landmark from where it belongs

_npy: Any = np.lib.format  # typed too narrowly in numpy 1.26


def save(motion: Motion, path: str | os.PathLike[str]) -> None:
    """Write a motion to `path` as given (a temporary name: whoever calls renames it when all is done)."""
    arrays = {"schema": np.asarray(SCHEMA, "<i4")}
    for name, (_, kind) in {**_SHAPES, **_OPTIONAL}.items():
        value = getattr(motion, name, None)
        if value is not None:
            arrays[name] = np.asarray(value, kind)
    # Not by np.savez: where the disk is full, that leaves an archive open, which complains on the terminal.
    with zipfile.ZipFile(Path(path), "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                _npy.write_array(member, array, allow_pickle=False)


def load(path: str | os.PathLike[str]) -> Motion:
    """Read a motion that `save` wrote; its name is that of the file.

    MissingFileError, LimitError, or InputError if the file is anything else.
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
    """Names, types and shapes as headers tell them, and sizes, before any array is unpacked."""
    members = archive.infolist()
    names = [m.filename.removesuffix(".npy") for m in members]
    unknown = set(names) - set(_SHAPES) - set(_OPTIONAL)
    missing = set(_SHAPES) - set(names)
    if unknown or missing or len(set(names)) != len(names):
        what = f"unexpected {min(unknown)!r}" if unknown else f"no {min(missing)!r}" if missing else "doubles"
        raise InputError(f"{path} is not a motion file of Gioconda: it holds {what}")
    size = sum(m.file_size for m in members)
    if size > LIMITS.motion_bytes:
        raise LimitError(f"{path} unpacks to {size} bytes; at most {LIMITS.motion_bytes} are read")
    frames: int | None = None
    for name, member in zip(names, members, strict=True):
        frames = _check_header(archive, member, name, frames, path)


def _check_header(
    archive: zipfile.ZipFile, member: zipfile.ZipInfo, name: str, frames: int | None, path: Path
) -> int | None:
    """Check one member; returns the number of frames as soon as it is known."""
    expected, kind = {**_SHAPES, **_OPTIONAL}[name]
    with archive.open(member) as file:
        version = _npy.read_magic(file)
        if version != (1, 0):
            raise InputError(f"{path} is not a motion file of Gioconda: {name!r} has an unknown header")
        shape, fortran, dtype = _npy.read_array_header_1_0(file, max_header_size=_HEADER_BYTES)
        header = file.tell()
    wanted = tuple(frames if n == _T and frames is not None else n for n in expected)
    fits = len(shape) == len(wanted) and all(w in (_T, s) for s, w in zip(shape, wanted, strict=False))
    if not fits or fortran or dtype != np.dtype(kind):
        raise InputError(f"{path}: {name!r} is {dtype} {shape}, not what a motion file holds")
    if member.file_size != header + dtype.itemsize * int(np.prod(shape, dtype=np.int64)):
        raise InputError(f"{path}: the size of {name!r} does not match its header")
    if expected[:1] != (_T,):
        return frames
    if shape[0] > LIMITS.video_frames:
        raise LimitError(f"{path} has {shape[0]} frames; at most {LIMITS.video_frames} are read")
    return int(shape[0])


def _to_motion(arrays: dict[str, npt.NDArray[Any]], path: Path) -> Motion:
    """A motion of checked arrays; InputError if their values make none."""
    schema = int(arrays.pop("schema"))
    if schema != SCHEMA:
        raise InputError(f"{path} has schema {schema}, this version reads {SCHEMA}; track the video again")
    width, height = (int(v) for v in arrays.pop("frame_size"))
    unit, reference = float(arrays.pop("unit")), int(arrays.pop("reference"))
    check_seconds(path, float(np.ptp(arrays["times"])) if len(arrays["times"]) else 0.0)
    problem = _problem(arrays, unit, width, height)
    if problem:
        raise InputError(f"{path} is not a sound motion file: {problem}")
    try:
        return Motion(**arrays, unit=unit, frame_size=(width, height), reference=reference, name=path.stem)
    except ValueError as error:
        raise InputError(f"{path} is not a sound motion file: {error}") from error


def _problem(arrays: dict[str, npt.NDArray[Any]], unit: float, width: int, height: int) -> str:
    """What is wrong with values whose shapes are right; "" if nothing is."""
    if any(not np.isfinite(array).all() for array in arrays.values()) or not np.isfinite(unit):
        return "it holds values that are not finite"
    turns = arrays["rotation"].astype(np.float64)
    if len(turns) and (
        np.abs(np.swapaxes(turns, 1, 2) @ turns - np.eye(3)).max() > _ROTATION_ERROR
        or np.linalg.det(turns).min() < 0
    ):
        return "its rotations are none"
    if unit <= 0 or (arrays["scale"] <= 0).any():
        return "sizes must be above 0"
    if min(width, height) < 0 or width * height > LIMITS.video_pixels:
        return f"a picture of {width} x {height} pixels"
    if np.abs(arrays["expression"] - 0.5).max(initial=0) > 1.5:
        return "expression coefficients must lie in 0..1"
    return _farfetched(arrays)


def _farfetched(arrays: dict[str, npt.NDArray[Any]]) -> str:
    """What no face does, by which later steps would overflow or divide by nothing; "" if all is well."""
    if np.abs(np.log(arrays["scale"].astype(np.float64))).max(initial=0) > np.log(_LARGEST_SIZE):
        return f"a head of more than {_LARGEST_SIZE:g} times its size, or as small"
    places = [arrays[name] for name in ("translation", "gaze", "residual") if name in arrays]
    if any(np.abs(place).max(initial=0) > _FARTHEST for place in places):
        return f"a face lies more than {_FARTHEST:g} of its eyes' distances away"
    if "neutral" in arrays and not is_facelike(arrays["neutral"]):
        return "its face at rest is none"
    return ""
