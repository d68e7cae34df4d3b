"""The neural refiner against the warp alone: self-reenactment of the dev people, paired by clip.

The first frame of each clip is driven by the clip's tracked motion alone, so that no pixel of the truth can leak in
through a driver's mouth; 256 px of face crop. Each network is compared with the warp on the same clips; intervals
are 95% bootstrap over clips. The perceptual distance is SqueezeNet's, unit weights, so not plain LPIPS: averaged over
mouth and eyes, where the network may change the picture; a column of its own has the whole crop, hair and background
included. The networks were trained on the layers fire3, fire5, fire7 and fire9; "unseen layers" leaves these out. CSIM
is taken at the tracked landmarks of the truth for both.

With --photos the dev people of the stills instead: one expression moved to where the other's landmarks lie, neutral to
smile and back, the truth brought to the source's place and light; without flicker.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from common import (
    EMBEDDER,
    Clip,
    Clock,
    arguments,
    crop_around,
    markdown,
    read_images,
    say,
    two_cores,
    write_results,
)
from gioconda.engines.warp.engine import WarpEngine
from gioconda.engines.warp.frame import warp_frame
from gioconda.engines.warp.mesh import load_topology
from gioconda.engines.warp.refiner import Network, Repair, crop_stage, load_network
from gioconda.inputs.motion import track_video
from gioconda.inputs.portrait import load_portraits
from gioconda.motion.moments import picture_points
from gioconda.motion.retarget import RetargetedMotion, Style
from gioconda.training import metrics
from gioconda.training.perceptual import SqueezeFeatures, feature_distance
from gioconda.training.refiner.photos import BEFORE, NOW, brought, readable, way
from gioconda.types import Motion, Portrait
from quality import choose_clips, half_of

SQUEEZE = "metrics/squeezenet11.safetensors"
SEEN = ("fire3", "fire5", "fire7", "fire9")  # layers of the training loss
DIFFERENCES = ("PSNR", "CSIM")  # compared by difference, the others by ratio
CSIM_STEP = 5
STEP = 0.2  # share of the way back from the second photo to the first at which the moment before lies
REGION = 0.12  # inter-ocular units around lips and lids that count as mouth and eyes
DRAWS = 10_000


@dataclass(frozen=True)
class Moment:
    """One frame: truth and what each method made of it, crops (256, 256, 3); landmarks (478, 2) in the crop."""

    true: np.ndarray
    made: dict[str, np.ndarray]
    points: np.ndarray


class Score:
    """Figures of one method over one clip."""

    def __init__(self, features: SqueezeFeatures, embedder: Any, mask: np.ndarray | None) -> None:
        self._features, self._embedder, self._mask = features, embedder, mask
        self._flicker = metrics.Flicker()
        self._rows: list[dict[str, float]] = []
        self._csim: list[float] = []

    def push(
        self, made: np.ndarray, moment: Moment, true_features: dict[str, torch.Tensor], index: int
    ) -> None:
        """Take the next frame."""
        self._flicker.push(made, moment.true, self._mask)
        if index == 0:
            return
        found = self.features(made)
        mouth, eyes = regions(moment.points)
        both = torch.from_numpy((mouth | eyes).astype(np.float32))[None, None]
        unseen = {name: layer for name, layer in found.items() if name not in SEEN}
        self._rows.append(
            {
                "perceptual": float(feature_distance(found, true_features, both)),
                "whole crop": float(feature_distance(found, true_features)),
                "unseen layers": float(feature_distance(unseen, true_features, both)),
                "mouth L1": metrics.l1(made, moment.true, mouth),
                "eyes L1": metrics.l1(made, moment.true, eyes),
                "L1": metrics.l1(made, moment.true, self._mask),
                "PSNR": min(metrics.psnr(made, moment.true, self._mask), 60.0),
                "SSIM": metrics.ssim(made, moment.true, self._mask),
            }
        )
        if self._embedder is not None and index % CSIM_STEP == 1:
            pair = [self._embedder.embed(image, moment.points) for image in (made, moment.true)]
            self._csim.append(metrics.csim(*pair))

    def features(self, image: np.ndarray) -> dict[str, torch.Tensor]:
        """SqueezeNet's features of a picture."""
        tensor = torch.from_numpy(image.transpose(2, 0, 1)[None].astype(np.float32) / 127.5 - 1)
        with torch.no_grad():
            return self._features(tensor)

    def figures(self) -> dict[str, float]:
        """Means over the clip."""
        means = {name: float(np.mean([row[name] for row in self._rows])) for name in self._rows[0]}
        csim = float(np.mean(self._csim)) if self._csim else float("nan")
        return {**means, "CSIM": csim, "flicker": self._flicker.output}


def regions(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Masks (256, 256) of mouth and eyes for landmarks in the crop."""
    topology = load_topology()
    unit = float(np.linalg.norm(points[263] - points[33]))
    masks = []
    for rings in ((topology.outer_lips,), (topology.right_eye, topology.left_eye)):
        mask = np.zeros((256, 256), np.uint8)
        for ring in rings:
            hull = cv2.convexHull(points[ring].round().astype(np.int32))
            cv2.fillConvexPoly(mask, hull, 1)
            cv2.polylines(mask, [hull], True, 1, max(1, round(2 * REGION * unit)))
        masks.append(mask.astype(bool))
    return masks[0], masks[1]


def moments(clip: Clip, count: int, networks: dict[str, Network]) -> Iterator[Moment]:
    """The first `count` frames of a clip, warped from its first, and repaired by each network."""
    motion = track_video(clip.path, lambda *_: None)
    images = list(read_images(clip.path, count))
    source = load_portraits(images[0], chosen=0, crop=False, size=None)
    truths = list(enumerate(images[: len(motion)]))
    yield from portrait_moments(source.portraits[0], motion, truths, networks)


def portrait_moments(
    portrait: Portrait, motion: Motion, truths: Sequence[tuple[int, np.ndarray]], networks: dict[str, Network]
) -> Iterator[Moment]:
    """A portrait at some frames of a motion, warped, and repaired by each network, beside the true pictures."""
    scale = portrait.image.shape[1] / truths[0][1].shape[1]
    crop = crop_around(portrait.face.landmarks / scale, truths[0][1])
    laid = RetargetedMotion(motion, portrait, Style(absolute=True))
    who = WarpEngine(next(iter(networks.values()), None)).prepare(portrait)
    corner = who.background_warp.box[:2]
    repairs = {name: Repair(network, who.references) for name, network in networks.items()}
    for index, true in truths:
        shot = laid.target(index)
        warped = warp_frame(who, shot)
        made, maps = {"warp": warped.image}, (warped.map_x, warped.map_y)
        seen = crop_stage(warped.image, maps, warped.fill, shot.landmarks, corner, warped.hold)
        for name, repair in repairs.items():
            made[name] = warped.image.copy()
            if seen is not None:
                repair.repair(made[name], seen, warped.fill)
        points = (picture_points(motion, index)[:, :2] - (crop.left, crop.top)) * (crop.size / crop.side)
        full = {name: placed(portrait.image, stage, corner, true.shape) for name, stage in made.items()}
        yield Moment(crop.cut(true), {k: crop.cut(v) for k, v in full.items()}, points)


def placed(image: np.ndarray, stage: np.ndarray, corner: Sequence[int], shape: tuple[int, ...]) -> np.ndarray:
    """The stage laid into the picture, at the size of the clip's frames."""
    whole = image.copy()
    whole[corner[1] : corner[1] + stage.shape[0], corner[0] : corner[0] + stage.shape[1]] = stage
    if whole.shape != shape:
        whole = cv2.resize(whole, (shape[1], shape[0]), interpolation=cv2.INTER_AREA)
    return whole


def photo_moments(pair: Sequence[Path], networks: dict[str, Network]) -> Iterator[Moment]:
    """The first photo moved to where the second has its landmarks; the moment before comes first and has no truth."""
    first, second = readable(pair)
    second = brought(first, second)
    portrait = load_portraits(Portrait(first.image, first.face), chosen=0, crop=False, size=None).portraits[0]
    motion = way(first, second, STEP)
    yield from portrait_moments(portrait, motion, [(k, second.image) for k in (BEFORE, NOW)], networks)


def photo_pairs(data: Path, half: int | None) -> dict[str, tuple[Path, Path]]:
    """Neutral to smile, and back, of the dev people of stills.tsv who have both, by name."""
    with (data / "stills/stills.tsv").open(encoding="utf-8", newline="") as file:
        rows = [r for r in csv.DictReader(file, delimiter="\t") if r["split"] == "dev"]
    found = {(r["identity"], r["expression"]): data / r["path"] for r in rows}
    people = sorted(name for name, kind in found if kind == "smile")
    people = people if half is None else people[half::2]
    ways = (("neutral", "smile"), ("smile", "neutral"))
    return {f"{name} {a} to {b}": (found[name, a], found[name, b]) for name in people for a, b in ways}


def figures_of(
    seen: Iterable[Moment], networks: dict[str, Network], features: SqueezeFeatures, embedder: Any
) -> dict[str, dict[str, float]]:
    """All figures of all methods on the moments of one clip or pair."""
    names = ["warp", *networks]
    scores = {name: Score(features, embedder, None) for name in names}
    for index, moment in enumerate(seen):
        true = scores["warp"].features(moment.true)
        for name in names:
            scores[name].push(moment.made[name], moment, true, index)
    return {name: score.figures() for name, score in scores.items()}


def compared(clips: list[dict[str, dict[str, float]]], name: str, figure: str) -> tuple[float, float, float]:
    """A network against the warp: ratio or difference of means, and its 95% bootstrap interval over clips."""
    pairs = np.array([[c[name][figure], c["warp"][figure]] for c in clips])
    pairs = pairs[np.isfinite(pairs).all(1)]
    draws = np.random.default_rng(0).integers(len(pairs), size=(DRAWS, len(pairs)))
    means = np.concatenate([pairs.mean(0)[None], pairs[draws].mean(1)])
    values = means[:, 0] - means[:, 1] if figure in DIFFERENCES else means[:, 0] / means[:, 1]
    return float(values[0]), *(float(v) for v in np.percentile(values[1:], (2.5, 97.5)))


def report(
    clips: list[dict[str, dict[str, float]]], names: Sequence[str], what: str
) -> tuple[str, dict[str, Any]]:
    """Tables in markdown, and the same as values."""
    methods, figures = ["warp", *names], list(clips[0]["warp"])
    means = {m: {f: float(np.nanmean([c[m][f] for c in clips])) for f in figures} for m in methods}
    table = markdown(("", *figures), [[m, *(means[m][f] for f in figures)] for m in methods])
    against = {n: {f: compared(clips, n, f) for f in figures} for n in names}
    rows = [[n, *(f"{a:.3f} [{b:.3f}, {c:.3f}]" for a, b, c in against[n].values())] for n in names]
    heads = [f"{f} {'difference' if f in DIFFERENCES else 'ratio'}" for f in figures]
    lead = f"{what}, 256 px."
    second = "Against the warp, paired by clip, with 95% bootstrap intervals over clips:"
    text = "\n\n".join((lead, table, second, markdown(("", *heads), rows)))
    return text, {"mean": means, "against": against}


def _options() -> Any:
    """What the command line says."""
    parser = arguments(__doc__ or "")
    parser.add_argument("--frames", type=int, default=120, help="of each clip, from its start")
    parser.add_argument(
        "--networks", type=Path, nargs="*", default=[], help=".onnx files; default: the packaged"
    )
    parser.add_argument("--only", default="", help="clips whose name contains this")
    parser.add_argument("--quick", action="store_true", help="a quarter of the clips")
    parser.add_argument("--half", type=int, choices=(0, 1), help="every other identity: tune on 0, report 1")
    parser.add_argument(
        "--photos", action="store_true", help="photos of people in two expressions, not clips"
    )
    parser.add_argument("--name", default="refiner", help="of the results")
    return parser.parse_args()


def main() -> None:
    """Read the command line, run, and write the tables."""
    options = _options()
    two_cores()
    torch.set_num_threads(2)
    features = SqueezeFeatures(options.data / SQUEEZE)
    embedding = options.data / EMBEDDER
    embedder = metrics.FaceEmbedder(embedding) if embedding.is_file() else None
    networks = {
        path.parent.name if path.stem == "refiner" else path.stem: load_network(path)
        for path in options.networks
    }
    networks = networks or {"refined": load_network()}
    jobs = jobs_of(options, networks)
    if not jobs:
        sys.exit(f"nothing of dev is named like {options.only!r}")
    clock, results = Clock(), []
    for name, seen in jobs.items():
        results.append(figures_of(seen, networks, features, embedder))
        one = results[-1]
        if options.photos:  # two moments are no sequence
            for row in one.values():
                del row["flicker"]
        say(
            f"{clock}: {name}: "
            + ", ".join(f"{n} {one[n]['perceptual'] / one['warp']['perceptual']:.2f}" for n in networks)
        )
    kind = (
        "pairs of photos, one expression to another" if options.photos else "dev clips from the first frame"
    )
    text, values = report(results, list(networks), f"Self-reenactment by tracked motion, {len(jobs)} {kind}")
    each = [{"clip": name, **r} for name, r in zip(jobs, results, strict=True)]
    write_results(options.out, options.name, {**values, "clips": each, "seconds": clock.seconds}, text)


def jobs_of(options: Any, networks: dict[str, Network]) -> dict[str, Iterator[Moment]]:
    """The moments of each clip, or pair of photos, by name; nothing is computed before they are drawn."""
    if options.photos:
        pairs = photo_pairs(options.data, options.half)
        return {n: photo_moments(p, networks) for n, p in pairs.items() if options.only in n}
    clips = half_of(choose_clips(options.data, options.quick), options.half)
    return {c.name: moments(c, options.frames, networks) for c in clips if options.only in c.name}


if __name__ == "__main__":
    main()
