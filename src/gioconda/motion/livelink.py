"""Live Link Face's CSV (Epic's app, and what writes the same columns) <-> Motion.

A row a frame: Timecode HH:MM:SS:FF.mmm (frames of 1/60 s and thousandths of them, or of 1/24, 1/25, 1/30 s),
BlendShapeCount, ARKit's 52 coefficients, then yaw, pitch and roll of head and eyes in radians. The app does
not document the angles' signs; here, as in ARKit's face frame, yaw > 0 turns to the face's own left
(the viewer's right), pitch > 0 looks up, and roll > 0 tilts counter-clockwise for the viewer.
"""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import numpy as np
import numpy.typing as npt

from gioconda.errors import InputError, LimitError, MissingFileError
from gioconda.limits import LIMITS, check_seconds
from gioconda.motion.expression import gaze_from_coefficients
from gioconda.motion.pose import euler_from_rotation, neck_swing, rotation_from_euler
from gioconda.motion.smooth import bridge
from gioconda.types import ARKIT_INDEX, ARKIT_NAMES, FloatArray, Motion

# The app's own order: right before left, unlike ARKit's, in two places.
_SWAPPED = {
    "jawLeft": "jawRight",
    "jawRight": "jawLeft",
    "mouthLeft": "mouthRight",
    "mouthRight": "mouthLeft",
}
_SHAPES = tuple(_SWAPPED.get(name, name) for name in ARKIT_NAMES)
_HEAD = ("HeadYaw", "HeadPitch", "HeadRoll")
_EYES = ("LeftEyeYaw", "LeftEyePitch", "LeftEyeRoll", "RightEyeYaw", "RightEyePitch", "RightEyeRoll")
_COLUMNS = ("Timecode", "BlendShapeCount", *(name[0].upper() + name[1:] for name in _SHAPES), *_HEAD, *_EYES)
_ROLL_SIGN = -1  # ours is clockwise
_EYE_REACH = np.radians([30.0, 25.0])  # turn of an eye at gaze 1: across, up and down
_RATE = 60  # frames a second that a timecode counts, when the file does not show otherwise
_RATES = (24, 25, 30, 60, 120)
_DAY = 24 * 3600.0


@dataclass(frozen=True)
class _Row:
    """Seconds and frames of a timecode, and the values: 52 coefficients and 3 angles, or None (no face)."""

    seconds: int
    frames: float
    values: FloatArray | None


def read_livelink(path: str | os.PathLike[str]) -> Motion:
    """Motion of a Live Link Face CSV; columns in any order and case, those that are missing at rest.

    Rows without values (the app lost the face) are bridged; rows that do not come later than the one before
    are dropped. MissingFileError, LimitError, or InputError with the line that cannot be read.
    """
    path = Path(path)
    try:
        size = path.stat().st_size
        if size > LIMITS.csv_bytes:
            raise LimitError(f"{path} has {size} bytes; a CSV may have {LIMITS.csv_bytes}")
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(_rows(file, path))
    except FileNotFoundError as error:
        raise MissingFileError(f"{path} does not exist") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not a text file; a Live Link Face .csv is expected") from error
    except InputError:
        raise
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from error
    return _to_motion(rows, path)


def write_livelink(path: str | os.PathLike[str], motion: Motion) -> None:
    """Write a motion as Live Link Face does; frames without a face keep their bridged values.

    `path` is written as given (a temporary name: whoever calls renames it). Times are kept to 1/60,000 s.
    """
    angles = np.radians(np.stack(euler_from_rotation(motion.rotation), axis=1))
    angles[:, 2] *= _ROLL_SIGN
    shapes = motion.expression[:, [ARKIT_INDEX[name] for name in _SHAPES]]
    values = np.concatenate([shapes, angles, _eye_angles(motion.expression)], axis=1)
    count = str(values.shape[1])
    with Path(path).open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(_COLUMNS)
        for time, row in zip(motion.times - motion.times[0], values, strict=True):
            writer.writerow([_timecode(float(time)), count, *(f"{value:.7g}" for value in row.tolist())])


def _rows(file: TextIO, path: Path) -> Iterator[_Row]:
    """Parsed rows; InputError tells the line."""
    reader = csv.reader(file, strict=True)
    try:
        columns = _columns(next(reader, []), path)
        for count, cells in enumerate(reader):
            if count >= LIMITS.video_frames:
                raise LimitError(f"{path} has more than {LIMITS.video_frames} frames")
            if any(cell.strip() for cell in cells):
                yield _row(cells, columns, f"{path}, line {reader.line_num}")
    except csv.Error as error:
        raise InputError(f"{path}, line {reader.line_num}: {error}") from error


def _columns(header: list[str], path: Path) -> dict[str, int]:
    """Column of each name that we know, in lower case."""
    found: dict[str, int] = {}
    known = {name.lower() for name in _COLUMNS}
    for index, cell in enumerate(header):
        name = cell.strip().lower()
        if name in known and name in found:
            raise InputError(f"{path}, line 1: the column {cell.strip()!r} is there twice")
        if name in known:
            found[name] = index
    if "timecode" not in found or not any(name.lower() in found for name in ARKIT_NAMES):
        raise InputError(
            f"{path} is not a Live Link Face file: its first line must name Timecode and ARKit's blendshapes"
        )
    return found


def _row(cells: list[str], columns: dict[str, int], where: str) -> _Row:
    """One parsed row; `where` begins the message if it cannot be."""
    wanted = (*ARKIT_NAMES, *_HEAD)
    texts = [_cell(cells, columns.get(name.lower())) for name in wanted]
    seconds, frames = _seconds_frames(_cell(cells, columns["timecode"]) or "", where)
    if not any(texts):
        return _Row(seconds, frames, None)
    values = np.zeros(len(wanted))
    for i, cell in enumerate(texts):
        if cell is None:
            continue
        try:
            values[i] = float(cell)
        except ValueError as error:
            raise InputError(f"{where}: {wanted[i]} is {cell!r}, not a number") from error
        if not math.isfinite(values[i]):
            raise InputError(f"{where}: {wanted[i]} is not a finite number")
    if np.abs(values[-3:]).max() > 2 * math.pi:
        raise InputError(f"{where}: the head's angles must be in radians")
    return _Row(seconds, frames, values.astype(np.float32))


def _cell(cells: list[str], index: int | None) -> str | None:
    """Text of a cell; None if its column is not in the file, "" if the row ends before it."""
    if index is None:
        return None
    return cells[index].strip() if index < len(cells) else ""


def _seconds_frames(timecode: str, where: str) -> tuple[int, float]:
    """Whole seconds, and frames with their fraction, of HH:MM:SS:FF.mmm (or ; before FF: drop-frame)."""
    parts = timecode.replace(";", ":").split(":")
    try:
        hours, minutes, seconds = (int(part) for part in parts[:3])
        frames = float(parts[3])
        sound = len(parts) == 4 and 0 <= hours < 48 and 0 <= minutes < 60 and 0 <= seconds < 60
        if not sound or not 0 <= frames < max(_RATES):
            raise ValueError(timecode)
    except (ValueError, IndexError) as error:
        raise InputError(f"{where}: the timecode {timecode!r} is not HH:MM:SS:FF.mmm") from error
    return hours * 3600 + minutes * 60 + seconds, frames


def _times(rows: list[_Row]) -> npt.NDArray[np.float64]:
    """Seconds from the first row; past midnight goes on."""
    seconds = np.array([row.seconds for row in rows], np.float64)
    frames = np.array([row.frames for row in rows])
    rate = _RATE
    if seconds[-1] - seconds[0] >= 3:  # long enough for each frame number to have turned up
        rate = next(r for r in _RATES if r > math.floor(frames.max()))
    elif frames.max() >= _RATE:
        rate = _RATES[-1]
    times = seconds + frames / rate
    times += _DAY * np.concatenate([[0], np.cumsum(np.diff(times) < -_DAY / 2)])
    return np.asarray(times - times[0], np.float64)


def _to_motion(rows: list[_Row], path: Path) -> Motion:
    """Rows on a rising time line as a motion, gaps bridged."""
    if not rows:
        raise InputError(f"{path} has no frames")
    times = _times(rows)
    check_seconds(path, float(times.max()))
    latest = np.maximum.accumulate(times)
    kept = np.flatnonzero(np.concatenate([[True], times[1:] > latest[:-1]]))
    if len(kept) < max(1, len(rows) // 2):
        raise InputError(f"{path}: its timecodes do not go up")
    found = np.array([rows[i].values is not None for i in kept], np.float32)
    if not found.any():
        raise InputError(f"{path} has no frame with a face")
    blank = np.zeros(len(ARKIT_NAMES) + 3, np.float32)
    values = np.stack([blank if (v := rows[i].values) is None else v for i in kept])
    expression = np.clip(values[:, : len(ARKIT_NAMES)], 0, 1)
    yaw, pitch, roll = np.degrees(values[:, len(ARKIT_NAMES) :]).T
    turned = rotation_from_euler(yaw, pitch, _ROLL_SIGN * roll)
    expression, rotation = bridge(found, expression, turned)
    return Motion(
        times=times[kept],
        rotation=rotation,
        translation=neck_swing(rotation),
        scale=np.ones(len(kept), np.float32),
        expression=expression,
        gaze=gaze_from_coefficients(expression),
        confidence=found,
        name=path.stem,
    )


def _eye_angles(expression: FloatArray) -> FloatArray:
    """Yaw, pitch and roll in radians of the left and the right eye, (T, 6), as their looks tell."""
    angles = np.zeros((len(expression), 6), np.float32)
    for first, side, right, left in ((0, "Left", "Out", "In"), (3, "Right", "In", "Out")):
        look = {way: expression[:, ARKIT_INDEX[f"eyeLook{way}{side}"]] for way in ("In", "Out", "Up", "Down")}
        angles[:, first] = (look[right] - look[left]) * _EYE_REACH[0]
        angles[:, first + 1] = (look["Up"] - look["Down"]) * _EYE_REACH[1]
    return angles


def _timecode(time: float) -> str:
    """HH:MM:SS:FF.mmm at 60 frames a second."""
    thousandths = round(time * _RATE * 1000)
    frames, rest = divmod(thousandths, 1000)
    seconds, frame = divmod(frames, _RATE)
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}:{frame:02d}.{rest:03d}"
