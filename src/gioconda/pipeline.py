"""Portrait x motion -> engine -> picture -> marks -> file: the only place that joins the stages."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import overload

import numpy as np

import gioconda
from gioconda import composite, media, provenance
from gioconda.ahead import run_ahead
from gioconda.engines import Engine, get_engine
from gioconda.errors import GiocondaError
from gioconda.motion.edit import still_motion
from gioconda.motion.retarget import Retargeter, Style, picture_points
from gioconda.provenance import Claim, Ingredient, Verdict, Watermarker, job_payload
from gioconda.provenance.certificate import signing_identity
from gioconda.sources import (
    MotionSource,
    PathLike,
    PortraitSource,
    Progress,
    load_motion,
    load_portraits,
    track_video,
    tracked_portraits,
)
from gioconda.types import Frame, Image, Motion, Mouth, Patch, Portrait, Shot

MOTIONS = (".npz", ".csv")
REST_SECONDS = 4.0  # of the driver that are looked through for its face at rest
VERIFY_SECONDS = 4.0  # of video that are looked through for the watermark


@dataclass(frozen=True)
class Result:
    """What was written: path, frames, wall seconds, frames bridged for want of a face, (width, height).

    stages: seconds spent in each, of which some overlap. warnings: what people should know of.
    """

    path: Path
    frames: int
    seconds: float
    bridged: int
    size: tuple[int, int]
    stages: dict[str, float]
    warnings: tuple[str, ...] = ()


@dataclass
class _Clock:
    """Seconds by stage."""

    start: float = field(default_factory=time.perf_counter)
    stages: dict[str, float] = field(default_factory=dict)

    def add(self, stage: str, since: float) -> float:
        now = time.perf_counter()
        self.stages[stage] = self.stages.get(stage, 0.0) + now - since
        return now


@dataclass(frozen=True)
class _Job:
    """All that rendering needs, loaded and checked."""

    who: PortraitSource
    what: MotionSource
    engine: Engine
    style: Style
    crop: composite.Box | None  # cut out after rendering, where the pose is the driver's own
    size: tuple[int, int]
    label: bool
    payload: int
    clock: _Clock


def _silent(stage: str, done: int, total: int) -> None:
    pass


@overload
def animate(
    portrait: PathLike | Portrait | Image,
    motion: PathLike | Motion,
    out: None = None,
    *,
    engine: str = ...,
    absolute: bool = ...,
    face: int | str = ...,
    region: str = ...,
    strength: float = ...,
    crop: bool = ...,
    size: int | None = ...,
    audio: bool = ...,
    label: bool = ...,
    rights: str | None = ...,
    key: PathLike | None = ...,
    certificate: PathLike | None = ...,
    progress: Progress | None = ...,
) -> Iterator[Frame]: ...
@overload
def animate(
    portrait: PathLike | Portrait | Image,
    motion: PathLike | Motion,
    out: PathLike,
    *,
    engine: str = ...,
    absolute: bool = ...,
    face: int | str = ...,
    region: str = ...,
    strength: float = ...,
    crop: bool = ...,
    size: int | None = ...,
    audio: bool = ...,
    label: bool = ...,
    rights: str | None = ...,
    key: PathLike | None = ...,
    certificate: PathLike | None = ...,
    progress: Progress | None = ...,
) -> Result: ...
def animate(
    portrait: PathLike | Portrait | Image,
    motion: PathLike | Motion,
    out: PathLike | None = None,
    *,
    engine: str = "warp",
    absolute: bool = False,
    face: int | str = 0,
    region: str = "all",
    strength: float = 1.0,
    crop: bool = False,
    size: int | None = None,
    audio: bool = True,
    label: bool = False,
    rights: str | None = None,
    key: PathLike | None = None,
    certificate: PathLike | None = None,
    progress: Progress | None = None,
) -> Iterator[Frame] | Result:
    """Move a portrait as a motion does: frames as they are made, or a signed file and what it holds.

    portrait: a picture's or video's path, a `Portrait`, or (H, W, 3) uint8 RGB. motion: a video, a `.npz`, a
    Live Link Face `.csv`, the name of a template, or a `Motion`. absolute: the driver's own pose and
    expression instead of the change since its most neutral frame. face: 0 is the largest, "all" moves every
    one. region: all, pose, expression, lips or eyes. strength: 0 to 2. crop: the face's square of `size`
    pixels, instead of the whole picture with `size` as its longest side. Frames always carry the watermark.
    Raises InputError, NoFaceError, LimitError or OutputError.
    """
    report = progress or _silent
    if out is not None:
        out = _ready_to_write(out, media.VIDEO_SUFFIXES, key, certificate)
    clock = _Clock()
    chosen = get_engine(engine)
    style = Style(absolute, region, strength)
    late_crop = crop and absolute
    who, what = _load_both(
        partial(
            load_portraits,
            portrait,
            chosen=face,
            crop=crop and not late_crop,
            size=None if late_crop else size,
        ),
        partial(load_motion, motion),
        report,
        clock,
    )
    box = composite.crop_box(who.portraits[0].face.landmarks, who.image.shape) if late_crop else None
    settings = f"{style} {label} {who.image.shape} {box}"
    job = _Job(
        who=who,
        what=what,
        engine=chosen,
        style=style,
        crop=box,
        size=(size or 512,) * 2 if box else (who.image.shape[1], who.image.shape[0]),
        label=label,
        payload=job_payload(engine, who.ingredient.sha256, what.ingredient.sha256, settings),
        clock=clock,
    )
    if out is None:
        return _frames(job)
    sound = what.driver if audio and what.driver and media.probe(what.driver).has_audio else None
    return _write(job, out, sound, rights, key, certificate, report)


def _load_both(
    portraits: Callable[[], PortraitSource],
    motion: Callable[[Progress], MotionSource],
    report: Progress,
    clock: _Clock,
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


def _ready_to_write(
    out: PathLike, suffixes: tuple[str, ...], key: PathLike | None, certificate: PathLike | None
) -> Path:
    """The output's path if it can be written and signed: better told now than at the end."""
    target = media.check_output(out, suffixes)
    signing_identity(_path(key), _path(certificate))
    return target


def _frames(job: _Job) -> Generator[Frame, None, None]:
    """Finished frames: rendered, laid into the picture, labelled, watermarked."""
    mark = Watermarker(job.size, job.payload)
    with closing(_rendered(job)) as moments:
        for picture, patches in moments:
            since = time.perf_counter()
            image = composite.compose(picture, patches)
            if job.crop is not None:
                image = composite.cut(image, job.crop, job.size[0])
            if job.label:
                image = composite.put_label(image, job.who.portraits)
            since = job.clock.add("composite", since)
            image = mark.apply(image)
            job.clock.add("watermark", since)
            yield Frame(image, patches[0].time)


def _rendered(job: _Job) -> Generator[tuple[Image, list[Patch]], None, None]:
    """The picture of the moment and the patches that move in it."""
    if job.who.video is not None:
        yield from _rendered_video(job, job.who.video)
        return
    since = time.perf_counter()
    cast = [
        (Retargeter(job.what.motion, one, job.style), job.engine.prepare(one)) for one in job.who.portraits
    ]
    since = job.clock.add("prepare", since)
    with closing(_mouths(job.what, cast[0][0])) as mouths:
        for i, mouth in zip(range(len(job.what.motion)), mouths, strict=False):
            since = job.clock.add("decode", since)
            patches = [_one(job.engine, who, laid.shot(i, mouth)) for laid, who in cast]
            job.clock.add("render", since)
            yield job.who.image, patches
            since = time.perf_counter()


def _rendered_video(job: _Job, video: Path) -> Generator[tuple[Image, list[Patch]], None, None]:
    """As `_rendered`, for a portrait that moves by itself: each of its frames is retargeted."""
    laid = Retargeter(job.what.motion, job.who.portraits[0], job.style)
    with closing(_mouths(job.what, laid)) as mouths, closing(tracked_portraits(video, job.who)) as portraits:
        for i, mouth, portrait in zip(range(len(job.what.motion)), mouths, portraits, strict=False):
            since = time.perf_counter()
            shot = laid.onto(portrait).shot(i, mouth)
            patch = _one(job.engine, job.engine.prepare(portrait), shot)
            job.clock.add("render", since)
            yield portrait.image, [patch]


def _one(engine: Engine, who: object, shot: Shot) -> Patch:
    return next(iter(engine.render(who, (shot,))))


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


def _write(
    job: _Job,
    out: Path,
    sound: Path | None,
    rights: str | None,
    key: PathLike | None,
    certificate: PathLike | None,
    report: Progress,
) -> Result:
    """Render into a file beside `out`, sign it, and put it in place."""
    motion, clock = job.what.motion, job.clock
    writer = media.open_writer(out, job.size, times=motion.times.tolist(), audio_from=sound)
    with writer, closing(_frames(job)) as frames:
        for done, frame in enumerate(frames, 1):
            since = time.perf_counter()
            writer.write(frame.image, frame.time)
            clock.add("encode", since)
            report("render", done, len(motion))
        since = time.perf_counter()
    since = clock.add("encode", since)
    claim = _claim(job.engine.name, (job.who.ingredient, job.what.ingredient), job.payload, rights)
    _publish(writer.temp, out, claim, key, certificate)
    clock.add("sign", since)
    return Result(
        path=out,
        frames=writer.frames,
        seconds=time.perf_counter() - clock.start,
        bridged=motion.bridged,
        size=writer.size,
        stages=clock.stages,
        warnings=tuple(writer.warnings),
    )


def _claim(engine: str, inputs: tuple[Ingredient, ...], payload: int, rights: str | None) -> Claim:
    return Claim(engine=engine, version=gioconda.__version__, inputs=inputs, payload=payload, rights=rights)


def _publish(temp: Path, out: Path, claim: Claim, key: PathLike | None, certificate: PathLike | None) -> None:
    """Sign the finished file and move it, and its sidecar if it needs one, into place."""
    beside: Path | None = None
    try:
        beside = provenance.sign(temp, out.name, claim, key=_path(key), certificate=_path(certificate))
        if beside is not None:
            media.publish(beside, provenance.sidecar_path(out))
        media.publish(temp, out)
    finally:
        for left in (temp, beside):
            if left is not None:
                left.unlink(missing_ok=True)


def _path(value: PathLike | None) -> Path | None:
    return None if value is None else Path(value)


@overload
def edit(
    portrait: PathLike | Portrait | Image,
    out: None = None,
    *,
    yaw: float = ...,
    pitch: float = ...,
    roll: float = ...,
    gaze_x: float = ...,
    gaze_y: float = ...,
    coefficients: dict[str, float] | None = ...,
    face: int = ...,
    crop: bool = ...,
    size: int | None = ...,
    label: bool = ...,
    rights: str | None = ...,
    key: PathLike | None = ...,
    certificate: PathLike | None = ...,
) -> Image: ...
@overload
def edit(
    portrait: PathLike | Portrait | Image,
    out: PathLike,
    *,
    yaw: float = ...,
    pitch: float = ...,
    roll: float = ...,
    gaze_x: float = ...,
    gaze_y: float = ...,
    coefficients: dict[str, float] | None = ...,
    face: int = ...,
    crop: bool = ...,
    size: int | None = ...,
    label: bool = ...,
    rights: str | None = ...,
    key: PathLike | None = ...,
    certificate: PathLike | None = ...,
) -> Result: ...
def edit(
    portrait: PathLike | Portrait | Image,
    out: PathLike | None = None,
    *,
    yaw: float = 0.0,
    pitch: float = 0.0,
    roll: float = 0.0,
    gaze_x: float = 0.0,
    gaze_y: float = 0.0,
    coefficients: dict[str, float] | None = None,
    face: int = 0,
    crop: bool = False,
    size: int | None = None,
    label: bool = False,
    rights: str | None = None,
    key: PathLike | None = None,
    certificate: PathLike | None = None,
) -> Image | Result:
    """Turn the head (degrees), move the eyes (-1..1) and set ARKit coefficients (0..1) of a still picture.

    Returns (H, W, 3) uint8 RGB, or writes a signed .png, .jpg or .webp. Always carries the watermark.
    """
    if out is not None:
        out = _ready_to_write(out, media.PICTURE_SUFFIXES, key, certificate)
    motion = still_motion(yaw, pitch, roll, gaze_x, gaze_y, coefficients or {})
    clock = _Clock()
    who = load_portraits(portrait, chosen=face, crop=crop, size=size)
    digest = hashlib.sha256(repr((yaw, pitch, roll, gaze_x, gaze_y, coefficients)).encode()).hexdigest()
    what = MotionSource(motion, None, Ingredient("sliders", digest, "motion", "application/x-sliders"))
    image_size = (who.image.shape[1], who.image.shape[0])
    payload = job_payload("warp", who.ingredient.sha256, digest, str(image_size))
    job = _Job(who, what, get_engine("warp"), Style(), None, image_size, label, payload, clock)
    with closing(_frames(job)) as frames:
        image = next(frames).image
    if out is None:
        return image
    temp = media.temp_beside(out)
    claim = _claim("warp", (who.ingredient, what.ingredient), payload, rights)
    try:
        media.write_picture(temp, image, final=out)
        _publish(temp, out, claim, key, certificate)
    finally:
        temp.unlink(missing_ok=True)
    return Result(out, 1, time.perf_counter() - clock.start, 0, image_size, clock.stages)


def track(video: PathLike, out: PathLike | None = None, *, progress: Progress | None = None) -> Motion:
    """The motion of a video's largest face; also written as `.npz`, or `.csv` with Live Link's columns."""
    from gioconda.motion import livelink, store

    if out is not None:
        out = media.check_output(out, MOTIONS)
    motion = track_video(media.check_input(video), progress or _silent)
    if out is not None:
        temp = media.temp_beside(out)
        try:
            if out.suffix.lower() == ".npz":
                store.save(motion, temp)
            else:
                livelink.write_livelink(temp, motion)
            media.publish(temp, out)
        except OSError as error:
            if isinstance(error, GiocondaError):
                raise
            raise media.output_error(error, out) from None
        finally:
            temp.unlink(missing_ok=True)
    return motion


def verify(path: PathLike) -> Verdict:
    """Whether, and with what, a file was made here; never raises for a bad file."""
    return provenance.verify(Path(path), _pictures)


def _pictures(path: Path) -> Iterator[Image]:
    """A picture, or the first seconds of a video."""
    if not media.is_video(path):
        yield media.read_picture(path)[0]
        return
    with media.read_frames(path) as frames:
        yield from _first_seconds(frames)


def _first_seconds(frames: Iterable[Frame]) -> Iterator[Image]:
    for frame in frames:
        if frame.time > VERIFY_SECONDS:
            return
        yield np.asarray(frame.image)
