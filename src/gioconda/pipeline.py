"""The public functions, such as `animate` and `verify`, and `run`, which carries out any request."""

from __future__ import annotations

import warnings
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from gioconda import media, provenance
from gioconda.engines import Engine, get_engine
from gioconda.errors import GiocondaError, InputError
from gioconda.films import ExportRenderer, plan_export
from gioconda.inputs.film import load_film, marked_pictures
from gioconda.inputs.motion import track_video
from gioconda.inputs.sources import Loader
from gioconda.inputs.speech import speech_loader
from gioconda.inputs.still import load_edit
from gioconda.lipsync.plan import plan_lipsync
from gioconda.lipsync.renderer import LipSyncRenderer
from gioconda.motion.retarget import Style
from gioconda.output import Output, Result, marked_frames
from gioconda.portraits import PortraitRenderer, plan, plan_edit
from gioconda.provenance import Ingredient, Verdict
from gioconda.registry import LIPSYNC, engine_entry, motions
from gioconda.render import Renderer
from gioconda.requests import (
    Adapt,
    Adapted,
    Animate,
    Edit,
    Export,
    Request,
    Speak,
    Verify,
    check_engine,
    check_inputs_stay,
    option_of,
    part_of,
)
from gioconda.requests.functions import takes
from gioconda.requests.values import TRANSPARENT
from gioconda.runtime.devices import SOFTWARE_ENCODER
from gioconda.types import DrivingPart, Frame, Image, Manner, Motion, PathLike, Portrait, Progress

__all__ = [
    "Result",
    "adapt",
    "animate",
    "edit",
    "export",
    "frames",
    "frames_of",
    "revoice",
    "run",
    "speak",
    "track",
    "verify",
]

# The engine that suits a still picture.
WARP = "warp"


def _silent(stage: str, done: int, total: int) -> None:
    """Ignore progress."""


@takes(Animate)
def animate(request: Animate) -> Result:
    """Animate a portrait with a motion, and write a signed video.

    The portrait is the path of a picture, a video or an identity file of `adapt`, a `Portrait`, or a picture
    (H, W, 3) uint8 RGB. The motion is the path of a video, a picture, a sound, a `.npz` or a Live Link Face `.csv`, the
    name of a template, or a `Motion`. `progress` is called repeatedly with (stage, done, total); an exception that it
    raises ends the work and leaves no file.

    Raises:
        InputError: A file, or a combination of options, cannot be used.
        NoFaceError: The portrait or the driver shows no face.
        LimitError: An input exceeds a limit.
        WeightsError: A network is missing or damaged.
        OutputError: The video cannot be written.
    """
    return _run_or_iterate(request, "animate")


@takes(Speak)
def speak(request: Speak) -> Result:
    """Let a portrait, or the person in a video, speak a sound or a text, and write a signed video with the voice.

    For a video, the default engine is lipsync. It synthesises the mouth from mouths of the same video or of a `bank`,
    and keeps the rest of the video.

    Raises:
        InputError: A file, or a combination of options, cannot be used.
        NoFaceError: The portrait shows no face.
        LimitError: An input exceeds a limit.
        WeightsError: A network is missing or damaged.
        OutputError: The video cannot be written.
    """
    return _run_or_iterate(request, "speak")


@takes(Edit)
def edit(request: Edit) -> Result:
    """Turn the head, move the eyes and set ARKit coefficients in a still picture, and write a signed picture.

    Raises:
        InputError: A file, or a combination of options, cannot be used.
        NoFaceError: The portrait shows no face.
        OutputError: The picture cannot be written.
    """
    if request.out is None:
        _warn_of_frames("edit")
        return next(iter(frames_of(request))).image  # type: ignore[return-value]
    return run(request)


@takes(Export)
def export(request: Export) -> Result:
    """Write a finished film again, in another format, shape or size, and sign it again.

    Only films that Gioconda made and that have not changed since can be exported. The result keeps the film's sound,
    its watermark, its visible label and the declared right to the likeness, and its manifest names the film.

    Raises:
        InputError: The file is not an unchanged film of Gioconda.
        LimitError: The film or the size exceeds a limit.
        OutputError: The video cannot be written.
    """
    return run(request)


@takes(Animate)
def frames(request: Animate) -> Iterator[Frame]:
    """Animate a portrait and iterate over the watermarked frames; no file is written.

    Raises:
        InputError, NoFaceError, LimitError, WeightsError: As `animate` does.
    """
    return frames_of(request)


def _run_or_iterate(request: Animate | Speak, name: str) -> Result:
    """Carry out a request; without an output, which is deprecated, return the frames."""
    if request.out is None:
        _warn_of_frames(name)
        return frames_of(request)  # type: ignore[return-value]
    return run(request)


def _warn_of_frames(name: str) -> None:
    """Warn that a call without an output is deprecated."""
    # The levels between are those of the public function and its decorator, and `_run_or_iterate` except for `edit`.
    warnings.warn(
        f"{name} without an output will be an error; call gioconda.frames, or gioconda.frames_of with a request",
        DeprecationWarning,
        stacklevel=5 if name != "edit" else 4,
    )


def run(request: Request) -> Result:
    """Carry out a request and write its signed file.

    Args:
        request: An `Animate`, a `Speak`, an `Edit` or an `Export` with an output.

    Raises:
        InputError, NoFaceError, LimitError, WeightsError, OutputError: As the functions do.
    """
    if request.out is None:
        raise InputError("the request names no output; set `out` to the file to write")
    check_inputs_stay(request)
    suffixes: tuple[str, ...] = media.VIDEO_SUFFIXES if request.result == "film" else media.PICTURE_SUFFIXES
    if not isinstance(request, Export) and request.background == TRANSPARENT:
        suffixes = tuple(suffix for suffix in suffixes if suffix in media.ALPHA_SUFFIXES)
    rights = None if isinstance(request, Export) else request.rights
    encoder = SOFTWARE_ENCODER if isinstance(request, Edit) else request.encoder
    output = Output.checked(request.out, suffixes, rights, request.key, request.certificate, encoder)
    with _planned(request, with_sound=True) as renderer:
        if isinstance(renderer, ExportRenderer):
            output = replace(output, rights=renderer.film.rights)
        if isinstance(request, Edit):
            return output.picture(renderer)
        return output.film(renderer, request.progress or _silent)


def frames_of(request: Request) -> Iterator[Frame]:
    """Carry out a request and iterate over the watermarked frames, a single one for an `Edit`; no file is written.

    Raises:
        InputError: As `run`, and for a request that names an output.
        NoFaceError, LimitError, WeightsError: As `run`.
    """
    if request.out is not None:
        raise InputError("frames are not written to a file; leave the output out, or call run")
    with _planned(request, with_sound=False) as renderer:
        return marked_frames(renderer)


@contextmanager
def _planned(request: Request, *, with_sound: bool) -> Generator[Renderer, None, None]:
    """The renderer of a request, all files loaded and checked.

    Args:
        request: Any.
        with_sound: Whether a text's voice is needed as a file, which exists until the context ends.
    """
    if isinstance(request, Edit):
        yield _planned_edit(request)
    elif isinstance(request, Export):
        yield _planned_export(request)
    elif isinstance(request, Animate):
        renderer = _planned_film(request, request.motion, request.engine)
        yield renderer if request.audio else replace(renderer, sound=None)
    else:
        engine = request.engine or _engine_for(request.portrait)
        check_engine(request, engine)
        with speech_loader(
            audio=request.audio,
            text=request.text,
            voice=request.voice,
            language=request.language,
            manner=part_of(Manner, request),
            with_sound=with_sound,
        ) as motion:
            yield _planned_film(request, motion, engine)


def _engine_for(portrait: PathLike | Portrait | Image) -> str:
    """The default engine of a speaker's video or picture."""
    is_video = not isinstance(portrait, (Portrait, np.ndarray)) and media.is_video(portrait)
    return LIPSYNC if is_video else WARP


def _planned_film(
    request: Animate | Speak, motion: PathLike | Motion | Loader, engine: str
) -> PortraitRenderer | LipSyncRenderer:
    """The renderer of a video by an engine."""
    progress = request.progress or _silent
    driven = part_of(DrivingPart, request)
    if engine == LIPSYNC:
        if isinstance(request.portrait, (Portrait, np.ndarray)):
            raise InputError("the engine lipsync needs a video; give its path as portrait")
        return plan_lipsync(
            request.portrait,
            motion,
            request.bank,
            request.label,
            progress,
            strength=request.strength,
            retimed=request.retime,
            driven=driven,
        )
    return plan(
        request.portrait,
        motion,
        _opened(request, engine),
        part_of(Style, request),
        request.face,
        request.crop,
        request.size,
        request.label,
        progress,
        photos=request.photos,
        driven=driven,
        background=request.background,
    )


def _planned_edit(request: Edit) -> PortraitRenderer:
    """The renderer of an edited picture."""
    sliders = (request.yaw, request.pitch, request.roll, request.gaze_x, request.gaze_y)
    source = load_edit(
        sliders, request.coefficients, emotion=request.emotion, like=request.like, absolute=request.absolute
    )
    return plan_edit(
        request.portrait,
        source,
        repr((*sliders, request.coefficients, request.emotion, str(request.background))),
        _opened(request, WARP),
        Style(absolute=request.absolute),
        face=request.face,
        crop=request.crop,
        size=request.size,
        label=request.label,
        photos=request.photos,
        background=request.background,
    )


def _planned_export(request: Export) -> ExportRenderer:
    """The renderer of a finished film."""
    out = None if request.out is None else Path(request.out)
    return plan_export(load_film(request.film, request.progress or _silent), request.shape, request.size, out)


def _opened(request: Animate | Speak | Edit, engine: str) -> Engine:
    """Open an engine with the request's options for it; InputError if one of its files does not exist."""
    options = {name: getattr(request, name) for name in engine_entry(engine).opens_with}
    files = {
        name: media.check_input(value) for name, value in options.items() if isinstance(value, (str, Path))
    }
    return get_engine(engine, **{**options, **files})


def revoice(
    video: PathLike,
    motion: PathLike | Motion | Loader,
    out: PathLike,
    *,
    sound: PathLike | None = None,
    **options: Any,
) -> Result:
    """Deprecated: call `animate` with the engine lipsync.

    Args:
        video: Path of the video.
        motion: As for `animate`.
        out: Path of the video to write.
        sound: The file whose sound the video gets; the motion's own if None.
        options: Of `animate`.
    """
    warnings.warn(
        'revoice will be removed; call animate with engine="lipsync"', DeprecationWarning, stacklevel=2
    )
    request = Animate(video, motion, out, engine=LIPSYNC, **options)
    output = Output.checked(
        out, media.VIDEO_SUFFIXES, request.rights, request.key, request.certificate, request.encoder
    )
    renderer = _planned_film(request, motion, LIPSYNC)
    if sound is not None and isinstance(renderer, LipSyncRenderer):
        other = media.check_input(sound)
        ingredient = Ingredient(other.name, media.sha256_file(other), "audio", media.mime_of(other))
        renderer = replace(renderer, sound=media.SoundTrack(other), inputs=(*renderer.inputs, ingredient))
    return output.film(renderer, request.progress or _silent)


def track(
    video: PathLike,
    out: PathLike | None = None,
    *,
    driver_face: int = 0,
    start: float = 0.0,
    end: float | None = None,
    progress: Progress | None = None,
) -> Motion:
    """Track a face of a video.

    Args:
        video: Path of the video.
        out: A motion file to write as well: `.npz`, or `.csv` with Live Link Face's columns.
        driver_face: Which face to follow: 0 for the largest, 1 for the next, and so on.
        start: Seconds at which the part to track begins.
        end: Seconds at which it ends; None for the end of the video.
        progress: Called repeatedly with (stage, done, total); an exception that it raises ends the work.

    Raises:
        InputError, NoFaceError, LimitError, OutputError: As `animate` does.
    """
    for name, value in (("driver_face", driver_face), ("start", start), ("end", end)):
        if value is not None:
            option_of(Animate, name).value.check(value)
    part = DrivingPart(driver_face=driver_face, start=start, end=end)
    follow = partial(track_video, progress=progress or _silent, part=part)
    if out is None:
        return follow(media.check_input(video))
    suffixes = tuple(suffix for suffix, entry in motions().items() if entry.writes)
    out = media.check_output(out, suffixes)
    motion = follow(media.check_input(video))
    temp = media.temp_beside(out)
    try:
        motions()[out.suffix.lower()].write(temp, motion)
        media.publish(temp, out)
    except OSError as error:
        if isinstance(error, GiocondaError):
            raise
        raise media.output_error(error, out) from None
    finally:
        temp.unlink(missing_ok=True)
    return motion


@takes(Adapt)
def adapt(request: Adapt) -> Adapted:
    """Prepare for one person: keep photos, fit networks to them, or collect the mouths of videos; write the file.

    Raises:
        InputError: A source, or a combination of options, cannot be used.
        MissingFileError: A source does not exist, or a library that fitting needs is not installed.
        NoFaceError: No source shows a face.
        OutputError: The file cannot be written.
    """
    if request.out is None:
        raise InputError("the request names no output; set `out` to the file to write")
    check_inputs_stay(request)
    adapted: Adapted = request.entry.adapt(request)
    return adapted


@takes(Verify)
def verify(request: Verify) -> Verdict:
    """Check whether Gioconda made a file, and from what; a damaged file gives a verdict too, never an error."""
    return provenance.verify(Path(request.path), marked_pictures)
