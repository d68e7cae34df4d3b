"""Paths as people give them: checked before any work, written so that only whole files ever appear."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat
from collections.abc import Iterable
from pathlib import Path

from gioconda.errors import InputError, LimitError, MissingFileError, OutputError
from gioconda.limits import LIMITS
from gioconda.media import owners

PathLike = str | os.PathLike[str]

VIDEO_SUFFIXES = (".mp4", ".webm", ".gif")
PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")

_FULL = {errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)}


def check_input(path: PathLike) -> Path:
    """The path of a regular, readable, non-empty file that is not larger than `Limits.file_bytes`.

    Raises MissingFileError, InputError (folder, device, empty, no permission) or LimitError.
    """
    given = Path(path)
    try:
        status = given.stat()
        if not stat.S_ISREG(status.st_mode):
            what = "a folder" if stat.S_ISDIR(status.st_mode) else "not a regular file"
            raise InputError(f"{given} is {what}; give the path of a picture or video file")
        with given.open("rb"):
            pass
    except (FileNotFoundError, NotADirectoryError):
        raise MissingFileError(f"{given} does not exist; check the spelling of the path") from None
    except (OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{given} cannot be read ({reason}); check its permissions") from None
    if status.st_size == 0:
        raise InputError(f"{given} is empty; copy or download it again")
    if status.st_size > LIMITS.file_bytes:
        raise LimitError(
            f"{given} has {status.st_size:,} bytes, the limit is {LIMITS.file_bytes:,}; cut it first"
        )
    return given


def check_output(path: PathLike, suffixes: Iterable[str] = VIDEO_SUFFIXES) -> Path:
    """The path of an output that can be written, checked before any long work.

    A file is made beside the target and removed again, because permission bits alone do not tell of
    read-only disks. What killed jobs left in the folder is swept. Raises InputError for a suffix that is not one of
    `suffixes`, OutputError otherwise.
    """
    target = Path(path)
    known = tuple(suffixes)
    if target.suffix.lower() not in known:
        ending = f"ends in {target.suffix!r}" if target.suffix else "has no ending"
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
    """A fresh hidden name in the target's folder and with its suffix, `.{stem}.{owner and random}.part{suffix}`."""
    target = Path(target)
    stem = target.stem.encode()[:120].decode(errors="ignore")
    return target.with_name(f".{stem}.{owners.tag()}.part{target.suffix}")


def publish(temp: PathLike, target: PathLike) -> None:
    """Move a complete temporary file to its final name at once; an older target is replaced.

    The bytes are on the disk before the name is. Raises OutputError, and then removes `temp`.
    """
    temp, target = Path(temp), Path(target)
    try:
        with temp.open("rb+") as file:
            os.fsync(file.fileno())
        temp.replace(target)
    except OSError as error:
        remove(temp)
        raise output_error(error, target) from None
    with contextlib.suppress(OSError, AttributeError):  # folders cannot be synced everywhere
        folder = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def write_whole(target: PathLike, content: bytes) -> None:
    """Write a file beside its target, then give it its name; OutputError, and no part of it, where that fails."""
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
    """What to tell people about an error of the system or of libav while `target` was written."""
    number = getattr(error, "errno", None)
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    if number in _FULL:
        return OutputError(f"{target} cannot be written: the disk or quota is full; free space and run again")
    if number in (errno.EACCES, errno.EPERM, errno.EROFS):
        return OutputError(f"{target} cannot be written ({reason}); choose a folder that you may write to")
    return OutputError(f"{target} cannot be written ({reason}); choose another output")


def sha256_file(path: PathLike) -> str:
    """SHA-256 of a file's bytes as 64 hex digits, read in pieces of 1 MiB."""
    digest = hashlib.sha256()
    with check_input(path).open("rb") as file:
        while piece := file.read(2**20):
            digest.update(piece)
    return digest.hexdigest()
