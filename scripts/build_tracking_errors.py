"""Build `tracking_errors.npz`: what the tracker's landmarks do with an expression and true ones do not.

    python scripts/build_tracking_errors.py --kept build/pose

Renders of made-up people are read by the tracker: random faces at random poses (`ict_clips.PEOPLE`), and the
benchmark's single faces by people whom it does not report (`ict_clips.TAUGHT`). Of how the landmarks change from a
face at rest to a face of known blendshapes, once the pose is taken off, the change that the blendshapes make is taken
away. The principal components of what is left go into the asset; `gioconda.motion.expression.solve` gives them next
to no weight. `benchmarks/pose_leak.py` measures what that gains on other people.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "benchmarks"))

import ict_clips  # noqa: E402
from gioconda.motion.expression import EYES, IRISES, offsets, weighted_features  # noqa: E402
from gioconda.motion.from_faces import own_head  # noqa: E402
from gioconda.motion.lips import open_rounded  # noqa: E402
from gioconda.motion.pose import fit_own_poses  # noqa: E402

ASSET = ROOT / "src" / "gioconda" / "assets" / "tracking_errors.npz"
COMPONENTS = 64


def canonical(seen: np.ndarray) -> np.ndarray:
    """One person's landmarks (T, 478, 3) with their poses taken off."""
    rotation, scale, origin = fit_own_poses(seen, own_head(seen))
    return np.asarray((seen - origin[:, None]) @ rotation / scale[:, None, None], np.float32)


def off_truth(points: np.ndarray, rest: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Errors (N, 478 * 3) of canonical points (N, 478, 3), since the same face at rest, that show weights (N, 52)."""
    change = points - rest
    open_rounded(change, rest)
    errors = change - offsets(weights)
    # Painted eyeballs tell little of how the tracker reads eyes.
    errors[:, [*EYES, *IRISES]] = 0
    return errors.reshape(len(points), -1).astype(np.float64)


def random_faces(seen: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Errors of one person's random faces: landmarks (T, 478, 3) and weights (T, 52), at rest first at each pose."""
    points, each = canonical(seen), ict_clips.RANDOM_FACES + 1
    starts = range(0, len(seen), each)
    parts = [(points[s + 1 : s + each], points[s], weights[s + 1 : s + each]) for s in starts]
    return np.concatenate([off_truth(*part) for part in parts])


def single_faces(clip: ict_clips.ICTClip) -> np.ndarray:
    """Errors of the benchmark's faces at their full strength."""
    points = canonical(clip.tracked)
    held = [clip.held(face) for face in range(len(ict_clips.FACES))]
    parts = [(points[[f]], points[rest].mean(0), clip.weights[[f]]) for f, rest in held]
    return np.concatenate([off_truth(*part) for part in parts])


def principal(errors: np.ndarray, count: int) -> np.ndarray:
    """The `count` principal components (count, 478 * 3) of errors, as the solver weighs landmarks and gaps."""
    turn, _, _ = np.linalg.svd(weighted_features(errors), full_matrices=False)
    return turn[:, :count].T @ errors / np.sqrt(len(errors))


def main() -> None:
    """Write the asset."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--kept", type=Path, default=Path("build/pose"), help="where tracked renders are kept"
    )
    options = parser.parse_args()
    people = zip(ict_clips.PEOPLE, ict_clips.random_people(options.kept / "random"), strict=True)
    parts = [random_faces(seen, ict_clips.random_rows(person)) for person, seen in people]
    parts += [single_faces(clip) for clip in ict_clips.clips(ict_clips.TAUGHT, options.kept / "ict")]
    errors = np.concatenate(parts)
    components = principal(errors, COMPONENTS)
    all_of_it = (weighted_features(errors) ** 2).mean(0).sum()
    share = (weighted_features(components) ** 2).sum() / all_of_it
    print(f"{len(errors)} faces; {COMPONENTS} components hold {100 * share:.0f} % of the errors")
    np.savez_compressed(ASSET, errors=components.astype(np.float16))
    print(f"{ASSET.name}: {ASSET.stat().st_size / 1024:.0f} kB")


if __name__ == "__main__":
    main()
