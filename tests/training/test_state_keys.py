"""Weights keep their names in files, whatever the attributes of the networks are called."""

from copy import deepcopy

import pytest
import torch
from safetensors import safe_open
from torch import nn

from gioconda.assets import asset_path
from gioconda.training.fewshot import export, weights
from gioconda.training.fewshot.model import Attention, Discriminator, TalkingHead
from gioconda.training.speech.model import LipNet
from gioconda.training.state_keys import keep_keys, stored_parameters
from places import FEWSHOT_EXAMPLE


class Renamed(nn.Module):
    def __init__(self):
        super().__init__()
        self.query, self.gamma = nn.Linear(2, 2, bias=False), nn.Parameter(torch.zeros(()))
        self.norm = nn.BatchNorm1d(2)
        keep_keys(self, {"query": "ask", "gamma": "strength"})


def test_states_and_parameters_carry_the_stored_names_in_order():
    parent = nn.ModuleDict({"query": nn.Linear(1, 1), "part": Renamed()})
    for net in (parent, deepcopy(parent)):
        names = ["query.weight", "query.bias", "part.strength", "part.ask.weight"]
        assert [name for name in net.state_dict() if "norm" not in name] == names, (
            "only the part's own are renamed"
        )
        assert set(stored_parameters(net)) == {*names, "part.norm.weight", "part.norm.bias"}


@pytest.mark.parametrize("copied", [False, True])
def test_stored_states_load_strictly(copied):
    old, new = Renamed(), Renamed()
    new = deepcopy(new) if copied else new
    with torch.no_grad():
        old.gamma.fill_(3.0)
    new.load_state_dict(old.state_dict())
    assert float(new.gamma.detach()) == 3.0
    assert torch.equal(new.query.weight, old.query.weight)
    state = old.state_dict()
    state["unknown"] = torch.zeros(1)
    with pytest.raises(RuntimeError, match="unknown"):
        new.load_state_dict(state)


def test_few_shot_networks_have_the_names_of_a_stored_file():
    path = FEWSHOT_EXAMPLE
    shape = weights.shape_of(path)
    head, critic = weights.folded(TalkingHead(shape)), weights.folded(Discriminator(shape, 1))
    with safe_open(path, "pt") as file:
        stored = set(file.keys())
    assert {*head.state_dict()} | {
        f"critic.{k}" for k in critic.state_dict() if k != "columns.weight"
    } == stored
    assert "columns.weight" in critic.state_dict()


def test_stored_attention_arrives_where_it_is_used():
    path = FEWSHOT_EXAMPLE
    shape = weights.shape_of(path)
    head, critic = weights.folded(TalkingHead(shape)), Discriminator(shape, 1)
    weights.load_pretrained(path, head, critic)
    attention = head.generator.attention_down
    assert isinstance(attention, Attention)
    with safe_open(path, "pt") as file:
        for attribute, name in (("query", "ask"), ("key", "tell"), ("value", "give")):
            stored = file.get_tensor(f"generator.attention_down.{name}.weight").float()
            assert torch.equal(getattr(attention, attribute).weight, stored)
        assert float(attention.gamma.detach()) == float(file.get_tensor("generator.attention_down.strength"))


def test_the_speech_network_has_the_names_of_the_packaged_graph():
    onnx = pytest.importorskip("onnx")
    graph = onnx.load(str(asset_path("speech.onnx"))).graph
    stored = {tensor.name for tensor in graph.initializer}
    net = LipNet(160, 0.0, 3)
    assert {name.split(".")[0] for name in net.state_dict()} == {"ear", "readers"}
    biases = {name for name in net.state_dict() if name.endswith(".bias")}
    assert biases
    assert biases <= stored


@pytest.mark.slow
def test_exported_graphs_name_their_weights_as_stored_ones(tmp_path):
    onnx = pytest.importorskip("onnx")
    shape = weights.shape_of(FEWSHOT_EXAMPLE)
    export.write_graphs(shape, tmp_path)
    for path in sorted(tmp_path.iterdir()):
        files = (path, FEWSHOT_EXAMPLE.with_name(path.name))
        made, stored = (onnx.load(str(file), load_external_data=False).graph for file in files)
        assert [(t.name, t.dims) for t in made.initializer] == [(t.name, t.dims) for t in stored.initializer]
        assert [n.op_type for n in made.node] == [n.op_type for n in stored.node]
