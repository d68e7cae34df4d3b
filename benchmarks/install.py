"""What an installation costs: packages, size, time; a cold start to the first tracked frame; memory of `animate`.

    python benchmarks/install.py --python python3.11 --python python3.13 --portrait me.jpg --driver clip.mp4
        --tree before=../before --pins 'before=av<19' --tree after=.

Each pair of a tree and a Python gets a fresh virtual environment in a temporary folder, which is deleted afterwards.
The time of installation includes downloads unless pip has them in its cache; `--no-cache` makes it download them.
Peak memory is the largest resident set of the command's process.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

MEGABYTE = 1e6  # bytes
STARTS = 3  # cold starts, of which the quickest counts
_TOOLS = ("pip", "setuptools", "gioconda")  # what a count of dependencies leaves out

COLD_START = """
import sys
import cv2
from gioconda.face import FaceTracker
from gioconda.assets import asset_path
picture = cv2.imread(str(asset_path("astronaut.jpg")))[:, :, ::-1].copy()
with FaceTracker() as tracker:
    sys.exit(not tracker.process(picture))
"""
ABOUT = """
import json, sysconfig
from importlib import metadata
names = sorted({d.metadata["Name"].lower() for d in metadata.distributions() if d.metadata["Name"]})
print(json.dumps({"names": names, "folder": sysconfig.get_path("purelib")}))
"""


@dataclass(frozen=True)
class Tree:
    """Sources to install: a name for the table, their folder, further requirements of pip."""

    name: str
    folder: Path
    pins: tuple[str, ...] = ()


@dataclass(frozen=True)
class Cost:
    """One installation. Sizes in MB (10^6 bytes), times in seconds; None where nothing was asked for."""

    tree: str
    python: str
    packages: int
    site_mb: float
    install_seconds: float
    first_frame_seconds: float
    animate_peak_mb: float | None


def read_trees(folders: Sequence[str], pins: Sequence[str]) -> list[Tree]:
    """Trees of NAME=FOLDER, with what NAME=REQUIREMENT adds to each; ValueError for anything else."""
    extra: dict[str, list[str]] = {}
    for name, requirement in map(_pair, pins):
        extra.setdefault(name, []).append(requirement)
    trees = [Tree(n, Path(f).resolve(), tuple(extra.pop(n, ()))) for n, f in map(_pair, folders)]
    if extra:
        raise ValueError(f"--pins names no tree: {', '.join(extra)}")
    for tree in trees:
        if not (tree.folder / "pyproject.toml").is_file():
            raise ValueError(f"{tree.folder} has no pyproject.toml")
    return trees


def _pair(text: str) -> tuple[str, str]:
    match = re.fullmatch(r"([\w.-]+)=(.+)", text)
    if not match:
        raise ValueError(f"{text!r} has to be NAME=VALUE")
    return match[1], match[2]


def size_of(folder: Path) -> int:
    """Bytes of all files in a folder; links count nothing."""
    return sum(f.stat().st_size for f in folder.rglob("*") if f.is_file() and not f.is_symlink())


def peak_mb(command: Sequence[str]) -> float:
    """Largest resident set of a command, MB, never below this process's own; CalledProcessError if it fails."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, KiB elsewhere
    return usage.ru_maxrss * unit / MEGABYTE


def measure(
    tree: Tree, python: str, media: tuple[Path, Path] | None, *, cache: bool, extra: str = ""
) -> Cost:
    """Install a tree, with an extra of the package, into a fresh environment, try it, and delete the environment."""
    with tempfile.TemporaryDirectory(prefix="gioconda-install-") as folder:
        env = Path(folder) / "venv"
        subprocess.run([python, "-m", "venv", str(env)], check=True)
        binaries = env / ("Scripts" if os.name == "nt" else "bin")
        own = str(binaries / "python")
        pip = [own, "-m", "pip", "install", "-qq", "--no-input", "--disable-pip-version-check"]
        began = time.perf_counter()
        sources = f"{tree.folder}[{extra}]" if extra else str(tree.folder)
        subprocess.run([*pip, *(() if cache else ("--no-cache-dir",)), sources, *tree.pins], check=True)
        installed = time.perf_counter() - began
        about = json.loads(subprocess.check_output([own, "-c", ABOUT], text=True))
        version = subprocess.check_output([own, "-c", "import platform; print(platform.python_version())"])
        peak = None
        if media:
            out = str(Path(folder) / "out.mp4")
            portrait, driver = map(str, media)
            peak = peak_mb([str(binaries / "gioconda"), "animate", portrait, "--motion", driver, "-o", out])
        return Cost(
            tree=tree.name,
            python=version.decode().strip(),
            packages=len([name for name in about["names"] if name not in _TOOLS]),
            site_mb=size_of(Path(about["folder"])) / MEGABYTE,
            install_seconds=installed,
            first_frame_seconds=min(_seconds([own, "-c", COLD_START]) for _ in range(STARTS)),
            animate_peak_mb=peak,
        )


def _seconds(command: Sequence[str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    return time.perf_counter() - began


def table(costs: Sequence[Cost]) -> str:
    """A markdown table of installations, in their order."""
    lines = [
        "| tree | Python | packages | site-packages, MB | installation, s | first frame, s | `animate` peak, MB |",
        "|---|---|---|---|---|---|---|",
    ]
    for cost in costs:
        peak = "-" if cost.animate_peak_mb is None else f"{cost.animate_peak_mb:.0f}"
        lines.append(
            f"| {cost.tree} | {cost.python} | {cost.packages} | {cost.site_mb:.0f} | {cost.install_seconds:.0f} "
            f"| {cost.first_frame_seconds:.2f} | {peak} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description="What an installation costs, in fresh environments.")
    parser.add_argument(
        "--python", action="append", help="a Python program; may be repeated (default: this one)"
    )
    parser.add_argument("--tree", action="append", help="NAME=FOLDER of sources; may be repeated")
    parser.add_argument(
        "--pins", action="append", default=[], help="NAME=REQUIREMENT that pip also heeds for a tree"
    )
    parser.add_argument("--portrait", type=Path, help="of the measured `gioconda animate`, with --driver")
    parser.add_argument("--driver", type=Path)
    parser.add_argument("--extra", default="", help="of the package, such as web")
    parser.add_argument("--no-cache", action="store_true", help="let pip download everything")
    parser.add_argument("-o", "--out", type=Path, help="also write the figures as JSON")
    options = parser.parse_args()
    if (options.portrait is None) != (options.driver is None):
        parser.error("--portrait and --driver go together")
    for file in (options.portrait, options.driver):
        if file and not file.is_file():
            parser.error(f"{file} does not exist")
    try:
        trees = read_trees(options.tree or [f"here={Path(__file__).parents[1]}"], options.pins)
    except ValueError as error:
        parser.error(str(error))
    media = (options.portrait, options.driver) if options.portrait else None
    pythons = options.python or [sys.executable]
    costs = [
        measure(t, p, media, cache=not options.no_cache, extra=options.extra) for p in pythons for t in trees
    ]
    if options.out:
        options.out.write_text(
            json.dumps([asdict(cost) for cost in costs], indent=1) + "\n", encoding="utf-8"
        )
    print(table(costs))


if __name__ == "__main__":
    main()
