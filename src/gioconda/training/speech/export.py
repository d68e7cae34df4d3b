"""Trained speech networks -> one ONNX for use and safetensors for more training."""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn

from gioconda.speech.features import BANDS
from gioconda.training.config import export_header
from gioconda.training.loop import BEST, read
from gioconda.training.speech.model import LipNet, ObamaNet, Together


def rebuilt(run: Path, checkpoint: str = BEST) -> tuple[nn.Module, dict[str, str]]:
    """The averaged network of a run, and what to write of it into headers."""
    whole = read(run / checkpoint)
    state, settings = whole["task"]["ema"], whole["settings"]
    if settings["network"] == "obama":
        names = ("mean", "components", "centre", "spread")
        net: nn.Module = ObamaNet(*(state[name].numpy() for name in names))
    else:
        net = LipNet(int(settings["width"]), 0.0)
    net.load_state_dict(state)
    return net.eval(), export_header(settings, whole["done"])


def together(runs: Sequence[Path], checkpoint: str = BEST) -> tuple[nn.Module, dict[str, str]]:
    """The mean of the networks of several runs, and what to write of them into headers."""
    nets, headers = zip(*(rebuilt(run, checkpoint) for run in runs), strict=True)
    if len(nets) == 1:
        return nets[0], headers[0]
    return Together(nets).eval(), {"runs": json.dumps(headers)}


def export(runs: Sequence[Path], out: Path, checkpoint: str = BEST) -> tuple[Path, Path]:
    """Write the mean of the averaged networks of the runs to `out`: speech.onnx, and speech.safetensors in 16 bits."""
    net, header = together(runs, checkpoint)
    out.mkdir(parents=True, exist_ok=True)
    onnx_file, tensors = out / "speech.onnx", out / "speech.safetensors"
    half = {k: v.half() if v.is_floating_point() else v for k, v in net.state_dict().items()}
    save_file({k: v.contiguous() for k, v in half.items()}, tensors, metadata=header)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's advice is not for the user
        torch.onnx.export(
            net,
            (torch.zeros(1, 200, BANDS),),
            str(onnx_file),
            input_names=["mel"],
            output_names=["coefficients"],
            dynamic_axes={"mel": {1: "frames"}, "coefficients": {1: "outputs"}},
            opset_version=17,
            dynamo=False,
        )
    return onnx_file, tensors
