"""What the few-shot engine owes to its losses and photos: short runs of one budget, compared on unseen people.

Each variant is `gioconda train fewshot` with one setting changed, from the same data and seed, exported, and measured
by `gioconda evaluate` on the dev people, feed-forward and fitted. Runs that are there already are not repeated.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from common import EMBEDDER, Clock, arguments, markdown, say, trained, write_results

VARIANTS = {
    "all": {},
    "another_seed": {"seed": "1"},
    "without_L_MCH": {"columns": "0"},
    "without_feature_matching": {"matching": "0"},
    "without_energy": {"energy": "0"},
    "without_skips": {"skips": "0"},
    "one_photo": {"shots": "1", "fewest": "1"},
    "eight_photos": {"shots": "8", "fewest": "8"},
}
PEOPLE = ("id02", "id10", "id20", "id25")
FIGURES = ("SSIM", "CSIM", "L1", "perceptual")


def report_of(name: str, options: Any) -> dict[str, Any]:
    """The report on one variant, trained and measured if that was not done yet."""
    folder = options.out / "ablation" / name
    features = options.data / "metrics/squeezenet11.safetensors"
    if not (folder / "weights/fewshot.safetensors").is_file():
        base = {"steps": options.steps, "size": options.size, "validate-every": options.steps}
        words = {**base, "critic-from": 0, "features": features, **VARIANTS[name]}
        trained("fewshot", options.samples, folder / "run", folder / "weights", words, "--last")
    if not (folder / "report/report.json").is_file():
        command = [sys.executable, "-m", "gioconda", "evaluate", options.data, "-o", folder / "report"]
        command += ["--people", *PEOPLE]
        command += ["--engines", "fewshot", "--modes", "feed-forward", "tuned", "--shots", "8"]
        command += [
            "--frames",
            str(options.frames),
            "--embedder",
            options.data / EMBEDDER,
            "--features",
            features,
        ]
        command += ["--weights", folder / "weights/fewshot.safetensors"]
        subprocess.run(
            command, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"}, stdout=subprocess.DEVNULL
        )
    found: dict[str, Any] = json.loads((folder / "report/report.json").read_text(encoding="utf-8"))
    return found


def main() -> None:
    """Train all variants, measure them, and write the table."""
    parser = arguments(__doc__ or "")
    parser.add_argument("--samples", type=Path, required=True, help="folder that gioconda prepare has made")
    parser.add_argument("--steps", type=int, default=500, help="of each variant")
    parser.add_argument("--size", type=int, default=64, help="pixels")
    parser.add_argument("--jobs", type=int, default=2, help="runs at a time, one thread each")
    parser.add_argument("--frames", type=int, default=16, help="held out of each person")
    parser.add_argument("--variants", default=" ".join(VARIANTS), help="by spaces")
    options = parser.parse_args()
    clock, names = Clock(), options.variants.split()

    def one(name: str) -> dict[str, Any]:
        found = report_of(name, options)
        say(f"{clock}: {name}")
        return found

    with ThreadPoolExecutor(options.jobs) as pool:
        reports = dict(zip(names, pool.map(one, names), strict=True))
    rows = []
    for name, found in reports.items():
        for mode, shots in found["figures"]["fewshot"].items():
            figures = next(iter(shots.values()))
            rows.append([name, mode, *(figure(figures, wanted) for wanted in FIGURES)])
    write_results(
        options.out, "fewshot_ablation", {"reports": reports}, markdown(("", "mode", *FIGURES), rows)
    )


def figure(figures: dict[str, Any], wanted: str) -> str:
    """A figure of the report whose name begins so, with its interval."""
    name = next(name for name in figures if name.startswith(wanted))
    one = figures[name]
    return f"{one['mean']:.3f} [{one['low']:.3f}, {one['high']:.3f}]"


if __name__ == "__main__":
    main()
