"""What the refiner owes to its inputs, losses and people: short runs of one budget, compared on the dev people.

Each variant is `gioconda train refiner` with one setting changed, from the same data and seed, then measured by
`refiner.py` on every dev clip. Runs that are there already are not repeated.
"""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from common import Clock, arguments, say, trained

VARIANTS = {
    "all": {},
    "another_seed": {"seed": "1"},
    "people_5": {"people": "5"},
    "people_10": {"people": "10"},
    "people_20": {"people": "20"},
    "without_reference": {"reference": "false"},
    "without_last_output": {"last": "false"},
    "without_geometry": {"geometry": "false"},
    "without_perceptual": {"perceptual": "0"},
    "without_temporal": {"temporal": "0"},
    "without_critic": {"critic-from": "1"},
    "without_style": {"style": "false"},
}


def network_of(name: str, options: Any) -> Path:
    """The exported network of one variant, trained if it is not there."""
    run = options.out / "ablation" / name
    network = run / "refiner.onnx"
    if not network.is_file():
        features = options.data / "metrics/squeezenet11.safetensors"
        base = {"steps": options.steps, "validate-every": options.steps, "features": features}
        trained("refiner", options.samples, run, run, {**base, **VARIANTS[name]})
    return network


def main() -> None:
    """Train all variants, then measure them together."""
    parser = arguments(__doc__ or "")
    parser.add_argument("--samples", type=Path, required=True, help="folder that gioconda prepare has made")
    parser.add_argument("--steps", type=int, default=500, help="of each variant")
    parser.add_argument("--jobs", type=int, default=2, help="runs at a time, one thread each")
    parser.add_argument("--frames", type=int, default=40, help="of each dev clip")
    parser.add_argument("--variants", default=" ".join(VARIANTS), help="by spaces")
    options = parser.parse_args()
    clock, names = Clock(), options.variants.split()

    def one(name: str) -> Path:
        network = network_of(name, options)
        say(f"{clock}: {name}")
        return network

    with ThreadPoolExecutor(options.jobs) as pool:  # two runs of one thread each beat one run of two
        networks = list(pool.map(one, names))
    benchmark = Path(__file__).with_name("refiner.py")
    command = [
        sys.executable,
        benchmark,
        "--data",
        options.data,
        "-o",
        options.out,
        "--name",
        "refiner_ablation",
    ]
    subprocess.run([*command, "--frames", str(options.frames), "--networks", *networks], check=True)


if __name__ == "__main__":
    main()
