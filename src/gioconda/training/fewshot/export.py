"""A trained run -> the weights as safetensors, and the two graphs that use needs, without weights of their own."""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gioconda import media
from gioconda.engines.fewshot.network import EMBEDDER, GENERATOR, WEIGHTS
from gioconda.training.config import export_header
from gioconda.training.fewshot.model import Discriminator, Shape, Trio
from gioconda.training.fewshot.weights import COLUMNS, encode, folded, shape_in
from gioconda.training.loop import BEST, read


class Meeting(nn.Module):
    """Photo and landmark picture (N, 3, S, S) each -> the person's AdaIN parameters (N, style)."""

    def __init__(self, trio: Trio) -> None:
        super().__init__()
        self.embedder, self.projection = trio.embedder, trio.projection

    def forward(self, picture: Tensor, landmarks: Tensor) -> Tensor:
        """The projection of the embedding."""
        made: Tensor = self.projection(self.embedder(picture, landmarks))
        return made


class Drawing(nn.Module):
    """Landmark picture (1, 3, S, S) and AdaIN parameters (1, style) -> picture (1, 3, S, S)."""

    def __init__(self, trio: Trio) -> None:
        super().__init__()
        self.generator = trio.generator

    def forward(self, landmarks: Tensor, psi: Tensor) -> Tensor:
        """The drawn picture."""
        made: Tensor = self.generator(landmarks, psi)
        return made


def export(run: Path, out: Path, checkpoint: str = BEST) -> tuple[Path, ...]:
    """Write fewshot.safetensors, from the averaged weights of a run, and the graphs beside it into the folder `out`."""
    whole = read(run / checkpoint)
    settings = whole["settings"]
    shape = shape_in(settings)
    trio = Trio(shape)
    trio.load_state_dict(whole["task"]["ema"])
    judged = whole["task"]["critic"]
    critic = Discriminator(shape, len(judged[COLUMNS]))
    critic.load_state_dict(judged)
    out.mkdir(parents=True, exist_ok=True)
    told = export_header(settings, whole["done"])
    media.write_whole(out / WEIGHTS, encode(shape, trio.eval(), critic.eval(), told))
    write_graphs(shape, out)
    return out / WEIGHTS, out / EMBEDDER, out / GENERATOR


def write_graphs(shape: Shape, out: Path) -> None:
    """The graphs of embedder and generator at this shape; their weights are named as in the safetensors file."""
    trio = folded(Trio(shape)).eval()
    assert isinstance(trio, Trio)
    with torch.no_grad():
        for parameter in trio.parameters():
            parameter.normal_(1.0, 0.1)  # equal tensors would be merged into one, whatever they are called
    picture, psi = torch.zeros(1, 3, shape.size, shape.size), torch.zeros(1, trio.generator.style)
    _graph(Meeting(trio), {"picture": picture, "landmarks": picture}, "psi", out / EMBEDDER)
    _graph(Drawing(trio), {"landmarks": picture, "psi": psi}, "picture", out / GENERATOR)


def _graph(net: nn.Module, inputs: dict[str, Tensor], output: str, file: Path) -> None:
    import onnx

    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        whole = Path(folder) / "whole.onnx"
        warnings.simplefilter("ignore")  # the exporter that needs no further package is called legacy
        torch.onnx.export(
            net,
            tuple(inputs.values()),
            str(whole),
            input_names=list(inputs),
            output_names=[output],
            opset_version=17,
            do_constant_folding=False,  # it would make tensors of new names
            dynamo=False,
        )
        model: Any = onnx.load(str(whole))
    for tensor in model.graph.initializer:
        tensor.ClearField("raw_data")
        tensor.data_location = onnx.TensorProto.EXTERNAL
        for key, value in (("location", WEIGHTS), ("offset", "0"), ("length", "0")):
            entry = tensor.external_data.add()
            entry.key, entry.value = key, value
    model.graph.ClearField("value_info")
    for node in model.graph.node:
        node.ClearField("doc_string")
    media.write_whole(file, model.SerializeToString())
