"""Finished frames -> a signed file in its place: written beside it, signed, moved."""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import gioconda
from gioconda import media, provenance
from gioconda.face import networks as tracking_networks
from gioconda.jobs import Clock
from gioconda.provenance import Claim, Ingredient
from gioconda.provenance.certificate import signing_identity
from gioconda.sources import PathLike, Progress, Watcher
from gioconda.threads import hold_blas
from gioconda.types import Frame, Image


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


@dataclass(frozen=True)
class Making:
    """How a file came to be: what its manifest says, and what people are told.

    action: "created" or "edited". networks: name and hash of those that ran, beside the face tracker's. bridged:
    frames without a face.
    """

    engine: str
    inputs: tuple[Ingredient, ...]
    payload: int
    action: str
    networks: tuple[tuple[str, str], ...]
    bridged: int = 0
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Output:
    """Where a file goes, the right to the likeness as declared, key and certificate that sign it; our own if None."""

    path: Path
    rights: str | None
    key: Path | None
    certificate: Path | None

    @classmethod
    def checked(
        cls,
        out: PathLike,
        suffixes: tuple[str, ...],
        rights: str | None,
        key: PathLike | None,
        certificate: PathLike | None,
    ) -> Output:
        """InputError or OutputError where it cannot be written or signed: better told now than at the end."""
        path = media.check_output(out, suffixes)
        signer = [None if one is None else Path(one) for one in (key, certificate)]
        signing_identity(*signer)
        return cls(path, rights, *signer)

    def film(
        self,
        frames: Generator[Frame, None, None],
        making: Making,
        *,
        size: tuple[int, int],
        times: Sequence[float],
        sound: Path | None,
        clock: Clock,
        report: Progress,
    ) -> Result:
        """Write a video. size: (width, height). times: of the frames, in seconds. sound: the file that is heard."""
        writer = media.open_writer(self.path, size, times=list(times), audio_from=sound)
        _encode(writer, frames, len(times), clock, report)
        since = time.perf_counter()
        self._publish(writer.temp, making)
        clock.add("sign", since)
        warnings = (*making.warnings, *writer.warnings)
        seconds = time.perf_counter() - clock.start
        return Result(self.path, writer.frames, seconds, making.bridged, writer.size, clock.stages, warnings)

    def picture(self, image: Image, making: Making, clock: Clock) -> Result:
        """Write a still picture, (H, W, 3) uint8 RGB."""
        temp = media.temp_beside(self.path)
        try:
            media.write_picture(temp, image, final=self.path)
            self._publish(temp, making)
        finally:
            temp.unlink(missing_ok=True)
        size = (image.shape[1], image.shape[0])
        return Result(self.path, 1, time.perf_counter() - clock.start, 0, size, clock.stages)

    def _publish(self, temp: Path, making: Making) -> None:
        """Sign the finished file and move it, and its sidecar if it needs one, into place."""
        claim = Claim(
            engine=making.engine,
            version=gioconda.__version__,
            inputs=making.inputs,
            payload=making.payload,
            rights=self.rights,
            action=making.action,
            weights=(*making.networks, *tracking_networks()),
        )
        beside: Path | None = None
        try:
            beside = provenance.sign(temp, self.path.name, claim, key=self.key, certificate=self.certificate)
            if beside is not None:
                media.publish(beside, provenance.sidecar_path(self.path))
            media.publish(temp, self.path)
        finally:
            for left in (temp, beside):
                if left is not None:
                    left.unlink(missing_ok=True)


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
