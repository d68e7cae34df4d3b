"""How long Gioconda takes to start: its import, and the first marked frame, from the start of Python.

Processor seconds are those of the whole process; unlike seconds, they hardly depend on what else the machine does.

    python benchmarks/start.py --repeats 5

The portrait is the packaged one, moved by a template. With `--data`, a driving video moves it too; it is tracked to its
end before the first frame, so its length counts.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from statistics import median

from common import Bar, arguments, bars_table, machine, markdown, say, two_cores, write_results
from gioconda.assets import asset_path

BOUNDS = {"import gioconda": 0.3, "first frame, a template": 1.5}  # seconds
IMPORT = """
import time
begin, spent = time.perf_counter(), time.process_time()
import gioconda
print(time.perf_counter() - begin, time.process_time() - spent)
"""
FIRST = """
import sys, time, gioconda
frames = gioconda.frames(sys.argv[1], sys.argv[2], crop=True)
next(frames)
print(time.time() - float(sys.argv[3]), time.process_time())
"""


def seconds(code: str, *words: str) -> tuple[float, float]:
    """What a new Python prints: seconds, and processor seconds."""
    command = [sys.executable, "-W", "ignore", "-c", code, *words, str(time.time())]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    wall, processor = map(float, told.split())
    return wall, processor


def main() -> None:
    """Read the command line, run, and write the table."""
    parser = arguments(__doc__ or "")
    parser.add_argument(
        "--repeats", type=int, default=5, help="of each; the least counts, the median is shown"
    )
    options = parser.parse_args()
    two_cores()
    portrait, driver = str(asset_path("astronaut.jpg")), options.data / "driving" / "d11.mp4"
    cases: dict[str, tuple[str, ...]] = {
        "import gioconda": (IMPORT,),
        "first frame, a template": (FIRST, portrait, "smile"),
    }
    if Path(driver).is_file():
        cases["first frame, a driving video of 9 s"] = (FIRST, portrait, str(driver))
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in cases}
    for _ in range(options.repeats):
        for name, (code, *words) in cases.items():
            taken[name].append(seconds(code, *words))
            say(f"{name}: {taken[name][-1][0]:.2f} s")
    rows = []
    for name, values in taken.items():
        walls, processor = zip(*values, strict=True)
        rows.append([name, min(walls), median(walls), min(processor)])
    bars = [Bar(name, min(taken[name])[0], bound, at_most=True) for name, bound in BOUNDS.items()]
    table = markdown(("", "least s", "median s", "least processor s"), rows)
    result = {"machine": machine(), "taken": taken, "bars": bars}
    write_results(options.out, "start", result, f"{table}\n\n{bars_table(bars)}")


if __name__ == "__main__":
    main()
