"""A trained refiner -> ONNX for use and safetensors for more training, with what it is in their headers."""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from gioconda.engines.warp.aligned import CHANNELS, HEIGHT, WIDTH
from gioconda.training.loop import BEST, read
from gioconda.training.refiner.network import Refiner
from gioconda.training.refiner.task import blanked_channels


def export(run: Path, out: Path, checkpoint: str = BEST) -> tuple[Path, Path]:
    """Write refiner.onnx and refiner.safetensors, from the averaged weights of a run, to the folder `out`."""
    whole = read(run / checkpoint)
    net = Refiner(int(whole["settings"]["width"])).eval()
    net.load_state_dict(whole["task"]["ema"])
    _forget(net, blanked_channels(whole["settings"]))
    out.mkdir(parents=True, exist_ok=True)
    onnx_file, tensors = out / "refiner.onnx", out / "refiner.safetensors"
    header = {"settings": json.dumps(whole["settings"]), "steps": str(whole["done"])}
    save_file({k: v.contiguous() for k, v in net.state_dict().items()}, tensors, metadata=header)
    _to_onnx(net, onnx_file)
    return onnx_file, tensors


def _forget(net: Refiner, channels: Sequence[int]) -> None:
    """Take away the weights of inputs that the network never saw, so that it is used as it was trained."""
    with torch.no_grad():
        for channel in channels:
            net.stem.weight[:, 4 * channel : 4 * channel + 4] = 0


def _to_onnx(net: torch.nn.Module, file: Path) -> None:
    example: Any = torch.zeros(1, CHANNELS, HEIGHT, WIDTH)
    temp = file.with_suffix(".part")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter that needs no further package is called legacy
        torch.onnx.export(
            net,
            (example,),
            str(temp),
            input_names=["crop"],
            output_names=["picture"],
            opset_version=17,
            dynamo=False,
        )
    temp.replace(file)
