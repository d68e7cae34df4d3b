"""Weights of the few-shot networks as one safetensors file of plain tensors: read, written, taken over."""

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

KIND = "gioconda few-shot networks"
COLUMNS = "columns.weight"  # the discriminator's columns belong to the people of one training
HINTS = "generator.hints."
SETTLE = 15  # power iterations after which a spectral norm has found its singular vectors


def folded(net: nn.Module) -> nn.Module:
    """A copy in which spectral norms are part of the weights."""
    plain = deepcopy(net)
    for module in plain.modules():
        if parametrize.is_parametrized(module):
            module.__class__ = _like(type(module))
            parametrize.remove_parametrizations(module, "weight", leave_parametrized=True)
    return plain


def _like(kind: type) -> type:
    """The same class once more: a copied module shares its original's, which loses `weight` when the copy does."""
    return type(
        kind.__name__,
        kind.__bases__,
        {k: v for k, v in vars(kind).items() if not isinstance(v, GetSetDescriptorType)},
    )


def encode(shape: Shape, trio: nn.Module, critic: nn.Module, told: Mapping[str, str]) -> bytes:
    """A safetensors file in float16: embedder, projection and generator, and the critic without its columns."""
    state = dict(folded(trio).state_dict())
    state |= {f"critic.{k}": v for k, v in folded(critic).state_dict().items() if k != COLUMNS}
    plain = {k: v.detach().cpu().half().contiguous() for k, v in state.items()}
    return bytes(save(plain, {"kind": KIND, "shape": json.dumps(asdict(shape)), **told}))


def shape_of(path: Path) -> Shape:
    """How large the networks of a file are; MissingFileError or WeightsError where it is none of ours."""
    if not path.is_file():
        raise MissingFileError(
            f"{path} does not exist: give the .safetensors of an exported few-shot network"
        )
    try:
        with safe_open(path, "pt") as file:
            told = file.metadata() or {}
        if told.get("kind") != KIND:
            raise ValueError("it is another kind of file")
        return shape_in(json.loads(told["shape"]))
    except (SafetensorError, OSError, ValueError, TypeError, KeyError) as error:
        raise WeightsError(f"{path} holds no few-shot networks: {str(error)[:120]}") from None


def shape_in(values: Mapping[str, Any]) -> Shape:
    """The shape among settings or what a file tells; those that know of no skips have none. Raises KeyError."""
    told = {"skips": 0, **values}
    return Shape(**{field.name: int(told[field.name]) for field in fields(Shape)})


def take_over(path: Path, trio: nn.Module, critic: nn.Module) -> None:
    """Load a file's weights into networks of the same widths; WeightsError where they do not fit.

    Skips that the file's networks do not have begin without effect.
    """
    skips = shape_of(path).skips
    try:
        state = {k: v.float() for k, v in load_file(path).items()}
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path} is damaged: {str(error)[:120]}") from None
    if not skips:
        state |= {k: torch.zeros_like(v) for k, v in trio.named_parameters() if k.startswith(HINTS)}
    judged = {k[len("critic.") :]: v for k, v in state.items() if k.startswith("critic.")}
    _load(trio, {k: v for k, v in state.items() if not k.startswith("critic.")}, path)
    _load(critic, judged, path)


def _load(net: nn.Module, state: Mapping[str, Tensor], path: Path) -> None:
    """Plain tensors into a network that may have spectral norms; its columns are left as they are."""
    there = {_plain_name(name): value for name, value in net.named_parameters() if not name.endswith(COLUMNS)}
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
