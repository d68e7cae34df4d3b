"""The processor cores for the jobs of this process."""

from __future__ import annotations

import math
import os

from gioconda.runtime.cgroups import core_limit

# What `use_cores` has set: at most one number.
_limit: list[int] = []


def machine_cores() -> int:
    """The number of cores that the system, or a container, grants this process."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    limit = core_limit()
    return count if limit is None else max(1, min(count, math.ceil(limit)))


def use_cores(count: int) -> None:
    """Limit the jobs of this process to so many cores, at least 1: other processes of Gioconda use the others."""
    _limit[:] = [max(count, 1)]


def cores() -> int:
    """The number of cores for the jobs of this process, at least 1."""
    return min([machine_cores(), *_limit])
