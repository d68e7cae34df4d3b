"""What the user hands in, made ready: pictures with their faces, and motions from wherever they come."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path
from typing import Protocol, TypeAlias, TypeGuard, runtime_checkable

import numpy as np

from gioconda import composite, face, media
from gioconda.ahead import run_ahead
from gioconda.engines.fewshot import identity
from gioconda.errors import InputError, LimitError, MissingFileError, NoFaceError
from gioconda.limits import LIMITS
from gioconda.motion.from_faces import faces_to_motion
from gioconda.provenance import Ingredient
from gioconda.types import Face, FloatArray, Image, Motion, Portrait
from gioconda.weights import asset_path, identified

PathLike: TypeAlias = str | Path
Progress: TypeAlias = Callable[[str, int, int], None]


@runtime_checkable
class Watcher(Protocol):
    """A `Progress` that also looks at frames as they are finished."""

    def __call__(self, stage: str, done: int, total: int) -> None:
        """How far the work is."""

    def look(self, image: Image) -> None:
        """A marked frame (H, W, 3) uint8 RGB, for reading only."""


WHOLE_SIDE = 1280  # longest side of a whole picture unless the user asks for another
CROP_SIDE = 512
SMALLEST_SIDE = 64  # below, no face can be told from noise
FACE_LOOKS = 60  # how many frames of a video portrait, every fifth, are searched for a first face
PERSON_REACH = 2.2  # the person is told from the background this many face heights around the face


@dataclass(frozen=True)
class MotionSource:
    """A motion, the video it was read off (None if none), and what the manifest says of it.

    sound: the file of the voice that it speaks with, if it has one. warnings: what people should know of.
    speaks: whether it was made from a voice, whose silence shuts the mouth. networks: file name and hash of what heard
    the voice.
    """

    motion: Motion
    driver: Path | None
    ingredient: Ingredient
    sound: Path | None = None
    warnings: tuple[str, ...] = ()
    speaks: bool = False
    networks: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class PortraitSource:
    """A picture at output size, its faces to animate, and the video it comes from (None if a still).

    box: the part of the source's picture, in its pixels, that `image` shows. photos: further ones of the person.
    """

    image: Image
    portraits: tuple[Portrait, ...]
    ingredient: Ingredient
    box: composite.Box
    video: Path | None = None
    photos: tuple[Ingredient, ...] = ()


Loader: TypeAlias = Callable[[Progress], MotionSource]


def load_motion(source: PathLike | Motion | Loader, progress: Progress) -> MotionSource:
    """Motion from a video, a voice, a `.npz`, a Live Link Face `.csv`, a template's name, a loader, or ready-made."""
    from gioconda.motion import store, templates

    if callable(source):
        return source(progress)
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
    suffix = path.suffix.lower()
    if suffix not in (".npz", ".csv") and media.is_sound(path):
        return load_speech(path, progress)
    digest = media.sha256_file(path)
    if suffix == ".npz":
        ingredient = Ingredient(path.name, digest, "motion", "application/x-npz")
        return MotionSource(store.load(path), None, ingredient)
    if suffix == ".csv":
        from gioconda.motion import livelink

        ingredient = Ingredient(path.name, digest, "motion", "text/csv")
        return MotionSource(livelink.read_livelink(path), None, ingredient)
    if not media.is_video(path):
        raise InputError(
            f"{path}: a motion is a video, a sound, a .npz, a Live Link Face .csv or a template, not a picture"
        )
    motion = track_video(path, progress)
    return MotionSource(motion, path, filmed(path, "motion", digest))


def load_speech(path: PathLike, progress: Progress, *, seed: int = 0) -> MotionSource:
    """The motion of a face that speaks the sound of a sound file or a video. InputError, LimitError or WeightsError."""
    from gioconda.spoken import heard_motion

    file = media.check_input(path)
    warnings: list[str] = []
    motion = heard_motion(file, progress, seed=seed, warn=warnings.append)
    ingredient = Ingredient(file.name, media.sha256_file(file), "audio", mime_of(file))
    return MotionSource(motion, None, ingredient, file, tuple(warnings), speaks=True, networks=listening())


def listening() -> tuple[tuple[str, str], ...]:
    """Name and hash of the network that hears voices."""
    from gioconda.speech.listen import WEIGHTS

    return (identified(asset_path(WEIGHTS)),)


def filmed(path: Path, role: str, digest: str) -> Ingredient:
    """What the manifest says of a video, its first frame as thumbnail."""
    with media.read_frames(path) as frames:
        first = next(iter(frames), None)
    small = None if first is None else media.thumbnail(first.image)
    return Ingredient(path.name, digest, role, mime_of(path), small)


def track_video(path: PathLike, progress: Progress) -> Motion:
    """The motion of the largest face of a video; NoFaceError if no frame shows one."""
    path = Path(path)
    times: list[float] = []
    faces: list[Face | None] = []
    size = (0, 0)
    total = media.probe(path).frames
    with face.FaceTracker() as tracker, closing(run_ahead(media.read_frames(path))) as frames:
        for frame in frames:
            found = tracker.process(frame.image)
            faces.append(found[0] if found else None)
            times.append(frame.time)
            size = (frame.image.shape[1], frame.image.shape[0])
            progress("track", len(times), max(total, len(times)))
    if not any(faces):
        raise NoFaceError(f"{path}: no frame shows a human face that can be tracked; use another video.")
    return faces_to_motion(faces, times, size, name=path.name)


def load_portraits(
    source: PathLike | Portrait | Image,
    *,
    chosen: int | str,
    crop: bool,
    size: int | None,
    photos: Sequence[PathLike | Image] = (),
) -> PortraitSource:
    """The picture at output size with the chosen face (0 = largest) or all of them.

    crop: the square around the face instead of the whole picture, `size` pixels a side. Of a video, the
    first frame that shows a face. photos: more pictures of the same person.
    Raises NoFaceError, InputError or LimitError.
    """
    _check_size(size)
    if is_identity(source):
        source, crop = _adapted(source, size or CROP_SIDE), False
    fitted = source.fitted if isinstance(source, Portrait) else None
    video = _video_of(source)
    if isinstance(source, Portrait):
        image, name, digest, faces = source.image, source.name, source.sha256, [source.face]
    elif video is not None:
        if chosen != 0:
            raise InputError(f"{video}: of a video only the largest face can be moved; leave --face at 0")
        image, faces = _first_face(video)
        name, digest = video.name, media.sha256_file(video)
    else:
        image, name, digest = _read_still(source)
        faces = face.detect_faces(image)
    faces = _chosen_faces(faces, chosen, name, image.shape)
    box = (0, 0, image.shape[1], image.shape[0])
    if crop:
        image, faces, box = _cropped(image, faces, size or CROP_SIDE)
    else:
        image, faces = _scaled(image, faces, size or WHOLE_SIDE)
    small = media.thumbnail(image)  # whoever is cut away is not shown by the manifest either
    if photos and len(faces) > 1:
        raise InputError(f"{name}: further photos show one person; choose one face with --face")
    others = tuple(_photo(one) for one in photos)
    with face.PersonMasker() as masker:
        portraits = tuple(
            Portrait(image, one, name, digest, person_around(masker, image, one), others, fitted)
            for one in faces
        )
    mime = "image/*" if isinstance(source, (Portrait, np.ndarray)) else mime_of(Path(source))
    more = tuple(
        Ingredient(one.name, one.sha256, "portrait", mime_of(Path(one.name)), media.thumbnail(one.image))
        for one in others
    )
    ingredient = Ingredient(name, digest, "portrait", mime, small)
    return PortraitSource(image, portraits, ingredient, box, video, more)


def is_identity(source: PathLike | Portrait | Image) -> TypeGuard[PathLike]:
    """Whether this is the path of an identity file, as `adapt` writes them."""
    return not isinstance(source, (Portrait, np.ndarray)) and Path(source).suffix.lower() == identity.SUFFIX


def _adapted(source: PathLike, side: int) -> Portrait:
    """The person of an identity file, in the picture that it keeps, at `side` pixels."""
    path = media.check_input(source)
    found, digest = identity.read(path)
    portrait = found.portrait(path.name, digest)
    scale = side / len(portrait.image)
    image = composite.resize(portrait.image, (side, side))
    return replace(portrait, image=image, face=composite.move_face(portrait.face, (0, 0), (scale, scale)))


def _photo(source: PathLike | Image) -> Portrait:
    """A further photo of the person: its largest face."""
    image, name, digest = _read_still(source)
    image, faces = _scaled(image, _chosen_faces(face.detect_faces(image), 0, name, image.shape), WHOLE_SIDE)
    return Portrait(image, faces[0], name, digest)


def _check_size(size: int | None) -> None:
    if size is None:
        return
    if size > LIMITS.output_side:
        raise LimitError(f"a size of {size} pixels is beyond the limit; choose {LIMITS.output_side} or less")
    if size < SMALLEST_SIDE:
        raise InputError(f"a size of {size} pixels is too small; choose {SMALLEST_SIDE} or more")


def _video_of(source: PathLike | Portrait | Image) -> Path | None:
    """The path if it is a video's."""
    if isinstance(source, (Portrait, np.ndarray)):
        return None
    path = media.check_input(source)
    return path if media.is_video(path) else None


def _chosen_faces(faces: list[Face], chosen: int | str, name: str, shape: tuple[int, ...]) -> list[Face]:
    """The faces to animate, all with both eyes in the picture of that shape."""
    if chosen == "all":
        whole = [one for one in faces if face.shows_both_eyes(one, shape)]
        faces = whole or [face.choose_face(faces, 0, name)]
    elif isinstance(chosen, str):
        raise InputError(f"face {chosen!r}: give 0 for the largest, 1 for the next, or all")
    else:
        faces = [face.choose_face(faces, chosen, name)]
    if not face.shows_both_eyes(faces[0], shape):
        raise NoFaceError(f"{name}: its edge cuts through the face; use a picture that shows both eyes.")
    return faces


def _read_still(source: PathLike | Image) -> tuple[Image, str, str]:
    """Picture, name and hash."""
    if isinstance(source, np.ndarray):
        if source.ndim != 3 or source.shape[2] != 3 or source.dtype != np.uint8 or not source.size:
            raise InputError(
                f"a portrait array must be (H, W, 3) uint8 RGB, not {source.shape} {source.dtype}"
            )
        return source, "array", hashlib.sha256(np.ascontiguousarray(source).tobytes()).hexdigest()
    image, digest = media.read_picture(source)
    return image, Path(source).name, digest


def _first_face(video: Path) -> tuple[Image, list[Face]]:
    """The first frame of a video that shows a face, and its faces; none where no frame does."""
    with media.read_frames(video) as frames:
        first = next(frames).image
        for image in islice(chain([first], (frame.image for frame in frames)), 0, FACE_LOOKS * 5, 5):
            if faces := face.detect_faces(image):
                return image, faces
    return first, []


def _cropped(image: Image, faces: Sequence[Face], side: int) -> tuple[Image, list[Face], composite.Box]:
    """The square around the faces; where they lie too far apart, around the largest alone."""
    box, shape = (0, 0, 0, 0), (side, side)
    for wanted in (faces, faces[:1]):
        box = composite.crop_box(np.concatenate([f.landmarks for f in wanted]), image.shape)
        scale = side / (box[2] - box[0])
        moved = [composite.move_face(f, box[:2], (scale, scale)) for f in faces]
        inside = [one for one in moved if face.shows_both_eyes(one, shape)]
        if len(inside) >= len(wanted):
            break
    return composite.cut(image, box, side), inside, box


def _scaled(image: Image, faces: Sequence[Face], longest: int) -> tuple[Image, list[Face]]:
    height, width = image.shape[:2]
    size = (width, height)
    if max(size) > longest:
        size = composite.fit_longest(size, longest)
    scale = (size[0] / width, size[1] / height)
    return composite.resize(image, size), [composite.move_face(f, (0, 0), scale) for f in faces]


def person_around(masker: face.PersonMasker, image: Image, one: Face) -> FloatArray:
    """The person's mask of the whole picture, looked at closely around the face: (H, W) float32."""
    low, high = one.landmarks[:, :2].min(0), one.landmarks[:, :2].max(0)
    reach = PERSON_REACH * float(max(high - low))
    left, top = (np.maximum((low + high) / 2 - reach, 0)).astype(int)
    right, bottom = (int(v) for v in (low + high) / 2 + reach)
    mask = np.zeros(image.shape[:2], np.float32)
    mask[top:bottom, left:right] = masker.mask(image[top:bottom, left:right])
    return mask


def tracked_portraits(path: Path, first: PortraitSource) -> Generator[Portrait, None, None]:
    """A moving portrait: one portrait a frame, the last one held.

    A frame without a face, or with one that leaves the picture, keeps the face before.
    """
    last, box = first.portraits[0], first.box
    size = (first.image.shape[1], first.image.shape[0])
    scale = (size[0] / (box[2] - box[0]), size[1] / (box[3] - box[1]))
    with (
        face.FaceTracker() as tracker,
        face.PersonMasker() as masker,
        closing(run_ahead(media.read_frames(path))) as frames,
    ):
        for frame in frames:
            found = tracker.process(frame.image)
            image = composite.resize(frame.image[box[1] : box[3], box[0] : box[2]], size)
            one, person = last.face, last.person
            if found:
                moved = composite.move_face(found[0], box[:2], scale)
                if face.shows_both_eyes(moved, image.shape):
                    one, person = moved, person_around(masker, image, moved)
            last = Portrait(image, one, last.name, last.sha256, person, last.others)
            yield last
    while True:
        yield last


def mime_of(path: Path) -> str:
    """The MIME type of a file by its ending."""
    kinds = {".mp4": "video/mp4", ".mov": "video/quicktime", ".webm": "video/webm"}
    kinds |= {".mkv": "video/x-matroska", ".gif": "image/gif"}
    kinds |= {".wav": "audio/wav", ".mp3": "audio/mpeg", ".m4a": "audio/mp4", ".aac": "audio/aac"}
    kinds |= {".flac": "audio/flac", ".ogg": "audio/ogg", ".opus": "audio/ogg"}
    kinds |= {".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".webp": "image/webp"}
    return kinds.get(path.suffix.lower(), "application/octet-stream")
