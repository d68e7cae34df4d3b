"""`gioconda adapt --for photos`: photos, or frames of a film, of one person -> a person file for the engine warp."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from gioconda import composite, face, media
from gioconda.engines.warp.choice import spread_photos
from gioconda.errors import InputError, NoFaceError
from gioconda.inputs.person import MOST_PHOTOS, SUFFIX, encode_person
from gioconda.inputs.portrait import is_identity, load_portraits, person_around
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
    photos, left_out = _photos(request.sources, request.frames, request.progress or (lambda *_: None))
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


def _photos(sources: Sequence[PathLike], frames: int, progress: Progress) -> tuple[list[Portrait], list[str]]:
    """The photos of all sources with their masks, the portrait first, and a line for each source that is left out."""
    photos, left_out = list[Portrait](), list[str]()
    for source in sources:
        path = media.check_input(source)
        if is_identity(path):
            raise InputError(f"{path}: such a file cannot be adapted again; give the photos")
        try:
            photos += (
                _of_film(path, frames or FRAMES, progress) if media.is_video(path) else [_of_picture(path)]
            )
        except NoFaceError as error:
            left_out.append(str(error))
    if not photos:
        raise NoFaceError(left_out[0] if left_out else "no photo was given")
    if len(photos) > MOST_PHOTOS:
        raise InputError(
            f"{len(photos)} photos and frames; the most are {MOST_PHOTOS}; use a smaller --frames"
        )
    return [photos[0], *(in_view_of(photos[0], photo) or photo for photo in photos[1:])], left_out


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
    candidates = _candidates(path, progress)
    if not candidates:
        raise NoFaceError(f"{path}: no frame shows a face with both eyes")
    usual = float(np.median([one.sharpness for one in candidates]))
    candidates = [one for one in candidates if one.sharpness >= BLURRED * usual]
    points = [one.face.landmarks for one in candidates]
    size = media.probe(path).width, media.probe(path).height
    motion = faces_to_motion([one.face for one in candidates], [one.time for one in candidates], size)
    chosen = spread_photos(points, motion.reference, count)
    wanted = {candidates[k].time: rank for rank, k in enumerate(chosen)}
    faces = {candidates[k].time: candidates[k].face for k in chosen}
    digest = media.sha256_file(path)
    photos: dict[int, Portrait] = {}
    with closing(media.read_frames(path)) as frames:
        for frame in frames:
            if frame.time in wanted:
                name = f"{path.name} {frame.time:.2f} s"
                photos[wanted[frame.time]] = _of_frame(frame.image, faces[frame.time], name, digest)
    return [photos[rank] for rank in sorted(photos)]


def _candidates(path: Path, progress: Progress) -> list[_Candidate]:
    """Up to CANDIDATES frames of a film that show the face of its largest person with both eyes."""
    total = max(media.probe(path).frames, 1)
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
    size = (image.shape[1], image.shape[0])
    if max(size) > WHOLE_SIDE:
        size = composite.fit_longest(size, WHOLE_SIDE)
    scale = (size[0] / image.shape[1], size[1] / image.shape[0])
    small, moved = composite.resize(image, size), composite.move_face(found, (0, 0), scale)
    return Portrait(small, moved, name, digest, person_around(small, moved))
