"""Files of jobs: each job has a folder; files get names of the server and are recognised by their content."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import stat
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

from gioconda.errors import InputError, LimitError, OutputError
from gioconda.media.wide_stills import HEIC_BRANDS
from gioconda.registry import motions
from gioconda.web.errors import UnfitFileError, UnknownJobError

_ID = re.compile(r"[A-Za-z0-9_-]{22}")
PREVIEW = ".preview.jpg"
"""The file with the latest frame of a running job."""
# Bytes at a file's beginning by which its kind is recognised.
HEAD = 256
# Bytes that are copied at a time.
_PIECE = 2**20

_PICTURE, _MOVING, _SOUND = "picture", "video", "sound"
_ACCEPTED: dict[str, tuple[str, ...]] = {
    "portrait": (_PICTURE, _MOVING, "identity"),
    "photo": (_PICTURE,),
    # Some pictures are animations.
    "motion": (_PICTURE, _MOVING, _SOUND, "motion"),
    "audio": (_SOUND, _MOVING),
    "like": (_PICTURE,),
    "bank": ("identity",),
    "source": (_PICTURE, _MOVING),
    "file": (_PICTURE, _MOVING),
    # An animated picture is a film, too.
    "film": (_PICTURE, _MOVING),
    "sidecar": ("sidecar",),
}
ROLES = tuple(_ACCEPTED)
"""The roles under which files are submitted."""

_BEGINNINGS: tuple[tuple[bytes, str, str], ...] = (
    (b"\x89PNG\r\n\x1a\n", _PICTURE, ".png"),
    (b"\xff\xd8\xff", _PICTURE, ".jpg"),
    (b"GIF8", _PICTURE, ".gif"),
    (b"BM", _PICTURE, ".bmp"),
    (b"II*\0", _PICTURE, ".tiff"),
    (b"MM\0*", _PICTURE, ".tiff"),
    (b"\0\0\0\x0cjP  ", _PICTURE, ".jp2"),
    (b"\x1aE\xdf\xa3", _MOVING, ".mkv"),
    (b"\0\0\x01\xba", _MOVING, ".mpg"),
    (b"\0\0\x01\xb3", _MOVING, ".mpg"),
    (b"FLV\x01", _MOVING, ".flv"),
    (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", _MOVING, ".asf"),
    (b"OggS", _SOUND, ".ogg"),
    (b"fLaC", _SOUND, ".flac"),
    (b"ID3", _SOUND, ".mp3"),
    (b"FORM", _SOUND, ".aiff"),
    (b"caff", _SOUND, ".caf"),
    (b"#!AMR", _SOUND, ".amr"),
    *((beginning, "motion", entry.suffix) for entry in motions().values() for beginning in entry.begins),
)
_RIFF = {b"WEBP": (_PICTURE, ".webp"), b"WAVE": (_SOUND, ".wav"), b"AVI ": (_MOVING, ".avi")}
_STILL_BRANDS = (b"avif", b"avis", *HEIC_BRANDS)


def kind_of(head: bytes) -> tuple[str, str] | None:
    """Recognise a file by its first bytes.

    Args:
        head: The first `HEAD` bytes of the file, or all of them.

    Returns:
        The kind (picture, video, sound, motion, identity or sidecar) and the suffix that the server gives the file;
        None for an unknown kind.
    """
    for beginning, kind, suffix in _BEGINNINGS:
        if head.startswith(beginning):
            return kind, suffix
    if head[:4] == b"RIFF":
        return _RIFF.get(head[8:12])
    if head[4:8] == b"ftyp":
        if head[8:12] in _STILL_BRANDS:
            return _PICTURE, ".avif"
        return (_SOUND, ".m4a") if head[8:12] == b"M4A " else (_MOVING, ".mp4")
    if head[4:8] in (b"moov", b"mdat", b"wide"):
        return _MOVING, ".mov"
    if head[4:8] == b"jumb":
        return "sidecar", ".c2pa"
    # A safetensors file begins with a length in eight bytes, then JSON.
    if head[5:9] == b"\0\0\0{":
        return "identity", ".safetensors"
    return _by_pattern(head)


def _by_pattern(head: bytes) -> tuple[str, str] | None:
    """Recognise formats that have a pattern of bits instead of a signature."""
    # The sync word of a frame of MPEG sound or AAC.
    if len(head) > 1 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0:
        return (_SOUND, ".aac") if head[1] & 0xF6 == 0xF0 else (_SOUND, ".mp3")
    # Two packets of an MPEG transport stream, 188 bytes each.
    if head[:1] == b"G" and head[188:189] == b"G":
        return _MOVING, ".ts"
    return None


def ending_for(role: str, head: bytes) -> str:
    """Return the suffix of a file submitted as `role`.

    Raises:
        UnfitFileError: The role does not accept files of this kind.
    """
    recognised = kind_of(head)
    if recognised is None or recognised[0] not in _ACCEPTED[role]:
        kinds = " or ".join(_ACCEPTED[role]).replace("identity", "file of adapt")
        raise UnfitFileError(
            f"the file {role!r} is not a {kinds} that can be read; export it again or send another"
        )
    # A container of sound may also hold pictures; the job checks that when it opens the file.
    return recognised[1]


class Folders:
    """The folders of a server's jobs, in one root folder."""

    def __init__(self, root: Path, *, reserve: int = 0) -> None:
        """Create missing folders, readable by the user only.

        Args:
            root: The server's data folder.
            reserve: Bytes of the disk that must stay free.

        Raises:
            OutputError: A folder cannot be created.
        """
        self._root, self._reserve = root, reserve
        self.jobs, self.incoming = root / "jobs", root / "incoming"
        try:
            for folder in (root, self.jobs, self.incoming):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(
                f"the folder {root} cannot be created ({error.strerror}); choose another with --data"
            ) from None

    def of(self, job: str) -> Path:
        """Return the folder of a job; UnknownJobError if `job` is not a valid id."""
        if not _ID.fullmatch(job):
            raise UnknownJobError
        return self.jobs / job

    def fresh(self) -> tuple[str, Path]:
        """Return a new unguessable id, and an empty folder for the files that arrive before the job is queued."""
        job = secrets.token_urlsafe(16)
        folder = self.incoming / job
        folder.mkdir(mode=0o700)
        return job, folder

    def check_space(self) -> None:
        """Raise OutputError if less of the disk is free than must stay free."""
        if shutil.disk_usage(self._root).free < self._reserve:
            raise OutputError("the server's disk is nearly full; try again later")

    def publish(self, job: str) -> None:
        """Move a job's incoming folder to where queued jobs are."""
        (self.incoming / job).rename(self.jobs / job)

    def discard(self, job: str) -> None:
        """Delete a job's files, incoming or queued."""
        for folder in (self.incoming / job, self.jobs / job):
            if _ID.fullmatch(job):
                shutil.rmtree(folder, ignore_errors=True)

    def keep_results(self, job: str) -> None:
        """Delete all files of a job except its result, since what was submitted is no longer needed."""
        self._clean(job, lambda name: name.startswith("result."))

    def keep_inputs(self, job: str) -> None:
        """Delete what an interrupted attempt left behind."""
        self._clean(job, lambda name: not name.startswith(("result.", ".")))

    def _clean(self, job: str, kept: Callable[[str], bool]) -> None:
        """Delete the files of a job whose names are not `kept`, and its subfolders."""
        with contextlib.suppress(OSError):
            for entry in os.scandir(self.of(job)):
                if entry.is_dir(follow_symlinks=False):
                    shutil.rmtree(entry.path, ignore_errors=True)
                elif not kept(entry.name):
                    Path(entry.path).unlink(missing_ok=True)

    def inside(self, job: str, name: str) -> Path | None:
        """Return the path of a regular file of a job; None if it does not exist or is a link."""
        path = self.of(job) / name
        if Path(name).name != name:
            return None
        try:
            return path if stat.S_ISREG(path.lstat().st_mode) else None
        except (OSError, ValueError):
            return None

    def strays(self, known: Collection[str], age: float) -> Iterator[str]:
        """Yield the names of folders older than `age` seconds that belong to no known job: interrupted uploads."""
        for parent in (self.incoming, self.jobs):
            for entry in os.scandir(parent):
                with contextlib.suppress(OSError):
                    old = time.time() - entry.stat(follow_symlinks=False).st_mtime > age
                    if old and entry.name not in known:
                        yield entry.name


def adopt(folder: Path, files: Mapping[str, Sequence[Path]], most_bytes: int) -> None:
    """Copy files of this machine into a job's folder, under names of the server.

    Args:
        folder: The job's folder.
        files: Paths by role.
        most_bytes: What all files together may have.

    Raises:
        InputError: A file cannot be read, is a link or a folder.
        UnfitFileError: A role does not accept a file's kind.
        LimitError: The files together exceed `most_bytes`.
    """
    room = most_bytes
    for role, paths in files.items():
        for index, path in enumerate(paths):
            with _open_regular(path) as source:
                head = source.read(HEAD)
                source.seek(0)
                target = folder / own_name(role, index, head)
                with target.open("xb") as copy:
                    while piece := source.read(_PIECE):
                        room -= len(piece)
                        if room < 0:
                            raise LimitError(too_large(most_bytes))
                        copy.write(piece)


def own_name(role: str, index: int, head: bytes) -> str:
    """Return the name under which the server keeps a file: `portrait.png`, `photo.jpg`, `photo2.jpg`."""
    ending = ending_for(role, head)
    if role == "sidecar":
        # A manifest is looked for beside its file.
        return f"file{ending}"
    return f"{role}{index + 1 if index else ''}{ending}"


def too_large(most_bytes: int) -> str:
    """Return the message about files that exceed the limit."""
    return (
        f"the files exceed this server's limit of {most_bytes // 2**20:,} MiB; make them shorter or smaller"
    )


@contextlib.contextmanager
def _open_regular(path: Path) -> Iterator[BinaryIO]:
    """A regular file opened for reading, never through a link at its end."""
    try:
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    except (OSError, ValueError):
        raise InputError(f"{path.name} cannot be read; give a regular file, not a link") from None
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise InputError(f"{path.name} is not a regular file; give one")
    with os.fdopen(handle, "rb") as file:
        yield file
