"""Decode, track and encode alone: what a driving video costs before anything is made of it.

    python benchmarks/baseline.py DRIVER.mp4 OUT.mp4 SIZE

A process of its own, so that `speed.py` can compare whole processes. One pass; the writer encodes in a
thread of its own, so "encode" is only the time spent waiting for it. Prints the seconds of each stage.
"""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from pathlib import Path

import cv2
import numpy as np

from gioconda.face import FaceTracker
from gioconda.media import open_writer, probe, publish, read_frames


def run(driver: Path, out: Path, size: int) -> dict[str, float]:
    """Write the driver's own frames, resized to a square, and return seconds per stage and frames."""
    info = probe(driver)
    spent: Counter[str] = Counter()
    times = np.arange(info.frames + 1) / info.fps
    mark, frames = time.perf_counter(), 0

    def took(stage: str) -> None:
        nonlocal mark
        now = time.perf_counter()
        spent[stage] += now - mark
        mark = now

    writer = open_writer(out, (size, size), times=times, audio_from=driver, fps_hint=info.fps)
    with FaceTracker() as tracker, writer as video:
        took("start")
        for frame in read_frames(driver):
            frames += 1
            took("decode")
            tracker.process(frame.image)
            took("track")
            picture = cv2.resize(frame.image, (size, size), interpolation=cv2.INTER_LINEAR)
            video.write(picture, frame.time)
            took("encode")
    publish(video.temp, out)
    took("encode")
    return {**spent, "frames": frames}


if __name__ == "__main__":
    print("STAGES " + json.dumps(run(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))))
