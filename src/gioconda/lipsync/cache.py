"""A cache of the mouth texture databases of target videos."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import platformdirs

from gioconda import media
from gioconda.errors import GiocondaError, OutputError, WeightsError
from gioconda.lipsync import database
from gioconda.lipsync.build import build_database
from gioconda.lipsync.database import MouthDatabase
from gioconda.types import Progress

# Databases that the cache keeps. Each takes up to some 200 MB.
KEPT_DATABASES = 8


def cached_database(video: Path, digest: str, progress: Progress) -> MouthDatabase:
    """Read a video's own mouth texture database from the cache, or build and cache it.

    A cached file that is damaged is built anew. A cache that cannot be written is not used.

    Args:
        video: The video.
        digest: The video's SHA-256, in hex.
        progress: Called with stage, frames done and frames in total.

    Raises:
        InputError: The file is not a video.
        NoFaceError: No frame shows a usable face.
    """
    folder = _cache()
    file = folder / f"{digest[:40]}-{database.VERSION}{database.SUFFIX}"
    if file.is_file():
        with contextlib.suppress(WeightsError, OSError, GiocondaError):
            cached = database.read(file)
            os.utime(file)
            return cached
    built = build_database([video], progress)
    with contextlib.suppress(OSError, OutputError):
        folder.mkdir(parents=True, exist_ok=True)
        media.write_whole(file, database.encode(built))
        _forget_old(folder)
    return built


def _cache() -> Path:
    """The folder of the cache: in GIOCONDA_CACHE, GIOCONDA_HOME or the platform's cache folder, in this order."""
    home = os.environ.get("GIOCONDA_CACHE") or os.environ.get("GIOCONDA_HOME")
    return Path(home or platformdirs.user_cache_dir("gioconda")) / "mouths"


def _forget_old(folder: Path) -> None:
    """Delete all databases except those used last."""
    files = sorted(folder.glob(f"*{database.SUFFIX}"), key=lambda p: p.stat().st_mtime, reverse=True)
    for old in files[KEPT_DATABASES:]:
        old.unlink(missing_ok=True)
