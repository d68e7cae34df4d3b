"""What the user hands in, made ready: pictures with their faces, and motions from wherever they come."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np

from gioconda import composite, face, media
from gioconda.ahead import run_ahead
from gioconda.errors import InputError, MissingFileError, NoFaceError
from gioconda.motion.from_faces import faces_to_motion
from gioconda.provenance import Ingredient
from gioconda.types import Face, FloatArray, Frame, Image, Motion, Portrait

PathLike: TypeAlias = str | Path
Progress: TypeAlias = Callable[[str, int, int], None]

WHOLE_SIDE = 1280  # longest side of a whole picture unless the user asks for another
CROP_SIDE = 512
PERSON_REACH = 2.2  # the person is told from the background this many face heights around the face


@dataclass(frozen=True)
class MotionSource:
    """A motion, the video it was read off (None if none), and what the manifest says of it."""

    motion: Motion
    driver: Path | None
    ingredient: Ingredient


@dataclass(frozen=True)
class PortraitSource:
    """A picture at output size, its faces to animate, the video it comes from (None if a still)."""

    image: Image
    portraits: tuple[Portrait, ...]
    ingredient: Ingredient
    video: Path | None = None


def load_motion(source: PathLike | Motion, progress: Progress) -> MotionSource:
    """Motion from a video, a `.npz`, a Live Link Face `.csv`, a template's name, or ready-made."""
    from gioconda.motion import store, templates

    if isinstance(source, Motion):
        digest = hashlib.sha256(source.expression.tobytes() + source.rotation.tobytes()).hexdigest()
        return MotionSource(source, None, Ingredient(source.name, digest, "motion", "application/x-npz"))
    if str(source) in templates.TEMPLATES:
        digest = hashlib.sha256(f"template {source}".encode()).hexdigest()
        ingredient = Ingredient(f"template {source}", digest, "motion", "application/x-template")
        return MotionSource(templates.template(str(source)), None, ingredient)
    path = Path(source)
    if not path.suffix and not path.exists():
        raise MissingFileError(
            f"{source}: neither a file nor a template; the templates are {', '.join(templates.TEMPLATES)}"
        )
    path = media.check_input(path)
    digest = media.sha256_file(path)
    suffix = path.suffix.lower()
    if suffix == ".npz":
        return MotionSource(store.load(path), None, Ingredient(path.name, digest, "motion", "application/x-npz"))
    if suffix == ".csv":
        from gioconda.motion import livelink

        return MotionSource(livelink.read_livelink(path), None, Ingredient(path.name, digest, "motion", "text/csv"))
    if not media.is_video(path):
        raise InputError(f"{path}: a motion is a video, a .npz, a Live Link Face .csv or a template, not a picture")
    motion = track_video(path, progress)
    return MotionSource(motion, path, Ingredient(path.name, digest, "motion", _mime(path)))


def track_video(path: PathLike, progress: Progress) -> Motion:
    """The motion of the largest face of a video; NoFaceError if no frame shows one."""
    path = Path(path)
    times: list[float] = []
    faces: list[Face | None] = []
    size = (0, 0)
    total = media.probe(path).frames
    with face.FaceTracker() as tracker:
        for frame in run_ahead(media.read_frames(path)):
            found = tracker.process(frame.image)
            faces.append(found[0] if found else None)
            times.append(frame.time)
            size = (frame.image.shape[1], frame.image.shape[0])
            progress("track", len(times), max(total, len(times)))
    if not any(faces):
        raise NoFaceError(f"{path}: no frame shows a human face that can be tracked; use another video.")
    return faces_to_motion(faces, times, size, name=path.name)


def load_portraits(
    source: PathLike | Portrait | Image, *, chosen: int | str, crop: bool, size: int | None
) -> PortraitSource:
    """The picture at output size with the chosen face (0 = largest) or all of them.

    crop: the square around the face instead of the whole picture, `size` pixels a side.
    """
    if isinstance(source, Portrait):
        image, name, digest, faces = source.image, source.name, source.sha256, [source.face]
    else:
        image, name, digest = _read_still(source)
        faces = face.detect_faces(image)
    if chosen == "all":
        face.choose_face(faces, 0, name)
    else:
        faces = [face.choose_face(faces, int(chosen), name)]
    if crop:
        image, faces = _cropped(image, faces, size or CROP_SIDE)
    else:
        image, faces = _scaled(image, faces, size or WHOLE_SIDE)
    portraits = tuple(Portrait(image, one, name, digest, person_around(image, one)) for one in faces)
    video = Path(source) if isinstance(source, (str, Path)) and media.is_video(source) else None
    mime = "image/*" if isinstance(source, (Portrait, np.ndarray)) else _mime(Path(source))
    return PortraitSource(image, portraits, Ingredient(name, digest, "portrait", mime), video)


def _read_still(source: PathLike | Image) -> tuple[Image, str, str]:
    """Picture, name and hash; of a video, its first frame."""
    if isinstance(source, np.ndarray):
        if source.ndim != 3 or source.shape[2] != 3 or source.dtype != np.uint8:
            raise InputError(f"a portrait array must be (H, W, 3) uint8 RGB, not {source.shape} {source.dtype}")
        return source, "array", hashlib.sha256(np.ascontiguousarray(source).tobytes()).hexdigest()
    path = media.check_input(source)
    if media.is_video(path):
        with media.read_frames(path) as frames:
            return next(frames).image, path.name, media.sha256_file(path)
    image, digest = media.read_picture(path)
    return image, path.name, digest


def _cropped(image: Image, faces: Sequence[Face], side: int) -> tuple[Image, list[Face]]:
    box = composite.crop_box(np.concatenate([f.landmarks for f in faces]), image.shape)
    scale = side / (box[2] - box[0])
    moved = [composite.move_face(f, box[:2], (scale, scale)) for f in faces]
    return composite.cut(image, box, side), moved


def _scaled(image: Image, faces: Sequence[Face], longest: int) -> tuple[Image, list[Face]]:
    height, width = image.shape[:2]
    size = composite.fit_longest((width, height), longest) if max(width, height) > longest else (width, height)
    scale = (size[0] / width, size[1] / height)
    return composite.resize(image, size), [composite.move_face(f, (0, 0), scale) for f in faces]


def person_around(image: Image, one: Face) -> FloatArray:
    """The person's mask of the whole picture, looked at closely around the face: (H, W) float32."""
    low, high = one.landmarks[:, :2].min(0), one.landmarks[:, :2].max(0)
    reach = PERSON_REACH * float(max(high - low))
    left, top = (np.maximum((low + high) / 2 - reach, 0)).astype(int)
    right, bottom = (int(v) for v in (low + high) / 2 + reach)
    mask = np.zeros(image.shape[:2], np.float32)
    mask[top:bottom, left:right] = face.person_mask(image[top:bottom, left:right])
    return mask


def tracked_portraits(path: Path, first: PortraitSource, crop_to: int | None) -> Iterator[Portrait]:
    """A moving portrait: one portrait a frame, the last one held; frames without a face keep the one before."""
    last = first.portraits[0]
    size = (first.image.shape[1], first.image.shape[0])
    box = None
    with face.FaceTracker() as tracker:
        for frame in run_ahead(media.read_frames(path)):
            found = tracker.process(frame.image)
            image, box = _framed(frame, found, size, box, crop_to)
            height, width = frame.image.shape[:2]
            if found:
                scale = (size[0] / (box[2] - box[0]), size[1] / (box[3] - box[1]))
                moved = composite.move_face(found[0], box[:2], scale)
                last = Portrait(image, moved, last.name, last.sha256, person_around(image, moved))
            else:
                last = Portrait(image, last.face, last.name, last.sha256, last.person)
            yield last
    while True:
        yield last


def _framed(
    frame: Frame, found: Sequence[Face], size: tuple[int, int], box: composite.Box | None, crop_to: int | None
) -> tuple[Image, composite.Box]:
    height, width = frame.image.shape[:2]
    if box is None:
        box = (0, 0, width, height)
        if crop_to is not None and found:
            box = composite.crop_box(found[0].landmarks, frame.image.shape)
    part = np.ascontiguousarray(frame.image[box[1] : box[3], box[0] : box[2]])
    return composite.resize(part, size), box


def _mime(path: Path) -> str:
    kinds = {".mp4": "video/mp4", ".mov": "video/quicktime", ".webm": "video/webm", ".mkv": "video/x-matroska"}
    kinds |= {".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".webp": "image/webp"}
    return kinds.get(path.suffix.lower(), "application/octet-stream")
