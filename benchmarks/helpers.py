"""What helper processes bring: `gioconda animate` with threads alone, with helpers, and with helpers on other cores.

The last is a simulation for machines with more cores than this one. In place of the helpers' work, the first frame's
drawing is unpacked again and again, by a thread each: what is measured is the time of the rest, which one process does,
on the cores of this machine. Threads alone are bounded by the interpreter's lock, which lets one of them run at a time.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from common import Clock, arguments, cores, markdown, say, two_cores, write_results
from speed import ANIMATE, BEGIN, Run, best, material, repeat_clip, run

THREADS = """
from gioconda.runtime import helpers
helpers.use_no_helpers()
"""
HELPERS = """
from gioconda.runtime import helpers
helpers.CORES = 1
"""
SIMULATED = """
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from multiprocessing.reduction import ForkingPickler

from gioconda import loading
from gioconda.runtime import helpers

class Elsewhere(helpers.Helpers):
    def __init__(self):
        self._pool, self._packed = ThreadPoolExecutor(helpers.COUNT), None

    @property
    def ready(self):
        return helpers.COUNT

    def submit(self, function, item):
        ForkingPickler.dumps(item)
        if self._packed is None:
            self._packed = bytes(ForkingPickler.dumps(function(item)))
        return self._pool.submit(lambda: replace(ForkingPickler.loads(self._packed), time=item[0].time))

    def close(self):
        self._pool.shutdown()

loading.start_helpers = lambda modules: Elsewhere()
"""
WAYS = {"threads alone": THREADS, "helpers": HELPERS, "helpers on other cores, simulated": SIMULATED}


def measure(portrait: Path, driver: Path, folder: Path, repeats: int) -> dict[str, Run]:
    """The quickest run of each way; all take turns."""
    words = ["animate", str(portrait), "--motion", str(driver), "-o", str(folder / "out.mp4"), "--crop"]
    runs: dict[str, list[Run]] = {way: [] for way in WAYS}
    for _ in range(repeats):
        for way, program in WAYS.items():
            runs[way].append(run([sys.executable, "-c", BEGIN + program + ANIMATE, *words]))
            say(f"{way}: {runs[way][-1].rate:.1f} frames/s")
    return {way: best(made) for way, made in runs.items()}


def report(cases: dict[str, Run]) -> str:
    """The table in markdown."""
    threads, *_ = cases.values()
    rows = [
        (way, f"{one.rate:.1f}", f"{threads.wall / one.wall:.2f}", f"{one.cpu:.1f}", f"{one.peak:.0f}")
        for way, one in cases.items()
    ]
    return f"On {cores()} cores.\n\n" + markdown(
        ("512 px crop", "frames/s", "times as fast as threads", "processor s", "peak MB"), rows
    )


def main() -> None:
    """Read the command line, run, and write the table."""
    parser = arguments(__doc__ or "")
    parser.add_argument("--seconds", type=int, default=30, help="length of the driver")
    parser.add_argument("--repeats", type=int, default=3, help="the quickest run counts")
    options = parser.parse_args()
    two_cores()
    os.environ.setdefault("PYTHONWARNINGS", "ignore")
    clock = Clock()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        clip, portrait, _ = material(options.data, folder)
        driver = repeat_clip(clip, folder / "driver.mp4", options.seconds)
        cases = measure(portrait, driver, folder, options.repeats)
    plain = {way: {**vars(one), "rate": one.rate} for way, one in cases.items()}
    write_results(options.out, "helpers", {"cases": plain, "seconds": clock.seconds}, report(cases))


if __name__ == "__main__":
    main()
