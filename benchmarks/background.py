"""Does the world stand still behind a head that moves, and what does a frame cost for it?

Each portrait is moved by each driver twice, with the background as a layer of its own and without. Optical flow (DIS)
from the portrait to the frame is measured on textured ground near the person that neither picture's mask covers; the
masks come from the network, not from the engine. A wall that is too plain for its motion to be seen gets a grain
first. Frames of both ways are rendered in turn, so that what else the machine does falls on both.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from common import (
    Bar,
    Clip,
    arguments,
    bars_table,
    liveliest_window,
    markdown,
    read_clips,
    say,
    two_cores,
    write_results,
)
from gioconda.engines.warp.engine import WarpEngine
from gioconda.engines.warp.frame import warp_frame
from gioconda.engines.warp.identity import WarpIdentity
from gioconda.engines.warp.refiner import load_network
from gioconda.inputs.portrait import load_portraits, person_around
from gioconda.motion.retarget import RetargetedMotion, Style
from gioconda.types import Portrait, TargetPose

PORTRAITS, DRIVERS = "photo_woman half_body photo_actor_8", "d12 d10 d6"
WAYS = ("before", "after")
STEP = 4  # frames between two that are looked at
MARGIN = 0.3  # inter-ocular units around a person's mask in which the flow still sees the person, or hair stands out
REACH = 1.2  # inter-ocular units around the person that count as beside the head
TEXTURE = (
    4.0  # grey levels, standard deviation in a window: below, there is nothing whose motion could be seen
)
WINDOW = 11  # pixels of that window
GRAIN = 40.0  # grey levels, standard deviation of the grain before it is blurred by 1.5 pixels: about 7 after
LEAST = 500  # pixels of ground in a frame: fewer are a lone curl that the mask leaves out, not ground


@dataclass(frozen=True)
class Moved:
    """A portrait moved by a driver: mean, 95th percentile of the ground's flow, mean flow of the person; pixels.

    frames: how many showed enough ground.
    """

    mean: float
    high: float
    person: float
    frames: int


def driven(portrait: Portrait, clip: Clip, length: int) -> list[TargetPose]:
    """Shots of the driver's liveliest stretch of `length` frames."""
    import gioconda

    motion = gioconda.track(clip.path)
    start = liveliest_window(motion, length)
    laid = RetargetedMotion(motion, portrait, Style())
    return [laid.target(i) for i in range(start, min(start + length, len(motion)), STEP)]


def grown(mask: np.ndarray, by: float) -> np.ndarray:
    """A mask (H, W) bool, larger by so many pixels."""
    side = 2 * max(1, round(by)) + 1
    return cv2.dilate(mask.astype(np.uint8), cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))) > 0


def textured(image: np.ndarray) -> np.ndarray:
    """Where a picture shows enough for its motion to be seen, (H, W) bool."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
    mean = cv2.blur(grey, (WINDOW, WINDOW))
    return cv2.blur(grey * grey, (WINDOW, WINDOW)) - mean * mean > TEXTURE**2


def ground_of(portrait: Portrait) -> tuple[np.ndarray, float]:
    """Textured ground beside the person at rest, (H, W) bool, and the inter-ocular distance in pixels."""
    unit = float(np.linalg.norm(portrait.face.landmarks[263] - portrait.face.landmarks[33]))
    someone = portrait.person > 0.1
    beside = grown(someone, REACH * unit) & ~grown(someone, MARGIN * unit)
    return beside & textured(portrait.image), unit


def grained(portrait: Portrait) -> Portrait:
    """The portrait, with a grain on its wall if that is plain."""
    ground, unit = ground_of(portrait)
    if ground.sum() >= LEAST:
        return portrait
    noise = np.random.default_rng(1).normal(0, GRAIN, ground.shape).astype(np.float32)
    wall = 1 - grown(portrait.person > 0.1, MARGIN * unit).astype(np.float32)
    grain = cv2.GaussianBlur(noise, (0, 0), 1.5) * cv2.GaussianBlur(wall, (0, 0), 0.05 * unit)
    image = np.clip(np.rint(portrait.image + grain[..., None]), 0, 255).astype(np.uint8)
    return replace(portrait, image=image, name=f"{Path(portrait.name).stem}, grained.jpg")


def ground_flow(portrait: Portrait, images: Sequence[np.ndarray]) -> Moved:
    """How far ground and person of the portrait have moved in pictures of it."""
    first, face = portrait.image, portrait.face
    beside, unit = ground_of(portrait)
    flow = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    grey = cv2.cvtColor(first, cv2.COLOR_RGB2GRAY)
    ways, own = [], []
    for image in images:
        own.append(_length(flow, grey, image)[portrait.person > 0.9].mean())
        away = ~grown((person_around(image, face) > 0.1) | (portrait.person > 0.1), MARGIN * unit)
        if (beside & away).sum() >= LEAST:
            # the person stays out of it: the flow of a head that goes far bleeds into ground whose pixels are the same
            only = np.where(away[..., None], image, first)
            ways.append(_length(flow, grey, only)[beside & away])
    all_ways = np.concatenate(ways) if ways else np.array([np.nan])
    return Moved(float(all_ways.mean()), float(np.percentile(all_ways, 95)), float(np.mean(own)), len(ways))


def _length(flow: Any, grey: np.ndarray, image: np.ndarray) -> np.ndarray:
    return np.linalg.norm(flow.calc(grey, cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), None), axis=2)


def finished(who: WarpIdentity, portrait: Portrait, shots: Sequence[TargetPose]) -> list[np.ndarray]:
    """The shots as whole pictures, without the refiner, which leaves the ground alone."""
    pictures = []
    for shot in shots:
        left, top, right, bottom = who.background_warp.box
        picture = portrait.image.copy()
        picture[top:bottom, left:right] = warp_frame(who, shot).image
        pictures.append(picture)
    return pictures


def paired(ways: Sequence[Callable[[], Any]], repeats: int) -> list[float]:
    """Median processor milliseconds of each of some functions, called in turn."""
    times: list[list[float]] = [[] for _ in ways]
    for _ in range(repeats):
        for way, spent in zip(ways, times, strict=True):
            start = time.process_time()
            way()
            spent.append(1000 * (time.process_time() - start))
    return [float(np.median(spent)) for spent in times]


def costs(portrait: Portrait, shots: Sequence[TargetPose]) -> dict[str, list[float]]:
    """Milliseconds before and after: to prepare, to warp a frame, to render one with the refiner."""
    bare, whole = WarpEngine(), WarpEngine(load_network())
    pair = (replace(portrait, filmed=True), portrait)
    streams = [whole.render(whole.prepare(one), shots) for one in pair]
    cast = [bare.prepare(one) for one in pair]
    turns = [iter(shots) for _ in pair]
    return {
        "prepare": paired([lambda one=one: bare.prepare(one) for one in pair], 7),
        "warp": paired(
            [lambda w=w, t=t: warp_frame(w, next(t)) for w, t in zip(cast, turns, strict=True)], len(shots)
        ),
        "frame": paired([lambda s=s: next(s) for s in streams], len(shots)),
    }


def sheet(out: Path, name: str, frames: dict[str, list[np.ndarray]], portrait: Portrait) -> None:
    """The frames in which the head is farthest from rest, before above after."""
    change = [np.abs(a.astype(int) - portrait.image).mean() for a in frames["before"]]
    chosen = np.sort(np.argsort(change)[-4:])
    rows = [np.hstack([frames[way][i] for i in chosen]) for way in WAYS]
    out.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(out / f"{name}.png"), np.vstack(rows)[..., ::-1])


def measure(options: Any, portraits: Sequence[Portrait], clips: Sequence[Clip]) -> list[dict[str, Any]]:
    """Every portrait with every driver."""
    engine, results = WarpEngine(), []
    for portrait in portraits:
        cast = dict(zip(WAYS, map(engine.prepare, (replace(portrait, filmed=True), portrait)), strict=True))
        for clip in clips:
            shots = driven(portrait, clip, options.frames)
            frames = {way: finished(who, portrait, shots) for way, who in cast.items()}
            moved = {way: ground_flow(portrait, images) for way, images in frames.items()}
            name = f"{Path(portrait.name).stem} {clip.path.stem}"
            sheet(options.out / "background", name.replace(" ", "_"), frames, portrait)
            results.append({"name": name, **{way: vars(one) for way, one in moved.items()}})
            say(f"{name}: {moved['before'].mean:.2f} -> {moved['after'].mean:.2f} px")
    return results


def report(results: list[dict[str, Any]], cost: dict[str, list[float]], held: list[Bar]) -> str:
    """The tables in markdown."""
    rows = [
        [
            r["name"],
            r["after"]["frames"],
            r["after"]["person"],
            *(r[way][figure] for figure in ("mean", "high") for way in WAYS),
        ]
        for r in results
    ]
    return "\n\n".join(
        (
            "Optical flow in pixels of the crop, on textured ground beside the head:",
            markdown(
                ("", "frames", "the person", "mean before", "mean after", "95th percentile before", "after"),
                rows,
            ),
            "Processor milliseconds, rendered in turn:",
            markdown(("", *WAYS, "ratio"), [[name, a, b, b / a] for name, (a, b) in cost.items()]),
            bars_table(held),
        )
    )


def main() -> None:
    """Read the command line, render, and write the tables."""
    parser = arguments(__doc__ or "")
    parser.add_argument("--portraits", default=PORTRAITS, help="names without .jpg, by spaces")
    parser.add_argument("--drivers", default=DRIVERS, help="names without .mp4, by spaces")
    parser.add_argument("--frames", type=int, default=120, help="of each driver, where it moves most")
    parser.add_argument("--size", type=int, default=512, help="of the crop, in pixels")
    options = parser.parse_args()
    two_cores()
    folder, stems = options.data / "portraits", options.drivers.split()
    portraits = [
        grained(load_portraits(folder / f"{name}.jpg", chosen=0, crop=True, size=options.size).portraits[0])
        for name in options.portraits.split()
    ]
    clips = [c for c in read_clips(options.data) if c.name in [f"driving/{stem}.mp4" for stem in stems]]
    results = measure(options, portraits, clips)
    cost = costs(portraits[0], driven(portraits[0], clips[0], 2 * options.frames))
    held = [
        Bar(
            "flow of the ground, worst mean, px",
            float(np.nanmax([r["after"]["mean"] for r in results])),
            0.3,
            at_most=True,
        ),
        Bar("time of a frame against before", cost["frame"][1] / cost["frame"][0], 1.1, at_most=True),
        Bar(
            "time to prepare, more than before, ms",
            cost["prepare"][1] - cost["prepare"][0],
            150,
            at_most=True,
        ),
    ]
    write_results(
        options.out, "background", {"moved": results, "cost": cost, "bars": held}, report(results, cost, held)
    )


if __name__ == "__main__":
    main()
