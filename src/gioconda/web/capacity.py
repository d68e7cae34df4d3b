"""How many jobs this machine can run at once."""

from __future__ import annotations

from dataclasses import dataclass

import psutil

from gioconda.runtime.cgroups import memory_limit
from gioconda.runtime.cores import machine_cores

# Bytes of memory for each worker. The largest resident memory of `gioconda animate` with a driving video of 10 s was
# 442 MiB at 512 px, 566 at 2048, and 843 at 4096, the limit of a side (VmHWM, as `benchmarks/speed.py` reads it).
JOB_BYTES = 2**30
# Most workers, as for --workers.
MOST_WORKERS = 64


@dataclass(frozen=True)
class Capacity:
    """What a server may use.

    Attributes:
        cores: Of the processor.
        memory: Bytes.
    """

    cores: int
    memory: int

    @property
    def workers(self) -> int:
        """The number of workers, at least 1: one for each core, as far as memory goes."""
        return max(1, min(self.cores, self.memory // JOB_BYTES, MOST_WORKERS))

    def __str__(self) -> str:
        gibibytes = self.memory / 2**30
        cores = "1 core" if self.cores == 1 else f"{self.cores} cores"
        return f"{cores} and {gibibytes:.1f} GiB of memory, and a job takes up to {JOB_BYTES >> 30} GiB"


def capacity() -> Capacity:
    """What this machine, or the container, grants the process."""
    total = psutil.virtual_memory().total
    return Capacity(machine_cores(), min(total, memory_limit() or total))
