"""Load a motion: from a video, a picture, a voice, a saved motion, a recording or a template."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import numpy as np

from gioconda import media
from gioconda.errors import InputError, MissingFileError, NoFaceError
from gioconda.inputs.driver import Driver, KeptFaces
from gioconda.inputs.sources import Loader, MotionSource, video_ingredient
from gioconda.inputs.speech import load_speech
from gioconda.inputs.still import load_film
from gioconda.motion.from_faces import Cut, FaceTrack, track_to_motion
from gioconda.provenance import Ingredient
from gioconda.registry import describe_motions, motions
from gioconda.tracking import frames_in, tracked_frames
from gioconda.types import WHOLE_DRIVER, DrivingPart, Motion, PathLike, Progress

# Seconds without a face from which the user is told, and the most cuts that a note lists.
TOLD_GAP, TOLD_CUTS = 0.2, 8


def load_motion(
    source: PathLike | Motion | Loader, progress: Progress, *, part: DrivingPart = WHOLE_DRIVER
) -> MotionSource:
    """Load a motion.

    Args:
        source: The path of a video, a picture, a sound or a motion file; the name of a template; a `Motion`; or a
            loader.
        progress: Called with (stage, frames done, frames in all) during tracking.
        part: The part of a video to track, and which face; other motions are used whole and have one face at most.

    Raises:
        MissingFileError: There is neither such a file nor such a template.
        InputError: The file cannot be used.
        NoFaceError: The video or picture shows no face.
        LimitError: The file is larger or longer than the limits allow.
        WeightsError: A network is missing or damaged.
    """
    from gioconda.motion import templates

    if part.misplaced and (callable(source) or isinstance(source, Motion) or not _is_film(Path(source))):
        name = "this motion" if callable(source) else getattr(source, "name", source)
        raise InputError(f"{name} is no video; {part.misplaced}")
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
            f"{source} is neither a file nor a template; the templates are {', '.join(templates.TEMPLATES)}"
        )
    return _load_file(media.check_input(path), progress, part)


def _is_film(path: Path) -> bool:
    """Whether a motion comes from the faces of a video; True for a path that leads to no file."""
    known = path.suffix.lower() in motions() or (not path.suffix and not path.exists())
    return not known and (not path.exists() or media.is_video(path))


def _load_file(path: Path, progress: Progress, part: DrivingPart) -> MotionSource:
    """The motion of a video, a picture, a sound or a motion file; errors as of `load_motion`."""
    entry = motions().get(path.suffix.lower())
    if entry is None and media.is_sound(path):
        return load_speech(path, progress)
    digest = media.sha256_file(path)
    if entry is not None:
        motion = entry.read(path)
        ingredient = Ingredient(path.name, digest, "motion", entry.mime)
        return MotionSource(motion, None, ingredient, warnings=motion.notes)
    if not media.is_video(path):
        if not media.is_picture(path):
            raise InputError(
                f"{path} is neither a video nor a picture; give one, a sound, {describe_motions()} or a template"
            )
        return load_film(path)
    faces = KeptFaces()
    motion = track_video(path, progress, part=part, faces=faces)
    if len(motion) == 1:
        return load_film(path)
    ingredient = video_ingredient(path, "motion", digest)
    return MotionSource(motion, Driver(path, part, faces), ingredient, warnings=motion.notes)


def track_video(
    path: PathLike, progress: Progress, *, part: DrivingPart = WHOLE_DRIVER, faces: KeptFaces | None = None
) -> Motion:
    """Track a face of a video.

    Args:
        path: Of the video.
        progress: Called with ("track", frames done, frames in all).
        part: The part of the video, and which face to track.
        faces: Gets the face of each frame; None if nothing needs the pictures.

    Returns:
        The motion; its times begin at the part's.

    Raises:
        InputError: The file cannot be read as a video, or it ends before the part begins.
        NoFaceError: No frame shows such a face.
        LimitError: The video is larger or longer than the limits allow.
    """
    path = Path(path)
    times: list[float] = []
    track = FaceTrack()
    cuts: list[Cut] = []
    size, take = (0, 0), 0
    total = frames_in(part, media.probe(path))
    with closing(tracked_frames(path, part)) as frames:
        for frame, followed, number, person in frames:
            if number != take or not times:
                cuts.append(Cut(len(times), person))
            elif followed is not None:
                # A take may begin before it shows anyone.
                cuts[-1] = cuts[-1]._replace(person=person)
            take, size = number, (frame.image.shape[1], frame.image.shape[0])
            track.add(followed)
            if faces is not None:
                faces.add(frame.image, followed)
            times.append(frame.time)
            progress("track", len(times), max(total, len(times)))
    if not track.tracked.any():
        raise NoFaceError(f"{path}: no frame shows a human face that can be tracked; use another video.")
    motion = track_to_motion(track, times, size, name=path.name, cuts=cuts)
    return motion.with_(notes=tuple(_notes(motion)))


def _notes(motion: Motion) -> Iterator[str]:
    """Sentences on how long a driver's face is hidden, and on its cuts."""
    gaps = _gaps(motion)
    longest = max(gaps, default=(0.0, 0.0))
    if longest[0] >= TOLD_GAP:
        total = sum(seconds for seconds, _ in gaps)
        told = f"{motion.name}: the face is hidden for {longest[0]:.1f} s at {longest[1]:.1f} s"
        yield f"{told}, {total:.1f} s in all; the motion is bridged there"
    if motion.takes:
        cuts = [
            f"{motion.times[take.start]:.1f} s{'' if take.reference == before.reference else ' (another person)'}"
            for before, take in pairwise(motion.all_takes)
        ]
        more = f" and {len(cuts) - TOLD_CUTS} more" if len(cuts) > TOLD_CUTS else ""
        yield f"{motion.name}: cuts at {', '.join(cuts[:TOLD_CUTS])}{more}; each take is measured on its own"


def _gaps(motion: Motion) -> list[tuple[float, float]]:
    """Seconds that each stretch of frames without a face lasts, and the time at which it begins."""
    hidden = np.r_[False, motion.confidence <= 0, False]
    ends = np.flatnonzero(hidden[1:] != hidden[:-1]).reshape(-1, 2)
    step = float(np.median(np.diff(motion.times))) if len(motion) > 1 else 0.0
    times = np.append(motion.times, motion.times[-1] + step)
    return [(float(times[stop] - times[start]), float(times[start])) for start, stop in ends.tolist()]
