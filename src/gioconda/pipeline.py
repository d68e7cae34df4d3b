"""What users call: animate, edit, track, verify. A job's frames become a signed file."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import overload

import numpy as np

import gioconda
from gioconda import media, provenance
from gioconda.engines import get_engine
from gioconda.errors import GiocondaError, InputError
from gioconda.face import networks as tracking_networks
from gioconda.jobs import Clock, Job, finished_frames, plan
from gioconda.motion.edit import still_motion
from gioconda.motion.retarget import Style
from gioconda.provenance import Claim, Ingredient, Verdict, job_payload
from gioconda.provenance.certificate import signing_identity
from gioconda.revoice import plan_revoicing, revoiced_frames
from gioconda.sources import (
    Loader,
    MotionSource,
    PathLike,
    Progress,
    Watcher,
    load_portraits,
    mime_of,
    track_video,
)
from gioconda.threads import hold_blas
from gioconda.types import Frame, Image, Motion, Portrait

MOTIONS = (".npz", ".csv")
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


def _silent(stage: str, done: int, total: int) -> None:
    pass


@overload
def animate(
    portrait: PathLike | Portrait | Image,
    motion: PathLike | Motion | Loader,
    out: None = None,
    *,
    engine: str = ...,
    refine: bool | PathLike = ...,
    weights: PathLike | None = ...,
    photos: Sequence[PathLike | Image] = ...,
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
    motion: PathLike | Motion | Loader,
    out: PathLike,
    *,
    engine: str = ...,
    refine: bool | PathLike = ...,
    weights: PathLike | None = ...,
    photos: Sequence[PathLike | Image] = ...,
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
    motion: PathLike | Motion | Loader,
    out: PathLike | None = None,
    *,
    engine: str = "warp",
    refine: bool | PathLike = True,
    weights: PathLike | None = None,
    photos: Sequence[PathLike | Image] = (),
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

    portrait: a picture's or video's path, an identity file of `gioconda adapt`, a `Portrait`, or (H, W, 3) uint8 RGB.
    motion: a video, a sound to speak, a `.npz`, a Live Link Face `.csv`, the name of a template, or a `Motion`.
    refine: let a network repair mouth and eyes, the packaged one or another in an .onnx file.
    weights: a fewshot.safetensors of your own, for engine `fewshot`.
    photos: further pictures of the same person, which show what the portrait hides. absolute: the driver's own pose and
    expression instead of the change since its most neutral frame. face: 0 is the largest, "all" moves every
    one. region: all, pose, expression, lips or eyes. strength: 0 to 2. crop: the face's square of `size`
    pixels, instead of the whole picture with `size` as its longest side. Frames always carry the watermark.
    progress: told (stage, done, total) now and again; whatever it raises ends the work, and no file is left.
    Raises InputError, NoFaceError, LimitError or OutputError.
    """
    report = progress or _silent
    if photos and engine == "warp" and refine is False:
        raise InputError("further photos are for the refiner to look at; leave them out, or let it refine")
    if out is not None:
        out = _ready_to_write(out, media.VIDEO_SUFFIXES, key, certificate)
    job = plan(
        portrait,
        motion,
        get_engine(
            engine, refine=_network(refine), weights=None if weights is None else media.check_input(weights)
        ),
        Style(absolute, region, strength),
        face,
        crop,
        size,
        label,
        report,
        photos=photos,
    )
    if out is None:
        return finished_frames(job)
    return _write(job, out, _sound(job.what) if audio else None, rights, key, certificate, report)


def _sound(what: MotionSource) -> Path | None:
    """The file whose sound is kept: the voice's, or a driver's that has one."""
    if what.driver is None:
        return what.sound
    return what.driver if media.probe(what.driver).has_audio else None


def _network(refine: bool | PathLike) -> bool | Path:
    return refine if isinstance(refine, bool) else media.check_input(refine)


def _ready_to_write(
    out: PathLike, suffixes: tuple[str, ...], key: PathLike | None, certificate: PathLike | None
) -> Path:
    """The output's path if it can be written and signed: better told now than at the end."""
    target = media.check_output(out, suffixes)
    signing_identity(_path(key), _path(certificate))
    return target


def _write(
    job: Job,
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
    _encode(writer, finished_frames(job), len(motion), clock, report)
    since = time.perf_counter()
    claim = _claim(
        job.engine.name,
        _inputs(job),
        job.payload,
        rights,
        (*job.engine.networks, *job.what.networks),
        # a film that moved before is changed, not made
        action="created" if job.who.video is None else "edited",
    )
    _publish(writer.temp, out, claim, key, certificate)
    clock.add("sign", since)
    return _result(writer, out, clock, motion.bridged, (*job.what.warnings, *_remarks(job)))


def _remarks(job: Job) -> list[str]:
    """What people should know of a job whose file is fine."""
    if job.engine.name == "fewshot" and any(one.fitted is None for one in job.who.portraits):
        return [
            "the few-shot networks do not know this person yet: fit them with gioconda adapt for a likeness"
        ]
    return []


def _encode(
    writer: media.VideoWriter,
    finished: Generator[Frame, None, None],
    count: int,
    clock: Clock,
    report: Progress,
) -> None:
    """Write all frames into the writer's hidden file."""
    # small matrix products gain nothing from threads, and stages already share the cores
    hold_blas()
    with writer, closing(finished) as frames:
        for done, frame in enumerate(frames, 1):
            since = time.perf_counter()
            writer.write(frame.image, frame.time)
            clock.add("encode", since)
            if isinstance(report, Watcher):
                report.look(frame.image)
            report("render", done, count)
        since = time.perf_counter()
    clock.add("encode", since)


def _result(
    writer: media.VideoWriter, out: Path, clock: Clock, bridged: int, warnings: tuple[str, ...] = ()
) -> Result:
    return Result(
        path=out,
        frames=writer.frames,
        seconds=time.perf_counter() - clock.start,
        bridged=bridged,
        size=writer.size,
        stages=clock.stages,
        warnings=(*warnings, *writer.warnings),
    )


def revoice(
    video: PathLike,
    motion: PathLike | Motion | Loader,
    out: PathLike,
    *,
    bank: PathLike | None = None,
    sound: PathLike | None = None,
    strength: float = 1.0,
    retime: bool = True,
    label: bool = False,
    rights: str | None = None,
    key: PathLike | None = None,
    certificate: PathLike | None = None,
    progress: Progress | None = None,
) -> Result:
    """Let the person of a video move the mouth as a motion does, all else of the video kept: a signed file.

    motion: as for `animate`; it lasts as long as the output. A shorter video goes to and fro. bank: mouths of the
    person, as `adapt --for speech` writes them; None takes them from the video itself, and keeps them for the next
    time. sound: the file that is heard, the motion's own voice if None. strength: 0 to 2, of the mouth's moves.
    retime: let the head rest where the mouth does. Frames always carry the watermark.
    Raises InputError, NoFaceError, WeightsError, LimitError or OutputError.
    """
    report = progress or _silent
    target = _ready_to_write(out, media.VIDEO_SUFFIXES, key, certificate)
    heard = None if sound is None else media.check_input(sound)
    job = plan_revoicing(video, motion, bank, label, report, strength=strength, retimed=retime)
    writer = media.open_writer(target, job.size, times=job.times.tolist(), audio_from=heard or job.sound)
    _encode(writer, revoiced_frames(job), len(job.times), job.clock, report)
    since = time.perf_counter()
    inputs = job.inputs if heard is None else (*job.inputs, _heard(heard))
    claim = _claim("lipsync", inputs, job.payload, rights, job.networks, action="edited")
    _publish(writer.temp, target, claim, key, certificate)
    job.clock.add("sign", since)
    return _result(writer, target, job.clock, job.bridged, job.warnings)


def _heard(sound: Path) -> Ingredient:
    return Ingredient(sound.name, media.sha256_file(sound), "audio", mime_of(sound))


def _inputs(job: Job) -> tuple[Ingredient, ...]:
    return (job.who.ingredient, *job.who.photos, job.what.ingredient)


def _claim(
    engine: str,
    inputs: tuple[Ingredient, ...],
    payload: int,
    rights: str | None,
    networks: tuple[tuple[str, str], ...],
    *,
    action: str,
) -> Claim:
    """What the manifest says; networks: name and hash of those that ran, beside the face tracker's."""
    return Claim(
        engine=engine,
        version=gioconda.__version__,
        inputs=inputs,
        payload=payload,
        rights=rights,
        action=action,
        weights=(*networks, *tracking_networks()),
    )


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
    refine: bool | PathLike = ...,
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
    refine: bool | PathLike = ...,
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
    refine: bool | PathLike = True,
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
    clock = Clock()
    who = load_portraits(portrait, chosen=face, crop=crop, size=size)
    digest = hashlib.sha256(repr((yaw, pitch, roll, gaze_x, gaze_y, coefficients)).encode()).hexdigest()
    what = MotionSource(motion, None, Ingredient("sliders", digest, "motion", "application/x-sliders"))
    image_size = (who.image.shape[1], who.image.shape[0])
    payload = job_payload("warp", who.ingredient.sha256, digest, str(image_size))
    job = Job(
        who,
        what,
        get_engine("warp", refine=_network(refine)),
        Style(),
        None,
        image_size,
        label,
        payload,
        clock,
    )
    with closing(finished_frames(job)) as frames:
        image = next(frames).image
    if out is None:
        return image
    temp = media.temp_beside(out)
    claim = _claim(
        "warp", (who.ingredient, what.ingredient), payload, rights, job.engine.networks, action="edited"
    )
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
