"""Plan lip sync of a target video to a motion: all decisions that precede the first rendered frame."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from gioconda import media
from gioconda.errors import InputError
from gioconda.inputs.motion import load_motion
from gioconda.inputs.sources import (
    Loader,
    MotionSource,
    late_face_note,
    video_ingredient,
)
from gioconda.lipsync import retime
from gioconda.lipsync.build import load_database
from gioconda.lipsync.cache import cached_database
from gioconda.lipsync.database import MouthDatabase
from gioconda.lipsync.layout import FaceLayout
from gioconda.lipsync.points import LIP_ROWS, POINTS
from gioconda.lipsync.renderer import LipSyncRenderer
from gioconda.lipsync.select import (
    BIAS_FRAMES,
    MouthSelection,
    closed_mouths,
    features,
    lip_closure,
    opening,
    select_mouths,
    shape_bias,
)
from gioconda.lipsync.target import (
    LONGEST_STEP,
    IntArray,
    Target,
    TrackedTarget,
    even_moments,
    project_to_plane,
    track_target,
)
from gioconda.motion.retarget import RetargetedMotion, Style
from gioconda.provenance import Ingredient, job_payload
from gioconda.registry import LIPSYNC
from gioconda.render import Clock
from gioconda.runtime.threads import hold_libraries
from gioconda.types import WHOLE_DRIVER, DrivingPart, Face, FloatArray, Motion, PathLike, Portrait, Progress

# Inter-ocular units. Where the nearest mouth of the database is farther off, it does not show what is said; the share
# of such frames from which the user is warned.
SPARSE, SPARSE_SHARE = 0.04, 0.2
# Moments that are tracked beyond those that a retimed output can reach, so that it ends before they do.
SPARE_STEPS = 4
# Bytes of the target's last frames that are held, over which a short target plays back and forth.
HELD_BYTES = 384 * 2**20
# Confidence below which a frame of the target counts as one without a face.
UNSEEN = 0.5
# Seconds that a motion of a single frame lasts.
SINGLE_FRAME = 0.04
# Degrees of turn that count as a movement by one inter-ocular distance, when frames at rest are sought.
DEGREES_A_UNIT = 60
# Movement, in means of the target, from which more of it makes no difference.
MOVING_MOST = 5
# Output frames whose features are computed at once, so that those of an hour are not held twice.
PIECE = 512
# Pixels an inter-ocular distance, and side of the picture, of the portrait that stands in for the person at rest.
REST_UNIT, REST_SIDE = 100, 400


def _video_path(video: PathLike) -> Path:
    """The path of an existing video; InputError where it is a still picture."""
    path = media.check_input(video)
    if not media.is_video(path):
        raise InputError(f"{path} is a still picture; the engine lipsync needs a video of the person")
    return path


def plan_lipsync(
    video: PathLike,
    motion: PathLike | Motion | Loader,
    bank: PathLike | MouthDatabase | None,
    label: bool,
    progress: Progress,
    *,
    strength: float = 1.0,
    retimed: bool = True,
    driven: DrivingPart = WHOLE_DRIVER,
) -> LipSyncRenderer:
    """Track the target video, and choose its frames and the mouths that they show.

    Args:
        video: The target, a video of one person.
        motion: What the person is to say.
        bank: A mouth texture database, its file, or None for the target's own mouths.
        label: Whether the output carries the visible label.
        progress: Called with stage, work done and work in total.
        strength: Of the lips' movement; 1 as in the motion.
        retimed: Whether the head rests where speech pauses, instead of moving at the target's own pace.
        driven: The part of a driving video, and which face of it to follow.

    Raises:
        InputError: The target is not a video, or the motion cannot be used.
        NoFaceError: The target shows no face.
        WeightsError: The database is damaged.
        LimitError: An input is too large.
    """
    hold_libraries()
    clock, path = Clock(), _video_path(video)
    digest = media.sha256_file(path)
    source = load_motion(motion, progress, part=driven)
    database = _database(path, digest, bank, progress)
    inputs = _inputs(path, digest, source, bank, database)
    clock.add("mouths", clock.start)
    return _plan(
        path, inputs, source, database, clock, progress, label=label, strength=strength, retimed=retimed
    )


def _plan(
    path: Path,
    inputs: tuple[Ingredient, ...],
    source: MotionSource,
    database: MouthDatabase,
    clock: Clock,
    progress: Progress,
    *,
    label: bool,
    strength: float,
    retimed: bool,
) -> LipSyncRenderer:
    """Track the target video at `path`, and choose frames and mouths; all inputs are loaded."""
    since, info, seconds = time.perf_counter(), media.probe(path), _seconds(source.motion)
    reach = seconds + retime.DRIFT_SECONDS + SPARE_STEPS * LONGEST_STEP
    tracked = track_target(path, database.head, reach, progress)
    since = clock.add("track", since)
    step, shown = even_moments(tracked.times, info.fps)
    times = np.arange(max(1, round(seconds / step)), dtype=np.float64) * step
    mouth_points = driven_points(source.motion, database.rest, times, strength, shut=source.speaks)
    tail = _tail(info.width * info.height, shown, round(tracked.seen / step))
    positions = np.arange(len(times))
    if retimed:
        positions = _positions(tracked.layout, shown, mouth_points, tail, step)
    target = Target(tracked.layout, shown, positions, tail)
    mouth_points, selection = _selection(database, tracked.layout, mouth_points, target)
    notes = (
        *late_face_note(path, tracked.seen, seconds),
        *_replay_note(path, step, len(shown), len(times), tail),
    )
    clock.add("choose", since)
    return LipSyncRenderer(
        video=path,
        inputs=inputs,
        database=database,
        times=times,
        target=target,
        layout=tracked.layout,
        confidence=tracked.confidence,
        mouth_points=mouth_points,
        selection=selection,
        face=tracked.face,
        size=(info.width, info.height),
        label=label,
        payload=_payload(inputs, f"{label} {strength} {retimed} {info.width}x{info.height}"),
        clock=clock,
        bridged=_bridged(tracked, target),
        warnings=(*source.warnings, *_warnings(path, selection), *notes),
        sound=source.sound_track(),
        networks=source.networks,
        words=source.words,
    )


def _payload(inputs: Sequence[Ingredient], settings: str) -> int:
    """The watermark's payload of a job."""
    return job_payload(LIPSYNC, *(ingredient.sha256 for ingredient in inputs), settings)


def _database(
    path: Path, digest: str, bank: PathLike | MouthDatabase | None, progress: Progress
) -> MouthDatabase:
    """The mouth texture database that is given, or the target's own."""
    if isinstance(bank, MouthDatabase):
        return bank
    return cached_database(path, digest, progress) if bank is None else load_database(bank)


def _inputs(
    path: Path,
    digest: str,
    source: MotionSource,
    bank: PathLike | MouthDatabase | None,
    database: MouthDatabase,
) -> tuple[Ingredient, ...]:
    """The manifest's ingredients: the target, a given database, the motion."""
    target = video_ingredient(path, "portrait", digest)
    if bank is None:
        return (target, source.ingredient)
    name = "mouths" if isinstance(bank, MouthDatabase) else Path(bank).name
    mouths = Ingredient(name, database.sha256 or "0" * 64, "portrait", "application/x-safetensors")
    return (target, mouths, source.ingredient)


def _warnings(path: Path, selection: MouthSelection) -> tuple[str, ...]:
    """A warning where many frames need a mouth that the database does not show."""
    sparse = float(np.mean(selection.distance > SPARSE))
    if sparse <= SPARSE_SHARE:
        return ()
    warning = f"{path.name}: {sparse:.0%} of the frames need a mouth unlike any in the video"
    return (f"{warning}; collect mouths from more footage of the person with gioconda adapt --for speech",)


def _bridged(tracked: TrackedTarget, target: Target) -> int:
    """The number of output frames without a face, those before it first appears left out."""
    unseen = (tracked.confidence < UNSEEN) & (tracked.times >= tracked.seen)
    return int(unseen[target.first].sum())


def _replay_note(path: Path, step: float, moments: int, count: int, tail: int) -> tuple[str, ...]:
    """A note where a video of some moments, `step` seconds apart, is shorter than the `count` of the output."""
    if count <= moments:
        return ()
    shown = "its last frame is held" if tail < 2 else f"its last {tail * step:.1f} s play back and forth"
    return (f"{path.name} ends after {moments * step:.1f} s; {shown} until {count * step:.1f} s",)


def _seconds(motion: Motion) -> float:
    """The duration of a motion in seconds, its last frame included."""
    if len(motion) == 1:
        return SINGLE_FRAME
    return float(motion.times[-1] - motion.times[0] + np.median(np.diff(motion.times)))


def driven_points(
    motion: Motion,
    rest: FloatArray,
    times: npt.NDArray[np.float64],
    strength: float,
    *,
    shut: bool = False,
) -> FloatArray:
    """Move the mouth's points of a face at rest as a motion does.

    Args:
        motion: The motion.
        rest: (478, 3), the person's face at rest in the canonical frame.
        times: (T,), seconds from the motion's start.
        strength: Of the lips' movement; 1 as in the motion.
        shut: Whether the lips meet where the motion rests, as in one made from a voice.

    Returns:
        (T, P, 3) float32, `POINTS` in the canonical frame, interpolated between the motion's frames.
    """
    unit = np.float32(REST_UNIT)
    image = np.zeros((REST_SIDE, REST_SIDE, 3), np.uint8)
    portrait = Portrait(image, Face(rest * unit + unit), "target")
    retargeted = RetargetedMotion(motion, portrait, Style(region="lips", strength=strength), shut=shut)
    before = np.searchsorted(motion.times - motion.times[0], times, side="right") - 1
    before = np.clip(before, 0, len(motion) - 1)
    points = np.empty((len(times), len(POINTS), 3), np.float32)
    held: dict[int, FloatArray] = {}
    for k, (index, seconds) in enumerate(zip(before.tolist(), times, strict=True)):
        after = min(index + 1, len(motion) - 1)
        for frame in (index, after):
            if frame not in held:
                held[frame] = (retargeted.target(frame).landmarks[POINTS] - unit) / unit
        gap = float(motion.times[after] - motion.times[index]) or 1.0
        share = np.float32(np.clip((seconds + motion.times[0] - motion.times[index]) / gap, 0, 1))
        if after != index and after == motion.take_at(after).start:
            share = np.rint(share)
        points[k] = held[index] + (held[after] - held[index]) * share
        held = {frame: held[frame] for frame in (index, after)}
    return points


def _positions(
    layout: FaceLayout, shown: IntArray, mouth_points: FloatArray, tail: int, step: float
) -> IntArray:
    """Positions (T,) of the target's moments in the output, retimed so that the head rests where the lips do.

    Args:
        layout: The target's N faces.
        shown: (K,), the frame at each moment.
        mouth_points: (T, P, 3), canonical frame.
        tail: The number of last moments that play back and forth.
        step: Seconds from one moment to the next.
    """
    count, drift = len(mouth_points), round(retime.DRIFT_SECONDS / step)
    positions = retime.to_and_fro(np.arange(count + drift + 2), len(shown), tail)
    pose, origin = layout.pose[shown], layout.origin[shown]
    turn = np.abs(np.diff(pose, axis=0, append=pose[-1:])).sum(1) / DEGREES_A_UNIT
    shift = np.linalg.norm(np.diff(origin, axis=0, append=origin[-1:]), axis=1)
    moving = shift / layout.scale[shown] + turn
    moving = moving[positions] / max(float(moving.mean()), 1e-4)
    limited = np.minimum(moving, MOVING_MOST).astype(np.float32)
    return retime.retime(limited, retime.resting_at(opening(mouth_points), 1 / step), drift)


def _selection(
    database: MouthDatabase, layout: FaceLayout, mouth_points: FloatArray, target: Target
) -> tuple[FloatArray, MouthSelection]:
    """The mouth's points (T, P, 3) without their bias, and the mouths selected for each output frame."""
    own, count = database.features, len(mouth_points)
    sample = np.linspace(0, count - 1, min(count, BIAS_FRAMES)).astype(np.intp)
    flat, pose = target.mouth_points(mouth_points[sample], sample), target.mean("pose", sample)
    shift = _closed_mouth_shift(database, layout, mouth_points)
    bias = shape_bias(own, database.points, flat + shift, pose)
    mouth_points[..., :2] += shift
    mouth_points[..., :2] += bias * (1 - lip_closure(mouth_points))[:, None, None]
    parts = []
    for start in range(0, count, PIECE):
        piece = slice(start, start + PIECE)
        parts.append(features(target.mouth_points(mouth_points[piece], piece), target.mean("pose", piece)))
    return mouth_points, select_mouths(own, np.concatenate(parts), database.source, database.frame)


def _closed_mouth_shift(database: MouthDatabase, layout: FaceLayout, mouth_points: FloatArray) -> FloatArray:
    """The shift (P, 2) from the driven mouth while shut to the person's own; 0 where either of them is never shut.

    The face at rest is estimated twice, for the driver and for the person. Where both shut their mouths, they must
    agree. A database adjusts only the lips: its heads' poses are not accurate enough for the jaw. mouth_points:
    (T, P, 3), canonical frame.
    """
    shift = np.zeros((mouth_points.shape[1], 2), np.float32)
    ours, theirs = closed_mouths(mouth_points), closed_mouths(layout.points)
    if not len(ours):
        return shift
    shut = mouth_points[ours].mean(0)
    if len(theirs):
        fields = (getattr(layout, name)[theirs] for name in ("matrix", "rotation", "scale", "origin"))
        return np.asarray((layout.points[theirs] - project_to_plane(shut[None], *fields)).mean(0), np.float32)
    stored = closed_mouths(database.points)
    if len(stored):
        shift[LIP_ROWS] = database.points[stored][:, LIP_ROWS].mean(0) - shut[LIP_ROWS, :2]
    return shift


def _tail(pixels: int, shown: IntArray, seen: int) -> int:
    """The number of the target's last moments over which a short target plays back and forth.

    Memory can hold them, and a title that precedes the face does not come again.

    Args:
        pixels: Of a frame.
        shown: (K,), the frame at each moment.
        seen: The moment at which the face first appears.
    """
    held = max(2, HELD_BYTES // (3 * pixels))
    return max(1, min(int((shown > shown[-1] - held).sum()), len(shown) - seen))
