"""Files of jobs: a folder each, under our own names, told by content; nothing outside it is ever opened."""

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
from gioconda.web.refusals import UnfitFileError, UnknownJobError

_ID = re.compile(r"[A-Za-z0-9_-]{22}")
PREVIEW = ".preview.jpg"
"""The latest frame of a job that runs, beside its files."""
HEAD = 256  # bytes that tell what a file is
_PIECE = 2**20

_PICTURE, _MOVING, _SOUND = "picture", "video", "sound"
_ACCEPTED: dict[str, tuple[str, ...]] = {
    "portrait": (_PICTURE, _MOVING, "identity"),
    "photo": (_PICTURE,),
    "motion": (_PICTURE, _MOVING, _SOUND, "motion"),  # pictures may move
    "audio": (_SOUND, _MOVING),
    "bank": ("identity",),
    "source": (_PICTURE, _MOVING),
    "file": (_PICTURE, _MOVING),
    "sidecar": ("sidecar",),
}
ROLES = tuple(_ACCEPTED)
"""Names under which files are handed in."""

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
    (b"PK\x03\x04", "motion", ".npz"),
)
_RIFF = {b"WEBP": (_PICTURE, ".webp"), b"WAVE": (_SOUND, ".wav"), b"AVI ": (_MOVING, ".avi")}
_STILL_BRANDS = (b"avif", b"avis", b"heic", b"heix", b"hevc", b"mif1", b"msf1")


def kind_of(head: bytes) -> tuple[str, str] | None:
    """What a file is by its first bytes, and the ending that we give it; None for what is not taken."""
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
    if head[5:9] == b"\0\0\0{":  # safetensors: a length in eight bytes, then JSON
        return "identity", ".safetensors"
    return _by_pattern(head)


def _by_pattern(head: bytes) -> tuple[str, str] | None:
    if len(head) > 1 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0:  # an MPEG sound's frame, or AAC's
        return (_SOUND, ".aac") if head[1] & 0xF6 == 0xF0 else (_SOUND, ".mp3")
    if head[:1] == b"G" and head[188:189] == b"G":  # packets of a transport stream
        return _MOVING, ".ts"
    if head.lstrip(b"\xef\xbb\xbf").startswith(b"Timecode,"):
        return "motion", ".csv"
    return None


def ending_for(role: str, head: bytes) -> str:
    """The ending of a file that is handed in as `role`; UnfitFileError for one that `role` cannot be."""
    found = kind_of(head)
    if found is None or found[0] not in _ACCEPTED[role]:
        kinds = " or ".join(_ACCEPTED[role]).replace("identity", "identity file")
        raise UnfitFileError(f"the file {role!r} is not a {kinds} that can be read here; export it again")
    # a sound's container may hold pictures too: what is in it is told where it is opened
    return found[1]


class Folders:
    """The folders of a server's jobs, below `root`."""

    def __init__(self, root: Path, *, reserve: int = 0) -> None:
        """Make what is missing, readable by the user alone. reserve: bytes of the disk that stay free."""
        self._root, self._reserve = root, reserve
        self.jobs, self.incoming = root / "jobs", root / "incoming"
        try:
            for folder in (root, self.jobs, self.incoming):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(
                f"the folder {root} cannot be made ({error.strerror}); choose another with --data"
            ) from None

    def of(self, job: str) -> Path:
        """The folder of a job; UnknownJobError for what is not an id."""
        if not _ID.fullmatch(job):
            raise UnknownJobError
        return self.jobs / job

    def fresh(self) -> tuple[str, Path]:
        """A new unguessable id, and an empty folder that takes its files in before it is a job."""
        job = secrets.token_urlsafe(16)
        folder = self.incoming / job
        folder.mkdir(mode=0o700)
        return job, folder

    def check_space(self) -> None:
        """OutputError if less of the disk is free than has to stay so."""
        if shutil.disk_usage(self._root).free < self._reserve:
            raise OutputError("the server's disk is nearly full; try again later")

    def publish(self, job: str) -> None:
        """Make what came in the job's own folder."""
        (self.incoming / job).rename(self.jobs / job)

    def discard(self, job: str) -> None:
        """Delete a job's files, whether it came to be a job or not."""
        for folder in (self.incoming / job, self.jobs / job):
            if _ID.fullmatch(job):
                shutil.rmtree(folder, ignore_errors=True)

    def keep_results(self, job: str) -> None:
        """Delete all files of a job but its result: what was handed in is no longer needed."""
        self._clean(job, lambda name: name.startswith("result."))

    def keep_inputs(self, job: str) -> None:
        """Delete what an attempt left behind that broke off."""
        self._clean(job, lambda name: not name.startswith(("result.", ".")))

    def _clean(self, job: str, kept: Callable[[str], bool]) -> None:
        with contextlib.suppress(OSError):
            for entry in os.scandir(self.of(job)):
                if entry.is_dir(follow_symlinks=False):
                    shutil.rmtree(entry.path, ignore_errors=True)
                elif not kept(entry.name):
                    Path(entry.path).unlink(missing_ok=True)

    def inside(self, job: str, name: str) -> Path | None:
        """The path of a regular file of a job; None if there is none, or a link in its place."""
        path = self.of(job) / name
        if Path(name).name != name:
            return None
        try:
            return path if stat.S_ISREG(path.lstat().st_mode) else None
        except (OSError, ValueError):
            return None

    def strays(self, known: Collection[str], age: float) -> Iterator[str]:
        """Folders older than `age` seconds that belong to no known job: uploads that broke off."""
        for parent in (self.incoming, self.jobs):
            for entry in os.scandir(parent):
                with contextlib.suppress(OSError):
                    old = time.time() - entry.stat(follow_symlinks=False).st_mtime > age
                    if old and entry.name not in known:
                        yield entry.name


def adopt(folder: Path, files: Mapping[str, Sequence[Path]], most_bytes: int) -> None:
    """Copy files of this machine, by role, into a job's folder under our own names.

    Raises InputError for links, folders, unknown roles and kinds, LimitError beyond `most_bytes` together.
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
    """The name under which a file is kept: `portrait.png`, `photo.jpg`, `photo2.jpg`."""
    ending = ending_for(role, head)
    if role == "sidecar":
        return f"file{ending}"  # a manifest is looked for beside its file
    return f"{role}{index + 1 if index else ''}{ending}"


def too_large(most_bytes: int) -> str:
    """What people are told of files beyond the bound."""
    return f"the files are larger than the {most_bytes // 2**20:,} MiB that this server takes; cut them first"


@contextlib.contextmanager
def _open_regular(path: Path) -> Iterator[BinaryIO]:
    """A regular file opened for reading, never through a link at its end."""
    try:
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    except (OSError, ValueError):
        raise InputError(f"{path.name} cannot be read") from None
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise InputError(f"{path.name} is not a regular file")
    with os.fdopen(handle, "rb") as file:
        yield file
