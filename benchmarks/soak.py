"""Many short jobs in one process: what it holds after each of them must stay the same.

    python benchmarks/soak.py --jobs 1000 --out soak.jsonl

Jobs take turns: driven by motion and by video, to mp4, webm and gif, edits, tracking, verifying, another engine, and
files that are refused. Prints memory, threads and open files over the run, and the growth of memory a job in its
second half, with the standard error of the slope.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import json
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

import gioconda
from common import FEWSHOT_EXAMPLE
from corpus import seeds
from gioconda import media
from gioconda.errors import GiocondaError
from gioconda.motion import store

EVERY = 10  # jobs between two looks at memory


def jobs(folder: Path) -> list[Callable[[], object]]:
    """Short jobs of every kind, each of which may be called again and again."""
    face, take, clip, bad = (folder / name for name in ("face.png", "take.npz", "clip.mp4", "bad.mp4"))
    media.write_picture(face, seeds.portrait(128))
    store.save(seeds.short_motion(4), take)
    seeds.write_clip(clip, seeds.wandering(6, 128), sound=seeds.tone())
    bad.write_bytes(clip.read_bytes()[:700])
    small = {"crop": True, "size": 64}
    out = [folder / f"out{suffix}" for suffix in (".mp4", ".webm", ".gif")]
    return [
        lambda: gioconda.animate(face, take, out[0], **small),
        lambda: gioconda.animate(face, clip, out[0], **small),
        lambda: gioconda.verify(out[0]),
        lambda: gioconda.animate(face, take, out[1], **small),
        lambda: gioconda.animate(face, take, out[2], **small),
        lambda: gioconda.edit(face, folder / "out.png", yaw=4, **small),
        lambda: gioconda.track(clip, folder / "out.npz"),
        lambda: gioconda.animate(face, take, out[0], engine="fewshot", weights=FEWSHOT_EXAMPLE),
        lambda: refused(lambda: gioconda.animate(face, bad, out[0], **small)),
        lambda: refused(lambda: gioconda.animate(bad, take, out[0], **small)),
        lambda: list(zip(gioconda.frames(face, clip, **small), range(2), strict=False)),
    ]


def refused(job: Callable[[], object]) -> None:
    """A job that must be refused."""
    with contextlib.suppress(GiocondaError):
        job()
        raise RuntimeError("a bad file was taken")


def held() -> dict[str, float]:
    """MiB of memory, threads and open files of this process."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return {
        "mib": pages * 4096 / 2**20,
        "threads": threading.active_count(),
        "files": len(list(Path("/proc/self/fd").iterdir())),
    }


def slope(at: Sequence[float], values: Sequence[float]) -> tuple[float, float]:
    """Growth of `values` for one of `at`, and its standard error."""
    x, y = np.asarray(at, float), np.asarray(values, float)
    x = x - x.mean()
    per = float(x @ y / (x @ x))
    rest = y - y.mean() - per * x
    return per, float(np.sqrt(rest @ rest / max(len(x) - 2, 1) / (x @ x)))


def soak(count: int, seconds: float, told: Path | None) -> list[dict[str, float]]:
    """Run up to `count` jobs in at most `seconds`; what was held after every tenth."""
    curve: list[dict[str, float]] = []
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        todo = jobs(Path(name))
        for number in range(1, count + 1):
            todo[(number - 1) % len(todo)]()
            if number % EVERY == 0:
                curve.append({"jobs": number, "seconds": round(time.monotonic() - start, 1), **held()})
                if told is not None:
                    with told.open("a") as file:
                        file.write(json.dumps(curve[-1]) + "\n")
            if time.monotonic() - start > seconds:
                break
    return curve


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=1e9, help="Stop after so long.")
    parser.add_argument("--out", type=Path, help="A line of JSON every ten jobs.")
    arguments = parser.parse_args()
    curve = soak(arguments.jobs, arguments.seconds, arguments.out)
    print("| jobs | memory, MiB | threads | open files |\n|---|---|---|---|")
    shown = np.unique(np.linspace(0, len(curve) - 1, 11).astype(int))
    for one in (curve[i] for i in shown):
        print(f"| {one['jobs']} | {one['mib']:.1f} | {one['threads']:.0f} | {one['files']:.0f} |")
    late = curve[len(curve) // 2 :]
    per, error = slope([one["jobs"] for one in late], [one["mib"] for one in late])
    print(f"\nsecond half: {1024 * per:+.1f} KiB a job, standard error {1024 * error:.1f}")


if __name__ == "__main__":
    main()
