"""A man of `grid_s1` says other words: dev clips with the mouth of another sentence, and with their own again.

The bank is made of his train clips. Words come from another dev clip, by what was tracked in it or, with --voice, by
its sound alone. Measured: what is kept outside the mouth in the signed file (PSNR against the frames that were taken,
outside the engine's patch), how sharp the mouth is, whether a seam stands out, whether lips follow, and, with the
clip's own words, how near the mouth is to the truth, beside the same clip's mouth of half a second later.
"""

from __future__ import annotations

import tempfile
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from common import (
    Bar,
    Clip,
    Clock,
    arguments,
    bars_table,
    every,
    markdown,
    read_clips,
    read_images,
    say,
    write_results,
)
from gioconda import pipeline
from gioconda.face import FaceTracker
from gioconda.lipsync.build import adapt_speech
from gioconda.lipsync.database import MouthDatabase
from gioconda.lipsync.plan import plan_lipsync
from gioconda.lipsync.points import LIP_PAIRS, LIP_ROWS
from gioconda.lipsync.renderer import LipSyncRenderer, replaced_frames, target_images
from gioconda.training import metrics
from gioconda.types import Motion

SIDE = 128  # pixels of a mouth as it is measured
LATER = 12  # frames after which the same person's mouth is another
FEATURES = "metrics/squeezenet11.safetensors"
SHARPNESS = 0.2  # of the original's, by which the mouth's may differ


@dataclass(frozen=True)
class Made:
    """A revoiced clip: the frames that were taken, those made (before the marks), those of the signed file."""

    job: LipSyncRenderer
    taken: list[np.ndarray]
    made: list[np.ndarray]
    signed: list[np.ndarray]
    seconds: float


def words(clip: Clip, voice: bool, folder: Path) -> Motion:
    """How the mouth moves in a clip, tracked, or by its sound."""
    if voice:
        from gioconda.inputs.speech import motion_of_sound

        return motion_of_sound(clip.path, lambda *_: None)
    kept = folder / f"{clip.path.stem}.npz"
    if kept.is_file():
        from gioconda.motion import store

        return store.load(kept)
    return pipeline.track(clip.path, kept)


def make(clip: Clip, motion: Motion, bank: Path, folder: Path, *, retimed: bool) -> Made:
    """Revoice a clip twice: as users do, into a signed file, and frame by frame before the marks."""
    job = plan_lipsync(clip.path, motion, bank, False, lambda *_: None, retimed=retimed)
    with closing(target_images(job.video, job.target)) as frames:
        taken = list(frames)
    with closing(replaced_frames(job)) as made:
        rendered = [frame.image for frame in made]
    out = folder / f"{clip.path.stem}.mp4"
    clock = Clock()
    pipeline.animate(clip.path, motion, out, engine="lipsync", bank=bank, retime=retimed)
    return Made(job, taken, rendered, list(read_images(out)), clock.seconds)


def mouth(image: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """The square of 0.8 inter-ocular units around the mouth, SIDE pixels a side."""
    inner = np.array([[0.8 / SIDE, 0, -0.4], [0, 0.8 / SIDE, 0.5]])
    whole = matrix[:, :2] @ inner + np.column_stack([np.zeros((2, 2)), matrix[:, 2]])
    return cv2.warpAffine(image, whole, (SIDE, SIDE), flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP)


def lips_sharpness(image: np.ndarray, matrix: np.ndarray, points: np.ndarray) -> float:
    """Variance of the Laplacian within the lips' box, in the picture's own pixels."""
    pixels = points[LIP_ROWS] @ matrix[:, :2].T + matrix[:, 2]
    (left, top), (right, bottom) = (
        np.floor(pixels.min(0)).astype(int) - 2,
        np.ceil(pixels.max(0)).astype(int) + 3,
    )
    grey = cv2.cvtColor(image[top:bottom, left:right], cv2.COLOR_RGB2GRAY)
    return float(cv2.Laplacian(grey, cv2.CV_32F).var())


def outside_psnr(made: Made) -> float:
    """PSNR of the signed file's frames against those taken, where the engine changed nothing."""
    square, count = 0.0, 0
    for taken, rendered, signed in zip(made.taken, made.made, made.signed, strict=True):
        changed = cv2.dilate((taken != rendered).any(2).astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
        apart = (signed[: taken.shape[0], : taken.shape[1]].astype(np.float64) - taken)[~changed]
        square, count = square + float((apart**2).sum()), count + apart.size
    return 10 * float(np.log10(255**2 / (square / count)))


def changed_share(made: Made) -> float:
    """The part of the picture that the engine changed."""
    return float(np.mean([(a != b).any(2).mean() for a, b in zip(made.taken, made.made, strict=True)]))


def seam(made: Made) -> float:
    """Gradient along the mask's edge, of the frames made over those taken; 1 where no seam stands out."""
    ours, theirs = 0.0, 0.0
    target = made.job.target
    for t, (taken, rendered) in enumerate(zip(made.taken, made.made, strict=True)):
        some = slice(t, t + 1)
        matrix, seen = target.mean("matrix", some)[0], target.mean("points", some)[0]
        edge = mask_edge(matrix, seen, target.mouth_points(made.job.mouth_points[some], some)[0], taken.shape)
        ours, theirs = (
            ours + float(gradient(rendered)[edge].sum()),
            theirs + float(gradient(taken)[edge].sum()),
        )
    return ours / theirs


def mask_edge(matrix: np.ndarray, seen: np.ndarray, wanted: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Where the engine's mask goes from one to nothing, (H, W) bool."""
    from gioconda.lipsync import blend
    from gioconda.lipsync.warp import FacePlaneGrid

    size = (shape[1] // 4 * 4, shape[0] // 4 * 4)
    mask = blend.outline_mask(
        FacePlaneGrid(matrix, (0, 0, *size)), matrix, np.zeros(2, np.float32), seen, wanted
    )
    edge = np.zeros(shape[:2], bool)
    edge[: size[1], : size[0]] = (mask > 0.1) & (mask < 0.9)
    return edge


def gradient(image: np.ndarray) -> np.ndarray:
    """Strength of the luma's gradient, (H, W)."""
    grey = cv2.GaussianBlur(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), (0, 0), 1.0).astype(np.float32)
    return cv2.magnitude(cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1))


def shimmer(images: list[np.ndarray], matrices: np.ndarray) -> float:
    """Mean absolute second difference over time of the mouth as the head sees it, grey levels."""
    grey = [
        cv2.cvtColor(mouth(i, m), cv2.COLOR_RGB2GRAY).astype(np.float32)
        for i, m in zip(images, matrices, strict=True)
    ]
    stack = np.stack(grey)
    return float(np.abs(stack[2:] - 2 * stack[1:-1] + stack[:-2]).mean())


def opening(images: list[np.ndarray]) -> np.ndarray:
    """How far the lips are apart in each frame, by the tracker, inter-ocular units."""
    from gioconda.lipsync.points import POINTS

    pairs = POINTS[LIP_PAIRS]
    found = []
    with FaceTracker() as tracker:
        for image in images:
            faces = tracker.process(image)
            p = faces[0].landmarks if faces else np.full((478, 3), np.nan)
            found.append(
                np.linalg.norm(p[pairs[:, 1]] - p[pairs[:, 0]], axis=1).mean()
                / np.linalg.norm(p[263] - p[33])
            )
    return np.array(found)


def other_words(clip: Clip, motion: Motion, spoken: np.ndarray, bank: Path, folder: Path) -> dict[str, float]:
    """Figures of a clip with the words of another."""
    made = make(clip, motion, bank, folder, retimed=True)
    target = made.job.target
    whole = slice(0, len(made.taken))
    matrices, seen = target.mean("matrix", whole), target.mean("points", whole)
    wanted = target.mouth_points(made.job.mouth_points, whole)

    def sharp(images: list[np.ndarray], points: np.ndarray) -> float:
        return float(np.mean([lips_sharpness(*one) for one in zip(images, matrices, points, strict=True)]))

    own, got = sharp(made.taken, seen), opening(made.signed)
    length = min(len(got), len(spoken))
    there = np.isfinite(got[:length] + spoken[:length])  # some clips hold damaged frames
    return {
        "PSNR outside": outside_psnr(made),
        "changed": changed_share(made),
        "sharpness": sharp(made.made, wanted) / own,
        "sharpness signed": sharp(made.signed, wanted) / own,
        "seam": seam(made),
        "shimmer": shimmer(made.made, matrices) / shimmer(made.taken, matrices),
        "lips follow": metrics.pearson(got[:length][there], spoken[:length][there]),
        "distance": float(made.job.selection.distance.mean()),
        "seconds": made.seconds,
    }


def own_words(clip: Clip, motion: Motion, bank: Path, folder: Path, features: Any) -> dict[str, float]:
    """Figures of a clip with its own words again, against the truth; and its mouth of LATER frames on."""
    made = make(clip, motion, bank, folder, retimed=False)
    matrices = made.job.layout.matrix[: len(made.taken)]
    truth = [mouth(*one) for one in zip(made.taken, matrices, strict=True)]
    ours = [mouth(*one) for one in zip(made.made, matrices, strict=True)]
    later = [truth[(t + LATER) % len(truth)] for t in range(len(truth))]
    sharp = [
        lips_sharpness(image, m, p)
        for images in (made.made, made.taken)
        for image, m, p in zip(images, matrices, made.job.layout.points[: len(matrices)], strict=True)
    ]
    own, theirs = np.mean(sharp[: len(matrices)]), np.mean(sharp[len(matrices) :])
    result = {"own sharpness": float(own / theirs)}
    for name, pictures in (("", ours), (" later", later)):
        # of all frames together: one that is damaged stays as it is, and alone would count as endlessly good
        result["PSNR" + name] = metrics.psnr(np.concatenate(pictures), np.concatenate(truth))
        result["SSIM" + name] = float(
            np.mean([metrics.ssim(a, b) for a, b in zip(pictures, truth, strict=True)])
        )
        result["perceptual" + name] = features(pictures, truth)
    return result


def perceptual(weights: Path) -> Any:
    """Distance of two rows of pictures by SqueezeNet's features."""
    import torch

    from gioconda.training.perceptual import SqueezeFeatures, feature_distance

    network = SqueezeFeatures(weights)

    def tensor(pictures: list[np.ndarray]) -> Any:
        return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float() / 127.5 - 1

    def distance(first: list[np.ndarray], second: list[np.ndarray]) -> float:
        with torch.no_grad():
            return float(feature_distance(network(tensor(first)), network(tensor(second))))

    return distance


def the_bank(args: Any, train: list[Clip], folder: Path) -> Path:
    """The bank that was named, or one made of train clips."""
    if args.bank:
        return args.bank
    path, clock = folder / "bank.safetensors", Clock()
    made: MouthDatabase = adapt_speech([c.path for c in every(train, args.bank_clips)], path, lambda *_: None)
    say(f"bank of {len(made)} mouths in {clock}")
    return path


def summary(rows: list[dict[str, float]]) -> list[tuple[str, float, float, float]]:
    """Name, mean, smallest and largest of each figure."""
    return [
        (name, float(np.mean(v)), float(np.min(v)), float(np.max(v)))
        for name in rows[0]
        if (v := [row[name] for row in rows])
    ]


def bars(means: dict[str, float], least: float) -> list[Bar]:
    """What issue 5 asks for."""
    return [
        Bar("PSNR outside the mouth, signed file, worst clip, dB", least, 40),
        Bar("mouth's sharpness over the original's", means["sharpness"], 1 - SHARPNESS),
        Bar("mouth's sharpness over the original's", means["sharpness"], 1 + SHARPNESS, at_most=True),
        Bar("own words: sharpness over the truth's", means["own sharpness"], 1 - SHARPNESS),
        Bar("own words: sharpness over the truth's", means["own sharpness"], 1 + SHARPNESS, at_most=True),
        Bar("gradient along the seam, over the target's", means["seam"], 1.1, at_most=True),
    ]


def main() -> None:
    parser = arguments(__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=30)
    parser.add_argument("--bank", type=Path, help="a bank made before")
    parser.add_argument("--bank-clips", type=int, default=100)
    parser.add_argument("--voice", action="store_true", help="words by sound alone")
    args = parser.parse_args()
    his = [clip for clip in read_clips(args.data) if clip.identity == "grid_s1"]
    dev = [clip for clip in his if clip.split == "dev"]
    features = perceptual(args.data / FEATURES)
    chosen, rows = every(dev, args.clips), list[dict[str, float]]()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bank = the_bank(args, [clip for clip in his if clip.split == "train"], folder)
        for k, clip in enumerate(chosen):
            other = chosen[(k + 7) % len(chosen)]
            theirs, own = (words(one, args.voice, folder) for one in (other, clip))
            spoken = opening(list(read_images(other.path)))
            row = other_words(clip, theirs, spoken, bank, folder)
            rows.append(row | own_words(clip, own, bank, folder, features))
            say(
                f"{clip.path.stem} says {other.path.stem}: "
                + " ".join(f"{k} {v:.3f}" for k, v in rows[-1].items())
            )
    table = summary(rows)
    checked = bars({row[0]: row[1] for row in table}, min(row["PSNR outside"] for row in rows))
    text = markdown(("figure", "mean", "least", "most"), table) + "\n\n" + bars_table(checked)
    result = {
        "voice": args.voice,
        "clips": [clip.path.stem for clip in chosen],
        "rows": rows,
        "bars": checked,
    }
    write_results(args.out, "lipsync_voice" if args.voice else "lipsync", result, text)


if __name__ == "__main__":
    main()
