"""Track the face in a video, frame by frame."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from pathlib import Path

from gioconda import face, media
from gioconda.runtime.prefetch import run_ahead
from gioconda.types import Face, Frame


def tracked_frames(path: Path) -> Generator[tuple[Frame, Face | None], None, None]:
    """Decode a video and track its largest face.

    A thread decodes ahead of the tracker; close the generator to end it.

    Args:
        path: Of the video.

    Yields:
        Each frame, with the tracked face in pixels, or None if the frame does not show it.

    Raises:
        InputError: The file cannot be read as a video.
        LimitError: It is larger than the limits allow.
    """
    with face.FaceTracker() as tracker, closing(run_ahead(media.read_frames(path))) as frames:
        for frame in frames:
            faces = tracker.process(frame.image)
            yield frame, faces[0] if faces else None
