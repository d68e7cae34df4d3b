"""Self-reenactment: the first frame of a clip, driven by the clip's own motion, against the clip itself.

Absolute motion, 256 px of face crop, one fixed square for each clip. The main row is driven by the tracked
.npz, in which no pixel of the truth can hide; a row of its own shows what the driving video's mouth and
creases add. Frame 0 is left out, since it is the portrait. AKD, AED and APD are circular: the same tracker
drives and scores.
"""

from __future__ import annotations

import contextlib
import itertools
import sys
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from common import (
    EMBEDDER,
    Bar,
    Clip,
    Clock,
    Crop,
    arguments,
    bars_table,
    crop_around,
    every,
    markdown,
    read_clips,
    read_images,
    say,
    two_cores,
    write_results,
)
from gioconda.training import metrics
from gioconda.types import Face

METHODS = ("npz", "video", "copy")
LABELS = {"npz": "warp, driven by .npz", "video": "warp, driven by the video", "copy": "copy of frame 0"}
FIGURES = ("PSNR", "SSIM", "L1", "L1 face", "AKD", "AED", "APD", "CSIM", "flicker")
STILL = 4.0  # px of 256: a clip whose landmarks stay this near to frame 0, on average, is nearly still
EDGE = 4  # frames beside a joint of two clips, where smoothing mixes them
CSIM_STEP = 5  # frames


@dataclass(frozen=True)
class Tracked:
    """A clip as it is scored: crops (256, 256, 3) of each frame, and the face found in each."""

    crops: list[np.ndarray]
    faces: list[Face | None]


def choose_clips(data: Path, quick: bool) -> list[Clip]:
    """The dev list: all of driving and talk, three of each newsreader, two of grid_s1."""
    clips = read_clips(data, "dev")
    folders = {
        folder: [c for c in clips if c.name.startswith(folder + "/")] for folder in ("driving", "talk")
    }
    chosen = [*folders["driving"], *folders["talk"]]
    for identity in ("id02", "id10", "id20", "id25"):
        chosen += every([c for c in clips if c.identity == identity], 1 if quick else 3)
    chosen += every([c for c in clips if c.identity == "grid_s1"], 1 if quick else 2)
    return chosen[::4] if quick else chosen


def half_of(clips: list[Clip], half: int | None) -> list[Clip]:
    """Those of every other identity in order of their names, from the first (0) or the second (1); None: all."""
    identities = sorted({clip.identity for clip in clips})
    return [c for c in clips if half is None or identities.index(c.identity) % 2 == half]


def track_crops(crops: list[np.ndarray]) -> Tracked:
    """The crops with the face in each, followed from one to the next."""
    from gioconda.face import FaceTracker

    with FaceTracker() as tracker:
        return Tracked(crops, [(tracker.process(crop) or [None])[0] for crop in crops])


def rendered(portrait: Path, source: Path, count: int) -> Iterator[np.ndarray]:
    """The first `count` frames of the portrait driven by a video or a motion file."""
    import gioconda

    frames = gioconda.frames(portrait, source, absolute=True)
    with contextlib.closing(frames):
        yield from (frame.image for frame in itertools.islice(frames, count))


def motions(sequences: dict[str, Tracked]) -> dict[str, Any]:
    """Expression and rotation of each sequence, solved together so that they share one neutral face."""
    from gioconda.motion.from_faces import faces_to_motion

    faces = [face for sequence in sequences.values() for face in sequence.faces]
    size = next(iter(sequences.values())).crops[0].shape[0]
    joint = faces_to_motion(faces, np.arange(len(faces)) / 25.0, (size, size))
    parts, start = {}, 0
    for name, sequence in sequences.items():
        part = slice(start, start + len(sequence.faces))
        parts[name] = (joint.expression[part], joint.rotation[part])
        start = part.stop
    return parts


def picture_figures(
    made: list[np.ndarray], true: list[np.ndarray], mask: np.ndarray | None
) -> dict[str, float]:
    """PSNR, SSIM, L1 and flicker; the first frame does not count but for flicker."""
    flicker = metrics.Flicker()
    rows = []
    for index, (output, truth) in enumerate(zip(made, true, strict=True)):
        flicker.push(output, truth, mask)
        if index:
            psnr = min(metrics.psnr(output, truth, mask), 60.0)
            rows.append((psnr, metrics.ssim(output, truth, mask), metrics.l1(output, truth, mask)))
    means = np.mean(rows, axis=0)
    named = dict(zip(("PSNR", "SSIM", "L1"), (float(v) for v in means), strict=True))
    return {**named, "flicker": flicker.output, "flicker_truth": flicker.truth}


def face_mask(face: Face, shape: tuple[int, ...]) -> np.ndarray:
    """Which pixels lie on a face, from forehead to chin, (H, W) bool."""
    hull = cv2.convexHull(face.landmarks[:, :2].round().astype(np.int32))
    return cv2.fillConvexPoly(np.zeros(shape[:2], np.uint8), hull, 1).astype(bool)


def face_figures(made: Tracked, true: Tracked, embedder: metrics.FaceEmbedder | None) -> dict[str, float]:
    """AKD in pixels, L1 on the true face alone, CSIM to the true frame, frames that showed no face."""
    pairs = [(k, a, b) for k, (a, b) in enumerate(zip(made.faces, true.faces, strict=True)) if k and a and b]
    akd = [metrics.akd(a.landmarks, b.landmarks) for _, a, b in pairs]
    inside = [metrics.l1(made.crops[k], true.crops[k], face_mask(b, (256, 256))) for k, _, b in pairs]
    likeness = [float("nan")]
    if embedder is not None:
        likeness = [
            metrics.csim(
                embedder.embed(made.crops[k], a.landmarks), embedder.embed(true.crops[k], b.landmarks)
            )
            for k, a, b in pairs[::CSIM_STEP]
        ]
    lost = sum(face is None for face in made.faces[1:])
    means = {"AKD": akd, "L1 face": inside, "CSIM": likeness}
    return {**{name: float(np.mean(values)) for name, values in means.items()}, "lost": lost}


def score(
    sequences: dict[str, Tracked], mask: np.ndarray | None, embedder: Any
) -> dict[str, dict[str, float]]:
    """All figures of all methods against the sequence named truth."""
    true, solved = sequences["truth"], motions(sequences)
    inner = slice(EDGE, -EDGE)
    result = {}
    for method in METHODS:
        expression, rotation = (
            (a[inner], b[inner]) for a, b in zip(solved[method], solved["truth"], strict=True)
        )
        result[method] = {
            **picture_figures(sequences[method].crops, true.crops, mask),
            **face_figures(sequences[method], true, embedder),
            "AED": metrics.aed(*expression),
            "APD": metrics.apd(*rotation),
        }
    return result


def run_clip(clip: Clip, count: int, out: Path, embedder: Any) -> dict[str, Any]:
    """One clip: render it by both ways, score it, and leave a strip of pictures to look at."""
    import gioconda
    from gioconda.face import choose_face, detect_faces

    images = read_images(clip.path, count)
    first = next(images)
    crop = crop_around(choose_face(detect_faces(first), 0, clip.name).landmarks, first)
    true = [crop.cut(first), *(crop.cut(image) for image in images)]
    with tempfile.TemporaryDirectory() as folder:
        portrait, motion = Path(folder) / "first.png", Path(folder) / "motion.npz"
        cv2.imwrite(str(portrait), first[..., ::-1])
        gioconda.track(clip.path, motion)
        crops = {
            "npz": _cut(rendered(portrait, motion, len(true)), crop),
            "video": _cut(rendered(portrait, clip.path, len(true)), crop),
            "copy": [true[0]] * len(true),
        }
    for method, made in crops.items():
        if len(made) != len(true):
            raise RuntimeError(f"{clip.name}: {len(made)} frames made from {method}, {len(true)} in the clip")
    save_strip(out / "strips" / f"{clip.name.replace('/', '_')}.png", [true, crops["npz"], crops["video"]])
    sequences = {"truth": track_crops(true), **{name: track_crops(made) for name, made in crops.items()}}
    figures = score(sequences, crop.mask(clip), embedder)
    return {"clip": clip.name, "frames": len(true), "side": crop.side, "figures": figures}


def _cut(images: Iterable[np.ndarray], crop: Crop) -> list[np.ndarray]:
    return [crop.cut(image) for image in images]


def save_strip(path: Path, rows: list[list[np.ndarray]], columns: int = 8) -> None:
    """Eight moments, a row each for the truth and what was made of it; 8 times the difference below."""
    path.parent.mkdir(parents=True, exist_ok=True)
    moments = np.linspace(0, len(rows[0]) - 1, columns).round().astype(int)
    picked = [[row[k] for k in moments] for row in rows]
    picked.append([np.minimum(cv2.absdiff(a, b), 31) * 8 for a, b in zip(picked[0], picked[1], strict=True)])
    sheet = np.vstack([np.hstack(row) for row in picked])
    cv2.imwrite(str(path), sheet[..., ::-1])


def mean_figures(clips: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """The mean over clips, each of the same weight."""
    names = clips[0]["figures"]["copy"].keys()
    return {m: {n: float(np.nanmean([c["figures"][m][n] for c in clips])) for n in names} for m in METHODS}


def bars(clips: list[dict[str, Any]], mean: dict[str, dict[str, float]]) -> list[Bar]:
    """The bounds that the main row has to keep."""
    npz, copy = mean["npz"], mean["copy"]
    still = [c["figures"] for c in clips if c["figures"]["copy"]["AKD"] < STILL]
    gain = np.mean([f["npz"]["PSNR"] - f["copy"]["PSNR"] for f in still]) if still else float("nan")
    return [
        Bar("L1 against the copy's", npz["L1"] / copy["L1"], 0.70, at_most=True),
        Bar("AKD, px of 256 (circular)", npz["AKD"], 1.2, at_most=True),
        Bar("SSIM above the copy's", npz["SSIM"] - copy["SSIM"], 0.06),
        Bar("CSIM", npz["CSIM"], 0.80),
        Bar(f"PSNR above the copy's, {len(still)} nearly still clips, dB", float(gain), 0.0),
    ]


def report(clips: list[dict[str, Any]], mean: dict[str, dict[str, float]], held: list[Bar]) -> str:
    """The tables in markdown: means, bars, and every clip."""
    header = ("", "PSNR dB", "SSIM", "L1", "L1 face", "AKD px", "AED", "APD deg", "CSIM", "flicker", "lost")
    truth = mean["copy"]["flicker_truth"]
    rows = []
    for method in METHODS:
        shown = {**mean[method], "flicker": mean[method]["flicker"] / truth}
        rows.append([LABELS[method], *(shown[f] for f in FIGURES), shown["lost"]])
    each = []
    for clip in clips:
        npz, copy = clip["figures"]["npz"], clip["figures"]["copy"]
        still = "still" if copy["AKD"] < STILL else ""
        each.append([clip["clip"], still, *(f"{npz[f]:.3g} ({copy[f]:.3g})" for f in FIGURES)])
    lead = (
        f"Self-reenactment from the first frame, {len(clips)} dev clips, 256 px. Flicker is a multiple of "
        f"the truth's own ({truth:.2f} of 255). AKD, AED and APD are circular: one tracker drives and scores."
    )
    return "\n\n".join(
        (
            lead,
            markdown(header, rows),
            bars_table(held),
            "Each clip, driven by .npz (in brackets: the copy; flicker in grey levels of 255):",
            markdown(("clip", "", *FIGURES), each),
        )
    )


def main() -> None:
    """Read the command line, run, and write the tables."""
    parser = arguments(__doc__ or "")
    parser.add_argument("--frames", type=int, default=150, help="of each clip, from its start")
    parser.add_argument("--quick", action="store_true", help="a quarter of the clips")
    parser.add_argument("--half", type=int, choices=(0, 1), help="every other identity: tune on 0, report 1")
    parser.add_argument("--only", default="", help="clips whose name contains this")
    options = parser.parse_args()
    two_cores()
    network = options.data / EMBEDDER
    embedder = metrics.FaceEmbedder(network) if network.is_file() else None
    clips = half_of(choose_clips(options.data, options.quick), options.half)
    clips = [c for c in clips if options.only in c.name]
    if not clips:
        sys.exit(f"no dev clip is named like {options.only!r}")
    clock, results = Clock(), []
    for clip in clips:
        results.append(run_clip(clip, options.frames, options.out, embedder))
        npz, copy = (results[-1]["figures"][m] for m in ("npz", "copy"))
        say(
            f"{clock}: {clip.name}: PSNR {npz['PSNR']:.2f} ({copy['PSNR']:.2f}) AKD {npz['AKD']:.2f} "
            f"({copy['AKD']:.2f}) CSIM {npz['CSIM']:.3f}"
        )
    mean = mean_figures(results)
    held = bars(results, mean)
    result = {"mean": mean, "bars": held, "clips": results, "seconds": clock.seconds}
    write_results(options.out, "quality", result, report(results, mean, held))


if __name__ == "__main__":
    main()
