"""What drawing anew could win where the warp tears or stretches a photo: the truth itself is put there.

Photos and targets are frames of one clip by chance, at least 0.2 s apart, and the head of each photo is warped to the
target's own landmarks. Where the warp stretches, squeezes or leaves the picture by more than a limit, outside the face,
the true pixels replace the warp's. No network can draw these places better than the truth, so the distance that remains
is that of what only lies in the wrong place.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import torch

from common import Clip, Clock, arguments, markdown, read_clips, say, two_cores, write_results
from gioconda import composite
from gioconda.engines import affine
from gioconda.engines.fewshot.crop import head_square, to_square
from gioconda.engines.warp.engine import WarpEngine, _warped
from gioconda.engines.warp.frame import WarpedFrame
from gioconda.engines.warp.identity import WarpIdentity
from gioconda.training.evaluate import bootstrap
from gioconda.training.evaluate.metrics import _inner_face
from gioconda.training.perceptual import SqueezeFeatures
from gioconda.types import Face, Patch, Portrait
from photos import (
    FOLDERS,
    SQUARE,
    SQUEEZE,
    _with_person,
    crops,
    distances_to_first,
    draw,
    images_at,
    shot_onto,
    track,
)

# Factors by which a pixel's source is stretched or squeezed from which on the truth replaces it.
LIMITS = (2.0, 1.5, 1.25)
# Pixels of the square by which such places grow.
GROWN = 3


def strain(warped: WarpedFrame, matrix: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The largest factor (SQUARE, SQUARE) by which the warp stretches or squeezes a pixel of the square.

    It is infinite where the warp turns a pixel over, or takes it from outside the photo of `shape` (H, W, ...).
    matrix: (2, 3), from the stage's pixels to the square's.
    """
    size, border = (SQUARE, SQUARE), cv2.BORDER_REPLICATE
    maps = [cv2.warpAffine(m, matrix, size, borderMode=border) for m in (warped.map_x, warped.map_y)]
    scale = float(np.hypot(*matrix[:, 0])) / 8
    slopes = [cv2.Sobel(m, cv2.CV_32F, dx, 1 - dx, ksize=3, scale=scale) for m in maps for dx in (1, 0)]
    jacobians = np.stack(slopes, -1).reshape(SQUARE, SQUARE, 2, 2)
    values = np.linalg.svd(jacobians, compute_uv=False)
    factor = np.maximum(values[..., 0], 1 / np.maximum(values[..., 1], 1e-3))
    outside = (maps[0] < 0) | (maps[1] < 0) | (maps[0] > shape[1] - 1) | (maps[1] > shape[0] - 1)
    factor[outside | (np.linalg.det(jacobians) <= 0)] = np.inf
    return np.asarray(factor)


def distances(
    identity: WarpIdentity, photo: Portrait, target: Portrait, inset: bool, network: SqueezeFeatures
) -> np.ndarray:
    """Distances of hair and contour: of the warp, then with the truth where it strains, (1 + LIMITS); then areas."""
    points = target.face.landmarks
    _, warped = _warped(identity, shot_onto(photo.face.landmarks, points), 0)
    corner = identity.background_warp.box[:2]
    patch = Patch(warped.image, corner, 0.0, identity.weight)
    truth, made = crops([target.image, composite.compose(photo.image, [patch])], points, inset)[0]
    inside = _inner_face(Face(to_square(points, head_square(points), SQUARE)), SQUARE)
    made[inside] = truth[inside]
    matrix = affine.moved(head_square(points).matrix(SQUARE), corner)
    factor, side = strain(warped, matrix, photo.image.shape), 2 * GROWN + 1
    pictures, areas = [truth, made], []
    for limit in LIMITS:
        torn = cv2.dilate((factor > limit).astype(np.uint8), np.ones((side, side), np.uint8)) > 0
        torn &= ~inside
        pictures.append(np.where(torn[..., None], truth, made))
        areas.append(float(torn.mean()))
    return np.array([*distances_to_first(network, pictures), *areas])


def clip_means(clip: Clip, options: Any, network: SqueezeFeatures) -> np.ndarray | None:
    """The means over a clip's photos and targets of `distances`; None where too few frames show a face."""
    times, faces = track(clip)
    photos, targets = draw(times, "mixed", options.photos, options.targets, options.seed)
    if not len(photos) or not len(targets):
        return None
    images = images_at(clip, [float(times[k]) for k in (*photos, *targets)])
    rows = []
    for k in photos:
        photo = _with_person(Portrait(images[float(times[k])], faces[k]))
        identity = WarpEngine().prepare(photo)
        shown = [Portrait(images[float(times[t])], faces[t]) for t in targets]
        rows += [distances(identity, photo, target, clip.inset, network) for target in shown]
    return np.asarray(np.mean(rows, 0))


def table(means: dict[str, np.ndarray]) -> str:
    """Ratios to the warp, with 95% bootstrap intervals over clips, and the share of the square that is replaced."""
    values = np.stack(list(means.values()))
    rows = []
    for k, limit in enumerate(LIMITS):
        found = bootstrap.of_mean((values[:, 1 + k] / values[:, 0]).tolist())
        assert found is not None
        interval = "" if found.low is None else f" [{found.low:.3f}, {found.high:.3f}]"
        area = values[:, 1 + len(LIMITS) + k].mean()
        rows.append((f"more than {limit:g} times", f"{area:.0%}", f"{found.mean:.3f}{interval}"))
    return markdown(("the truth where the warp strains", "of the square", "hair and contour"), rows)


def clips_table(means: dict[str, np.ndarray]) -> str:
    """The ratios of each clip."""
    rows = [[name, *(float(v / row[0]) for v in row[1 : 1 + len(LIMITS)])] for name, row in means.items()]
    return markdown(("clip", *(f"{limit:g}" for limit in LIMITS)), rows)


def _clips(options: Any) -> Sequence[Clip]:
    return [c for c in read_clips(options.data, "dev") if any(part in c.name for part in FOLDERS)]


def main() -> None:
    """Read the command line, measure, and write the tables."""
    parser = arguments(__doc__ or "")
    parser.add_argument("--photos", type=int, default=4, help="of each clip (default %(default)s)")
    parser.add_argument("--targets", type=int, default=8, help="of each clip (default %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the draws (default %(default)s)")
    options = parser.parse_args()
    two_cores()
    torch.set_num_threads(1)
    network, clock, means = SqueezeFeatures(options.data / SQUEEZE), Clock(), dict[str, np.ndarray]()
    for clip in _clips(options):
        found = clip_means(clip, options, network)
        if found is not None:
            means[clip.name] = found
            say(f"{clock}: {clip.name}: {found.round(3).tolist()}")
    if not means:
        sys.exit("no clip shows a face in enough frames")
    settings = {"photos": options.photos, "targets": options.targets, "seed": options.seed}
    text = f"{table(means)}\n\n{clips_table(means)}"
    write_results(options.out, "torn_places", {**settings, "limits": LIMITS, "clips": means}, text)


if __name__ == "__main__":
    main()
