"""What a server is told at its start, in one frozen value."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Settings:
    """How a server behaves. Sizes are in bytes, times in seconds.

    data: the folder of everything that the server keeps. queue: jobs that may wait, beyond which new ones are refused.
    token: what callers have to show, None for nobody. hosts: further names under which the server may be called.
    attempts: how often a job is begun in all, when workers end under it. keep_seconds: how long results are kept.
    memory_bytes: of one worker. media_seconds: of a video or sound that is handed in. recycle: jobs after
    which a worker is replaced by a fresh one. nice: added to the workers' niceness.
    """

    data: Path
    host: str = "127.0.0.1"
    port: int = 7860
    workers: int = 1
    queue: int = 64
    token: str | None = None
    hosts: tuple[str, ...] = ()
    upload_bytes: int = 512 * 2**20  # of one request, all its files together
    upload_seconds: float = 600.0
    idle_seconds: float = 30.0  # in which an upload has to go on
    uploads: int = 8  # that are taken in at once
    reserve_bytes: int = 2**30  # of the disk that stay free
    media_seconds: float = 600.0
    job_seconds: float = 3600.0
    memory_bytes: int = 4 * 2**30
    attempts: int = 2
    recycle: int = 100
    nice: int = 5
    keep_seconds: float = 24 * 3600.0
    event_seconds: float = 900.0  # after which a listener has to ask again
