"""What the control groups of Linux, and so containers, grant this process of processor and memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

_MEMBERSHIP, _ROOT = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")
# Version 1 writes "no limit" as a number of bytes near 2**63.
_NO_LIMIT = 2**60


def memory_limit(membership: Path = _MEMBERSHIP, root: Path = _ROOT) -> int | None:
    """Bytes of memory that this process and its children may use; None without a limit.

    Args:
        membership: Lists the groups of the process.
        root: Where the groups are mounted.
    """
    limits = [
        int(text)
        for folder in _folders("memory", membership, root)
        for name in ("memory.max", "memory.limit_in_bytes")
        if (text := _read(folder / name)).isdecimal()
    ]
    return min((limit for limit in limits if limit < _NO_LIMIT), default=None)


def core_limit(membership: Path = _MEMBERSHIP, root: Path = _ROOT) -> float | None:
    """Processor cores' worth of time that this process and its children may use; None without a limit.

    Args:
        membership: Lists the groups of the process.
        root: Where the groups are mounted.
    """
    limits = []
    for folder in _folders("cpu", membership, root):
        quota = (
            _read(folder / "cpu.max")
            or f"{_read(folder / 'cpu.cfs_quota_us')} {_read(folder / 'cpu.cfs_period_us')}"
        )
        words = quota.split()
        if len(words) == 2 and all(word.isdecimal() for word in words) and int(words[1]):
            limits.append(int(words[0]) / int(words[1]))
    return min(limits, default=None)


def _folders(controller: str, membership: Path, root: Path) -> Iterator[Path]:
    """The folders of the process's groups and of all groups around them; inside a container, those that it sees."""
    for line in _read(membership).splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        # Version 2 has one tree, version 1 has one for each controller.
        base = root if not controllers else root / controller
        group = base / path.lstrip("/")
        yield from (folder for folder in (group, *group.parents) if folder == base or base in folder.parents)


def _read(file: Path) -> str:
    """The text of a small file; empty if it cannot be read."""
    try:
        return file.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""
