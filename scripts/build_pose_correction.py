"""Build `pose_correction.npz`: what an expression does to a fitted pose, as a linear map of the landmarks.

    python scripts/build_pose_correction.py --data ../shared/data --kept build/pose

Ridge regression from the landmarks' change in the canonical frame, under the pose that plain fitting finds, to the
error of that pose. Six sets of samples, all of them of other people than those that `benchmarks/pose_leak.py` reports:

- renders of made-up people (`ict_clips.PEOPLE`) who make random faces at random poses, read by the tracker,
- the benchmark's single faces, made by further people (`ict_clips.TAUGHT`),
- the same people's rest at several poses: the correction leaves a turn without expression as it is,
- true landmarks of made-up people: where the landmarks do not leak, nothing is taken off,
- frames of real clips in which the head rests by its hair (`resting_heads`), from the train split without GRID,
- such heads as far as the hair moves with them: a nod stays a nod.

To the principal components of the last set the map is blind, so that turns do not shrink; no face that is the same on
both sides turns or tilts the head to one of them.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "benchmarks"))

import ict_clips  # noqa: E402
import resting_heads  # noqa: E402
from common import DATA, Clip, read_clips  # noqa: E402
from gioconda.landmarks import mirror_table  # noqa: E402
from gioconda.motion.expression import OUTLINE, load_basis, offsets  # noqa: E402
from gioconda.motion.from_faces import own_head  # noqa: E402
from gioconda.motion.pose import fit_poses, rotation_from_euler  # noqa: E402
from gioconda.motion.smooth import nearest_rotation  # noqa: E402

ASSET = ROOT / "src" / "gioconda" / "assets" / "pose_correction.npz"
CLIPS_EACH = 8  # of a real person
MOVES, FAR = 0.02, 0.2  # likewise, of heads that move, and so far that the hair's corners are lost
REST = 0.016  # see `resting_heads.STILL`; wider, since the hair's shift is taken off here
NOISE = (0.004, 0.004, 0.01)  # inter-ocular units: what of a landmark's change is nobody's expression
SLIDING = 2.0  # times as much on the outline, which slides along the silhouette
ANGLES = np.array([20.0, 18.0, 12.0])  # degrees, of the people whose true landmarks are taken

TURNING = 8  # principal components of a moving head's landmarks; more would take expressions for turns

SIDEWAYS = [1, 2, 4]  # rows of the asset that change their sign in a mirror: yaw, roll, shift to the right

Samples = tuple[np.ndarray, np.ndarray]  # change of landmarks (N, 1434), error of pose (N, 7)


@dataclass(frozen=True)
class Fitted:
    """Frames under the poses that plain fitting finds: rotation, scale, origin and canonical points."""

    rotation: np.ndarray
    scale: np.ndarray
    origin: np.ndarray
    canonical: np.ndarray

    @classmethod
    def to(cls, landmarks: np.ndarray) -> Fitted:
        """Of one person's landmarks (T, 478, 3), by the person's own median face."""
        seen = landmarks.astype(np.float32)
        rotation, scale, origin = (a.astype(np.float64) for a in fit_poses(seen, own_head(seen)))
        return cls(rotation, scale, origin, (seen - origin[:, None]) @ rotation / scale[:, None, None])

    def off(
        self, frames: slice | np.ndarray, rotation: np.ndarray, scale: float, origin: np.ndarray
    ) -> np.ndarray:
        """How far the poses of some frames are from another, (N, 7), in the rows' order of the asset."""
        turn = rotation.T @ self.rotation[frames]
        angle = np.arccos(np.clip((np.trace(turn, axis1=1, axis2=2) - 1) / 2, -1, 1))
        skew = np.stack([turn[:, i, j] - turn[:, j, i] for i, j in ((2, 1), (0, 2), (1, 0))], 1) / 2
        vector = skew * (angle / np.maximum(np.sin(angle), 1e-9))[:, None]
        shift = (self.origin[frames] - origin) @ rotation / scale
        return np.column_stack([vector, np.log(self.scale[frames] / scale), shift])

    def since(self, frames: slice | np.ndarray, rest: int) -> Samples:
        """Change and error of some frames since frame `rest`, at the same true pose."""
        change = (self.canonical[frames] - self.canonical[rest]).reshape(-1, self.canonical[0].size)
        return change, self.off(frames, self.rotation[rest], float(self.scale[rest]), self.origin[rest])


def joined(parts: list[Samples]) -> Samples:
    """Samples one after another."""
    changes, errors = zip(*parts, strict=True)
    return np.concatenate(changes), np.concatenate(errors)


def rendered(kept: Path) -> tuple[Samples, Samples]:
    """Random faces of made-up people; and their rest at several poses, whose error counts as none."""
    faces, rests = [], []
    for seen in ict_clips.random_people(kept):
        fitted = Fitted.to(seen)
        each = ict_clips.RANDOM_FACES + 1
        starts = range(0, len(seen), each)
        faces += [fitted.since(slice(start + 1, start + each), start) for start in starts]
        change, error = fitted.since(np.array(starts[1:]), 0)
        rests.append((change, 0 * error))
    return joined(faces), joined(rests)


def single_faces(kept: Path) -> Samples:
    """The benchmark's faces at their full strength."""
    parts = []
    for clip in ict_clips.clips(ict_clips.TAUGHT, kept):
        fitted = Fitted.to(clip.tracked)
        for face in range(len(ict_clips.FACES)):
            frame, rest = clip.held(face)
            parts.append(fitted.since(np.array([frame]), rest.start + 1))
    return joined(parts)


def true_landmarks(people: int = 60, faces: int = 24) -> Samples:
    """Landmarks as the basis makes them, without a tracker."""
    rng, basis, parts = np.random.default_rng(5), load_basis(), []
    for _ in range(people):
        identity = ict_clips.SPREAD * rng.normal(size=ict_clips.MODES)
        shape = basis.neutral + np.tensordot(identity, basis.identity.astype(np.float64), 1)
        weights = np.stack([ict_clips.random_weights(rng) for _ in range(faces)])
        weights[0] = 0
        turn = rotation_from_euler(*(rng.uniform(-1, 1, 3) * ANGLES)).astype(np.float64)
        laid = ict_clips.UNIT * (shape + offsets(weights)) @ turn.T + ict_clips.PLACE
        parts.append(Fitted.to(laid).since(slice(1, None), 0))
    return joined(parts)


def real_clips(data: Path) -> Iterator[Clip]:
    """Train clips of all real people but GRID's one man, of whom the benchmark reports most."""
    clips = [c for c in read_clips(data, "train") if "body_" not in c.name and c.identity != "grid_s1"]
    for person in sorted({c.identity for c in clips}):
        own = [c for c in clips if c.identity == person]
        yield from own[:: max(1, len(own) // CLIPS_EACH)][:CLIPS_EACH]


def resting(data: Path, kept: Path) -> Samples:
    """Frames of real heads at rest; what the hair shows of a shift and a growth is not an error."""
    parts = []
    for window in resting_heads.windows(list(real_clips(data)), kept):
        if window.still >= REST:
            continue
        fitted, hair = Fitted.to(window.landmarks), window.hair - window.hair.mean(0)
        middle = nearest_rotation(fitted.rotation.mean(0)).astype(np.float64)
        error = fitted.off(slice(None), middle, float(fitted.scale.mean()), fitted.origin.mean(0))
        error[:, 4:6] -= (np.pad(hair[:, :2], ((0, 0), (0, 1))) @ middle)[:, :2]
        error[:, 3] -= np.log1p(hair[:, 3])
        change = (fitted.canonical - fitted.canonical.mean(0)).reshape(len(error), -1)
        parts.append((change, error - error.mean(0)))
    return joined(parts)


def nodding(data: Path, kept: Path) -> Samples:
    """Changes of real heads as far as the hair moves with them: poses, whose error counts as none.

    Each person's landmarks are regressed on the hair, over all windows, so that chance meetings of a nod and a word
    average out.
    """
    people: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {}
    for window in resting_heads.windows(list(real_clips(data)), kept):
        if MOVES <= window.still < FAR:
            canonical = Fitted.to(window.landmarks).canonical
            change = resting_heads.detrended(canonical).reshape(len(canonical), -1)
            people.setdefault(window.identity, []).append((change, resting_heads.detrended(window.hair)))
    parts = []
    for windows in people.values():
        change, hair = joined(windows)
        parts.append(hair @ np.linalg.lstsq(hair, change, rcond=None)[0])
    found = np.concatenate(parts)
    return found, np.zeros((len(found), 7))


def turning(change: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """What a turn of the head does to landmarks: the first principal components (TURNING, 1434), over the noise."""
    return np.linalg.svd(change / noise, full_matrices=False)[2][:TURNING]


def mirrored(samples: Samples) -> Samples:
    """The same faces seen in a mirror."""
    change, error = samples
    turned = change.reshape(len(change), -1, 3)[:, mirror_table()] * [-1, 1, 1]
    return turned.reshape(change.shape), error * np.where(np.isin(np.arange(7), SIDEWAYS), -1, 1)


def ridge(parts: list[tuple[Samples, float]], still: np.ndarray) -> np.ndarray:
    """The map (7, 1434) from change to error; each set counts by its weight, not by its size.

    still: changes (N, 1434) to whose principal components the map is blind.
    """
    noise = np.tile(NOISE, (load_basis().neutral.shape[0], 1))
    noise[OUTLINE] *= SLIDING
    flat = noise.ravel()
    turns = turning(still, flat)
    normal, target = np.eye(flat.size), np.zeros((7, flat.size))
    for (change, error), weight in parts:
        seen = change / flat
        seen = seen - seen @ turns.T @ turns
        normal += weight / len(change) * seen.T @ seen
        target += weight / len(change) * error.T @ seen
    correction = np.linalg.solve(normal, target.T).T
    return (correction - correction @ turns.T @ turns) / flat


def main() -> None:
    """Write the asset."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA, help="folder with clips.tsv (default %(default)s)")
    parser.add_argument(
        "--kept", type=Path, default=Path("build/pose"), help="where tracked renders are kept"
    )
    options = parser.parse_args()
    faces, rests = rendered(options.kept / "random")
    sets = {
        "random faces": (faces, WEIGHTS[0]),
        "single faces": (single_faces(options.kept / "ict"), WEIGHTS[1]),
        "rest at several poses": (rests, WEIGHTS[2]),
        "true landmarks": (true_landmarks(), WEIGHTS[3]),
        "real heads at rest": (resting(options.data, options.kept / "resting"), WEIGHTS[4]),
        "real heads that move": (nodding(options.data, options.kept / "resting"), WEIGHTS[5]),
    }
    both = {name: (joined([part, mirrored(part)]), weight) for name, (part, weight) in sets.items()}
    correction, level = (ridge(list(of.values()), of["real heads that move"][0][0]) for of in (sets, both))
    # Learnt from faces and their mirror images, these rows are 0 for whatever is the same on both sides.
    correction[SIDEWAYS] = level[SIDEWAYS]
    scale = np.r_[np.degrees([1, 1, 1]), [100] * 4]
    for name, ((change, error), _) in sets.items():
        before, after = (np.sqrt((e**2).mean(0)) * scale for e in (error, error - change @ correction.T))
        print(f"{name:24s} {len(change):5d}  degrees, %: {before.round(2)} -> {after.round(2)}")
    np.savez_compressed(ASSET, correction=correction.astype(np.float32))
    print(f"{ASSET.name}: {ASSET.stat().st_size / 1024:.0f} kB")


WEIGHTS = (1.0, 10.0, 2.0, 1.0, 3.0, 20.0)  # of the six sets: chosen on the tune half of `pose_leak.py`

if __name__ == "__main__":
    main()
