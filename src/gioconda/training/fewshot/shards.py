"""Shards: tars of cropped clips with their landmarks, written by `gioconda prepare`, with random access.

A shard SPLIT-00000.tar (at most LARGEST bytes, a plain tar as WebDataset reads it) holds for each clip KEY.json
(its description), KEY.landmarks.npy (count, 478, 3) float32 in pixels of the stored pictures, and KEY.0000.jpg and so
on. SPLIT-00000.json beside it lists its clips and their offsets; manifest.json lists all shards when they are done.
"""

from __future__ import annotations

import contextlib
import io
import json
import re
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tokenize import TokenError
from typing import Any

import cv2
import numpy as np

from gioconda import media
from gioconda.errors import InputError, MissingFileError
from gioconda.limits import LIMITS
from gioconda.types import LANDMARKS, FloatArray, Image

VERSION = 1
MANIFEST = "manifest.json"
# The most bytes of a shard
LARGEST = 55_000_000
# JPEG quality
QUALITY = 92
# Bytes of a tar header; contents are padded to multiples of it
BLOCK = tarfile.BLOCKSIZE
CROPS = ("head", "paper")
_SHARD = re.compile(r"[a-z]+-\d{5,8}\.tar")
_KEY = re.compile(r"[a-z]+-\d{5,8}-\d{3}")


@dataclass(frozen=True)
class ShardClip:
    """One clip of a shard: its key there, the clip's name, person, recording, split, number of pictures."""

    key: str
    clip: str
    identity: str
    video: str
    split: str
    count: int


@dataclass(frozen=True)
class _Place:
    """The position of a clip: the shard, the offset of the landmarks' header, sizes of landmarks and JPEGs in bytes."""

    file: Path
    at: int
    sizes: tuple[int, ...]

    def member(self, index: int) -> tuple[int, int]:
        """Offset of the header and size of the content in bytes; index 0 for the landmarks, from 1 for the pictures."""
        return self.at + sum(BLOCK + _padded(size) for size in self.sizes[:index]), self.sizes[index]


class ShardWriter:
    """Writes one shard; the same clips give the same bytes. The final name does not exist before `publish`."""

    def __init__(self, target: Path) -> None:
        self._target = target
        self._temp = media.temp_beside(target)
        self._file = self._temp.open("wb")
        self._tar = tarfile.open(fileobj=self._file, mode="w", format=tarfile.USTAR_FORMAT)  # noqa: SIM115 (see discard)
        self.rows: list[dict[str, Any]] = []

    def add(
        self, clip: ShardClip, pictures: Sequence[Image], landmarks: FloatArray, about: Mapping[str, Any]
    ) -> bool:
        """Add a clip's pictures (size, size, 3) and landmarks (count, 478, 3); return False if the shard is full."""
        whole = {**_row(clip), "split": clip.split, **about}
        array = io.BytesIO()
        np.save(array, np.ascontiguousarray(landmarks, np.float32), allow_pickle=False)
        contents = [array.getvalue(), *(_jpeg(picture) for picture in pictures)]
        head = json.dumps(whole, indent=0).encode()
        size = sum(BLOCK + _padded(len(content)) for content in (head, *contents))
        if self._tar.offset + size > LARGEST - tarfile.RECORDSIZE:
            return False
        self._member(f"{clip.key}.json", head)
        at = self._tar.offset
        for name, content in zip(_names(clip.key, clip.count), contents, strict=True):
            self._member(name, content)
        self.rows.append({**_row(clip), "at": at, "sizes": [len(content) for content in contents]})
        return True

    def _member(self, name: str, content: bytes) -> None:
        info = tarfile.TarInfo(name)
        info.size = len(content)
        self._tar.addfile(info, io.BytesIO(content))

    def publish(self) -> int:
        """Give the shard its final name; return its size in bytes."""
        self._tar.close()
        self._file.close()
        size = self._temp.stat().st_size
        media.publish(self._temp, self._target)
        return size

    def discard(self) -> None:
        """Delete the shard, unless it was published."""
        # Whoever wrote has reported a full disk
        with contextlib.suppress(OSError):
            self._file.close()
        self._temp.unlink(missing_ok=True)


def _row(clip: ShardClip) -> dict[str, Any]:
    row = {"key": clip.key, "clip": clip.clip, "identity": clip.identity, "video": clip.video}
    return {**row, "count": clip.count}


def _names(key: str, count: int) -> list[str]:
    return [f"{key}.landmarks.npy", *(f"{key}.{k:04d}.jpg" for k in range(count))]


def _padded(size: int) -> int:
    return -(-size // BLOCK) * BLOCK


def _jpeg(picture: Image) -> bytes:
    whole_colour = [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    bgr = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
    done, content = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, QUALITY, *whole_colour])
    if not done:
        raise InputError(f"a picture of shape {picture.shape} cannot be written as JPEG")
    return content.tobytes()


def _side(content: bytes) -> int:
    """Side of a square JPEG, from its header, so that larger ones are never decoded; 0 if it is not square."""
    at = 2
    while at + 7 <= len(content) and content[at] == 0xFF:
        marker, length = content[at + 1], int.from_bytes(content[at + 2 : at + 4], "big")
        if marker in (0xC0, 0xC2):
            height, width = (int.from_bytes(content[at + k : at + k + 2], "big") for k in (5, 7))
            return height if width == height else 0
        at += 2 + length
    return 0


def write_json(path: Path, value: Any) -> None:
    """Write JSON to a temporary file and rename it; OutputError if it fails."""
    media.write_whole(path, json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode())


def read_json(path: Path) -> dict[str, Any]:
    """Read the JSON object in a file of `gioconda prepare`; InputError if it is damaged."""
    try:
        if path.stat().st_size > LIMITS.motion_bytes:
            raise ValueError("too large")
        value = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(value, dict):
            raise TypeError
    except (OSError, ValueError, TypeError, RecursionError):
        raise _damaged(path) from None
    return value


def _damaged(path: Path, problem: str = "damaged") -> InputError:
    return InputError(f"{path} is {problem}; delete {path.parent} and run gioconda prepare again")


class Shards:
    """The prepared clips of one split, or of all, read from disk on demand; safe for threads.

    Attributes:
        clips: The clips.
        size: Side of the pictures in pixels.
        margin: Side of their square relative to the one in use.
        crop: One of CROPS.

    Raises:
        MissingFileError: The folder was not prepared completely.
        InputError: It is damaged, of another version, or has no clip of the split.
    """

    def __init__(self, folder: Path, split: str | None = None) -> None:
        path = folder / MANIFEST
        if not path.is_file():
            raise MissingFileError(
                f"{path} does not exist; run gioconda prepare VIDEOS -o {folder} first, to its end"
            )
        manifest = read_json(path)
        if manifest.get("version") != VERSION:
            raise InputError(
                f"{path} has version {manifest.get('version')}, not {VERSION}; prepare the videos again"
            )
        self.clips: list[ShardClip] = []
        self._places: list[_Place] = []
        try:
            self.size, self.margin = int(manifest["size"]), float(manifest["margin"])
            self.crop = str(manifest["crop"])
            for shard in manifest["shards"]:
                if split in (None, shard["split"]):
                    self._open(folder, shard)
        except (KeyError, TypeError, ValueError) as error:
            if isinstance(error, InputError):
                raise
            raise _damaged(path) from None
        if not self.clips:
            raise InputError(
                f"{folder} holds no clip of the split {split!r}" if split else f"{folder}: no clip"
            )

    def __len__(self) -> int:
        return len(self.clips)

    def _open(self, folder: Path, shard: Mapping[str, Any]) -> None:
        file, whole = folder / str(shard["file"]), int(shard["bytes"])
        if not _SHARD.fullmatch(str(shard["file"])):
            raise ValueError("a name that prepare does not give")
        if not file.is_file() or file.stat().st_size != whole:
            raise _damaged(file, "absent or cut short")
        for row in shard["clips"]:
            key, count = str(row["key"]), int(row["count"])
            place = _Place(file, int(row["at"]), tuple(int(size) for size in row["sizes"]))
            if not 0 < count == len(place.sizes) - 1:
                raise ValueError("a picture without its place")
            last, size = place.member(count)
            if not _KEY.fullmatch(key) or min(place.at, *place.sizes) < 0 or last + BLOCK + size > whole:
                raise ValueError("not within the shard")
            clip, identity, video = (str(row[name]) for name in ("clip", "identity", "video"))
            self.clips.append(ShardClip(key, clip, identity, video, str(shard["split"]), count))
            self._places.append(place)

    def landmarks(self, index: int) -> FloatArray:
        """Landmarks (count, 478, 3) float32 of clip `index`, in pixels of its pictures; InputError if damaged."""
        clip, place = self.clips[index], self._places[index]
        content = self._content(index, 0)
        try:
            array = np.load(io.BytesIO(content), allow_pickle=False)
        # numpy tokenizes headers that do not parse, hence TokenError
        except (ValueError, EOFError, OSError, TokenError):
            raise _damaged(place.file) from None
        if (
            array.shape != (clip.count, LANDMARKS, 3)
            or array.dtype != np.float32
            or not np.isfinite(array).all()
        ):
            raise _damaged(place.file)
        return np.asarray(array, np.float32)

    def picture(self, index: int, frame: int) -> Image:
        """Picture `frame` of clip `index`, (size, size, 3) RGB uint8; InputError if damaged."""
        if not 0 <= frame < self.clips[index].count:
            raise IndexError(f"{self.clips[index].key} has no picture {frame}")
        content = self._content(index, 1 + frame)
        bgr = None
        if _side(content) == self.size:
            bgr = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
        if bgr is None or bgr.shape != (self.size, self.size, 3):
            raise _damaged(self._places[index].file)
        return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)

    def _content(self, index: int, member: int) -> bytes:
        """Read the bytes of a member; InputError if its header is not the expected one."""
        clip, place = self.clips[index], self._places[index]
        at, size = place.member(member)
        try:
            # Files do not stay open: a large set has more shards than a process may open
            with place.file.open("rb") as file:
                file.seek(at)
                block = file.read(BLOCK + size)
            info = tarfile.TarInfo.frombuf(block[:BLOCK], "utf-8", "strict")
        except (OSError, tarfile.HeaderError, UnicodeDecodeError):
            raise _damaged(place.file) from None
        if (info.name, info.size, len(block)) != (_names(clip.key, clip.count)[member], size, BLOCK + size):
            raise _damaged(place.file)
        return block[BLOCK:]
