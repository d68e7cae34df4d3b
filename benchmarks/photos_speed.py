"""What many photos of a person cost: seconds of `adapt`, size of the file, frames a second and memory of `animate`.

One photo and the person file run in turn, each run a process of its own, on two cores. The film that the person comes
from drives with its own pose, which changes the photo as often as can be; another film drives relative to rest.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

import gioconda
from common import arguments, machine, markdown, say, two_cores, write_results
from gioconda import media
from gioconda.inputs.person import read_person
from speed import Run, animate, best


def adapted(film: Path, folder: Path) -> tuple[Path, Path, float]:
    """The person file of a film, its first photo as a picture, and the seconds of `adapt`."""
    file, picture = folder / "person.safetensors", folder / "first.png"
    start = time.perf_counter()
    gioconda.adapt([film], file)
    seconds = time.perf_counter() - start
    media.write_picture(picture, read_person(file)[0].image)
    return file, picture, seconds


def main() -> None:
    """Read the command line, run, and write the table."""
    parser = arguments(__doc__ or "")
    parser.add_argument("--film", type=Path, help="of the person (default driving/d12.mp4)")
    parser.add_argument("--other", type=Path, help="another driver (default driving/d11.mp4)")
    parser.add_argument("--repeats", type=int, default=3, help="runs of each case; the quickest counts")
    options = parser.parse_args()
    film = options.film or options.data / "driving" / "d12.mp4"
    other = options.other or options.data / "driving" / "d11.mp4"
    if machine()["load"] > 0.5:
        say("something else is running, so these figures will be too low")
    two_cores()
    os.environ.setdefault("PYTHONWARNINGS", "ignore")
    crop = ("--crop", "--size", "512")
    cases: dict[str, list[Run]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        file, picture, seconds = adapted(film, folder)
        for _ in range(options.repeats):
            for driver, words in ((film, ("--absolute",)), (other, ())):
                for portrait in (picture, file):
                    title = f"{'one photo' if portrait is picture else 'person file'}, {driver.name}"
                    cases.setdefault(title, []).append(animate(portrait, driver, folder, *crop, *words))
        size = file.stat().st_size / 1e6
        photos = len(read_person(file))
    rows = [
        (title, f"{run.rate:.1f}", f"{1000 * run.cpu / run.frames:.1f}", f"{run.peak:.0f}")
        for title, run in ((title, best(runs)) for title, runs in cases.items())
    ]
    text = (
        f"{photos} photos of {film.name}: adapt takes {seconds:.1f} s, the file has {size:.1f} MB.\n\n"
        + markdown(("512 px", "frames a second", "processor ms a frame", "peak MB"), rows)
    )
    result = {title: [vars(run) for run in runs] for title, runs in cases.items()}
    write_results(options.out, "photos_speed", {"cases": result, "adapt": seconds, "bytes": size}, text)


if __name__ == "__main__":
    sys.exit(main())
