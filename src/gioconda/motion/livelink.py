"""CSV of Live Link Face (Epic's app, and programs that write the same columns) <-> `Motion`.

Each row is a frame: Timecode HH:MM:SS:FF.mmm (frames of 1/60 s and thousandths of them, or of 1/24, 1/25, 1/30 s),
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

import numpy as np
import numpy.typing as npt

from gioconda.errors import InputError, LimitError, MissingFileError
from gioconda.limits import LIMITS, check_seconds
from gioconda.motion.expression import gaze_from_coefficients
from gioconda.motion.pose import euler_from_rotation, neck_swing, rotation_from_euler
from gioconda.motion.smooth import bridge
from gioconda.motion.spreadsheet import Table
from gioconda.motion.timecode import RATE, RATES, frame_rate, seconds_from_first
from gioconda.types import ARKIT_INDEX, ARKIT_NAMES, FloatArray, Motion

# The app's order differs from ARKit's in two places, where it puts right before left.
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
# Gioconda's roll is clockwise.
_ROLL_SIGN = -1
# Radians that an eye turns at gaze 1, horizontally and vertically.
_EYE_REACH = np.radians([30.0, 25.0])
# Hours in a timecode are below this: a recorder that runs past midnight may count on.
_HOURS = 48
# Radians; larger head angles are in degrees.
_LARGEST_ANGLE = 2 * math.pi


@dataclass(frozen=True)
class _Row:
    """Seconds and frames of a timecode, and (55,) values: 52 coefficients, 3 head angles; None without a face."""

    seconds: int
    frames: float
    values: FloatArray | None


def read_livelink(path: str | os.PathLike[str]) -> Motion:
    """Read the motion of a Live Link Face CSV.

    Columns may have any order and case; missing ones count as 0. Rows without values, where the app lost the face, are
    bridged. Rows that are not later than the one before are dropped. Separators, decimal commas and encodings of
    spreadsheets are read as well.

    Raises:
        MissingFileError: The file does not exist.
        LimitError: It is too large, has too many frames or lasts too long.
        InputError: It is not such a file; the message names the line.
    """
    path = Path(path)
    try:
        size = path.stat().st_size
        if size > LIMITS.csv_bytes:
            raise LimitError(f"{path} has {size:,} bytes; the limit for a CSV is {LIMITS.csv_bytes:,}")
        rows = list(_rows(path.read_bytes(), path))
    except FileNotFoundError as error:
        raise MissingFileError(f"{path} does not exist") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not a text file; give a CSV of Live Link Face") from error
    except InputError:
        raise
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from error
    return _to_motion(rows, path)


def write_livelink(path: str | os.PathLike[str], motion: Motion) -> None:
    """Write a motion as Live Link Face does, with times to 1/60,000 s; frames without a face get their bridged values.

    Args:
        path: Written in place; callers pass a temporary name and rename the finished file.
        motion: The motion.
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


def _rows(data: bytes, path: Path) -> Iterator[_Row]:
    """Parse the rows that are not empty; InputError names the line."""
    table = Table(data)
    try:
        columns = _columns(next(table, []), path)
        for count, cells in enumerate(table):
            if count >= LIMITS.video_frames:
                raise LimitError(f"{path} has more than {LIMITS.video_frames:,} frames")
            if any(cell.strip() for cell in cells):
                yield _row(cells, columns, table, f"{path}, line {table.line}")
    except csv.Error as error:
        raise InputError(f"{path}, line {table.line}: {error}") from error


def _columns(header: list[str], path: Path) -> dict[str, int]:
    """Known column name in lower case -> its index."""
    columns: dict[str, int] = {}
    known = {name.lower() for name in _COLUMNS}
    for index, cell in enumerate(header):
        name = cell.strip().lower()
        if name in known and name in columns:
            raise InputError(f"{path}, line 1: the column {cell.strip()!r} is there twice")
        if name in known:
            columns[name] = index
    if "timecode" not in columns or not any(name.lower() in columns for name in ARKIT_NAMES):
        raise InputError(
            f"{path} is not a Live Link Face file: its first line must name Timecode and ARKit's blendshapes"
        )
    return columns


def _row(cells: list[str], columns: dict[str, int], table: Table, where: str) -> _Row:
    """Parse a row of a table; `where`, its file and line, begins the message of an InputError."""
    names = (*ARKIT_NAMES, *_HEAD)
    texts = [_cell(cells, columns.get(name.lower())) for name in names]
    seconds, frames = _seconds_frames(_cell(cells, columns["timecode"]) or "", where)
    if not any(texts):
        return _Row(seconds, frames, None)
    values = np.zeros(len(names))
    for i, cell in enumerate(texts):
        if cell is None:
            continue
        try:
            values[i] = table.number(cell)
        except ValueError as error:
            raise InputError(f"{where}: {names[i]} is {cell!r}, not a number") from error
        if not math.isfinite(values[i]):
            raise InputError(f"{where}: {names[i]} is not a finite number")
    if np.abs(values[-len(_HEAD) :]).max() > _LARGEST_ANGLE:
        raise InputError(f"{where}: the head's angles must be in radians")
    return _Row(seconds, frames, values.astype(np.float32))


def _cell(cells: list[str], index: int | None) -> str | None:
    """Text of a cell; None if its column is not in the file, "" if the row ends before it."""
    if index is None:
        return None
    return cells[index].strip() if index < len(cells) else ""


def _seconds_frames(timecode: str, where: str) -> tuple[int, float]:
    """Whole seconds, and frames with their fraction, of HH:MM:SS:FF.mmm (or ; before FF: drop-frame)."""
    parts = timecode.replace(";", ":").replace(",", ".").split(":")
    try:
        hours, minutes, seconds = (int(part) for part in parts[:3])
        frames = float(parts[3])
        valid = len(parts) == 4 and 0 <= hours < _HOURS and 0 <= minutes < 60 and 0 <= seconds < 60
        if not valid or not 0 <= frames < max(RATES):
            raise ValueError(timecode)
    except (ValueError, IndexError) as error:
        raise InputError(f"{where}: the timecode {timecode!r} is not HH:MM:SS:FF.mmm") from error
    return hours * 3600 + minutes * 60 + seconds, frames


def _times(rows: list[_Row], path: Path) -> tuple[npt.NDArray[np.float64], tuple[str, ...]]:
    """Seconds from the first row, (T,), and sentences for the user about how they were found."""
    seconds = np.array([row.seconds for row in rows], np.float64)
    frames = np.array([row.frames for row in rows])
    rate = frame_rate(seconds, frames)
    notes: tuple[str, ...] = ()
    if rate is None:
        rate = next((one for one in (RATE, *RATES) if one > np.floor(frames.max())), RATES[-1])
        if len(rows) > 1:
            notes = (f"{path.name} is too short to show its frame rate; {rate} frames a second are assumed",)
    elif rate != RATE:
        notes = (f"{path.name}: {rate} frames a second, as its timecodes show",)
    return seconds_from_first(seconds, frames, rate), notes


def _to_motion(rows: list[_Row], path: Path) -> Motion:
    """The motion of the rows whose times increase, gaps bridged."""
    if not rows:
        raise InputError(f"{path} has no frames")
    times, notes = _times(rows, path)
    check_seconds(path, float(times.max()))
    latest = np.maximum.accumulate(times)
    kept = np.flatnonzero(np.concatenate([[True], times[1:] > latest[:-1]]))
    if len(kept) < max(1, len(rows) // 2):
        raise InputError(f"{path}: its timecodes do not increase")
    confidence = np.array([rows[i].values is not None for i in kept], np.float32)
    if not confidence.any():
        raise InputError(f"{path} has no frame with a face")
    blank = np.zeros(len(ARKIT_NAMES) + len(_HEAD), np.float32)
    values = np.stack([blank if (v := rows[i].values) is None else v for i in kept])
    coefficients = np.clip(values[:, : len(ARKIT_NAMES)], 0, 1)
    yaw, pitch, roll = np.degrees(values[:, len(ARKIT_NAMES) :]).T
    rotations = rotation_from_euler(yaw, pitch, _ROLL_SIGN * roll)
    expression, rotation = bridge(confidence, coefficients, rotations)
    return Motion(
        times=times[kept],
        rotation=rotation,
        translation=neck_swing(rotation),
        scale=np.ones(len(kept), np.float32),
        expression=expression,
        gaze=gaze_from_coefficients(expression),
        confidence=confidence,
        name=path.stem,
        notes=notes,
    )


def _eye_angles(expression: FloatArray) -> FloatArray:
    """Yaw, pitch and roll in radians of the left and the right eye, (T, 6), from the eyeLook coefficients (T, 52)."""
    angles = np.zeros((len(expression), 6), np.float32)
    for first, side, right, left in ((0, "Left", "Out", "In"), (3, "Right", "In", "Out")):
        gaze = {way: expression[:, ARKIT_INDEX[f"eyeLook{way}{side}"]] for way in ("In", "Out", "Up", "Down")}
        angles[:, first] = (gaze[right] - gaze[left]) * _EYE_REACH[0]
        angles[:, first + 1] = (gaze["Up"] - gaze["Down"]) * _EYE_REACH[1]
    return angles


def _timecode(time: float) -> str:
    """HH:MM:SS:FF.mmm at 60 frames a second."""
    thousandths = round(time * RATE * 1000)
    frames, rest = divmod(thousandths, 1000)
    seconds, frame = divmod(frames, RATE)
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}:{frame:02d}.{rest:03d}"
