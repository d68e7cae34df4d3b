"""A video whose person is to say other words: target x motion -> mouths of their own -> finished frames."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from gioconda import composite, media, mouths
from gioconda.ahead import run_ahead
from gioconda.engines.lipsync import retime
from gioconda.engines.lipsync.bank import Bank
from gioconda.engines.lipsync.between import halfway
from gioconda.engines.lipsync.engine import LipSync, Place
from gioconda.engines.lipsync.points import POINTS
from gioconda.engines.lipsync.shapes import BIAS_FRAMES, Choice, bias, choose, features, opening, shut_mouth
from gioconda.errors import InputError
from gioconda.jobs import Clock
from gioconda.motion.retarget import Retargeter, Style
from gioconda.mouths import Laid
from gioconda.provenance import Ingredient, Watermarker, job_payload
from gioconda.sources import Loader, MotionSource, PathLike, Progress, filmed, load_motion
from gioconda.threads import hold_blas
from gioconda.types import Face, FloatArray, Frame, Image, Motion, Portrait

HELD_BYTES = 384 * 2**20  # of the target's last frames, over which a short one goes to and fro
SPARSE = 0.04  # inter-ocular units: mouths of a bank that lie farther off than this do not show what is said

IntArray = npt.NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Revoicing:
    """All that rendering needs, loaded and checked; T output frames.

    times: (T,) seconds. way: (T,), positions of the target's frames (`retime`); tail: over how many of its last frames
    a short target goes to and fro. laid, seen: the target's N faces and how surely each was seen. wanted: (T, P, 3),
    the mouth's points in the head's frame. choice: mouths for each output frame. warnings: what people should know.
    sound: the file of the voice, if the motion came from one. networks: name and hash of those that heard it.
    """

    video: Path
    inputs: tuple[Ingredient, ...]
    bank: Bank
    times: npt.NDArray[np.float64]
    way: IntArray
    tail: int
    laid: Laid
    seen: FloatArray
    wanted: FloatArray
    choice: Choice
    face: Face
    size: tuple[int, int]
    label: bool
    payload: int
    clock: Clock
    bridged: int
    warnings: tuple[str, ...]
    sound: Path | None = None
    networks: tuple[tuple[str, str], ...] = ()


def _film(video: PathLike) -> Path:
    path = media.check_input(video)
    if not media.is_video(path):
        raise InputError(
            f"{path} is a still picture; to give a person in a video other words, give the video"
        )
    return path


def plan_revoicing(
    video: PathLike,
    motion: PathLike | Motion | Loader,
    bank: PathLike | Bank | None,
    label: bool,
    report: Progress,
    *,
    strength: float = 1.0,
    retimed: bool = True,
) -> Revoicing:
    """Track the target, and choose its frames and mouths.

    retimed: let the head rest where speech does, instead of at the target's own pace.

    Raises InputError, NoFaceError, WeightsError or LimitError.
    """
    hold_blas()
    clock = Clock()
    path = _film(video)
    info, digest = media.probe(path), media.sha256_file(path)
    what = load_motion(motion, report)
    known = _bank(path, digest, bank, report)
    since = clock.add("mouths", clock.start)
    step = 1 / info.fps
    count = max(1, round(_seconds(what.motion) / step))
    laid, seen, face, times = mouths.follow(path, known.head, count + retime.DRIFT + 2, report)
    since = clock.add("track", since)
    if len(times) > 1:
        step = float(np.median(np.diff(times)))
        count = max(1, round(_seconds(what.motion) / step))
    wanted = wanted_points(what.motion, known.rest, np.arange(count) * step, strength)
    tail = int(np.clip(HELD_BYTES // (3 * info.width * info.height), 2, len(times)))
    way = _way(laid, wanted, tail, 1 / step) if retimed else np.arange(count, dtype=np.intp)
    wanted, choice = _choice(known, laid, wanted, way, tail)
    clock.add("choose", since)
    inputs = _inputs(path, digest, what, bank, known)
    settings = f"{label} {strength} {retimed} {info.width}x{info.height}"
    return Revoicing(
        video=path,
        inputs=inputs,
        bank=known,
        times=np.arange(count) * step,
        way=way,
        tail=tail,
        laid=laid,
        seen=seen,
        wanted=wanted,
        choice=choice,
        face=face,
        size=(info.width, info.height),
        label=label,
        payload=job_payload("lipsync", *(one.sha256 for one in inputs), settings),
        clock=clock,
        bridged=int((seen < 0.5).sum()),
        warnings=(*what.warnings, *_warnings(path, choice)),
        sound=what.sound,
        networks=what.networks,
    )


def _bank(path: Path, digest: str, bank: PathLike | Bank | None, report: Progress) -> Bank:
    if isinstance(bank, Bank):
        return bank
    return mouths.cached(path, digest, report) if bank is None else mouths.load(bank)


def _inputs(
    path: Path, digest: str, what: MotionSource, bank: PathLike | Bank | None, known: Bank
) -> tuple[Ingredient, ...]:
    target = filmed(path, "portrait", digest)
    if bank is None:
        return (target, what.ingredient)
    name = "mouths" if isinstance(bank, Bank) else Path(bank).name
    mouths_of = Ingredient(name, known.sha256 or "0" * 64, "portrait", "application/x-safetensors")
    return (target, mouths_of, what.ingredient)


def _warnings(path: Path, choice: Choice) -> tuple[str, ...]:
    far = float(np.mean(choice.distance > SPARSE))
    if far <= 0.2:
        return ()
    told = f"{path.name}: {far:.0%} of the frames need a mouth unlike any in the video"
    return (f"{told}; make a bank of more footage with gioconda adapt --for speech",)


def _seconds(motion: Motion) -> float:
    """How long a motion lasts, its last frame included."""
    if len(motion) == 1:
        return 0.04
    return float(motion.times[-1] - motion.times[0] + np.median(np.diff(motion.times)))


def wanted_points(
    motion: Motion, rest: FloatArray, times: npt.NDArray[np.float64], strength: float
) -> FloatArray:
    """Where a motion puts the mouth's points of a face at rest (478, 3), at `times` (T,): (T, P, 3), head's frame."""
    unit = np.float32(100)
    portrait = Portrait(np.zeros((400, 400, 3), np.uint8), Face(rest * unit + unit), "target")
    laid = Retargeter(motion, portrait, Style(region="lips", strength=strength))
    before = np.searchsorted(motion.times - motion.times[0], times, side="right") - 1
    before = np.clip(before, 0, len(motion) - 1)
    made = np.empty((len(times), len(POINTS), 3), np.float32)
    ahead: dict[int, FloatArray] = {}
    for k, (index, at) in enumerate(zip(before.tolist(), times, strict=True)):
        after = min(index + 1, len(motion) - 1)
        for one in (index, after):
            if one not in ahead:
                ahead[one] = (laid.shot(one).landmarks[POINTS] - unit) / unit
        gap = float(motion.times[after] - motion.times[index]) or 1.0
        share = np.float32(np.clip((at + motion.times[0] - motion.times[index]) / gap, 0, 1))
        made[k] = ahead[index] + (ahead[after] - ahead[index]) * share
        ahead = {one: ahead[one] for one in (index, after)}
    return made


def _way(laid: Laid, wanted: FloatArray, tail: int, fps: float) -> IntArray:
    """Which positions of the target are shown, the head resting where the lips do."""
    length, count = len(laid.scale), len(wanted)
    way = retime.to_and_fro(np.arange(count + retime.DRIFT + 2), length, tail)
    turn = np.abs(np.diff(laid.pose, axis=0, append=laid.pose[-1:])).sum(1) / 60
    shift = np.linalg.norm(np.diff(laid.origin, axis=0, append=laid.origin[-1:]), axis=1)
    moving = shift / laid.scale + turn
    moving = moving[way] / max(float(moving.mean()), 1e-4)
    return retime.retime(np.minimum(moving, 5).astype(np.float32), retime.resting_at(opening(wanted), fps))


class Target:
    """The target's laid-out faces along the way; half-way between two where one is shown twice."""

    def __init__(self, laid: Laid, way: IntArray, tail: int) -> None:
        self.repeated = np.r_[False, way[1:] == way[:-1]]
        self.first = retime.to_and_fro(way, len(laid.scale), tail)
        second = retime.to_and_fro(way + 1, len(laid.scale), tail)
        self.second = np.where(self.repeated, second, self.first)
        self._laid = laid

    def mean(self, name: str, some: slice | IntArray) -> FloatArray:
        """A field of the layout for some of the output frames."""
        values = getattr(self._laid, name)
        return np.asarray((values[self.first[some]] + values[self.second[some]]) / 2, np.float32)

    def wanted(self, points: FloatArray, some: slice | IntArray) -> FloatArray:
        """Points (t, P, 3) of the head as they lie in the face's plane of some frames, (t, P, 2)."""
        rotation, scale = self.mean("rotation", some), self.mean("scale", some)
        pixels = scale[:, None, None] * (points @ rotation.transpose(0, 2, 1))[..., :2]
        return mouths.into_plane(self.mean("matrix", some), pixels + self.mean("origin", some)[:, None])


def _choice(
    bank: Bank, laid: Laid, wanted: FloatArray, way: IntArray, tail: int
) -> tuple[FloatArray, Choice]:
    """The wanted points without their bias, (T, P, 3), and the mouths for each output frame."""
    target, own = Target(laid, way, tail), bank.features
    some = np.linspace(0, len(way) - 1, min(len(way), BIAS_FRAMES)).astype(np.intp)
    flat, pose = target.wanted(wanted[some], some), target.mean("pose", some)
    theirs, ours = shut_mouth(laid.points), shut_mouth(flat)
    # a face at rest is guessed twice, of mover and person: where both shut their mouths, they must agree
    shift = np.float32(0) if theirs is None or ours is None else theirs - ours
    wanted[..., :2] += shift + bias(own, bank.points, flat + shift, pose)
    parts = []
    for start in range(0, len(way), 512):  # pieces: an hour of shapes need not be held twice
        piece = slice(start, start + 512)
        parts.append(features(target.wanted(wanted[piece], piece), target.mean("pose", piece)))
    return wanted, choose(own, np.concatenate(parts), bank.source, bank.frame)


def revoiced_frames(job: Revoicing) -> Generator[Frame, None, None]:
    """Finished frames: the target's, with other mouths, labelled and watermarked."""
    mark, sign = Watermarker(job.size, job.payload), composite.Sign()
    everywhere = _everywhere(job) if job.label else []
    with closing(run_ahead(rendered(job), depth=2)) as frames:
        for frame in frames:
            since = time.perf_counter()
            image = sign.put(frame.image, everywhere) if job.label else frame.image
            image = mark.apply(image)
            job.clock.add("watermark", since)
            yield Frame(image, frame.time)


def _everywhere(job: Revoicing) -> list[FloatArray]:
    """The face's landmarks at some moments of the target, spread over all that is shown."""
    shown = job.laid.origin[: int(job.way.max()) + 1]
    some = shown[np.linspace(0, len(shown) - 1, min(len(shown), 50)).astype(np.intp)]
    return [job.face.landmarks[:, :2] + (origin - job.laid.origin[0]) for origin in some]


def rendered(job: Revoicing) -> Generator[Frame, None, None]:
    """The target's frames with other mouths, as they are before the marks are laid in."""
    engine = LipSync(job.bank)
    target = Target(job.laid, job.way, job.tail)
    with closing(along(job, target)) as pictures:
        for t, image in enumerate(pictures):
            since = time.perf_counter()
            some = slice(t, t + 1)
            strength = float(min(job.seen[target.first[t]], job.seen[target.second[t]]))
            place = Place(
                matrix=target.mean("matrix", some)[0],
                seen=target.mean("points", some)[0],
                wanted=target.wanted(job.wanted[some], some)[0],
                strength=min(1.0, max(0.0, 1.5 * strength - 0.5)),
            )
            patch = engine.render(Frame(image, float(job.times[t])), place, job.choice, t)
            made = image if patch is None else composite.compose(image, [patch])
            job.clock.add("render", since)
            yield Frame(made, float(job.times[t]))


def along(job: Revoicing, target: Target) -> Generator[Image, None, None]:
    """The target's pictures along the way."""
    length = len(job.laid.scale)
    longest = int(job.way.max()) + 1
    with _Replay(job.video, job.tail if longest >= length else 3, length) as replay:
        for first, second, repeated in zip(
            target.first.tolist(), target.second.tolist(), target.repeated.tolist(), strict=True
        ):
            if repeated and first != second:
                # in this order: on the way back the second comes earlier in the file, and is held
                yield halfway(replay[first], replay[second])
            else:
                yield replay[first]


class _Replay:
    """Frames of a video by number: forward as they come, and back as far as some are held."""

    def __init__(self, path: Path, held: int, length: int) -> None:
        self._frames = run_ahead(media.read_frames(path))
        self._held: deque[Image] = deque(maxlen=max(held, 3))
        self._last, self._length = -1, length

    def __enter__(self) -> _Replay:
        return self

    def __exit__(self, *_: object) -> None:
        self._frames.close()

    def __getitem__(self, index: int) -> Image:
        """Frame `index`; the nearest there is where a second reading gives fewer."""
        while self._last < index:
            frame = next(self._frames, None)
            if frame is None:
                break
            self._held.append(frame.image)
            self._last += 1
        back = min(max(self._last - index, 0), len(self._held) - 1)
        return self._held[-1 - back]
