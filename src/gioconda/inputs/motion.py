"""Load a motion: from a video, a picture, a voice, a saved motion, a recording or a template."""

from __future__ import annotations

import hashlib
from contextlib import closing
from pathlib import Path

from gioconda import media
from gioconda.errors import InputError, MissingFileError, NoFaceError
from gioconda.inputs.sources import Loader, MotionSource, video_ingredient
from gioconda.inputs.speech import load_speech
from gioconda.inputs.still import load_film
from gioconda.motion.from_faces import faces_to_motion
from gioconda.provenance import Ingredient
from gioconda.registry import describe_motions, motions
from gioconda.tracking import tracked_frames
from gioconda.types import Face, Motion, PathLike, Progress


def load_motion(source: PathLike | Motion | Loader, progress: Progress) -> MotionSource:
    """Load a motion.

    Args:
        source: The path of a video, a picture, a sound or a motion file; the name of a template; a `Motion`; or a
            loader.
        progress: Called with (stage, frames done, frames in all) during tracking.

    Raises:
        MissingFileError: There is neither such a file nor such a template.
        InputError: The file cannot be used.
        NoFaceError: The video or picture shows no face.
        LimitError: The file is larger or longer than the limits allow.
        WeightsError: A network is missing or damaged.
    """
    from gioconda.motion import templates

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
    return _load_file(media.check_input(path), progress)


def _load_file(path: Path, progress: Progress) -> MotionSource:
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
    motion = track_video(path, progress)
    if len(motion) == 1:
        return load_film(path)
    return MotionSource(motion, path, video_ingredient(path, "motion", digest))


def track_video(path: PathLike, progress: Progress) -> Motion:
    """Track the largest face of a video.

    Args:
        path: Of the video.
        progress: Called with ("track", frames done, frames in all).

    Raises:
        InputError: The file cannot be read as a video.
        NoFaceError: No frame shows a face.
        LimitError: The video is larger or longer than the limits allow.
    """
    path = Path(path)
    times: list[float] = []
    faces: list[Face | None] = []
    size = (0, 0)
    total = media.probe(path).frames
    with closing(tracked_frames(path)) as frames:
        for frame, face in frames:
            faces.append(face)
            times.append(frame.time)
            size = (frame.image.shape[1], frame.image.shape[0])
            progress("track", len(times), max(total, len(times)))
    if not any(faces):
        raise NoFaceError(f"{path}: no frame shows a human face that can be tracked; use another video.")
    return faces_to_motion(faces, times, size, name=path.name)
