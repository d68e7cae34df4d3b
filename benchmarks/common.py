"""What the benchmarks share: the list of clips, face crops, channels of motion, tables, results."""

from __future__ import annotations

import argparse
import csv
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
# The small networks of the tests, where it does not matter what the engine fewshot draws.
FEWSHOT_EXAMPLE = Path(__file__).resolve().parents[1] / "tests/data/fewshot/fewshot.safetensors"
EMBEDDER = "metrics/mobilefacenet_112x96.onnx"

# (column, row) limits of the inset that generated clips carry in the corner: x < 130, y > 446.
INSET = (130, 446)

# What people see of a motion, and the spread over time from which a driver is said to move it.
MOVES = {"jawOpen": 0.05, "blink": 0.08, "smile": 0.08, "yaw": 2.0, "pitch": 2.0, "roll": 1.5, "gaze": 0.1}


@dataclass(frozen=True)
class Clip:
    """A line of clips.tsv; `path` is absolute, `name` relative to the folder of the data."""

    path: Path
    name: str
    split: str
    identity: str
    fps: float
    seconds: float

    @property
    def inset(self) -> bool:
        """Whether a second picture covers the lower left corner."""
        return Path(self.name).name.startswith("virtual_")


@dataclass(frozen=True)
class Crop:
    """A square of a picture that is brought to `size` x `size` pixels; all in pixels."""

    left: int
    top: int
    side: int
    size: int = 256

    def cut(self, image: np.ndarray) -> np.ndarray:
        """The square of `image` (H, W, 3), resized."""
        inner = image[self.top : self.top + self.side, self.left : self.left + self.side]
        smaller = self.side > self.size
        return cv2.resize(
            inner, (self.size, self.size), interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
        )

    def mask(self, clip: Clip) -> np.ndarray | None:
        """Which pixels of the square show the clip itself, (size, size) bool, or None for all."""
        if not clip.inset:
            return None
        x, y = (np.arange(self.size) + 0.5) * self.side / self.size + np.array([[self.left], [self.top]])
        return ~((y[:, None] > INSET[1]) & (x[None, :] < INSET[0]))


def crop_around(landmarks: np.ndarray, image: np.ndarray, *, enlarge: float = 1.9, size: int = 256) -> Crop:
    """A square of `enlarge` face sizes around a face, kept within the picture."""
    height, width = image.shape[:2]
    low, high = landmarks[:, :2].min(0), landmarks[:, :2].max(0)
    side = int(min(enlarge * float((high - low).max()), height, width))
    corner = (low + high - side) / 2
    return Crop(
        int(np.clip(corner[0], 0, width - side)), int(np.clip(corner[1], 0, height - side)), side, size
    )


def arguments(description: str) -> argparse.ArgumentParser:
    """A command line with the options that every benchmark has."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--data", type=Path, default=DATA, help="folder with clips.tsv (default %(default)s)")
    parser.add_argument("-o", "--out", type=Path, default=Path("out"), help="where results go")
    return parser


def read_clips(data: Path, split: str | None = None) -> list[Clip]:
    """The clips of clips.tsv, in its order; leaves the program with a message where it is absent."""
    table = data / "clips.tsv"
    if not table.is_file():
        sys.exit(f"{table} does not exist: name the folder of clips with --data")
    with table.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    return [
        Clip(data / r["path"], r["path"], r["split"], r["identity"], float(r["fps"]), float(r["seconds"]))
        for r in rows
        if split in (None, r["split"])
    ]


def every(items: Sequence[Clip], count: int) -> list[Clip]:
    """`count` of them, evenly spread; always the same ones."""
    return [items[(2 * k + 1) * len(items) // (2 * count)] for k in range(min(count, len(items)))]


def say(text: str) -> None:
    """A line of progress, on standard error, so that standard output holds the table alone."""
    print(text, file=sys.stderr, flush=True)


class Clock:
    """Seconds since it was made."""

    def __init__(self) -> None:
        self._start = time.perf_counter()

    def __str__(self) -> str:
        return f"{self.seconds:.0f} s"

    @property
    def seconds(self) -> float:
        """Seconds since it was made."""
        return time.perf_counter() - self._start


def markdown(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A markdown table; floats are printed with a sensible number of digits."""
    lines = [f"| {' | '.join(header)} |", f"|{'---|' * len(header)}"]
    lines += [f"| {' | '.join(_cell(v) for v in row)} |" for row in rows]
    return "\n".join(lines)


def _cell(value: Any) -> str:
    if not isinstance(value, float):
        return str(value)
    if not np.isfinite(value):
        return "-"
    return f"{value:.{1 if abs(value) >= 100 else 2 if abs(value) >= 1 else 3}f}"


@dataclass(frozen=True)
class Bar:
    """A figure that has to reach a bound, from above or from below."""

    name: str
    value: float
    bound: float
    at_most: bool = False

    @property
    def met(self) -> bool:
        """Whether it does; a figure that could not be taken does not."""
        return bool(self.value <= self.bound if self.at_most else self.value >= self.bound)

    def row(self) -> tuple[str, float, str, str]:
        """The bar as a line of a table."""
        sign = "at most" if self.at_most else "at least"
        return (self.name, self.value, f"{sign} {self.bound:g}", "yes" if self.met else "NO")


def bars_table(bars: Sequence[Bar]) -> str:
    """The bars as a markdown table."""
    return markdown(("bar", "value", "bound", "met"), [bar.row() for bar in bars])


def machine() -> dict[str, Any]:
    """What the figures were taken on."""
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    return {"cores": cores(), "load": load, "python": platform.python_version(), "system": platform.system()}


def cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def two_cores() -> None:
    """Keep this process and its children to two cores, where the system allows it."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])


def write_results(out: Path, name: str, result: dict[str, Any], text: str) -> None:
    """Write `name`.json and `name`.md to the folder `out`, and print the table."""
    out.mkdir(parents=True, exist_ok=True)
    plain = json.dumps({"machine": machine(), **result}, indent=1, default=_plain)
    (out / f"{name}.json").write_text(plain + "\n", encoding="utf-8")
    (out / f"{name}.md").write_text(text + "\n", encoding="utf-8")
    print(text)
    say(f"wrote {out / name}.json and .md")


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, Bar):
        return {"name": value.name, "value": value.value, "bound": value.bound, "met": value.met}
    return str(value)


def trained(network: str, samples: Path, run: Path, out: Path, words: dict[str, Any], *more: str) -> None:
    """Train a network in the folder `run` with one thread and settings `words`, and export it to `out`."""
    gioconda = [sys.executable, "-m", "gioconda"]
    settings = [f"--{key}={value}" for key, value in {"threads": 1, **words}.items()]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run(
        [*gioconda, "train", network, "--data", samples, "-o", run, *settings], check=True, env=environment
    )
    subprocess.run([*gioconda, "export-weights", network, run, "-o", out, *more], check=True)


def read_images(path: Path, count: int | None = None) -> Iterator[np.ndarray]:
    """The first `count` frames of a clip, RGB uint8 (H, W, 3), as Gioconda decodes them."""
    from gioconda.media import read_frames

    for index, frame in enumerate(read_frames(path)):
        if index == count:
            return
        yield frame.image


def write_clip(path: Path, images: Iterable[np.ndarray], fps: float) -> Path:
    """Write frames, RGB uint8 of even sides, as a nearly lossless mp4 without sound."""
    with av.open(str(path), "w") as container:
        stream = None
        for image in images:
            if stream is None:
                stream = container.add_stream(
                    "libx264", rate=round(fps), options={"crf": "8", "preset": "fast"}
                )
                stream.height, stream.width = (side // 2 * 2 for side in image.shape[:2])
                stream.pix_fmt = "yuv420p"
            even = np.ascontiguousarray(image[: stream.height, : stream.width])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(even, format="rgb24")))
        if stream is not None:
            container.mux(stream.encode())
    return path


def channels(motion: Any) -> dict[str, np.ndarray]:
    """The series (T,) of a motion that people see: coefficients in 0..1, angles in degrees, gaze."""
    from gioconda.motion.pose import euler_from_rotation
    from gioconda.types import ARKIT_INDEX

    def mean(*names: str) -> np.ndarray:
        return np.mean([motion.expression[:, ARKIT_INDEX[n]] for n in names], axis=0)

    yaw, pitch, roll = euler_from_rotation(motion.rotation)
    return {
        "jawOpen": mean("jawOpen"),
        "blink": mean("eyeBlinkLeft", "eyeBlinkRight"),
        "smile": mean("mouthSmileLeft", "mouthSmileRight"),
        "yaw": yaw,
        "pitch": pitch,
        "roll": roll,
        "gaze": motion.gaze[:, 0],
    }


def liveliest_window(motion: Any, length: int) -> int:
    """First index of the `length` frames in which the face moves most, counted over all channels."""
    series = channels(motion)
    total = len(motion)
    if total <= length:
        return 0

    def life(start: int) -> float:
        part = slice(start, start + length)
        return sum(min(float(series[name][part].std()) / MOVES[name], 3.0) for name in MOVES)

    return max(range(0, total - length + 1, 5), key=life)
