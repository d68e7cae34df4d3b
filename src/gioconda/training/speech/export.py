"""Trained speech networks -> one ONNX file for use and further training: weights keep their names, in 16 bits."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn

from gioconda.speech.features import BANDS
from gioconda.training.config import export_header
from gioconda.training.loop import BEST, read_checkpoint
from gioconda.training.speech.model import Ensemble, LipNet, ObamaNet

# Tensors with fewer numbers keep 32 bits
SMALL = 4096


def load_network(run: Path, checkpoint: str = BEST) -> tuple[nn.Module, dict[str, str]]:
    """Load the averaged network of a run, and the header of its file; WeightsError for a damaged checkpoint."""
    whole = read_checkpoint(run / checkpoint)
    state, settings = whole["task"]["ema"], whole["settings"]
    if settings["network"] == "obama":
        names = ("mean", "components", "centre", "spread")
        net: nn.Module = ObamaNet(*(state[name].numpy() for name in names))
    else:
        net = LipNet(int(settings["width"]), 0.0, int(settings["readers"]))
    net.load_state_dict(state)
    return net.eval(), export_header(settings, whole["done"])


def ensemble(runs: Sequence[Path], checkpoint: str = BEST) -> tuple[nn.Module, dict[str, str]]:
    """The mean of the networks of several runs, and the header of its file."""
    nets, headers = zip(*(load_network(run, checkpoint) for run in runs), strict=True)
    if len(nets) == 1:
        return nets[0], headers[0]
    return Ensemble(nets).eval(), {"runs": json.dumps(headers)}


def export(runs: Sequence[Path], out: Path, checkpoint: str = BEST) -> Path:
    """Write the mean of the runs' averaged networks to `out`/speech.onnx and return its path."""
    net, header = ensemble(runs, checkpoint)
    out.mkdir(parents=True, exist_ok=True)
    file = out / "speech.onnx"
    with warnings.catch_warnings():
        # The exporter's advice does not help users
        warnings.simplefilter("ignore")
        torch.onnx.export(
            net,
            (torch.zeros(1, 200, BANDS),),
            str(file),
            input_names=["mel"],
            output_names=["coefficients"],
            dynamic_axes={"mel": {1: "frames"}, "coefficients": {1: "outputs"}},
            opset_version=17,
            dynamo=False,
            # Folding would rename tensors
            do_constant_folding=False,
        )
    _halve(file, header)
    return file


def _halve(file: Path, header: Mapping[str, str]) -> None:
    """Store large tensors of a graph in 16 bits under their own names; the graph still computes in 32 bits."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    model = onnx.load(str(file))
    graph, wide, casts = model.graph, {}, []
    for tensor in list(graph.initializer):
        value = numpy_helper.to_array(tensor)
        if value.dtype != np.float32 or value.size < SMALL:
            continue
        wide[tensor.name] = f"{tensor.name}_wide"
        tensor.CopyFrom(numpy_helper.from_array(value.astype(np.float16), tensor.name))
        casts.append(helper.make_node("Cast", [tensor.name], [wide[tensor.name]], to=TensorProto.FLOAT))
    for node in graph.node:
        node.input[:] = [wide.get(name, name) for name in node.input]
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    helper.set_model_props(model, dict(header))
    onnx.save(model, str(file))
