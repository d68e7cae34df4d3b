"""Which of several photos of a person a frame is best drawn from: rules of choice, against the truth.

Frames of a clip are the photos and others the targets, both by chance. The warp engine without its refiner brings every
photo to every target's own landmarks; scored is the perceptual distance to the true frame (SqueezeNet's, unit weights,
not plain LPIPS), of the square around the head and of the box around the face. Two protocols:

mixed: photos come from anywhere, at least 0.2 s from every target.
thirds: photos come from the clip's first third, targets from its last.

The weights of the engine's choice are fitted on clips of the train split, by non-negative least squares. The rules are
compared on clips of the dev split alone, target by target: no photo fades into the next, and none has to stay.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.optimize import nnls

from common import INSET, Clip, Clock, arguments, markdown, read_clips, say, two_cores, write_results
from gioconda import composite, face
from gioconda.engines.fewshot.crop import cut_square, head_square, to_square
from gioconda.engines.warp.choice import WEIGHTS, PhotoChoice
from gioconda.engines.warp.engine import WarpEngine
from gioconda.inputs.portrait import person_around
from gioconda.landmarks import bounds, fit_similarities
from gioconda.media import read_frames
from gioconda.motion.expression import load_basis
from gioconda.motion.pose import euler_from_rotation, fit_poses
from gioconda.tracking import tracked_frames
from gioconda.training.evaluate import bootstrap
from gioconda.training.evaluate.metrics import _planes
from gioconda.training.perceptual import SqueezeFeatures, feature_distance
from gioconda.types import Face, Portrait, TargetPose

SQUEEZE = "metrics/squeezenet11.safetensors"
PROTOCOLS = ("mixed", "thirds")
FOLDERS = ("talk/", "driving/")
MOST_FRAMES = 900  # of a clip, from its start
APART = 0.2  # seconds between photos and targets of `mixed`
SQUARE, BOX = 256, 160  # pixels to which the head's square and the face's box are brought
AROUND = 4  # pixels of the square by which the box is larger than the landmarks
COVERED = 127  # grey level of what an inset covers
PARTS = ("head", "face")
TERMS = ("offset", "shape", "lids")
RULES = (
    "the first photo",
    "a photo by chance",
    "nearest head pose",
    "nearest landmarks",
    "nearest shape",
    "the engine's choice",
    "the best photo (oracle)",
)


@dataclass(frozen=True)
class Pairs:
    """All pairs of a clip's N targets and K photos, which are in the order of time.

    Attributes:
        clip: Its name.
        split: Its split.
        protocol: How photos and targets were drawn.
        distances: (N, K, 2), perceptual distances of the head and of the face.
        terms: (N, K, 3), the terms of the engine's choice.
        turns: (N, K), distances of the head poses (yaw, pitch, roll), degrees.
    """

    clip: str
    split: str
    protocol: str
    distances: np.ndarray
    terms: np.ndarray
    turns: np.ndarray

    @property
    def relative(self) -> np.ndarray:
        """(N, K, 2), the distances as shares of each target's mean over photos."""
        return self.distances / self.distances.mean(1, keepdims=True)


def track(clip: Clip) -> tuple[np.ndarray, list[Face]]:
    """Times (T,) of the frames that show the clip's person with both eyes, in seconds, and the faces."""
    times, faces = [], []
    with closing(tracked_frames(clip.path, one_person=True)) as frames:
        for index, (frame, found, *_) in enumerate(frames):
            if index == MOST_FRAMES:
                break
            if found is not None and face.shows_both_eyes(found, frame.image.shape):
                times.append(frame.time)
                faces.append(found)
    return np.array(times), faces


def draw(times: np.ndarray, protocol: str, photos: int, targets: int, seed: int) -> tuple[np.ndarray, ...]:
    """Increasing indices of photos and of targets; fewer where a clip has fewer."""
    rng, everything = np.random.default_rng(seed), np.arange(len(times))
    pool, ends = everything, everything
    if protocol == "thirds":
        pool, ends = everything[: len(times) // 3], everything[2 * len(times) // 3 :]
    chosen = np.sort(rng.choice(ends, min(targets, len(ends)), replace=False))
    apart = np.abs(times[pool, None] - times[chosen]).min(1, initial=np.inf)
    pool = pool[apart >= APART]
    return np.sort(rng.choice(pool, min(photos, len(pool)), replace=False)), chosen


def images_at(clip: Clip, times: Sequence[float]) -> dict[float, np.ndarray]:
    """The frames (H, W, 3) of a clip at some times, by time in seconds."""
    wanted, images = set(times), {}
    with closing(read_frames(clip.path)) as frames:
        for frame in frames:
            if frame.time in wanted:
                images[frame.time] = frame.image
            if len(images) == len(wanted):
                break
    return images


def shot_onto(landmarks: np.ndarray, target: np.ndarray) -> TargetPose:
    """A target pose that brings a photo's head to landmarks (478, 3) of the same person."""
    rotation, scale, shift = fit_similarities(landmarks, target[None])
    return TargetPose(0.0, target, rotation[0], float(scale[0]), shift[0], np.zeros(52, np.float32))


def crops(images: Sequence[np.ndarray], landmarks: np.ndarray, inset: bool) -> list[list[np.ndarray]]:
    """The head squares of pictures in the same pose, and their face boxes; an inset is grey in all of them."""
    square = head_square(landmarks)
    heads = []
    for image in images:
        shown = image.copy()
        if inset:
            shown[INSET[1] :, : INSET[0]] = COVERED
        heads.append(cut_square(shown, square, SQUARE))
    low, high = bounds(to_square(landmarks, square, SQUARE))
    left, top = np.maximum(low - AROUND, 0).astype(int)
    right, bottom = np.minimum(high + AROUND, SQUARE).astype(int)
    boxes = [composite.resize(head[top:bottom, left:right], (BOX, BOX)) for head in heads]
    return [heads, boxes]


def distances_to_first(network: SqueezeFeatures, pictures: Sequence[np.ndarray]) -> np.ndarray:
    """Perceptual distances (K,) of all pictures but the first to the first, all of one size."""
    with torch.inference_mode():
        features = network(torch.from_numpy(_planes(pictures)))
        first = {name: values[:1] for name, values in features.items()}
        others = ({n: v[k : k + 1] for n, v in features.items()} for k in range(1, len(pictures)))
        return np.array([float(feature_distance(first, other)) for other in others])


def head_poses(landmarks: np.ndarray) -> np.ndarray:
    """Yaw, pitch and roll of heads (T, 478, 3), degrees, (T, 3)."""
    return np.stack(euler_from_rotation(fit_poses(landmarks, load_basis().neutral)[0]), 1)


def measured(
    clip: Clip, protocol: str, photos: list[Portrait], targets: list[Portrait], network: SqueezeFeatures
) -> Pairs:
    """Warp every photo to every target, and measure the distances."""
    engine = WarpEngine()
    identities = [engine.prepare(photo) for photo in photos]
    choice = PhotoChoice([photo.face.landmarks for photo in photos])
    distances = []
    for target in targets:
        points, made = target.face.landmarks, []
        for photo, identity in zip(photos, identities, strict=True):
            patches = list(engine.render(identity, [shot_onto(photo.face.landmarks, points)]))
            made.append(composite.compose(photo.image, patches))
        parts = crops([target.image, *made], points, clip.inset)
        distances.append(np.stack([distances_to_first(network, part) for part in parts], 1))
    terms = np.stack([choice.terms(target.face.landmarks) for target in targets])
    poses = [head_poses(np.stack([one.face.landmarks for one in group])) for group in (targets, photos)]
    turns = np.linalg.norm(poses[0][:, None] - poses[1], axis=2)
    return Pairs(clip.name, clip.split, protocol, np.stack(distances), terms, turns)


def pairs_of(clip: Clip, options: argparse.Namespace, network: SqueezeFeatures) -> Iterator[Pairs]:
    """The pairs of a clip, of each protocol; those without two photos and a target are left out."""
    times, faces = track(clip)
    drawn = {p: draw(times, p, options.photos, options.targets, options.seed) for p in options.protocol}
    needed = sorted({int(k) for groups in drawn.values() for group in groups for k in group})
    images = images_at(clip, [float(times[k]) for k in needed])
    shown = {k: Portrait(images[float(times[k])], faces[k]) for k in needed}
    for protocol, (photos, targets) in drawn.items():
        if len(photos) < 2 or not len(targets):
            say(f"{clip.name}, {protocol}: too few frames show a face; left out")
            continue
        sources = [_with_person(shown[int(k)]) for k in photos]
        yield measured(clip, protocol, sources, [shown[int(k)] for k in targets], network)


def _with_person(shown: Portrait) -> Portrait:
    """A frame with its person's mask, as a photo has it."""
    return Portrait(shown.image, shown.face, person=person_around(shown.image, shown.face))


def fit(pairs: Sequence[Pairs]) -> tuple[np.ndarray, float]:
    """Non-negative weights (3,) of the terms for the mean relative distance of both parts, and the R^2 of the fit.

    Both sides are centred over the photos of each target: only differences between photos matter to a choice.
    """
    terms = np.concatenate([_centred(one.terms).reshape(-1, len(TERMS)) for one in pairs])
    costs = np.concatenate([_centred(one.relative.mean(2)).ravel() for one in pairs])
    weights, residual = nnls(terms, costs)
    return weights, float(1 - residual**2 / (costs**2).sum())


def _centred(values: np.ndarray) -> np.ndarray:
    """Values (N, K, ...) without their means over photos, float64."""
    wide = values.astype(np.float64)
    return wide - wide.mean(1, keepdims=True)


def taken(pairs: Pairs) -> np.ndarray:
    """What each rule's photo costs relative to a photo by chance, means over the targets: (rules, parts)."""
    offset, shape, _ = np.moveaxis(pairs.terms, 2, 0)
    costs = {
        "nearest head pose": pairs.turns,
        "nearest landmarks": offset,
        "nearest shape": shape,
        "the engine's choice": pairs.terms @ np.array(WEIGHTS),
    }
    relative = pairs.relative
    rows = {
        "the first photo": relative[:, 0],
        "a photo by chance": relative.mean(1),
        "the best photo (oracle)": relative.min(1),
    }
    targets = np.arange(len(relative))
    rows |= {rule: relative[targets, cost.argmin(1)] for rule, cost in costs.items()}
    return np.stack([rows[rule].mean(0) for rule in RULES])


def weights_table(pairs: Sequence[Pairs]) -> tuple[str, list[dict[str, Any]]]:
    """Weights fitted on each protocol and on all, beside the engine's own: the table, and the values."""
    groups = {p: [one for one in pairs if one.protocol == p] for p in PROTOCOLS}
    fits = {name: group for name, group in groups.items() if group}
    if len(fits) > 1:
        fits["both"] = list(pairs)
    rows: list[list[Any]] = []
    for name, group in fits.items():
        weights, explained = fit(group)
        clips = len({one.clip for one in group})
        rows.append([f"{name}, {clips} clips", *(float(w) for w in weights), explained])
    rows.append(["engines/warp/choice.py", *WEIGHTS, float("nan")])
    header = ("fitted on train", *TERMS, "R^2")
    return markdown(header, rows), [dict(zip(header, row, strict=True)) for row in rows]


def rules_table(pairs: Sequence[Pairs]) -> tuple[str, dict[str, Any]]:
    """Each rule's means over the clips of each protocol, with their intervals: the table, and the values."""
    header, columns, values = [f"{len({one.clip for one in pairs})} dev clips"], [], dict[str, Any]()
    for name in PROTOCOLS:
        costs = [taken(one) for one in pairs if one.protocol == name]
        if not costs:
            continue
        values[name] = {rule: {} for rule in RULES}
        for part, label in enumerate(PARTS):
            estimates = [bootstrap.of_mean([cost[k, part] for cost in costs]) for k in range(len(RULES))]
            header.append(f"{name}, {label}")
            columns.append([_cell(estimate) for estimate in estimates])
            for rule, estimate in zip(RULES, estimates, strict=True):
                values[name][rule][label] = None if estimate is None else asdict(estimate)
    return markdown(header, zip(RULES, *columns, strict=True)), values


def _cell(estimate: bootstrap.Estimate | None) -> str:
    """A mean with its interval, where it has one."""
    if estimate is None:
        return "-"
    if estimate.low is None or estimate.high is None or estimate.low == estimate.high:
        return f"{estimate.mean:.3f}"
    return f"{estimate.mean:.3f} [{estimate.low:.3f}, {estimate.high:.3f}]"


def clips_table(pairs: Sequence[Pairs]) -> str:
    """Each clip: what every rule's photo costs, head and face."""
    rows = []
    for one in pairs:
        cells = (f"{head:.2f}, {box:.2f}" for head, box in taken(one))
        rows.append([one.clip, one.protocol, *cells])
    return markdown(("clip", "protocol", *RULES), rows)


def report(pairs: Sequence[Pairs]) -> tuple[str, dict[str, Any]]:
    """All tables in markdown, and their values."""
    train, dev = ([one for one in pairs if one.split == split] for split in ("train", "dev"))
    lead = (
        "Perceptual distance of the photo that a rule takes, relative to the mean over photos, with 95% bootstrap "
        "intervals over clips. In the last table: head, face."
    )
    text = [lead]
    values: dict[str, Any] = {}
    if train:
        table, values["weights"] = weights_table(train)
        text.append(table)
    if dev:
        table, values["rules"] = rules_table(dev)
        text += [table, clips_table(dev)]
        values["clips"] = {f"{one.clip} {one.protocol}": taken(one) for one in dev}
    return "\n\n".join(text), values


def _options() -> argparse.Namespace:
    """What the command line says."""
    parser = arguments(__doc__ or "")
    parser.add_argument("--photos", type=int, default=10, help="of each clip (default %(default)s)")
    parser.add_argument("--targets", type=int, default=10, help="of each clip (default %(default)s)")
    parser.add_argument("--protocol", nargs="+", choices=PROTOCOLS, default=PROTOCOLS, help="default: both")
    parser.add_argument(
        "--clips",
        nargs="+",
        default=FOLDERS,
        help="clips whose name contains one of these (default talk/ driving/)",
    )
    parser.add_argument("--seed", type=int, default=0, help="of the draws (default %(default)s)")
    parser.add_argument("--features", type=Path, help=f"SqueezeNet 1.1 (default DATA/{SQUEEZE})")
    parser.add_argument("--json", type=Path, help="also write every pair's distances, terms and turns here")
    return parser.parse_args()


def main() -> None:
    """Read the command line, run, and write the tables."""
    options = _options()
    two_cores()
    torch.set_num_threads(1)
    clips = [c for c in read_clips(options.data) if any(part in c.name for part in options.clips)]
    if not clips:
        sys.exit(f"no clip is named like {' or '.join(options.clips)}")
    network = SqueezeFeatures(options.features or options.data / SQUEEZE)
    clock, pairs = Clock(), list[Pairs]()
    for clip in clips:
        for one in pairs_of(clip, options, network):
            pairs.append(one)
            head, box = taken(one)[RULES.index("the engine's choice")]
            say(f"{clock}: {one.clip}, {one.protocol}, {one.split}: {head:.2f}, {box:.2f}")
    if not pairs:
        sys.exit("no clip shows a face in enough frames")
    if options.json is not None:
        rows = [{name: np.asarray(v).tolist() for name, v in asdict(one).items()} for one in pairs]
        options.json.write_text(json.dumps(rows) + "\n", encoding="utf-8")
    text, values = report(pairs)
    settings = {"photos": options.photos, "targets": options.targets, "seed": options.seed}
    write_results(options.out, "photos", {**settings, **values, "seconds": clock.seconds}, text)


if __name__ == "__main__":
    main()
