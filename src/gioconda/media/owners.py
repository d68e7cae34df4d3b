"""Temporary files by owner: a process holds a lock while it lives, and the files of dead processes are removed."""

from __future__ import annotations

import atexit
import contextlib
import os
import platform
import re
import secrets
import sys
import time
from functools import lru_cache
from pathlib import Path
from typing import IO

import platformdirs

# `.{stem}.{owner}-{random}.part{suffix}`; signing puts a prefix and a suffix of its own around it.
_NAME = re.compile(r"\.{1,2}.*\.([0-9a-f]{16})-[0-9a-f]{12}\.part(?:-\w+\.c2pa\.tmp|\.\w{1,12})")
# The owner of files whose process cannot hold a lock. No lock file has this name, so these files stay.
_NOBODY = "0" * 16
# Seconds for which the lock file of a killed process is kept, since folders with its files may be opened that late.
_KEPT_SECONDS = 30 * 24 * 3600.0


def tag() -> str:
    """Return the part of a temporary file's name that says who owns it: this process, and a random number."""
    return f"{_owner()}-{secrets.token_hex(6)}"


def sweep(folder: Path) -> int:
    """Remove the temporary files in `folder` whose process has died, and return how many they were.

    Only names made by `tag` count. Files of living processes, of other machines and of other users stay, and so does
    what cannot be removed.
    """
    removed = 0
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            name = _NAME.fullmatch(entry.name) if entry.name.startswith(".") else None
            with contextlib.suppress(OSError):
                if name and entry.is_file(follow_symlinks=False) and _is_free(_lock_path(name[1])):
                    Path(entry).unlink()
                    removed += 1
    return removed


@lru_cache(maxsize=1)
def _owner() -> str:
    """This process's name as an owner; it holds the lock of that name until it ends."""
    # The number tells people, and tools, which process it is; the rest keeps later processes of that number apart.
    owner = f"{os.getpid():08x}{secrets.token_hex(4)}"
    path = _lock_path(owner)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_old_locks(path.parent)
        lock = path.open("xb")
        _try_lock(lock)
    except OSError:
        return _NOBODY
    atexit.register(_release, lock, path, os.getpid())
    return owner


def _release(lock: IO[bytes], path: Path, process: int) -> None:
    """Remove the lock file at the end of the process that made it, not at the end of its forks."""
    if os.getpid() == process:
        lock.close()
        with contextlib.suppress(OSError):
            path.unlink()


def _lock_path(owner: str) -> Path:
    """The path of an owner's lock file, in a folder for each machine: locks on a shared home need not reach others."""
    home = os.environ.get("GIOCONDA_HOME") or platformdirs.user_data_dir("gioconda")
    return Path(home) / "locks" / re.sub(r"\W", "_", platform.node()) / f"{owner}.lock"


def _is_free(path: Path) -> bool:
    """Whether a lock file is there and no process holds it."""
    with contextlib.suppress(OSError), path.open("rb+") as lock:
        return _try_lock(lock)
    return False


def _try_lock(lock: IO[bytes]) -> bool:
    """Lock an open file until it is closed, without waiting; False while another process holds it.

    Raises OSError where the file system has no locks.
    """
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(lock.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    return True


def _remove_old_locks(folder: Path) -> None:
    """Remove lock files that killed processes left long ago."""
    for path in folder.glob("*.lock"):
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime > _KEPT_SECONDS and _is_free(path):
                path.unlink()
