"""What an ONNX file holds, by name: also what is stored in 8 bits, and matrices whose names an exporter has lost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gioconda.errors import MissingFileError, WeightsError

PREFIX = "inner.encoder."  # of Whisper's encoder in Smart Turn's file
Arrays = dict[str, npt.NDArray[Any]]


def stored_weights(file: Path) -> Arrays:
    """Arrays by name, of `smart-turn-v3.2-cpu.onnx` or another file. MissingFileError or WeightsError."""
    import onnx

    if not file.is_file():
        raise MissingFileError(f"{file} does not exist: name the file of Smart Turn's network")
    try:
        # what a file says to lie in others is not read
        graph = onnx.load(str(file), load_external_data=False).graph
        stored = {t.name: onnx.numpy_helper.to_array(t) for t in graph.initializer}
        named = {**stored, **_dequantized(graph, stored)}
        return {**named, **_multiplied(graph, named)}
    except Exception as error:  # protobuf's own errors share no base class
        raise WeightsError(f"{file} is no ONNX file that can be read: {str(error)[:120]}") from None


def _dequantized(graph: Any, stored: Arrays) -> Arrays:
    """Stored 8 and 32 bit values as what they stand for, by the names that the rest of the graph knows them by."""
    values = {}
    for node in graph.node:
        if node.op_type != "DequantizeLinear" or node.input[0] not in stored:
            continue
        whole, scale, zero = (stored[name] for name in node.input)
        axis = next((a.i for a in node.attribute if a.name == "axis"), 1)
        shape = [1] * whole.ndim
        if scale.ndim and scale.size > 1:
            shape[axis] = -1
        value = (whole.astype(np.float32) - zero.reshape(shape)) * scale.reshape(shape)
        values[node.output[0].removesuffix("_DequantizeLinear_Output")] = value.astype(np.float32)
    return values


def _multiplied(graph: Any, named: Arrays) -> Arrays:
    """Matrices of linear layers, whose own names are lost: each is named after the bias that is added next.

    In each layer one has none, the keys of its attention.
    """
    users: dict[str, list[Any]] = {}
    for node in graph.node:
        for name in node.input:
            users.setdefault(name, []).append(node)
    values, keys = {}, 0
    for node in graph.node:
        matrix = node.input[1].removesuffix("_DequantizeLinear_Output") if node.op_type == "MatMul" else ""
        if matrix not in named:
            continue
        bias = _bias(node.output[0], users)
        if bias:
            values[bias.removesuffix("bias") + "weight"] = named[matrix].T
        elif named[matrix].shape[0] == named[matrix].shape[1]:
            values[f"{PREFIX}layers.{keys}.self_attn.k_proj.weight"] = named[matrix].T
            keys += 1
    return values


def _bias(output: str, users: dict[str, list[Any]]) -> str:
    """Name of the bias that is added to an output; empty where there is none."""
    for node in users.get(output, []):
        if node.op_type == "Add":
            return next((n for n in node.input if n.endswith(".bias")), "")
        if node.op_type.endswith("eLinear"):
            return _bias(node.output[0], users)
    return ""
