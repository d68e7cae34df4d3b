"""Load a portrait from a still picture, a video, an identity file or an array, with its faces, at output size."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeGuard

import cv2
import numpy as np

from gioconda import composite, face, media
from gioconda.engines.fewshot import identity
from gioconda.errors import InputError, LimitError, NoFaceError
from gioconda.inputs.person import holds_person, read_person
from gioconda.inputs.pictures import read_still
from gioconda.inputs.sources import PortraitSource
from gioconda.inputs.views import in_view_of
from gioconda.landmarks import bounds
from gioconda.limits import CROP_SIDE, LIMITS, SMALLEST_SIDE, WHOLE_SIDE
from gioconda.provenance import Ingredient
from gioconda.tracking import Tracked, tracked_frames
from gioconda.types import OPAQUE, Face, FloatArray, Frame, Image, PathLike, Portrait

# A video portrait is searched for a face to its end: its first frames, then one after each SEARCH_SECONDS, or, later
# on, after this share of the time so far.
SEARCHED_FRAMES, SEARCH_SECONDS, SEARCH_SHARE = 5, 0.2, 0.02
# Seconds for which a video portrait keeps a face that its frames no longer show.
HELD_SECONDS = 0.5
# Seconds before its own time from which a frame may be shown, where the moments of the output fall between frames.
EARLY_SECONDS = 0.05
# Face heights around the face in which the person is segmented.
PERSON_REACH = 2.2


def load_portraits(
    source: PathLike | Portrait | Image,
    *,
    chosen: int | str,
    crop: bool,
    size: int | None,
    photos: Sequence[PathLike | Image] = (),
    cut_out: bool = False,
) -> PortraitSource:
    """Load a portrait and find its faces. A video is represented by its first frame that shows a face.

    Args:
        source: A path, a `Portrait`, or a picture (H, W, 3) uint8 RGB.
        chosen: The face to animate, 0 for the largest; or "all".
        crop: Whether to keep the square around the face instead of the whole picture.
        size: Side of the crop or longer side of the picture, in pixels; None for the default.
        photos: More pictures of the same person.
        cut_out: Whether to keep the transparency of the source, for another background than white.

    Raises:
        InputError: A file or an option cannot be used.
        NoFaceError: There is no such face, or the picture's edge cuts it.
        LimitError: A file or the size is larger than the limits allow.
    """
    _check_size(size)
    source, kept, is_crop = _read_adapted(source, size or CROP_SIDE)
    crop = crop and not is_crop
    fitted = source.fitted if isinstance(source, Portrait) else None
    video = _video_of(source)
    image, faces, name, digest, seen = _with_faces(source, video, chosen)
    found = tuple(_place(candidate, image) for candidate in faces)
    faces = _chosen_faces(faces, chosen, name, image.shape)
    whole = image.shape[1], image.shape[0]
    image, faces, box = _framed(image, faces, crop, size)
    if (kept or photos) and len(faces) > 1:
        raise InputError(f"{name}: further photos are of one person; choose one face with --face")
    alpha = _alpha(source, video)
    shown_alpha = alpha if cut_out else None
    plain = [
        Portrait(image, single, name, digest, person_around(image, single), (), fitted) for single in faces
    ]
    framing = _Framing(box, whole, video is None and shown_alpha is None)
    others = _others((*kept, *photos), plain[0], framing)
    portraits = tuple(_cut_out(replace(portrait, others=others), shown_alpha, box) for portrait in plain)
    ingredient = _ingredient(source, name, digest, image)
    photographed = tuple(_photo_ingredient(photo) for photo in others if photo.sha256 != digest)
    return PortraitSource(
        image, portraits, ingredient, box, whole, video, photographed, seen, alpha is not None, found
    )


def _framed(
    image: Image, faces: Sequence[Face], crop: bool, size: int | None
) -> tuple[Image, list[Face], composite.Box]:
    """The picture at output size, the square around the faces or the whole; its faces; its box in the source."""
    if crop:
        return _cropped(image, faces, size or CROP_SIDE)
    return *scaled(image, faces, size or WHOLE_SIDE), (0, 0, image.shape[1], image.shape[0])


@dataclass(frozen=True)
class _Framing:
    """How a portrait's picture was cut out of its source.

    Attributes:
        box: The part of the source's picture, in its pixels.
        whole: Width and height of the source's picture in pixels.
        opaque_still: Whether the source is a still picture without transparency.
    """

    box: composite.Box
    whole: tuple[int, int]
    opaque_still: bool

    def same(self, photo: Portrait, portrait: Portrait) -> Portrait | None:
        """The photo, cut out as the portrait was, where both show one view; else None."""
        if not self.opaque_still or (photo.image.shape[1], photo.image.shape[0]) != self.whole:
            return None
        left, top, right, bottom = self.box
        size = (portrait.image.shape[1], portrait.image.shape[0])
        image = composite.resize(photo.image[top:bottom, left:right], size)
        scale = (size[0] / (right - left), size[1] / (bottom - top))
        moved = composite.move_face(photo.face, (left, top), scale)
        around = (
            person_around(image, moved)
            if photo.person is None
            else cv2.resize(photo.person[top:bottom, left:right], size, interpolation=cv2.INTER_LINEAR)
        )
        cut = replace(photo, image=image, face=moved, person=np.asarray(around, np.float32))
        seen = cut if photo.same_view else in_view_of(portrait, cut)
        return seen if seen is not None and face.shows_both_eyes(seen.face, image.shape) else None


def _others(
    photos: Sequence[PathLike | Image | Portrait], portrait: Portrait, framing: _Framing
) -> tuple[Portrait, ...]:
    """The further photos of a portrait's person: those of the same view in the portrait's pixels, others whole."""
    others = []
    for source in photos:
        photo = source if isinstance(source, Portrait) else _photo(source)
        others.append(framing.same(photo, portrait) or _scaled_portrait(replace(photo, same_view=False)))
    return tuple(others)


def _scaled_portrait(photo: Portrait) -> Portrait:
    """A photo, scaled down to WHOLE_SIDE where it is larger, without a mask."""
    image, (found,) = scaled(photo.image, [photo.face], WHOLE_SIDE)
    return replace(photo, image=image, face=found, person=None)


def _place(found: Face, image: Image) -> tuple[float, float, float, float]:
    """Left, top, width and height of a face as shares of its picture (H, W, 3), inside which they stay."""
    low, high = bounds(found.landmarks) / np.array([image.shape[1], image.shape[0]])
    left, top = np.clip(low, 0, 1).tolist()
    right, bottom = np.clip(high, 0, 1).tolist()
    return left, top, right - left, bottom - top


def _ingredient(source: PathLike | Portrait | Image, name: str, digest: str, image: Image) -> Ingredient:
    """A portrait's entry in the manifest, with a thumbnail of `image`, (H, W, 3).

    It shows the crop, so that people outside it do not appear in the manifest.
    """
    mime = "image/*" if isinstance(source, (Portrait, np.ndarray)) else media.mime_of(Path(source))
    return Ingredient(name, digest, "portrait", mime, media.thumbnail(image))


def _alpha(source: PathLike | Portrait | Image, video: Path | None) -> Image | None:
    """The alpha (H, W) of a source file, for a video that of its first frame; None if it is opaque."""
    if isinstance(source, (Portrait, np.ndarray)):
        return None
    if video is None:
        return media.read_alpha(source)
    with media.read_frames(video) as frames:
        alpha = next(frames).alpha
    return None if alpha is None or alpha.min() == OPAQUE else alpha


def _cut_out(portrait: Portrait, alpha: Image | None, box: composite.Box) -> Portrait:
    """A portrait with its own colours and alpha, which also shows the person; alpha: (H, W), of the source."""
    if alpha is None:
        return portrait
    size = (portrait.image.shape[1], portrait.image.shape[0])
    part = composite.resize(alpha[box[1] : box[3], box[0] : box[2]], size)
    person = None if portrait.filmed else (part / np.float32(OPAQUE)).astype(np.float32)
    cutout = composite.cut_out(portrait.image, part)
    return replace(portrait, cutout=cutout, person=portrait.person if person is None else person)


def _photo_ingredient(photo: Portrait) -> Ingredient:
    """A further photo's entry in the manifest."""
    mime = media.mime_of(Path(photo.name))
    return Ingredient(photo.name, photo.sha256, "portrait", mime, media.thumbnail(photo.image))


def _with_faces(
    source: PathLike | Portrait | Image, video: Path | None, chosen: int | str
) -> tuple[Image, list[Face], str, str, float]:
    """The picture of a source, its faces, its name, the SHA-256 of its file, and the picture's time in a video.

    The SHA-256 is in hex, "" without a file; the time is in seconds.
    """
    if isinstance(source, Portrait):
        return source.image, [source.face], source.name, source.sha256, 0.0
    if video is not None:
        if chosen != 0:
            raise InputError(f"{video}: only the largest face of a video can be animated; leave out --face")
        first, faces = _first_face(video)
        return first.image, faces, video.name, media.sha256_file(video), first.time
    image, name, digest = read_still(source)
    return image, face.detect_faces(image), name, digest, 0.0


def is_identity(source: PathLike | Portrait | Image) -> TypeGuard[PathLike]:
    """Whether a source is the path of an identity or person file, which `adapt` writes."""
    return not isinstance(source, (Portrait, np.ndarray)) and Path(source).suffix.lower() == identity.SUFFIX


def _read_adapted(
    source: PathLike | Portrait | Image, side: int
) -> tuple[PathLike | Portrait | Image, Sequence[Portrait], bool]:
    """The portrait of an identity or person file, other sources as they are.

    Args:
        source: Of the portrait.
        side: Pixels of the picture's side, for an identity file.

    Returns:
        The source, the person's further photos, and whether the source is a square around the face already.
    """
    if not is_identity(source):
        return source, (), False
    path = media.check_input(source)
    if not holds_person(path):
        return _adapted(path, side), (), True
    portrait, *kept = read_person(path)
    return portrait, kept, False


def _adapted(path: Path, side: int) -> Portrait:
    """The portrait in an identity file, scaled to `side` pixels."""
    fitted, digest = identity.read(path)
    portrait = fitted.portrait(path.name, digest)
    scale = side / len(portrait.image)
    image = composite.resize(portrait.image, (side, side))
    return replace(portrait, image=image, face=composite.move_face(portrait.face, (0, 0), (scale, scale)))


def _photo(source: PathLike | Image) -> Portrait:
    """A further photo, at its own size, and its largest face."""
    image, name, digest = read_still(source)
    return Portrait(image, _chosen_faces(face.detect_faces(image), 0, name, image.shape)[0], name, digest)


def _check_size(size: int | None) -> None:
    """InputError or LimitError for a size out of range."""
    if size is None:
        return
    if size > LIMITS.output_side:
        raise LimitError(f"a size of {size} pixels is too large; choose {LIMITS.output_side} or less")
    if size < SMALLEST_SIDE:
        raise InputError(f"a size of {size} pixels is too small; choose {SMALLEST_SIDE} or more")


def _video_of(source: PathLike | Portrait | Image) -> Path | None:
    """The path of a source that is a video, else None."""
    if isinstance(source, (Portrait, np.ndarray)):
        return None
    path = media.check_input(source)
    return path if media.is_video(path) else None


def _chosen_faces(faces: list[Face], chosen: int | str, name: str, shape: tuple[int, ...]) -> list[Face]:
    """The faces to animate, each with both eyes inside the picture of shape (H, W, ...)."""
    if chosen == "all":
        complete = [candidate for candidate in faces if face.shows_both_eyes(candidate, shape)]
        faces = complete or [face.choose_face(faces, 0, name)]
    elif isinstance(chosen, str):
        raise InputError(f"face {chosen!r} is not a choice; give 0 for the largest, 1 for the next, or all")
    else:
        faces = [face.choose_face(faces, chosen, name)]
    if not face.shows_both_eyes(faces[0], shape):
        raise NoFaceError(
            f"{name}: the picture's edge cuts through the face; use a picture that shows both eyes."
        )
    return faces


def _first_face(video: Path) -> tuple[Frame, list[Face]]:
    """The first of the searched frames that shows a face, and its faces; the first frame and none if none does."""
    first: Frame | None = None
    due = 0.0
    with media.read_frames(video) as frames:
        for count, frame in enumerate(frames):
            first = first or frame
            if count >= SEARCHED_FRAMES and frame.time < due:
                continue
            if faces := face.detect_faces(frame.image):
                return frame, faces
            due = frame.time + max(SEARCH_SECONDS, SEARCH_SHARE * frame.time)
    assert first is not None
    return first, []


def _cropped(image: Image, faces: Sequence[Face], side: int) -> tuple[Image, list[Face], composite.Box]:
    """Crop the square around the faces, or around the largest alone if they are too far apart.

    Returns:
        The crop, `side` pixels a side; the faces in it; and its box in the picture.
    """
    box, shape = (0, 0, 0, 0), (side, side)
    for group in (faces, faces[:1]):
        box = composite.crop_box(np.concatenate([f.landmarks for f in group]), image.shape)
        scale = side / (box[2] - box[0])
        moved = [composite.move_face(f, box[:2], (scale, scale)) for f in faces]
        inside = [f for f in moved if face.shows_both_eyes(f, shape)]
        if len(inside) >= len(group):
            break
    return composite.cut(image, box, side), inside, box


def scaled(image: Image, faces: Sequence[Face], longest: int) -> tuple[Image, list[Face]]:
    """The picture and its faces, scaled down to a longest side where they are larger."""
    height, width = image.shape[:2]
    size = (width, height)
    if max(size) > longest:
        size = composite.fit_longest(size, longest)
    scale = (size[0] / width, size[1] / height)
    return composite.resize(image, size), [composite.move_face(f, (0, 0), scale) for f in faces]


def person_around(image: Image, portrayed: Face) -> FloatArray:
    """Segment the person around a face, at higher resolution than `person_mask` of the whole picture.

    Args:
        image: (H, W, 3) uint8 RGB.
        portrayed: The face.

    Returns:
        (H, W) float32, 0 to 1; 0 farther than PERSON_REACH face heights away.
    """
    low, high = bounds(portrayed.landmarks)
    reach = PERSON_REACH * float(max(high - low))
    left, top = (np.maximum((low + high) / 2 - reach, 0)).astype(int)
    right, bottom = (int(v) for v in (low + high) / 2 + reach)
    mask = np.zeros(image.shape[:2], np.float32)
    mask[top:bottom, left:right] = face.person_mask(image[top:bottom, left:right])
    return mask


def tracked_portraits(
    path: Path, first: PortraitSource, times: Sequence[float]
) -> Generator[tuple[Portrait, bool], None, None]:
    """Track a video portrait, and take the frame nearest to each moment of the output.

    A frame without a complete face keeps the face seen last, for HELD_SECONDS at most, but not after a cut. Takes that
    show only other people have no known face.

    Args:
        path: Of the video.
        first: Its first frame that shows a face, as `load_portraits` returns it.
        times: Moments of the output in seconds from the video's first frame, increasing.

    Yields:
        A portrait for each moment, the last frame's where the video has ended, and whether its face is known.
    """
    last, box, seen, seen_take = first.portraits[0], first.box, -math.inf, 0
    size = (first.image.shape[1], first.image.shape[0])
    scale = (size[0] / (box[2] - box[0]), size[1] / (box[3] - box[1]))
    shown: Frame | None = None
    with closing(tracked_frames(path, one_person=True)) as frames:
        for frame, tracked, take, _ in nearest_in_time(frames, times):
            if frame is not shown:
                image = composite.resize(frame.image[box[1] : box[3], box[0] : box[2]], size)
                current, person = last.face, last.person
                if tracked is not None:
                    moved = composite.move_face(tracked, box[:2], scale)
                    if face.shows_both_eyes(moved, image.shape):
                        current, person, seen = moved, person_around(image, moved), frame.time
                        seen_take = take
                last = Portrait(image, current, last.name, last.sha256, person, last.others, filmed=True)
                last = _cut_out(last, frame.alpha if first.portraits[0].cutout is not None else None, box)
                shown = frame
            yield last, take == seen_take and frame.time - seen <= HELD_SECONDS


def nearest_in_time(frames: Iterator[Tracked], times: Sequence[float]) -> Iterator[Tracked]:
    """The frame nearest to each of some increasing moments in seconds; the last one where the frames have ended.

    Over a gap the frame before it stays, as in a player, until EARLY_SECONDS before the next.
    """
    current, following = next(frames), next(frames, None)
    for time in times:
        while following is not None:
            if following[0].time - time > min(time - current[0].time, EARLY_SECONDS):
                break
            current, following = following, next(frames, None)
        yield current
