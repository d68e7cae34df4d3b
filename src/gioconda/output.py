"""The gate of all results: it labels, watermarks, encodes and signs them, and moves them into place.

No other module adds marks or writes rendered pictures.
"""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import gioconda
from gioconda import composite, media, provenance
from gioconda.face import networks as tracking_networks
from gioconda.provenance import Claim, Watermarker
from gioconda.provenance.certificate import signing_identity
from gioconda.render import Clock, Rendered, Renderer
from gioconda.runtime.devices import SOFTWARE_ENCODER
from gioconda.runtime.threads import hold_libraries
from gioconda.types import Frame, Image, PathLike, Progress, Watcher, Word


@dataclass(frozen=True)
class Result:
    """A written file.

    Attributes:
        path: Of the file.
        frames: Number of frames.
        seconds: Wall time of the job.
        bridged: Number of frames without a face, interpolated from their neighbours.
        size: (width, height) in pixels.
        stages: Seconds spent in each stage; some stages overlap.
        warnings: Sentences for the user.
        duration: Seconds that the video lasts; 0 for a picture.
        words: The words of a text that is spoken, each with its time in the video, where they are known.
    """

    path: Path
    frames: int
    seconds: float
    bridged: int
    size: tuple[int, int]
    stages: dict[str, float]
    warnings: tuple[str, ...] = ()
    duration: float = 0.0
    words: tuple[Word, ...] = ()


class Marker:
    """Adds the marks of one job to its pictures: the visible label, if requested, and the watermark."""

    def __init__(self, size: tuple[int, int], payload: int, *, label: bool) -> None:
        """Prepare the marks.

        Args:
            size: (width, height) of the pictures in pixels.
            payload: The watermark's, of `job_payload`.
            label: Whether to write the visible label.
        """
        self._watermark = Watermarker(size, payload)
        self._label = composite.VisibleLabel() if label else None

    def mark(self, rendered: Rendered) -> Image:
        """A marked copy of a rendered picture, (H, W, 3) uint8 RGB, or (H, W, 4) RGBA if it is transparent.

        The watermark changes the colours alone, so that it shows wherever the picture is opaque.
        """
        if rendered.marked:
            return rendered.image
        image = rendered.image
        if self._label is not None:
            image = self._label.put(image, rendered.faces)
        marked = self._watermark.apply(np.ascontiguousarray(image[..., :3]))
        return marked if image.shape[2] == marked.shape[2] else np.dstack([marked, image[..., 3]])


def marked_frames(renderer: Renderer) -> Generator[Frame, None, None]:
    """Render the frames of a renderer, and mark each."""
    marker = Marker(renderer.size, renderer.payload, label=renderer.label)
    with closing(renderer.moments()) as moments:
        for rendered in moments:
            since = time.perf_counter()
            image = marker.mark(rendered)
            renderer.clock.add("watermark", since)
            yield Frame(image, rendered.time)


@dataclass(frozen=True)
class Output:
    """The destination of a result, and what signs it.

    Attributes:
        path: Of the file.
        rights: The declared right to the likeness, or None.
        key: File of the private key that signs; None for Gioconda's own.
        certificate: File of the key's certificate chain, or None.
        encoder: Of .mp4, as `media.usable_encoder` returns it.
        notes: Sentences for the user.
    """

    path: Path
    rights: str | None
    key: Path | None
    certificate: Path | None
    encoder: str = SOFTWARE_ENCODER
    notes: tuple[str, ...] = ()

    @classmethod
    def checked(
        cls,
        out: PathLike,
        suffixes: tuple[str, ...],
        rights: str | None = None,
        key: PathLike | None = None,
        certificate: PathLike | None = None,
        encoder: str = SOFTWARE_ENCODER,
    ) -> Output:
        """Check a destination before the work begins.

        Args:
            out: Path of the file.
            suffixes: That it may have.
            rights: The declared right to the likeness.
            key: File of the private key (PEM).
            certificate: File of the key's certificate chain (PEM).
            encoder: Of .mp4, or "auto".

        Raises:
            InputError: The suffix, the key, the certificate or the encoder cannot be used.
            OutputError: The file cannot be written.
        """
        path = media.check_output(out, suffixes)
        own_key, own_certificate = (None if file is None else Path(file) for file in (key, certificate))
        signing_identity(own_key, own_certificate)
        usable = media.usable_encoder(encoder, path)
        notes = () if usable == encoder else (f"the encoder is {usable}",)
        return cls(path, rights, own_key, own_certificate, usable, notes)

    def film(self, renderer: Renderer, progress: Progress) -> Result:
        """Write a renderer's frames as a signed video with its sound; OutputError if that fails."""
        times, clock = renderer.times.tolist(), renderer.clock
        writer = media.open_writer(
            self.path,
            renderer.size,
            times=times,
            audio_from=renderer.sound,
            alpha=renderer.transparent,
            encoder=self.encoder,
        )
        _encode(writer, marked_frames(renderer), len(times), clock, progress)
        since = time.perf_counter()
        self._publish(writer.temp, renderer)
        clock.add("sign", since)
        warnings = (*self.notes, *renderer.warnings, *writer.warnings, *self._silence(renderer))
        seconds = time.perf_counter() - clock.start
        return Result(
            self.path,
            writer.frames,
            seconds,
            renderer.bridged,
            writer.size,
            clock.stages,
            warnings,
            writer.seconds,
            renderer.words,
        )

    def _silence(self, renderer: Renderer) -> tuple[str, ...]:
        """A note where the format cannot hold the sound that belongs to the video."""
        suffix = self.path.suffix.lower()
        if renderer.sound is None or suffix not in media.SILENT_SUFFIXES:
            return ()
        return (f"{suffix} cannot hold sound, so {self.path.name} is silent; write .mp4 or .webm to keep it",)

    def picture(self, renderer: Renderer) -> Result:
        """Write a renderer's first frame as a signed still picture; OutputError if that fails."""
        clock = renderer.clock
        with closing(marked_frames(renderer)) as frames:
            image = next(frames).image
        temp = media.temp_beside(self.path)
        try:
            media.write_picture(temp, image, final=self.path)
            self._publish(temp, renderer)
        finally:
            temp.unlink(missing_ok=True)
        seconds = time.perf_counter() - clock.start
        return Result(self.path, 1, seconds, 0, renderer.size, clock.stages, tuple(renderer.warnings))

    def _publish(self, temp: Path, renderer: Renderer) -> None:
        """Sign the finished file, and move it and its sidecar, if it has one, into place."""
        claim = Claim(
            engine=renderer.engine,
            version=gioconda.__version__,
            inputs=renderer.inputs,
            payload=renderer.payload,
            rights=self.rights,
            action=renderer.action,
            weights=(*renderer.networks, *tracking_networks()),
        )
        sidecar: Path | None = None
        try:
            sidecar = provenance.sign(temp, self.path.name, claim, key=self.key, certificate=self.certificate)
            if sidecar is not None:
                media.publish(sidecar, provenance.sidecar_path(self.path))
            media.publish(temp, self.path)
        finally:
            for leftover in (temp, sidecar):
                if leftover is not None:
                    leftover.unlink(missing_ok=True)


def _encode(
    writer: media.VideoWriter,
    finished: Generator[Frame, None, None],
    count: int,
    clock: Clock,
    progress: Progress,
) -> None:
    """Write all frames to the writer's temporary file."""
    # Small matrix products gain nothing from threads, and the stages already share the cores.
    hold_libraries()
    with writer, closing(finished) as frames:
        for done, frame in enumerate(frames, 1):
            since = time.perf_counter()
            writer.write(frame.image, frame.time)
            clock.add("encode", since)
            if isinstance(progress, Watcher):
                progress.preview(frame.image)
            progress("render", done, count)
        since = time.perf_counter()
    clock.add("encode", since)
