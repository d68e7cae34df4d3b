"""`gioconda adapt`: photos, or frames of a video, of one person -> an identity file."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path

import gioconda
from gioconda import face, media
from gioconda.engines.fewshot import crop, identity
from gioconda.errors import InputError, NoFaceError
from gioconda.sources import PathLike, load_portraits
from gioconda.training.fewshot.adapt import MOST_PHOTOS, Settings, adapt
from gioconda.types import Face, Portrait

KEPT_SIDE = 512  # pixels of the picture that an identity file keeps
SUFFIXES = (identity.SUFFIX,)
PRIVATE = ("weights", "features")  # settings that are paths of this machine

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Adapted:
    """What was written: path, photos used, seconds of fitting, and a line for each source that was left out."""

    path: Path
    photos: int
    seconds: float
    left_out: tuple[str, ...]


def adapt_person(
    sources: Sequence[PathLike],
    out: PathLike,
    settings: Settings | None = None,
    *,
    frames: int = 8,
    report: Progress = lambda *_: None,
    rights: str | None = None,
) -> Adapted:
    """Fit the few-shot networks to the photos and videos of one person and write an identity file.

    frames: how many of each video are taken, evenly spread. Sources without a face are left out, unless all are.
    rights: what entitles to the likeness; kept in the file.
    Raises InputError, NoFaceError, WeightsError or OutputError.
    """
    settings = settings or Settings()
    target = media.check_output(out, SUFFIXES)
    photos, left_out = _photos(sources, frames, report)
    start = time.perf_counter()
    fitted = adapt(photos, settings, report=report)
    seconds = time.perf_counter() - start
    kept = _kept(photos[0])
    options = {k: v for k, v in asdict(settings).items() if k not in PRIVATE}
    about = {
        "engine": "fewshot",
        "gioconda": gioconda.__version__,
        "settings": options,
        "sources": [{"name": one.name, "sha256": one.sha256} for one in photos],
    }
    if rights is not None:
        about["rights"] = rights
    content = identity.encode(identity.Identity(kept.image, kept.face.landmarks, fitted, about))
    media.write_whole(target, content)
    return Adapted(target, len(photos), seconds, tuple(left_out))


def _photos(sources: Sequence[PathLike], frames: int, report: Progress) -> tuple[list[Portrait], list[str]]:
    """All photos with a face, and what was left out."""
    photos, left_out = list[Portrait](), list[str]()
    for index, source in enumerate(sources):
        path = media.check_input(source)
        if path.suffix.lower() == identity.SUFFIX:
            raise InputError(f"{path}: an identity file cannot be adapted again; give the photos")
        try:
            if media.is_video(path):
                photos += _of_video(path, frames)
            else:
                photos.append(load_portraits(path, chosen=0, crop=False, size=None).portraits[0])
        except NoFaceError as error:
            left_out.append(str(error))
        report("photos", index + 1, len(sources))
    if not photos:
        raise NoFaceError(left_out[0] if left_out else "no photo was given")
    if len(photos) > MOST_PHOTOS:
        raise InputError(f"{len(photos)} photos and frames; {MOST_PHOTOS} are enough: use --frames")
    return photos, left_out


def _of_video(path: Path, count: int) -> list[Portrait]:
    """Up to `count` frames of a video that show a face, evenly spread; NoFaceError where none does."""
    digest, total = media.sha256_file(path), max(media.probe(path).frames, 1)
    step = max(1.0, total / count)
    wanted = {round((k + 0.5) * step - 0.5) for k in range(count)}
    found = list(_faces_at(path, wanted, digest))
    if not found:
        raise NoFaceError(f"{path}: none of the frames looked at shows a face; use --frames for more")
    return found


def _faces_at(path: Path, wanted: set[int], digest: str) -> Iterator[Portrait]:
    with closing(media.read_frames(path)) as frames:
        for index, frame in enumerate(frames):
            if index > max(wanted):
                return
            if index in wanted and (faces := face.detect_faces(frame.image)):
                yield Portrait(frame.image, faces[0], f"{path.name} {frame.time:.2f} s", digest)


def _kept(photo: Portrait) -> Portrait:
    """The head's square of a photo at KEPT_SIDE."""
    square = crop.head_square(photo.face.landmarks)
    image = crop.cut(photo.image, square, KEPT_SIDE)
    points = crop.into(photo.face.landmarks, square, KEPT_SIDE)
    return Portrait(image, Face(points), photo.name, photo.sha256)
