"""Whose a temporary file is, told by its name, so that those of dead jobs can be swept and no others."""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import re
import secrets
import time
from functools import lru_cache
from pathlib import Path

# .{stem}.{machine}{boot}-{process}-{its start}-{random}.part{suffix}; signing puts a name of its own around it
_OURS = re.compile(
    r"\.{1,2}.*\.([0-9a-f]{8})([0-9a-f]{8})-([0-9a-f]+)-([0-9a-f]+)-[0-9a-f]{12}\.part"
    r"(?:-\w+\.c2pa\.tmp|\.\w{1,12})"
)
_DAY = 24 * 3600.0


def tag() -> str:
    """Machine and process that make a file, and something random, for its name."""
    process = os.getpid()
    return f"{_machine()}{_boot()}-{process:x}-{_started(process) or 0:x}-{secrets.token_hex(6)}"


def sweep(folder: Path) -> int:
    """Remove the temporary files in `folder` of jobs that were killed, and tell how many there were.

    Only files named by `tag` on this machine go: if their process is no more, or if they are older than a day and
    the machine was started anew since. What cannot be told, or removed, stays.
    """
    swept = 0
    if os.name != "posix":  # elsewhere one cannot ask after a process without a risk to it
        return swept
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            found = _OURS.fullmatch(entry.name) if entry.name.startswith(".") else None
            with contextlib.suppress(OSError):
                if found and entry.is_file(follow_symlinks=False) and _dead(found, entry):
                    Path(entry).unlink()
                    swept += 1
    return swept


def _dead(name: re.Match[str], entry: os.DirEntry[str]) -> bool:
    machine, boot, process, started = name.groups()
    if machine != _machine():
        return False
    if boot != _boot():
        return time.time() - entry.stat(follow_symlinks=False).st_mtime > _DAY
    return not _lives(int(process, 16), int(started, 16))


def _lives(process: int, started: int) -> bool:
    """Whether a process of this machine is still there, and no other one by the same number."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):  # another user's, perhaps
        return True
    now = _started(process)
    return now != -1 and (not started or now is None or now == started)


def _started(process: int) -> int | None:
    """When a process began, in ticks of the kernel since the machine's start; -1 for one that only waits to be
    buried, None where that is not told.
    """
    with contextlib.suppress(OSError, ValueError, IndexError):
        told = Path(f"/proc/{process}/stat").read_bytes()
        state, *rest = told[told.rindex(b")") + 2 :].split()
        return -1 if state in (b"Z", b"X") else int(rest[18])
    return None


@lru_cache(maxsize=1)
def _machine() -> str:
    """Of this machine, and of the container in which numbers of processes count."""
    told = [platform.node()]
    with contextlib.suppress(OSError):
        told.append(str(Path("/proc/self/ns/pid").readlink()))
    with contextlib.suppress(OSError):
        told.append(Path("/etc/machine-id").read_text(encoding="ascii", errors="replace").strip())
    return _short(" ".join(told))


@lru_cache(maxsize=1)
def _boot() -> str:
    """Of the machine's last start; the same for ever where that is not told."""
    with contextlib.suppress(OSError):
        return _short(Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii"))
    return _short("")


def _short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]
