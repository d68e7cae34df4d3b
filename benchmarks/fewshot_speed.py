"""What the few-shot engine costs: GFLOP and parameters by preset, pictures a second, steps and seconds of fitting.

GFLOP are counted over the networks' own operations, a multiply and an add as two. Times are of this machine.
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from common import Clock, arguments, markdown, say, two_cores, write_results
from gioconda.engines.fewshot.engine import FewshotEngine
from gioconda.engines.fewshot.network import load_networks
from gioconda.inputs.portrait import load_portraits
from gioconda.media import read_picture
from gioconda.training.config import load
from gioconda.training.device import launched
from gioconda.training.fewshot import task
from gioconda.training.fewshot.adapt import AdaptSettings, adapt
from gioconda.training.fewshot.model import Discriminator, TalkingHead

SHOTS = (1, 8, 32)


def millions(net: torch.nn.Module) -> float:
    """Parameters of a network, in millions."""
    return sum(p.numel() for p in net.parameters()) / 1e6


def cost(preset: str) -> list[object]:
    """A preset's line: size, parameters of embedder, generator and discriminator, GFLOP of the first two."""
    shape = load(task.FewshotSettings, preset).shape
    talking_head, critic = TalkingHead(shape).eval(), Discriminator(shape, 1)
    picture, psi = torch.zeros(1, 3, shape.size, shape.size), torch.zeros(1, talking_head.generator.style)
    counted = []
    for net, inputs in (
        (talking_head.embedder, (picture, picture)),
        (talking_head.generator, (picture, psi)),
    ):
        with torch.no_grad(), FlopCounterMode(display=False) as flops:
            net(*inputs)
        counted.append(flops.get_total_flops() / 1e9)
    sizes = [millions(net) for net in (talking_head.embedder, talking_head.generator, critic)]
    return [preset, shape.size, *sizes, *counted]


def training(data: Path, features: Path, preset: str, steps: int) -> float:
    """Samples a second of meta-learning, all losses on, the first steps not counted."""
    words = {"features": str(features)} if features.is_file() else {}
    settings = load(task.FewshotSettings, preset, words)
    torch.set_num_threads(2)
    one = task.FewshotTask(settings, data, launched("cpu", settings.precision))
    for index in range(3):
        one.step(index, 0.9)
    start = time.perf_counter()
    for index in range(steps):
        one.step(3 + index, 0.9)
    return steps * settings.batch / (time.perf_counter() - start)


def inference(weights: Path, portrait: Path, count: int) -> float:
    """Frames a second of the generator and its landmark pictures, in onnxruntime on two threads."""
    engine = FewshotEngine(load_networks(weights))
    one = load_portraits(read_picture(portrait)[0], chosen=0, crop=False, size=None).portraits[0]
    who = engine.prepare(one)
    for _ in range(5):
        engine.drawn(who, one.face.landmarks)
    start = time.perf_counter()
    for _ in range(count):
        engine.drawn(who, one.face.landmarks)
    return count / (time.perf_counter() - start)


def fitting(weights: Path, portrait: Path, shots: int) -> float:
    """Seconds of adaptation to so many photos (the same one, which costs the same)."""
    one = load_portraits(read_picture(portrait)[0], chosen=0, crop=False, size=None).portraits[0]
    start = time.perf_counter()
    adapt([one] * shots, AdaptSettings(str(weights)))
    return time.perf_counter() - start


def main() -> None:
    """Read the command line, run, and write the tables."""
    parser = arguments(__doc__ or "")
    parser.add_argument("--weights", type=Path, help="a fewshot.safetensors, to time frames and fitting")
    parser.add_argument(
        "--samples", type=Path, help="folder that gioconda prepare has made, to time training"
    )
    parser.add_argument("--steps", type=int, default=20, help="of training that are timed")
    options = parser.parse_args()
    two_cores()
    clock = Clock()
    portrait = Path(__file__).resolve().parents[1] / "src/gioconda/assets/astronaut.jpg"
    header = ("preset", "px", "E, M", "G, M", "D, M", "E, GFLOP a photo", "G, GFLOP a frame")
    costs = [cost(preset) for preset in ("paper", "small", "tiny")]
    say(f"{clock}: counted")
    rates: list[list[object]] = []
    if weights := options.weights:
        rates.append(["inference, frames a second", inference(weights, portrait, 200)])
        say(f"{clock}: inference")
        rates += [
            [f"adaptation to {shots} photos, seconds", fitting(weights, portrait, shots)] for shots in SHOTS
        ]
        say(f"{clock}: adaptation")
    if options.samples:
        features = options.data / "metrics/squeezenet11.safetensors"
        speed = training(options.samples, features, "small", options.steps)
        rates.append(["training of `small`, samples a second", speed])
    text = markdown(header, costs) + "\n\n" + markdown(("on two cores", ""), rates)
    write_results(
        options.out, "fewshot_speed", {"costs": costs, "rates": rates, "seconds": clock.seconds}, text
    )


if __name__ == "__main__":
    np.seterr(all="raise", under="ignore")
    main()
