"""Paths of inputs and outputs: checked before any work, and written so that only complete files appear."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat
from collections.abc import Iterable
from pathlib import Path

from gioconda.errors import InputError, LimitError, OutputError, missing_file
from gioconda.limits import LIMITS
from gioconda.media import owners
from gioconda.media.containers import VIDEO_SUFFIXES

PathLike = str | os.PathLike[str]

PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")

# Bytes of an output's name that its temporary name keeps: file systems allow 255 in all.
_STEM_BYTES = 120
# Bytes that are hashed at a time.
_PIECE_BYTES = 2**20

# Errors of a full disk or quota.
_FULL = {errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)}


def check_input(path: PathLike) -> Path:
    """Check that a file can be read.

    Returns:
        The path of a regular, readable file that is not empty.

    Raises:
        MissingFileError: The file does not exist.
        InputError: It is a folder or a device, is empty, or cannot be read.
        LimitError: It is larger than `Limits.file_bytes`.
    """
    file = Path(path)
    try:
        status = file.stat()
        if not stat.S_ISREG(status.st_mode):
            kind = "a folder" if stat.S_ISDIR(status.st_mode) else "not a regular file"
            raise InputError(f"{file} is {kind}; give the path of a picture or video file")
        with file.open("rb"):
            pass
    except (FileNotFoundError, NotADirectoryError):
        raise missing_file(file) from None
    except (OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{file} cannot be read ({reason}); check its permissions") from None
    if status.st_size == 0:
        raise InputError(f"{file} is empty; copy or download it again")
    if status.st_size > LIMITS.file_bytes:
        raise LimitError(
            f"{file} has {status.st_size:,} bytes, the limit is {LIMITS.file_bytes:,}; cut it first"
        )
    return file


def check_output(path: PathLike, suffixes: Iterable[str] = VIDEO_SUFFIXES) -> Path:
    """Check that an output can be written, before any long work.

    This creates a file beside the target and removes it again, because permission bits do not show a read-only disk. It
    also removes what dead processes left in the folder.

    Args:
        path: The path of the output.
        suffixes: The suffixes that it may have.

    Returns:
        The path of the output.

    Raises:
        InputError: The suffix is not one of `suffixes`.
        OutputError: The output is a folder, its folder does not exist, or it cannot be written.
    """
    target = Path(path)
    known = tuple(suffixes)
    if target.suffix.lower() not in known:
        ending = f"ends in '{target.suffix}'" if target.suffix else "has no suffix"
        raise InputError(f"the output {target} {ending}; choose one of {', '.join(known)}")
    if target.is_dir():
        raise OutputError(f"the output {target} is a folder; give the name of a file")
    if not target.parent.is_dir():
        raise OutputError(f"the folder {target.parent} does not exist; create it or choose another output")
    owners.sweep(target.parent)
    probe = temp_beside(target)
    try:
        probe.touch(exist_ok=False)
        probe.unlink()
    except OSError as error:
        raise output_error(error, target) from None
    return target


def temp_beside(target: PathLike) -> Path:
    """Return a new hidden path beside the target, with its suffix: `.{stem}.{owner}-{random}.part{suffix}`."""
    target = Path(target)
    # A name may hold bytes that are not UTF-8; libraries of other languages refuse them.
    stem = os.fsencode(target.stem)[:_STEM_BYTES].decode(errors="ignore")
    return target.with_name(f".{stem}.{owners.tag()}.part{target.suffix}")


def publish(temp: PathLike, target: PathLike) -> None:
    """Move a complete temporary file to its final name at once, replacing an older file.

    The bytes are on the disk before the name is.

    Args:
        temp: The temporary file; it is removed if the move fails.
        target: The final path.

    Raises:
        OutputError: The file cannot be moved.
    """
    temp, target = Path(temp), Path(target)
    try:
        with temp.open("rb+") as file:
            os.fsync(file.fileno())
        temp.replace(target)
    except OSError as error:
        remove(temp)
        raise output_error(error, target) from None
    # Not every system can sync folders.
    with contextlib.suppress(OSError, AttributeError):
        folder = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def write_whole(target: PathLike, content: bytes) -> None:
    """Write a file completely or not at all; OutputError if that fails."""
    target = Path(target)
    temp = temp_beside(target)
    try:
        temp.write_bytes(content)
    except OSError as error:
        raise output_error(error, target) from None
    else:
        publish(temp, target)
    finally:
        remove(temp)


def remove(path: Path) -> None:
    """Delete a temporary file if it is there."""
    with contextlib.suppress(OSError):
        path.unlink()


def output_error(error: BaseException, target: Path) -> OutputError:
    """Return the error for people about an error of the system or of libav that occurred while writing `target`."""
    number = getattr(error, "errno", None)
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    if number in _FULL:
        return OutputError(f"{target} cannot be written: the disk or quota is full; free space and run again")
    if number in (errno.EACCES, errno.EPERM, errno.EROFS):
        return OutputError(f"{target} cannot be written ({reason}); choose a folder that you may write to")
    return OutputError(f"{target} cannot be written ({reason}); choose another output")


def sha256_file(path: PathLike) -> str:
    """Return SHA-256 of a file's bytes as 64 hex digits; errors as `check_input`."""
    digest = hashlib.sha256()
    with check_input(path).open("rb") as file:
        while piece := file.read(_PIECE_BYTES):
            digest.update(piece)
    return digest.hexdigest()
