"""A trained run -> the weights as safetensors, and the two ONNX graphs of the engine, without weights of their own."""

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
from gioconda.training.fewshot.model import Discriminator, Shape, TalkingHead
from gioconda.training.fewshot.weights import IDENTITY_EMBEDDINGS, encode, folded, shape_in
from gioconda.training.loop import BEST, read_checkpoint


class EmbedderGraph(nn.Module):
    """Photo and landmark picture (N, 3, S, S) each -> the person's AdaIN parameters (N, style)."""

    def __init__(self, talking_head: TalkingHead) -> None:
        super().__init__()
        self.embedder, self.projection = talking_head.embedder, talking_head.projection

    def forward(self, picture: Tensor, landmarks: Tensor) -> Tensor:
        """Project the embedding to AdaIN parameters."""
        psi: Tensor = self.projection(self.embedder(picture, landmarks))
        return psi


class GeneratorGraph(nn.Module):
    """Landmark picture (1, 3, S, S) and AdaIN parameters (1, style) -> picture (1, 3, S, S)."""

    def __init__(self, talking_head: TalkingHead) -> None:
        super().__init__()
        self.generator = talking_head.generator

    def forward(self, landmarks: Tensor, psi: Tensor) -> Tensor:
        """Generate the picture, -1..1."""
        picture: Tensor = self.generator(landmarks, psi)
        return picture


def export(run: Path, out: Path, checkpoint: str = BEST) -> tuple[Path, ...]:
    """Write fewshot.safetensors, with the averaged weights of a run, and the graphs into the folder `out`.

    Returns:
        The paths of the weights, the embedder and the generator.

    Raises:
        WeightsError: The checkpoint is damaged.
        OutputError: A file cannot be written.
    """
    whole = read_checkpoint(run / checkpoint)
    settings = whole["settings"]
    shape = shape_in(settings)
    talking_head = TalkingHead(shape)
    talking_head.load_state_dict(whole["task"]["ema"])
    critic_state = whole["task"]["critic"]
    critic = Discriminator(shape, len(critic_state[IDENTITY_EMBEDDINGS]))
    critic.load_state_dict(critic_state)
    out.mkdir(parents=True, exist_ok=True)
    header = export_header(settings, whole["done"])
    media.write_whole(out / WEIGHTS, encode(shape, talking_head.eval(), critic.eval(), header))
    write_graphs(shape, out)
    return out / WEIGHTS, out / EMBEDDER, out / GENERATOR


def write_graphs(shape: Shape, out: Path) -> None:
    """Write the graphs of embedder and generator for a shape; their weights have the names of the safetensors file."""
    talking_head = folded(TalkingHead(shape)).eval()
    assert isinstance(talking_head, TalkingHead)
    with torch.no_grad():
        for parameter in talking_head.parameters():
            # The exporter would merge equal tensors into one
            parameter.normal_(1.0, 0.1)
    picture, psi = torch.zeros(1, 3, shape.size, shape.size), torch.zeros(1, talking_head.generator.style)
    _graph(EmbedderGraph(talking_head), {"picture": picture, "landmarks": picture}, "psi", out / EMBEDDER)
    _graph(GeneratorGraph(talking_head), {"landmarks": picture, "psi": psi}, "picture", out / GENERATOR)


def _graph(net: nn.Module, inputs: dict[str, Tensor], output: str, file: Path) -> None:
    import onnx

    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        whole = Path(folder) / "whole.onnx"
        # PyTorch calls the exporter that needs no further package deprecated
        warnings.simplefilter("ignore")
        torch.onnx.export(
            net,
            tuple(inputs.values()),
            str(whole),
            input_names=list(inputs),
            output_names=[output],
            opset_version=17,
            # Folding would rename tensors
            do_constant_folding=False,
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
