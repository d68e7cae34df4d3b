"""Cross-reenactment: every portrait driven by people it does not show, with relative motion.

Measured on the square face crop: does the portrait stay itself (CSIM, and its face's own shape), and does
it do what the driver does (correlation of what the tracker sees in both)? The tracker that drives also
scores, so the correlations are circular; two openings and the width of the mouth in plain pixels stand beside them.
"""

from __future__ import annotations

import contextlib
import itertools
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from common import (
    EMBEDDER,
    MOVES,
    Bar,
    Clip,
    Clock,
    arguments,
    bars_table,
    channels,
    liveliest_window,
    markdown,
    read_clips,
    read_images,
    say,
    two_cores,
    write_clip,
    write_results,
)
from gioconda.training import metrics
from gioconda.types import Face, Motion

DRIVERS = ("driving/d11", "driving/d14", "driving/d7", "driving/tps", "talk/virtual_13", "talk/retalking_1")
CSIM_STEP = 5  # frames
UPPER_LIP, LOWER_LIP = 13, 14  # inner edges
MOUTH_CORNERS = (61, 291)
LIDS = ((159, 145), (386, 374))  # upper and lower, of both eyes
EYE_CORNERS = (33, 263)  # outer
OPENINGS = {
    "lips": 0.02,
    "lids": 0.01,
    "mouth": 0.03,
}  # spread, in inter-ocular distances, from which a driver counts
NAMES = (*MOVES, *OPENINGS)
BLINK = 0.4  # coefficient from which an iris may be behind the lid


@dataclass(frozen=True)
class Driver:
    """A short clip, chosen for its movement, and what was tracked in it."""

    name: str
    path: Path
    motion: Motion
    openings: dict[str, np.ndarray]


def openings(faces: list[Face | None]) -> dict[str, np.ndarray]:
    """How far lips, lids and the mouth's corners are apart in each frame, inter-ocular distances, from landmarks."""
    points = np.array([face.landmarks if face else np.full((478, 3), np.nan) for face in faces])

    def gap(first: int, second: int) -> np.ndarray:
        return np.linalg.norm(points[:, first] - points[:, second], axis=1)

    unit = gap(*EYE_CORNERS)
    return {
        "lips": gap(UPPER_LIP, LOWER_LIP) / unit,
        "lids": np.mean([gap(*pair) for pair in LIDS], axis=0) / unit,
        "mouth": gap(*MOUTH_CORNERS) / unit,
    }


def track_images(images: Any, fps: float) -> tuple[Motion, list[Face | None], list[np.ndarray]]:
    """Motion, faces and pictures of a stream of pictures."""
    from gioconda.face import FaceTracker
    from gioconda.motion.from_faces import faces_to_motion

    faces: list[Face | None] = []
    kept = []
    with FaceTracker() as tracker:
        for image in images:
            faces.append((tracker.process(image) or [None])[0])
            kept.append(image)
    size = (kept[0].shape[1], kept[0].shape[0])
    return faces_to_motion(faces, np.arange(len(faces)) / fps, size), faces, kept


def make_driver(clip: Clip, length: int, folder: Path) -> Driver:
    """The `length` frames of a clip in which the face moves most, as a clip of their own."""
    motion, _, images = track_images(read_images(clip.path), clip.fps)
    start = liveliest_window(motion, length)
    path = folder / f"{Path(clip.name).stem}.mp4"
    write_clip(path, images[start : start + length], clip.fps)
    motion, faces, _ = track_images(read_images(path), clip.fps)
    return Driver(path.stem, path, motion, openings(faces))


def shape_distance(first: np.ndarray, second: np.ndarray) -> float:
    """Mean distance of two faces at rest (478, 3), each centred and of unit size; depth left out.

    Depth is the tracker's guess and follows the pose of the picture more than the person.
    """

    def plain(shape: np.ndarray) -> np.ndarray:
        points = np.asarray(shape, np.float64)[:468, :2]
        points = points - points.mean(axis=0)
        return points / np.sqrt((points**2).sum(axis=1).mean())

    a, b = plain(first), plain(second)
    matrix = metrics.similarity_transform(a, b)
    return float(np.linalg.norm(a @ matrix[:, :2].T + matrix[:, 2] - b, axis=1).mean())


def followed(driver: Driver, output: Motion, faces: list[Face | None]) -> dict[str, tuple[float, float]]:
    """How the output follows each channel that the driver moves: Pearson's correlation, and the gain.

    The gain is the slope of the output's change over the driver's: below 1, the portrait does less.
    """
    both = (driver.motion.confidence > 0) & (output.confidence > 0)
    wanted, got = (
        {**channels(motion), **gaps}
        for motion, gaps in ((driver.motion, driver.openings), (output, openings(faces)))
    )
    result = {}
    for name, spread in {**MOVES, **OPENINGS}.items():
        a, b = wanted[name][both], got[name][both]
        if a.std() > spread:
            gain = float(np.polyfit(a, b, 1)[0])
            result[name] = (metrics.pearson(a, b), gain)
    return result


def rest_at(motion: Motion, index: int) -> Motion:
    """The same motion with the face of frame `index` taken as the face at rest.

    Coefficients count from rest and stop at 0: two clips are comparable only if both rest at one moment.
    """
    from gioconda.motion.expression import offsets, solve

    moved = offsets(motion.expression) + np.asarray(motion.residual, np.float32)
    return motion.with_(expression=solve((moved - moved[index]).astype(np.float32)))


def vergence(motion: Motion, rest: int) -> np.ndarray:
    """How far the eyes' turns differ since frame `rest`, (T,) in degrees, positive where they part."""
    from gioconda.motion.expression import offsets
    from gioconda.motion.gaze import CORNERS, EYEBALL, IRISES

    moved = offsets(motion.expression) + np.asarray(motion.residual, np.float32)
    moved = moved - moved[rest]
    turned = (moved[:, IRISES].mean(axis=2) - moved[:, CORNERS].mean(axis=2))[..., 0]
    return np.degrees(np.arcsin(np.clip(turned / EYEBALL, -1, 1))) @ np.array([-1.0, 1.0])


def squint(driver: Motion, output: Motion) -> float:
    """Mean distance of the output's vergence from the driver's where both have open eyes, degrees."""
    lids = [np.maximum(channels(m)["blink"], 1 - m.confidence) for m in (driver, output)]
    seen = np.maximum(*lids) < BLINK
    if not seen.any():
        return float("nan")
    apart = vergence(output, driver.reference) - vergence(driver, driver.reference)
    return float(np.abs(apart[seen]).mean())


@dataclass(frozen=True)
class Sitter:
    """A portrait: its face at rest, and who it shows to the embedder (or None)."""

    path: Path
    neutral: np.ndarray
    identity: np.ndarray | None


def make_sitter(path: Path, embedder: metrics.FaceEmbedder | None) -> Sitter:
    """Read a portrait, as the pipeline does, and measure the largest face."""
    from gioconda.face import choose_face, detect_faces
    from gioconda.media import read_picture
    from gioconda.motion.from_faces import faces_to_motion

    image, _ = read_picture(path)
    face = choose_face(detect_faces(image), 0, path.name)
    motion = faces_to_motion([face], np.zeros(1), (image.shape[1], image.shape[0]))
    identity = embedder.embed(image, face.landmarks) if embedder else None
    return Sitter(path, motion.neutral, identity)


def run_pair(sitter: Sitter, driver: Driver, size: int, embedder: Any, refine: bool = True) -> dict[str, Any]:
    """Render one portrait with one driver and measure the result."""
    import gioconda

    frames = gioconda.frames(sitter.path, driver.path, refine=refine, crop=True, size=size)
    with contextlib.closing(frames):
        images = (frame.image for frame in itertools.islice(frames, len(driver.motion)))
        output, faces, kept = track_images(images, 25.0)
    likeness = float("nan")
    if embedder is not None:
        seen = [(image, face) for image, face in zip(kept, faces, strict=True) if face][::CSIM_STEP]
        likeness = float(
            np.mean([metrics.csim(embedder.embed(i, f.landmarks), sitter.identity) for i, f in seen])
        )
    aligned = rest_at(output, driver.motion.reference)
    follows, alone = followed(driver, aligned, faces), followed(driver, output, faces)
    return {
        "portrait": sitter.path.stem,
        "driver": driver.name,
        "CSIM": likeness,
        "corr": {name: value[0] for name, value in follows.items()},
        "corr_own_rest": {name: value[0] for name, value in alone.items()},
        "gain": {name: value[1] for name, value in follows.items()},
        "squint": squint(driver.motion, output),
        "to_portrait": shape_distance(output.neutral, sitter.neutral),
        "to_driver": shape_distance(output.neutral, driver.motion.neutral),
        "apart": shape_distance(driver.motion.neutral, sitter.neutral),
        "lost": sum(face is None for face in faces),
    }


def _mean(values: Any) -> float:
    found = [v for v in values if np.isfinite(v)]
    return float(np.mean(found)) if found else float("nan")


def summary(pairs: list[dict[str, Any]]) -> dict[str, float]:
    """Means over pairs; each correlation over the pairs whose driver moves that channel."""
    result = {"CSIM": _mean(p["CSIM"] for p in pairs)}
    for name in NAMES:
        result[name] = _mean(p["corr"].get(name, np.nan) for p in pairs)
    result["vergence off"] = _mean(p["squint"] for p in pairs)
    result["own shape"] = float(np.mean([p["to_portrait"] < p["to_driver"] for p in pairs]))
    result["shape to portrait"] = _mean(p["to_portrait"] for p in pairs)
    result["shape to driver"] = _mean(p["to_driver"] for p in pairs)
    result["lost"] = float(sum(p["lost"] for p in pairs))
    return result


def bars(mean: dict[str, float]) -> list[Bar]:
    """The bounds that the means have to keep."""
    return [
        Bar("correlation of jawOpen", mean["jawOpen"], 0.85),
        Bar("correlation of yaw", mean["yaw"], 0.80),
        Bar("correlation of blinks", mean["blink"], 0.70),
        Bar("vergence off the driver's, degrees", mean["vergence off"], 3.0, at_most=True),
        Bar("pairs whose face keeps the portrait's shape", mean["own shape"], 1.0),
    ]


def report(pairs: list[dict[str, Any]], mean: dict[str, float], held: list[Bar]) -> str:
    """The tables in markdown: means, bars, a line for each portrait and each driver."""
    names = list(mean)
    groups = []
    for key in ("portrait", "driver"):
        rows = []
        for value in dict.fromkeys(p[key] for p in pairs):
            part = summary([p for p in pairs if p[key] == value])
            rows.append([value, *(part[name] for name in names)])
        groups.append(markdown((key, *names), rows))
    lead = (
        f"Cross-reenactment, {len(pairs)} pairs. Correlations between the driver and the re-tracked output, "
        "over pairs whose driver moves the channel (lips, lids, mouth: openings and width in pixels, no coefficients). "
        "Own shape: share of pairs whose face at rest is nearer to the portrait's than to the driver's. "
        "Vergence off: how far the eyes' turns differ from each other otherwise than the driver's, degrees. "
        "Gain: slope of the output's change over the driver's. The output's coefficients count from the "
        "moment at which the driver rests; own rest: from its own most neutral frame, as if tracked alone."
    )
    kinds = {"correlation": "corr", "gain": "gain", "correlation, own rest": "corr_own_rest"}
    rows = [
        [title, *(_mean(p[kind].get(name, np.nan) for p in pairs) for name in NAMES)]
        for title, kind in kinds.items()
    ]
    tables = (markdown(names, [list(mean.values())]), markdown(("", *NAMES), rows), bars_table(held))
    return "\n\n".join((lead, *tables, *groups))


def main() -> None:
    """Read the command line, run, and write the tables."""
    parser = arguments(__doc__ or "")
    parser.add_argument("--frames", type=int, default=60, help="of each driver, where it moves most")
    parser.add_argument("--size", type=int, default=384, help="of the crop, in pixels")
    parser.add_argument("--no-refine", action="store_true", help="the warp alone")
    parser.add_argument("--portraits", default="", help="names that contain this")
    parser.add_argument("--drivers", default="", help="names that contain this")
    options = parser.parse_args()
    two_cores()
    network = options.data / EMBEDDER
    embedder = metrics.FaceEmbedder(network) if network.is_file() else None
    clips = [c for c in read_clips(options.data, "dev") if c.name.startswith(DRIVERS)]
    clips = [c for c in clips if options.drivers in c.name]
    portraits = sorted(p for p in (options.data / "portraits").iterdir() if options.portraits in p.stem)
    clock, pairs = Clock(), []
    with tempfile.TemporaryDirectory() as folder:
        drivers = [make_driver(clip, options.frames, Path(folder)) for clip in clips]
        say(f"{clock}: {len(drivers)} drivers cut to {options.frames} frames")
        for path in portraits:
            sitter = make_sitter(path, embedder)
            refine = not options.no_refine
            rows = [run_pair(sitter, driver, options.size, embedder, refine) for driver in drivers]
            pairs += rows
            part = summary(rows)
            say(f"{clock}: {path.stem}: " + " ".join(f"{k} {v:.2f}" for k, v in part.items()))
    mean = summary(pairs)
    held = bars(mean)
    result = {"mean": mean, "bars": held, "pairs": pairs, "seconds": clock.seconds}
    write_results(options.out, "cross", result, report(pairs, mean, held))


if __name__ == "__main__":
    main()
