"""The watermark on real outputs: what it outlives, what it costs, and that plain pictures raise no alarm.

Outputs of one second, from all engines, are made once by the pipeline and kept (`--keep FOLDER`), each attack of
`attacks.py` is made of them, and the reader gets what is left. Then plain pictures and clips are read.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

import cv2
import numpy as np

from attacks import ATTACKS
from common import (
    FEWSHOT_EXAMPLE,
    Bar,
    Clip,
    Clock,
    arguments,
    bars_table,
    markdown,
    read_clips,
    read_images,
    say,
    write_clip,
    write_results,
)
from gioconda import output, pipeline, speak
from gioconda.media import read_sound, write_sound
from gioconda.motion import store, templates
from gioconda.provenance import Watermarker, read_watermark, watermark
from gioconda.speech.features import RATE
from gioconda.types import Motion

FRAMES, FPS = 25, 25  # of an output: one second
SIZES = (256, 320, 384, 448, 512)
DRIVERS = ("driving/d0", "driving/d10", "driving/d14", "driving/fomm_08", "driving/tps", "talk/retalking_1")
VOICES = ("english", "french", "chinese", "japanese")
ENGINES = ("warp", "warp", "fewshot", "warp", "voice", "lipsync")  # in turn; a voice moves the warp engine
SURE = {  # at least 99%, as issue 6 asks
    "H.264, crf 23",
    "H.264, crf 28",
    "H.265, crf 28",
    "VP9, crf 33",
    "resized to 75%",
    "resized to 50%",
    "cropped by 10%",
}
LONG = 250  # frames of the outputs by which the cost is told
PLAIN_SIDE = 256  # pixels at most of the shorter side of what is read for false alarms


@dataclass(frozen=True)
class Output:
    """A kept output: the signed file, its payload, PSNR of the mark in dB, and its flicker in grey levels."""

    path: Path
    engine: str
    payload: int
    psnr: float
    flicker: float


class Recorder(Watermarker):
    """A watermarker that keeps what went in and came out of the frames of the last job."""

    payload = 0
    pairs: ClassVar[list[tuple[np.ndarray, np.ndarray]]] = []

    def __init__(self, size: tuple[int, int], payload: int) -> None:
        super().__init__(size, payload)
        Recorder.payload, Recorder.pairs = payload, []

    def apply(self, image: np.ndarray) -> np.ndarray:
        marked = super().apply(image)
        Recorder.pairs.append((image.copy(), marked))
        return marked


def second(motion: Motion, start: int) -> Motion:
    """FRAMES of a motion from `start` on, at FPS."""
    part = slice(start, start + FRAMES)
    fields = ("rotation", "translation", "scale", "expression", "gaze", "confidence")
    cut: dict[str, Any] = {name: getattr(motion, name)[part] for name in fields}
    cut["residual"] = None if motion.residual is None else motion.residual[part]
    return motion.with_(times=np.arange(len(cut["scale"])) / FPS, reference=0, **cut)


def motions(data: Path, keep: Path) -> list[Motion]:
    """Templates, and what was tracked in some clips."""
    found = [templates.template(name) for name in templates.TEMPLATES]
    for name in DRIVERS:
        kept = keep / f"{Path(name).name}.npz"
        if not kept.is_file():
            pipeline.track(data / f"{name}.mp4", kept)
        found.append(store.load(kept))
    return [m for m in found if len(m) > FRAMES]


def shortened(clip: Path, keep: Path, start: int) -> Path:
    """Two seconds of a clip, as a file: enough footage for mouths."""
    path = keep / f"{clip.stem}-{start}.mp4"
    if not path.is_file():
        write_clip(path, list(read_images(clip, start + 2 * FRAMES))[start:], FPS)
    return path


def voice(data: Path, keep: Path, k: int) -> Path:
    """A second of speech, as a file."""
    path = keep / f"voice-{k}.wav"
    if not path.is_file():
        with read_sound(data / "speech" / f"{VOICES[k % len(VOICES)]}.wav", RATE) as blocks:
            sound = np.concatenate(list(blocks))
        start = (k * 79_190) % (len(sound) - RATE)
        write_sound(path, sound[start : start + RATE], RATE)
    return path


def make(k: int, data: Path, keep: Path, moves: list[Motion], clips: list[Clip]) -> Output:
    """Output `k`: always the same portrait, motion, engine and size."""
    path, told = keep / f"{k:03}.mp4", keep / f"{k:03}.json"
    if not told.is_file():
        stills = sorted((data / "portraits").iterdir())
        engine, random = ENGINES[k % len(ENGINES)], np.random.default_rng(k)
        size, crop = int(random.choice(SIZES)), bool(k % 4 != 3)
        motion = moves[k % len(moves)]
        motion = second(motion, int(random.integers(len(motion) - FRAMES)))
        still = stills[int(random.integers(len(stills)))]
        if engine == "lipsync":
            clip = clips[int(random.integers(len(clips)))]
            speak(shortened(clip.path, keep, 0), path, audio=voice(data, keep, k))
        elif engine == "voice":
            speak(still, path, audio=voice(data, keep, k), seed=k, crop=crop, size=size)
        else:
            weights = FEWSHOT_EXAMPLE if engine == "fewshot" else None
            pipeline.animate(still, motion, path, engine=engine, weights=weights, crop=crop, size=size)
        change = [marked.astype(np.int16) - image for image, marked in Recorder.pairs]
        power = float(np.mean([np.mean(c.astype(np.float32) ** 2) for c in change]))
        moved = [np.abs(b - a).mean() for a, b in pairwise(change)]
        facts = {"engine": engine, "payload": Recorder.payload, "psnr": 10 * np.log10(255**2 / power)}
        told.write_text(json.dumps({**facts, "flicker": float(np.mean(moved or [0]))}), encoding="utf-8")
    return Output(path, **json.loads(told.read_text(encoding="utf-8")))


def outputs(numbers: range, data: Path, keep: Path) -> list[Output]:
    """The outputs of these numbers, made now or kept from before with the same watermark."""
    if all((keep / f"{k:03}.json").is_file() for k in numbers):
        return [make(k, data, keep, [], []) for k in numbers]
    output.Watermarker = Recorder  # type: ignore[misc]
    keep.mkdir(parents=True, exist_ok=True)
    moves, made = motions(data, keep), list[Output]()
    clips = [c for c in read_clips(data) if c.name.startswith(("lrw_ar", "grid_s1", "talk/virtual"))]
    for k in numbers:
        made.append(make(k, data, keep, moves, clips))
        say(f"{made[-1].path.name}: {made[-1].engine}, {made[-1].psnr:.1f} dB")
    output.Watermarker = Watermarker  # type: ignore[misc]
    return made


def survey(made: list[Output], names: list[str]) -> dict[str, list[dict[str, Any]]]:
    """What the reader found of each output after each attack; kept, so that a stopped run goes on."""
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    for one in made:
        kept = one.path.with_suffix(".found.json")
        rows = json.loads(kept.read_text(encoding="utf-8")) if kept.is_file() else {}
        if not all(name in rows for name in names):
            images = list(read_images(one.path))[:FRAMES]
            rows |= {name: attacked(one, images, name) for name in names if name not in rows}
            kept.write_text(json.dumps(rows), encoding="utf-8")
        for name in names:
            found[name].append(rows[name])
        missed = [f"{name} ({rows[name]['score']:.1f})" for name in names if not rows[name]["right"]]
        say(f"{one.path.stem} {one.engine}: missed {missed}")
    return found


def attacked(one: Output, images: list[np.ndarray], name: str) -> dict[str, Any]:
    """What the reader finds of an output after one attack."""
    changed, clock = ATTACKS[name](images), Clock()
    reading = read_watermark(changed)
    return {
        "output": one.path.stem,
        "found": reading.payload is not None,
        "right": reading.payload == one.payload,
        "score": reading.score,
        "seconds": clock.seconds,
    }


def costs(data: Path, keep: Path) -> list[tuple[str, float, float, float]]:
    """Size, milliseconds of the mark, milliseconds a frame, share; from the first to the last frame of one job."""
    portrait, motion = data / "portraits" / "mona_lisa.jpg", templates.template("talk")
    count = len(motion)
    repeats = -(-LONG // count)
    fields = ("rotation", "translation", "scale", "expression", "gaze", "confidence")
    longer = {name: np.concatenate([getattr(motion, name)] * repeats) for name in fields}
    motion = motion.with_(times=np.arange(count * repeats) / FPS, residual=None, **longer)
    rows = []
    for told, options in (
        ("256 px crop", {"crop": True, "size": 256}),
        ("512 px crop", {"crop": True, "size": 512}),
        ("1280 px picture", {}),
    ):
        ticks: list[float] = []

        def tick(stage: str, _done: int, _total: int, ticks: list[float] = ticks) -> None:
            if stage == "render":
                ticks.append(time.perf_counter())

        made = pipeline.animate(portrait, motion, keep / "cost.mp4", progress=tick, **options)
        frame = 1000 * (ticks[-1] - ticks[0]) / (len(ticks) - 1)
        mark = 1000 * made.stages["watermark"] / made.frames
        rows.append((told, mark, frame, 100 * mark / frame))
    return rows


def plain(count: int, data: Path) -> Iterator[tuple[str, list[np.ndarray]]]:
    """Unmarked pictures and clips: (kind, frames); parts of clips and stills, other sizes, and made-up noise."""
    clips, random = read_clips(data), np.random.default_rng(6)
    stills = [p for folder in ("portraits", "hard", "few_shot") for p in sorted((data / folder).rglob("*.*"))]
    pictures = [image for p in stills if (image := cv2.imread(str(p))) is not None]
    for k in range(count):
        if k % 10 == 0:
            yield "noise", [made_up(random)]
        elif k % 10 == 1:
            yield "still", [part(pictures[k // 10 % len(pictures)], random)]
        elif k % 10 == 2:
            frames = list(read_images(clips[(k // 10 * 7) % len(clips)].path, FRAMES))
            yield "clip", fitting(frames)
        elif k % 10 == 3:
            frames = list(read_images(clips[(k // 10 * 11) % len(clips)].path, 7 * 4))
            yield from (("frame", [part(image, random)]) for image in frames[::4])


def fitting(frames: list[np.ndarray]) -> list[np.ndarray]:
    """The frames with their shorter side at most PLAIN_SIDE."""
    shrink = PLAIN_SIDE / min(frames[0].shape[:2])
    if shrink >= 1:
        return frames
    return [cv2.resize(f, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA) for f in frames]


def part(image: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """A part of a picture, its shorter side 96 to PLAIN_SIDE pixels."""
    height, width = image.shape[:2]
    share = random.uniform(0.5, 1.0)
    h, w = max(64, int(height * share)), max(64, int(width * share))
    top, left = random.integers(0, max(1, height - h)), random.integers(0, max(1, width - w))
    cut = image[top : top + h, left : left + w]
    scale = random.uniform(96, PLAIN_SIDE) / min(cut.shape[:2])
    return cv2.resize(
        cut, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    )


def made_up(random: np.random.Generator) -> np.ndarray:
    """White, smoothed or periodic noise."""
    noise = random.normal(128, 50, (PLAIN_SIDE, PLAIN_SIDE, 3)).astype(np.float32)
    kind = random.integers(3)
    if kind == 1:
        noise = 128 + 4 * (cv2.GaussianBlur(noise, (0, 0), random.uniform(0.7, 4)) - 128)
    elif kind == 2:  # tiled, as wallpaper is: what a repeating mark looks most like
        side = int(random.integers(16, 129))
        noise = np.tile(cv2.GaussianBlur(noise[:side, :side], (0, 0), 1.5), (17, 17, 1))[
            :PLAIN_SIDE, :PLAIN_SIDE
        ]
    return np.clip(noise, 0, 255).astype(np.uint8)


def alarms(count: int, data: Path) -> dict[str, dict[str, Any]]:
    """Readings, false alarms and the highest scores, by kind."""
    found: dict[str, dict[str, Any]] = {}
    for k, (kind, frames) in enumerate(plain(count, data)):
        reading = read_watermark(frames)
        row = found.setdefault(kind, {"read": 0, "alarms": 0, "scores": []})
        row["read"] += 1
        row["alarms"] += reading.payload is not None
        row["scores"].append(round(reading.score, 2))
        if k % 500 == 499:
            say(f"{k + 1} plain pictures and clips read, {sum(r['alarms'] for r in found.values())} alarms")
    return found


def share(rows: list[dict[str, Any]], key: str) -> float:
    return 100 * float(np.mean([row[key] for row in rows]))


def outlived(made: list[Output], found: dict[str, list[dict[str, Any]]]) -> list[str]:
    """The tables of what was read after each attack, and of how faint the mark is."""
    header = ("attack", "found, %", "payload right, %", "wrong payload", "lowest score", "s to read")
    rows = [
        (
            name,
            share(rows, "found"),
            share(rows, "right"),
            sum(row["found"] and not row["right"] for row in rows),
            min(row["score"] for row in rows),
            float(np.mean([row["seconds"] for row in rows])),
        )
        for name, rows in found.items()
    ]
    psnr, flicker = [one.psnr for one in made], [one.flicker for one in made]
    faint = [
        ("PSNR, dB", float(np.mean(psnr)), min(psnr), max(psnr)),
        ("flicker, grey levels", float(np.mean(flicker)), min(flicker), max(flicker)),
    ]
    return [markdown(header, rows), markdown(("mark", "mean", "least", "most"), faint)]


def endured(made: list[Output], found: dict[str, list[dict[str, Any]]]) -> list[Bar]:
    """The bars on what was read, and on how faint the mark is."""
    bars = [Bar(name, share(rows, "right"), 99) for name, rows in found.items() if name in SURE]
    return [*bars, Bar("PSNR of the mark, least, dB", min(one.psnr for one in made), 42)]


def report(
    made: list[Output],
    found: dict[str, list[dict[str, Any]]],
    cost: list[tuple[str, float, float, float]],
    false: dict[str, dict[str, Any]],
) -> tuple[str, list[Bar]]:
    """The tables, and the bars of issue 6."""
    tables, bars = (outlived(made, found), endured(made, found)) if made else ([], [])
    if cost:
        tables.append(markdown(("cost", "mark, ms a frame", "all, ms a frame", "share, %"), cost))
        bars.append(
            Bar("cost, share of a frame's time, most, %", max(row[3] for row in cost), 10, at_most=True)
        )
    if false:
        rows = [(k, r["read"], r["alarms"], max(r["scores"])) for k, r in false.items()]
        tables.append(markdown(("unmarked", "read", "false alarms", "highest score"), rows))
        bars.append(Bar("false alarms", sum(r["alarms"] for r in false.values()), 0, at_most=True))
    return "\n\n".join([*tables, bars_table(bars)]), bars


def main() -> None:
    parser = arguments(__doc__.splitlines()[0])
    parser.add_argument("--outputs", type=int, default=200)
    parser.add_argument("--first", type=int, default=0, help="number of the first output")
    parser.add_argument("--plain", type=int, default=10_000, help="unmarked pictures and clips to read")
    parser.add_argument("--keep", type=Path, default=Path("out/watermark"), help="where outputs are kept")
    parser.add_argument("--attacks", nargs="*", default=list(ATTACKS), help="some of them by name")
    parser.add_argument("--no-cost", action="store_true", help="leave the cost out")
    args = parser.parse_args()
    code = hashlib.sha256(Path(watermark.__file__).read_bytes()).hexdigest()[:8]
    keep = args.keep / code  # another mark asks for other outputs
    made = outputs(range(args.first, args.first + args.outputs), args.data, keep)
    found = survey(made, args.attacks)
    cost = [] if args.no_cost else costs(args.data, keep)
    false = alarms(args.plain, args.data) if args.plain else {}
    text, bars = report(made, found, cost, false)
    if made:
        sizes = [side for one in made for side in next(read_images(one.path, 1)).shape[:2]]
        text = f"{len(made)} outputs of one second, {min(sizes)} to {max(sizes)} pixels.\n\n{text}"
    result = {
        "outputs": [vars(one) for one in made],
        "found": found,
        "cost": cost,
        "plain": false,
        "bars": bars,
    }
    write_results(args.out, "watermark", result, text)


if __name__ == "__main__":
    main()
