"""Processor time of tracking a clip, this source tree against another, in turns.

    python benchmarks/tracking_speed.py --against ../before/src

Each run is a process of its own that tracks the first frames of a clip; its start and the decoding do not count. The
environment has to suit both trees.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from common import arguments, markdown, two_cores, write_results

CLIPS = (
    "driving/d10.mp4",
    "driving/d12.mp4",
    "driving/d6.mp4",
    "talk/virtual_17.mp4",
    "lrw_ar/id02/07058.mp4",
)
FRAMES = 120
ROUNDS = 3  # the quickest of so many runs counts
TRACK = """
import sys, time
from itertools import islice
from gioconda import face, media
frames = [frame.image for frame in islice(media.read_frames(sys.argv[1]), int(sys.argv[2]))]
with face.FaceTracker() as tracker:
    tracker.process(frames[0])
    start = time.process_time()
    found = sum(len(tracker.process(image)) for image in frames[1:])
    print(1000 * (time.process_time() - start) / (len(frames) - 1), found == len(frames) - 1)
"""


def measure(source: Path, clip: Path) -> float:
    """Milliseconds of processor time a frame; leaves the program where a frame is lost."""
    command = [sys.executable, "-W", "ignore", "-c", TRACK, str(clip), str(FRAMES)]
    environment = {**os.environ, "PYTHONPATH": str(source)}
    told = subprocess.check_output(command, env=environment, text=True, stderr=subprocess.DEVNULL)
    milliseconds, complete = told.split()
    if complete != "True":
        sys.exit(f"{source} loses the face in {clip}")
    return float(milliseconds)


def main() -> None:
    """Read the command line, measure in turns, and write the table."""
    parser = arguments(__doc__ or "")
    parser.add_argument("--against", type=Path, required=True, help="src folder of the other tree")
    options = parser.parse_args()
    two_cores()
    trees = {"other": options.against, "this": Path(__file__).resolve().parents[1] / "src"}
    rows, values = [], {}
    for name in CLIPS:
        times: dict[str, list[float]] = {tree: [] for tree in trees}
        for _ in range(ROUNDS):
            for tree, source in trees.items():
                times[tree].append(measure(source, options.data / name))
        best = {tree: min(taken) for tree, taken in times.items()}
        rows.append([name, best["other"], best["this"], best["other"] / best["this"]])
        values[name] = best
    text = markdown(("clip", "other, ms a frame", "this, ms a frame", "times as fast"), rows)
    write_results(options.out, "tracking_speed", values, text)


if __name__ == "__main__":
    main()
