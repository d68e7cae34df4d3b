"""The processor cores for the jobs of this process."""

from __future__ import annotations

import os

# What `use_cores` has set: at most one number.
_limit: list[int] = []


def machine_cores() -> int:
    """The number of cores that the system grants this process."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def use_cores(count: int) -> None:
    """Limit the jobs of this process to so many cores, at least 1: other processes of Gioconda use the others."""
    _limit[:] = [max(count, 1)]


def cores() -> int:
    """The number of cores for the jobs of this process, at least 1."""
    return min([machine_cores(), *_limit])
