"""The side that a portrait hides: what turning heads show of it, against what an earlier version made of it.

An earlier version is a folder with the package `gioconda` of another commit (git worktree add ../before COMMIT, then
--before ../before/src); both run in this process, frame by frame. Four parts:

turns: self-reenactment across a turn. A clip's most turned frame is the portrait, frames turned the other way are the
truth, whose own landmarks are the target, without refiner. Scored is what they show and the portrait hides. Cases are
split by identity into two halves: constants were chosen on `tune`, figures to be believed are those of `report`.
photos: the same without a further photo of the person and with one, the frame that is turned farthest away.
cost: processor time of a frame and of `prepare`, in turns.
sheets: portraits driven by a clip, refined, the earlier version beside today's. They show real people: publish none.
"""

from __future__ import annotations

import argparse
import importlib
import itertools
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from skimage.metrics import structural_similarity

from common import (
    Clip,
    Clock,
    arguments,
    crop_around,
    markdown,
    read_clips,
    read_images,
    say,
    two_cores,
    write_results,
)
from gioconda import composite, face
from gioconda.engines.warp.mesh import affines, load_topology, source_maps
from gioconda.engines.warp.visibility import POINTS, front_raster, layout, visibility
from gioconda.inputs.motion import load_motion
from gioconda.inputs.portrait import load_portraits
from gioconda.motion.expression import load_basis
from gioconda.motion.pose import euler_from_rotation, fit_pose, rotation_from_euler, to_unit_head
from gioconda.motion.retarget import RetargetedMotion, Style
from gioconda.portraits import _mouths
from gioconda.types import Face, Portrait, TargetPose

# Clips in which a head turns far.
TURNING = [
    "driving/d11",
    "driving/d12",
    "driving/dagan",
    "driving/fomm_10",
    "driving/tps",
    "talk/virtual_10",
    "talk/virtual_11",
    "talk/virtual_12",
    "talk/virtual_13",
    "talk/virtual_15",
    "talk/virtual_17",
    "talk/virtual_5",
    "talk/virtual_9",
    "lrw_ar/id00/02033",
    "lrw_ar/id00/02387",
    "lrw_ar/id00/12590",
    "lrw_ar/id02/05211",
    "lrw_ar/id07/08057",
    "lrw_ar/id09/09059",
    "lrw_ar/id09/15045",
    "lrw_ar/id16/13447",
    "lrw_ar/id19/08474",
    "lrw_ar/id19/11402",
    "lrw_ar/id21/01871",
    "lrw_ar/id30/04014",
]
LEAST_TURN = 20.0  # degrees between the portrait and the truth
HIDDEN = 0.35  # cosine below which a part of the face counts as hidden
SMALLEST = 60  # pixels of the region below which a frame is not scored
TARGETS = 5  # frames of a case
NEIGHBOURS = 2  # frames beside a photo that are as good as the photo
HALVES = ("tune", "report")

THREE_QUARTER = (
    "girl_with_a_pearl_earring mona_lisa full_body painting_art_10 photo_actor_30 painting_woman_in_black "
    "painting_art_19 painting_woman_black_dress einstein feynman_grey"
)
FRONTAL = (
    "painting_lady_in_chair photo_woman churchill_grey half_body photo_actor_38 statue_terracotta cartoon_boy "
    "painting_art_17 helmet_art_9"
)
TURNS = (6.0, 12.0, 18.0, 24.0)  # degrees towards the hidden side, of which the cost is measured


@dataclass(frozen=True)
class Case:
    """A clip, one way: index and yaw of the portrait's frame, and of the truth's."""

    clip: Clip
    half: str
    portrait: int
    targets: list[int]
    turn: float


def load_engine(source: Path) -> Any:
    """The module of the warp engine of another version of the package, beside this one's."""
    own = {name: sys.modules.pop(name) for name in list(sys.modules) if name.split(".")[0] == "gioconda"}
    sys.path.insert(0, str(source))
    try:
        engine = importlib.import_module("gioconda.engines.warp.engine")
        engine.refiner = importlib.import_module("gioconda.engines.warp.refiner")
    finally:
        sys.path.remove(str(source))
        for name in [name for name in sys.modules if name.split(".")[0] == "gioconda"]:
            del sys.modules[name]
        sys.modules.update(own)
    return engine


def versions(options: argparse.Namespace) -> dict[str, Any]:
    """The earlier version's module of the engine, and this one's."""
    found = {}
    if options.before is not None:
        found["before"] = load_engine(options.before)
    found["after"] = importlib.import_module("gioconda.engines.warp.engine")
    found["after"].refiner = importlib.import_module("gioconda.engines.warp.refiner")
    return found


def turning_clips(data: Path) -> list[tuple[Clip, str]]:
    """The clips with their halves: identities in turn go to one and to the other."""
    clips = [clip for clip in read_clips(data) if clip.name.removesuffix(".mp4") in TURNING]
    people = sorted({clip.identity for clip in clips})
    return [(clip, HALVES[people.index(clip.identity) % 2]) for clip in clips]


def yaws(clip: Clip) -> np.ndarray:
    """The head's turn in each frame, degrees, nan where there is no face."""
    neutral, found = load_basis().neutral, []
    with face.FaceTracker() as tracker:
        for image in read_images(clip.path):
            faces = tracker.process(image)
            pose = fit_pose(faces[0].landmarks, neutral).rotation if faces else None
            found.append(float(euler_from_rotation(pose)[0]) if pose is not None else float("nan"))
    return np.array(found)


def cases(clip: Clip, half: str) -> Iterator[Case]:
    """Both ways through a clip, as far as its head turns far enough."""
    angles = yaws(clip)
    for sign in (1, -1):
        start = int(np.nanargmin(sign * angles))
        away = sign * (angles - angles[start])
        ends = np.flatnonzero(away >= LEAST_TURN)
        if len(ends):
            picked = ends[np.linspace(0, len(ends) - 1, min(TARGETS, len(ends))).astype(int)]
            yield Case(clip, half, start, [int(i) for i in picked], float(np.nanmax(away)))


def shot_onto(portrait: Portrait, landmarks: np.ndarray) -> TargetPose:
    """The portrait brought to where landmarks (478, 3) of the same person lie."""
    first = fit_pose(portrait.face.landmarks, load_basis().neutral)
    head = to_unit_head(first.to_canonical(portrait.face.landmarks))
    a, b = fit_pose(portrait.face.landmarks, head), fit_pose(landmarks, head)
    turn, grow = b.rotation @ a.rotation.T, b.scale / a.scale
    shift = (b.origin - grow * a.origin @ turn.T).astype(np.float32)
    return TargetPose(0.0, landmarks, turn.astype(np.float32), float(grow), shift, np.zeros(52, np.float32))


def revealed(
    seen: np.ndarray, landmarks: np.ndarray, shape: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Which pixels show what a portrait (its visibility `seen`) hides, and which show the face, (H, W) bool each."""
    index = front_raster(landmarks, (shape[1], shape[0]))
    planar = landmarks[:POINTS, :2].astype(np.float32)
    xs, ys = np.arange(shape[1], dtype=np.float32), np.arange(shape[0], dtype=np.float32)[:, None]
    maps = source_maps(index, affines(layout().points, planar, load_topology().triangles), xs, ys)
    before, now = (cv2.remap(one, *maps, cv2.INTER_LINEAR) for one in (seen, visibility(landmarks)))
    return (index > 0) & (before < HIDDEN) & (now > HIDDEN), index > 0


def frames_of(clip: Clip, wanted: list[int]) -> dict[int, np.ndarray]:
    """Some frames of a clip."""
    images = itertools.islice(read_images(clip.path), max(wanted) + 1)
    return {i: image for i, image in enumerate(images) if i in wanted}


def figures(made: np.ndarray, truth: np.ndarray, region: np.ndarray, whole: np.ndarray) -> dict[str, float]:
    """L1 and SSIM in a region, and L1 of the whole face."""
    grey = [cv2.cvtColor(one, cv2.COLOR_RGB2GRAY) for one in (made, truth)]
    similar = structural_similarity(*grey, full=True, gaussian_weights=True, sigma=1.5)[1]
    off = np.abs(made.astype(np.float32) - truth).mean(2)
    return {
        "L1": float(off[region].mean()),
        "SSIM": float(similar[region].mean()),
        "L1 face": float(off[whole].mean()),
    }


@dataclass
class Rendered:
    """A version of the engine with a portrait."""

    engine: Any
    who: Any

    def picture(self, portrait: Portrait, shot: TargetPose) -> np.ndarray:
        """The whole picture of a moment."""
        return composite.compose(portrait.image, [next(iter(self.engine.render(self.who, [shot])))])


def run_case(case: Case, engines: dict[str, Any], folder: Path) -> dict[str, Any] | None:
    """Mean figures of a case, by version; None if a face is not found."""
    images = frames_of(case.clip, [case.portrait, *case.targets])
    portrait = _portrait(images[case.portrait])
    if portrait is None:
        return None
    made = {name: Rendered(e := module.WarpEngine(), e.prepare(portrait)) for name, module in engines.items()}
    return _scored(case, portrait, made, [images[i] for i in case.targets], folder)


def run_photo_case(case: Case, engines: dict[str, Any], folder: Path) -> dict[str, Any] | None:
    """The same without a further photo and with the frame that is turned farthest away, which is no truth then."""
    images = frames_of(case.clip, [case.portrait, *case.targets])
    portrait = _portrait(images[case.portrait])
    others = {i: other for i in case.targets if (other := _portrait(images[i])) is not None}
    if portrait is None or not others:
        return None
    start = yaw_of(portrait)
    chosen = max(others, key=lambda i: abs(yaw_of(others[i]) - start))
    engine = engines["after"].WarpEngine()
    made = {
        "mirror": Rendered(engine, engine.prepare(portrait)),
        "photo": Rendered(engine, engine.prepare(replace(portrait, others=(others[chosen],)))),
    }
    # a neighbour of the photo is the photo again
    truths = [images[i] for i in case.targets if abs(i - chosen) > NEIGHBOURS]
    return _scored(case, portrait, made, truths, folder)


def _portrait(image: np.ndarray) -> Portrait | None:
    faces = face.detect_faces(image)
    return Portrait(image, faces[0], person=face.person_mask(image)) if faces else None


def _scored(
    case: Case, portrait: Portrait, made: dict[str, Rendered], truths: list[np.ndarray], folder: Path
) -> dict[str, Any] | None:
    """Mean figures of a case's pictures against the truth; None where no truth shows enough of what was hidden."""
    seen = visibility(portrait.face.landmarks)
    rows: dict[str, list[dict[str, float]]] = {name: [] for name in made}
    strips = []
    for truth in truths:
        found = face.detect_faces(truth)
        if not found:
            continue
        region, whole = revealed(seen, found[0].landmarks, truth.shape)
        if region.sum() < SMALLEST:
            continue
        shot = shot_onto(portrait, found[0].landmarks)
        pictures = {name: one.picture(portrait, shot) for name, one in made.items()}
        for name, picture in pictures.items():
            rows[name].append(figures(picture, truth, region, whole))
        strips.append(_strip([portrait.image, *pictures.values(), truth], region, found[0]))
    if not strips:
        return None
    name = case.clip.name.replace("/", "_").removesuffix(".mp4")
    cv2.imwrite(str(folder / f"{name}_{case.portrait}.png"), np.vstack(strips[::2])[..., ::-1])
    mean = {
        name: {f: float(np.mean([r[f] for r in found])) for f in found[0]} for name, found in rows.items()
    }
    return {"clip": case.clip.name, "half": case.half, "turn": case.turn, "frames": len(strips), **mean}


def _strip(pictures: list[np.ndarray], region: np.ndarray, found: Face) -> np.ndarray:
    low, high = found.landmarks[:, :2].min(0), found.landmarks[:, :2].max(0)
    reach = 0.75 * (high - low).max()
    left, top = np.maximum((low + high) / 2 - reach, 0).astype(int)
    right, bottom = ((low + high) / 2 + reach).astype(int)
    edges, _ = cv2.findContours(region.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    marked = pictures[-1].copy()
    cv2.drawContours(marked, edges, -1, (0, 255, 0), 1)
    cells = [one[top:bottom, left:right] for one in (*pictures, marked)]
    return np.hstack([cv2.resize(one, (220, 220), interpolation=cv2.INTER_AREA) for one in cells])


def turns(options: argparse.Namespace) -> None:
    """Run the cases, and write the table."""
    engines = versions(options)
    _run(options, "turns", list(engines), run_case, engines)


def photos(options: argparse.Namespace) -> None:
    """Run the cases without and with a further photo, and write the table."""
    _run(options, "photos", ["mirror", "photo"], run_photo_case, versions(options))


def _run(
    options: argparse.Namespace,
    part: str,
    names: list[str],
    run: Callable[[Case, dict[str, Any], Path], dict[str, Any] | None],
    engines: dict[str, Any],
) -> None:
    clock, results = Clock(), []
    folder = options.out / f"hidden_side_{part}"
    folder.mkdir(parents=True, exist_ok=True)
    for clip, half in turning_clips(options.data):
        if options.half not in ("all", half) or options.only not in clip.name:
            continue
        for case in cases(clip, half):
            result = run(case, engines, folder)
            if result is not None:
                results.append(result)
                l1 = " ".join(f"{name} {result[name]['L1']:.1f}" for name in names)
                say(f"{clock}: {half} {clip.name} {case.portrait}: {l1}")
    write_results(options.out, f"hidden_side_{part}", {"cases": results}, turns_table(results, names))


def turns_table(results: list[dict[str, Any]], names: list[str]) -> str:
    """Means by half, and every case."""
    rows = []
    for half in HALVES:
        mine = [r for r in results if r["half"] == half]
        for name in names if mine else []:
            means = [float(np.mean([r[name][f] for r in mine])) for f in ("L1", "SSIM", "L1 face")]
            worse = sum(r[name]["L1"] > r[names[0]]["L1"] for r in mine)
            ratio = means[0] / float(np.mean([r[names[0]]["L1"] for r in mine]))
            rows.append([half, name, len(mine), *means[:2], ratio, f"{worse} of {len(mine)}", means[2]])
    head = ("half", "version", "cases", "L1", "SSIM", "L1 against the first", "cases worse", "L1 face")
    each = [
        [r["half"], r["clip"], r["turn"], *(f"{r[n]['L1']:.1f}, {r[n]['SSIM']:.3f}" for n in names)]
        for r in results
    ]
    return "\n\n".join((markdown(head, rows), markdown(("half", "clip", "degrees", *names), each)))


def turned(portrait: Portrait, degrees: float) -> TargetPose:
    """A portrait turned about its neck, its expression kept; degrees towards the viewer's right."""
    landmarks = portrait.face.landmarks
    turn = rotation_from_euler(degrees, 0.0, 0.0)
    pivot = landmarks[168] + 0.75 * (landmarks[152] - landmarks[168])
    pivot[2] = landmarks[[234, 454], 2].mean()
    points = ((landmarks - pivot) @ turn.T + pivot).astype(np.float32)
    shift = (pivot - pivot @ turn.T).astype(np.float32)
    return TargetPose(0.0, points, turn, 1.0, shift, np.zeros(52, np.float32))


def portrait_of(data: Path, name: str, size: int) -> Portrait:
    """A still, cropped as for rendering."""
    path = data / "portraits" / f"{name}.jpg"
    return load_portraits(path, chosen=0, crop=True, size=size).portraits[0]


def yaw_of(portrait: Portrait) -> float:
    """The portrait's own turn, degrees."""
    return float(euler_from_rotation(fit_pose(portrait.face.landmarks, load_basis().neutral).rotation)[0])


def cost(options: argparse.Namespace) -> None:
    """Processor time a frame and of `prepare`, the versions in turns, the least of the rounds."""
    engines, rows, results = versions(options), [], []
    for name in options.portraits.split():
        portrait = portrait_of(options.data, name, options.size)
        away = -1 if yaw_of(portrait) > 0 else 1
        shots = [turned(portrait, away * degrees) for degrees in TURNS]
        made = {
            key: _refined(module) if options.refine else module.WarpEngine()
            for key, module in engines.items()
        }
        best, mirrored = _timed(made, portrait, shots, options.rounds)
        rows.append(
            [
                name,
                yaw_of(portrait),
                "yes" if mirrored else "no",
                *best[0],
                *best[1],
                best[1][-1] / best[1][0],
            ]
        )
        results.append(
            dict(zip(("name", "yaw", "mirror", "prepare", "frame"), (*rows[-1][:3], *best), strict=True))
        )
        say(str(results[-1]))
    names = list(engines)
    head = (
        "portrait",
        "yaw",
        "hidden side",
        *(f"prepare {n}, ms" for n in names),
        *(f"frame {n}, ms" for n in names),
    )
    write_results(options.out, "hidden_side_cost", {"portraits": results}, markdown((*head, "ratio"), rows))


def _timed(
    engines: dict[str, Any], portrait: Portrait, shots: list[Any], rounds: int
) -> tuple[list[list[float]], bool]:
    """Least milliseconds of `prepare` and of a frame, by engine; and whether the last one has a hidden side."""
    prepared: dict[str, list[float]] = {key: [] for key in engines}
    spent: dict[str, list[float]] = {key: [] for key in engines}
    who = {}
    for _ in range(rounds):
        for key, engine in engines.items():
            since = time.process_time()
            who[key] = engine.prepare(portrait)
            prepared[key].append(1e3 * (time.process_time() - since))
            since = time.process_time()
            for _ in engine.render(who[key], shots):
                pass
            spent[key].append(1e3 * (time.process_time() - since) / len(shots))
    best = [[min(times[key]) for key in engines] for times in (prepared, spent)]
    return best, getattr(who["after"], "mirror", None) is not None


def _refined(module: Any) -> Any:
    return module.WarpEngine(module.refiner.load_network(), ())


def sheets(options: argparse.Namespace) -> None:
    """One picture for each portrait: source, then both versions at the driver's most different turns."""
    engines = versions(options)
    clip = next(c for c in read_clips(options.data) if c.path.stem == options.driver)
    what = load_motion(clip.path, lambda *_: None)
    folder = options.out / "hidden_side_sheets"
    folder.mkdir(parents=True, exist_ok=True)
    for name in options.portraits.split():
        portrait = portrait_of(options.data, name, options.size)
        laid = RetargetedMotion(what.motion, portrait, Style())
        yaw = np.array([euler_from_rotation(laid.target(i).turn)[0] for i in range(len(laid))])
        away = -1 if yaw_of(portrait) > 0 else 1
        order = np.argsort(away * yaw)
        picked = sorted({int(order[int(q * (len(order) - 1))]) for q in options.quantiles})
        mouths = _mouths(what, laid)
        shots = [laid.target(i, mouth) for i, mouth in zip(range(max(picked) + 1), mouths, strict=False)]
        mouths.close()
        crop = crop_around(portrait.face.landmarks, portrait.image, size=options.cell)
        columns = [[_cell(crop.cut(portrait.image), f"{name[:20]} {yaw_of(portrait):.0f}")] * len(picked)]
        for key, module in engines.items():
            engine = _refined(module)
            # a few frames before each moment, as the refiner looks back
            columns.append([])
            for index in picked:
                patches = engine.render(engine.prepare(portrait), shots[max(index - 3, 0) : index + 1])
                picture = composite.compose(portrait.image, [list(patches)[-1]])
                columns[-1].append(_cell(crop.cut(picture), f"{key} {yaw[index]:+.0f}"))
        rows = [np.hstack(row) for row in zip(*columns, strict=True)]
        cv2.imwrite(str(folder / f"{name}_{options.driver}.png"), np.vstack(rows)[..., ::-1])
        say(f"{folder / name}_{options.driver}.png")


def _cell(image: np.ndarray, text: str) -> np.ndarray:
    cell = image.copy()
    cv2.putText(cell, text, (4, 14), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (255, 60, 60), 1, cv2.LINE_AA)
    return cell


def main() -> None:
    """Read the command line and run one part."""
    parser = arguments(__doc__ or "")
    parser.add_argument("part", choices=("turns", "photos", "cost", "sheets"))
    parser.add_argument(
        "--before", type=Path, help="folder that holds the package `gioconda` of another commit"
    )
    parser.add_argument("--half", choices=("all", *HALVES), default="all", help="of the turning clips")
    parser.add_argument("--only", default="", help="clips whose name contains this")
    parser.add_argument(
        "--portraits", default=f"{THREE_QUARTER} {FRONTAL}", help="names without .jpg, by spaces"
    )
    parser.add_argument("--driver", default="d12", help="of the sheets, without .mp4")
    parser.add_argument(
        "--quantiles", type=float, nargs="*", default=(1.0, 0.9, 0.7, 0.3, 0.0), help="of its turns"
    )
    parser.add_argument("--size", type=int, default=512, help="of the crop, in pixels")
    parser.add_argument("--cell", type=int, default=300, help="of a sheet, in pixels")
    parser.add_argument("--rounds", type=int, default=7, help="of the cost")
    parser.add_argument("--refine", action="store_true", help="cost with the refiner")
    options = parser.parse_args()
    two_cores()
    {"turns": turns, "photos": photos, "cost": cost, "sheets": sheets}[options.part](options)


if __name__ == "__main__":
    main()
