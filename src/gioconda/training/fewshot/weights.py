"""Reads and writes the weights of the few-shot networks as one safetensors file of plain tensors."""

from __future__ import annotations

import json
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import asdict, fields
from pathlib import Path
from types import GetSetDescriptorType
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor, nn
from torch.nn.utils import parametrize

from gioconda.errors import MissingFileError, WeightsError
from gioconda.training.fewshot.model import Shape
from gioconda.training.state_keys import stored_parameters

KIND = "gioconda few-shot networks"
# Stored names (`training/state_keys.py`). The identity embeddings belong to the people of one training.
IDENTITY_EMBEDDINGS, SKIP_CONNECTIONS = "columns.weight", "generator.hints."
# Power iterations until a spectral norm has converged
SETTLE = 15


def folded(net: nn.Module) -> nn.Module:
    """Copy a network with its spectral norms folded into the weights."""
    plain = deepcopy(net)
    for module in plain.modules():
        if parametrize.is_parametrized(module):
            module.__class__ = _like(type(module))
            parametrize.remove_parametrizations(module, "weight", leave_parametrized=True)
    return plain


def _like(kind: type) -> type:
    """Duplicate a class: a copied module shares its original's class, which would lose `weight` with the copy."""
    return type(
        kind.__name__,
        kind.__bases__,
        {k: v for k, v in vars(kind).items() if not isinstance(v, GetSetDescriptorType)},
    )


def encode(shape: Shape, talking_head: nn.Module, critic: nn.Module, header: Mapping[str, str]) -> bytes:
    """Encode a safetensors file in float16: the talking head, and the critic without its identity embeddings."""
    state = dict(folded(talking_head).state_dict())
    state |= {f"critic.{k}": v for k, v in folded(critic).state_dict().items() if k != IDENTITY_EMBEDDINGS}
    plain = {k: v.detach().cpu().half().contiguous() for k, v in state.items()}
    return bytes(save(plain, {"kind": KIND, "shape": json.dumps(asdict(shape)), **header}))


def shape_of(path: Path) -> Shape:
    """Read the size of a file's networks.

    Raises:
        MissingFileError: The file does not exist.
        WeightsError: It does not hold few-shot networks of gioconda.
    """
    if not path.is_file():
        raise MissingFileError(
            f"{path} does not exist; give the .safetensors of an exported few-shot network"
        )
    try:
        with safe_open(path, "pt") as file:
            header = file.metadata() or {}
        if header.get("kind") != KIND:
            raise ValueError("it is another kind of file")
        return shape_in(json.loads(header["shape"]))
    except (SafetensorError, OSError, ValueError, TypeError, KeyError) as error:
        raise WeightsError(f"{path} does not hold few-shot networks: {str(error)[:120]}") from None


def shape_in(values: Mapping[str, Any]) -> Shape:
    """Read the shape from settings or a header, without skip connections if they do not mention them; KeyError."""
    known = {"skips": 0, **values}
    return Shape(**{field.name: int(known[field.name]) for field in fields(Shape)})


def load_pretrained(path: Path, talking_head: nn.Module, critic: nn.Module) -> None:
    """Load a file's weights into networks of the same widths.

    Skip connections that the file's networks do not have start without effect.

    Raises:
        MissingFileError: The file does not exist.
        WeightsError: It is damaged, or belongs to networks of other widths.
    """
    skips = shape_of(path).skips
    try:
        state = {k: v.float() for k, v in load_file(path).items()}
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path} is damaged: {str(error)[:120]}") from None
    if not skips:
        state |= {
            k: torch.zeros_like(v)
            for k, v in stored_parameters(talking_head).items()
            if k.startswith(SKIP_CONNECTIONS)
        }
    critic_state = {k[len("critic.") :]: v for k, v in state.items() if k.startswith("critic.")}
    _load(talking_head, {k: v for k, v in state.items() if not k.startswith("critic.")}, path)
    _load(critic, critic_state, path)


def _load(net: nn.Module, state: Mapping[str, Tensor], path: Path) -> None:
    """Load plain tensors into a network that may have spectral norms; its identity embeddings stay unchanged."""
    there = {
        _plain_name(name): value
        for name, value in stored_parameters(net).items()
        if name != IDENTITY_EMBEDDINGS
    }
    if set(there) != set(state):
        raise WeightsError(f"{path} belongs to other networks: {sorted(set(there) ^ set(state))[0]}")
    for name, parameter in there.items():
        if parameter.shape != state[name].shape:
            raise WeightsError(f"{path} has other widths: {name} is {tuple(state[name].shape)}")
        with torch.no_grad():
            parameter.copy_(state[name])
    for module in net.modules():
        if parametrize.is_parametrized(module):
            for _ in range(SETTLE):
                module.weight  # noqa: B018 (each look is a power iteration)


def _plain_name(name: str) -> str:
    return name.replace("parametrizations.weight.original", "weight")
