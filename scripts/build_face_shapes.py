"""Build `face_shapes.npz`: what faces look like at rest, and how their expressions vary, to the tracker.

    python scripts/build_face_shapes.py --data ../shared/data

From people of the train split, each picture read alone by the package's own tracker (`benchmarks/one_picture.py`):

- mean face and principal components of people's neutral photos, and of their mirror images,
- the covariance of the coefficients in films and smiling photos, solved against each person's own face at rest,
- principal components of what those coefficients leave unexplained.

The asset holds no picture and no single person's landmarks.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "benchmarks"))

from common import DATA  # noqa: E402
from gioconda.landmarks import mirror_table  # noqa: E402
from gioconda.motion.expression import offsets, solve  # noqa: E402
from gioconda.types import ARKIT_INDEX, ARKIT_NAMES  # noqa: E402
from one_picture import alone, changes, filmed, photographed  # noqa: E402

ASSET = ROOT / "src" / "gioconda" / "assets" / "face_shapes.npz"
MODES, ERRORS = 30, 10  # chosen by benchmarks/one_picture.py on its half `tune`
MIRROR = np.array([-1, 1, 1], np.float32)


def with_mirror_images(faces: np.ndarray) -> np.ndarray:
    """Faces (N, 478, 3) and their mirror images, (2N, 478, 3)."""
    return np.concatenate([faces, faces[:, mirror_table()] * MIRROR])


def mirrored_columns() -> list[int]:
    """Index of each coefficient's counterpart on the other side."""
    return [ARKIT_INDEX[_other_side(name)] for name in ARKIT_NAMES]


def _other_side(name: str) -> str:
    for side, other in (("Left", "Right"), ("Right", "Left")):
        if name.endswith(side):
            return name.removesuffix(side) + other
    return name


def components(rows: np.ndarray, count: int) -> np.ndarray:
    """Principal components (count, M) of rows (N, M) about 0, each as long as its standard deviation.

    The sign of a component is arbitrary; here its largest entry is positive, so that a rebuild gives the same file.
    """
    _, lengths, directions = np.linalg.svd(rows.astype(np.float64), full_matrices=False)
    kept = directions[:count] * (lengths[:count, None] / np.sqrt(len(rows)))
    largest = kept[np.arange(len(kept)), np.abs(kept).argmax(1)]
    return kept * np.sign(largest)[:, None]


def main() -> None:
    """Track the people, and write the asset."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA, help="folder with stills/ and clips.tsv")
    data = parser.parse_args().data
    photos = list(photographed(data, "train"))
    people = [*photos, *filmed(data, "train")]
    shapes = with_mirror_images(alone(np.array([person.neutral for person in photos])))
    change = np.concatenate([changes(person) for person in people if len(person.faces)])
    expression = solve(change)
    both = np.concatenate([expression, expression[:, mirrored_columns()]]).astype(np.float64)
    unexplained = with_mirror_images(change - offsets(expression))
    mean = shapes.mean(0)
    arrays = {
        "mean": mean.astype(np.float32),
        "modes": components((shapes - mean).reshape(len(shapes), -1), MODES).astype(np.float16),
        "errors": components(unexplained.reshape(len(unexplained), -1), ERRORS).astype(np.float16),
        "covariance": (both.T @ both / len(both)).astype(np.float32),
    }
    temp = ASSET.with_suffix(".tmp.npz")
    np.savez_compressed(temp, **arrays)
    temp.replace(ASSET)
    size = ASSET.stat().st_size / 1024
    print(f"{len(photos)} people at rest, {len(change)} expressions of {len(people)}; {size:.0f} kB")


if __name__ == "__main__":
    main()
