"""What users call: animate, revoice, edit, track, verify."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, overload

import numpy as np

from gioconda import media, provenance
from gioconda.engines import get_engine
from gioconda.errors import GiocondaError, InputError
from gioconda.jobs import Job, finished_frames, plan, plan_still
from gioconda.motion.edit import still_motion
from gioconda.motion.retarget import Style
from gioconda.provenance import Ingredient, Verdict
from gioconda.publish import Making, Output, Result
from gioconda.revoice import plan_revoicing, revoiced_frames
from gioconda.sources import Loader, MotionSource, PathLike, Progress, mime_of, track_video
from gioconda.types import Frame, Image, Motion, Portrait

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from gioconda.options import Animated, Edited

__all__ = ["Result", "animate", "edit", "revoice", "track", "verify"]

MOTIONS = (".npz", ".csv")
VERIFY_SECONDS = 4.0  # of video that are looked through for the watermark


def _silent(stage: str, done: int, total: int) -> None:
    pass


@overload
def animate(
    portrait: PathLike | Portrait | Image,
    motion: PathLike | Motion | Loader,
    out: None = None,
    **options: Unpack[Animated],
) -> Iterator[Frame]: ...
@overload
def animate(
    portrait: PathLike | Portrait | Image,
    motion: PathLike | Motion | Loader,
    out: PathLike,
    **options: Unpack[Animated],
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
    output = None if out is None else Output.checked(out, media.VIDEO_SUFFIXES, rights, key, certificate)
    job = plan(
        portrait,
        motion,
        get_engine(engine, refine=_network(refine), weights=_file(weights)),
        Style(absolute, region, strength),
        face,
        crop,
        size,
        label,
        report,
        photos=photos,
    )
    if output is None:
        return finished_frames(job)
    return _filmed(job, output, _sound(job.what) if audio else None, report)


def _sound(what: MotionSource) -> Path | None:
    """The file whose sound is kept: the voice's, or a driver's that has one."""
    if what.driver is None:
        return what.sound
    return what.driver if media.probe(what.driver).has_audio else None


def _file(path: PathLike | None) -> Path | None:
    return None if path is None else media.check_input(path)


def _network(refine: bool | PathLike) -> bool | Path:
    return refine if isinstance(refine, bool) else media.check_input(refine)


def _filmed(job: Job, output: Output, sound: Path | None, report: Progress) -> Result:
    # a film that moved before is changed, not made
    making = _making(job, "created" if job.who.video is None else "edited")
    return output.film(
        finished_frames(job),
        making,
        size=job.size,
        times=job.what.motion.times.tolist(),
        sound=sound,
        clock=job.clock,
        report=report,
    )


def _making(job: Job, action: str) -> Making:
    return Making(
        engine=job.engine.name,
        inputs=(job.who.ingredient, *job.who.photos, job.what.ingredient),
        payload=job.payload,
        action=action,
        networks=(*job.engine.networks, *job.what.networks),
        bridged=job.what.motion.bridged,
        warnings=(*job.what.warnings, *_remarks(job)),
    )


def _remarks(job: Job) -> list[str]:
    """What people should know of a job whose file is fine."""
    if job.engine.name == "fewshot" and any(one.fitted is None for one in job.who.portraits):
        return [
            "the few-shot networks do not know this person yet: fit them with gioconda adapt for a likeness"
        ]
    return []


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
    output = Output.checked(out, media.VIDEO_SUFFIXES, rights, key, certificate)
    heard = _file(sound)
    job = plan_revoicing(video, motion, bank, label, report, strength=strength, retimed=retime)
    inputs = job.inputs if heard is None else (*job.inputs, _heard(heard))
    return output.film(
        revoiced_frames(job),
        Making("lipsync", inputs, job.payload, "edited", job.networks, job.bridged, job.warnings),
        size=job.size,
        times=job.times.tolist(),
        sound=heard or job.sound,
        clock=job.clock,
        report=report,
    )


def _heard(sound: Path) -> Ingredient:
    return Ingredient(sound.name, media.sha256_file(sound), "audio", mime_of(sound))


@overload
def edit(portrait: PathLike | Portrait | Image, out: None = None, **options: Unpack[Edited]) -> Image: ...
@overload
def edit(portrait: PathLike | Portrait | Image, out: PathLike, **options: Unpack[Edited]) -> Result: ...
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
    output = None if out is None else Output.checked(out, media.PICTURE_SUFFIXES, rights, key, certificate)
    motion = still_motion(yaw, pitch, roll, gaze_x, gaze_y, coefficients or {})
    told = repr((yaw, pitch, roll, gaze_x, gaze_y, coefficients))
    engine = get_engine("warp", refine=_network(refine))
    job = plan_still(portrait, motion, told, engine, face=face, crop=crop, size=size, label=label)
    with closing(finished_frames(job)) as frames:
        image = next(frames).image
    if output is None:
        return image
    return output.picture(image, _making(job, "edited"), job.clock)


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
