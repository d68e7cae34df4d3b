"""Contact sheets to look at: portraits driven by clips, at the moments in which the driver does most.

One picture for each portrait, a row for each driver; small on top what the driver does, below it the
result. --large makes a picture for each driver, --full shows the whole picture instead of the face, --zoom
mouth or eyes a part of it, --diff how much the background moves. The pictures show real people: look at
them, publish none.
"""

from __future__ import annotations

import contextlib
import itertools
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from common import (
    Clip,
    Clock,
    Crop,
    arguments,
    channels,
    crop_around,
    liveliest_window,
    read_clips,
    read_images,
    say,
    two_cores,
    write_clip,
)
from gioconda.types import Face

PORTRAITS = (
    "mona_lisa einstein painting_woman_in_black photo_woman "
    "statue_terracotta cartoon_boy churchill_grey half_body"
)
DRIVERS = "d10 d6 d12"
# What is looked for, and the sign that the channel has there.
MOMENTS = (
    ("jawOpen", 1),
    ("blink", 1),
    ("smile", 1),
    ("yaw", 1),
    ("yaw", -1),
    ("pitch", 1),
    ("pitch", -1),
    ("gaze", 1),
)
APART = 6  # frames between two moments
PARTS = {
    "mouth": (61, 291, 0, 17, 37, 267, 84, 314),
    "eyes": (33, 263, 70, 300, 105, 334, 145, 374),
}
ENLARGE = {"mouth": 1.9, "eyes": 1.3}  # of the part's own width
GAIN = 8  # how much a difference is amplified
INK, PAPER = (235, 235, 235), 24


@dataclass(frozen=True)
class Driver:
    """A clip cut to where it moves most, and its moments: (index, what is to be seen)."""

    name: str
    path: Path
    moments: list[tuple[int, str]]
    pictures: dict[int, np.ndarray]


def find_moments(series: dict[str, np.ndarray], count: int, seed: int = 1) -> list[tuple[int, str]]:
    """Frames where each channel peaks, no two close together; filled up at random; in order of time."""
    total = len(next(iter(series.values())))
    apart = min(APART, max(1, total // (2 * count)))
    found: list[tuple[int, str]] = []

    def free(index: int) -> bool:
        return all(abs(index - other) >= apart for other, _ in found)

    for name, sign in MOMENTS[: count - 1]:
        order = np.argsort(-sign * series[name])
        best = next((int(i) for i in order if free(int(i))), None)
        if best is not None:
            found.append((best, f"{name}{'+' if sign > 0 else '-'} {series[name][best]:.2g}"))
    for index in np.random.default_rng(seed).permutation(total):
        if len(found) == count:
            break
        if free(int(index)):
            found.append((int(index), "any"))
    return sorted(found)


def make_driver(clip: Clip, length: int, columns: int, folder: Path) -> Driver:
    """Cut the liveliest `length` frames (0: all) out of a clip and find its moments."""
    import gioconda

    motion, path = gioconda.track(clip.path), clip.path
    if 0 < length < len(motion):
        start = liveliest_window(motion, length)
        path = folder / f"{clip.path.stem}.mp4"
        write_clip(path, itertools.islice(read_images(clip.path), start, start + length), clip.fps)
        motion = gioconda.track(path)
    moments = find_moments(channels(motion), columns)
    wanted = {index for index, _ in moments}
    pictures = {i: image for i, image in enumerate(read_images(path)) if i in wanted}
    return Driver(clip.path.stem, path, moments, pictures)


def rendered(portrait: Path, driver: Driver, options: Any) -> dict[int, np.ndarray]:
    """The frames of the result at the driver's moments, and frame 0."""
    import gioconda

    wanted = {0, *(index for index, _ in driver.moments)}
    how = {} if options.full or options.diff else {"crop": True, "size": options.size}
    frames = gioconda.frames(portrait, driver.path, engine=options.engine, **how)
    with contextlib.closing(frames):
        picked = itertools.islice(frames, max(wanted) + 1)
        return {i: frame.image for i, frame in enumerate(picked) if i in wanted}


def face_of(image: np.ndarray) -> Face | None:
    """The largest face of a picture."""
    from gioconda.face import detect_faces

    return next(iter(detect_faces(image)), None)


def zoomed(image: np.ndarray, part: str, side: int) -> np.ndarray:
    """The mouth or the eyes, enlarged; the whole picture where no face is found."""
    face = face_of(image)
    if face is None:
        return fitted(image, side)
    points = face.landmarks[list(PARTS[part])]
    return crop_around(points, image, enlarge=ENLARGE[part], size=side).cut(image)


def fitted(image: np.ndarray, side: int) -> np.ndarray:
    """The whole picture within a square of `side` pixels, on dark ground."""
    scale = side / max(image.shape[:2])
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=how)[:side, :side]
    square = np.full((side, side, 3), PAPER, np.uint8)
    top, left = (side - small.shape[0]) // 2, (side - small.shape[1]) // 2
    square[top : top + small.shape[0], left : left + small.shape[1]] = small
    return square


def difference(first: np.ndarray, image: np.ndarray) -> tuple[np.ndarray, float]:
    """What changed since frame 0, amplified, the person tinted blue; and its mean outside the person."""
    from gioconda.face import person_mask

    person = np.maximum(person_mask(first), person_mask(image)) > 0.1
    reach = max(image.shape[:2]) // 40
    person = cv2.dilate(person.astype(np.uint8), np.ones((reach, reach), np.uint8)) > 0
    change = cv2.absdiff(first, image)
    shown = np.minimum(change.astype(np.int32) * GAIN, 255).astype(np.uint8)
    shown[person, 2] = np.maximum(shown[person, 2], 90)
    outside = change[~person]
    return shown, float(outside.mean()) if outside.size else float("nan")


def written(image: np.ndarray, text: str, left: int, bottom: int) -> None:
    """Print a small text into a picture."""
    cv2.putText(image, text, (left, bottom), cv2.FONT_HERSHEY_SIMPLEX, 0.42, INK, 1, cv2.LINE_AA)


def driver_thumb(driver: Driver, index: int, options: Any) -> np.ndarray:
    """What the driver does at a moment, as small as it can be judged."""
    image, side = driver.pictures[index], options.cell
    small = side // 2
    if options.zoom:
        return zoomed(image, options.zoom, small)
    face = face_of(image)
    crop = crop_around(face.landmarks, image, size=small) if face else Crop(0, 0, min(image.shape[:2]), small)
    return crop.cut(image)


def cell(driver: Driver, moment: tuple[int, str], frames: dict[int, np.ndarray], options: Any) -> np.ndarray:
    """One moment: the driver above, the result below."""
    index, name = moment
    side = options.cell
    thumb = driver_thumb(driver, index, options)
    tile = np.full((thumb.shape[0] + side + 4, side + 4, 3), PAPER, np.uint8)
    tile[: thumb.shape[0], : thumb.shape[1]] = thumb
    written(tile, f"{index}", thumb.shape[1] + 6, 16)
    written(tile, name, thumb.shape[1] + 6, 34)
    image = frames[index]
    if options.diff:
        image, outside = difference(frames[0], image)
        written(tile, f"outside {outside:.2f}", thumb.shape[1] + 6, 52)
    shown = zoomed(image, options.zoom, side) if options.zoom and not options.diff else fitted(image, side)
    tile[thumb.shape[0] : thumb.shape[0] + side, :side] = shown
    return tile


def portrait_tile(image: np.ndarray, driver: Driver, height: int, options: Any) -> np.ndarray:
    """The portrait itself at the head of a row."""
    side = options.cell
    tile = np.full((height, side + 4, 3), PAPER, np.uint8)
    written(tile, f"driver {driver.name}", 6, 16)
    face = face_of(image)
    if options.zoom:
        shown = zoomed(image, options.zoom, side)
    elif options.full or options.diff or face is None:
        shown = fitted(image, side)
    else:
        shown = crop_around(face.landmarks, image, size=side).cut(image)
    tile[height - side - 4 : height - 4, :side] = shown
    return tile


def line(portrait: Path, still: np.ndarray, driver: Driver, options: Any) -> np.ndarray:
    """All moments of one driver side by side; with --large as two lines without the portrait."""
    frames = rendered(portrait, driver, options)
    cells = [cell(driver, moment, frames, options) for moment in driver.moments]
    if options.large:
        half = (len(cells) + 1) // 2
        cells += [np.full_like(cells[0], PAPER)] * (2 * half - len(cells))
        return np.vstack([np.hstack(cells[:half]), np.hstack(cells[half:])])
    return np.hstack([portrait_tile(still, driver, cells[0].shape[0], options), *cells])


def sheets(portrait: Path, drivers: list[Driver], options: Any) -> dict[str, np.ndarray]:
    """The contact sheets of one portrait, by the ends of their names."""
    from gioconda.media import read_picture

    still, _ = read_picture(portrait)
    lines = {driver.name: line(portrait, still, driver, options) for driver in drivers}
    if options.large:
        return {f"_{name}": picture for name, picture in lines.items()}
    return {"": np.vstack(list(lines.values()))}


def parse() -> Any:
    """The command line."""
    parser = arguments(__doc__ or "")
    parser.add_argument("--portraits", default=PORTRAITS, help="names without .jpg, by spaces, or `all`")
    parser.add_argument("--drivers", default=DRIVERS, help="names without .mp4, by spaces")
    parser.add_argument("--frames", type=int, default=180, help="of each driver, where it moves most; 0: all")
    parser.add_argument("--columns", type=int, default=8, help="moments of each driver")
    parser.add_argument("--cell", type=int, help="pixels of a result on the sheet (288; --large: 384)")
    parser.add_argument("--size", type=int, default=512, help="of the rendered crop, in pixels")
    parser.add_argument("--engine", default="warp")
    parser.add_argument("--large", action="store_true", help="a sheet of two lines for each driver")
    parser.add_argument("--full", action="store_true", help="the whole picture instead of the face")
    parser.add_argument("--zoom", choices=tuple(PARTS), help="a part of the face alone")
    parser.add_argument("--diff", action="store_true", help="the change since frame 0, eight times as strong")
    options = parser.parse_args()
    options.cell = options.cell or (384 if options.large else 288)
    return options


def main() -> None:
    """Read the command line, render, and write one picture for each portrait."""
    options = parse()
    two_cores()
    stems = options.portraits.split()
    known = sorted((options.data / "portraits").iterdir())
    portraits = [p for p in known if p.stem in stems or stems == ["all"]]
    clips = [c for c in read_clips(options.data) if c.path.stem in options.drivers.split()]
    if not portraits or not clips:
        sys.exit(f"no such portrait or driver; portraits: {' '.join(p.stem for p in known)}")
    folder = options.out / "sheets"
    folder.mkdir(parents=True, exist_ok=True)
    kind = (
        "_diff" if options.diff else f"_{options.zoom}" if options.zoom else "_full" if options.full else ""
    )
    clock = Clock()
    with tempfile.TemporaryDirectory() as scratch:
        drivers = [make_driver(clip, options.frames, options.columns, Path(scratch)) for clip in clips]
        for portrait in portraits:
            for ending, picture in sheets(portrait, drivers, options).items():
                path = folder / f"{portrait.stem}{ending}{kind}.png"
                cv2.imwrite(str(path), picture[..., ::-1])
                say(f"{clock}: {path}")


if __name__ == "__main__":
    main()
