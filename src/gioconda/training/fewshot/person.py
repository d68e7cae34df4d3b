"""`gioconda adapt`: photos, or frames of a video, of one person -> an identity file."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import asdict
from functools import partial
from pathlib import Path

import gioconda
from gioconda import face, media
from gioconda.engines.fewshot import crop, identity
from gioconda.errors import NoFaceError
from gioconda.persons import collect
from gioconda.requests import Adapt, Adapted
from gioconda.runtime.text import readable
from gioconda.training.fewshot.adapt import MOST_PHOTOS, AdaptSettings, adapt
from gioconda.types import Face, PathLike, Portrait, Progress

# Frames of a video, unless chosen
FRAMES = 8
# Side of the picture in an identity file, in pixels
KEPT_SIDE = 512
SUFFIXES = (identity.SUFFIX,)
# Settings that are paths on this machine; identity files leave them out
PRIVATE = ("weights", "features")


def carry_out(request: Adapt) -> Adapted:
    """Carry out a request: fit the few-shot networks to a person and write an identity file.

    Raises the errors of `adapt_person`.
    """
    assert request.out is not None
    assert request.weights is not None
    settings = AdaptSettings(
        steps=request.steps,
        features=str(request.features or ""),
        weights=str(request.weights),
        seed=request.seed,
    )
    progress = request.progress or (lambda *_: None)
    return adapt_person(
        request.sources,
        request.out,
        settings,
        frames=request.frames or FRAMES,
        progress=progress,
        rights=request.rights,
    )


def adapt_person(
    sources: Sequence[PathLike],
    out: PathLike,
    settings: AdaptSettings,
    *,
    frames: int = FRAMES,
    progress: Progress = lambda *_: None,
    rights: str | None = None,
) -> Adapted:
    """Fit the few-shot networks to one person and write an identity file.

    Args:
        sources: Photos and videos of the person. Those without a face are left out.
        out: The identity file to write.
        settings: How to fit, and which networks.
        frames: Frames per video, evenly spread.
        progress: Called with the stage, the steps done and the steps in all.
        rights: What entitles the user to the likeness; the file keeps it.

    Returns:
        The result.

    Raises:
        InputError: A source is an identity file, or there are too many photos.
        MissingFileError: A file does not exist.
        NoFaceError: No source shows a face.
        WeightsError: A file of `settings` does not hold the weights that it should.
        OutputError: `out` cannot be written.
    """
    target = media.check_output(out, SUFFIXES)
    photos, left_out = collect(sources, partial(_of_video, count=frames), MOST_PHOTOS, progress)
    start = time.perf_counter()
    fitted = adapt(photos, settings, progress=progress)
    seconds = time.perf_counter() - start
    kept = _kept(photos[0])
    options = {k: v for k, v in asdict(settings).items() if k not in PRIVATE}
    about = {
        "engine": "fewshot",
        "gioconda": gioconda.__version__,
        "settings": options,
        "sources": [{"name": readable(photo.name), "sha256": photo.sha256} for photo in photos],
    }
    if rights is not None:
        about["rights"] = rights
    content = identity.encode(identity.Identity(kept.image, kept.face.landmarks, fitted, about))
    media.write_whole(target, content)
    noun = "photo" if len(photos) == 1 else "photos"
    return Adapted(target, f"{len(photos)} {noun}, fitted in {seconds:.1f} s", tuple(left_out))


def _of_video(path: Path, count: int) -> list[Portrait]:
    """Up to `count` evenly spread frames of a video with a face; NoFaceError if none has one."""
    digest, total = media.sha256_file(path), max(media.probe(path).frames, 1)
    step = max(1.0, total / count)
    indices = {round((k + 0.5) * step - 0.5) for k in range(count)}
    portraits = list(_faces_at(path, indices, digest))
    if not portraits:
        raise NoFaceError(f"{path}: none of the tried frames shows a face; try more with --frames")
    return portraits


def _faces_at(path: Path, indices: set[int], digest: str) -> Iterator[Portrait]:
    with closing(media.read_frames(path)) as frames:
        for index, frame in enumerate(frames):
            if index > max(indices):
                return
            if index in indices and (faces := face.detect_faces(frame.image)):
                yield Portrait(frame.image, faces[0], f"{path.name} {frame.time:.2f} s", digest)


def _kept(photo: Portrait) -> Portrait:
    """Crop a photo to the head's square, KEPT_SIDE pixels wide."""
    square = crop.head_square(photo.face.landmarks)
    image = crop.cut_square(photo.image, square, KEPT_SIDE)
    points = crop.to_square(photo.face.landmarks, square, KEPT_SIDE)
    return Portrait(image, Face(points), photo.name, photo.sha256)
