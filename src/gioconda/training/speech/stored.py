"""Reads the weights of an ONNX file by name, also those in 8 bits, and matrices whose names the exporter lost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gioconda.errors import MissingFileError, WeightsError

# Prefix of Whisper's encoder in Smart Turn's file
PREFIX = "inner.encoder."
Arrays = dict[str, npt.NDArray[Any]]


def stored_weights(file: Path) -> Arrays:
    """Read the arrays of `smart-turn-v3.2-cpu.onnx` or another file, by name.

    Raises:
        MissingFileError: The file does not exist.
        WeightsError: It is not a readable ONNX file.
    """
    import onnx

    if not file.is_file():
        raise MissingFileError(f"{file} does not exist; give the path of Smart Turn's network")
    try:
        # Weights in other files are not read
        graph = onnx.load(str(file), load_external_data=False).graph
        stored = {t.name: onnx.numpy_helper.to_array(t) for t in graph.initializer}
        named = {**stored, **_dequantized(graph, stored)}
        return {**named, **_multiplied(graph, named)}
    # protobuf's errors share no base class
    except Exception as error:
        raise WeightsError(f"{file} is not a readable ONNX file: {str(error)[:120]}") from None


def _dequantized(graph: Any, stored: Arrays) -> Arrays:
    """Dequantize stored 8 and 32 bit values, by their names in the rest of the graph."""
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
    """Matrices of linear layers, whose own names are lost, named after the bias that is added next.

    Only the attention keys of each layer have no bias.
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
    """Name of the bias that is added to an output; empty if there is none."""
    for node in users.get(output, []):
        if node.op_type == "Add":
            return next((n for n in node.input if n.endswith(".bias")), "")
        if node.op_type.endswith("eLinear"):
            return _bias(node.output[0], users)
    return ""
