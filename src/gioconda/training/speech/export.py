"""A trained speech network -> ONNX for use and safetensors for more training."""

from __future__ import annotations

import warnings
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn

from gioconda.speech.features import BANDS
from gioconda.training.config import export_header
from gioconda.training.loop import BEST, read
from gioconda.training.speech.model import LipNet, ObamaNet


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


def export(run: Path, out: Path, checkpoint: str = BEST) -> tuple[Path, Path]:
    """Write speech.onnx and speech.safetensors, from the averaged weights of a run, to the folder `out`."""
    net, header = rebuilt(run, checkpoint)
    out.mkdir(parents=True, exist_ok=True)
    onnx_file, tensors = out / "speech.onnx", out / "speech.safetensors"
    save_file({k: v.contiguous() for k, v in net.state_dict().items()}, tensors, metadata=header)
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
