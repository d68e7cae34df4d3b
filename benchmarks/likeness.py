"""How well colours and shape of a face separate the people of video clips.

Each sampled frame is compared with the mean of its own clip, itself left out, and with the means of other people's
clips. The table says, for the difference that `gioconda.tracking` uses and for its two parts alone, which share of
other people's frames is nearer than 99% of the person's own.

    python benchmarks/likeness.py --people ../shared/data/lrw_ar ../shared/data/driving/*.mp4 ../shared/data/talk/*.mp4

Of each folder in `--people`, which holds one person's clips, three are compared. Every other clip is one person.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np

from gioconda import face
from gioconda.motion.likeness import face_shape
from gioconda.tracking import SHAPE_WEIGHT, tracked_frames

# Frames between two samples, and samples of a clip.
STEP, SAMPLES = 8, 12
# Clips of each person in a folder.
CLIPS = 3
# Percentile of a person's own frames.
OWN = 99

Sample = tuple[np.ndarray, np.ndarray]
Difference = Callable[[Sample, Sample], float]


def samples(path: Path) -> list[Sample]:
    """Colours and shape of the face in some frames of a clip."""
    found = []
    with closing(tracked_frames(path, one_person=True)) as frames:
        for number, (frame, tracked, *_) in enumerate(frames):
            if number % STEP == 0 and tracked is not None:
                found.append((face.appearance(frame.image, tracked), face_shape(tracked.landmarks)))
            if len(found) == SAMPLES:
                break
    return found


def mean(parts: list[Sample]) -> Sample:
    """The mean of some samples."""
    return np.nanmean([c for c, _ in parts], axis=0), np.mean([s for _, s in parts], axis=0)


def colours(a: Sample, b: Sample) -> float:
    """The difference of colours alone."""
    return face.colour_difference(a[0], b[0])


def shape(a: Sample, b: Sample) -> float:
    """The difference of shape alone."""
    return float(np.linalg.norm(a[1] - b[1]))


def both(a: Sample, b: Sample) -> float:
    """The difference that the tracker uses."""
    return colours(a, b) + SHAPE_WEIGHT * shape(a, b)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("clips", nargs="+", type=Path)
    parser.add_argument("--people", type=Path, help="a folder with a folder for each person")
    options = parser.parse_args()
    named = [(path.name, path) for path in options.clips]
    for folder in sorted(options.people.iterdir()) if options.people else []:
        found = sorted(folder.glob("*.mp4"))
        named += [(folder.name, path) for path in found[:: max(1, len(found) // CLIPS)][:CLIPS]]
    clips = [(name, found) for name, path in named if len(found := samples(path)) > 1]
    print(f"{len(clips)} clips, {len({name for name, _ in clips})} people")
    print(
        "| difference | own, median | own, 99% | others, median | others nearer than that 99% |\n|---|---|---|---|---|"
    )
    for title, difference in (("colours", colours), ("shape", shape), ("both", both)):
        print(row(title, difference, clips))


def row(title: str, difference: Difference, clips: list[tuple[str, list[Sample]]]) -> str:
    """The line of the table for one difference."""
    own, others = [], []
    for name, found in clips:
        own += [difference(s, mean(found[:k] + found[k + 1 :])) for k, s in enumerate(found)]
        centre = mean(found)
        others += [difference(s, centre) for other, more in clips if other != name for s in more]
    limit = np.percentile(own, OWN)
    share = float(np.mean(np.array(others) < limit))
    return f"| {title} | {np.median(own):.2f} | {limit:.2f} | {np.median(others):.2f} | {share:.1%} |"


if __name__ == "__main__":
    main()
