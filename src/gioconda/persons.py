"""`gioconda adapt --for photos`: photos, or frames of a film, of one person -> a person file for the engine warp."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from gioconda import face, media
from gioconda.engines.warp.choice import spread_photos
from gioconda.errors import InputError, NoFaceError
from gioconda.inputs.person import MOST_PHOTOS, SUFFIX, encode_person
from gioconda.inputs.portrait import is_identity, load_portraits, person_around, scaled
from gioconda.inputs.views import in_view_of
from gioconda.landmarks import bounds
from gioconda.limits import WHOLE_SIDE
from gioconda.motion.from_faces import faces_to_motion
from gioconda.requests import Adapt, Adapted
from gioconda.runtime.text import readable
from gioconda.tracking import tracked_frames
from gioconda.types import Face, Image, PathLike, Portrait, Progress

# Frames of a film from which photos are chosen, at most, evenly spread.
CANDIDATES = 400
# Photos that are taken from a film.
FRAMES = 32
# Share of the median sharpness below which a frame is blurred.
BLURRED = 0.75


def carry_out(request: Adapt) -> Adapted:
    """Carry out a request: keep the photos of a person.

    Raises:
        InputError: A source is a person file already, or cannot be read.
        MissingFileError: A file does not exist.
        NoFaceError: No source shows a face.
        OutputError: The file cannot be written.
    """
    assert request.out is not None
    target = media.check_output(request.out, (SUFFIX,))
    start = time.perf_counter()
    progress = request.progress or (lambda *_: None)
    of_film = partial(_of_film, count=request.frames or FRAMES, progress=progress)
    (portrait, *others), left_out = collect(request.sources, of_film, MOST_PHOTOS)
    photos = [portrait, *(in_view_of(portrait, photo) or photo for photo in others)]
    sources = [{"name": readable(photo.name), "sha256": photo.sha256} for photo in photos]
    about: dict[str, Any] = {"sources": sources}
    if request.rights is not None:
        about["rights"] = request.rights
    media.write_whole(target, encode_person(photos, about))
    return Adapted(target, _summary(photos, time.perf_counter() - start), tuple(left_out))


def _summary(photos: Sequence[Portrait], seconds: float) -> str:
    """What a file holds, for people."""
    noun = "photo" if len(photos) == 1 else "photos"
    same = sum(photo.same_view for photo in photos[1:])
    views = f", {same + 1} of one view" if len(photos) > 1 else ""
    return f"{len(photos)} {noun}{views}, collected in {seconds:.1f} s"


def collect(
    sources: Sequence[PathLike],
    of_film: Callable[[Path], list[Portrait]],
    most: int,
    progress: Progress = lambda *_: None,
) -> tuple[list[Portrait], list[str]]:
    """Load the photos of a person.

    Args:
        sources: Photos and films.
        of_film: Takes the photos from a film.
        most: The largest number of photos.
        progress: Called with the stage "photos", the sources done and the sources in all.

    Returns:
        The photos, and a line for each source that is left out because it shows no face.

    Raises:
        InputError: A source is a file that `adapt` wrote, or there are too many photos.
        MissingFileError: A file does not exist.
        NoFaceError: No source shows a face.
    """
    photos, left_out = list[Portrait](), list[str]()
    for done, source in enumerate(sources, 1):
        path = media.check_input(source)
        if is_identity(path):
            raise InputError(f"{path}: such a file cannot be adapted again; give the photos")
        try:
            photos += of_film(path) if media.is_video(path) else [_of_picture(path)]
        except NoFaceError as error:
            left_out.append(str(error))
        progress("photos", done, len(sources))
    if not photos:
        raise NoFaceError(left_out[0] if left_out else "no photo was given")
    if len(photos) > most:
        raise InputError(f"{len(photos)} photos and frames; the most are {most}; use a smaller --frames")
    return photos, left_out


def _of_picture(path: Path) -> Portrait:
    """A photo with its largest face."""
    return load_portraits(path, chosen=0, crop=False, size=None).portraits[0]


@dataclass(frozen=True)
class _Candidate:
    """A frame of a film that may become a photo.

    Attributes:
        time: Seconds.
        face: The face, in pixels of the frame.
        sharpness: The mean second derivative of the face, grey levels.
    """

    time: float
    face: Face
    sharpness: float


def _of_film(path: Path, count: int, progress: Progress) -> list[Portrait]:
    """Frames of a film that together show most of how the person looks, the face at rest first."""
    info = media.probe(path)
    candidates = _candidates(path, max(info.frames, 1), progress)
    if not candidates:
        raise NoFaceError(f"{path}: no frame shows a face with both eyes")
    usual = float(np.median([one.sharpness for one in candidates]))
    candidates = [one for one in candidates if one.sharpness >= BLURRED * usual]
    points = [one.face.landmarks for one in candidates]
    faces, times = [one.face for one in candidates], [one.time for one in candidates]
    motion = faces_to_motion(faces, times, (info.width, info.height))
    chosen = spread_photos(points, motion.reference, count)
    wanted = {times[k]: faces[k] for k in chosen}
    digest = media.sha256_file(path)
    photos: dict[float, Portrait] = {}
    with closing(media.read_frames(path)) as frames:
        for frame in frames:
            if frame.time in wanted:
                name = f"{path.name} {frame.time:.2f} s"
                photos[frame.time] = _of_frame(frame.image, wanted[frame.time], name, digest)
    return [photos[time] for time in wanted if time in photos]


def _candidates(path: Path, total: int, progress: Progress) -> list[_Candidate]:
    """Up to CANDIDATES frames of a film, which has about `total`, that show its largest person with both eyes."""
    step = max(1, round(total / CANDIDATES))
    candidates = []
    with closing(tracked_frames(path, one_person=True)) as frames:
        for k, (frame, tracked, *_) in enumerate(frames):
            progress("frames", k + 1, max(total, k + 1))
            if k % step == 0 and tracked is not None and face.shows_both_eyes(tracked, frame.image.shape):
                candidates.append(_Candidate(frame.time, tracked, _sharpness(frame.image, tracked)))
    return candidates


def _sharpness(image: Image, tracked: Face) -> float:
    """The mean second derivative of a face in a picture (H, W, 3), grey levels."""
    low, high = bounds(tracked.landmarks)
    left, top = np.maximum(low, 0).astype(int)
    right, bottom = high.astype(int) + 1
    grey = cv2.cvtColor(np.ascontiguousarray(image[top:bottom, left:right]), cv2.COLOR_RGB2GRAY)
    return float(np.abs(cv2.Laplacian(grey, cv2.CV_32F)).mean())


def _of_frame(image: Image, found: Face, name: str, digest: str) -> Portrait:
    """A frame (H, W, 3) as a photo, no larger than pictures of the whole are."""
    small, (moved,) = scaled(image, [found], WHOLE_SIDE)
    return Portrait(small, moved, name, digest, person_around(small, moved))
