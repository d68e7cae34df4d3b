"""Render an animated portrait, from a still picture or a video: portrait x motion -> engine -> composite."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gioconda import composite, media
from gioconda.engines import Engine
from gioconda.inputs.motion import load_motion
from gioconda.inputs.portrait import load_portraits, tracked_portraits
from gioconda.inputs.sources import (
    Loader,
    MotionSource,
    PortraitSource,
    late_face_note,
)
from gioconda.limits import CROP_SIDE
from gioconda.loading import load_both
from gioconda.motion.retarget import RetargetedMotion, Style
from gioconda.provenance import Ingredient, job_payload
from gioconda.render import Clock, Rendered
from gioconda.requests.values import TRANSPARENT
from gioconda.runtime.helpers import Helpers
from gioconda.runtime.prefetch import run_ahead, shared
from gioconda.runtime.threads import hold_libraries
from gioconda.types import (
    RGBA,
    WHOLE_DRIVER,
    DrivingPart,
    Face,
    FloatArray,
    Image,
    Motion,
    Mouth,
    Patch,
    PathLike,
    Portrait,
    Progress,
    TargetPose,
    Word,
)

UNFITTED = (
    "the few-shot networks are not fitted to this person and may draw a stranger; fit them with gioconda adapt "
    "--for fewshot and the same --weights"
)


@dataclass(frozen=True)
class PortraitRenderer:
    """A renderer of a portrait and a motion, both loaded and checked.

    Attributes:
        portrait_source: The portrait.
        motion_source: The motion.
        opened_engine: The engine that renders.
        style: How the motion is applied.
        crop: The box to crop after rendering, where the pose is the driver's own; or None.
        size: (width, height) of the pictures in pixels.
        label: Whether to write a visible label.
        payload: The watermark's.
        clock: Records the seconds of each stage.
        sound: The sound that the video gets, or None.
        action: "edited" for a video portrait and for a still result, else "created".
        notes: Sentences for the user about the portrait.
        background: (H, W, 3) uint8 RGB, what a transparent portrait lies over; None for white or nothing.
        backdrop: The background's entry in the manifest if it is a picture; else None.
        identities: What the engine has prepared of each still portrait; empty where it prepares them later.
        frames: How many frames of the motion are rendered; None for all.
        helpers: Processes that help the engine, until the frames are rendered; or None.
    """

    portrait_source: PortraitSource
    motion_source: MotionSource
    opened_engine: Engine
    style: Style
    crop: composite.Box | None
    size: tuple[int, int]
    label: bool
    payload: int
    clock: Clock
    sound: media.SoundTrack | None = None
    action: str = "created"
    notes: tuple[str, ...] = ()
    background: Image | None = None
    backdrop: Ingredient | None = None
    identities: tuple[Any, ...] = ()
    frames: int | None = None
    helpers: Helpers | None = None

    @property
    def engine(self) -> str:
        """The engine's name."""
        return self.opened_engine.name

    @property
    def times(self) -> npt.NDArray[np.float64]:
        """Times of the frames, (T,) float64, seconds."""
        return self.motion_source.motion.times

    @property
    def inputs(self) -> tuple[Ingredient, ...]:
        """The manifest's entries of portrait, further photos and motion."""
        portrait = self.portrait_source
        behind = () if self.backdrop is None else (self.backdrop,)
        return (portrait.ingredient, *portrait.photos, self.motion_source.ingredient, *behind)

    @property
    def networks(self) -> tuple[tuple[str, str], ...]:
        """File name and SHA-256 of the engine's networks, and of the one that turned a voice into motion."""
        return (*self.opened_engine.networks, *self.motion_source.networks)

    @property
    def words(self) -> tuple[Word, ...]:
        """The words that are spoken, each with its time, where they are known."""
        return self.motion_source.words

    @property
    def transparent(self) -> bool:
        """Whether the pictures have an alpha channel."""
        return self.portrait_source.portraits[0].cutout is not None and self.background is None

    @property
    def bridged(self) -> int:
        """Number of the driver's frames without a face."""
        return self.motion_source.motion.bridged

    @property
    def warnings(self) -> tuple[str, ...]:
        """Sentences for the user about a job that nevertheless succeeds."""
        portraits = self.portrait_source.portraits
        unfitted = self.engine == "fewshot" and any(portrait.fitted is None for portrait in portraits)
        return (*self.motion_source.warnings, *self.notes, *([UNFITTED] if unfitted else []))

    def moments(self) -> Generator[Rendered, None, None]:
        """Render the frames of the motion in order, composed into the picture."""
        with ExitStack() as stack:
            if self.helpers is not None:
                stack.enter_context(closing(self.helpers))
            # A thread renders ahead, while earlier frames are composed and encoded.
            ahead = stack.enter_context(closing(run_ahead(_rendered(self), depth=2)))
            for picture, patches, faces in ahead:
                since = time.perf_counter()
                image = composite.compose(picture, patches)
                if self.crop is not None:
                    image = composite.cut(image, self.crop, self.size[0])
                image = composite.enlarge(image, self.size)
                if self.background is not None and image.shape[2] > self.background.shape[2]:
                    image = composite.over(image, self.background)
                self.clock.add("composite", since)
                labelled = faces if self.label else ()
                yield Rendered(image, [_as_cropped(face, self) for face in labelled], patches[0].time)


def plan(
    portrait: PathLike | Portrait | Image,
    motion: PathLike | Motion | Loader,
    engine: Engine,
    style: Style,
    face: int | str,
    crop: bool,
    size: int | None,
    label: bool,
    progress: Progress,
    *,
    photos: Sequence[PathLike | Image] = (),
    driven: DrivingPart = WHOLE_DRIVER,
    background: PathLike | None = None,
) -> PortraitRenderer:
    """Load a portrait and a motion.

    With the driver's own pose, the face may move anywhere in the picture: then the crop follows after rendering.
    Arguments and errors are those of `load_portraits` (`face` is its `chosen`) and `load_motion` (`driven` is its
    `part`); `label` requests a visible label; `background` is that of `plan_edit`.
    """
    hold_libraries()
    clock, late_crop = Clock(), crop and style.absolute
    portraits = partial(
        load_portraits,
        portrait,
        chosen=face,
        crop=crop and not late_crop,
        size=None if late_crop else size,
        photos=photos,
        cut_out=background is not None,
    )
    loaded = load_both(portraits, engine, partial(load_motion, motion, part=driven), progress, clock)
    portrait_source, motion_source = loaded.portrait, loaded.motion
    box, output_size = _framed(portrait_source, size, late_crop=late_crop)
    size_note = _size_note(portrait_source, box, output_size, crop=crop, chosen=size is not None)
    settings = _settings(portrait_source, style, box, background, driven, label=label)
    digests = (portrait_source.ingredient.sha256, motion_source.ingredient.sha256)
    renderer = PortraitRenderer(
        portrait_source=portrait_source,
        motion_source=motion_source,
        opened_engine=engine,
        style=style,
        crop=box,
        size=output_size,
        label=label,
        payload=job_payload(engine.name, *digests, settings),
        clock=clock,
        sound=motion_source.sound_track(),
        action="created" if portrait_source.video is None else "edited",
        notes=(*size_note, *_length_notes(portrait_source, motion_source.motion)),
        identities=loaded.identities,
        helpers=loaded.helpers,
    )
    return _over(renderer, background)


def _over(renderer: PortraitRenderer, background: PathLike | None) -> PortraitRenderer:
    """A renderer whose portrait, if it is transparent, lies over a background."""
    notes = (*renderer.notes, *_background_notes(renderer.portrait_source, background))
    picture, backdrop = _behind(background, renderer.size)
    return replace(renderer, notes=notes, background=picture, backdrop=backdrop)


def _behind(background: PathLike | None, size: tuple[int, int]) -> tuple[Image | None, Ingredient | None]:
    """The picture (H, W, 3) of a background, None for white or nothing; and its entry in the manifest, or None."""
    if background in (None, TRANSPARENT):
        return None, None
    assert background is not None
    picture, digest = media.read_background(background, size)
    if digest is None:
        return picture, None
    path = Path(background)
    return picture, Ingredient(path.name, digest, "background", media.mime_of(path), media.thumbnail(picture))


def _background_notes(source: PortraitSource, background: PathLike | None) -> tuple[str, ...]:
    """What the user should know of a portrait's transparency."""
    name = source.ingredient.name
    if source.transparent and background is None:
        return (f"{name} is transparent in part and lies over white; --background chooses what is behind it",)
    if not source.transparent and background is not None:
        return (f"{name} is not transparent; --background changes nothing",)
    return ()


def _settings(
    source: PortraitSource,
    style: Style,
    box: composite.Box | None,
    background: PathLike | None,
    driven: DrivingPart,
    *,
    label: bool,
) -> str:
    """The settings of a job as text, by which the watermark's payload tells jobs apart."""
    settings = f"{style} {label} {source.image.shape} {box} {[photo.sha256 for photo in source.photos]}"
    return settings + "".join(
        f" {choice}" for choice in (background, driven) if choice not in (None, WHOLE_DRIVER)
    )


def _framed(
    source: PortraitSource, size: int | None, *, late_crop: bool
) -> tuple[composite.Box | None, tuple[int, int]]:
    """The box to crop after rendering, if `late_crop`, and (width, height) of the output; `size` is its longer side."""
    if not late_crop:
        return None, _output_size(source.image, size)
    box = composite.crop_box(source.portraits[0].face.landmarks, source.image.shape)
    return box, (size or CROP_SIDE,) * 2


def _output_size(image: Image, size: int | None) -> tuple[int, int]:
    """(width, height) of the output: the rendered picture's, or larger ones if `size`, the longer side, asks so."""
    own = (image.shape[1], image.shape[0])
    return own if size is None or size <= max(own) else composite.fit_longest(own, size)


def _size_note(
    source: PortraitSource, box: composite.Box | None, size: tuple[int, int], *, crop: bool, chosen: bool
) -> tuple[str, ...]:
    """A note where the output has more pixels than the picture, or fewer although nobody chose a size.

    Args:
        source: The portrait.
        box: The part of the source's picture that the output shows; None for the part that was loaded.
        size: (width, height) of the output.
        crop: Whether the output is the square around the face.
        chosen: Whether the user chose the size.
    """
    left, top, right, bottom = box or source.box
    width, height = right - left, bottom - top
    part = "the square around the face" if crop else "the picture"
    has = f"{source.ingredient.name}: {part} has {width}x{height} pixels"
    if chosen and max(size) > max(width, height):
        return (f"{has} and is enlarged to {size[0]}x{size[1]}, which adds no detail",)
    if not chosen and not crop and max(size) < max(width, height):
        return (f"{has} and is reduced to {size[0]}x{size[1]}; choose another size with --size",)
    return ()


def _length_notes(source: PortraitSource, motion: Motion) -> tuple[str, ...]:
    """What the user should know of a video portrait whose face comes late, or that is shorter than the motion."""
    video = source.video
    if video is None:
        return ()
    info, lasts = media.probe(video), float(motion.times[-1] - motion.times[0])
    late = late_face_note(video, source.seen, lasts)
    if info.seconds + 1 / info.fps >= lasts:
        return late
    return (
        *late,
        f"{video.name} ends after {info.seconds:.1f} s; its last frame is held until {lasts:.1f} s",
    )


def plan_edit(
    portrait: PathLike | Portrait | Image,
    motion_source: MotionSource,
    settings: str,
    engine: Engine,
    style: Style,
    *,
    face: int,
    crop: bool,
    size: int | None,
    label: bool,
    photos: Sequence[PathLike | Image] = (),
    background: PathLike | None = None,
) -> PortraitRenderer:
    """Load a picture to edit.

    Args:
        portrait: A path, a `Portrait`, or a picture (H, W, 3) uint8 RGB.
        motion_source: Of `load_edit`.
        settings: The sliders' values as text.
        engine: The engine that renders.
        style: How the motion is applied.
        face: The face to edit, 0 for the largest.
        crop: Whether to show the square around the face instead of the whole picture.
        size: Side of the crop or longer side of the picture, in pixels; None for the default.
        label: Whether to write a visible label.
        photos: More pictures of the same person.
        background: What a transparent portrait lies over: a colour, a picture, or TRANSPARENT; None for white.

    Raises:
        InputError, NoFaceError, LimitError: As `load_portraits`.
    """
    hold_libraries()
    portrait_source = load_portraits(
        portrait, chosen=face, crop=crop, size=size, photos=photos, cut_out=background is not None
    )
    digests = (portrait_source.ingredient.sha256, motion_source.ingredient.sha256)
    image_size = _output_size(portrait_source.image, size)
    renderer = PortraitRenderer(
        portrait_source=portrait_source,
        motion_source=motion_source,
        opened_engine=engine,
        style=style,
        crop=None,
        size=image_size,
        label=label,
        payload=job_payload(engine.name, *digests, f"{settings} {image_size}"),
        clock=Clock(),
        action="edited",
        notes=_size_note(portrait_source, None, image_size, crop=crop, chosen=size is not None),
        # The motion of an edit holds rest after the pose.
        frames=1,
    )
    return _over(renderer, background)


def _as_cropped(face: Face, job: PortraitRenderer) -> FloatArray:
    """A face's landmarks (478, 3) in pixels of the job's output."""
    left, top, right, _ = job.crop or (0, 0, job.portrait_source.image.shape[1], 0)
    scale = job.size[0] / (right - left)
    return composite.move_face(face, (left, top), (scale, scale)).landmarks


def _rendered(job: PortraitRenderer) -> Generator[tuple[Image, list[Patch], list[Face]], None, None]:
    """Render all frames: the picture, the patches that move in it, and its faces."""
    source, engine = job.portrait_source, job.opened_engine
    if source.video is not None:
        yield from _rendered_video(job, source.video)
        return
    since = time.perf_counter()
    retargeted = [_retargeted(job, portrait) for portrait in source.portraits]
    prepared = job.identities or [engine.prepare(portrait) for portrait in source.portraits]
    faces = [portrait.face for portrait in source.portraits]
    ahead = True if job.helpers is None else job.helpers
    since = job.clock.add("prepare", since)
    with ExitStack() as stack:
        mouths = stack.enter_context(closing(_mouths(job, retargeted[0])))
        streams = [
            stack.enter_context(
                closing(engine.render(identity, _targets(motion, own_mouths, job.frames), ahead=ahead))
            )
            for identity, motion, own_mouths in zip(
                prepared, retargeted, shared(mouths, len(prepared)), strict=True
            )
        ]
        for patches in zip(*streams, strict=True):
            job.clock.add("render", since)
            yield _picture_of(source.portraits[0]), list(patches), faces
            since = time.perf_counter()


def _retargeted(job: PortraitRenderer, portrait: Portrait) -> RetargetedMotion:
    """The job's motion on a portrait."""
    source = job.motion_source
    return RetargetedMotion(source.motion, portrait, job.style, shut=source.speaks)


def _targets(
    retargeted: RetargetedMotion, mouths: Iterable[Mouth | None], frames: int | None
) -> Iterator[TargetPose]:
    """A portrait's target poses, one for each frame of the motion, or for the first `frames` alone."""
    for i, mouth in zip(range(len(retargeted))[:frames], mouths, strict=False):
        yield retargeted.target(i, mouth)


def _rendered_video(
    job: PortraitRenderer, video: Path
) -> Generator[tuple[Image, list[Patch], list[Face]], None, None]:
    """As `_rendered`, for a video portrait, each of whose frames is a portrait of its own."""
    engine, source = job.opened_engine, job.portrait_source
    retargeted = _retargeted(job, source.portraits[0])
    with (
        closing(_mouths(job, retargeted)) as mouths,
        closing(tracked_portraits(video, source, (job.times - job.times[0]).tolist())) as portraits,
    ):
        for i, mouth, (portrait, known) in zip(range(len(retargeted)), mouths, portraits, strict=False):
            since = time.perf_counter()
            if not known:
                picture = _picture_of(portrait)
                yield picture, [_unchanged(picture, float(job.times[i]))], []
                continue
            target = retargeted.onto(portrait, i, mouth)
            patch = next(iter(engine.render(engine.prepare(portrait), (target,))))
            job.clock.add("render", since)
            yield _picture_of(portrait), [patch], [portrait.face]


def _picture_of(portrait: Portrait) -> Image:
    """The picture (H, W, 3) into which a portrait's patches go, (H, W, 4) if it is transparent."""
    return portrait.image if portrait.cutout is None else portrait.cutout


def _unchanged(image: Image, time: float) -> Patch:
    """A patch that changes nothing in a picture (H, W, 3 or 4), for a frame without a face."""
    corner = image[:1, :1]
    alpha = corner[..., 3] if corner.shape[2] == RGBA else None
    return Patch(corner[..., :3], (0, 0), time, np.zeros((1, 1), np.float32), alpha)


def _mouths(job: PortraitRenderer, retargeted: RetargetedMotion) -> Generator[Mouth | None, None, None]:
    """The driver's mouth in each frame of the job's motion, None without a tracked driver; never ends."""
    source = job.motion_source
    return (
        (None for _ in count()) if source.driver is None else source.driver.mouths(source.motion, retargeted)
    )
