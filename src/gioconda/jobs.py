"""Portrait x motion -> engine -> composite -> watermark: a job, loaded and rendered into finished frames."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path

from gioconda import composite, media
from gioconda.ahead import run_ahead, shared
from gioconda.engines import Engine
from gioconda.errors import GiocondaError
from gioconda.motion.retarget import Retargeter, Style, picture_points
from gioconda.provenance import Ingredient, Watermarker, job_payload
from gioconda.sources import (
    CROP_SIDE,
    Loader,
    MotionSource,
    PathLike,
    PortraitSource,
    Progress,
    load_motion,
    load_portraits,
    tracked_portraits,
)
from gioconda.threads import hold_blas
from gioconda.types import Face, FloatArray, Frame, Image, Motion, Mouth, Patch, Portrait, Shot

REST_SECONDS = 4.0  # of the driver that are looked through for its face at rest


@dataclass
class Clock:
    """Seconds by stage."""

    start: float = field(default_factory=time.perf_counter)
    stages: dict[str, float] = field(default_factory=dict)

    def add(self, stage: str, since: float) -> float:
        """Book the time since `since` on a stage, and tell the time now."""
        now = time.perf_counter()
        self.stages[stage] = self.stages.get(stage, 0.0) + now - since
        return now


@dataclass(frozen=True)
class Job:
    """All that rendering needs, loaded and checked."""

    who: PortraitSource
    what: MotionSource
    engine: Engine
    style: Style
    crop: composite.Box | None  # cut out after rendering, where the pose is the driver's own
    size: tuple[int, int]
    label: bool
    payload: int
    clock: Clock


def plan(
    portrait: PathLike | Portrait | Image,
    motion: PathLike | Motion | Loader,
    engine: Engine,
    style: Style,
    face: int | str,
    crop: bool,
    size: int | None,
    label: bool,
    report: Progress,
    *,
    photos: Sequence[PathLike | Image] = (),
) -> Job:
    """Everything loaded. With the driver's own pose, the face is cut out after rendering: it may go anywhere."""
    hold_blas()
    clock = Clock()
    late_crop = crop and style.absolute
    who, what = _load_both(
        partial(
            load_portraits,
            portrait,
            chosen=face,
            crop=crop and not late_crop,
            size=None if late_crop else size,
            photos=photos,
        ),
        partial(load_motion, motion),
        report,
        clock,
    )
    box = composite.crop_box(who.portraits[0].face.landmarks, who.image.shape) if late_crop else None
    settings = f"{style} {label} {who.image.shape} {box} {[one.sha256 for one in who.photos]}"
    return Job(
        who=who,
        what=what,
        engine=engine,
        style=style,
        crop=box,
        size=(size or CROP_SIDE,) * 2 if box else (who.image.shape[1], who.image.shape[0]),
        label=label,
        payload=job_payload(engine.name, who.ingredient.sha256, what.ingredient.sha256, settings),
        clock=clock,
    )


def plan_still(
    portrait: PathLike | Portrait | Image,
    motion: Motion,
    told: str,
    engine: Engine,
    *,
    face: int,
    crop: bool,
    size: int | None,
    label: bool,
) -> Job:
    """A picture and one moment of sliders. told: their values, of which the manifest has the hash."""
    clock = Clock()
    who = load_portraits(portrait, chosen=face, crop=crop, size=size)
    digest = hashlib.sha256(told.encode()).hexdigest()
    ingredient = Ingredient("sliders", digest, "motion", "application/x-sliders")
    image_size = (who.image.shape[1], who.image.shape[0])
    payload = job_payload(engine.name, who.ingredient.sha256, digest, str(image_size))
    what = MotionSource(motion, None, ingredient)
    return Job(who, what, engine, Style(), None, image_size, label, payload, clock)


def _load_both(
    portraits: Callable[[], PortraitSource],
    motion: Callable[[Progress], MotionSource],
    report: Progress,
    clock: Clock,
) -> tuple[PortraitSource, MotionSource]:
    """Portrait and motion, side by side; a portrait that cannot be used is told before the tracking ends."""
    with ThreadPoolExecutor(1, "gioconda-portrait") as pool:
        who = pool.submit(portraits)

        def report_unless_failed(stage: str, done: int, total: int) -> None:
            if who.done():
                who.result()
            report(stage, done, total)

        try:
            what = motion(report_unless_failed)
        except GiocondaError:
            who.result()  # where both are bad, the portrait's error comes first, as it does on the command line
            raise
        since = clock.add("track", clock.start)
        found = who.result()
    clock.add("portrait", since)
    return found, what


def finished_frames(job: Job) -> Generator[Frame, None, None]:
    """Finished frames: rendered, laid into the picture, labelled, watermarked."""
    mark, sign = Watermarker(job.size, job.payload), composite.Sign()
    # frames are rendered in a thread of their own, while those before are composed and encoded
    with closing(run_ahead(_rendered(job), depth=2)) as moments:
        for picture, patches, faces in moments:
            since = time.perf_counter()
            image = composite.compose(picture, patches)
            if job.crop is not None:
                image = composite.cut(image, job.crop, job.size[0])
            if job.label:
                image = sign.put(image, [_as_cropped(face, job) for face in faces])
            since = job.clock.add("composite", since)
            image = mark.apply(image)
            job.clock.add("watermark", since)
            yield Frame(image, patches[0].time)


def _as_cropped(face: Face, job: Job) -> FloatArray:
    """Where a face's landmarks lie once the job's crop is cut out."""
    if job.crop is None:
        return face.landmarks
    left, top, right, _ = job.crop
    scale = job.size[0] / (right - left)
    return composite.move_face(face, (left, top), (scale, scale)).landmarks


def _rendered(job: Job) -> Generator[tuple[Image, list[Patch], list[Face]], None, None]:
    """The picture of the moment, the patches that move in it, and where its faces are."""
    if job.who.video is not None:
        yield from _rendered_video(job, job.who.video)
        return
    since = time.perf_counter()
    laid = [Retargeter(job.what.motion, one, job.style, shut=job.what.speaks) for one in job.who.portraits]
    cast = [job.engine.prepare(one) for one in job.who.portraits]
    faces = [one.face for one in job.who.portraits]
    since = job.clock.add("prepare", since)
    with ExitStack() as stack:
        mouths = stack.enter_context(closing(_mouths(job.what, laid[0])))
        streams = [
            stack.enter_context(closing(job.engine.render(who, _shots(way, seen), ahead=True)))
            for who, way, seen in zip(cast, laid, shared(mouths, len(cast)), strict=True)
        ]
        for patches in zip(*streams, strict=True):
            job.clock.add("render", since)
            yield job.who.image, list(patches), faces
            since = time.perf_counter()


def _shots(laid: Retargeter, mouths: Iterable[Mouth | None]) -> Iterator[Shot]:
    """A portrait's shots, one for each frame of the motion."""
    for i, mouth in zip(range(len(laid)), mouths, strict=False):
        yield laid.shot(i, mouth)


def _rendered_video(job: Job, video: Path) -> Generator[tuple[Image, list[Patch], list[Face]], None, None]:
    """As `_rendered`, for a portrait that moves by itself: each of its frames is retargeted."""
    laid = Retargeter(job.what.motion, job.who.portraits[0], job.style, shut=job.what.speaks)
    with closing(_mouths(job.what, laid)) as mouths, closing(tracked_portraits(video, job.who)) as portraits:
        for i, mouth, portrait in zip(range(len(job.what.motion)), mouths, portraits, strict=False):
            since = time.perf_counter()
            shot = laid.onto(portrait).shot(i, mouth)
            patch = next(iter(job.engine.render(job.engine.prepare(portrait), (shot,))))
            job.clock.add("render", since)
            yield portrait.image, [patch], [portrait.face]


def _mouths(what: MotionSource, laid: Retargeter) -> Generator[Mouth | None, None, None]:
    """The driver's mouth frame by frame, None where there is no driver to look at; never ends.

    A second reading of a damaged driver may give fewer frames than the first: the motion's count holds.
    """
    if what.driver is not None:
        rest = _at_rest(what.driver, what.motion, laid.rest_frame(REST_SECONDS))
        with closing(run_ahead(media.read_frames(what.driver))) as frames:
            for i, frame in enumerate(frames):
                seen = what.motion.confidence[min(i, len(what.motion) - 1)] > 0
                yield Mouth(frame.image, picture_points(what.motion, i), rest) if seen else None
    while True:
        yield None


def _at_rest(driver: Path, motion: Motion, index: int) -> Mouth | None:
    """The driver's face in frame `index`; None if a second reading does not get there."""
    with closing(run_ahead(media.read_frames(driver))) as frames:
        frame = next(islice(frames, index, None), None)
    return None if frame is None else Mouth(frame.image, picture_points(motion, index))
