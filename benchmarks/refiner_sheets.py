"""The refiner to look at: portraits driven by a clip, the warp alone beside the refined, mouth and eyes enlarged.

One picture for each portrait, a row for each moment of the driver: source, driver, warp, refined, then the mouth and
the eyes of both. The pictures show real people: look at them, publish none.
"""

from __future__ import annotations

import contextlib
import itertools
import sys
import tempfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np

import gioconda
from common import Clock, Crop, arguments, crop_around, read_clips, say, two_cores
from gioconda.media import read_picture
from sheets import ENLARGE, PAPER, PARTS, Driver, driver_thumb, face_of, fitted, make_driver, written

PORTRAITS = (
    "mona_lisa einstein painting_woman_in_black painting_art_10 painting_lady_in_chair photo_woman "
    "statue_terracotta cartoon_boy churchill_grey half_body"
)
SIDE = 320


def both(portrait: Path, driver: Driver, options: Any) -> dict[bool, dict[int, np.ndarray]]:
    """Frames at the driver's moments, without the refiner and with it."""
    wanted = {index for index, _ in driver.moments}
    motion = gioconda.track(driver.path) if options.no_video else driver.path
    made: dict[bool, dict[int, np.ndarray]] = {}
    for refine in (False, True):
        network = options.network if refine and options.network else refine
        frames = gioconda.frames(portrait, motion, refine=network, crop=True, size=options.size)
        with contextlib.closing(frames):
            picked = itertools.islice(frames, max(wanted) + 1)
            made[refine] = {i: frame.image for i, frame in enumerate(picked) if i in wanted}
    return made


def part_crop(image: np.ndarray, part: str) -> Crop | None:
    """Where mouth or eyes lie, the same for both pictures that are compared."""
    face = face_of(image)
    if face is None:
        return None
    return crop_around(face.landmarks[list(PARTS[part])], image, enlarge=ENLARGE[part], size=SIDE)


def row(still: np.ndarray, driver: Driver, moment: tuple[int, str], made: Any, options: Any) -> np.ndarray:
    """One moment."""
    index, name = moment
    pair = [made[False][index], made[True][index]]
    tiles = [fitted(still, SIDE), fitted(driver_thumb(driver, index, options), SIDE)]
    tiles += [fitted(image, SIDE) for image in pair]
    for part in PARTS:
        crop = part_crop(pair[0], part)
        tiles += [crop.cut(image) if crop else np.full((SIDE, SIDE, 3), PAPER, np.uint8) for image in pair]
    line = np.hstack([np.pad(t, ((2, 2), (2, 2), (0, 0)), constant_values=PAPER) for t in tiles])
    written(line, f"{driver.name} {index} {name}", 8, 18)
    return line


def main() -> None:
    """Read the command line, render, and write one picture for each portrait."""
    parser = arguments(__doc__ or "")
    parser.add_argument("--portraits", default=PORTRAITS, help="names without .jpg, by spaces, or `all`")
    parser.add_argument("--driver", default="d10", help="name without .mp4")
    parser.add_argument("--frames", type=int, default=150, help="of the driver, where it moves most")
    parser.add_argument("--columns", type=int, default=5, help="moments")
    parser.add_argument("--size", type=int, default=512, help="of the rendered crop, in pixels")
    parser.add_argument("--network", type=Path, help=".onnx; default: the packaged")
    parser.add_argument("--no-video", action="store_true", help="by motion alone, without the driver's mouth")
    options = parser.parse_args()
    options.zoom, options.cell = "", 2 * SIDE
    two_cores()
    stems = options.portraits.split()
    portraits = [
        p for p in sorted((options.data / "portraits").iterdir()) if p.stem in stems or stems == ["all"]
    ]
    clips = [c for c in read_clips(options.data) if c.path.stem == options.driver]
    if not portraits or not clips:
        sys.exit("no such portrait or driver")
    folder, clock = options.out / "refiner_sheets", Clock()
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        driver = make_driver(clips[0], options.frames, options.columns, Path(scratch))
        for portrait in portraits:
            still, made = read_picture(portrait)[0], both(portrait, driver, options)
            sheet = np.vstack([row(still, driver, moment, made, options) for moment in driver.moments])
            path = folder / f"{portrait.stem}_{options.driver}{'_no_video' if options.no_video else ''}.png"
            cv2.imwrite(str(path), sheet[..., ::-1])
            say(f"{clock}: {path}")


if __name__ == "__main__":
    main()
